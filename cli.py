"""What every ``python -m <room>`` shares: exit codes, errors in one line, progress.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a gate stopped it (nothing was published).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

import settings

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, WRONG_USAGE, GATE_STOPPED = 0, 1, 2, 3

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


class ShoalError(Exception):
    """A failure that the reader can act on: names the thing, its value and the remedy."""

    exit_code = FAILED


class UsageError(ShoalError):
    """The command was asked for something that does not exist or does not fit."""

    exit_code = WRONG_USAGE


class GateStoppedError(ShoalError):
    """A check at a border failed or could not be made; nothing was published."""

    exit_code = GATE_STOPPED


def add_shop(parser: argparse.ArgumentParser) -> None:
    """Add ``--shop`` with its default."""
    parser.add_argument(
        "--shop",
        default=settings.default_shop(),
        help="the shop, as named by shops/<shop>.yml (default: SHOAL_SHOP, else simulated)",
    )


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
    """Parse, call the verb's ``act(arguments)`` and turn a ShoalError into one line and a code."""
    arguments = parser.parse_args(argv)
    act: Callable[[argparse.Namespace], int | None] = arguments.act
    try:
        return act(arguments) or DONE
    except ShoalError as error:
        from rich.markup import escape

        _console(stderr=True).print(f"[bold red]{parser.prog}:[/] {escape(str(error))}", soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        _console(stderr=True).print("stopped by you; rerun the command to go on", style="yellow")
        return FAILED


def main(parser: argparse.ArgumentParser) -> None:
    """End the process with the exit code of :func:`run`."""
    sys.exit(run(parser))
