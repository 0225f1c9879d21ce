"""From drop to ledger: what counts, what is refused, and what a kill leaves behind."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal

import duckdb
import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

import cli
from landing import chunk, contracts, empty, ledger, pseudonyms, quarantine, readers, repair
from landing.__main__ import parser
from landing.receive import receive
from settings import ROOT, ShopPaths

DAY = "2024-03-01"
NAMED = (  # what must never be seen outside quarantine files and keys
    "c-ann-77",
    "d-ann-phone",
    "ann@example.com",
    "+49 170 1234567",
    "Ann Secretname",
)


def counts(file):
    return file.rows_in, file.rows_good, file.rows_quarantined, file.rows_duplicate


def test_landed_columns_are_the_contracts_in_order_and_type(write_csv, land, landed, view, paths):
    write_csv(f"events_{DAY}.csv", [view])
    land()
    (file,) = (paths.landing / "events" / DAY).glob("*.parquet")
    for parquet in (file, empty.path(paths, "events")):
        described = duckdb.execute("describe from read_parquet($path)", {"path": str(parquet)}).fetchall()
        assert {name: type_ for name, type_, *_ in described} == contracts.load()["events"].landed_columns
        assert [name for name, *_ in described] == list(contracts.load()["events"].landed_columns)


def test_every_contract_has_its_empty_parquet(write_csv, land, view, paths):
    write_csv(f"events_{DAY}.csv", [view])
    land()
    for table, contract in contracts.load().items():
        path = str(empty.path(paths, table))
        described = duckdb.execute("describe from read_parquet($path)", {"path": path}).fetchall()
        assert [(name, type_) for name, type_, *_ in described] == list(contract.landed_columns.items())
        assert duckdb.execute("select count(*) from read_parquet($path)", {"path": path}).fetchall() == [(0,)]


def test_values_arrive_typed_with_their_provenance(write_csv, land, landed, view, paths):
    path = write_csv(f"events_{DAY}.csv", [view, view | {"event_id": "e2", "occurred_at": f"{DAY} 00:30:00"}])
    land()
    first, second = landed("events")
    assert first["occurred_at"] == datetime(2024, 3, 1, 9)  # Berlin in winter: one hour ahead of UTC
    assert second["occurred_at"] == datetime(2024, 2, 29, 23, 30)
    assert first["price_amount"] == Decimal("9.9000")
    assert {row["event_date"] for row in (first, second)} == {date(2024, 3, 1)}
    assert (first["row_number"], second["row_number"]) == (1, 2)
    digest = hashlib.sha256(path.name.encode() + b"\0" + path.read_bytes()).hexdigest()
    assert {row["file_id"] for row in (first, second)} == {digest[:16]}


def test_keys_are_the_hmac_of_the_ids(write_csv, land, landed, view, paths):
    write_csv(
        f"events_{DAY}.csv", [view | {"customer_id": "Zoë 1"}, view | {"customer_id": "", "event_id": "e2"}]
    )
    land()
    secret = (paths.secrets / "pseudonym.key").read_bytes()

    def expected(text):
        return hmac.new(secret, text.encode(), "sha256").hexdigest()

    assert [row["user_key"] for row in landed("events")] == [expected("customer:Zoë 1"), None]
    assert {row["device_key"] for row in landed("events")} == {expected("device:d1")}


def test_nothing_that_names_a_person_is_seen_outside_quarantine_and_keys(
    write_csv, land, drops, paths, view, capfd, data_folder
):
    ann = view | {"customer_id": NAMED[0], "device_id": NAMED[1]}
    note = f"write to {NAMED[2]} or call {NAMED[3]}"
    write_csv(
        f"events_{DAY}.csv",
        [ann, ann | {"event_type": "buy"}, ann | {"product_id": NAMED[0], "quantity": "x"}],
    )
    review = {
        "review_id": "r",
        "customer_id": NAMED[0],
        "reviewed_at": DAY,
        "review_text": note,
        "score": "5",
    }
    write_csv(f"reviews_{DAY}.csv", [review, review | {"score": "9", "review_id": NAMED[2]}])
    person = {
        "customer_id": NAMED[0],
        "email": NAMED[2],
        "phone": NAMED[3],
        "full_name": NAMED[4],
        "country": "DE",
    }
    write_csv(f"customers_{DAY}.csv", [person, person | {"customer_id": ""}])
    (drops / "orders_2024-03-02.csv").write_text(",".join(NAMED) + "\n1,2,3,4,5\n", encoding="utf-8")
    (drops / f"products_{DAY}.csv").write_text(
        f"product_id,title\np1\n{NAMED[2]},a,{NAMED[0]}\n", encoding="utf-8"
    )
    (drops / f"refunds_{DAY}.jsonl").write_text(
        '{"customer_id": "c-ann-77"\n{"refund_id": 1}\n', encoding="utf-8"
    )
    report = land()

    seen = capfd.readouterr()
    spoken = [seen.out, seen.err, paths.ledger.read_text(encoding="utf-8"), *map(str, report.refused)]
    spoken += [json.dumps(row) for row in quarantine.rows(paths)]
    parquets = [str(path) for path in paths.landing.glob("*/*/*.parquet")]
    assert len(parquets) == 3  # events, reviews, customers
    for parquet in parquets:
        spoken.append(str(duckdb.execute("from read_parquet($path)", {"path": parquet}).fetchall()))
    for text in spoken:
        for name in NAMED:
            assert name not in text
    assert len(list(quarantine.rows(paths))) == 2 + 1 + 1 + 2
    assert not list(paths.landing.glob(".scratch"))


def test_patterns_in_free_text_are_masked_not_the_text(write_csv, land, landed):
    text = "Grüße, ann@example.com! 请打13812345678, not 12.50 or 2024."
    write_csv(f"reviews_{DAY}.csv", [{"review_id": "r", "reviewed_at": DAY, "review_text": text}])
    land()
    assert landed("reviews")[0]["review_text"] == "Grüße, [email]! 请打[phone], not 12.50 or 2024."


def test_rows_in_equal_good_and_quarantined_and_repeated(write_csv, land, view):
    bad = view | {"event_type": "buy"}
    write_csv(f"events_{DAY}.csv", [view, view, bad, bad, view | {"event_id": "e2"}])
    (file,) = land().landed
    assert counts(file) == (5, 2, 1, 2)


def test_without_an_id_a_repeated_row_is_a_repeat_and_another_row_is_another(write_csv, land, landed, view):
    write_csv(f"events_{DAY}.csv", [view | {"event_id": "", "page": page} for page in ("a", "b")])
    write_csv("events_2024-03-02.csv", [view | {"event_id": "", "page": page} for page in ("b", "c")])
    land()
    ids = [row["event_id"] for row in landed("events")]
    assert (len(ids), len(set(ids))) == (4, 3)


def test_the_same_file_twice_is_landed_once(write_csv, land, landed, view, paths):
    write_csv(f"events_{DAY}.csv", [view])
    land()
    before = paths.ledger.read_bytes()
    report = land()
    assert (report.landed, report.already_landed) == ([], [f"events_{DAY}.csv"])
    assert paths.ledger.read_bytes() == before
    assert len(landed("events")) == 1


def test_the_same_content_under_another_name_is_a_duplicate_delivery(write_csv, land, landed, view):
    write_csv(f"events_{DAY}.csv", [view])
    write_csv("events_2024-03-02.csv", [view])
    report = land()
    assert [file.file_name for file in report.landed] == [f"events_{DAY}.csv"]
    assert report.already_landed == ["events_2024-03-02.csv"]
    assert land().already_landed == [f"events_{DAY}.csv", "events_2024-03-02.csv"]


def test_held_content_under_another_name_is_held_as_well(write_csv, land, corner, view, drops, paths):
    first = write_csv(f"events_{DAY}.csv", [view | {"event_type": "buy"}])
    write_csv("events_2024-03-02.csv", [view | {"event_type": "buy"}])
    for _ in range(2):
        report = land()
        held = [file.file_name for file in report.held]
        assert sorted(held) == [f"events_{DAY}.csv", "events_2024-03-02.csv"]
        assert report.already_landed == [] and report.stops(corner)
    first.unlink()
    report = land()
    (held,) = report.held
    assert held.file_name == "events_2024-03-02.csv" and report.stops(corner)
    assert held.reasons[0] == f"it has the content of events_{DAY}.csv, which is held"
    assert {file.batch_id for file in ledger.files(paths)} == {held.batch_id}
    repair.accept(paths, held.batch_id, "as the shop says")
    report = land()
    assert (report.already_landed, report.stops(corner)) == (["events_2024-03-02.csv"], False)


def test_the_same_file_in_two_folders_is_landed_once(write_csv, drops, land, landed, view):
    path = write_csv(f"events_{DAY}.csv", [view])
    for folder in ("a", "b"):
        (drops / folder).mkdir()
        shutil.copy2(path, drops / folder / path.name)
    report = land()
    assert [file.file_name for file in report.landed] == [path.name]
    assert report.already_landed == [path.name] * 2
    assert len(landed("events")) == 1


def test_a_file_of_several_days_was_delivered_on_the_last(write_csv, land, landed, view):
    write_csv("events_2024-03-01_to_20240307.csv", [view])
    land()
    assert landed("events")[0]["delivered_on"] == date(2024, 3, 7)


@pytest.mark.parametrize(
    "expression",
    [
        "cast(replace(customer_id, 'c', '') as integer)",
        "year(strptime(replace(customer_id, 'c', '200'), '%Y'))",
        "1 % (length(customer_id) - 8)",
    ],
)
def test_an_expression_that_cannot_take_a_value_refuses_its_file_and_does_not_quote_it(
    shop_with, write_csv, drops, view, expression
):
    columns = {"price_amount": {"sql": expression}}
    tables = {"events": {"as_contract": True, "columns": columns}}
    source = {"name": "events", "files": ["events_*"], "tables": tables}
    write_csv(f"events_{DAY}.csv", [view])
    write_csv("events_2024-03-02.csv", [view | {"customer_id": NAMED[0]}])
    report = receive(shop_with(sources=[source]), drops)
    assert [file.file_name for file in report.landed] == [f"events_{DAY}.csv"]
    assert [file.reasons for file in report.refused] == [
        (
            "some expression of source 'events' cannot take one of its values: let it give null for such a "
            "value, as by try_cast, in the shop's file",
        )
    ]


def test_an_unchanged_catalogue_on_the_next_day_is_a_delivery(write_csv, land, landed):
    for day in (DAY, "2024-03-02"):
        write_csv(f"products_{day}.csv", [{"product_id": "p1", "title": "Tea"}])
    assert len(land().landed) == 2
    assert [row["delivered_on"].day for row in landed("products")] in ([1, 2], [2, 1])


def test_empty_files_are_deliveries_each_of_its_day(drops, land, paths, view):
    for day in (DAY, "2024-03-02"):
        (drops / f"events_{day}.csv").write_text(",".join(view) + "\n", encoding="utf-8")
    assert [counts(file) for file in land().landed] == [(0, 0, 0, 0)] * 2
    assert ledger.latest_complete_day("corner") == date(2024, 3, 2)


def test_what_lies_in_a_hidden_folder_is_not_delivered_yet(write_csv, drops, land, view):
    write_csv(f"events_{DAY}.csv", [view])
    (drops / ".partial").mkdir()
    (drops / f"events_{DAY}.csv").rename(drops / ".partial" / f"events_{DAY}.csv")
    assert land().landed == []


def test_unknown_names_are_ignored(write_csv, drops, land, view):
    write_csv("notes.csv", [view])
    (drops / "events_2024.docx").write_text("x", encoding="utf-8")
    report = land()
    assert sorted(path.name for path in report.ignored) == ["events_2024.docx", "notes.csv"]
    assert report.landed == []


# --- refusals


def test_missing_required_column_refuses_the_file_and_says_what_to_do(write_csv, land, landed, view, paths):
    renamed = {("event_typ" if name == "event_type" else name): value for name, value in view.items()}
    write_csv(f"events_{DAY}.csv", [renamed])
    (refused,) = land().refused
    assert refused.status == "refused"
    assert counts(refused) == (0, 0, 0, 0)
    (reason,) = refused.reasons
    assert "'event_type' is missing; found event_id, event_typ, occurred_at" in reason
    assert "is 'event_type' now called 'event_typ'?" in reason
    assert landed("events") == []
    assert [file.status for file in ledger.files(paths)] == ["refused"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_missing_required_column_refuses_files_of_every_format(drops, land, landed, ending):
    rows = {"jsonl": "copy (select 'e1' as event_id, 'c1' as customer_id) to '{}' (format json)"}
    rows["parquet"] = rows["jsonl"].replace("json", "parquet")
    duckdb.execute(rows[ending].format(drops / f"events_{DAY}.{ending}"))
    (refused,) = land().refused
    assert "'event_type' and 'occurred_at' is missing" in refused.reasons[0]
    assert landed("events") == []


def test_a_file_without_any_column_of_who_did_it_is_refused(write_csv, land, view):
    del view["customer_id"], view["device_id"]
    write_csv(f"events_{DAY}.csv", [view])
    (refused,) = land().refused
    assert "needs one of customer_id or device_id" in refused.reasons[0]


def test_a_file_without_a_day_is_refused_until_told(write_csv, land, landed, view):
    write_csv("events_today.csv", [view])
    (refused,) = land().refused
    assert "--delivered-on" in refused.reasons[0]
    assert len(land(delivered_on=date(2024, 3, 2)).landed) == 1
    assert landed("events")[0]["delivered_on"] == date(2024, 3, 2)


def test_in_a_history_each_row_is_delivered_on_its_own_day(write_csv, land, landed, view, paths):
    other = view | {"event_id": "e2", "occurred_at": "2024-02-27 23:30:00"}
    write_csv("events_all.csv", [view, other])
    (file,) = land(is_history=True).landed
    assert file.delivered_on is None
    assert [row["delivered_on"] for row in landed("events")] == [date(2024, 3, 1), date(2024, 2, 27)]
    assert ledger.complete_days("corner") == {date(2024, 3, 1), date(2024, 2, 27)}


def test_in_a_history_a_catalogue_is_dated_by_its_name_or_refused(write_csv, land, landed, view):
    """It tells no times of its own; whoever lands a folder of the past has one in it."""
    write_csv("events_all.csv", [view])
    write_csv("products_2024-03-05.csv", [{"product_id": "p1"}])
    write_csv("customers_all.csv", [{"customer_id": "c1"}])
    report = land(is_history=True)
    assert [row["delivered_on"] for row in landed("products")] == [date(2024, 3, 5)]
    (refused,) = report.refused
    assert refused.file_name == "customers_all.csv"
    assert refused.reasons[0].endswith("put the date into its name (YYYY-MM-DD), or pass --delivered-on")


def test_a_refusal_is_recorded_once_and_forgotten_when_repaired(write_csv, land, view, paths):
    write_csv(f"events_{DAY}.csv", [{"event_id": "e1", "customer_id": "c1"}])
    land()
    land()
    assert len(paths.ledger.read_text(encoding="utf-8").splitlines()) == 1
    write_csv(f"events_{DAY}.csv", [view])
    assert len(land().landed) == 1


def test_a_damaged_file_is_refused_and_its_neighbours_are_not(write_csv, drops, land, landed, view):
    for day in range(1, 8):
        text = f"{','.join(view)}\n{','.join(view.values())}\n".replace("e1", f"e{day}")
        data = bytearray(gzip.compress(text.encode()))
        data[-12] ^= 0xFF if day == 4 else 0
        (drops / f"events_2024-03-0{day}.csv.gz").write_bytes(data)
    report = land()
    assert [file.file_name for file in report.refused] == ["events_2024-03-04.csv.gz"]
    assert len(landed("events")) == 6


@pytest.mark.parametrize("content", [b"\x00\x01\x02PAR1", b"not a workbook"])
@pytest.mark.parametrize(
    "name", ["events_2024-03-01.parquet", "events_2024-03-01.xlsx", "events_2024-03-01.csv.gz"]
)
def test_what_is_not_what_its_name_says_is_refused(drops, land, name, content):
    (drops / name).write_bytes(content)
    (refused,) = land().refused
    assert refused.file_name == name


# --- formats: the same rows, whatever they came in


def test_all_formats_land_the_same_rows(drops, shop_with, view, data_folder, monkeypatch):
    rows = [
        view,
        view | {"event_id": "e2", "product_id": 'a "b", c\nd'},
        view | {"event_id": "e3", "quantity": ""},
    ]
    lines = "\n".join(
        ",".join('"' + value.replace('"', '""') + '"' for value in row.values()) for row in rows
    )
    text = ",".join(view) + "\n" + lines + "\n"
    source = {"name": "events", "files": ["events_*"], "tables": ["events"]}
    contents = {
        "csv": text.encode(),
        "csv.gz": gzip.compress(text.encode()),
        "bom.csv": b"\xef\xbb\xbf" + text.encode(),
        "crlf.csv": text.replace("\n", "\r\n").replace("c\r\nd", "c\nd").encode(),
        "mixed.csv": text.replace("\n", "\r\n", 1).encode(),
        "gbk.csv": text.encode("gbk"),
        "utf16.csv": text.encode("utf-16"),
        "semicolon.csv": text.replace('","', '";"').replace(",", ";", len(view) - 1).encode(),
        "jsonl": "\n".join(
            json.dumps({key: value or None for key, value in row.items()}) for row in rows
        ).encode(),
    }
    landed = {}
    for name, content in contents.items():
        monkeypatch.setenv("SHOAL_DATA", str(data_folder / name))
        dialects = {
            "gbk.csv": {"encoding": "gbk"},
            "utf16.csv": {"encoding": "utf-16"},
            "semicolon.csv": {"delimiter": ";"},
        }
        shop = shop_with(sources=[source | {"csv": dialects.get(name, {})}])
        path = drops / f"events_{DAY}.{name}"
        path.write_bytes(content)
        report = receive(shop, path)
        assert report.reasons == {}, name
        (parquet,) = ShopPaths("corner").landing.glob("events/*/*.parquet")
        columns = "event_id, event_type, occurred_at, product_id, quantity, price_amount, row_number"
        query = f"select {columns} from read_parquet($path) order by row_number"
        landed[name] = duckdb.execute(query, {"path": str(parquet)}).fetchall()
    assert len(landed["csv"]) == 3
    for name, found in landed.items():
        assert found == landed["csv"], name


@pytest.mark.parametrize("broken", ["", "e9\tview\n"])  # a ragged line sends the file the slow way
def test_any_delimiter_and_quote_is_read_as_stated(drops, shop_with, landed, broken):
    header = "event_id\tevent_type\toccurred_at\tcustomer_id\tpage\n"
    text = f"{header}e1\tview\t{DAY}\tc1\t'a\t''b'', \"c'\n{broken}"
    (drops / f"events_{DAY}.csv").write_text(text, encoding="utf-8")
    dialect = {"delimiter": "\t", "quote": "'"}
    source = {"name": "events", "files": ["events_*"], "tables": ["events"], "csv": dialect}
    receive(shop_with(sources=[source]), drops)
    assert [row["page"] for row in landed("events")] == ["a\t'b', \"c"]


@pytest.mark.parametrize("ending", ["tsv", "txt", "tsv.gz"])
def test_other_endings_of_delimited_text_are_read_as_csv(drops, shop_with, landed, ending):
    text = f"event_id\tevent_type\toccurred_at\tcustomer_id\ne1\tview\t{DAY}\tc1\n".encode()
    (drops / f"events_{DAY}.{ending}").write_bytes(gzip.compress(text) if "gz" in ending else text)
    source = {"name": "events", "files": ["events_*"], "tables": ["events"], "csv": {"delimiter": "\t"}}
    receive(shop_with(sources=[source]), drops)
    assert [row["event_type"] for row in landed("events")] == ["view"]


@pytest.mark.parametrize("delimiter", ["::", "|~|", "||||", "·"])
@pytest.mark.parametrize("broken", ["", "e9::view\n", 'e9::view::"\n'])
def test_a_delimiter_may_have_several_characters(drops, shop_with, landed, paths, delimiter, broken):
    header = "event_id::event_type::occurred_at::customer_id::page\n"
    text = f'{header}e1::view::{DAY}::c1::"a::""b"":\n: c"\n{broken}e2::view::{DAY}::c1::x:y\n'
    text += f"e3::view::{DAY}::c1::::::\n"  # surplus that says nothing
    path = drops / f"events_{DAY}.csv"
    path.write_text(text.replace("::", delimiter), encoding="utf-8")
    dialect = {"delimiter": delimiter}
    source = {"name": "events", "files": ["events_*"], "tables": ["events"], "csv": dialect}
    (file,) = receive(shop_with(sources=[source]), drops).landed
    assert counts(file) == (3 + bool(broken), 3, int(bool(broken)), 0)
    pages = [f'a{delimiter}"b":\n: c', "x:y", None]
    assert [row["page"] for row in landed("events")] == pages
    for row in quarantine.stored(paths, file.file_id) if broken else ():
        assert row["raw"] in (["e9", "view"], [broken.strip().replace("::", delimiter)])


@pytest.mark.parametrize("broken", ["", "e9\tview\n"])
def test_a_csv_that_quotes_nothing_is_read_as_stated(drops, shop_with, landed, broken):
    header = "event_id\tevent_type\toccurred_at\tcustomer_id\tpage\n"
    text = f'{header}e1\tview\t{DAY}\tc1\t"5" nail\ne2\tview\t{DAY}\tc1\t"\n{broken}'
    (drops / f"events_{DAY}.csv").write_text(text, encoding="utf-8")
    dialect = {"delimiter": "\t", "quote": ""}
    source = {"name": "events", "files": ["events_*"], "tables": ["events"], "csv": dialect}
    receive(shop_with(sources=[source]), drops)
    assert [row["page"] for row in landed("events")] == ['"5" nail', '"']


def test_parquet_is_read_natively(drops, land, landed):
    duckdb.execute(
        "copy (select 'e' || range as event_id, 'view' as event_type, "
        "timestamptz '2024-03-01 10:00:00+01' as occurred_at, 42 as customer_id, "
        "case when range = 0 then 9.9::double else 'nan'::double end as price_amount from range(2)) "
        f"to '{drops / f'events_{DAY}.parquet'}' (format parquet)"
    )
    land()
    rows = landed("events")
    assert [row["price_amount"] for row in rows] == [Decimal("9.9000"), None]
    assert {row["occurred_at"] for row in rows} == {datetime(2024, 3, 1, 9)}


@pytest.mark.parametrize("kind", ["double", "float"])
def test_an_id_that_came_as_a_number_with_decimals_is_the_same_id(drops, land, landed, view, kind):
    largest = 2.0**53 - 1 if kind == "double" else 2.0**24
    values = ", ".join(f"({number}::{kind})" for number in (17850.0, largest, -3.0, 0.5, "'nan'", "'inf'"))
    duckdb.execute(
        f"copy (select 'e' as event_id, 'view' as event_type, '{DAY}' as occurred_at, id as customer_id, "
        f"'d' as device_id from (values {values}) as rows(id)) to '{drops / f'events_{DAY}.parquet'}'"
    )
    land()
    texts = ["17850", str(int(largest)), "-3", "0.5", "inf"]
    secret = pseudonyms.key(ShopPaths("corner"))
    keys = [pseudonyms.of(secret, "customer", text) for text in texts]
    assert [row["user_key"] for row in landed("events") if row["user_key"]] == keys


def test_an_id_that_came_as_a_decimal_is_the_same_id(drops, land, landed):
    """As Oracle's NUMBER comes; money keeps its decimals."""
    duckdb.execute(
        f"copy (select 'e' as event_id, 'view' as event_type, '{DAY}' as occurred_at, "
        "17850::decimal(38, 10) as customer_id, 9.9::decimal(38, 10) as price_amount) "
        f"to '{drops / f'events_{DAY}.parquet'}'"
    )
    land()
    (row,) = landed("events")
    assert row["user_key"] == pseudonyms.of(pseudonyms.key(ShopPaths("corner")), "customer", "17850")
    assert row["price_amount"] == Decimal("9.9")


def test_a_number_of_jsonl_is_the_same_id_with_decimals_and_nan_is_nobody(drops, land, landed, view):
    """A column with gaps is written with decimals by pandas, and NaN by Python's json."""
    ids = ["17850", "17850.0", "1.785e4", '"17850.0"', "NaN", '"NaN"', "0.5"]
    rows = [
        json.dumps(view | {"event_id": f"e{place}"}).replace('"c1"', written)
        for place, written in enumerate(ids)
    ]
    (drops / f"events_{DAY}.jsonl").write_text("\n".join([*rows, ""]))
    land()
    secret = pseudonyms.key(ShopPaths("corner"))
    assert [row["user_key"] for row in landed("events")] == [
        text and pseudonyms.of(secret, "customer", text)
        for text in ("17850", "17850", "17850", "17850.0", None, "NaN", "0.5")
    ]


@pytest.mark.parametrize(("sql", "hour"), [("\"occurred_at\" || 'Z'", 22), ('"occurred_at"', 21)])
def test_parquet_times_by_nobody_knows_which_clock_are_refused_until_stated(
    drops, shop_with, landed, sql, hour
):
    """Spark's are UTC, and would be an hour early by the clock of Berlin."""
    names = ("event_id", "event_type", "customer_id")
    rows = {name: ["view"] for name in names} | {"occurred_at": [datetime(2024, 3, 1, 22, 15)]}
    path = drops / f"events_{DAY}.parquet"
    pyarrow.parquet.write_table(pyarrow.table(rows), path, use_deprecated_int96_timestamps=True)
    source = {"name": "events", "files": ["events_*.parquet"], "tables": ["events"]}
    (refused,) = receive(shop_with(sources=[source]), drops).refused
    said = json.dumps("\"occurred_at\" || 'Z'")
    assert "the times of 'occurred_at' have Parquet's old type INT96" in refused.reasons[0]
    assert f"{{sql: {said}}} for UTC" in refused.reasons[0]
    mapped = {name: name for name in names} | {"occurred_at": {"sql": sql}}
    (file,) = receive(shop_with(sources=[source | {"tables": {"events": {"columns": mapped}}}]), drops).landed
    assert counts(file) == (1, 1, 0, 0)
    assert [row["occurred_at"] for row in landed("events")] == [datetime(2024, 3, 1, hour, 15)]


def test_parquet_of_several_types_is_read_as_each_file_says(drops, land, landed, view):
    """A day of whole prices beside one with cents, ids as numbers beside ids as text: landed together."""
    for day, price, who in ((1, "10", "7"), (2, "10.75", "'007'"), (3, "0.55::double", "'8'")):
        duckdb.execute(
            f"copy (select 'e' as event_id, 'view' as event_type, '2024-03-0{day} 10:00' as occurred_at, "
            f"{who} as customer_id, {price} as price_amount) to '{drops / f'events_2024-03-0{day}.parquet'}'"
        )
    assert len(land().landed) == 3
    secret = pseudonyms.key(ShopPaths("corner"))
    assert {(row["price_amount"], row["user_key"]) for row in landed("events")} == {
        (Decimal(price), pseudonyms.of(secret, "customer", who))
        for price, who in (("10", "7"), ("10.75", "007"), ("0.55", "8"))
    }


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (17850.0, "17850"),
        (17850, "17850"),
        (0.5, "0.5"),
        (1e16, "1e+16"),
        (float("inf"), "inf"),
        (True, "True"),
    ],
)
def test_a_whole_number_of_a_workbook_is_written_without_decimals(cell, text):
    assert readers._cell_text(cell) == text


def test_text_that_parquet_calls_binary_is_read_as_utf_8_or_quarantined(drops, land, landed, paths):
    columns = f"'view' as event_type, '{DAY}' as occurred_at, 'c1' as customer_id, name as page"
    names = r"(values (1, 'M\xC3\xBCller'::blob), (2, null), (3, 'M\xFCller'::blob)) as rows(event_id, name)"
    path = drops / f"events_{DAY}.parquet"
    duckdb.execute(f"copy (select event_id, {columns} from {names}) to '{path}' (format parquet)")
    (file,) = land().landed
    assert counts(file) == (3, 2, 1, 0)
    assert [row["page"] for row in landed("events")] == ["Müller", None]
    assert [(row["row_number"], row["reasons"]) for row in quarantine.rows(paths)] == [
        (3, ["unreadable_characters"])
    ]


def test_a_name_that_is_no_utf_8_is_refused_and_its_neighbours_land(write_csv, drops, corner, view, capsys):
    """As a Windows machine packs it; neither ledger nor terminal could take it as it stands."""
    write_csv(f"events_{DAY}.csv", [view])
    (drops / os.fsdecode(b"events_caf\xe9.csv")).write_bytes(b"event_id\n")
    (drops / "notes_\x1b[31m.txt").touch()
    (drops / os.fsdecode(b"ordn\xe9r")).mkdir()
    (drops / os.fsdecode(b"ordn\xe9r") / "events_2024-03-02.csv").write_bytes(b"event_id\n")
    assert cli.run(parser(), ["receive", str(drops), "--shop", "corner"]) == cli.GATE_STOPPED
    said = capsys.readouterr()
    assert "\x1b[31m" not in said.out + said.err
    assert {file.file_name: file.status for file in ledger.files(ShopPaths("corner"))} == {
        "events_2024-03-02.csv": "refused",
        "events_caf\\udce9.csv": "refused",
        f"events_{DAY}.csv": "accepted",
    }


def test_broken_lines_cost_themselves_and_no_other(drops, land, landed, paths):
    header = "event_id,event_type,occurred_at,customer_id\n"
    good = [f"e{number},view,{DAY},c1\n" for number in range(4)]
    text = (
        header
        + good[0]
        + "e9,view\n"
        + good[1]
        + 'e8,"view,2024-03-01,c1\n'
        + good[2]
        + "\n"
        + good[3]
        + "e9,view\n"
    )
    (drops / f"events_{DAY}.csv").write_bytes(text.encode() + "e7,view,2024-03-01,Zo\xeb\n".encode("latin-1"))
    (file,) = land().landed
    assert counts(file) == (8, 4, 3, 1)  # the second `e9,view` repeats the first
    assert [row["event_id"] for row in landed("events")] == ["e0", "e1", "e2", "e3"]
    assert [(row["row_number"], row["reasons"]) for row in quarantine.rows(paths)] == [
        (2, ["ragged_row"]),
        (4, ["broken_quotes"]),
        (8, ["unreadable_characters"]),
    ]


def test_lines_that_are_no_json_object_are_quarantined(drops, land, paths, view):
    lines = [
        json.dumps(view),
        "{bad",
        "[1]",
        json.dumps(view),
        "",
        json.dumps(view | {"event_id": "e2"}),
        "{bad",
    ]
    (drops / f"events_{DAY}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (file,) = land().landed
    assert counts(file) == (6, 2, 2, 2)
    assert [row["reasons"] for row in quarantine.rows(paths)] == [["invalid_json"]] * 2


def test_a_line_in_which_a_name_stands_twice_is_quarantined(drops, land, landed, paths, view):
    """Nobody can tell which customer is meant: one reader takes the first, another the last."""
    lines = [json.dumps(view), json.dumps(view | {"event_id": "e2"}).replace("{", '{"customer_id": "c7", ')]
    (drops / f"events_{DAY}.jsonl").write_text("\n".join([*lines, ""]))
    land()
    assert [row["event_id"] for row in landed("events")] == ["e1"]
    assert [(row["row_number"], row["reasons"]) for row in quarantine.rows(paths)] == [(2, ["repeated_name"])]


def test_history_workbook_lands_like_the_csv(drops, shop_with, landed):
    workbook = openpyxl.Workbook()
    workbook.active.append(["event_id", "event_type", "occurred_at", "customer_id", "price_amount"])
    workbook.active.append([1, "view", datetime(2024, 3, 1, 10), 77, 2.55])
    workbook.active.append([2, "cart", datetime(2024, 3, 2, 10), None, None])
    workbook.active.append([3, "cart", datetime(2024, 3, 2, 10), 77])
    workbook.save(drops / "events_all.xlsx")
    source = {"name": "events", "files": ["*.xlsx"], "tables": ["events"], "delivered_on": "row"}
    report = receive(shop_with(sources=[source]), drops)
    assert report.reasons == {"missing_any:customer_id|device_id": 1}
    first, third = landed("events")
    assert (first["event_id"], first["price_amount"]) == ("1", Decimal("2.5500"))
    assert (third["delivered_on"], third["event_date"]) == (date(2024, 3, 2), date(2024, 3, 2))


def workbook_of(path, **sheets):
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for title, rows in sheets.items():
        sheet = workbook.create_sheet(title)
        for row in rows:
            sheet.append(row)
    workbook.save(path)


def test_every_sheet_of_a_workbook_is_read(drops, land, landed):
    header = ["event_id", "event_type", "occurred_at", "customer_id"]
    first = [["e1", "view", datetime(2024, 3, 1, 10), 77]]
    second = [["e2", "view", datetime(2024, 3, 1, 11), 78], ["e1", "view", datetime(2024, 3, 1, 10), 77]]
    sheets = {"empty": [], "2023": [header, *first], "2024": [header, *second], "blank": [[None, ""]]}
    workbook_of(drops / f"events_{DAY}.xlsx", **sheets)
    (file,) = land().landed
    assert counts(file) == (3, 2, 0, 1)
    assert [(row["event_id"], row["row_number"]) for row in landed("events")] == [("e1", 1), ("e2", 2)]


def test_a_failed_formula_of_a_workbook_is_nobody(drops, land, landed, paths):
    """Its VLOOKUP found no customer: all whom it did not find would be one user, called #N/A."""
    header = ["event_id", "event_type", "occurred_at", "customer_id", "price_amount"]
    row = ["view", datetime(2024, 3, 1, 10)]
    rows = [["e1", *row, "#N/A", 1], ["e2", *row, "c2", "#DIV/0!"], ["e3", *row, "#1", 1]]
    workbook_of(drops / f"events_{DAY}.xlsx", events=[header, *rows])
    land()
    assert [event["event_id"] for event in landed("events")] == ["e3"]
    assert [row["reasons"] for row in quarantine.rows(paths)] == [
        ["unreadable:customer_id"],
        ["unreadable:price_amount"],
    ]


def test_a_workbook_whose_sheets_differ_is_refused(drops, land):
    rows = [["event_id", "event_type", "occurred_at", "customer_id"], ["e1", "view", DAY, "c1"]]
    workbook_of(drops / f"events_{DAY}.xlsx", events=rows, notes=[["read me"], ["by Ann"]])
    (refused,) = land().refused
    assert refused.reasons == (
        "its sheet 2 has other columns than sheet 1, so it would be lost: deliver it without that sheet",
    )


# --- one source line, several tables

INVOICES = {
    "name": "invoices",
    "files": ["invoices_*"],
    "quarantine": [{"where": "id like 'X%'", "reason": "test_invoice"}],
    "tables": {
        "orders": {
            "where": "kind = 'sale'",
            "first_per": ["id"],
            "columns": {"order_id": "id", "ordered_at": "at", "customer_id": "who"},
        },
        "order_lines": {
            "where": "kind = 'sale'",
            "columns": {
                "order_id": "id",
                "line_number": {"sql": "row_number"},
                "ordered_at": "at",
                "product_id": "what",
                "quantity": {"constant": "1"},
                "unit_price_amount": {"sql": "try_cast(cents as decimal(18, 4)) / 100"},
            },
        },
        "customers": {
            "first_per": ["who"],
            "where": "who is not null",
            "columns": {"customer_id": "who", "language": {"from": "lang", "values": {"D": "de"}}},
        },
    },
}
LINE = {
    "id": "1",
    "kind": "sale",
    "at": f"{DAY} 10:00",
    "who": "ann",
    "what": "tea",
    "cents": "250",
    "lang": "D",
}


def test_source_rows_become_rows_of_several_tables(shop_with, write_csv, drops, landed, paths):
    rows = [
        LINE | {"what": ""},  # its order would be fine, its line is not: neither is landed
        LINE,
        LINE | {"what": "cup"},
        LINE | {"id": "2", "who": ""},
        LINE | {"id": "X3"},
        LINE | {"kind": "quote"},
    ]
    write_csv(f"invoices_{DAY}.csv", rows)
    shop = shop_with(sources=[INVOICES], required=["orders"], daily=["orders"])
    (file,) = receive(shop, drops).landed
    assert counts(file) == (6, 3, 3, 0)
    assert [(row["order_id"], row["row_number"]) for row in landed("orders")] == [("1", 2), ("2", 4)]
    assert [row["line_number"] for row in landed("order_lines")] == [2, 3, 4]
    assert landed("order_lines")[0]["unit_price_amount"] == Decimal("2.5000")
    assert [(row["language"], row["event_date"]) for row in landed("customers")] == [("de", date(2024, 3, 1))]
    assert [(row["row_number"], row["table"], row["reasons"]) for row in quarantine.rows(paths)] == [
        (1, "order_lines", ["missing:product_id"]),
        (5, "orders", ["test_invoice"]),
        (6, "orders", ["in_no_table"]),
    ]


def test_in_a_history_tables_without_a_time_take_the_day_of_their_row(shop_with, write_csv, drops, landed):
    rows = [
        LINE | {"at": "2024-02-01 10:00"},
        LINE | {"at": "2024-02-01 11:00"},
        LINE | {"at": f"{DAY} 10:00"},
    ]
    write_csv("invoices_all.csv", rows)
    shop = shop_with(sources=[INVOICES | {"delivered_on": "row"}], required=["orders"], daily=["orders"])
    receive(shop, drops)
    days = [(row["event_date"], row["delivered_on"], row["row_number"]) for row in landed("customers")]
    assert days == [(date(2024, 2, 1), date(2024, 2, 1), 1), (date(2024, 3, 1), date(2024, 3, 1), 3)]


OURS = ("delivered_on", "file_id", "due_by", "Delivered_On")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize("column", OURS)
def test_a_column_of_the_shop_may_be_called_as_one_of_ours(shop_with, drops, landed, column, ending):
    row = {"id": "o1", "who": "c1", column: f"{DAY} 10:00:00"}
    text = json.dumps(row) if ending == "jsonl" else f"id,who,{column}\no1,c1,{row[column]}"
    (drops / f"orders_2024-03-02.{ending}").write_text(text + "\n", encoding="utf-8")
    status = {"sql": f"case when {column} like '2024%' then 'completed' end"}
    mapped = {"order_id": "id", "customer_id": "who", "ordered_at": column, "order_status": status}
    source = {
        "name": "orders",
        "files": ["orders_*"],
        "quarantine": [{"where": f"{column} is null", "reason": "no_day"}],
        "tables": {"orders": {"where": f"{column} like '2024%'", "columns": mapped}},
    }
    shop = shop_with(sources=[source], required=["orders"], daily=["orders"])
    (file,) = receive(shop, drops).landed
    assert counts(file) == (1, 1, 0, 0)
    (order,) = landed("orders")
    assert (order["ordered_at"], order["delivered_on"]) == (datetime(2024, 3, 1, 9), date(2024, 3, 2))
    assert order["order_status"] == "completed"


def test_where_a_columns_name_is_taken_json_has_a_pointer(shop_with, drops, landed):
    columns = {"order_id": "/row_number", "ordered_at": "/file_index"}
    (drops / f"orders_{DAY}.jsonl").write_text(
        json.dumps({"row_number": "o7", "file_index": f"{DAY} 10:00:00"}) + "\n", encoding="utf-8"
    )
    source = {"name": "orders", "files": ["orders_*"], "tables": {"orders": {"columns": columns}}}
    receive(shop_with(sources=[source], required=["orders"], daily=["orders"]), drops)
    assert [order["order_id"] for order in landed("orders")] == ["o7"]


def test_in_a_history_a_row_that_no_table_dates_is_quarantined(
    shop_with, write_csv, drops, landed, paths, view
):
    """u1 views p1; a line of the catalogue stands in the same file and says no day."""
    source = {
        "name": "mixed",
        "files": ["mixed_*"],
        "tables": {
            "events": {"as_contract": True, "where": "event_type <> 'catalogue'"},
            "products": {"where": "event_type = 'catalogue'", "columns": {"product_id": "product_id"}},
        },
    }
    write_csv("mixed_all.csv", [view, view | {"event_type": "catalogue", "occurred_at": ""}])
    receive(shop_with(sources=[source]), drops, is_history=True)
    assert len(landed("events")) == 1 and not landed("products")
    assert [row["reasons"] for row in quarantine.rows(paths)] == [["undated"]]


# --- kills

KILLED = """
import os, sys
from datetime import date
from pathlib import Path
import settings
settings.ROOT = Path(sys.argv[1])
from landing import ledger, shops
from landing.receive import receive
ledger.commit = lambda paths, decisions: os._exit(9)
receive(shops.load("corner"), Path(sys.argv[2]))
"""


def test_a_kill_between_parquet_and_ledger_leaves_nothing_visible(
    write_csv, drops, corner, land, landed, paths, view, tmp_path
):
    write_csv(f"events_{DAY}.csv", [view, view | {"event_type": "buy"}])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(drops)], env=environment, cwd=tmp_path, check=False
    )
    assert killed.returncode == 9
    assert len(landed("events")) == 1  # written, but
    assert ledger.accepted(paths) == []
    assert list(quarantine.rows(paths)) == []
    assert ledger.latest_complete_day("corner") is None
    before = landed("events")
    assert [counts(file) for file in land().landed] == [(2, 1, 1, 0)]
    assert landed("events") == before


def test_what_a_killed_process_left_is_swept_away(write_csv, land, landed, view, paths):
    write_csv(f"events_{DAY}.csv", [view])
    land()
    stray = paths.landing / "events" / "2023-01-01" / "0123456789abcdef.parquet"
    stray.parent.mkdir()
    os.link(next((paths.landing / "events" / DAY).iterdir()), stray)
    land()
    assert not stray.exists()
    assert len(landed("events")) == 1


# --- walls


def test_expressions_reach_no_file_outside(corner, paths, drops, tmp_path):
    paths.landing.mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    pseudonyms.key(paths)
    with chunk.connect(corner, paths, drops, paths.landing) as connection:
        for path in (tmp_path / "secret.txt", paths.secrets / "pseudonym.key"):
            with pytest.raises(duckdb.PermissionException):
                connection.execute("from read_text($path)", {"path": str(path)})
        with pytest.raises(duckdb.InvalidInputException):
            connection.execute("set enable_external_access = true")


def test_what_lies_in_the_data_folder_is_for_its_owner(write_csv, land, view, paths):
    write_csv(f"events_{DAY}.csv", [view | {"event_type": "buy"}])
    land()
    modes = {path: path.stat().st_mode & 0o777 for path in (paths.landing, paths.quarantine, paths.secrets)}
    assert set(modes.values()) == {0o700}
    private = [*paths.quarantine.iterdir(), *paths.secrets.iterdir(), paths.ledger]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}


@pytest.mark.parametrize(("readable", "status"), [(0, "refused"), (1, "held")])
def test_a_required_column_of_another_type_refuses_the_file(write_csv, land, paths, view, readable, status):
    times = ["1709283600000"] * 5 + [f"{DAY} 10:00:00"] * readable + [""]
    write_csv(
        f"events_{DAY}.csv", [view | {"event_id": str(i), "occurred_at": t} for i, t in enumerate(times)]
    )
    land()
    (file,) = ledger.files(paths)
    assert file.status == status
    if not readable:
        assert (
            "'occurred_at' has another type: none of its 5 values can be read as timestamp" in file.reasons[0]
        )
        assert ledger.accepted(paths) == [] and list(quarantine.rows(paths)) == []


@pytest.mark.parametrize("nested", ["['a', 'b']", "{'id': 'p1'}", "map {'id': 'p1'}"])
def test_parquet_with_a_list_or_struct_where_a_text_is_mapped_is_refused(drops, land, landed, nested):
    duckdb.execute(
        "copy (select 'e1' as event_id, 'view' as event_type, "
        "timestamp '2024-03-01 10:00:00' as occurred_at, "
        f"'c1' as customer_id, {nested} as product_id, [1, 2] as unread) "
        f"to '{drops / f'events_{DAY}.parquet'}' (format parquet)"
    )
    (refused,) = land().refused
    assert re.match(
        r"no single value stands in 'product_id' \((VARCHAR\[\]|STRUCT\(.*\)|MAP\(.*\))\): deliver texts or "
        r"numbers, or, .* write {sql: .*product_id.*} in the mapping of source 'events'",
        refused.reasons[0],
    )
    assert landed("events") == []


def test_rows_of_jsonl_with_a_list_or_object_where_a_text_is_mapped_are_quarantined(
    drops, land, landed, view, paths
):
    found = [["a", "b"], {"id": "p1"}, "[new] lamp", '{"id": "as text"}', "p1", 7]
    lines = [view | {"event_id": f"e{number}", "product_id": each} for number, each in enumerate(found)]
    lines.append(view | {"event_id": "e9", "customer_id": ["c1", "c2"]})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (drops / f"events_{DAY}.jsonl").write_text(text, encoding="utf-8")
    land()
    assert [row["product_id"] for row in landed("events")] == ["[new] lamp", '{"id": "as text"}', "p1", "7"]
    assert [(row["row_number"], row["reasons"]) for row in quarantine.rows(paths)] == [
        (1, ["unreadable:product_id"]),
        (2, ["unreadable:product_id"]),
        (7, ["unreadable:customer_id"]),
    ]


def test_columns_that_nothing_reads_are_told_and_kept_for_their_owner(drops, land, view, paths):
    row = view | {"colour": "red", "Colour": "#f00", "the weather": ""}
    (drops / f"events_{DAY}.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n", encoding="utf-8")
    (drops / "events_2024-03-02.jsonl").write_text(
        json.dumps(row | {"event_id": "2", "occurred_at": "2024-03-02"}) + "\n", encoding="utf-8"
    )
    unread = ("Colour", "colour", "the weather")
    report = land()
    assert [file.unused_columns for file in report.landed] == [unread] * 2
    land()  # sweeps the quarantine
    for file, nothing in zip(report.landed, (None, ""), strict=True):
        kept = quarantine.unread_path(paths, file.file_id)
        assert kept.stat().st_mode & 0o777 == 0o600
        found = duckdb.connect().execute("from read_parquet($path)", {"path": str(kept)}).fetchall()
        assert [texts for _, texts in found] == [dict(zip(unread, ("#f00", "red", nothing), strict=True))]


def test_of_nested_json_the_leaves_that_nothing_reads_are_told_and_kept(shop_with, drops, paths):
    line = {
        "user": {"id": "c1", "city": "Bonn"},
        "events": [{"kind": "view", "at": DAY, "a/b": 1}],
        "extra": 2,
    }
    (drops / f"events_{DAY}.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    columns = {"event_type": "/events/kind", "occurred_at": "/events/at", "customer_id": "/user/id"}
    source = {
        "name": "events",
        "files": ["events_*"],
        "jsonl": {"each": "events"},
        "tables": {"events": {"columns": columns}},
    }
    (file,) = receive(shop_with(sources=[source]), drops).landed
    assert (file.rows_good, file.unused_columns) == (1, ("/events/a~1b", "/user/city", "extra"))
    kept = {"path": str(quarantine.unread_path(paths, file.file_id))}
    ((texts,),) = duckdb.connect().execute("select columns from read_parquet($path)", kept).fetchall()
    assert texts == {"/events/a~1b": "1", "/user/city": "Bonn", "extra": "2"}
