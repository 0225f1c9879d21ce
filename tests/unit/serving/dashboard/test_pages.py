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


def test_a_window_of_the_funnel_counts_in_tens_what_few_did_each_day() -> None:
    """On three days 20, 4 and 3 of the segment paid, on one nobody did: 27, of whom 7 are told as ten."""
    days = [(20, 0.5, 200), (4, 1.0, 40), (3, 1.0, 30), (0, None, 0)]
    rows = [
        {"date": f"2026-03-0{day}", "users": 30, "pay_users": paid, "pay_to_review_share": share, "net": net}
        for day, (paid, share, net) in enumerate(days, 1)
    ]
    steps = ", ".join(f"20 as {step}_users" for step in funnel.STEPS if step != "pay")
    shares = ", ".join(f"1.0 as {first}_to_{then}_share" for first, then in funnel.PAIRS[:-1])
    with duckdb.connect() as connection:
        connection.register("told", pd.DataFrame(rows))
        connection.execute(f"""
            create schema bi; create table bi.funnel_daily as
            select date::date as date, 'rfm' as scheme, 'loyal' as segment_code, 'Loyal' as name,
                'web' as channel, users, pay_users, pay_to_review_share, net as net_revenue_amount,
                200 as abandoned_amount, {steps}, {shares}
            from told
        """)
        asked = {"scheme": "rfm", "window": 7, "channel": "all"}
        (row,) = connection.execute(funnel.SUMMED.format(name="name"), asked).df().to_dict("records")
    assert (row["user_days"], row["browse"], row["pay"]) == (4 * 30, 4 * 20, 20 + 10)
    # Half of 20, and of 7 all: those are ten.
    assert row["pay_review"] == 20 / 2 + 10
    # What 30 bring where 27 bring 270.
    assert row["net_revenue_amount"] == 30 * (270 / 27)
    assert row["abandoned_amount"] == 4 * 200
