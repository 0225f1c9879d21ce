"""What is shown of group tables outside SQL: no group of under ten users, and no few buyers of a month."""

from __future__ import annotations

import duckdb
import pytest

from serving.small_groups import shown

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


def seen(table: str, columns: dict[str, str], values: str) -> list[tuple]:
    with duckdb.connect() as connection:
        connection.execute("create schema bi")
        connection.execute(f"create table bi.{table} ({', '.join(f'{n} {k}' for n, k in columns.items())})")
        connection.execute(f"insert into bi.{table} values {values}")
        return connection.sql(shown(table, columns)).fetchall()


@pytest.mark.parametrize(
    ("buyers", "is_hidden"),
    [(0, False), (1, True), (9, True), (10, False), (40, False), (41, True), (49, True), (50, False)],
)
def test_a_month_in_which_one_to_nine_customers_bought_or_did_not_is_hidden(
    buyers: int, is_hidden: bool
) -> None:
    values = f"('2026-03-01', 1, 50, {buyers}, {buyers}, {5 if buyers else 0}, 0, {buyers} / 50)"
    ((_, _, users, *told),) = seen("customer_cohort_monthly", COHORT, values)
    assert users == 50
    assert [value is None for value in told] == [is_hidden] * 5


def test_what_is_refunded_in_a_month_in_which_nobody_bought_is_hidden() -> None:
    ((_, _, _, *told),) = seen("customer_cohort_monthly", COHORT, "('2026-03-01', 1, 50, 0, 0, -5, 0, 0)")
    assert told == [0, 0, None, 0, 0]


def test_a_row_of_fewer_than_ten_users_is_not_shown() -> None:
    columns = {"segment_code": "VARCHAR", "users": "BIGINT"}
    assert seen("segment_profile_daily", columns, "('_other', 9), ('loyal', 10)") == [("loyal", 10)]


FUNNEL = {
    "date": "DATE",
    "scheme": "VARCHAR",
    "segment_code": "VARCHAR",
    "channel": "VARCHAR",
    "users": "BIGINT",
    "checkout_users": "BIGINT",
    "pay_users": "BIGINT",
    "checkout_to_pay_share": "DOUBLE",
    "net_revenue_amount": "DECIMAL(18,2)",
}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        # Eight of forty checked out and paid: their share, and the next smallest, lest a total tells them.
        (
            [(40, 12, 0.2, 90), (40, 30, 0.5, 200), (40, 40, 1.0, 300)],
            [(12, None, 90), (30, None, 200), (40, 1.0, 300)],
        ),
        # Four paid: they, what they paid, and the next smallest, lest another scheme's total tells them.
        (
            [(40, 4, 0.1, 90), (40, 12, 0.25, 90), (40, 30, 0.5, 200)],
            [(None,) * 3, (None,) * 3, (30, 0.5, 200)],
        ),
        # Together they are ten, but who took both steps are not.
        (
            [(40, 4, 0.1, 90), (40, 6, 0.1, 9), (40, 30, 0.5, 200), (40, 40, 1.0, 300)],
            [(None,) * 3, (None,) * 3, (30, None, 200), (40, 1.0, 300)],
        ),
        # Where nobody paid, a refund is somebody's.
        ([(40, 0, 0.0, -35), (40, 0, 0.0, 0)], [(0, 0.0, None), (0, 0.0, 0)]),
    ],
)
def test_what_few_of_a_day_paid_is_hidden(rows: list[tuple], told: list[tuple]) -> None:
    values = ", ".join(
        f"('2026-03-01', 'rfm', 'segment_{place}', 'web', 80, {', '.join(map(str, row))})"
        for place, row in enumerate(rows)
    )
    # Of another channel, whose total is another.
    values += ", ('2026-03-01', 'rfm', 'segment_0', 'app', 80, 40, 20, 0.5, 70)"
    found = {(row[2], row[3]): row[6:] for row in seen("funnel_daily", FUNNEL, values)}
    assert found[("segment_0", "app")] == (20, 0.5, 70)
    assert [found[(f"segment_{place}", "web")] for place in range(len(rows))] == told


PROFILE = {
    "as_of_date": "DATE",
    "scheme": "VARCHAR",
    "segment_code": "VARCHAR",
    "users": "BIGINT",
    "active_last_7_days": "BIGINT",
}


@pytest.mark.parametrize(
    ("active", "told"),
    [
        ({"loyal": 30, "purchased": 12, "aware": 20}, {"loyal": 30, "purchased": 12, "aware": 20}),
        # Four of those who purchased, and the next smallest on their side of what rfm tells, too.
        ({"loyal": 30, "purchased": 4, "aware": 20}, {"aware": 20}),
        # All but four.
        ({"loyal": 30, "purchased": 36, "aware": 20}, {"aware": 20}),
        # Of those who have never ordered nobody else can hide the four.
        ({"loyal": 30, "purchased": 12, "aware": 4}, {"loyal": 30}),
        # What _other stands for has ordered, as not_bought is told beside it.
        ({"champions": 4, "_other": 12, "not_bought": 11}, {"not_bought": 11}),
    ],
)
def test_few_active_users_are_hidden_with_the_next_smallest(
    active: dict[str, int], told: dict[str, int]
) -> None:
    scheme = "rfm" if "not_bought" in active else "lifecycle"
    rows = (f"('2026-03-01', '{scheme}', '{code}', 40, {count})" for code, count in active.items())
    found = {row[2]: row[4] for row in seen("segment_profile_daily", PROFILE, ", ".join(rows))}
    assert {code: count for code, count in found.items() if count is not None} == told
