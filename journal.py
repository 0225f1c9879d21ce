"""Append-only journals: JSON lines that survive a kill at any byte.

A journal is the commit point of landing (``landing/ledger.jsonl``) and the memory
of everything that acted (``ops/*.jsonl``). One append is one write of whole lines
followed by fsync, under an exclusive lock; what a full disk takes only a part of is taken
back. A torn last line, left by a kill inside that write, was never committed: readers skip
it and the next append removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def now() -> str:
    """Return the current time in UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def append(path: Path, records: Iterable[Record]) -> None:
    """Append records as one commit: after this returns, all of them are durable.

    Readers may meet a part of the records while the write is under way; what must
    appear together belongs into one record.
    """
    lines = "".join(json.dumps(record, default=_plain, ensure_ascii=False) + "\n" for record in records)
    if not lines:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        begin = file.seek(_end_of_last_whole_line(file))
        file.truncate()
        try:
            left = memoryview(lines.encode())
            while left:
                left = left[file.write(left) :]
            os.fsync(descriptor)
        except OSError:
            file.truncate(begin)  # on a full disk: some whole lines of a commit would be another commit
            raise


def read(path: Path) -> Iterator[Record]:
    """Yield the committed records, oldest first; an absent journal is an empty one."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _end_of_last_whole_line(file: Any) -> int:
    position = int(file.seek(0, os.SEEK_END))
    while position > 0:
        start = max(0, position - 65536)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0


def _plain(value: object) -> object:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, (Decimal, Path)):
        return str(value)
    raise TypeError(f"{type(value).__name__} {value!r} has no JSON form")
