"""Online Retail, the real files, against the facts that are known of them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import duckdb
import pytest

from landing import ledger, quarantine, shops
from landing.receive import receive
from settings import ShopPaths

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.fixture(scope="module")
def landed(tmp_path_factory, real_data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("online_retail")))
        shops.load.cache_clear()
        report = receive(shops.load("online_retail"), real_data / "online_retail" / "daily")
        paths = ShopPaths("online_retail")
        with duckdb.connect() as connection:
            for table in ("orders", "order_lines", "refunds", "products", "customers"):
                files = [str(path) for path in (paths.landing / table).glob("*/*.parquet")]
                connection.read_parquet(files).create(table)
            days = ledger.first_day("online_retail"), ledger.latest_complete_day("online_retail")
            yield report, connection, days, list(quarantine.rows(paths))


def one(connection, query):
    return connection.execute(query).fetchone()[0]


def test_every_row_is_accounted_for(landed):
    files = landed[0].landed
    assert len(files) == 219
    assert sum(file.rows_in for file in files) == 320_705
    assert sum(file.rows_duplicate for file in files) == 2_483
    assert sum(file.rows_quarantined for file in files) == 3
    assert sum(file.rows_good for file in files) == 320_705 - 2_483 - 3


def test_only_bad_debt_is_quarantined(landed):
    assert len(landed[3]) == 3
    for row in landed[3]:
        assert "bad_debt_adjustment" in row["reasons"]
        assert row["columns"]["InvoiceNo"].startswith("A")
        assert "CustomerID" not in row["columns"]


def test_sales_minus_refunds_of_known_customers_agree(landed):
    sales = """
        select sum(quantity * unit_price_amount)
        from order_lines join orders using (order_id) where user_key is not null
    """
    refunds = "select sum(refund_amount) from refunds where user_key is not null"
    assert one(landed[1], sales) - one(landed[1], refunds) == Decimal("4907502.312")


def test_every_good_row_is_one_line_or_one_refund(landed):
    connection = landed[1]
    lines, refunds = (
        one(connection, "select count(*) from order_lines"),
        one(connection, "select count(*) from refunds"),
    )
    assert lines + refunds == 320_705 - 2_483 - 3
    assert one(connection, "select count(distinct order_id) from orders") == one(
        connection, "select count(*) from orders"
    )
    assert one(connection, "select count(*) from order_lines anti join orders using (order_id)") == 0


def test_customers_are_those_known(landed):
    assert one(landed[1], "select count(distinct user_key) from customers") == 3_360


def test_codes_that_are_no_goods_are_told_apart(landed):
    goods = dict(
        landed[1].execute("select product_id, bool_and(is_product) from products group by 1").fetchall()
    )
    for code in ("POST", "DOT", "M", "C2", "D", "S", "AMAZONFEE", "BANK CHARGES", "gift_0001_20"):
        assert goods[code] is False, code
    assert goods["85123A"] is True
    assert sum(not is_product for is_product in goods.values()) < 25


def test_days_are_trading_days(landed):
    assert landed[2] == (date(2010, 12, 1), date(2011, 8, 31))
