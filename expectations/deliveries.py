"""Which landed files the border ``incoming`` judges, and against which.

Judged are the accepted files whose batch has not passed the border yet, else those of the
newest batch. A file that was held and that a person accepted afterwards is not judged again.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    overruled = {line["file_id"] for line in journal.read(paths.ledger) if line["status"] == "held"}
    passed = passed_batches(paths)
    judged = [file for file in accepted if file.batch_id not in passed]
    if not judged and accepted:
        newest = max(accepted, key=lambda file: file.landed_at).batch_id
        judged = [file for file in accepted if file.batch_id == newest]
    return Delivery(
        judged=tuple(file for file in judged if file.file_id not in overruled), accepted=tuple(accepted)
    )


def passed_batches(paths: ShopPaths) -> set[str]:
    """Return the batches of which some validation of this border let everything through."""
    stopped: dict[str, bool] = {}
    batches: dict[str, set[str]] = {}
    for record in journal.read(paths.ops / "data_quality.jsonl"):
        if record["border"] == "incoming":
            check = record["validation_id"]
            stops = record["severity"] == "error" and record["outcome"] in ("fail", "could_not_check")
            stopped[check] = stopped.get(check, False) or stops
            batches.setdefault(check, set()).update(record["batch_ids"])
    return {batch for check, found in batches.items() if not stopped[check] for batch in found}


def _is_known(file: LedgerFile, as_of: date | None) -> bool:
    return as_of is None or file.delivered_on is None or file.delivered_on <= as_of


def _days(file: LedgerFile) -> Iterable[date]:
    return [file.delivered_on] if file.delivered_on else {day.event_date for day in file.tables}
