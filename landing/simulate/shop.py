"""The whole story of the simulated shop, from people to words; nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from landing.simulate import campaigns, events, fraud, orders, voices
from landing.simulate.catalogue import Catalogue, draw_catalogue
from landing.simulate.parameters import (
    BLOCK_DAYS,
    CHECKOUT,
    CLICK,
    SECONDS_PER_DAY,
    Flags,
    Integers,
    Parameters,
    open_streams,
)
from landing.simulate.people import Devices, People, draw_devices, draw_people, registered_day
from landing.simulate.visits import arrange_visits, draw_visits

Streams = dict[str, np.random.Generator]


@dataclass(frozen=True)
class Shop:
    """Everything that happened, in numbers; times are seconds since the start of the first day.

    Columns ``visit``, ``person``, ``product``, ``device``, ``order`` are row numbers of
    the table that they name.
    """

    parameters: Parameters
    people: People
    devices: Devices
    catalogue: Catalogue
    visits: pd.DataFrame  # start, device, is_known and both worlds' orders
    events: pd.DataFrame
    orders: pd.DataFrame
    lines: pd.DataFrame
    payments: pd.DataFrame
    refunds: pd.DataFrame
    reviews: pd.DataFrame
    tickets: pd.DataFrame
    exposures: pd.DataFrame
    links: pd.DataFrame
    contacts: pd.DataFrame  # with both potential outcomes
    rings: pd.DataFrame


def imagine(parameters: Parameters) -> Shop:
    """Draw the whole shop. Equal parameters give an equal shop."""
    streams = open_streams(parameters.seed)
    catalogue = draw_catalogue(parameters, streams["catalogue"], streams["ids"])
    people = draw_people(parameters, streams["groups"], streams["people"], streams["ids"])
    rings = fraud.draw_rings(people, catalogue, parameters, streams["fraud"])
    devices = draw_devices(people, parameters, streams["devices"], streams["ids"])
    devices = fraud.add_devices(devices, rings, streams["ids"])

    visits, contacts = _draw_both_worlds(people, rings, parameters, streams)
    visits["focus"] = orders.draw_focus(visits, people, parameters, streams["events"])
    lines = orders.draw_lines(visits, rings, people, catalogue, parameters, streams["orders"])
    ordered = orders.draw_orders(visits, lines, contacts, people, parameters, streams["orders"])
    contacts = campaigns.outcomes(contacts, visits, ordered)

    visits["start"] = _arrange(visits, rings, people, parameters, streams["rhythm"])
    visits["device"] = _draw_device(visits, devices, parameters, streams["devices"])
    visits["is_known"] = _is_known(visits, people, parameters, streams["devices"])
    exposures = voices.draw_exposures(visits, people, catalogue, parameters, streams["voices"])
    log = _draw_log(visits, lines, exposures, contacts, people, catalogue, parameters, streams)
    ordered = _at_checkout(ordered[ordered["happens"]], log)
    lines = lines[lines["visit"].isin(ordered["visit"])].reset_index(drop=True)
    return Shop(
        parameters, people, devices, catalogue, visits, log, ordered, lines,
        exposures=_at_event(exposures, visits),
        links=_draw_links(visits, parameters, streams["devices"]),
        contacts=contacts,
        rings=rings,
        **_draw_aftermath(visits, lines, ordered, rings, people, catalogue, parameters, streams),
    )  # fmt: skip


def _draw_both_worlds(
    people: People, rings: pd.DataFrame, parameters: Parameters, streams: Streams
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the visits without and with every campaign, and let the assignment choose."""
    visits = draw_visits(people, parameters, streams["totals"])
    visits = fraud.add_visits(visits, rings, people, parameters)
    contacts = campaigns.draw_contacts(people, parameters, streams["campaigns"])
    visits = campaigns.add_potential_visits(visits, contacts, people, parameters)
    return campaigns.realise(visits, contacts), contacts


def _arrange(
    visits: pd.DataFrame,
    rings: pd.DataFrame,
    people: People,
    parameters: Parameters,
    random: np.random.Generator,
) -> Integers:
    """Place visits in time; a ring's lie within two days of each other, whatever the dial says."""
    start = arrange_visits(visits, people, parameters, random)
    member = visits["ring"].to_numpy() >= 0
    if not member.any():
        return start
    ring = rings.groupby("ring")[["block", "quantile"]].first().iloc[visits.loc[member, "ring"]]
    day = (ring["block"] + ring["quantile"]) * BLOCK_DAYS + random.uniform(0, 1.5, len(ring))
    start[member] = (np.minimum(day, parameters.days - 0.1) * SECONDS_PER_DAY).astype(np.int64)
    return start


def _draw_device(
    visits: pd.DataFrame, devices: Devices, parameters: Parameters, random: np.random.Generator
) -> Integers:
    count = len(visits)
    slot = np.where(random.random(count) < parameters.main_device, 0, random.integers(1, 3, count))
    device = devices.of_person[visits["person"], slot]
    kiosks = np.flatnonzero(devices.table["use"] == "kiosk")
    if len(kiosks):
        at_kiosk = random.random(count) < parameters.kiosk_visits
        device = np.where(at_kiosk, random.choice(kiosks, count), device)
    rings = len(devices.table) - int(devices.table["use"].isin([fraud.RING, fraud.DORMITORY]).sum())
    ring = visits["ring"].to_numpy()
    return np.where(ring >= 0, rings + ring, device)


def _is_known(
    visits: pd.DataFrame, people: People, parameters: Parameters, random: np.random.Generator
) -> Flags:
    """Return whether the shop knows the customer: has an account by then, and logs in or orders."""
    has_account = visits["start"].to_numpy() >= registered_day(people)[visits["person"]] * SECONDS_PER_DAY
    logs_in = random.random(len(visits)) < parameters.logged_in
    return has_account & (logs_in | visits["is_order"].to_numpy())


def _draw_log(
    visits: pd.DataFrame,
    lines: pd.DataFrame,
    exposures: pd.DataFrame,
    contacts: pd.DataFrame,
    people: People,
    catalogue: Catalogue,
    parameters: Parameters,
    streams: Streams,
) -> pd.DataFrame:
    clicks = exposures[exposures["is_clicked"]]
    drawn = events.draw_events(visits, lines, clicks, people, catalogue, parameters, streams["events"])
    from_message = _campaign_clicks(visits, contacts, parameters, streams["campaigns"])
    drawn = pd.concat([drawn.assign(campaign=-1), from_message])
    log = events.order_events(drawn.reset_index(drop=True), visits, parameters, streams["order"])
    log["seconds"] = events.time_events(
        log, visits, visits["start"].to_numpy(), parameters, streams["rhythm"]
    )
    return log


def _campaign_clicks(
    visits: pd.DataFrame, contacts: pd.DataFrame, parameters: Parameters, random: np.random.Generator
) -> pd.DataFrame:
    """Return a click on the message for some visits of the treated; it begins the visit."""
    clicks = random.random(len(visits)) < parameters.campaign_click
    came = np.flatnonzero(clicks & visits["is_treated"] & visits["happens"])
    rows = pd.DataFrame(
        {"visit": came, "type": CLICK, "product": -1, "query": -1, "quantity": -1, "cart": -1}
    )
    return rows.assign(campaign=contacts["campaign"].to_numpy()[visits["contact"].to_numpy()[came]])


def _at_checkout(ordered: pd.DataFrame, log: pd.DataFrame) -> pd.DataFrame:
    """Place each order five seconds after its visit's checkout."""
    checkout = log[log["type"] == CHECKOUT].set_index("visit")["seconds"]
    return ordered.assign(seconds=checkout.reindex(ordered["visit"]).to_numpy() + 5).reset_index(drop=True)


def _at_event(exposures: pd.DataFrame, visits: pd.DataFrame) -> pd.DataFrame:
    return exposures.assign(seconds=visits["start"].to_numpy()[exposures["visit"]])


def _draw_links(visits: pd.DataFrame, parameters: Parameters, random: np.random.Generator) -> pd.DataFrame:
    """Return log-ins: the first of each customer on each device, and some later ones."""
    repeats = random.random(len(visits)) < parameters.login_recorded
    columns = ["person", "device", "start", "is_order"]
    known = visits.assign(repeats=repeats).loc[visits["is_known"] & visits["happens"], [*columns, "repeats"]]
    known = known.sort_values("start", kind="stable")
    is_first = ~known.duplicated(["person", "device"])
    links = known[is_first | known["repeats"]]
    return links.drop_duplicates(["person", "device", "start"]).reset_index(drop=True)


def _draw_aftermath(
    visits: pd.DataFrame,
    lines: pd.DataFrame,
    ordered: pd.DataFrame,
    rings: pd.DataFrame,
    people: People,
    catalogue: Catalogue,
    parameters: Parameters,
    streams: Streams,
) -> dict[str, pd.DataFrame]:
    """Return what follows an order: payments, refunds, reviews, tickets."""
    fraudulent = rings.loc[rings["kind"] == fraud.RING, "ring"].unique()
    is_fraud = np.isin(visits["ring"].to_numpy()[ordered["visit"]], fraudulent)
    refunds = orders.draw_refunds(lines, ordered, visits, parameters, streams["orders"])
    return {
        "payments": orders.draw_payments(ordered, is_fraud, parameters, streams["orders"]),
        "refunds": refunds,
        "reviews": voices.draw_reviews(
            lines, ordered, refunds, visits, people, catalogue, parameters, streams["voices"]
        ),
        "tickets": voices.draw_tickets(lines, ordered, visits, people, parameters, streams["voices"]),
    }
