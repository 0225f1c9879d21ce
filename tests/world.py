"""The one fixture world: a small shop, fourteen visitors, and the right answers.

Four months of a shop in Berlin, 1 January to 30 April 2026. Sixty days of history, then two
horizons of thirty days: train at 1 March, test at 31 March, score at 30 April. Every visitor
is there for one definition; what is true of them stands beside their rows. Times are UTC.

``DELIVERIES`` is what the shop drops: delivery day → table → rows, in the contracts' columns.
``write_drops`` writes it as csv files for the shop `world` (``tests/shops/world.yml``).
"""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

FIRST_DAY, TRAIN_CUT, TEST_CUT, LAST_DAY = (
    date(2026, 1, 1),
    date(2026, 3, 1),
    date(2026, 3, 31),
    date(2026, 4, 30),
)
HORIZON_DAYS = 30
SHOP = "world"

Row = dict[str, Any]
DELIVERIES: dict[date, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))


def _deliver(on: str, table: str, **row: Any) -> None:
    DELIVERIES[date.fromisoformat(on)][table].append(row)


def _event(on: str, event_id: str, event_type: str, at: str, **more: Any) -> None:
    _deliver(on, "events", event_id=event_id, event_type=event_type, occurred_at=at, channel="web", **more)


def _order(on: str, order_id: str, at: str, customer: str, *lines: tuple[str, str, str], **more: Any) -> None:
    status = {"order_status": "completed", "updated_at": at, "currency": "EUR", "channel": "web"}
    _deliver(on, "orders", order_id=order_id, ordered_at=at, customer_id=customer, **(status | more))
    for number, (product, quantity, price) in enumerate(lines, start=1):
        _deliver(
            on,
            "order_lines",
            order_id=order_id,
            line_number=number,
            ordered_at=at,
            product_id=product,
            quantity=quantity,
            unit_price_amount=price,
        )


def _refund(on: str, refund_id: str, at: str, amount: str, **more: Any) -> None:
    _deliver(on, "refunds", refund_id=refund_id, refunded_at=at, refund_amount=amount, **more)


# The catalogue: whole on 1 January; from 1 April the teapot is gone and the lamp has a new title.
for _id, _title, _category, _is_goods in [
    ("lamp", "Desk lamp", "light", "true"),
    ("mug", "Blue mug", "kitchen", "true"),
    ("teapot", "Iron teapot", "kitchen", "true"),
    ("POST", "Postage", "", "false"),
]:
    _deliver("2026-01-01", "products", product_id=_id, title=_title, category=_category, is_product=_is_goods)
    if _id != "teapot":
        _title = "Desk lamp, warm white" if _id == "lamp" else _title
        _deliver(
            "2026-04-01", "products", product_id=_id, title=_title, category=_category, is_product=_is_goods
        )

# ana is loyal: an order in every month, 100 each, the last one with postage. Orders as of 30 April: 4.
_deliver(
    "2026-01-01",
    "customers",
    customer_id="ana",
    country="Germany",
    has_marketing_consent="true",
    updated_at="2026-01-01 08:00:00",
)
_order("2026-01-05", "a1", "2026-01-05 10:00:00", "ana", ("lamp", "2", "50.00"))
_order("2026-02-10", "a2", "2026-02-10 10:00:00", "ana", ("lamp", "2", "50.00"))
_order("2026-03-20", "a3", "2026-03-20 10:00:00", "ana", ("lamp", "2", "50.00"))
_order("2026-04-20", "a4", "2026-04-20 10:00:00", "ana", ("lamp", "2", "47.50"), ("POST", "1", "5.00"))
# She moves to Austria and wants no letters any more; the shop tells on 15 March, so the train cut still sees
# Germany and her consent.
_deliver(
    "2026-03-15",
    "customers",
    customer_id="ana",
    country="Austria",
    has_marketing_consent="false",
    updated_at="2026-03-15 08:00:00",
)

# ben looks, waits exactly 30 minutes, looks: one visit. A second more: the next visit. Two visits.
_event(
    "2026-04-02", "b1", "view", "2026-04-02 09:00:00", customer_id="ben", device_id="d-ben", product_id="lamp"
)
_event(
    "2026-04-02", "b2", "view", "2026-04-02 09:30:00", customer_id="ben", device_id="d-ben", product_id="mug"
)
_event(
    "2026-04-02", "b3", "view", "2026-04-02 10:00:01", customer_id="ben", device_id="d-ben", product_id="mug"
)

# cleo fills a cart with two things and 31 minutes later buys one of them: two visits, half of the
# cart abandoned.
_event(
    "2026-03-10",
    "c1",
    "cart",
    "2026-03-10 18:00:00",
    customer_id="cleo",
    device_id="d-cleo",
    product_id="mug",
    quantity="1",
    price_amount="10.00",
)
_event(
    "2026-03-10",
    "c2",
    "cart",
    "2026-03-10 18:00:00",
    customer_id="cleo",
    device_id="d-cleo",
    product_id="teapot",
    quantity="1",
    price_amount="40.00",
)
_order("2026-03-10", "c3", "2026-03-10 18:31:00", "cleo", ("mug", "1", "10.00"), device_id="d-cleo")

# dora browses unnamed in March, logs in on 10 April; the link arrives on 12 April. Before that her
# device is the user.
_event("2026-03-25", "d1", "search", "2026-03-25 20:00:00", device_id="d-dora", query="iron teapot")
_event("2026-03-25", "d2", "view", "2026-03-25 20:01:00", device_id="d-dora", product_id="teapot")
_deliver(
    "2026-04-12",
    "device_links",
    device_id="d-dora",
    customer_id="dora",
    linked_at="2026-04-10 20:00:00",
    method="login",
)

# emil and fay share a tablet: what nobody signed belongs to whoever held it last; before the first
# log-in, to emil.
_deliver(
    "2026-02-01",
    "device_links",
    device_id="d-tablet",
    customer_id="emil",
    linked_at="2026-02-01 12:00:00",
    method="login",
)
_deliver(
    "2026-02-15",
    "device_links",
    device_id="d-tablet",
    customer_id="fay",
    linked_at="2026-02-15 12:00:00",
    method="login",
)
_event("2026-01-20", "e1", "view", "2026-01-20 12:00:00", device_id="d-tablet", product_id="mug")
_event("2026-02-10", "e2", "view", "2026-02-10 12:00:00", device_id="d-tablet", product_id="mug")
_event("2026-02-20", "e3", "view", "2026-02-20 12:00:00", device_id="d-tablet", product_id="lamp")

# On one day emil signs on the sofa, then fay, then emil again: what nobody signs on the next day is emil's.
for _number, _who in enumerate(["emil", "fay", "emil"], start=4):
    _at = f"2026-04-15 {_number + 5:02}:00:00"
    _event("2026-04-15", f"e{_number}", "view", _at, device_id="d-sofa", customer_id=_who, product_id="mug")
_event("2026-04-16", "e7", "view", "2026-04-16 12:00:00", device_id="d-sofa", product_id="lamp")

# gus, hal and ida log in at the kiosk in the shop: three customers, so it tells nobody, and is a user of
# its own.
for _who, _day in [("gus", "2026-04-05"), ("hal", "2026-04-06"), ("ida", "2026-04-07")]:
    _deliver(
        _day,
        "device_links",
        device_id="d-kiosk",
        customer_id=_who,
        linked_at=f"{_day} 15:00:00",
        method="login",
    )
_event("2026-04-08", "k1", "browse", "2026-04-08 15:00:00", device_id="d-kiosk", page="opening hours")

# jon orders on 20 March for 80; on 3 April he cancels. As of 31 March a buyer, as of 30 April not.
_order("2026-03-20", "j1", "2026-03-20 11:00:00", "jon", ("teapot", "2", "40.00"), order_status="placed")
_deliver(
    "2026-04-03",
    "orders",
    order_id="j1",
    ordered_at="2026-03-20 11:00:00",
    customer_id="jon",
    order_status="cancelled",
    updated_at="2026-04-03 09:00:00",
    currency="EUR",
    channel="web",
)

# kim's order is delivered with two lines and corrected a week later to one: 10 + 40, then 40.
_order("2026-04-10", "m1", "2026-04-10 11:00:00", "kim", ("mug", "1", "10.00"), ("teapot", "1", "40.00"))
_order(
    "2026-04-17",
    "m1",
    "2026-04-10 11:00:00",
    "kim",
    ("teapot", "1", "40.00"),
    updated_at="2026-04-17 08:00:00",
)

# rex's order was a test of the till: the shop deletes it, and its line, on the next day.
_order("2026-03-05", "r1", "2026-03-05 11:00:00", "rex", ("lamp", "1", "50.00"))
_deliver(
    "2026-03-06",
    "orders",
    order_id="r1",
    ordered_at="2026-03-05 11:00:00",
    customer_id="rex",
    op="delete",
)
_deliver(
    "2026-03-06",
    "order_lines",
    order_id="r1",
    line_number=1,
    ordered_at="2026-03-05 11:00:00",
    product_id="lamp",
    quantity="1",
    unit_price_amount="50.00",
    op="delete",
)

# lea got money back for something bought before all records: net -25, no order, and still a user.
_refund("2026-04-11", "l1", "2026-04-11 11:00:00", "25.00", customer_id="lea", product_id="lamp")

# mo gets a mug as a present and has a stock adjustment booked on the name: good rows, no sale, not_bought.
_order("2026-04-13", "o1", "2026-04-13 11:00:00", "mo", ("mug", "1", "0.00"), ("mug", "-3", "10.00"))

# nina and oto buy for 200 each on 30 March, inside the train horizon. nina is refunded on the last day that
# counts (31 March + 14 days), oto one day later: nina's label nets to 0, oto's stays 200.
_order("2026-03-30", "n1", "2026-03-30 11:00:00", "nina", ("lamp", "4", "50.00"))
_order("2026-03-30", "n2", "2026-03-30 12:00:00", "oto", ("lamp", "4", "50.00"))
_refund("2026-04-14", "n3", "2026-04-14 09:00:00", "200.00", customer_id="nina", order_id="n1")
_refund("2026-04-15", "n4", "2026-04-15 09:00:00", "200.00", customer_id="oto", order_id="n2")
# Both looked around in February, so that the train cut knows them.
_event("2026-02-27", "n5", "view", "2026-02-27 09:00:00", customer_id="nina", product_id="lamp")
_event("2026-02-27", "n6", "view", "2026-02-27 09:00:00", customer_id="oto", product_id="lamp")

# pat's view of 1 April is delivered twice, and one of 1 March arrives on 10 April: the train cut must
# not know it.
_event(
    "2026-04-01", "p1", "view", "2026-04-01 09:00:00", customer_id="pat", device_id="d-pat", product_id="mug"
)
_event(
    "2026-04-02", "p1", "view", "2026-04-01 09:00:00", customer_id="pat", device_id="d-pat", product_id="mug"
)
_event(
    "2026-04-10", "p2", "view", "2026-03-01 09:00:00", customer_id="pat", device_id="d-pat", product_id="mug"
)

# quinn reviews, pays, has a payment fail, on the first and on the last day.
_order("2026-01-01", "q1", "2026-01-01 10:00:00", "quinn", ("mug", "3", "10.00"), discount_amount="3.00")
_deliver(
    "2026-01-01",
    "payments",
    payment_id="q2",
    order_id="q1",
    customer_id="quinn",
    paid_at="2026-01-01 10:01:00",
    paid_amount="27.00",
    method="card",
    payment_status="failed",
)
_deliver(
    "2026-01-01",
    "payments",
    payment_id="q3",
    order_id="q1",
    customer_id="quinn",
    paid_at="2026-01-01 10:02:00",
    paid_amount="27.00",
    method="card",
    payment_status="succeeded",
)
_deliver(
    "2026-04-30",
    "reviews",
    review_id="q4",
    customer_id="quinn",
    product_id="mug",
    order_id="q1",
    reviewed_at="2026-04-30 21:30:00",
    score="4",
    review_text="Sturdy, and blue.",
    language="en",
)
# The first and the last day are complete: events and orders were delivered. Nobody is behind the last order.
_event("2026-01-01", "z0", "browse", "2026-01-01 12:00:00", device_id="d-stranger", page="home")
_event("2026-04-30", "z1", "browse", "2026-04-30 12:00:00", device_id="d-stranger", page="home")
_order("2026-04-30", "z2", "2026-04-30 13:00:00", "", ("POST", "1", "5.00"))

USERS_AS_OF_LAST_DAY = {
    *("ana", "ben", "cleo", "dora", "emil", "fay", "jon", "kim", "lea", "mo", "nina", "oto", "pat", "quinn"),
    *("d-kiosk", "d-stranger"),
}
"""Everybody with a trace: gus, hal and ida only logged in somewhere, which is no behaviour."""


def write_drops(folder: Path) -> None:
    """Write what the shop drops: ``<table>_<delivery day>.csv``, one file per table and day."""
    folder.mkdir(parents=True, exist_ok=True)
    for day, tables in DELIVERIES.items():
        for table, rows in tables.items():
            columns = list(dict.fromkeys(name for row in rows for name in row))
            with (folder / f"{table}_{day}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


def write_crowd(folder: Path) -> None:
    """Write the drops of 64 more customers, as clusters need members.

    They order once to four times, a month apart.
    """
    rows: dict[Path, list[dict[str, Any]]] = defaultdict(list)
    for number in range(64):
        for month in range(number % 4 + 1):
            day = FIRST_DAY + timedelta(days=number % 28 + 30 * month)
            order = {"order_id": f"crowd{number}-{month}", "ordered_at": f"{day} {8 + number % 12:02d}:00:00"}
            head = {"customer_id": f"crowd{number}", "order_status": "completed", "currency": "EUR"}
            line = {"line_number": 1, "product_id": "mug", "quantity": 1 + number % 3}
            rows[folder / f"orders_crowd_{day}.csv"].append(
                order | head | {"updated_at": order["ordered_at"]}
            )
            rows[folder / f"order_lines_crowd_{day}.csv"].append(
                order | line | {"unit_price_amount": 10 + number}
            )
    for path, given in rows.items():
        write_file(path, *given)


def write_file(path: Path, *rows: dict[str, Any]) -> None:
    """Write a drop."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
