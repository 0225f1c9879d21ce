"""The ledger: one line per decision about a file, and the commit point of landing.

A line lists everything about its file, the days it touched included, so that one append
commits all of it. Nothing is ever edited: a later line with the same ``file_id`` wins.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

import journal
from cli import UsageError
from landing import shops
from settings import ShopPaths

WAIT = "wait"
"""Begins the id of a file that waits; ids of contents are hexadecimal."""

ENDING = f"({'|'.join(map(re.escape, sorted(shops.SUFFIXES, key=len, reverse=True)))})$"

Status = Literal["waiting", "refused", "accepted", "held", "withdrawn"]


class LandedDay(BaseModel):
    """The child ledger: how many rows of a file went into one table's day."""

    model_config = ConfigDict(frozen=True)

    table: str
    event_date: date
    rows_written: int
    part: int = 0

    def path(self, paths: ShopPaths, file_id: str) -> Path:
        """Say where these rows lie; what a replay adds lies beside what was landed before it."""
        return (
            paths.landing
            / self.table
            / self.event_date.isoformat()
            / f"{part_name(file_id, self.part)}.parquet"
        )


def part_name(file_id: str, part: int) -> str:
    """Name what a file's landing (part 0) or its n-th replay wrote."""
    return f"{file_id}-{part}" if part else file_id


class LedgerFile(BaseModel):
    """The latest decision about one file.

    ``delivered_on`` is None where every row was delivered on its own business day, as in a
    history load; ``delivers`` names the tables that the file speaks for, even with no rows.
    ``part`` counts its replays; ``due_on`` is the first day on which a waiting row comes due;
    ``held_at`` is the border that held it; ``folder`` is where it was found, ``is_history`` whether it was
    to be received as a history load. A file that waits has no content yet: ``landed_at`` says since when.
    """

    model_config = ConfigDict(frozen=True)

    file_id: str
    batch_id: str
    shop: str
    source: str
    file_name: str
    content_hash: str
    status: Status
    rows_in: int = 0
    rows_good: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    delivered_on: date | None = None
    landed_at: str
    contract_version: str
    mapping_version: str
    delivers: tuple[str, ...] = ()
    tables: tuple[LandedDay, ...] = ()
    reasons: tuple[str, ...] = ()
    unused_columns: tuple[str, ...] = ()
    decided_at: str
    part: int = 0
    due_on: date | None = None
    held_at: Literal["landing", "incoming"] | None = None
    folder: str | None = None
    is_history: bool = False

    @property
    def name_order(self) -> str:
        """Its name as people count, without its ending: of two files of a day the later named one corrects.

        >>> names = ["o_10.csv", "o.csv", "o-2.csv.gz", "o_9.csv"]
        >>> by_name = {LedgerFile.model_construct(file_name=name).name_order: name for name in names}
        >>> [by_name[order] for order in sorted(by_name)]
        ['o.csv', 'o-2.csv.gz', 'o_9.csv', 'o_10.csv']
        """
        stem = re.sub(ENDING, "", self.file_name, flags=re.IGNORECASE)
        return re.sub(r"\d+", lambda number: number[0].zfill(20), stem)


def files(paths: ShopPaths, until: str | None = None) -> list[LedgerFile]:
    """Return the latest state of every file, in the order of their first decision.

    A file that waited is told as what it became. ``until`` leaves out what was decided after that moment.
    """
    latest: dict[str, journal.Record] = {}
    last_of_name: dict[str, journal.Record] = {}
    for line in journal.read(paths.ledger):
        if until is not None and line["decided_at"] > until:
            continue
        latest[line["file_id"]] = last_of_name[line["file_name"]] = line
    return [
        LedgerFile.model_validate(line)
        for file_id, line in latest.items()
        if not is_wait(file_id) or (line["status"] == "waiting" and last_of_name[line["file_name"]] is line)
    ]


def unsettled(paths: ShopPaths) -> list[LedgerFile]:
    """Return what is refused, held or waiting, unless a later file of the same name was accepted."""
    found = files(paths)
    mended: dict[str, str] = {}
    for file in found:
        if file.status == "accepted":
            mended[file.file_name] = max(file.decided_at, mended.get(file.file_name, ""))
    open_ = (file for file in found if file.status in ("refused", "held", "waiting"))
    return [file for file in open_ if file.decided_at > mended.get(file.file_name, "")]


def choose(paths: ShopPaths, name: str) -> list[LedgerFile]:
    """Return the files that a person means: those of a batch, else one file by id, else by name.

    Raises
    ------
    UsageError
        When the ledger knows no such batch or file.
    """
    found = files(paths)
    for key in ("batch_id", "file_id", "file_name"):
        if chosen := [file for file in found if getattr(file, key) == name]:
            return chosen
    raise UsageError(
        f"no batch or file {name!r} in {paths.ledger}: "
        f"`python -m landing ledger --shop {paths.shop}` lists them"
    )


def wait_id(file_name: str) -> str:
    """Name a file that waits by its name: its content may still change."""
    return WAIT + hashlib.sha256(os.fsencode(file_name)).hexdigest()[:12]


def is_wait(file_id: str) -> bool:
    """Whether a line tells of a file that waited."""
    return file_id.startswith(WAIT)


def accepted(paths: ShopPaths) -> list[LedgerFile]:
    """Return the files that count."""
    return [file for file in files(paths) if file.status == "accepted"]


def commit(paths: ShopPaths, decisions: Iterable[LedgerFile]) -> None:
    """Append decisions; once this returns, they hold."""
    journal.append(paths.ledger, [decision.model_dump(mode="json") for decision in decisions])


def set_status(paths: ShopPaths, file_ids: Iterable[str], status: Status, reasons: Iterable[str]) -> None:
    """Hold files at the border ``incoming``, withdraw or accept them, by one further line each.

    What held an accepted file stays written: the border does not judge it again.

    Raises
    ------
    UsageError
        When a file is not in the ledger; then nothing is changed.
    """
    known = {file.file_id: file for file in files(paths)}
    wanted = list(dict.fromkeys(file_ids))
    if unknown := [file_id for file_id in wanted if file_id not in known]:
        raise UsageError(
            f"no file {', '.join(unknown)} in {paths.ledger}: "
            f"`python -m landing ledger --shop {paths.shop}` lists them"
        )
    change: dict[str, Any] = {"status": status, "reasons": tuple(reasons), "decided_at": journal.now()}
    if status == "held":
        change["held_at"] = "incoming"
    commit(paths, [known[file_id].model_copy(update=change) for file_id in wanted])


def latest_complete_day(shop: str) -> date | None:
    """Return the last day for which every daily table has an accepted delivery; None if there is none."""
    return max(complete_days(shop), default=None)


def first_day(shop: str) -> date | None:
    """Return the first complete day.

    Not the earliest row: one mistyped year must not lengthen the shop's history.
    """
    return min(complete_days(shop), default=None)


def last_delivery(paths: ShopPaths) -> date | None:
    """Return the latest day of which anything was delivered, whatever was decided about it."""
    return max(
        (day for file in files(paths) for table in file.delivers for day in _days(file, table)), default=None
    )


def complete_days(shop: str) -> set[date]:
    """Return the days on which every table that the shop calls daily was delivered."""
    delivered: dict[str, set[date]] = defaultdict(set)
    for file in accepted(ShopPaths(shop)):
        for table in file.delivers:
            delivered[table] |= _days(file, table)
    return set.intersection(*(delivered[table] for table in shops.load(shop).daily))


def _days(file: LedgerFile, table: str) -> set[date]:
    if file.delivered_on is not None:
        return {file.delivered_on}
    return {day.event_date for day in file.tables if day.table == table}
