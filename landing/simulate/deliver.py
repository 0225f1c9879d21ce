"""What the shop writes into its files: one table of texts per contract table.

Every row also carries ``_seconds`` (when it happened, for sorting) and ``_day`` (the
number of the day with whose file it is delivered; later than it happened for late rows).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from landing.simulate.orders import METHODS
from landing.simulate.parameters import (
    BLOCK_DAYS,
    CURRENCY,
    EVENT_TYPES,
    OFFERS,
    SECONDS_PER_DAY,
    Flags,
    Integers,
    Parameters,
)
from landing.simulate.people import DEVICE_KINDS, customer_rows
from landing.simulate.shop import Shop
from landing.simulate.texts import (
    local_times,
    money,
    numbers,
    offset_times,
    pick,
    random_ids,
    utc_times,
)
from landing.simulate.voices import TICKET_CHANNELS
from landing.simulate.words import REFUND_REASONS

Random = np.random.Generator

PAGES = ("home", "search", "product", "home", "product", "product", "cart", "checkout")  # per event type
LATE_DAYS = (1, 2, 3, 7, 40)
LATE_SHARES = (0.55, 0.20, 0.15, 0.07, 0.03)


@dataclass(frozen=True)
class Delivery:
    """How a table leaves the shop: daily even if empty, weekly, or only on days with rows."""

    extension: str
    every_days: int = 1
    only_with_rows: bool = False
    quoted: bool = False
    json_numbers: tuple[str, ...] = ()


DELIVERIES = {
    "events": Delivery("csv.gz"),
    "orders": Delivery("csv"),
    "order_lines": Delivery("csv"),
    "payments": Delivery("jsonl.gz", json_numbers=("paid_amount",)),
    "refunds": Delivery("csv", quoted=True),
    "reviews": Delivery("jsonl", every_days=7, json_numbers=("score",)),
    "products": Delivery("parquet", every_days=7),
    "customers": Delivery("csv.gz", every_days=7, quoted=True),
    "device_links": Delivery("csv", every_days=7),
    "campaign_contacts": Delivery("csv", only_with_rows=True),
    "exposures": Delivery("jsonl.gz", every_days=7, json_numbers=("position", "propensity")),
    "support_tickets": Delivery("jsonl", every_days=7),
}


@dataclass(frozen=True)
class Identities:
    """The ids of people and devices per visit, as far as the shop knew them then."""

    customer: pa.Array  # null for whoever was not known
    device: pa.Array

    @classmethod
    def of(cls, shop: Shop) -> Identities:
        known = np.where(shop.visits["is_known"], shop.visits["person"], -1)
        customers = pa.array(shop.people.table["customer_id"], pa.string())
        devices = pa.array(shop.devices.table["device_id"], pa.string())
        return cls(pick(customers, known), pick(devices, shop.visits["device"]))


def tabulate(shop: Shop, ids: Random, late: Random) -> dict[str, pa.Table]:
    """Return every table as the shop would write it, clean, in random order, whenever it is delivered."""
    identities = Identities.of(shop)
    order_ids = random_ids("O", len(shop.orders), ids)
    products = pa.array(shop.catalogue.products["product_id"], pa.string())
    customers = pa.array(shop.people.table["customer_id"], pa.string())
    devices = pa.array(shop.devices.table["device_id"], pa.string())
    return {
        "events": _events(shop, identities, products, ids, late),
        "orders": _orders(shop, identities, order_ids),
        "order_lines": _order_lines(shop, order_ids, products),
        "payments": _payments(shop, identities, order_ids, ids, late),
        "refunds": _refunds(shop, identities, order_ids, products, ids, late),
        "reviews": _reviews(shop, identities, order_ids, products, ids),
        "products": _products(shop),
        "customers": _customers(shop),
        "device_links": _device_links(shop, customers, devices),
        "campaign_contacts": _campaign_contacts(shop, customers, ids),
        "exposures": _exposures(shop, identities, products, ids),
        "support_tickets": _support_tickets(shop, identities, order_ids, ids),
    }


def business_day(seconds: npt.ArrayLike) -> Integers:
    """Return the number of the day, 0 for the first; what is older is delivered with the first."""
    day: Integers = np.maximum(np.asarray(seconds) // SECONDS_PER_DAY, 0).astype(np.int64)
    return day


def campaign_id(campaign: npt.ArrayLike, shop: Shop) -> pa.Array:
    """Return the shop's name of each campaign; null for none."""
    first = shop.contacts.drop_duplicates("campaign").set_index("campaign").sort_index()
    names = [
        f"{shop.parameters.start + timedelta(days=block * BLOCK_DAYS):%Y-%m}-{OFFERS[offer].code.lower()}"
        for block, offer in zip(first["block"].tolist(), first["offer"].tolist(), strict=True)
    ]
    return pick(pa.array(names or [""], pa.string()), campaign)


def _finish(
    columns: dict[str, pa.Array], seconds: npt.ArrayLike, day: npt.ArrayLike | None = None
) -> pa.Table:
    seconds = np.asarray(seconds).astype(np.int64)
    day = business_day(seconds) if day is None else np.asarray(day, dtype=np.int64)
    return pa.table({**columns, "_seconds": seconds, "_day": day})


def _delay(seconds: npt.ArrayLike, parameters: Parameters, late: Random) -> Integers:
    """Return the day of delivery: nearly always the day itself, now and then days later."""
    day = business_day(seconds)
    is_late = late.random(len(day)) < parameters.late
    return day + np.where(is_late, late.choice(LATE_DAYS, len(day), p=LATE_SHARES), 0)


def _events(shop: Shop, identities: Identities, products: pa.Array, ids: Random, late: Random) -> pa.Table:
    events = shop.events
    block = shop.visits["block"].to_numpy()[events["visit"]]
    priced = events["product"].to_numpy() >= 0
    cents = np.where(priced, shop.catalogue.price_cents[block, np.maximum(events["product"], 0)], -1)
    kinds = pa.array(DEVICE_KINDS)
    columns = {
        "event_id": random_ids("E", len(events), ids),
        "event_type": pick(pa.array(EVENT_TYPES), events["type"]),
        "occurred_at": local_times(events["seconds"], shop.parameters),
        "customer_id": identities.customer.take(pa.array(events["visit"])),
        "device_id": identities.device.take(pa.array(events["visit"])),
        "product_id": pick(products, events["product"]),
        "query": pick(pa.array(shop.catalogue.queries), events["query"]),
        "channel": pick(kinds, shop.devices.table["kind"].to_numpy()[shop.visits["device"]][events["visit"]]),
        "page": pick(pa.array(PAGES), events["type"]),
        "quantity": numbers(events["quantity"], blank_below=0),
        "price_amount": money(cents),
        "campaign_id": campaign_id(events["campaign"], shop),
    }
    return _finish(columns, events["seconds"], _delay(events["seconds"], shop.parameters, late))


def _orders(shop: Shop, identities: Identities, order_ids: pa.Array) -> pa.Table:
    """Return two versions of each order: as placed, and later completed, or cancelled if never paid."""
    orders = shop.orders
    done = orders["seconds"] + (orders["days_to_complete"] * SECONDS_PER_DAY).astype(np.int64)
    done = np.where(orders["fails"], orders["seconds"] + SECONDS_PER_DAY, done)
    placed = orders.assign(order=np.arange(len(orders)), updated=orders["seconds"])
    placed["status"] = np.where(orders["fails"], "placed", "paid")
    finished = placed.assign(updated=done, status=np.where(orders["fails"], "cancelled", "completed"))
    rows = pd.concat([placed, finished], ignore_index=True)
    device = shop.visits["device"].to_numpy()[rows["visit"]]
    columns = {
        "order_id": order_ids.take(pa.array(rows["order"])),
        "ordered_at": offset_times(rows["seconds"], shop.parameters),
        "customer_id": identities.customer.take(pa.array(rows["visit"])),
        "device_id": identities.device.take(pa.array(rows["visit"])),
        "order_status": pa.array(rows["status"], pa.string()),
        "channel": pick(pa.array(DEVICE_KINDS), shop.devices.table["kind"].to_numpy()[device]),
        "currency": pick(pa.array([CURRENCY]), np.zeros(len(rows))),
        "discount_amount": money(rows["discount_cents"]),
        "shipping_amount": money(rows["shipping_cents"]),
        "coupon_code": pick(pa.array([offer.code for offer in OFFERS]), rows["coupon"]),
        "updated_at": offset_times(rows["updated"], shop.parameters),
    }
    return _finish(columns, rows["updated"])


def _order_lines(shop: Shop, order_ids: pa.Array, products: pa.Array) -> pa.Table:
    lines = shop.lines.merge(_order_of_visit(shop), on="visit")
    columns = {
        "order_id": order_ids.take(pa.array(lines["order"])),
        "line_number": numbers(lines["line_number"]),
        "ordered_at": offset_times(lines["ordered"], shop.parameters),
        "product_id": pick(products, lines["product"]),
        "quantity": numbers(lines["quantity"]),
        "unit_price_amount": money(lines["unit_cents"]),
        "discount_amount": money(lines["discount_cents"]),
    }
    return _finish(columns, lines["ordered"])


def _order_of_visit(shop: Shop) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "visit": shop.orders["visit"],
            "order": np.arange(len(shop.orders)),
            "ordered": shop.orders["seconds"],
        }
    )


def _payments(shop: Shop, identities: Identities, order_ids: pa.Array, ids: Random, late: Random) -> pa.Table:
    payments = shop.payments
    columns = {
        "payment_id": random_ids("PAY", len(payments), ids),
        "order_id": order_ids.take(pa.array(payments["order"])),
        "customer_id": identities.customer.take(pa.array(payments["visit"])),
        "paid_at": utc_times(payments["seconds"], shop.parameters),
        "paid_amount": money(payments["paid_cents"]),
        "method": pick(pa.array(METHODS), payments["method"]),
        "payment_status": pa.array(payments["status"], pa.string()),
    }
    return _finish(columns, payments["seconds"], _delay(payments["seconds"], shop.parameters, late))


def _refunds(
    shop: Shop, identities: Identities, order_ids: pa.Array, products: pa.Array, ids: Random, late: Random
) -> pa.Table:
    refunds = shop.refunds.merge(_order_of_visit(shop), on="visit")
    reasons = pa.array([*REFUND_REASONS["en"], *REFUND_REASONS["zh"]])
    person = shop.visits["person"].to_numpy()[refunds["visit"]]
    in_chinese = shop.people.table["is_chinese"].to_numpy()[person]
    columns = {
        "refund_id": random_ids("R", len(refunds), ids),
        "order_id": order_ids.take(pa.array(refunds["order"])),
        "customer_id": identities.customer.take(pa.array(refunds["visit"])),
        "product_id": pick(products, refunds["product"]),
        "refunded_at": offset_times(refunds["seconds"], shop.parameters),
        "quantity": numbers(refunds["quantity"]),
        "refund_amount": money(refunds["refund_cents"]),
        "reason": pick(reasons, refunds["reason"] + len(REFUND_REASONS["en"]) * in_chinese),
    }
    return _finish(columns, refunds["seconds"], _delay(refunds["seconds"], shop.parameters, late))


def _reviews(
    shop: Shop, identities: Identities, order_ids: pa.Array, products: pa.Array, ids: Random
) -> pa.Table:
    reviews = shop.reviews.merge(_order_of_visit(shop), on="visit")
    columns = {
        "review_id": random_ids("V", len(reviews), ids),
        "customer_id": identities.customer.take(pa.array(reviews["visit"])),
        "product_id": pick(products, reviews["product"]),
        "order_id": order_ids.take(pa.array(reviews["order"])),
        "reviewed_at": utc_times(reviews["seconds"], shop.parameters),
        "score": numbers(reviews["score"]),
        "review_text": pa.array(reviews["text"], pa.string()),
        "language": pa.array(reviews["language"], pa.string()),
    }
    return _finish(columns, reviews["seconds"])


def _products(shop: Shop) -> pa.Table:
    """Return what is for sale, week by week, at the prices of its fortnight."""
    days = np.arange(0, shop.parameters.days, DELIVERIES["products"].every_days)
    table = shop.catalogue.products
    rows = pd.DataFrame(
        {"day": np.repeat(days, len(table)), "product": np.tile(np.arange(len(table)), len(days))}
    )
    rows = rows[table["launch_day"].to_numpy()[rows["product"]] <= rows["day"]]
    products = table.iloc[rows["product"]]
    columns = {
        name: pa.array(products[name], pa.string()) for name in ("product_id", "title", "category", "brand")
    }
    block, changed = (rows["day"] // BLOCK_DAYS).to_numpy(), _last_price_change(shop)
    columns |= {
        "price_amount": money(shop.catalogue.price_cents[block, rows["product"]]),
        "description": pa.array(products["description"], pa.string()),
        "is_product": pick(pa.array(["true"]), np.zeros(len(rows))),
        "updated_at": utc_times(changed[block, rows["product"]] * SECONDS_PER_DAY, shop.parameters),
    }
    return _finish(columns, rows["day"] * SECONDS_PER_DAY)


def _last_price_change(shop: Shop) -> Integers:
    """Return the day of the price in force, (blocks, products)."""
    prices = shop.catalogue.price_cents
    changed = np.vstack([np.zeros((1, prices.shape[1]), dtype=bool), prices[1:] != prices[:-1]])
    started = np.where(changed, np.arange(len(prices))[:, None] * BLOCK_DAYS, 0)
    launched = shop.catalogue.products["launch_day"].to_numpy()
    latest: Integers = np.maximum(np.maximum.accumulate(started, axis=0), launched)
    return latest


def _customers(shop: Shop) -> pa.Table:
    rows = customer_rows(shop.people, shop.parameters)
    columns = {
        "customer_id": pa.array(rows["customer_id"], pa.string()),
        "registered_at": offset_times(rows["registered"], shop.parameters),
        "country": pa.array(rows["country"], pa.string()),
        "language": pa.array(rows["language"], pa.string()),
        "email": pa.array(rows["email"], pa.string()),
        "phone": pa.array(rows["phone"], pa.string()),
        "full_name": pa.array(rows["full_name"], pa.string()),
        "has_marketing_consent": _yes_no(rows["has_marketing_consent"].to_numpy(dtype=bool)),
        "has_profiling_consent": _yes_no(rows["has_profiling_consent"].to_numpy(dtype=bool)),
        "updated_at": offset_times(rows["seconds"], shop.parameters),
    }
    return _finish(columns, rows["seconds"])


def _yes_no(flags: Flags) -> pa.Array:
    return pick(pa.array(["false", "true"]), flags)


def _device_links(shop: Shop, customers: pa.Array, devices: pa.Array) -> pa.Table:
    links = shop.links
    columns = {
        "device_id": pick(devices, links["device"]),
        "customer_id": pick(customers, links["person"]),
        "linked_at": offset_times(links["start"], shop.parameters),
        "method": pick(pa.array(["login", "order"]), links["is_order"]),
    }
    return _finish(columns, links["start"])


def _campaign_contacts(shop: Shop, customers: pa.Array, ids: Random) -> pa.Table:
    """Return both arms, with the offer that was made or would have been, at six on the eve."""
    contacts = shop.contacts
    seconds = (contacts["block"] * BLOCK_DAYS - 1) * SECONDS_PER_DAY + 18 * 3_600
    columns = {
        "contact_id": random_ids("K", len(contacts), ids),
        "campaign_id": campaign_id(contacts["campaign"], shop),
        "customer_id": pick(customers, contacts["person"]),
        "contacted_at": offset_times(seconds, shop.parameters),
        "channel": pick(pa.array(["e-mail"]), np.zeros(len(contacts))),
        "arm": pick(pa.array(["control", "treatment"]), contacts["treated"]),
        "offer_code": pick(pa.array([offer.code for offer in OFFERS]), contacts["offer"]),
    }
    return _finish(columns, seconds)


def _exposures(shop: Shop, identities: Identities, products: pa.Array, ids: Random) -> pa.Table:
    exposures = shop.exposures
    columns = {
        "exposure_id": random_ids("X", len(exposures), ids),
        "customer_id": identities.customer.take(pa.array(exposures["visit"])),
        "device_id": identities.device.take(pa.array(exposures["visit"])),
        "shown_at": utc_times(exposures["seconds"], shop.parameters),
        "product_id": pick(products, exposures["product"]),
        "placement": pick(pa.array(["home"]), np.zeros(len(exposures))),
        "position": numbers(exposures["position"]),
        "propensity": pa.array(exposures["propensity"].round(6)).cast(pa.string()),
    }
    return _finish(columns, exposures["seconds"])


def _support_tickets(shop: Shop, identities: Identities, order_ids: pa.Array, ids: Random) -> pa.Table:
    tickets = shop.tickets.merge(_order_of_visit(shop), on="visit")
    columns = {
        "ticket_id": random_ids("T", len(tickets), ids),
        "customer_id": identities.customer.take(pa.array(tickets["visit"])),
        "opened_at": utc_times(tickets["seconds"], shop.parameters),
        "channel": pick(pa.array(TICKET_CHANNELS), tickets["channel"]),
        "language": pa.array(tickets["language"], pa.string()),
        "order_id": order_ids.take(pa.array(tickets["order"])),
        "subject": pa.array(tickets["subject"], pa.string()),
        "ticket_text": pa.array(tickets["text"], pa.string()),
    }
    return _finish(columns, tickets["seconds"])
