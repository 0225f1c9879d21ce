"""Progress over two seconds: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from cli import console

PATIENCE_SECONDS = 2.0
LINE_EVERY_SECONDS = 10.0

Item = TypeVar("Item")


class Progress:
    """Count steps towards a total; say nothing unless it takes a while."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._speak_at = time.monotonic() + PATIENCE_SECONDS
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def step(self, item: Item) -> Item:
        """Count one item and hand it on."""
        self.advance(1)
        return item

    def advance(self, steps: int) -> None:
        """Count steps."""
        self._done += steps
        if time.monotonic() >= self._speak_at:
            self._speak()

    def _speak(self) -> None:
        if not console.is_terminal:
            console.print(f"{self._what}: {self._done:,} of {self._total:,} files")
            self._speak_at = time.monotonic() + LINE_EVERY_SECONDS
            return
        if self._bar is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=console, transient=True)
            self._bar.start()
            self._bar.add_task(self._what, total=self._total)
        self._bar.update(self._bar.task_ids[0], completed=self._done)
