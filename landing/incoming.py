"""Finds what a shop dropped: which file is of which source, on which day, and is it new."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from cli import UsageError
from landing.shops import SUFFIXES, Format, Shop, Source

READ_BYTES = 1 << 20
DATE_IN_NAME = re.compile(r"(?<!\d)(\d{4})(-?)(\d{2})\2(\d{2})(?!\d)")


@dataclass(frozen=True)
class IncomingFile:
    """One file of a known source. ``file_id`` depends on name and content alone."""

    path: Path
    source: Source
    format: Format
    file_id: str
    content_hash: str
    size: int

    @property
    def name(self) -> str:
        """The name under which the ledger knows it."""
        return self.path.name


def find(target: Path, shop: Shop) -> tuple[list[tuple[Path, Source]], list[Path]]:
    """Return the files of known sources and the ignored rest, both by name.

    Links are not followed: what lies outside the folder was not dropped into it.

    Raises
    ------
    UsageError
        When there is no such file or folder.
    """
    if not target.exists():
        raise UsageError(
            f"{target} does not exist: name the file, or the folder of files, that the shop dropped"
        )
    found = sorted(target.rglob("*")) if target.is_dir() else [target]
    plain = [
        path for path in found if path.is_file() and not path.is_symlink() and not path.name.startswith(".")
    ]
    known = [(path, source) for path in plain if (source := _source_of(path, shop))]
    taken = {path for path, _ in known}
    links = [path for path in found if path.is_symlink()]
    return known, [path for path in plain if path not in taken] + links


def format_of(path: Path) -> Format | None:
    """Return the format that a file's ending promises; None when it promises none."""
    endings = sorted(SUFFIXES, key=len, reverse=True)
    return next((SUFFIXES[ending] for ending in endings if path.name.lower().endswith(ending)), None)


def fingerprint(path: Path, source: Source) -> IncomingFile:
    """Read a file once and name it by what is in it."""
    content, named = hashlib.sha256(), hashlib.sha256(path.name.encode() + b"\0")
    size = 0
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            content.update(block)
            named.update(block)
            size += len(block)
    format_ = format_of(path)
    assert format_ is not None
    return IncomingFile(path, source, format_, named.hexdigest()[:16], content.hexdigest(), size)


def batch_id(files: Iterable[IncomingFile]) -> str:
    """Return the id of a set of files received together: the same set, the same id."""
    return hashlib.sha256("".join(sorted(file.file_id for file in files)).encode()).hexdigest()[:16]


def delivered_on(file: IncomingFile, stated: date | None, is_history: bool) -> date | Literal["row"] | None:
    """Return the day with which a file's rows became known; never the clock of this machine.

    In this order: what the caller stated; the date that the shop's file states; each row's own
    business day (``row``) for a history load, by option or by the shop's file; the date in the
    file's name. None when nothing says.
    """
    if stated:
        return stated
    if isinstance(file.source.delivered_on, date):
        return file.source.delivered_on
    if is_history or file.source.delivered_on == "row":
        return "row"
    return next(_dates_in(file.name), None)


def _dates_in(name: str) -> Iterator[date]:
    for year, _, month, day in DATE_IN_NAME.findall(name):
        try:
            yield date(int(year), int(month), int(day))
        except ValueError:
            continue


def _source_of(path: Path, shop: Shop) -> Source | None:
    if format_of(path) is None:
        return None
    matches = (
        source for source in shop.sources for pattern in source.files if fnmatchcase(path.name, pattern)
    )
    return next(matches, None)
