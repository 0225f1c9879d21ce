"""Which landed files the border ``incoming`` judges, and against which.

Judged are the accepted files whose batch has not passed the border yet, else those of the
newest batch. A file that this border held and that a person accepted afterwards is not judged again, and one
that delivers no day never.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import journal
from landing.ledger import LedgerFile
from landing.ledger import files as ledger_files
from settings import ShopPaths


@dataclass(frozen=True)
class Delivery:
    """What is judged, and what it is judged against."""

    judged: tuple[LedgerFile, ...]
    accepted: tuple[LedgerFile, ...]

    @property
    def batch_ids(self) -> list[str]:
        """The batches that the judged files came in."""
        return sorted({file.batch_id for file in self.judged})

    @property
    def newest_day(self) -> date | None:
        """The last business day that the judged files deliver."""
        return max((day for file in self.judged for day in _days(file)), default=None)


def find(paths: ShopPaths, as_of: date | None = None) -> Delivery:
    """Find the files to judge: those of batches that have not passed yet, else of the newest batch."""
    accepted = [file for file in ledger_files(paths) if file.status == "accepted" and _is_known(file, as_of)]
    passed = passed_batches(paths)
    judged = [file for file in accepted if not _has_passed(file, passed)]
    if not judged and accepted:
        newest = max(accepted, key=lambda file: file.landed_at).batch_id
        judged = [file for file in accepted if file.batch_id == newest]
    # A history without a row delivers no day: there is nothing to judge.
    judged = [file for file in judged if file.held_at != "incoming" and any(_days(file))]
    return Delivery(judged=tuple(judged), accepted=tuple(accepted))


def passed_batches(paths: ShopPaths) -> dict[str, date]:
    """Return the batches that some validation of this border let through, and up to which day."""
    validations: dict[str, list[journal.Record]] = {}
    for record in journal.read(paths.ops / "data_quality.jsonl"):
        if record["border"] == "incoming":
            validations.setdefault(record["validation_id"], []).append(record)
    passed: dict[str, date] = {}
    for records in validations.values():
        if not any(_stops(record) for record in records):
            day = date.fromisoformat(records[0]["as_of_date"])
            for batch_id in records[0]["batch_ids"]:
                passed[batch_id] = max(day, passed.get(batch_id, day))
    return passed


def _stops(record: journal.Record) -> bool:
    return record["severity"] == "error" and record["outcome"] in ("fail", "could_not_check")


def _has_passed(file: LedgerFile, passed: Mapping[str, date]) -> bool:
    """Whether the file was among those judged: a validation as of a day leaves out the later files."""
    if file.batch_id not in passed:
        return False
    return file.delivered_on is None or file.delivered_on <= passed[file.batch_id]


def _is_known(file: LedgerFile, as_of: date | None) -> bool:
    return as_of is None or file.delivered_on is None or file.delivered_on <= as_of


def _days(file: LedgerFile) -> Iterable[date]:
    return [file.delivered_on] if file.delivered_on else {day.event_date for day in file.tables}
