"""What is bought, paid and sent back."""

from __future__ import annotations

import numpy as np
import pandas as pd

from landing.simulate.catalogue import NOUNS_PER_CATEGORY, PRODUCTS_PER_NOUN, Catalogue
from landing.simulate.parameters import (
    BLOCK_DAYS,
    GROUPS,
    OFFERS,
    SECONDS_PER_DAY,
    Flags,
    Floats,
    Integers,
    Parameters,
)
from landing.simulate.people import People, draw_category
from landing.simulate.words import CATEGORIES

METHODS = ("card", "wallet", "paynow", "invoice")


def draw_focus(
    visits: pd.DataFrame, people: People, parameters: Parameters, random: np.random.Generator
) -> Integers:
    """Return the kind of product each visit is about, by the person's taste of the time."""
    period = people.period(visits["block"].to_numpy(), parameters)
    category = draw_category(people.taste[period, visits["person"].to_numpy()], random)
    return category * NOUNS_PER_CATEGORY + random.integers(NOUNS_PER_CATEGORY, size=len(visits))


def choose_products(
    visit: Integers,
    visits: pd.DataFrame,
    people: People,
    catalogue: Catalogue,
    parameters: Parameters,
    random: np.random.Generator,
) -> Integers:
    """Choose one product for each row of ``visit``: what the visit is about, a wish, or by taste."""
    person, block, group = (visits[name].to_numpy()[visit] for name in ("person", "block", "group"))
    category = draw_category(people.taste[people.period(block, parameters), person], random)
    by_taste = category * NOUNS_PER_CATEGORY + random.integers(NOUNS_PER_CATEGORY, size=len(visit))
    focused = random.random(len(visit)) < parameters.in_focus
    noun = np.where(focused, visits["focus"].to_numpy()[visit], by_taste)
    cumulative = catalogue.choice[group, noun]  # (rows, 5)
    position = (random.random(len(visit))[:, None] > cumulative[:, :-1]).sum(axis=1)
    wished = random.random(len(visit)) < parameters.wished
    wish = people.wishes[person, random.integers(3, size=len(visit))]
    product = np.where(wished, wish, noun * PRODUCTS_PER_NOUN + position)
    return _if_launched(product, block, catalogue)


def _if_launched(product: Integers, block: Integers, catalogue: Catalogue) -> Integers:
    """Replace what is not for sale yet by the first product of its kind, which always is."""
    launched = catalogue.products["launch_day"].to_numpy()[product] <= block * BLOCK_DAYS
    return np.where(launched, product, product // PRODUCTS_PER_NOUN * PRODUCTS_PER_NOUN)


def draw_lines(
    visits: pd.DataFrame,
    rings: pd.DataFrame,
    people: People,
    catalogue: Catalogue,
    parameters: Parameters,
    random: np.random.Generator,
) -> pd.DataFrame:
    """Draw the basket of every visit that ends in an order in either world, one row per line."""
    may_order = (visits["order_if_untreated"] | visits["order_if_treated"]).to_numpy()
    buyer = np.flatnonzero(may_order)
    group = visits["group"].to_numpy()[buyer]
    value = people.table["value"].to_numpy()[visits["person"].to_numpy()[buyer]]
    further = np.array([each.lines_per_order for each in GROUPS])[group] - 1
    count = 1 + random.poisson(further * value**parameters.value_on_basket)
    is_ring = visits["ring"].to_numpy()[buyer] >= 0
    count[is_ring] = 1
    visit = np.repeat(buyer, count)
    lines = pd.DataFrame({"visit": visit})
    lines["line_number"] = lines.groupby("visit").cumcount() + 1
    lines["product"] = choose_products(visit, visits, people, catalogue, parameters, random)
    ring = visits["ring"].to_numpy()[visit]
    if len(rings):
        ring_product = rings.groupby("ring")["product"].first().to_numpy()
        lines["product"] = np.where(ring >= 0, ring_product[ring], lines["product"])
    pieces = np.array([each.pieces_per_line for each in GROUPS])[visits["group"].to_numpy()[visit]]
    lines["quantity"] = np.where(ring >= 0, 1, random.geometric(1 / pieces))
    lines["unit_cents"] = catalogue.price_cents[visits["block"].to_numpy()[visit], lines["product"]]
    gross = lines["quantity"] * lines["unit_cents"]
    promoted = _draw_promotions(visits, people, parameters, random)[visit]
    lines["discount_cents"] = np.where(promoted, np.round(gross * parameters.promotion_percent), 0).astype(
        np.int64
    )
    return lines


def _draw_promotions(
    visits: pd.DataFrame, people: People, parameters: Parameters, random: np.random.Generator
) -> Flags:
    """Return which visits wait for a promotion if they buy: the price-sensitive ones, mostly."""
    sensitivity = people.table["price_sensitivity"].to_numpy()[visits["person"]]
    return random.random(len(visits)) < parameters.promotion * sensitivity


def draw_orders(
    visits: pd.DataFrame,
    lines: pd.DataFrame,
    contacts: pd.DataFrame,
    people: People,
    parameters: Parameters,
    random: np.random.Generator,
) -> pd.DataFrame:
    """Return one row per visit that ends in an order in either world, with what is paid in each."""
    goods = (lines["quantity"] * lines["unit_cents"] - lines["discount_cents"]).groupby(lines["visit"]).sum()
    orders = pd.DataFrame({"visit": goods.index.to_numpy(), "goods_cents": goods.to_numpy()})
    free = orders["goods_cents"] >= parameters.free_shipping_from_cents
    orders["shipping_if_untreated"] = np.where(free, 0, parameters.shipping_cents)
    orders["redeems"] = _redeems(orders, visits, contacts, people)
    orders["offer"] = np.append(contacts["offer"].to_numpy(), -1)[
        visits["contact"].to_numpy()[orders["visit"]]
    ]
    orders["offer_cents"] = _offer_cents(orders)
    ships_free = (
        np.array([offer.free_shipping for offer in OFFERS] + [False])[orders["offer"]] & orders["redeems"]
    )
    orders["shipping_if_treated"] = np.where(ships_free, 0, orders["shipping_if_untreated"])
    orders["paid_cents_if_untreated"] = orders["goods_cents"] + orders["shipping_if_untreated"]
    orders["paid_cents_if_treated"] = (
        orders["goods_cents"] - orders["offer_cents"] + orders["shipping_if_treated"]
    )
    orders["fails"] = random.random(len(orders)) < parameters.payment_fails
    orders["retries"] = random.random(len(orders)) < parameters.retry
    orders["method"] = random.choice(len(METHODS), len(orders), p=(0.5, 0.25, 0.2, 0.05))
    orders["days_to_complete"] = random.uniform(1.5, 6.0, len(orders))
    return _realise(orders, visits)


def _redeems(orders: pd.DataFrame, visits: pd.DataFrame, contacts: pd.DataFrame, people: People) -> Flags:
    """Return which orders use the offer if treated: those it won, and the price-sensitive of the others."""
    visit = visits.iloc[orders["visit"]]
    chance = np.append(contacts["redeem_chance"].to_numpy(dtype=float), np.inf)[visit["contact"]]
    sensitivity = people.table["price_sensitivity"].to_numpy()[visit["person"]]
    reached = visit["contact"].to_numpy() >= 0
    return reached & (visit["is_added"].to_numpy() | (chance < 0.4 + 0.6 * sensitivity))


def _offer_cents(orders: pd.DataFrame) -> Integers:
    percent = np.array([offer.percent for offer in OFFERS] + [0.0])[orders["offer"]]
    cents = np.array([offer.cents for offer in OFFERS] + [0])[orders["offer"]]
    off = np.minimum(np.round(orders["goods_cents"] * percent) + cents, orders["goods_cents"])
    return np.where(orders["redeems"], off, 0).astype(np.int64)


def _realise(orders: pd.DataFrame, visits: pd.DataFrame) -> pd.DataFrame:
    """Add what happens: exists only where the realised visit ends in an order."""
    visit = visits.iloc[orders["visit"]].reset_index(drop=True)
    treated = visit["is_treated"]
    orders["happens"] = visit["is_order"] & visit["happens"]
    orders["discount_cents"] = np.where(treated, orders["offer_cents"], 0)
    orders["shipping_cents"] = np.where(
        treated, orders["shipping_if_treated"], orders["shipping_if_untreated"]
    )
    orders["paid_cents"] = np.where(
        treated, orders["paid_cents_if_treated"], orders["paid_cents_if_untreated"]
    )
    orders["coupon"] = np.where(treated & orders["redeems"], orders["offer"], -1)
    return orders


def draw_payments(
    orders: pd.DataFrame, is_fraud: Flags, parameters: Parameters, random: np.random.Generator
) -> pd.DataFrame:
    """Return one row per attempt: order, status, seconds, cents.

    ``orders`` are those that happen, ``is_fraud`` is aligned with them. Rings try two more
    cards first, and most of their payments are charged back weeks later.
    """
    failures = np.where(is_fraud, 2, 0) + (orders["fails"] | orders["retries"]).to_numpy()
    failed = orders.loc[orders.index.repeat(failures)].copy()
    failed["attempt"] = failed.groupby(level=0).cumcount()
    succeeded = orders[~orders["fails"]].assign(attempt=failures[~orders["fails"].to_numpy()])
    back = is_fraud & ~orders["fails"].to_numpy() & (random.random(len(orders)) < parameters.charged_back)
    back |= random.random(len(orders)) < 0.001  # honest people dispute, too
    reversed_ = orders[back & ~orders["fails"].to_numpy()].assign(attempt=0)
    wait = random.uniform(10, 35, len(reversed_)) * SECONDS_PER_DAY
    rows = [
        failed.assign(status="failed", after=30 + 90 * failed["attempt"]),
        succeeded.assign(status="succeeded", after=30 + 90 * succeeded["attempt"]),
        reversed_.assign(status="charged_back", after=wait.astype(np.int64)),
    ]
    payments = pd.concat(rows).reset_index(names="order")
    payments["seconds"] = payments["seconds"] + payments["after"]
    return payments[["order", "visit", "status", "seconds", "paid_cents", "method"]]


def draw_refunds(
    lines: pd.DataFrame,
    orders: pd.DataFrame,
    visits: pd.DataFrame,
    parameters: Parameters,
    random: np.random.Generator,
) -> pd.DataFrame:
    """Return one row per returned line of a paid order, with its share of the order's discount taken off."""
    sold = lines.merge(
        orders.loc[~orders["fails"], ["visit", "seconds", "goods_cents", "discount_cents"]].rename(
            columns={"discount_cents": "order_discount_cents"}
        ),
        on="visit",
    )
    chance = _return_chance(sold, visits)
    returned = sold[random.random(len(sold)) < chance].copy()
    net = returned["quantity"] * returned["unit_cents"] - returned["discount_cents"]
    kept_share = 1 - returned["order_discount_cents"] / returned["goods_cents"]
    returned["refund_cents"] = np.floor(net * kept_share).astype(np.int64)
    wait = random.gamma(4, 2.0, len(returned)) + 2  # two days at least, ten on average
    returned["seconds"] = returned["seconds"] + (wait * SECONDS_PER_DAY).astype(np.int64)
    returned["reason"] = random.integers(5, size=len(returned))
    return returned.reset_index(drop=True)


def _return_chance(sold: pd.DataFrame, visits: pd.DataFrame) -> Floats:
    base = np.array([group.return_share for group in GROUPS])[visits["group"].to_numpy()[sold["visit"]]]
    category = sold["product"].to_numpy() // (PRODUCTS_PER_NOUN * NOUNS_PER_CATEGORY)
    factor = np.array([each.return_factor for each in CATEGORIES])[category]
    return np.minimum(base * factor, 0.9)
