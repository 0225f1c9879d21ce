"""Trainings that MLflow kept waiting: noted in ``ops``, for whoever looks why there is no new model."""

from __future__ import annotations

from contextlib import suppress
from datetime import date

import journal
import settings
from settings import ShopPaths

FILE = "training_wait.jsonl"


def begin(paths: ShopPaths, as_of: date, because: str) -> None:
    """Note that the training for a date waits; of several tries the first one tells since when."""
    if as_of in since(paths):
        return
    with suppress(OSError):  # on a full disk the failure itself must be told
        _append(paths, as_of, because)


def end(paths: ShopPaths, as_of: date) -> None:
    """Note that a date was trained for; who waits with an earlier one has a newer model now."""
    for day in since(paths):
        if day <= as_of:
            _append(paths, day, None)


def since(paths: ShopPaths) -> dict[date, journal.Record]:
    """Return what was noted when each training that waits now began to."""
    found: dict[date, journal.Record] = {}
    for record in journal.read(paths.ops / FILE):
        day = date.fromisoformat(str(record["as_of_date"]))
        found.pop(day, None)
        if record["because"] is not None:
            found[day] = record
    return found


def _append(paths: ShopPaths, as_of: date, because: str | None) -> None:
    record = {
        "recorded_at": journal.now(),
        "run_id": settings.run_id(),
        "dag_run_id": settings.dag_run_id(),
        "as_of_date": as_of,
        "because": because,
    }
    journal.append(paths.ops / FILE, [record])
