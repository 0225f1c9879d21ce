"""What a shop's file can say about files that look like nobody else's."""

from __future__ import annotations

import gzip
import json
import re
from datetime import date

import duckdb
import pytest

from cli import UsageError
from landing import ledger, quarantine
from landing.receive import receive
from settings import ShopPaths

DAY = "2024-03-01"

SALES = {
    "name": "sales",
    "files": ["sales_*"],
    "csv": {"header": ["who", "what", "at"]},
    "tables": {
        "orders": {
            "columns": {"order_id": {"key_of": ["who", "at"]}, "ordered_at": "at", "customer_id": "who"}
        },
        "order_lines": {
            "columns": {
                "order_id": {"key_of": ["who", "at"]},
                "line_number": {"constant": "1"},
                "ordered_at": "at",
                "product_id": "what",
                "quantity": {"constant": "1"},
            }
        },
    },
}


def sales(**changes):
    return {"sources": [SALES | changes], "required": ["orders"], "daily": ["orders"]}


def mapped(table, **columns):
    tables = {name: {"columns": dict(found["columns"])} for name, found in SALES["tables"].items()}
    tables[table]["columns"] |= columns
    return sales(tables=tables)


LINES = f"ann,tea,{DAY} 10:00\nbob,cup,{DAY} 11:00\n"


# --- csv without a header


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"sales_{DAY}.csv", LINES.encode()),
        (f"sales_{DAY}.csv", LINES.encode("utf-8-sig")),
        (f"sales_{DAY}.csv", LINES.replace("\n", "\r\n").encode()),
        (f"sales_{DAY}.csv.gz", gzip.compress(LINES.encode())),
    ],
    ids=["plain", "byte order mark", "windows line ends", "packed"],
)
def test_a_file_without_a_header_keeps_its_first_row(shop_with, drops, landed, name, content):
    (drops / name).write_bytes(content)
    (file,) = receive(shop_with(**sales()), drops).landed
    assert (file.rows_in, file.rows_good) == (2, 2)
    assert [(row["row_number"], row["product_id"]) for row in landed("order_lines")] == [
        (1, "tea"),
        (2, "cup"),
    ]
    assert len({row["user_key"] for row in landed("orders")}) == 2


def test_a_headerless_file_keeps_its_first_row_where_a_broken_line_makes_it_slow(
    shop_with, drops, landed, paths
):
    (drops / f"sales_{DAY}.csv").write_text(LINES + "only one field\n")
    (file,) = receive(shop_with(**sales()), drops).landed
    assert (file.rows_in, file.rows_good, file.rows_quarantined) == (3, 2, 1)
    assert [row["row_number"] for row in landed("orders")] == [1, 2]
    assert [row["row_number"] for row in quarantine.rows(paths)] == [3]


def test_an_empty_headerless_file_is_a_day_without_a_sale(shop_with, drops, paths):
    (drops / f"sales_{DAY}.csv").write_bytes(b"")
    (file,) = receive(shop_with(**sales()), drops).landed
    assert (file.rows_in, file.status) == (0, "accepted")
    assert ledger.latest_complete_day("corner") == date(2024, 3, 1)


def test_a_headerless_file_of_another_width_is_refused_without_showing_a_row(shop_with, drops):
    (drops / f"sales_{DAY}.csv").write_text(LINES.replace(",", ";"))
    (file,) = receive(shop_with(**sales()), drops).refused
    assert "its first row has 1 fields, and csv.header names 3" in file.reasons[0]
    assert "ann" not in file.reasons[0]


def test_a_mapping_that_reads_what_the_header_does_not_name_is_refused(shop_with):
    with pytest.raises(UsageError, match=re.escape("columns ['at'] are read, but not in csv.header")):
        shop_with(**sales(csv={"header": ["who", "what", "when"]}))


# --- ids that a shop does not have


def test_a_made_id_is_the_same_in_both_tables_and_another_in_another_shop(
    shop_with, drops, landed, monkeypatch, tmp_path
):
    (drops / f"sales_{DAY}.csv").write_text(LINES)
    receive(shop_with(**sales()), drops)
    ids = [row["order_id"] for row in landed("orders")]
    assert ids == [row["order_id"] for row in landed("order_lines")]
    assert len(set(ids)) == 2
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path / "elsewhere"))  # another installation, another key
    report = receive(shop_with(**sales()), drops)
    assert report.landed[0].rows_good == 2
    assert not set(ids) & _order_ids(ShopPaths("corner"))


def _order_ids(paths):
    files = [str(path) for path in (paths.landing / "orders").glob("*/*.parquet")]
    with duckdb.connect() as connection:
        return {
            row[0]
            for row in connection.execute("select order_id from read_parquet($f)", {"f": files}).fetchall()
        }


@pytest.mark.parametrize(
    ("table", "column", "place"),
    [
        ("orders", "order_id", {"sql": "who || '-' || \"at\""}),
        ("orders", "order_id", "who"),
        ("orders", "channel", "who"),
        ("order_lines", "order_id", "who"),
    ],
)
def test_an_id_that_shows_who_somebody_is_is_refused(shop_with, table, column, place):
    with pytest.raises(UsageError, match=rf"{table}\.{column}.* would show who somebody is.*key_of"):
        shop_with(**mapped(table, **{column: place}))


# --- shops without prices


def test_a_shop_that_has_prices_has_them_in_every_line(shop_with, drops, paths):
    (drops / f"sales_{DAY}.csv").write_text(f"ann,tea,{DAY} 10:00\nbob,,{DAY} 11:00\n")
    receive(shop_with(**mapped("order_lines", unit_price_amount="what", product_id={"constant": "x"})), drops)
    assert [row["reasons"] for row in quarantine.rows(paths)] == [
        ["unreadable:unit_price_amount"],
        ["missing:unit_price_amount"],
    ]


def test_a_file_that_lacks_a_price_column_that_the_shop_has_is_refused(shop_with, drops):
    shop = shop_with(required=["events"], daily=["events"])
    (drops / f"order_lines_{DAY}.csv").write_text("order_id,line_number,ordered_at,product_id,quantity\n")
    (file,) = receive(shop, drops).refused
    assert "'unit_price_amount' is missing" in file.reasons[0]


# --- lists in jsonl

VISITS = {
    "name": "visits",
    "files": ["visits_*"],
    "jsonl": {"each": "steps"},
    "tables": {
        "events": {
            "columns": {
                "event_type": "/steps/what/kind",
                "occurred_at": "/steps/at",
                "device_id": "visit",
                "query": "/steps/words",
            }
        }
    },
}


def visit(number, *steps):
    return json.dumps({"visit": number, "shop": "north", "steps": list(steps)})


def step(kind, minute, **more):
    return {"what": {"kind": kind}, "at": f"{DAY} 10:{minute:02d}:00"} | more


@pytest.fixture
def visits(shop_with, drops):
    def act(*lines):
        (drops / f"visits_{DAY}.jsonl").write_text("\n".join(lines) + "\n")
        return receive(shop_with(sources=[VISITS], required=["events"], daily=["events"]), drops)

    return act


def test_each_element_of_a_list_is_a_row_with_what_stands_beside_it(visits, landed):
    report = visits(visit(1, step("view", 1), step("cart", 2)), visit(2, step("view", 3)))
    assert [(file.rows_in, file.rows_good) for file in report.landed] == [(3, 3)]
    events = landed("events")
    assert [(row["row_number"], row["event_type"]) for row in events] == [
        (1 * 10_000_000 + 1, "view"),
        (1 * 10_000_000 + 2, "cart"),
        (2 * 10_000_000 + 1, "view"),
    ]
    first, second, third = (row["device_key"] for row in events)
    assert first == second != third


def test_an_element_that_repeats_in_its_list_is_a_duplicate(visits):
    (file,) = visits(visit(1, step("view", 1), step("view", 1)), visit(2, step("view", 1))).landed
    assert (file.rows_in, file.rows_good, file.rows_duplicate) == (3, 2, 1)


def test_lines_that_are_no_lists_are_rows_that_fail_alone(visits, paths):
    lines = [visit(1), '{"visit": 2}', '{"visit": 3, "steps": 4}', "{torn", visit(5, 6, step("view", 1))]
    (file,) = visits(*lines).landed
    assert (file.rows_in, file.rows_good, file.rows_quarantined) == (6, 1, 5)
    found = {row["row_number"]: row["reasons"] for row in quarantine.rows(paths)}
    nothing_there = ["missing:event_type", "missing:occurred_at"]
    assert found == {
        1 * 10_000_000 + 1: nothing_there,
        2 * 10_000_000 + 1: nothing_there,
        3 * 10_000_000 + 1: nothing_there,
        4 * 10_000_000 + 1: ["invalid_json"],
        5 * 10_000_000 + 1: nothing_there,
    }


def test_a_line_that_has_its_list_twice_loses_neither_in_silence(visits, paths):
    twice = visit(1, step("view", 1))[:-1] + ', "steps": []}'
    (file,) = visits(twice, visit(2, step("view", 2))).landed
    assert (file.rows_in, file.rows_good, file.rows_quarantined) == (2, 1, 1)
    assert [row["reasons"][0] for row in quarantine.rows(paths)] == ["repeated_name"]


def test_a_line_too_long_to_read_does_not_take_another_lines_number(visits, paths, landed):
    (file,) = visits(
        visit(1, step("view", 1)), '{"visit": "' + "x" * 3_000_000 + '"}', visit(3, step("view", 2))
    ).landed
    assert (file.rows_in, file.rows_good, file.rows_quarantined) == (3, 2, 1)
    assert [row["row_number"] // 10_000_000 for row in landed("events")] == [1, 3]
    assert [(row["row_number"], row["reasons"]) for row in quarantine.rows(paths)] == [
        (2 * 10_000_000, ["oversized_row"])
    ]


def test_a_list_without_the_columns_that_are_needed_is_refused(visits):
    (file,) = visits(visit(1, {"kind": "view"})).refused
    assert "'/steps/at' and '/steps/what/kind' is missing" in file.reasons[0]


def test_nested_rows_in_quarantine_show_what_identifies_nobody(visits, paths):
    visits(visit("secret-visitor", step("buy", 1, words="secret words")))
    (row,) = quarantine.rows(paths)
    assert row["columns"] == {"/steps/at": f"{DAY} 10:01:00", "/steps/what/kind": "buy"}


# --- days and times


def test_a_catalogue_that_tells_no_day_has_the_one_that_its_shop_states(shop_with, drops, landed):
    sources = [
        {"name": "events", "files": ["events_*"], "tables": ["events"]},
        {
            "name": "products",
            "files": ["catalogue.csv"],
            "delivered_on": date(2024, 2, 1),
            "tables": ["products"],
        },
    ]
    (drops / "catalogue.csv").write_text("product_id\ntea\n")
    (file,) = receive(shop_with(sources=sources), drops, is_history=True).landed
    assert file.delivered_on == date(2024, 2, 1)
    assert [row["event_date"] for row in landed("products")] == [date(2024, 2, 1)]


def test_a_time_may_say_utc_in_words(write_csv, land, landed, view):
    write_csv(f"events_{DAY}.csv", [view | {"occurred_at": f"{DAY} 22:30:00 UTC"}])
    land(delivered_on=date(2024, 3, 2))
    # Half past eleven at night in Berlin.
    assert [(row["occurred_at"].hour, row["event_date"]) for row in landed("events")] == [
        (22, date(2024, 3, 1))
    ]
