"""What pages add up, so that no group of fewer than ten users is told of."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.dashboard.views import flows
from serving.groups import LEAST, OTHER


def moves(*rows: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["from_code", "to_code", "users"])


def as_dict(frame: pd.DataFrame) -> dict[tuple[str, str], int]:
    return {(row.from_code, row.to_code): row.users for row in frame.itertuples()}


def test_flows_of_ten_users_stay_as_they_are() -> None:
    told = moves(("a", "a", 10), ("a", "b", 12), ("b", "b", 40))
    assert as_dict(flows.fold(told)) == as_dict(told)


def test_one_small_flow_hides_a_second_of_its_row_and_of_its_column() -> None:
    # a → b is small. Of what leaves a, a → c goes with it; of what reaches b, b → b does.
    told = moves(
        ("a", "a", 90), ("a", "b", 3), ("a", "c", 20), ("b", "b", 50), ("b", "c", 60), ("c", "c", 70)
    )
    shown = as_dict(flows.fold(told))
    assert shown["a", OTHER] == 3 + 20
    assert ("a", "b") not in shown
    assert shown["b", OTHER] == 50
    assert shown["a", "a"] == 90


def test_what_leaves_a_segment_still_adds_up() -> None:
    told = moves(
        ("a", "a", 90), ("a", "b", 3), ("a", "c", 20), ("b", "b", 50), ("b", "c", 60), ("c", "c", 70)
    )
    shown = flows.fold(told)
    assert shown.groupby("from_code")["users"].sum().to_dict() == {"a": 113, "b": 110, "c": 70}


CODES = st.sampled_from("abcd")


@settings(deadline=None)
@given(st.dictionaries(st.tuples(CODES, CODES), st.integers(1, 40), min_size=1))
def test_no_sum_gives_a_small_flow_away(cells: dict[tuple[str, str], int]) -> None:
    told = moves(*((*pair, users) for pair, users in cells.items()))
    shown = flows.fold(told)
    assert (shown["users"] >= LEAST).all()
    for end in ("from_code", "to_code"):
        for code, rows in told.groupby(end):
            visible = shown[(shown[end] == code) & (shown["to_code"] != OTHER)]["users"].sum()
            hidden = rows["users"].sum() - visible
            # All of a segment may be hidden; what is hidden beside something shown is never a few users.
            assert hidden == 0 or hidden >= LEAST or visible == 0
