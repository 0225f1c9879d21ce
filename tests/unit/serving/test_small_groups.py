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
    values = f"('2026-03-01', 1, 50, {buyers}, {buyers}, 5, 0, {buyers} / 50)"
    ((_, _, users, *told),) = seen("customer_cohort_monthly", COHORT, values)
    assert users == 50
    assert [value is None for value in told] == [is_hidden] * 5


def test_a_row_of_fewer_than_ten_users_is_not_shown() -> None:
    columns = {"segment_code": "VARCHAR", "users": "BIGINT"}
    assert seen("segment_profile_daily", columns, "('_other', 9), ('loyal', 10)") == [("loyal", 10)]
