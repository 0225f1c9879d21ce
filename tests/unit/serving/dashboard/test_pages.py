"""What pages make of rows in which something is not told."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import duckdb

from serving.dashboard.views import runs, segment, segments


def test_a_segment_of_which_no_category_is_known_tells_its_channel_alone() -> None:
    """Where another segment of the same day has one, pandas says NaN and not None."""
    told = [("tea", "web"), (None, "web"), (None, None)]
    profile = duckdb.execute(
        "select unnest($1, recursive := true)",
        [[{"top_category": category, "top_channel": channel} for category, channel in told]],
    ).df()
    assert [segment.favourites(row) for _, row in profile.iterrows()] == ["tea · web", "web", ""]


def test_quarantined_rows_of_no_table_are_counted_together() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "create schema ops; create table ops.quarantine (table_name text, status text, reasons text)"
        )
        for table in (None, None, "orders"):
            connection.execute("insert into ops.quarantine values (?, 'open', 'a')", [table])
        rows = connection.execute(runs.QUARANTINE, {"no_table": "of no table"}).fetchall()
    assert sorted(rows) == [("of no table", "open", "a", 2), ("orders", "open", "a", 1)]


def test_bars_are_drawn_beside_the_longest_and_name_each_segment_as_it_is() -> None:
    """The second brings less than nothing: what it bought, and more, came back."""
    told = [("<Tea> lovers", 1.25, 0.5), ("Returners", -0.25, 0.5)]
    columns = ("segment_name", "revenue_share", "user_share")
    profile = duckdb.execute(
        "select unnest($1, recursive := true)", [[dict(zip(columns, row, strict=True)) for row in told]]
    ).df()
    view: Any = SimpleNamespace(name="segment_name", say=str)
    drawn = segments.bars(view, profile)
    assert re.findall(r'class="(\w+)" style="width:([\d.]+)%"></i>(-?\d+) %', drawn) == [
        ("money", "100.0", "125"),
        ("users", "40.0", "50"),
        ("money", "0.0", "-25"),
        ("users", "40.0", "50"),
    ]
    assert "&lt;Tea&gt; lovers" in drawn
    assert "<Tea>" not in drawn
