"""Every expectation of the border `incoming`, seen red by a spoiled file, and quiet without one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import duckdb
import pytest
from tests.unit.expectations.shop_feed import KEY, TODAY, Feed, rows

import journal
from expectations import gates, incoming
from expectations.validate import Outcome
from landing import ledger
from settings import ShopPaths

Spoiler = Callable[[Feed], None]


def lose_a_source_row(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY), rows_in=101)


def write_fewer_rows_than_told(feed: Feed) -> None:
    told = [{"table": "events", "event_date": TODAY, "rows_written": 100}]
    feed.file("events", TODAY, "b-today", rows("events", TODAY, 99), rows_in=100, rows_good=100, tables=told)


def send_a_tenth_of_a_day(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY, 10, user_key=KEY))


def forget_who_the_users_are(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY, user_key=None))


def write_cents_for_euros(feed: Feed) -> None:
    feed.file("order_lines", TODAY, "b-today", rows("order_lines", TODAY, unit_price_amount=1000))


def invent_a_word(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY, event_type="teleport"))


def quarantine_six_of_a_hundred(feed: Feed) -> None:
    counts = {"rows_in": 100, "rows_good": 94, "rows_quarantined": 6}
    feed.file("events", TODAY, "b-today", rows("events", TODAY, 94), **counts)


def search_for_an_address(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY, query="order of ann@example.org"))


def leave_a_raw_customer_id(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY, user_key="customer-17"))


def stay_silent_for_four_days(feed: Feed) -> None:
    for later in range(1, 4):
        feed.file("orders", TODAY + timedelta(days=later), "b-today", rows("orders", TODAY))
        feed.file("order_lines", TODAY + timedelta(days=later), "b-today", rows("order_lines", TODAY))


def come_without_events(feed: Feed) -> None:
    feed.file("orders", TODAY, "b-today", rows("orders", TODAY))


# Which expectation a spoiler makes fail; a spoiler may rightly trip a second one.
SPOILERS: dict[type, tuple[Spoiler, set[type]]] = {
    incoming.ExpectSourceRowsToBeConserved: (lose_a_source_row, set()),
    incoming.ExpectLandedRowsToEqualTheLedger: (write_fewer_rows_than_told, set()),
    incoming.ExpectDailyVolumeNearItsTrailingMedian: (send_a_tenth_of_a_day, set()),
    incoming.ExpectUnknownUserShareNearItsPast: (forget_who_the_users_are, set()),
    incoming.ExpectAmountsInTheirUsualRange: (write_cents_for_euros, set()),
    incoming.ExpectKnownVocabularyOnly: (invent_a_word, set()),
    incoming.ExpectFewQuarantinedRows: (quarantine_six_of_a_hundred, set()),
    incoming.ExpectNoContactDetailsInText: (search_for_an_address, set()),
    incoming.ExpectPseudonymsForKeys: (leave_a_raw_customer_id, {incoming.ExpectUnknownUserShareNearItsPast}),
    incoming.ExpectDailyTablesToBeFresh: (stay_silent_for_four_days, set()),
    incoming.ExpectDailyTablesToArriveTogether: (come_without_events, set()),
}


def outcomes(judge, connection: duckdb.DuckDBPyConnection, paths: ShopPaths):
    found = incoming.delivery(paths)
    return judge(incoming.EXPECTATIONS, lambda: incoming.prepare(connection, paths, found))
