"""What the border ``bi`` judges by: today's and the previous snapshot, under short names."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb

from expectations.facts import create_header, write_identifying_words
from serving.groups import LEAST

THRESHOLDS = {
    # Shares are doubles that are added up.
    "share_tolerance": 1e-6,
    # Above a quarter, the population stability index calls a shift major (Siddiqi 2006).
    "max_psi": 0.25,
    # An empty segment's share, so that the index stays finite.
    "psi_floor": 0.0005,
    # Twice or half the users within a week is a broken join before it is a trend.
    "max_user_ratio": 2.0,
    "max_previous_age_days": 7,
    # Money is rounded to cents once, when summed, so that cells add up: half a cent may be left.
    "half_a_cent": 0.005,
    "smallest_group": LEAST,
}


def prepare(connection: duckdb.DuckDBPyConnection, as_of: date) -> None:
    """Name today's and the previous snapshot; temporary views need no right to write."""
    oldest = as_of - timedelta(days=int(THRESHOLDS["max_previous_age_days"]))
    previous = connection.execute(
        "select max(as_of_date) from bi.user_segment_daily where as_of_date < ? and as_of_date >= ?",
        [as_of, oldest],
    ).fetchall()[0][0]
    create_header(connection, THRESHOLDS, as_of_date=as_of, previous_as_of_date=previous)
    for view, table, day in (
        ("segment_now", "bi.user_segment_daily", "as_of_date"),
        ("segment_previous", "bi.user_segment_daily", "previous_as_of_date"),
        ("profile_now", "bi.segment_profile_daily", "as_of_date"),
        ("score_now", "bi.user_score_daily", "as_of_date"),
        ("eligible", "ml_inputs.fct_user_features", "as_of_date"),
    ):
        connection.execute(
            f"create temp view {view} as "  # noqa: S608 - names from the list above
            f"select t.* from {table} as t, border as b where t.as_of_date = b.{day}"
        )
    write_identifying_words(connection)
