"""What happens within a visit: which events, about which products, in which order and rhythm."""

from __future__ import annotations

import numpy as np
import pandas as pd

from landing.simulate.catalogue import PRODUCTS_PER_NOUN, Catalogue
from landing.simulate.orders import choose_products
from landing.simulate.parameters import (
    BROWSE,
    CART,
    CHECKOUT,
    CLICK,
    FAVOURITE,
    GROUPS,
    NEUTRAL_GAP_SECONDS,
    NEUTRAL_PLACES,
    NEUTRAL_STAY,
    PLACE_NOISE,
    SEARCH,
    UNCART,
    VIEW,
    Floats,
    Integers,
    Parameters,
)
from landing.simulate.people import People
from landing.simulate.words import QUERIES

Random = np.random.Generator


def draw_events(
    visits: pd.DataFrame,
    lines: pd.DataFrame,
    clicks: pd.DataFrame,
    people: People,
    catalogue: Catalogue,
    parameters: Parameters,
    random: Random,
) -> pd.DataFrame:
    """Draw every event of the visits that happen, in no order yet.

    One row per event: visit, type, product, query, quantity (-1 where it has none), and
    ``cart``, the row of the cart event that an uncart takes back.
    """
    count = len(visits)
    happening = np.flatnonzero(visits["happens"])
    bought = lines[visits["happens"].to_numpy()[lines["visit"]]]
    left = (
        random.poisson(parameters.carts_left * _factor(visits, "abandon_factor"))
        * visits["happens"].to_numpy()
    )
    checks_out = visits["is_order"].to_numpy() | (
        (left > 0) & (random.random(count) < parameters.checkout_left)
    )
    views = 1 + random.poisson(parameters.views, count)
    parts = [
        _plain(BROWSE, np.repeat(np.arange(count), random.poisson(parameters.browses, count))),
        _searches(visits, people, catalogue, parameters, random),
        _about(VIEW, np.repeat(np.arange(count), views), visits, people, catalogue, parameters, random),
        _about(FAVOURITE, np.repeat(np.arange(count), random.poisson(parameters.favourites, count)),
               visits, people, catalogue, parameters, random),
        _plain(VIEW, bought["visit"].to_numpy()).assign(product=bought["product"].to_numpy()),
        _plain(CLICK, clicks["visit"].to_numpy()).assign(product=clicks["product"].to_numpy()),
        _plain(CHECKOUT, happening[checks_out[happening]]),
        _plain(CART, bought["visit"].to_numpy()).assign(
            product=bought["product"].to_numpy(), quantity=bought["quantity"].to_numpy()),
        _about(CART, np.repeat(np.arange(count), left), visits, people, catalogue, parameters, random)
        .assign(quantity=1),
    ]  # fmt: skip
    events = pd.concat(parts, ignore_index=True)
    events = events[visits["happens"].to_numpy()[events["visit"]]].reset_index(drop=True)
    return _take_out_again(events, len(parts[-1]), parameters, random)


def _factor(visits: pd.DataFrame, name: str) -> Floats:
    return np.array([getattr(group, name) for group in GROUPS])[visits["group"]]


def _plain(kind: int, visit: Integers) -> pd.DataFrame:
    return pd.DataFrame({"visit": visit, "type": kind, "product": -1, "query": -1, "quantity": -1})


def _about(
    kind: int,
    visit: Integers,
    visits: pd.DataFrame,
    people: People,
    catalogue: Catalogue,
    parameters: Parameters,
    random: Random,
) -> pd.DataFrame:
    return _plain(kind, visit).assign(
        product=choose_products(visit, visits, people, catalogue, parameters, random)
    )


def _searches(
    visits: pd.DataFrame, people: People, catalogue: Catalogue, parameters: Parameters, random: Random
) -> pd.DataFrame:
    """Search for what the visit is about, in the visitor's language."""
    visit = np.repeat(np.arange(len(visits)), random.poisson(parameters.searches, len(visits)))
    language = people.table["is_chinese"].to_numpy()[visits["person"].to_numpy()[visit]].astype(np.int64)
    template = random.integers(len(QUERIES["en"]), size=len(visit))
    query = catalogue.query(visits["focus"].to_numpy()[visit], language, template)
    return _plain(SEARCH, visit).assign(query=query)


def _take_out_again(events: pd.DataFrame, left: int, parameters: Parameters, random: Random) -> pd.DataFrame:
    """Append an uncart for some of the last ``left`` events, the carts left behind."""
    carts = np.arange(len(events) - left, len(events))
    taken_out = carts[random.random(left) < parameters.uncart]
    uncarts = events.iloc[taken_out].assign(type=UNCART, cart=taken_out)
    return pd.concat([events.assign(cart=-1), uncarts], ignore_index=True)


def order_events(
    events: pd.DataFrame, visits: pd.DataFrame, parameters: Parameters, random: Random
) -> pd.DataFrame:
    """Put each visit's events into their order, as far as the dial says by the group's manner."""
    signal = parameters.order_signal
    group = visits["group"].to_numpy()[events["visit"]]
    places = (1 - signal) * _places(neutral=True) + signal * _places(neutral=False)  # (groups, types)
    key = places[group, events["type"]] + random.normal(0, PLACE_NOISE, len(events))
    key += _stay(group, signal) * _place_of_kind(events, random)
    key = np.where(events["type"] == CHECKOUT, 9.0, key)  # last, after every cart and uncart
    taken_out = np.flatnonzero(events["cart"] >= 0)
    later = random.random(len(taken_out))
    cart_key = key[events["cart"].to_numpy()[taken_out]]
    key[taken_out] = cart_key + later * (2.0 - np.minimum(cart_key, 1.9))
    if "campaign" in events:
        key[(events["campaign"] >= 0).to_numpy()] = -9.0  # the message's click begins the visit
    order = np.lexsort((key, events["visit"]))
    return events.iloc[order].drop(columns="cart").reset_index(drop=True)


def _places(neutral: bool) -> Floats:
    """Return the usual place of each event type per group; uncart and checkout are placed apart."""
    rows = [NEUTRAL_PLACES if neutral else group.places for group in GROUPS]
    return np.array([[*row, 0.0, 0.0] for row in rows])


def _stay(group: Integers, signal: float) -> Floats:
    return ((1 - signal) * NEUTRAL_STAY + signal * np.array([each.stay for each in GROUPS]))[group]


def _place_of_kind(events: pd.DataFrame, random: Random) -> Floats:
    """Return one shift per visit and kind of product: who stays sees a kind's events together."""
    kind = events["visit"].to_numpy() * 1_000 + events["product"].to_numpy() // PRODUCTS_PER_NOUN
    _, position = np.unique(kind, return_inverse=True)
    shift = random.uniform(-0.5, 0.5, position.max(initial=0) + 1)[position]
    return np.where(events["product"] >= 0, shift, 0.0)


def time_events(
    events: pd.DataFrame, visits: pd.DataFrame, start: Integers, parameters: Parameters, random: Random
) -> Integers:
    """Return the second of each event, counted from the start; events are sorted by visit."""
    signal = parameters.order_signal
    group_pause = np.log(np.array([group.gap_seconds for group in GROUPS]))
    median = np.exp((1 - signal) * np.log(NEUTRAL_GAP_SECONDS) + signal * group_pause)
    visit = events["visit"].to_numpy()
    pause = median[visits["group"].to_numpy()[visit]] * random.lognormal(
        0, parameters.pause_sigma, len(events)
    )
    pause = np.clip(pause, 1, parameters.longest_pause).astype(np.int64)
    passed = np.cumsum(pause)
    is_first = np.append(True, visit[1:] != visit[:-1])
    begun = np.repeat(passed[is_first], np.diff(np.append(np.flatnonzero(is_first), len(events))))
    return start[visit] + passed - begun
