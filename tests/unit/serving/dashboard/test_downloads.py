"""A table taken away from the dashboard: what the log of exports says of it, and what if it can't."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import journal
from serving.dashboard.view import folded_count
from serving.groups import OTHER
from settings import ShopPaths


def page() -> None:
    """Show one table, as Streamlit runs it: three segments, the last of them several small ones."""
    from datetime import UTC, date, datetime

    import pandas as pd

    from serving.dashboard.published import Published
    from serving.dashboard.view import View, table

    day = date(2026, 3, 1)
    view = View(Published("simulated", "v7", day, datetime.now(UTC), None, False), "en", "EUR")
    codes = {"segment_code": ["champions", "promising", "_other"], "users": [40, 20, 12]}
    table(view, pd.DataFrame(codes), "segments_rfm", {"users": ("users", "number")})


@pytest.fixture
def paths(data_dir: Path) -> ShopPaths:
    return ShopPaths("simulated")


def clicked() -> AppTest:
    opened = AppTest.from_function(page, default_timeout=60).run()
    assert not opened.exception
    (button,) = opened.get("download_button")
    return button.click().run()


def test_a_download_is_logged_with_its_rows_and_those_that_are_folded(paths: ShopPaths) -> None:
    assert not clicked().toast
    (noted,) = journal.read(paths.ops / "export_log.jsonl")
    assert noted.pop("exported_at")
    assert noted == {
        "run_id": None,
        "shop": "simulated",
        "command": "serving dashboard",
        "form": "csv",
        "target": "dashboard",
        "version": "v7",
        "as_of_date": "2026-03-01",
        "table": "segments_rfm",
        "row_count": 3,
        "folded_count": 1,
        "left_out_count": None,  # nobody asks a page how many it was not told of
        "has_user_keys": False,
    }


def test_a_look_alone_is_no_export(paths: ShopPaths) -> None:
    AppTest.from_function(page, default_timeout=60).run()
    assert not paths.ops.exists()


def test_a_download_that_cannot_be_logged_is_had_all_the_same_and_said(paths: ShopPaths) -> None:
    paths.root.mkdir(parents=True)
    paths.ops.write_text("no folder")  # even root can't write below a file
    shown = clicked()
    assert not shown.exception and shown.get("download_button")
    (said,) = shown.toast
    assert "could not be noted in ops/export_log.jsonl" in said.value


@pytest.mark.parametrize(
    ("frame", "folded"),
    [
        ({"users": [40, 12]}, 0),
        ({"from_code": ["a", OTHER, "a"], "to_code": ["b", OTHER, OTHER]}, 2),
        ({"is_folded": [False, True], "name": ["Promising", "Others"]}, 1),
        ({"channel": [OTHER, OTHER], "is_folded": [True, False]}, 2),
        ({"segment_code": []}, 0),
    ],
)
def test_a_row_is_folded_by_its_codes_or_because_it_says_so(frame: dict[str, list[str]], folded: int) -> None:
    assert folded_count(pd.DataFrame(frame)) == folded
