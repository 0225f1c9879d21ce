"""Every check is seen red, at the edge where it turns."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal

import openpyxl
import pyarrow
import pytest
from pyarrow import parquet

from landing import quarantine, translation
from landing.receive import receive
from settings import ShopPaths

from .world import VIEW, write_rows

ORDER = {"order_id": "o1", "ordered_at": "2024-03-01 10:00:00", "customer_id": "c1", "currency": "EUR"}
LINE = {
    "order_id": "o1",
    "line_number": "1",
    "ordered_at": "2024-03-01 10:00:00",
    "product_id": "p1",
    "quantity": "1",
    "unit_price_amount": "9.90",
}
REFUND = {"refund_id": "r1", "refunded_at": "2024-03-01 10:00:00", "refund_amount": "9.90"}
REVIEW = {"review_id": "r1", "reviewed_at": "2024-03-01 10:00:00", "score": "5", "review_text": "lovely"}

BAD_EVENTS = [
    ({"event_type": ""}, "missing:event_type"),
    ({"event_type": "  "}, "missing:event_type"),
    ({"event_type": "buy"}, "not_allowed:event_type"),
    ({"occurred_at": "yesterday"}, "unreadable:occurred_at"),
    ({"occurred_at": "2024-02-30 10:00:00"}, "unreadable:occurred_at"),
    ({"occurred_at": "2024-03-01 24:00:00"}, "unreadable:occurred_at"),
    ({"occurred_at": "infinity"}, "unreadable:occurred_at"),
    ({"occurred_at": "2024-03-01T10:00:00+14:01"}, "unreadable:occurred_at"),  # no clock is so far off
    ({"occurred_at": "2024-03-01T10:00:00-1900"}, "unreadable:occurred_at"),
    ({"occurred_at": "2024-03-01T10:00:00+05:60"}, "unreadable:occurred_at"),
    ({"occurred_at": "2000-01-01 00:59:59"}, "below_min:occurred_at"),  # 1999 in UTC
    ({"occurred_at": "2024-03-02 00:00:00"}, "future:occurred_at"),
    ({"quantity": "-1"}, "below_min:quantity"),
    ({"quantity": "1000000.0001"}, "above_max:quantity"),
    ({"quantity": "two"}, "unreadable:quantity"),
    ({"price_amount": "1,50"}, "unreadable:price_amount"),
    ({"price_amount": "1.234,56"}, "unreadable:price_amount"),
    ({"price_amount": "12e3"}, "unreadable:price_amount"),
    ({"price_amount": "¥12.00"}, "unreadable:price_amount"),
    ({"price_amount": "9.90001"}, "unreadable:price_amount"),
    ({"price_amount": "nan"}, "unreadable:price_amount"),
    ({"customer_id": "", "device_id": ""}, "missing_any:customer_id|device_id"),
]

GOOD_EVENTS = [
    {},
    {"occurred_at": "2000-01-01 01:00:00"},
    {"occurred_at": "2024-03-01 23:59:59"},
    {"occurred_at": "2024-03-01T10:00:00.123Z"},
    {"occurred_at": "2024-03-01 10:00"},
    {"occurred_at": "2024-03-01T10:00:00+14:00"},
    {"occurred_at": "2024-03-01T10:00:00-12:59"},
    {"occurred_at": "2024-03-01T10:00:00+0545"},
    {"occurred_at": "2024-03-01T10:00:00-12"},
    {"quantity": "0"},
    {"quantity": "1000000"},
    {"quantity": ""},
    {"price_amount": "9.90000"},
    {"customer_id": ""},
    {"device_id": ""},
    {"event_id": ""},
]


OTHER_TABLES = [
    ("orders", ORDER | {"currency": "USD"}, "other_currency:currency"),
    ("order_lines", LINE | {"currency": "USD"}, "other_currency:currency"),
    ("refunds", REFUND | {"currency": "USD"}, "other_currency:currency"),
    ("orders", ORDER | {"order_status": "lost"}, "not_allowed:order_status"),
    ("reviews", REVIEW | {"score": "6"}, "above_max:score"),
    ("reviews", REVIEW | {"score": "0"}, "below_min:score"),
    ("reviews", REVIEW | {"score": "4.5"}, "unreadable:score"),
    (
        "customers",
        {"customer_id": "c1", "has_marketing_consent": "maybe"},
        "unreadable:has_marketing_consent",
    ),
    ("customers", {"customer_id": "", "country": "DE"}, "missing:customer_id"),
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory, corner_at):
    """Land one file per case, all at once; return the reasons of each file's row."""
    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(folder / "data"))
        shop = corner_at(folder, patch)
        for number, (table, row) in enumerate(cases()):
            write_rows(folder / "drops" / f"{table}_2024-03-01_{number}.csv", [row])
        receive(shop, folder / "drops")
        rows = quarantine.rows(ShopPaths("corner"))
        return {row["file_name"].split("_")[-1]: row["reasons"] for row in rows}


def cases():
    yield from (("events", VIEW | change) for change, _ in BAD_EVENTS)
    yield from (
        ("events", VIEW | {"product_id": f"good {i}"} | change) for i, change in enumerate(GOOD_EVENTS)
    )
    yield from ((table, row) for table, row, _ in OTHER_TABLES)


@pytest.mark.parametrize(("number", "reason"), list(enumerate(reason for _, reason in BAD_EVENTS)))
def test_event_is_quarantined_with_the_reason_of_its_fault(judged, number, reason):
    assert judged[f"{number}.csv"] == [reason], BAD_EVENTS[number]


@pytest.mark.parametrize("number", range(len(GOOD_EVENTS)))
def test_event_on_the_good_side_of_every_edge_is_kept(judged, number):
    assert f"{len(BAD_EVENTS) + number}.csv" not in judged, GOOD_EVENTS[number]


@pytest.mark.parametrize(("number", "reason"), list(enumerate(reason for _, _, reason in OTHER_TABLES)))
def test_other_tables_are_judged_by_their_own_contract(judged, number, reason):
    assert judged[f"{len(BAD_EVENTS) + len(GOOD_EVENTS) + number}.csv"] == [reason], OTHER_TABLES[number]


@pytest.mark.parametrize("row", [ORDER, ORDER | {"currency": "eur"}, ORDER | {"currency": ""}])
def test_the_shops_own_currency_is_no_fault(reasons, row):
    assert reasons("orders", row) == []


def test_a_whole_number_with_decimals_is_whole(reasons, landed):
    assert reasons("reviews", REVIEW | {"score": "4.0"}) == []
    assert landed("reviews")[0]["score"] == 4


def test_a_row_collects_every_reason(reasons, view):
    faults = {
        "event_type": "buy",
        "price_amount": "-1",
        "occurred_at": "soon",
        "customer_id": "",
        "device_id": "",
    }
    assert reasons("events", view | faults) == [
        [
            "not_allowed:event_type",
            "unreadable:occurred_at",
            "below_min:price_amount",
            "missing_any:customer_id|device_id",
        ]
    ]


def test_skipped_hour_is_quarantined(reasons, view):
    rows = [
        view | {"event_id": time, "occurred_at": f"2024-03-31 {time}"} for time in ("01:59:59", "02:00:00")
    ]
    rows += [
        view | {"event_id": time, "occurred_at": f"2024-03-31 {time}"} for time in ("02:59:59", "03:00:00")
    ]
    assert reasons("events", *rows, day="2024-03-31") == [["skipped_hour:occurred_at"]] * 2


def test_repeated_hour_takes_the_first_offset_and_is_flagged(reasons, landed, view):
    times = ["2024-10-27 01:59:59", "2024-10-27 02:30:00", "2024-10-27T02:30:00+01:00", "2024-10-27 03:00:00"]
    assert reasons("events", *({**view, "occurred_at": time} for time in times), day="2024-10-27") == []
    assert [(row["occurred_at"], row["is_repeated_hour"]) for row in landed("events")] == [
        (datetime(2024, 10, 26, 23, 59, 59), False),
        (datetime(2024, 10, 27, 0, 30), True),
        (datetime(2024, 10, 27, 1, 30), False),
        (datetime(2024, 10, 27, 2, 0), False),
    ]


def test_business_day_is_the_shops_even_for_times_with_a_zone(reasons, landed, view):
    rows = [
        view | {"occurred_at": "2024-03-01T23:30:00Z"},
        view | {"occurred_at": "2024-03-01T18:30:00-05:00"},
    ]
    assert reasons("events", *rows, day="2024-03-02") == []
    assert {row["event_date"] for row in landed("events")} == {date(2024, 3, 2)}


@pytest.mark.parametrize(
    ("form", "text", "amount"),
    [
        ("plain", "1234.56", "1234.56"),
        ("1,234.56", "1,234.56", "1234.56"),
        ("1,234.56", "1234.5", "1234.5"),
        ("1,234.56", "1.234,56", None),
        ("1,234.56", "12,34.56", None),
        ("1.234,56", "1.234,56", "1234.56"),
        ("1.234,56", "1.234", "1234"),
        ("1.234,56", "1,234.56", None),
        ("1.234,56", "12.34", None),
        ("plain", "1,234", None),
    ],
)
def test_money_is_read_as_the_shop_states_or_not_at_all(
    shop_with, write_csv, land, landed, view, form, text, amount
):
    write_csv("events_2024-03-01.csv", [view | {"price_amount": text}])
    report = land(shop_with(formats={"money": form}))
    if amount is None:
        assert report.reasons == {"unreadable:price_amount": 1}
    else:
        assert landed("events")[0]["price_amount"] == Decimal(amount)


@pytest.mark.parametrize(
    ("form", "text", "pieces"),
    [
        ("1.234,56", "1.000", 1000),
        ("1.234,56", "2,5", Decimal("2.5")),
        ("1.234,56", "1.0", None),
        ("1,234.56", "1,000", 1000),
        ("1,234.56", "2.5", Decimal("2.5")),
        ("plain", "1,000", None),
    ],
)
def test_pieces_are_written_as_the_shop_writes_money(
    shop_with, write_csv, land, landed, view, form, text, pieces
):
    write_csv("events_2024-03-01.csv", [view | {"quantity": text, "price_amount": "9"}])
    report = land(shop_with(formats={"money": form}))
    if pieces is None:
        assert report.reasons == {"unreadable:quantity": 1}
    else:
        assert landed("events")[0]["quantity"] == pieces


def test_whole_numbers_are_written_as_the_shop_writes_money(shop_with, write_csv, land, landed):
    scores = ["4", "4,0", "4,5", "1.000"]
    write_csv("events_2024-03-01.csv", [VIEW | {"quantity": "1", "price_amount": "9,90"}])
    write_csv("reviews_2024-03-01.csv", [REVIEW | {"review_id": score, "score": score} for score in scores])
    report = land(shop_with(formats={"money": "1.234,56"}))
    assert report.reasons == {"unreadable:score": 1, "above_max:score": 1}
    assert [row["score"] for row in landed("reviews")] == [4, 4]


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "xlsx"])
def test_a_number_that_is_no_text_never_has_its_point_taken_for_a_thousand(
    shop_with, drops, land, landed, view, ending
):
    prices = [1.599, 12, 0.5]
    rows = [view | {"event_id": f"e{price}", "quantity": 1, "price_amount": price} for price in prices]
    path = drops / f"events_2024-03-01.{ending}"
    if ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif ending == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        workbook = openpyxl.Workbook()
        workbook.active.append(list(view))
        for row in rows:
            workbook.active.append(list(row.values()))
        workbook.save(path)
    report = land(shop_with(formats={"money": "1.234,56"}))
    assert report.reasons["unreadable:price_amount"] >= 2
    assert [row["price_amount"] for row in landed("events")] in ([12], [])


def test_a_currency_sign_is_read_where_the_mapping_takes_it_off(shop_with, write_csv, land, landed, view):
    columns = {"price_amount": {"sql": "replace(price_amount, '¥', '')"}}
    tables = {"events": {"as_contract": True, "columns": columns}}
    prices = ["¥12.00", "¥1,234.56", "12e3", "$12.00"]
    write_csv(
        "events_2024-03-01.csv",
        [view | {"event_id": price, "price_amount": price} for price in prices],
    )
    source = {"name": "events", "files": ["events_*"], "tables": tables, "formats": {"money": "1,234.56"}}
    assert land(shop_with(sources=[source])).reasons == {"unreadable:price_amount": 2}
    assert [row["price_amount"] for row in landed("events")] == [Decimal(12), Decimal("1234.56")]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("epoch_seconds", "1709283600"),
        ("epoch_milliseconds", "1709283600000"),
        ("%d/%m/%Y %H:%M", "01/03/2024 10:00"),
        ("%d/%m/%Y %H:%M %z", "01/03/2024 14:00 +0500"),
        ("iso", "2024-03-01T10:00:00+0100"),
    ],
)
def test_times_are_read_as_the_shop_states(shop_with, write_csv, land, landed, view, form, text):
    write_csv("events_2024-03-01.csv", [view | {"occurred_at": text}])
    land(shop_with(formats={"timestamp": form}))
    assert landed("events")[0]["occurred_at"] == datetime(2024, 3, 1, 9)


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("epoch_seconds", "1709283600", ["1709283600000", "17092836000000", "99999999999999", "4102444800"]),
        ("epoch_milliseconds", "1709283600000", ["99999999999999", "1709283600000000"]),
        ("iso", "2024-03-01T10:00:00+01:00", ["2204-03-01T10:00:00Z", "2204-03-01T10:00:00"]),
    ],
)
def test_in_a_history_a_time_beyond_the_clock_costs_its_row_alone(
    shop_with, write_csv, land, landed, view, form, good, bad
):
    write_csv(
        "events_all.csv", [view | {"event_id": f"e{time}", "occurred_at": time} for time in (good, *bad)]
    )
    report = land(shop_with(formats={"timestamp": form}), is_history=True)
    assert report.reasons == {"unreadable:occurred_at": len(bad)}
    assert [row["occurred_at"] for row in landed("events")] == [datetime(2024, 3, 1, 9)]


def test_words_for_nothing_are_nothing(shop_with, write_csv, land, landed, view):
    write_csv("events_2024-03-01.csv", [view | {"price_amount": "NULL", "product_id": "\\N"}])
    land(shop_with(formats={"missing": ["NULL", "\\N"]}))
    assert (landed("events")[0]["price_amount"], landed("events")[0]["product_id"]) == (None, None)


def test_every_rule_is_documented_and_seen_red():
    seen = {reason.split(":")[0] for _, reason in BAD_EVENTS} | {"skipped_hour", "other_currency"}
    assert translation.__doc__ is not None
    documented = (
        translation.__doc__.split("as ``<rule>:<column>``:")[1].split("Only names")[0].split("``")[1::2]
    )
    assert sorted(seen) == sorted(name for entry in documented for name in entry.split("``, ``"))


@pytest.mark.parametrize("blanks", [" ", "\t", "\u00a0", "\u3000", "\u200b", "\ufeff", " \u00a0\t"])
@pytest.mark.parametrize("form", ["{0}{1}", "{1}{0}", "{1}{0}{1}"])
def test_nobody_is_another_for_a_blank_that_cannot_be_seen(land, write_csv, landed, blanks, form):
    rows = [{"product_id": "p1"}, {"product_id": form.format("p1", blanks)}, {"product_id": blanks}]
    write_csv("events_2024-03-01.csv", [VIEW | {"event_id": f"e{n}"} | row for n, row in enumerate(rows)])
    land()
    assert [row["product_id"] for row in landed("events")] == ["p1", "p1", None]
