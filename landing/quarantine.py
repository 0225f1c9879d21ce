"""The quarantine: bad rows, raw and with every reason, and columns that nothing reads, out of the way.

Both may name people, so they stay in files of mode 0600. What others may see is
:func:`rows`: file, row number, reasons, and the columns that identify nobody.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from cli import ShoalError
from landing import ledger, masks
from landing.shops import Source
from settings import ShopPaths

Row = dict[str, Any]


def path(paths: ShopPaths, name: str) -> Path:
    """Say where a file's bad rows lie; ``name`` is its :func:`landing.ledger.part_name`."""
    return paths.quarantine / f"{name}.jsonl"


def write(paths: ShopPaths, name: str, bad_rows: Iterable[Row]) -> None:
    """Replace a file's bad rows: whole or not at all, readable by the owner alone."""
    paths.quarantine.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = path(paths, name)
    aside = target.with_suffix(".tmp")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in bad_rows)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(target)


def unread_path(paths: ShopPaths, name: str) -> Path:
    """Say where the columns that no mapping reads of a file lie: ``row_number``, and a map of texts."""
    return paths.quarantine / f"{name}.parquet"


def keep(paths: ShopPaths, name: str, parquet: Path) -> None:
    """Put what no mapping reads of a file into place: whole or not at all, readable by the owner alone."""
    paths.quarantine.mkdir(parents=True, exist_ok=True, mode=0o700)
    parquet.chmod(0o600)
    with parquet.open("rb") as file:
        os.fsync(file.fileno())
    parquet.replace(unread_path(paths, name))


def lost(paths: ShopPaths) -> list[ledger.LedgerFile]:
    """Return the files of the ledger whose bad rows are no longer where they were set aside."""
    return [
        file
        for file in _with_bad_rows(paths)
        if not path(paths, ledger.part_name(file.file_id, file.part)).exists()
    ]


def rows(paths: ShopPaths, without: Collection[ledger.LedgerFile] = ()) -> Iterator[Row]:
    """Yield the open quarantine, ``without`` some files, and without anything that names a person.

    Keys: file_id, file_name, table, row_number, reasons, status, columns. ``status`` is
    ``waiting`` for a row whose only fault is that its day has not come, else ``open``.
    Files that do not count (withdrawn, or never committed) are left out.
    """
    for file in _with_bad_rows(paths):
        if file not in without:
            for row in stored(paths, ledger.part_name(file.file_id, file.part)):
                yield _public(file, row)


def _with_bad_rows(paths: ShopPaths) -> Iterator[ledger.LedgerFile]:
    return (
        file for file in ledger.files(paths) if file.rows_quarantined and file.status in ("accepted", "held")
    )


def stored(paths: ShopPaths, name: str) -> Iterator[Row]:
    """Yield bad rows as they were set aside: raw, for landing's own eyes.

    Keys: row_number, table, reasons, due_on (ISO; null unless its day is all that a row waits for),
    columns, raw. ``raw`` maps columns to texts, is a line of jsonl as text, or a list of what stood
    in a row that could not be taken apart.

    Raises
    ------
    ShoalError
        When they are no longer there.
    """
    target = path(paths, name)
    if not target.exists():
        raise ShoalError(
            f"the bad rows in {target} are missing: put that file back from a backup; "
            f"`python -m serving status --shop {paths.shop}` names the delivery, and what to do without one"
        )
    with target.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            yield json.loads(line)


def shown(raw: Row, source: Source) -> Row:
    """Return the columns of a raw row that identify nobody, masked all the same.

    In a row that slipped by a column an identifier stands where it does not belong: a value
    that equals one of the row's identifying columns is hidden everywhere.
    """
    found = {name: value for name in source.reads if (value := _value(raw, name)) is not None}
    secrets = {str(value) for name, value in found.items() if name in source.identifying and value}
    return {
        name: "[hidden]" if str(found[name]) in secrets else masks.mask(str(found[name]))
        for name in sorted(found.keys() - source.identifying)
    }


def _value(raw: Row, name: str) -> Any:
    """Return what a row has under a column's name, or at a JSON pointer."""
    if not name.startswith("/"):
        return raw.get(name)
    found: Any = raw
    for part in name[1:].split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _public(file: ledger.LedgerFile, row: Row) -> Row:
    is_early = all(reason.startswith("future:") for reason in row["reasons"])
    return {
        "file_id": file.file_id,
        "file_name": file.file_name,
        "table": row["table"],
        "row_number": row["row_number"],
        "reasons": row["reasons"],
        "status": "waiting" if is_early else "open",
        "columns": row["columns"],
    }
