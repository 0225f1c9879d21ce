"""What pages make of rows in which something is not told."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import duckdb
import pandas as pd

from serving.dashboard import view
from serving.dashboard.view import View
from serving.dashboard.views import funnel, runs, segment, segments


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


def test_a_funnel_leaves_out_what_few_did_and_the_next_smallest_where_these_are_few_together() -> None:
    """Four paid in one segment: beside the total of another scheme the next segment hides them."""
    told = {"browse": 90, "click": 80, "cart": 60, "checkout": 40, "pay": 30, "review": 0}
    parts = {f"{first}_{then}": float(told[then]) for first, then in funnel.PAIRS}
    row = {**told, **parts, "net_revenue_amount": 500, "abandoned_amount": 70}
    rows = pd.DataFrame(
        [
            {**row, "segment_code": "loyal"},
            {**row, "segment_code": "purchased", "pay": 12, "checkout_pay": 11.0},
            {**row, "segment_code": "aware", "pay": 4, "checkout_pay": 4.0},
            {**row, "segment_code": "interested", "pay": 0, "checkout_pay": 0.0, "click_cart": 7.0},
        ]
    )
    found = funnel.told_steps(rows).set_index("segment_code")
    assert found["pay"].isna().to_dict() == {
        "loyal": False,
        "purchased": True,
        "aware": True,
        "interested": False,
    }
    for column in ("checkout_pay", "pay_review"):
        assert found[column].isna().tolist()[1:3] == [True, True], column
    # Refunds alone are some few's, too.
    assert found["net_revenue_amount"].isna().tolist() == [False, True, True, True]
    assert found["click_cart"].isna().tolist() == [False, False, False, True]
    assert found[["browse", "click", "cart", "checkout", "abandoned_amount"]].notna().all(axis=None)


def test_what_journals_hold_is_told_in_the_readers_language_and_codes_stay() -> None:
    rows = pd.DataFrame(
        {
            "border": ["bi", "incoming"],
            "severity": ["error", "warning"],
            "expectation": ["expect_no_small_group", "expect_usual_daily_volume"],
            "expected": ["no group of under ten users is told, but in a shop that has no more", None],
            "observed": ["rfm on 2026-05-01: 1 groups under 10 users", "as expected"],
            "table_name": ["funnel_daily", "events"],
        }
    )
    nobody: Any = None
    told = runs._told(View(nobody, "zh", ""), rows)
    assert told.astype(object).where(told.notna(), None).to_dict("list") == {
        "border": ["BI 数据", "数据接收"],
        "severity": ["错误", "警告"],
        "expectation": ["expect_no_small_group", "expect_usual_daily_volume"],
        "expected": ["不显示少于十个用户的群组，除非店铺总共不足十人", None],
        "observed": ["rfm（2026-05-01）：1 个群组少于 10 个用户", "符合预期"],
        "table_name": ["funnel_daily", "events"],
    }
    assert runs._told(View(nobody, "en", ""), rows).equals(rows)


def test_a_cell_without_a_figure_says_so_in_no_language(monkeypatch: Any) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(view.st, "dataframe", lambda frame, **options: drawn.update(options))
    monkeypatch.setattr(view.st, "download_button", lambda *_, **__: None)
    version: Any = SimpleNamespace(shop="simulated", as_of_date="2026-05-01")
    rows = pd.DataFrame({"users": [12, None]})
    view.table(View(version, "zh", ""), rows, "flows", {"users": ("用户", "number")})
    assert drawn["placeholder"] == "–"
