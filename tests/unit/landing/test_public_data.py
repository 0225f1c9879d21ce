"""Public data sets of other shops, by the files in ``shops/`` alone, against the facts known of them."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date
from decimal import Decimal

import duckdb
import pytest

from landing import ledger, quarantine, shops
from landing.receive import receive
from settings import ShopPaths

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


class Landed:
    """What landing made of one shop's folder."""

    def __init__(self, name, folder):
        shops.load.cache_clear()
        self.report = receive(shops.load(name), folder)
        self.folder = ShopPaths(name).landing
        self.days = ledger.first_day(name), ledger.latest_complete_day(name)
        self.quarantined = list(quarantine.rows(ShopPaths(name)))

    def counts(self):
        """Return rows in, good, quarantined and repeated by source."""
        return {
            file.source: (file.rows_in, file.rows_good, file.rows_quarantined, file.rows_duplicate)
            for file in self.report.landed
        }

    def row(self, query, table):
        """Return one row of an aggregate over a landed table."""
        return self.rows(f"select {query} from landed", table)[0]

    def rows(self, query, *tables):
        """Return the rows of a query over ``landed``, one landed table or several under one another."""
        files = [str(path) for table in tables for path in (self.folder / table).glob("*/*.parquet")]
        with duckdb.connect() as connection:
            connection.read_parquet(files, union_by_name=True).create("landed")
            return connection.execute(query).fetchall()


@contextmanager
def _landed(name, folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp(name)))
        yield Landed(name, folder)


# --- REES46: views, carts and purchases in one csv


@pytest.fixture(scope="module")
def rees46(real_data, tmp_path_factory):
    with _landed("rees46", real_data / "rees46_multi_category_2019oct_head", tmp_path_factory) as landed:
        yield landed


def test_rees46_loses_no_row(rees46):
    assert rees46.counts() == {"month": (17_434, 17_434 - 5, 0, 5)}
    assert rees46.quarantined == []
    assert rees46.days == (date(2019, 10, 1), date(2019, 10, 1))


def test_rees46_purchases_are_orders_and_the_rest_events(rees46):
    (lines,) = rees46.row("count(*)", "order_lines")
    assert rees46.row("count(*)", "events") == (17_434 - 5 - lines,)
    # Two of the five repeats at most are purchases.
    assert 214 - 5 <= lines <= 214
    assert rees46.row("count(*) = count(distinct order_id)", "orders") == (True,)
    assert rees46.row("count(distinct event_type), bool_and(event_type in ('view', 'cart'))", "events") == (
        2,
        True,
    )


def test_rees46_keeps_its_users_apart(rees46):
    found = rees46.rows("select count(distinct user_key) from landed", "events", "orders")
    assert found == [(4_504,)]


# --- UCI e-shop clothing: clicks in a csv with semicolons


@pytest.fixture(scope="module")
def eshop(real_data, tmp_path_factory):
    with _landed("eshop_clothing", real_data / "uci_eshop_clothing_2008", tmp_path_factory) as landed:
        yield landed


def test_eshop_clothing_loses_no_click(eshop):
    assert eshop.counts() == {"clicks": (151_326, 151_326, 0, 0)}
    assert eshop.days == (date(2008, 4, 1), date(2008, 7, 31))
    assert eshop.row("count(*), count(distinct device_key)", "events") == (151_326, 22_102)


def test_eshop_clothing_keeps_the_order_of_the_clicks(eshop):
    # The file lists each session's clicks in order: so must their times.
    window = "lag(occurred_at) over (partition by device_key order by row_number)"
    times = f"select occurred_at, {window} as earlier from landed"
    found = eshop.rows(f"select count(*) from ({times}) where occurred_at <= earlier", "events")
    assert found == [(0,)]


# --- Complete Journey: eight Parquet tables of a grocer


@pytest.fixture(scope="module")
def journey(real_data, tmp_path_factory):
    with _landed("complete_journey", real_data / "complete_journey", tmp_path_factory) as landed:
        yield landed


def test_complete_journey_loses_no_row(journey):
    assert journey.counts() == {
        "transactions": (75_000, 75_000, 0, 0),
        "products": (92_331, 92_331, 0, 0),
        "demographics": (801, 801, 0, 0),
        "campaigns": (6_589, 6_589, 0, 0),
    }
    assert journey.quarantined == []


def test_complete_journey_ignores_by_name_what_has_no_home(journey):
    assert sorted(path.name.split(".")[0].removesuffix("_sample") for path in journey.report.ignored) == [
        *("UPSTREAM_DESCRIPTION", "campaign_descriptions", "coupon_redemptions", "coupons", "promotions")
    ]


def test_complete_journey_takes_to_the_cent_what_the_grocer_took(journey):
    net = "sum((quantity * unit_price_amount - discount_amount)::decimal(18, 4)), min(discount_amount)"
    assert journey.row(net, "order_lines") == (Decimal("233935.2400"), Decimal("0.0000"))


def test_complete_journey_has_its_households_and_baskets(journey):
    assert journey.row("count(*), count(distinct user_key)", "orders") == (47_243, 2_377)
    assert journey.row("count(distinct user_key)", "customers") == (801,)


def test_complete_journey_shops_by_day(journey):
    """Its times are UTC: in New York hardly anybody buys between one and six in the morning."""
    hour = "hour(timezone('America/New_York', timezone('UTC', ordered_at)))"
    (share,) = journey.row(f"avg(({hour} between 1 and 5)::integer)", "orders")
    assert share < 0.02
    assert journey.days == (date(2017, 1, 1), date(2017, 12, 31))


def test_complete_journey_knows_its_catalogue_from_the_first_day(journey):
    for table in ("products", "customers"):
        assert journey.row("min(delivered_on), max(delivered_on)", table) == (
            date(2017, 1, 1),
            date(2017, 1, 1),
        )


def test_complete_journey_contacts_households_when_a_campaign_starts(journey):
    assert journey.row("count(*), count(distinct campaign_id), min(event_date)", "campaign_contacts") == (
        *(6_589, 27, date(2016, 11, 14)),
    )


# --- OTTO: nested jsonl


@pytest.fixture(scope="module")
def otto(real_data, tmp_path_factory):
    with _landed("otto", real_data / "otto_fixture", tmp_path_factory) as landed:
        yield landed


def test_otto_loses_no_event_of_a_session(otto):
    assert otto.counts() == {"sessions": (862, 862, 0, 0)}
    assert otto.row("count(*) filter (where event_type = 'view'), count(*)", "events") == (800, 800 + 52)
    assert otto.row("count(*)", "order_lines") == (10,)
    assert otto.row("count(distinct device_key)", "events") == (20,)


def test_otto_orders_hold_what_was_bought_at_one_instant(otto):
    (orders,) = otto.row("count(*)", "orders")
    (bought_at_once,) = otto.row("count(distinct (order_id, ordered_at))", "order_lines")
    assert orders == bought_at_once < 10
