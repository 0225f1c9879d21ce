"""Tells whether the quality checks ask for newly trained models.

Segments that move fast between two published days mean that people behave otherwise than those the models
learned from. That is a warning and stops nothing; the next chain trains first.
"""

from __future__ import annotations

from datetime import date

import journal
from settings import ShopPaths

EXPECTATION = "expect_stable_segment_shares"


def wanted_because(paths: ShopPaths, as_of: date) -> str | None:
    """Return why models should be trained before an as_of_date is scored; None where nothing asks for it.

    The newest judgement of ``bi`` up to that day counts, unless models were trained since.
    """
    found = [
        record
        for record in journal.read(paths.ops / "data_quality.jsonl")
        if record["expectation"] == EXPECTATION
        and record["as_of_date"]
        and date.fromisoformat(record["as_of_date"]) <= as_of
    ]
    if not found or found[-1]["outcome"] != "fail":
        return None
    trained_at = max((run["recorded_at"] for run in journal.read(paths.ops / "model_run.jsonl")), default="")
    if trained_at > found[-1]["checked_at"]:
        return None
    return f"segments moved fast as of {found[-1]['as_of_date']}: {found[-1]['observed']}"
