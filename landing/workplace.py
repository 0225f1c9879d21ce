"""The landing folder while one process works in it: locked, swept, with a connection to read files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from cli import one_at_a_time
from landing import empty, ledger
from landing.chunk import connect
from landing.shops import Shop
from settings import ShopPaths


@dataclass(frozen=True)
class Workplace:
    """What landing works with, while no other process lands for the shop."""

    shop: Shop
    paths: ShopPaths
    connection: duckdb.DuckDBPyConnection
    scratch: Path


@contextmanager
def workplace(shop: Shop, folder: Path) -> Iterator[Workplace]:
    """Have the landing folder alone, swept of what a kill left, with a connection that reads ``folder``."""
    paths = ShopPaths(shop.shop)
    with alone(paths):
        scratch = _clear_scratch(paths)
        _sweep(paths)
        empty.write(paths)
        with connect(shop, paths, folder, scratch) as connection:
            yield Workplace(shop, paths, connection, scratch)
        shutil.rmtree(scratch)


def alone(paths: ShopPaths) -> AbstractContextManager[None]:
    """Let one process at a time land, or decide, for a shop.

    What lands writes further lines about files that it read before: a decision in between would be lost.
    """
    told = f"waiting: another process is landing files for {paths.shop}"
    return one_at_a_time(paths.landing / "receive.lock", told)


def _clear_scratch(paths: ShopPaths) -> Path:
    scratch = paths.landing / ".scratch"
    if scratch.exists():
        shutil.rmtree(scratch)
    scratch.mkdir(mode=0o700)
    return scratch


def _sweep(paths: ShopPaths) -> None:
    """Remove what a killed process left behind uncommitted, and bad rows that a replay has written anew."""
    files = [file for file in ledger.files(paths) if file.status not in ("refused", "waiting")]
    committed = {ledger.part_name(file.file_id, part) for file in files for part in range(file.part + 1)}
    for found in paths.landing.glob("*/*/*.*"):
        if found.stem not in committed or found.suffix == ".tmp":
            found.unlink()
    current = {ledger.part_name(file.file_id, file.part) for file in files}
    for found in paths.quarantine.glob("*"):
        kept = committed if found.suffix == ".parquet" else current
        if found.stem not in kept or found.suffix == ".tmp":
            found.unlink()
