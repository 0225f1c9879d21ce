"""Folding of small groups: nothing under ten users is said, and totals stay."""

from __future__ import annotations

from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.small_groups import FOLDS, LEAST, folded

PROFILE = {
    "as_of_date": "DATE",
    "scheme": "VARCHAR",
    "segment_code": "VARCHAR",
    "segment_name_en": "VARCHAR",
    "users": "BIGINT",
    "net_revenue_amount": "DECIMAL(18,2)",
    "orders_last_90_days_avg": "DOUBLE",
    "top_category": "VARCHAR",
    "is_folded": "BOOLEAN",
}


def fold_profile(sizes: dict[str, int]) -> list[dict]:
    """Fold one day's segments, each of which brings 1.10 and orders as often a user as it has users."""
    with duckdb.connect() as connection:
        connection.execute("create schema bi")
        columns = ", ".join(f"{name} {kind}" for name, kind in PROFILE.items())
        connection.execute(f"create table bi.segment_profile_daily ({columns})")
        for code, users in sizes.items():
            connection.execute(
                "insert into bi.segment_profile_daily values "
                "('2026-03-01', 'rfm', $code, $code, $users, 1.10 * $users, $users, 'mugs', false)",
                {"code": code, "users": users},
            )
        cursor = connection.execute(folded(FOLDS["segment_profile_daily"], PROFILE))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def shown(sizes: dict[str, int]) -> dict[str, int]:
    return {row["segment_code"]: row["users"] for row in fold_profile(sizes)}


def test_segments_of_ten_users_stay_as_they_are() -> None:
    assert shown({"a": 10, "b": 500}) == {"a": 10, "b": 500}


def test_one_small_segment_takes_the_next_smallest_along() -> None:
    assert shown({"a": 9, "b": 40, "c": 500}) == {"_other": 9 + 40, "c": 500}


def test_small_segments_that_make_ten_together_leave_the_next_one_alone() -> None:
    assert shown({"a": 5, "b": 5, "c": 40}) == {"_other": 5 + 5, "c": 40}


def test_a_folded_row_adds_up_and_tells_nothing_of_one_segment() -> None:
    (row,) = (row for row in fold_profile({"a": 3, "b": 7, "c": 40}) if row["segment_code"] == "_other")
    assert row["net_revenue_amount"] == Decimal("1.10") * (3 + 7)
    assert row["orders_last_90_days_avg"] == pytest.approx((3 * 3 + 7 * 7) / (3 + 7))
    assert (row["top_category"], row["is_folded"], row["folded_count"]) == (None, True, 2)


def test_fewer_than_ten_users_in_all_are_left_out_and_said_to_be() -> None:
    (row,) = fold_profile({"a": 4, "b": 5})
    assert row["is_left_out"]


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 30), min_size=1))
def test_totals_stay_and_nothing_small_is_said(sizes: dict[str, int]) -> None:
    rows = fold_profile(sizes)
    assert sum(row["users"] for row in rows) == sum(sizes.values())
    assert all(row["users"] >= LEAST or row["is_left_out"] for row in rows)
    assert sum(row["is_left_out"] for row in rows) == (sum(sizes.values()) < LEAST)


COHORT = {
    "cohort_month": "DATE",
    "month_number": "INTEGER",
    "users": "BIGINT",
    "buyers": "BIGINT",
    "orders": "BIGINT",
    "net_revenue_amount": "DECIMAL(18,2)",
    "non_product_net_revenue_amount": "DECIMAL(18,2)",
    "retention_share": "DOUBLE",
}


@pytest.mark.parametrize(("buyers", "is_hidden"), [(0, False), (1, True), (9, True), (10, False)])
def test_a_month_in_which_one_to_nine_customers_bought_is_hidden(buyers: int, is_hidden: bool) -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema bi")
        columns = ", ".join(f"{name} {kind}" for name, kind in COHORT.items())
        connection.execute(f"create table bi.customer_cohort_monthly ({columns})")
        connection.execute(
            "insert into bi.customer_cohort_monthly values ('2026-03-01', 1, 50, $n, $n, 5, 0, $n / 50)",
            {"n": buyers},
        )
        ((_, _, users, *told, _, _),) = connection.sql(
            folded(FOLDS["customer_cohort_monthly"], COHORT)
        ).fetchall()
    assert users == 50
    assert [value is None for value in told] == [is_hidden] * 5
