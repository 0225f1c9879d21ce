"""Restate a published day: the only way in which what was said about it changes.

Its bi tables are computed anew from what is known as of it now (late deliveries that carry its day,
corrections, other predictions), judged at the border as for a first publish, and take the place of what was
said. What was said stays in ``history/restated/``; later days follow where they compare themselves with it.
"""

from __future__ import annotations

from datetime import date

import warehouse
from cli import GateStoppedError, ShoalError, UsageError
from expectations import gates
from serving import facts
from serving.publish import Outcome, publish
from settings import ShopPaths
from warehouse import steps
from warehouse.build import build_bi


def restate(paths: ShopPaths, as_of: date, reason: str) -> Outcome:
    """Compute a published day anew and publish it in place of what was said.

    Raises
    ------
    UsageError
        When no reason is given, or the day was never published.
    ShoalError
        When leg 1 is not laid out as of that day.
    GateStoppedError
        When the border or a check refuses the new rows; then nothing changes.
    """
    if not reason.strip():
        raise UsageError('a restatement needs a reason that its readers understand: --reason "…"')
    if not facts.folder(paths, as_of).exists():
        raise UsageError(
            f"{as_of} of {paths.shop} was never published, so there is nothing to restate: "
            f"run python -m serving publish --shop {paths.shop} --as-of {as_of}"
        )
    _require_laid_out(paths, as_of)
    build_bi(paths, as_of, is_restating=True)
    try:
        gates.bi(paths, as_of)
        outcome = publish(paths, as_of, restated_because=reason.strip())
    except GateStoppedError:
        # The warehouse's histories were told with the refused rows: tell them again with the published ones.
        build_bi(paths, as_of)
        raise
    _settle(paths, as_of)
    return outcome


def _settle(paths: ShopPaths, as_of: date) -> None:
    """Note that what the restatement told, where it told the newest day, is published now."""
    told = steps.last(paths, "tell newest")
    if told is not None and told["as_of_date"] == as_of.isoformat():
        with warehouse.connect(paths, "serving restate") as connection:
            steps.note(connection, paths, "tell newest", as_of)


def _require_laid_out(paths: ShopPaths, as_of: date) -> None:
    query = "select count(*) from intermediate.int_events_stitched where as_of_date = ?"
    with warehouse.connect(paths, "serving restate", read_only=True) as connection:
        found = connection.execute(query, [as_of]).fetchall()
    if found == [(0,)]:
        day = f"--shop {paths.shop} --as-of {as_of}"
        raise ShoalError(
            f"the warehouse is not laid out as of {as_of}: "
            f"run python -m warehouse build core {day}, then python -m ml score {day}"
        )
