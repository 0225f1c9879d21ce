"""Campaigns with random assignment, and both outcomes of everybody they reach.

A campaign goes out on the eve of a fortnight; its outcome is what happens in that
fortnight. Each reached person has one chance, drawn once. Where the offer's effect is
positive and exceeds it, treatment adds one visit with an order to someone who would not
have bought; where the effect is negative, treatment keeps someone from buying. Both worlds
are written down before the coin of the assignment decides which of them happens.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from landing.simulate.parameters import ANNOYANCE, BLOCK_DAYS, OFFERS, Flags, Floats, Parameters
from landing.simulate.people import People, registered_day


def draw_contacts(people: People, parameters: Parameters, random: np.random.Generator) -> pd.DataFrame:
    """Draw one row per campaign and person reached, before anybody acts."""
    blocks = range(parameters.first_campaign_block, parameters.blocks, parameters.blocks_between_campaigns)
    waves = [_draw_wave(number, block, people, parameters, random) for number, block in enumerate(blocks)]
    columns = ["campaign", "block", "offer", "person", "treated", "effect", "chance", "redeem_chance"]
    contacts = pd.concat([pd.DataFrame({name: [] for name in columns}), *waves], ignore_index=True)
    return contacts.astype({"campaign": int, "block": int, "offer": int, "person": int, "treated": bool})


def _draw_wave(
    number: int, block: int, people: People, parameters: Parameters, random: np.random.Generator
) -> pd.DataFrame:
    can_be_reached = (registered_day(people) < block * BLOCK_DAYS - 1) & people.table["has_marketing_consent"]
    reached = np.flatnonzero(can_be_reached & (random.random(len(people)) < parameters.reach))
    offer = number % len(OFFERS)
    wave = pd.DataFrame({"campaign": number, "block": block, "offer": offer, "person": reached})
    wave["treated"] = random.random(len(wave)) < parameters.treated
    wave["effect"] = _effects(offer, block, people, parameters)[reached]
    wave["chance"] = random.random(len(wave))
    wave["redeem_chance"] = random.random(len(wave))
    return wave


def _effects(offer: int, block: int, people: People, parameters: Parameters) -> Floats:
    """Return the probability of winning an order, or minus that of losing one; 0 for who has left."""
    here = people.table["leave_day"].to_numpy() >= min((block + 1) * BLOCK_DAYS, parameters.days)
    sensitivity = people.table["price_sensitivity"].to_numpy()
    effect = OFFERS[offer].slope * (sensitivity - OFFERS[offer].pivot)
    return np.where(here, np.where(effect < 0, ANNOYANCE * effect, effect), 0.0)


def add_potential_visits(
    visits: pd.DataFrame, contacts: pd.DataFrame, people: People, parameters: Parameters
) -> pd.DataFrame:
    """Return the visits of both worlds.

    Adds ``contact`` (row of ``contacts``, -1 for none), ``order_if_untreated``,
    ``order_if_treated`` and ``is_added`` (the visit exists only under treatment).
    """
    keys = contacts.reset_index(names="contact")[["person", "block", "contact"]]
    visits = visits.merge(keys, on=["person", "block"], how="left", validate="many_to_one")
    visits["contact"] = visits["contact"].fillna(-1).astype(int)
    annoyed = _in_contact(visits, contacts["chance"] < -contacts["effect"])
    visits["order_if_untreated"] = visits["is_order"]
    visits["order_if_treated"] = visits["is_order"] & ~(annoyed & (visits["ring"] < 0))
    visits["is_added"] = False
    buys_anyway = contacts.index.isin(visits.loc[visits["is_order"], "contact"])
    won = contacts[(contacts["chance"] < contacts["effect"]) & ~buys_anyway]
    added = won[["person", "block"]].assign(contact=won.index, ring=-1, is_added=True)
    added["group"] = people.group(added["person"].to_numpy(), added["block"].to_numpy(), parameters)
    added = added.assign(is_order=True, order_if_untreated=False, order_if_treated=True)
    return pd.concat([visits, added], ignore_index=True)


def _in_contact(visits: pd.DataFrame, condition: pd.Series) -> Flags:
    """Look up a condition of contacts per visit; False where the visit has none."""
    padded = np.append(condition.to_numpy(dtype=bool), False)  # position -1 is "no contact"
    return padded[visits["contact"].to_numpy()]


def realise(visits: pd.DataFrame, contacts: pd.DataFrame) -> pd.DataFrame:
    """Let the assignment decide: add ``is_treated``, ``happens`` and the realised ``is_order``."""
    treated = _in_contact(visits, contacts["treated"])
    ordered = np.where(treated, visits["order_if_treated"], visits["order_if_untreated"])
    return visits.assign(
        is_treated=treated, happens=~visits["is_added"] | treated, is_order=ordered.astype(bool)
    )


def outcomes(contacts: pd.DataFrame, visits: pd.DataFrame, orders: pd.DataFrame) -> pd.DataFrame:
    """Return contacts with both potential outcomes and what happened, in orders and cents paid."""
    potential = orders.merge(
        visits[["contact", "order_if_untreated", "order_if_treated"]], left_on="visit", right_index=True
    )
    potential = potential[potential["contact"] >= 0]
    result = contacts.copy()
    for world in ("untreated", "treated"):
        in_world = potential[potential[f"order_if_{world}"]].groupby("contact")
        result[f"orders_if_{world}"] = in_world.size().reindex(contacts.index, fill_value=0)
        result[f"paid_cents_if_{world}"] = (
            in_world[f"paid_cents_if_{world}"].sum().reindex(contacts.index, fill_value=0)
        )
    for figure in ("orders", "paid_cents"):
        result[figure] = np.where(
            contacts["treated"], result[f"{figure}_if_treated"], result[f"{figure}_if_untreated"]
        )
    redeemed = potential[potential["redeems"] & potential["order_if_treated"]].groupby("contact").size()
    result["redemptions"] = redeemed.reindex(contacts.index, fill_value=0) * contacts["treated"]
    return result
