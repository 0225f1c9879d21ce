"""The ledger: one line per decision about a file, and the commit point of landing.

A line lists everything about its file, the days it touched included, so that one append
commits all of it. Nothing is ever edited: a later line with the same ``file_id`` wins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict

import journal
from cli import UsageError
from landing import shops
from settings import ShopPaths

Status = Literal["waiting", "refused", "accepted", "held", "withdrawn"]


class LandedDay(BaseModel):
    """The child ledger: how many rows of a file went into one table's day."""

    model_config = ConfigDict(frozen=True)

    table: str
    event_date: date
    rows_written: int


class LedgerFile(BaseModel):
    """The latest decision about one file.

    ``delivered_on`` is None where every row was delivered on its own business day, as in a
    history load; ``delivers`` names the tables that the file speaks for, even with no rows.
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


def files(paths: ShopPaths) -> list[LedgerFile]:
    """Return the latest state of every file, in the order of their first decision."""
    latest = {line["file_id"]: line for line in journal.read(paths.ledger)}
    return [LedgerFile.model_validate(line) for line in latest.values()]


def accepted(paths: ShopPaths) -> list[LedgerFile]:
    """Return the files that count."""
    return [file for file in files(paths) if file.status == "accepted"]


def commit(paths: ShopPaths, decisions: Iterable[LedgerFile]) -> None:
    """Append decisions; once this returns, they hold."""
    journal.append(paths.ledger, [decision.model_dump(mode="json") for decision in decisions])


def set_status(paths: ShopPaths, file_ids: Iterable[str], status: Status, reasons: Iterable[str]) -> None:
    """Hold, withdraw or accept files again, by one further line each.

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
    change = {"status": status, "reasons": tuple(reasons), "decided_at": journal.now()}
    commit(paths, [known[file_id].model_copy(update=change) for file_id in wanted])


def latest_complete_day(shop: str) -> date | None:
    """Return the last day for which every daily table has an accepted delivery; None if there is none."""
    return max(complete_days(shop), default=None)


def first_day(shop: str) -> date | None:
    """Return the first complete day.

    Not the earliest row: one mistyped year must not lengthen the shop's history.
    """
    return min(complete_days(shop), default=None)


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
