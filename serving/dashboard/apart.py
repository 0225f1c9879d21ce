"""What sets a segment apart from the average user, from the profile of its day.

Where ``bi.segment_feature_index`` is published, its sentences are shown: it knows the features of each
user, and the profile only what a segment does on average.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from serving.dashboard import looks

if TYPE_CHECKING:
    import pandas as pd

    from serving.dashboard.view import View

MEASURES = {
    "net_revenue_per_user": "money",
    "orders_last_90_days_avg": "decimal",
    "average_order_amount": "money",
    "active_share": "percent",
    "buyers_share": "percent",
    "recency_days_median": "decimal",
    "discount_share": "percent",
    "refund_share": "percent",
    "cart_abandon_share": "percent",
    "review_score_avg": "decimal",
}
"""Measure → how its value is written."""

NOTABLE = math.log(1.15)
"""Closer to the average than 15 % sets nobody apart."""


def measured(profile: pd.DataFrame) -> pd.DataFrame:
    """Return one row per segment and measure: its value, the average over all users, and the index.

    An index of 100 is the average: the mean of the segments' values, weighed by their users, for want of a
    profile's orders also that of an order's amount. What a segment or the shop lacks has no row.

    Parameters
    ----------
    profile
        Rows of one day and scheme of bi.segment_profile_daily.
    """
    import pandas as pd

    frame = profile.assign(
        net_revenue_per_user=profile["net_revenue_amount"] / profile["users"],
        active_share=profile["active_last_7_days"] / profile["users"],
        buyers_share=profile["buyers_last_30_days"] / profile["users"],
    )
    rows = []
    for measure in MEASURES:
        known = frame[frame[measure].notna()]
        weight = known["users"].sum()
        average = (known[measure] * known["users"]).sum() / weight if weight else 0
        for code, value in zip(known["segment_code"], known[measure], strict=True):
            if average > 0:
                rows.append(
                    (code, measure, float(value), float(average), 100 * float(value) / float(average))
                )
    return pd.DataFrame(rows, columns=["segment_code", "measure", "value", "average", "index_100"])


def reasons(view: View, rows: pd.DataFrame, count: int = 2) -> list[str]:
    """Return the measures in which a segment is furthest from the average, in words."""
    distance = rows["index_100"].map(lambda index: abs(math.log(max(index, 1) / 100)))
    furthest = rows[distance > NOTABLE].assign(distance=distance).nlargest(count, "distance")
    return [sentence(view, row) for row in furthest.itertuples()]


def sentence(view: View, row: Any) -> str:
    """Return one measure in words: its value, and the average beside it."""
    return view.say(
        "measure_beside_average",
        measure=view.say(f"measure_{row.measure}"),
        value=written(view, row.measure, row.value),
        average=written(view, row.measure, row.average),
    )


def written(view: View, measure: str, value: float) -> str:
    """Return a measure's value as it is read."""
    kind = MEASURES[measure]
    if kind == "money":
        return view.money(value)
    return looks.percent(value, 0) if kind == "percent" else looks.number(value, 1)


def told(view: View, profile: pd.DataFrame, count: int = 2) -> dict[str, list[str]]:
    """Return what sets each segment of a day apart, by its code."""
    day, scheme = profile["as_of_date"].iloc[0], profile["scheme"].iloc[0]
    found = _indexed(view, day, scheme, count) if view.published.has("segment_feature_index") else {}
    if not found:
        by_code = measured(profile).groupby("segment_code")
        found = {code: reasons(view, rows, count) for code, rows in by_code}
    return found


def _indexed(view: View, day: Any, scheme: str, count: int) -> dict[str, list[str]]:
    rows = view.published.ask(
        "select segment_code, sentence_en, sentence_zh from bi.segment_feature_index "
        "where as_of_date = $day and scheme = $scheme and rank <= $count order by segment_code, rank",
        day=day.to_pydatetime().date(),
        scheme=scheme,
        count=count,
    )
    return {
        code: list(group[f"sentence_{view.language}"].dropna())
        for code, group in rows.groupby("segment_code")
    }
