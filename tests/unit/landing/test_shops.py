"""Shop files and contracts speak of each other, both ways, and say where they do not."""

from __future__ import annotations

import re

import pytest

import settings
from cli import ShoalError, UsageError
from landing import contracts, shops
from landing.shops import columns_read

SHIPPED = sorted(path.stem for path in (settings.ROOT / "shops").glob("*.yml"))


PUBLIC = {
    "online_retail": "archive.ics.uci.edu/dataset/352",
    "taobao": "tianchi.aliyun.com/dataset/649",
    "rees46": "kaggle.com/datasets/mkechinov/ecommerce-behavior-data-from-multi-category-store",
    "complete_journey": "github.com/bradleyboehmke/completejourney",
    "eshop_clothing": "archive.ics.uci.edu/dataset/553",
    "otto": "github.com/otto-de/recsys-dataset",
}


def test_the_shipped_shops_are_the_simulated_one_and_the_public_ones():
    assert set(SHIPPED) == {"simulated", *PUBLIC}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_shop_can_be_loaded(name):
    assert shops.load(name).shop == name


def test_the_simulated_shop_delivers_every_contract_table():
    assert shops.load("simulated").delivered_tables == contracts.load().keys()


@pytest.mark.parametrize(("name", "address"), PUBLIC.items())
def test_a_public_shop_says_where_to_download_it_and_on_which_terms(name, address):
    text = settings.ShopPaths(name).config.read_text(encoding="utf-8")
    head = text[: text.index(f"shop: {name}")]
    assert address in head
    assert any(
        terms in head for terms in ("CC BY 4.0", "CC0", "Free to use; name the source", "under the terms")
    )


def test_a_shop_may_overrule_how_its_deliveries_behave():
    assert contracts.load()["products"].delivery == "snapshot"
    assert shops.load("online_retail").delivery("products") == "upsert"
    assert shops.load("simulated").delivery("products") == "snapshot"


BROKEN = [
    ({"time_zone": "Europe/Bonn"}, "time zone 'Europe/Bonn' is unknown"),
    ({"currency": "euro"}, "currency"),
    ({"daily": ["payments"]}, "['payments'] are mapped from no source"),
    ({"surprise": 1}, "surprise"),
    ({"judge": [{"cut": "2026-05-01", "horizon_days": 30, "role": "report"}] * 2}, "2 cuts report"),
    ({"formats": {"money": "1 234,56"}}, "formats.money"),
    ({"formats": {"timestamp": "%Q"}}, "timestamp '%Q' is no pattern: write iso, epoch_seconds"),
    ({"formats": {"timestamp": "epoch"}}, "timestamp 'epoch' is no pattern: write iso, epoch_seconds"),
    ({"formats": {"timestamp": "%Y-%m-%d %I:%M"}}, "would read afternoons as mornings: %I has twelve hours"),
]
BROKEN_SOURCES = [
    ({"tables": ["events", "invoices"]}, "table 'invoices' has no contract"),
    (
        {"tables": {"events": {"as_contract": True, "columns": {"colour": "c"}}}},
        "events has no columns ['colour']",
    ),
    ({"tables": {"events": {"columns": {"event_type": "t"}}}}, "events needs ['occurred_at']"),
    ({"tables": {"events": {"as_contract": True, "first_per": ["id"]}}}, "every table says first_per"),
    (
        {"tables": {"events": {"as_contract": True, "columns": {"page": {"from": "a", "constant": "b"}}}}},
        "exactly one",
    ),
    (
        {"tables": {"events": {"as_contract": True, "columns": {"page": "row_number"}}}},
        "column 'row_number' is called as the number that landing gives a row",
    ),
    (
        {"tables": {"events": {"as_contract": True, "columns": {"page": {"key_of": ["File_Index"]}}}}},
        "column 'File_Index' is called as the number that landing gives a file",
    ),
    (
        {"tables": {"events": {"as_contract": True, "where": "FILE_INDEX = 1"}}},
        "or, in jsonl, map its pointer '/FILE_INDEX'",
    ),
    (
        {"tables": {"events": {"as_contract": True, "columns": {"page": "Title", "query": "title"}}}},
        "columns 'Title' and 'title' differ by case alone",
    ),
    ({"tables": ["events"], "csv": {"delimiter": "five!"}}, "csv.delimiter"),
    ({"tables": ["events"], "csv": {"encoding": "klingon"}}, "encoding 'klingon' is unknown: use"),
    ({"tables": ["events"], "csv": {"encoding": "base64"}}, "encoding 'base64' is unknown: use"),
    ({"tables": {"products": {"as_contract": True}}}, "no source delivers events or orders"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN)
def test_a_shop_that_contradicts_itself_is_refused_with_the_place(shop_with, change, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        shop_with(**change)


@pytest.mark.parametrize(("change", "said"), BROKEN_SOURCES)
def test_a_source_that_contradicts_the_contracts_is_refused_with_the_place(shop_with, change, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        shop_with(sources=[{"name": "events", "files": ["*"], **change}], daily=["events"], required=[])


def test_a_key_that_stands_twice_is_refused_with_its_line(shop_with, tmp_path):
    shop_with()
    path = tmp_path / "shops" / "corner.yml"
    path.write_text(path.read_text().replace("currency: EUR\n", "currency: EUR\ncurrency: USD\n"))
    with pytest.raises(UsageError, match=r"(?s)'currency' stands twice.*line 5"):
        shops.read(path)


def test_an_unknown_shop_is_named_with_those_there_are():
    with pytest.raises(UsageError, match=r"no shop 'nowhere'.*online_retail, .*simulated"):
        shops.load("nowhere")
    with pytest.raises(UsageError, match="no valid name"):
        shops.load("../secrets")


def test_columns_of_an_expression_are_found():
    assert columns_read("case when \"In No\" like 'C%' then lower(a) || row_number end") == {"In No", "a"}


@pytest.mark.parametrize(
    "text",
    [
        "a) , (b",
        "a); drop table raw; --",
        "(select 1)",
        "a in (select b from c)",
        "a; select b",
        "",
        "select a",
    ],
)
def test_what_is_not_one_plain_expression_is_refused(text):
    with pytest.raises(ValueError, match="is not one plain SQL expression"):
        columns_read(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("frobnicate(a)", "frobnicate does not exist"),
        ("regexp_matches(a, '(')", "missing )"),
        ("a + 1", "'+"),
    ],
)
def test_an_expression_that_makes_no_sense_is_refused(text, said):
    with pytest.raises(ValueError, match=re.escape(f"{text!r} makes no sense")) as error:
        columns_read(text)
    assert said in str(error.value)


def test_a_broken_expression_is_met_when_the_shop_is_read(shop_with):
    tables = {"events": {"as_contract": True, "where": "a in (select 1)"}}
    with pytest.raises(UsageError, match="not one plain SQL expression"):
        shop_with(sources=[{"name": "events", "files": ["*"], "tables": tables}])


# --- contracts

GOOD = {
    "table": "visits",
    "description": "Visits.",
    "delivery": "append",
    "key": ["visit_id"],
    "happened_at": "at",
    "max_quarantined_share": 0.05,
    "columns": {
        "visit_id": {"type": "text", "required": True, "description": "Its id."},
        "at": {"type": "timestamp", "required": True, "description": "When."},
    },
}


def test_every_contract_is_named_after_its_file_and_described():
    assert sorted(contracts.load()) == sorted(path.stem for path in contracts.FOLDER.glob("*.yml"))
    for contract in contracts.load().values():
        assert contract.description
        assert all(column.description for column in contract.columns.values())


def test_landed_names_are_unique_and_name_no_person():
    for contract in contracts.load().values():
        names = [contracts.landed_name(name, column) for name, column in contract.columns.items()]
        assert len(names) == len(set(names))
        assert {"email", "phone", "full_name", "customer_id", "device_id"}.isdisjoint(contract.landed_columns)
        assert set(contract.landed_key) <= contract.landed_columns.keys()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": ["visit"]}, "['visit'] are named but not described"),
        ({"happened_at": "when"}, "['when'] are named but not described"),
        ({"delivery": "sometimes"}, "delivery"),
        ({"table": "others"}, "name the file others.yml"),
        (
            {"columns": GOOD["columns"] | {"at": {"type": "timestamp", "description": "When."}}},
            "must be a required",
        ),
        ({"columns": GOOD["columns"] | {"x": {"type": "blob", "description": "X."}}}, "columns.x.type"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused_with_the_place(tmp_path, change, said):
    import yaml

    path = tmp_path / "visits.yml"
    path.write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    assert contracts.read(path).table == "visits"
    path.write_text(yaml.safe_dump(GOOD | change), encoding="utf-8")
    with pytest.raises(ShoalError, match=re.escape(said)):
        contracts.read(path)
