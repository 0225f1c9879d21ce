"""The one door to a shop's working warehouse.

DuckDB lets one process write or many read, never both, and a mere reader blocks the
writer. So whoever opens ``warehouse.duckdb``, dbt included, comes through here: an OS
file lock beside the file, held for as long as the file is open, which names its holder
while others wait. Training, scoring and BI never come here; they read Parquet snapshots
and published versions.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import duckdb

import settings
from cli import ShoalError, console
from settings import ShopPaths

LOCK_TIMEOUT_SECONDS = 3600
"""An hour: longer than any leg on one machine, short enough that a hung holder is noticed."""

FOREIGN = "Could not set lock on file"
FOREIGN_TIMEOUT_SECONDS = 60
"""A minute: whoever looks into the file by hand is asked to read the published version instead."""


@contextmanager
def lock(paths: ShopPaths, purpose: str, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
    """Hold the shop's warehouse lock; wait for it with progress that names the holder.

    The kernel frees the lock when its holder dies, however it dies.

    Raises
    ------
    ShoalError
        When the lock is still held after ``timeout_seconds``; names pid, purpose and since when.
    """
    paths.warehouse.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(paths.warehouse.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        _wait(file, paths, timeout_seconds)
        file.seek(0)
        file.truncate()
        json.dump(
            {"pid": os.getpid(), "purpose": purpose, "since": time.strftime("%FT%TZ", time.gmtime())}, file
        )
        file.flush()
        yield


@contextmanager
def connect(paths: ShopPaths, purpose: str, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the working warehouse under its lock; times are UTC."""
    with lock(paths, purpose), open_locked(paths, read_only) as connection:
        yield connection


@contextmanager
def open_locked(paths: ShopPaths, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the working warehouse for a caller that already holds its lock; times are UTC.

    A program that opened the file without asking for the lock is named and waited for.

    Raises
    ------
    ShoalError
        When the file is damaged or such a program does not let go of it.
    """
    connection = _open(paths, read_only)
    try:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set memory_limit = ?", [settings.memory()])
        yield connection
    finally:
        connection.close()


@contextmanager
def explained(paths: ShopPaths) -> Iterator[None]:
    """Say what to do where DuckDB cannot open the warehouse.

    Raises
    ------
    ShoalError
        Names the file, and the runbook or the program in the way. Nothing is deleted.
    """
    try:
        yield
    except duckdb.Error as error:
        told = " ".join(str(error).split())
        if "replaying WAL" in told:
            raise ShoalError(
                f"{paths.warehouse}.wal is damaged, and nothing was deleted: follow “The warehouse does not "
                f"open” in docs/operations.md; DuckDB says: {told}"
            ) from None
        if FOREIGN in told:
            raise ShoalError(
                f"a program that did not ask for the lock has {paths.warehouse} open: end it, or let it read "
                f"{paths.serving / 'current'} instead; DuckDB says: {told}"
            ) from None
        raise


def _open(paths: ShopPaths, read_only: bool) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + FOREIGN_TIMEOUT_SECONDS
    has_said = False
    while True:
        with explained(paths):
            try:
                return duckdb.connect(str(paths.warehouse), read_only=read_only)
            except duckdb.IOException as error:
                if FOREIGN not in str(error) or time.monotonic() > deadline:
                    raise
                if not has_said:
                    console.print(f"waiting for a program that has the warehouse open: {error}", markup=False)
                    has_said = True
        time.sleep(0.2)


def _wait(file: IO[str], paths: ShopPaths, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    said: str | None = None
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _holder(file)
            if holder != said:
                console.print(f"waiting for the warehouse of {paths.shop}: held by {holder}")
                said = holder
            if time.monotonic() > deadline:
                raise ShoalError(
                    f"the warehouse {paths.warehouse} is still held by {holder} after "
                    f"{timeout_seconds:.0f} s: wait for it to end, or end it, then rerun"
                ) from None
            time.sleep(0.2)


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        note = json.loads(file.read())
        return f"process {note['pid']} ({note['purpose']}) since {note['since']}"
    except (ValueError, KeyError):
        return "a process that is just starting"
