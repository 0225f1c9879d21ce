"""What every ``python -m <room>`` shares: exit codes, errors in one line, progress.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a gate stopped it (nothing was published), 75 a server that it
needs did not answer: the same command, later.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

import settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

DISK_FULL = (*(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT)), "database or disk is full")
"""As Python, DuckDB and dbt all quote the system, and as SQLite puts it."""

FORBIDDEN = tuple(os.strerror(code) for code in (errno.EACCES, errno.EPERM, errno.EROFS))

DONE, FAILED, WRONG_USAGE, GATE_STOPPED = 0, 1, 2, 3
TRY_LATER = os.EX_TEMPFAIL
"""As mail servers and systemd know it."""

if TYPE_CHECKING:
    console: Console
    """Progress and messages go to stderr; stdout carries only what a pipe wants."""
    answer: Console
    """Tables that a person asked for, on stdout."""

WIDTH_OF_NO_TERMINAL = 160  # in logs and pipes nobody sees a table that was squeezed into 80 columns


@cache
def _console(stderr: bool) -> Console:
    from rich.console import Console  # a fifth of a second, only for who prints: a query must start fast

    found = Console(stderr=stderr, highlight=False)
    if not found.is_terminal and "COLUMNS" not in os.environ:
        found.width = WIDTH_OF_NO_TERMINAL
    return found


def __getattr__(name: str) -> object:
    """Give ``console`` (stderr: what a command says) and ``answer`` (stdout: what it was asked for)."""
    if name in ("console", "answer"):
        return _console(stderr=name == "console")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


PATIENCE_SECONDS = 2.0
LINE_EVERY_SECONDS = 10.0


class Progress:
    """Count steps towards a total; over two seconds a bar on a terminal, elsewhere a plain line now and then.

    Parameters
    ----------
    what
        What is done; empty says nothing.
    unit
        What is counted, such as ``steps``.
    done
        How much an earlier run did.
    """

    def __init__(self, what: str, total: int, unit: str = "", done: int = 0) -> None:
        self._what, self._total, self._unit, self._done = what, total, unit, done
        self._speak_at = monotonic() + PATIENCE_SECONDS
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, steps: int) -> None:
        """Count steps."""
        self._done += steps
        if self._what and (now := monotonic()) >= self._speak_at:
            self._speak(now)

    def _speak(self, now: float) -> None:
        console = _console(stderr=True)
        if not console.is_terminal:
            console.print(f"{self._what}: {self._done:,} of {self._total:,} {self._unit}".rstrip())
            self._speak_at = now + LINE_EVERY_SECONDS
            return
        if self._bar is None:
            from rich.progress import Progress as Bar

            self._bar = Bar(*Bar.get_default_columns(), console=console, transient=True)
            self._bar.start()
            self._bar.add_task(self._what, total=self._total)
        self._bar.update(self._bar.task_ids[0], completed=self._done)


class ShoalError(Exception):
    """A failure that the reader can act on: names the thing, its value and the remedy."""

    exit_code = FAILED


class UsageError(ShoalError):
    """The command was asked for something that does not exist or does not fit."""

    exit_code = WRONG_USAGE


class GateStoppedError(ShoalError):
    """A check at a border failed or could not be made; nothing was published."""

    exit_code = GATE_STOPPED


def as_markdown(rows: Sequence[Sequence[object]]) -> str:
    """Return rows, the first of them the header, as a table that can be pasted into the README.

    >>> print(as_markdown([("way", "CPU-s"), ("plain loop", 2)]))
    | way | CPU-s |
    |---|---|
    | plain loop | 2 |
    """
    header, *others = (f"| {' | '.join(map(str, row))} |" for row in rows)
    return "\n".join([header, f"|{'---|' * len(rows[0])}", *others])


def add_shop(parser: argparse.ArgumentParser) -> None:
    """Add ``--shop`` with its default."""
    parser.add_argument(
        "--shop",
        default=settings.default_shop(),
        help="the shop, as named by shops/<shop>.yml (default: SHOAL_SHOP, else simulated)",
    )
    parser.set_defaults(prepare=_require_shop)


def _require_shop(arguments: argparse.Namespace) -> None:
    """Refuse a shop that has neither a file nor data: a mistyped one is no shop of which all is well."""
    name = arguments.shop
    try:
        paths = settings.ShopPaths(name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not (paths.config.exists() or paths.root.exists()):
        known = ", ".join(sorted(found.stem for found in settings.shops_dir().glob("*.yml")))
        raise UsageError(f"no shop {name!r}: write {paths.config}, or use one of {known}")


@contextmanager
def one_at_a_time(lock: Path, told: str) -> Iterator[None]:
    """Let one process at a time go on, and tell the others; the kernel frees the lock of the dead."""
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _console(stderr=True).print(told)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def add_as_of(parser: argparse.ArgumentParser) -> None:
    """Add ``--as-of`` with its default."""
    parser.add_argument(
        "--as-of",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="the as_of_date: only what happened and was delivered by then is seen "
        "(default: the latest complete day)",
    )


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parse, call the verb's ``act(arguments)`` and turn a ShoalError into one line and a code.

    So with a full disk, with what this user may not read or write, and with a setting of no use, wherever
    they were met.
    """
    arguments = parser.parse_args(argv)
    act: Callable[[argparse.Namespace], int | None] = arguments.act
    try:
        if "prepare" in arguments:
            arguments.prepare(arguments)
        return act(arguments) or DONE
    except KeyboardInterrupt:
        _console(stderr=True).print("stopped by you; rerun the command to go on", style="yellow")
        return FAILED
    except Exception as error:
        told = _disk_full(error) or _forbidden(error) or _unusable_setting(error) or error
        if not isinstance(told, ShoalError):
            raise
        from rich.markup import escape

        _console(stderr=True).print(f"[bold red]{parser.prog}:[/] {escape(str(told))}", soft_wrap=True)
        return told.exit_code


def _disk_full(error: BaseException) -> ShoalError | None:
    """Return what to do about a full disk where that is what an error, or a cause of it, says."""
    if not (said := _said(error, DISK_FULL)):
        return None
    folder = settings.data_dir()
    free = shutil.disk_usage(folder).free
    told = ShoalError(
        f"the disk of {folder} is full ({free / 1e6:,.1f} MB free), or that of the temporary files: "
        "make room, then run the same command again; nothing half done was kept. "
        f"Met at: {said}"
    )
    told.exit_code = error.exit_code if isinstance(error, ShoalError) else FAILED
    return told


def _forbidden(error: BaseException) -> ShoalError | None:
    """Return what to do where an error, or a cause of it, says that this user may not read or write."""
    if isinstance(error, ShoalError) or not (said := _said(error, FORBIDDEN)):
        return None
    return ShoalError(
        f"{said}: run it as the owner, or let user {os.geteuid()} read and write there, then run the same "
        "command again; nothing half done was kept"
    )


def _unusable_setting(error: BaseException) -> ShoalError | None:
    return UsageError(str(error)) if isinstance(error, settings.SettingError) else None


def _said(error: BaseException | None, signs: Sequence[str]) -> str | None:
    while error is not None:
        if any(sign in str(error) for sign in signs):
            return " ".join(str(error).split())[:300]
        error = error.__cause__ or error.__context__
    return None


def main(parser: argparse.ArgumentParser) -> None:
    """End the process with the exit code of :func:`run`."""
    sys.exit(run(parser))
