"""The mappings that are shipped, on small files in the manner of their shops."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta

import pytest

from landing import quarantine, shops
from landing.receive import receive
from settings import ShopPaths
from tests import taobao


@pytest.fixture
def shop_named():
    shops.load.cache_clear()
    return shops.load


@pytest.fixture
def paths(request):
    return ShopPaths(request.function.__name__.split("_")[1])


DAY = taobao.FIRST_DAY + timedelta(days=3)


@pytest.fixture
def day_of_taobao(drops):
    path = drops / f"behaviour_{DAY}.csv"
    lines = [",".join(map(str, line)) for line in taobao.lines_of(120, DAY)]
    path.write_text("\n".join(lines) + "\n")
    return path, [line.split(",") for line in lines]


def test_taobao_needs_no_header_and_loses_no_line(shop_named, day_of_taobao, paths, landed):
    path, lines = day_of_taobao
    (file,) = receive(shop_named("taobao"), path).landed
    assert (file.rows_in, file.rows_good, file.delivered_on) == (len(lines), len(lines), DAY)
    behaviours = Counter(line[3] for line in lines)
    assert behaviours.keys() == {"pv", "fav", "cart", "buy"}
    assert Counter(row["event_type"] for row in landed("events")) == {
        "view": behaviours["pv"],
        "favourite": behaviours["fav"],
        "cart": behaviours["cart"],
    }
    assert len(landed("orders")) == len(landed("order_lines")) == behaviours["buy"]
    assert {row["product_id"] for row in landed("products")} == {line[1] for line in lines}


def test_taobao_buys_are_orders_of_one_line_without_a_price(shop_named, day_of_taobao, paths, landed):
    path, lines = day_of_taobao
    receive(shop_named("taobao"), path)
    bought = [line for line in lines if line[3] == "buy"]
    order_lines = landed("order_lines")
    assert [row["product_id"] for row in order_lines] == [line[1] for line in bought]
    assert {(row["line_number"], row["quantity"], row["unit_price_amount"]) for row in order_lines} == {
        (1, 1, None)
    }
    assert [row["order_id"] for row in order_lines] == [row["order_id"] for row in landed("orders")]
    assert len({row["order_id"] for row in order_lines}) == len(bought)


def test_taobao_order_ids_do_not_tell_who_ordered(shop_named, drops, paths, landed):
    (drops / f"behaviour_{DAY}.csv").write_text("987654321,11,2,buy,1504500000\n")
    receive(shop_named("taobao"), drops)
    ((line,), (order,)) = landed("order_lines"), landed("orders")
    assert len(line["order_id"]) == 64
    assert "987654321" not in str(line) + str(order)


def test_taobao_times_are_days_in_shanghai(shop_named, drops, paths, landed):
    # 17:00 in UTC on the day before is one o'clock in the morning in Shanghai.
    epoch = int(datetime.fromisoformat(f"{DAY - timedelta(days=1)}T17:00:00+00:00").timestamp())
    (drops / f"behaviour_{DAY}.csv").write_text(f"1,11,2,pv,{epoch}\n")
    receive(shop_named("taobao"), drops)
    (event,) = landed("events")
    assert event["event_date"] == DAY
    assert event["occurred_at"] == datetime(DAY.year, DAY.month, DAY.day) - timedelta(hours=7)


def test_taobao_strange_lines_are_set_aside_one_by_one(shop_named, drops, paths):
    lines = [
        "1,11,2,pv,1504500000",
        "1,11,2,share,1504500001",
        "1,11,2,pv,soon",
        "1,11,2",
        "1,11,2,pv,1504500000",
    ]
    (drops / f"behaviour_{DAY}.csv").write_text("\n".join(lines) + "\n")
    (file,) = receive(shop_named("taobao"), drops).landed
    assert (file.rows_in, file.rows_good, file.rows_quarantined, file.rows_duplicate) == (5, 1, 3, 1)
    found = {row["row_number"]: row["reasons"] for row in quarantine.rows(paths)}
    assert found == {
        2: ["unknown_behaviour", "not_allowed:event_type"],
        3: ["unreadable:occurred_at"],
        4: ["ragged_row"],
    }


def test_taobao_public_file_is_a_history_without_its_strange_years(shop_named, drops, paths, landed):
    inside, outside = 1511539200, 4102444800
    (drops / "UserBehavior.csv").write_text(f"1,11,2,pv,{inside}\n1,12,2,pv,{outside}\n")
    (file,) = receive(shop_named("taobao"), drops).landed
    assert (file.rows_good, file.rows_quarantined, file.delivered_on) == (1, 1, None)
    assert [row["delivered_on"] for row in landed("events")] == [date(2017, 11, 25)]
