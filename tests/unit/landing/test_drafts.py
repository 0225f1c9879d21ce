"""``python -m landing map``: what a draft says of files in known shops' manner, and what it never says."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timedelta

import pytest
import yaml

import cli
from landing import shops
from landing.__main__ import parser
from landing.receive import receive
from tests import taobao

DAY = "2024-03-05"
NAMES = ("Ann", "Bob", "Cem", "Dia", "Eve", "Fay")


@pytest.fixture
def mapped(capsys):
    """Draft from files; return the exit code, the draft and what was said beside it."""

    def act(*paths, **options):
        argv = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        code = cli.run(parser(), ["map", *map(str, paths), *argv])
        seen = capsys.readouterr()
        return code, seen.out, seen.err

    return act


@pytest.fixture
def land_draft(mapped, tmp_path, monkeypatch):
    """Draft from one file, write the draft down as it is, and land that file by it."""

    def act(path, shop="drafted"):
        code, text, said = mapped(path, shop=shop)
        assert code == cli.DONE, said
        (tmp_path / "drafted").mkdir(exist_ok=True)
        (tmp_path / "drafted" / f"{shop}.yml").write_text(text, encoding="utf-8")
        monkeypatch.setenv("SHOAL_SHOPS", str(tmp_path / "drafted"))
        shops.load.cache_clear()
        (file,) = receive(shops.load(shop), path).landed
        return text, file

    return act


def table(text, name):
    (source,) = yaml.safe_load(text)["sources"]
    return source["tables"][name]["columns"]


@pytest.fixture
def taobao_file(drops):
    day = taobao.FIRST_DAY + timedelta(days=3)
    path = drops / f"behaviour_{day}.csv"
    path.write_text("".join(",".join(map(str, line)) + "\n" for line in taobao.lines_of(120, day)))
    return path


REES46 = (
    "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
    + "".join(
        f"{DAY} 10:{minute:02d}:00 UTC,{kind},44{minute},21038074{minute},toys.{kind},lego,"
        f"{minute}.50,5413121{minute % 5},72d76fde-8bb3-4e00-8c23-a032dfed{minute:04d}\n"
        for minute, kind in enumerate(["view"] * 30 + ["cart"] * 10 + ["purchase"] * 8)
    )
)

ONLINE_RETAIL = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    + "".join(
        f'5363{line // 3},851{line:02d}A,"HEART, WHITE",{-1 if line == 7 else 6},{DAY} 08:{line:02d}:00,2.55,'
        f"{'' if line % 4 == 0 else f'178{line % 3}0.0'},United Kingdom\n"
        for line in range(30)
    )
)


def test_a_draft_of_taobaos_manner_lands_every_line(land_draft, taobao_file):
    text, file = land_draft(taobao_file)
    assert file.rows_good == file.rows_in > 0
    (source,) = yaml.safe_load(text)["sources"]
    assert source["files"] == ["behaviour_*.csv"]
    assert source["csv"]["header"] == ["customer_id", "product_id", "category", "event_type", "time"]
    assert source["formats"] == {"timestamp": "epoch_seconds"}
    assert table(text, "events")["event_type"]["values"] == {"pv": "view", "fav": "favourite"}
    assert {day.table for day in file.tables} == {"events", "orders", "order_lines", "products"}
    assert "customer_id: customer_id  # TODO: guessed" in text


def test_a_draft_of_rees46s_manner_lands_every_row(land_draft, drops):
    path = drops / f"shop-{DAY}.csv.gz"
    path.write_bytes(gzip.compress(REES46.encode()))
    text, file = land_draft(path)
    assert (file.rows_in, file.rows_good) == (48, 48)
    assert {day.table: day.rows_written for day in file.tables} == {
        "events": 40,
        "orders": 8,
        "order_lines": 8,
        "products": 48,
    }
    assert table(text, "order_lines")["unit_price_amount"] == "price"
    assert table(text, "products")["category"] == "category_code"
    assert "customer_id: user_id  # names a person" in text


def test_a_draft_of_online_retails_manner_lands_every_line(land_draft, drops):
    path = drops / f"{DAY}.csv"
    path.write_text(ONLINE_RETAIL)
    text, file = land_draft(path)
    assert (file.rows_in, file.rows_good) == (30, 30)
    rows = {day.table: day.rows_written for day in file.tables}
    assert rows == {"orders": 10, "order_lines": 30, "products": 30, "customers": 3}
    assert "regexp_replace" in table(text, "customers")["customer_id"]["sql"]  # 17810.0 is 17810
    assert "TODO: there are pieces below zero" in text


def test_a_draft_of_nested_jsonl_lands_every_event(land_draft, drops):
    start = int(datetime.fromisoformat(f"{DAY}T10:00:00+00:00").timestamp() * 1000)
    path = drops / f"sessions_{DAY}.jsonl"
    kinds = ["clicks", "clicks", "carts", "orders"]
    path.write_text(
        "".join(
            json.dumps(
                {
                    "session": n,
                    "events": [
                        {"aid": i, "ts": start + n * 9000 + i, "type": k} for i, k in enumerate(kinds)
                    ],
                }
            )
            + "\n"
            for n in range(20)
        )
    )
    text, file = land_draft(path)
    assert (file.rows_in, file.rows_good) == (80, 80)
    assert yaml.safe_load(text)["sources"][0]["jsonl"] == {"each": "events"}


def test_a_file_under_the_contracts_names_needs_no_mapping(mapped, write_csv, view):
    _, text, _ = mapped(write_csv(f"events_{DAY}.csv", [view]), shop="drafted")
    assert yaml.safe_load(text)["sources"] == [
        {"name": "events", "files": ["events_*.csv"], "tables": ["events"]}
    ]


@pytest.mark.parametrize(
    ("delimiter", "encoding", "time", "price", "expected"),
    [
        (
            ";",
            "utf-8",
            "05.03.2024 10:{:02d}",
            "1.2{:02d},50",
            {"csv": {"delimiter": ";"}, "formats": {"timestamp": "%d.%m.%Y %H:%M", "money": "1.234,56"}},
        ),
        (
            "\t",
            "gb18030",
            "2024/03/05 10:{:02d}:00",
            "{}.5",
            {
                "csv": {"delimiter": "\t", "encoding": "gb18030"},
                "formats": {"timestamp": "%Y/%m/%d %H:%M:%S"},
            },
        ),
    ],
)
def test_a_draft_finds_how_a_file_is_written(land_draft, drops, delimiter, encoding, time, price, expected):
    path = drops / f"sales_{DAY}.csv"
    rows = [["订单号", "user", "sku", "title", "time", "price"]]
    rows += [[f"b{n}", f"u{n % 7}", f"s{n % 5}", "茶", time.format(n), price.format(n)] for n in range(40)]
    path.write_text("".join(delimiter.join(row) + "\n" for row in rows), encoding=encoding)
    text, file = land_draft(path)
    (source,) = yaml.safe_load(text)["sources"]
    assert {name: source[name] for name in expected} == expected
    assert (file.rows_in, file.rows_good) == (40, 40)


GERMAN = (
    "Bestellnummer;Kundennummer;Bestelldatum;Artikelnummer;Artikelbezeichnung;Menge;Einzelpreis;Status;E-Mail\r\n"
    + "".join(
        f"B{line // 2};K{line % 7};0{line % 9 + 1}.03.2024 08:15;A{line % 5};Größe {line % 5}, weiße;1;"
        f"1.234,50;{('Bezahlt', 'Storniert', 'Versandt', 'Umtausch')[line % 4]};k{line % 7}@example.org\r\n"
        for line in range(40)
    )
)
CHINESE = "订单编号,用户编号,下单时间,商品编号,商品名称,数量,单价,订单状态,手机号\n" + "".join(
    f"{line // 2},{line % 7},2024/03/0{line % 9 + 1} 08:15:00,{line % 5},连衣裙,1,￥10.50,"
    f"{('已付款', '已取消', '已发货', '换货中')[line % 4]},1381234000{line % 7}\n"
    for line in range(40)
)


@pytest.mark.parametrize(
    ("text", "encoding", "strange"), [(GERMAN, "cp1252", "Umtausch"), (CHINESE, "gb18030", "换货中")]
)
def test_german_and_chinese_orders_are_recognised_by_their_headers(mapped, drops, text, encoding, strange):
    path = drops / f"sales_{DAY}.csv"
    path.write_bytes(text.encode(encoding))
    _, draft, _ = mapped(path, shop="sales")
    (source,) = yaml.safe_load(draft)["sources"]
    order_id, customer_id, ordered_at, product_id, title, quantity, _, status, contact = text.split(
        "\r\n" if ";" in text else "\n"
    )[0].split(source["csv"].get("delimiter", ","))
    assert source["csv"]["encoding"] == encoding
    orders, lines = table(draft, "orders"), table(draft, "order_lines")
    assert (orders["order_id"], orders["customer_id"]) == (order_id, customer_id)
    assert (orders["ordered_at"], lines["quantity"]) == (ordered_at, quantity)
    assert table(draft, "products") == {"product_id": product_id, "title": title}
    assert orders["order_status"]["from"] == status
    assert set(orders["order_status"]["values"].values()) == {"paid", "cancelled", "shipped"}
    assert f"TODO: what do {strange} mean?" in draft
    assert table(draft, "customers")[("email" if ";" in text else "phone")] == contact
    assert "nothing is mapped" not in draft


def test_a_column_that_no_table_takes_is_listed(mapped, drops):
    path = drops / f"sales_{DAY}.csv"
    header = "order_id,date,sku,qty,price,currency,email,colour\n"
    path.write_text(header + f"1,{DAY},a,1,2.5,EUR,a@example.org,red\n" * 9)
    _, draft, _ = mapped(path, shop="sales")
    assert table(draft, "orders")["currency"] == "currency"
    assert "# Left out, as they may identify a person: email\n" in draft
    assert "# TODO: nothing is mapped from colour\n" in draft


def test_signs_of_a_currency_are_taken_off(land_draft, drops):
    path = drops / f"sales_{DAY}.csv"
    path.write_text(
        "order_id,user,sku,time,price\n" + "".join(f"{n},u,s,{DAY} 10:{n:02d},¥1{n}.00\n" for n in range(20))
    )
    _, file = land_draft(path)
    assert file.rows_good == 20


def test_days_and_months_that_cannot_be_told_apart_are_asked_about(mapped, drops):
    path = drops / f"sales_{DAY}.csv"
    path.write_text(
        "order_id,user,sku,time,price\n" + "".join(f"{n},u,s,03/05/2024 10:{n:02d},1\n" for n in range(20))
    )
    _, text, _ = mapped(path, shop="drafted")
    assert "# TODO: the times can be read as %d/%m/%Y %H:%M or %m/%d/%Y %H:%M: which?" in text


# --- what a draft never says


def test_no_value_that_may_name_a_person_is_printed(mapped, drops):
    """Names, addresses and numbers stand in every kind of column, also in one that is called an action."""
    secret = [f"{name.lower()}.secret@example.com" for name in NAMES]
    header = "user_id,email,full_name,ip,contact,action,remark,time,product_id"
    rows = [
        f"u-secret-{n},{mail},{name} Secret,10.9.8.{n},{mail},{'view' if n else 'SecretAction'},"
        f"Secret {n},{DAY} 10:0{n},p"
        for n, (mail, name) in enumerate(zip(secret, NAMES, strict=True))
    ]
    (drops / f"visits_{DAY}.csv").write_text("\n".join([header, *rows]) + "\n")
    _, text, said = mapped(drops / f"visits_{DAY}.csv", shop="drafted")
    assert "secret" not in (text + said).lower()
    assert "10.9.8" not in text + said
    assert "Left out, as they may identify a person: ip, contact" in text
    assert "nothing is mapped from remark" in text
    for column in ("email", "full_name"):
        assert f"{column}: {column}  # names a person: never leaves landing" in text


@pytest.mark.parametrize(("last", "code"), [(f"{DAY} 10:0", cli.DONE), ("tea", cli.FAILED)])
def test_the_first_row_of_a_file_without_a_header_is_not_printed(mapped, drops, last, code):
    rows = [f"{name},{name} Secret,Secret Street,pv,{last}{n}" for n, name in enumerate(NAMES)]
    (drops / f"visits_{DAY}.csv").write_text("\n".join(rows) + "\n")
    found, text, said = mapped(drops / f"visits_{DAY}.csv", shop="drafted")
    assert "Secret" not in text + said and "Ann" not in text + said
    assert found == code


# --- where it cannot


def test_a_draft_that_is_not_whole_says_what_is_missing(mapped, drops):
    (drops / f"goods_{DAY}.csv").write_text("sku,title\n1,tea\n2,cup\n")
    code, text, said = mapped(drops / f"goods_{DAY}.csv", shop="drafted")
    assert code == cli.FAILED
    assert "products:" in text
    assert "no source delivers events or orders" in " ".join(said.split()) or "daily" in said


def test_several_samples_make_one_shop(mapped, drops, taobao_file):
    (drops / f"goods_{DAY}.csv").write_text("sku,title\n1,tea\n2,cup\n")
    code, text, said = mapped(taobao_file, drops / f"goods_{DAY}.csv", shop="drafted", currency="CNY")
    assert code == cli.DONE, said
    assert [source["name"] for source in yaml.safe_load(text)["sources"]] == ["behaviour", "goods"]


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("sales.pdf", b"%PDF", cli.WRONG_USAGE, "no format that landing reads"),
        ("sales.csv", b"", cli.FAILED, "no rows"),
        ("sales.csv.gz", b"torn", cli.FAILED, "torn, or not what its name says"),
        ("sales.parquet", b"torn", cli.FAILED, "its footer cannot be read"),
        ("sales.jsonl", b"{torn", cli.FAILED, "torn, or not what its name says"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(mapped, drops, name, content, code, said):
    (drops / name).write_bytes(content)
    found, text, error = mapped(drops / name, shop="drafted")
    assert (found, text) == (code, "")
    assert said in error and name in error


def test_help_teaches_how_to_go_on(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["map", "-h"])
    manual = capsys.readouterr().out
    for word in ("TODO", "> shops/myshop.yml", "landing receive", "No values are printed", "exit codes"):
        assert word in manual
