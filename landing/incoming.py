"""Finds what a shop dropped: which file is of which source, on which day, and is it new."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from cli import UsageError
from landing.shops import SUFFIXES, Format, Shop, Source

READ_BYTES = 1 << 20
GLOB_CHARACTERS = set("*?[")
DATE_IN_NAME = re.compile(r"(?<!\d)(\d{4})(-?)(\d{2})\2(\d{2})(?!\d)")

REMEDIES = {
    **dict.fromkeys((".zip", ".7z", ".rar", ".tar", ".tgz"), "unpack it and deliver what is in it"),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst"), "unpack it, or deliver one of .csv.gz, .jsonl.gz"),
    **dict.fromkeys((".xls", ".xlsb", ".xlsm", ".ods"), "save as .xlsx or .csv"),
    ".json": "write one object a line, as .jsonl",
}
"""What to do about endings that shops use and no reader reads."""

State = tuple[int, int, int]
"""Modification time in nanoseconds, size in bytes, inode: what changes when somebody writes a file."""


@dataclass(frozen=True)
class IncomingFile:
    """One file of a known source. ``file_id`` depends on name and content alone."""

    path: Path
    source: Source
    format: Format
    file_id: str
    content_hash: str
    size: int
    has_nul: bool = False
    state: State | None = None

    @property
    def name(self) -> str:
        """The name under which the ledger knows it."""
        return shown(self.path.name)

    @property
    def is_as_it_was(self) -> bool:
        """Whether nobody has written it since it was read first."""
        return self.state == state_of(self.path)


@dataclass(frozen=True)
class Found:
    """What lies in a folder: files of known sources, names not to be opened with the reason, the rest."""

    known: list[tuple[Path, Source]]
    barred: list[tuple[Path, Source, str]]
    ignored: list[Path]


def find(target: Path, shop: Shop) -> Found:
    """Look at names alone: what lies in a folder, or at one file, in the order of the names.

    What is hidden, or lies in a hidden folder, is still on its way. A link is never followed. One that
    stands for a file and leads out of the folder, or nowhere, is barred; so is a name that a reader would
    take for a pattern, and read other files by.

    Raises
    ------
    UsageError
        When there is no such file or folder.
    PermissionError
        When this user may not read some folder.
    """
    if not target.exists() and not target.is_symlink():
        raise UsageError(
            f"{target} does not exist: name the file, or the folder of files, that the shop dropped"
        )
    is_folder = target.is_dir()
    folder = target.resolve() if is_folder else target.parent.resolve()
    paths = list(_shown(target)) if is_folder else [target]
    _require_access([folder, *(path for path in paths if path.is_dir() and not path.is_symlink())])
    found = Found([], [], [])
    for path in paths:
        source = _source_of(path, shop)
        if not path.is_symlink() and not path.is_file():
            continue
        if source and (reason := _bar(path, folder)):
            found.barred.append((path, source, reason))
        elif source and not path.is_symlink():
            found.known.append((path, source))
        else:
            found.ignored.append(path)
    return found


def _shown(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _require_access(folders: Iterable[Path]) -> None:
    """Meet a closed folder here: what lies in it would seem not to be there."""
    for folder in folders:
        if not os.access(folder, os.R_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _bar(path: Path, folder: Path) -> str | None:
    if path.is_symlink() and not (path.resolve().is_relative_to(folder) and path.exists()):
        return "it is a link that leads out of its folder: deliver the file itself"
    if GLOB_CHARACTERS & set(str(path)) or not str(path).isprintable():
        return "its path has one of *?[ or a character that cannot be printed: rename it"
    return None


def shown(name: str) -> str:
    r"""Return a name with what can be neither written nor printed escaped, such as bytes that are no UTF-8.

    >>> shown(os.fsdecode(b"caf\xe9.csv"))
    'caf\\udce9.csv'
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in name)


def state_of(path: Path) -> State | None:
    """Return what changes when somebody writes a file; None when it is gone."""
    try:
        stat = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def let_settle(states: Iterable[State | None], quiet_seconds: float) -> None:
    """Wait until the youngest file has lain still for as long as asked, if nobody writes it."""
    youngest = max((state[0] for state in states if state), default=0) / 1e9
    age = max(time.time() - youngest, 0.0)
    if age < quiet_seconds:
        time.sleep(quiet_seconds - age)


def format_of(path: Path) -> Format | None:
    """Return the format that a file's ending promises; None when it promises none."""
    endings = sorted(SUFFIXES, key=len, reverse=True)
    return next((SUFFIXES[ending] for ending in endings if path.name.lower().endswith(ending)), None)


def unread(path: Path) -> str | None:
    """Say what to do about a file that no reader reads; None where its ending promises a format.

    >>> unread(Path("kunden.XLS"))
    'no reader for .xls files: save as .xlsx or .csv'
    >>> unread(Path("kunden.csv"))
    """
    if format_of(path):
        return None
    ending = path.suffix.lower()
    what = f"{ending} files" if ending else "files without an ending"
    return f"no reader for {what}: {REMEDIES.get(ending) or 'deliver one of ' + ', '.join(SUFFIXES)}"


def fingerprint(path: Path, source: Source) -> IncomingFile:
    """Read a file once and name it by what is in it."""
    content, named = hashlib.sha256(), hashlib.sha256(os.fsencode(path.name) + b"\0")
    size, has_nul, state = 0, False, state_of(path)
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            content.update(block)
            named.update(block)
            size += len(block)
            has_nul = has_nul or b"\0" in block
    format_ = format_of(path)
    assert format_ is not None
    file_id = named.hexdigest()[:16]
    return IncomingFile(path, source, format_, file_id, content.hexdigest(), size, has_nul, state)


def unopened(path: Path, source: Source) -> IncomingFile:
    """Return what a name alone tells of a file that must not be opened."""
    format_ = format_of(path)
    assert format_ is not None
    file_id = hashlib.sha256(b"unopened\0" + os.fsencode(path.name)).hexdigest()[:16]
    return IncomingFile(path, source, format_, file_id, content_hash="", size=0)


def batch_id(files: Iterable[IncomingFile]) -> str:
    """Return the id of a set of files received together: the same set, the same id."""
    return hashlib.sha256("".join(sorted(file.file_id for file in files)).encode()).hexdigest()[:16]


def delivered_on(file: IncomingFile, stated: date | None, is_history: bool) -> date | Literal["row"] | None:
    """Return the day with which a file's rows became known; never the clock of this machine.

    In this order: what the caller stated; the date that the shop's file states; each row's own
    business day (``row``) for a history load, by option or by the shop's file, where some row tells
    when it happened; the date in the file's name, of several the latest: before it, such a file was
    not whole. None when nothing says.
    """
    if stated:
        return stated
    if isinstance(file.source.delivered_on, date):
        return file.source.delivered_on
    if file.source.tells_when and (is_history or file.source.delivered_on == "row"):
        return "row"
    return max(_dates_in(file.name), default=None)


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
