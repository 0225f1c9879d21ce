"""What people see and say: recommendation slots, reviews, tickets to customer service."""

from __future__ import annotations

import numpy as np
import pandas as pd

from landing.simulate.catalogue import LANGUAGES, NOUNS, NOUNS_PER_CATEGORY, PRODUCTS_PER_NOUN, Catalogue
from landing.simulate.parameters import SECONDS_PER_DAY, Flags, Integers, Parameters
from landing.simulate.people import People
from landing.simulate.words import CONTACTS, REVIEWS, TICKETS

INTENTS = tuple(TICKETS)
TICKET_CHANNELS = ("mail", "chat", "phone")


def draw_exposures(
    visits: pd.DataFrame,
    people: People,
    catalogue: Catalogue,
    parameters: Parameters,
    random: np.random.Generator,
) -> pd.DataFrame:
    """Show a slot of products in some visits; chance and click are known for each place.

    Products are drawn by popularity, with replacement, so the propensity is exact. The
    click rate falls with the position and doubles for a product of one's first category.
    """
    shown = np.flatnonzero(visits["happens"].to_numpy() & (random.random(len(visits)) < parameters.exposed))
    slots = pd.DataFrame({"visit": np.repeat(shown, parameters.slot_size)})
    slots["position"] = np.tile(np.arange(1, parameters.slot_size + 1), len(shown))
    slots["product"] = random.choice(len(catalogue.popularity), len(slots), p=catalogue.popularity)
    slots["propensity"] = catalogue.popularity[slots["product"]]
    category = slots["product"].to_numpy() // (PRODUCTS_PER_NOUN * NOUNS_PER_CATEGORY)
    visit = visits.iloc[slots["visit"]]
    taste = people.taste[people.period(visit["block"].to_numpy(), parameters), visit["person"].to_numpy()]
    matches = category == taste.argmax(axis=1)
    rate = parameters.click_rate / slots["position"] * np.where(matches, parameters.click_taste_factor, 1.0)
    slots["is_clicked"] = random.random(len(slots)) < rate
    return slots


def draw_reviews(
    lines: pd.DataFrame,
    orders: pd.DataFrame,
    refunds: pd.DataFrame,
    visits: pd.DataFrame,
    people: People,
    catalogue: Catalogue,
    parameters: Parameters,
    random: np.random.Generator,
) -> pd.DataFrame:
    """Return a review for some bought lines; stars follow the product's quality and a return costs two."""
    sold = lines.merge(orders.loc[~orders["fails"], ["visit", "seconds"]], on="visit")
    written = sold[random.random(len(sold)) < parameters.reviewed].copy()
    returned = pd.MultiIndex.from_frame(written[["visit", "line_number"]]).isin(
        pd.MultiIndex.from_frame(refunds[["visit", "line_number"]])
    )
    quality = catalogue.products["quality"].to_numpy()[written["product"]]
    stars = 4.1 + quality + random.normal(0, 0.8, len(written)) - 2 * returned
    written["score"] = np.clip(np.round(stars), 1, 5).astype(np.int64)
    wait = random.gamma(3, 3.0, len(written)) + 3  # after delivery, twelve days on average
    written["seconds"] = written["seconds"] + (wait * SECONDS_PER_DAY).astype(np.int64)
    written["language"] = _languages(written["visit"].to_numpy(), visits, people)
    template = random.integers(3, size=len(written))
    written["text"] = [
        REVIEWS[language][score][number].format(noun=NOUNS[product // PRODUCTS_PER_NOUN][language == "zh"])
        for language, score, number, product in zip(
            written["language"], written["score"], template, written["product"], strict=True
        )
    ]
    return written.reset_index(drop=True)


def draw_tickets(
    lines: pd.DataFrame,
    orders: pd.DataFrame,
    visits: pd.DataFrame,
    people: People,
    parameters: Parameters,
    random: np.random.Generator,
) -> pd.DataFrame:
    """Return tickets about some orders: intent, subject and text; some give away an address to mask."""
    asked = orders[random.random(len(orders)) < parameters.ticket_per_order]
    first = lines[lines["line_number"] == 1].set_index("visit")["product"]
    tickets = asked[["visit", "seconds"]].assign(product=first.reindex(asked["visit"]).to_numpy())
    wait = random.gamma(2, 3.0, len(tickets)) * SECONDS_PER_DAY
    tickets["seconds"] = tickets["seconds"] + wait.astype(np.int64)
    tickets["language"] = _languages(tickets["visit"].to_numpy(), visits, people)
    tickets["intent"] = random.choice(
        len(INTENTS), len(tickets), p=(0.28, 0.17, 0.15, 0.13, 0.11, 0.07, 0.09)
    )
    tickets["channel"] = random.choice(len(TICKET_CHANNELS), len(tickets), p=(0.5, 0.4, 0.1))
    template = random.integers(2, size=len(tickets))
    gives_contact = random.random(len(tickets)) < parameters.ticket_with_contact
    person = people.table.iloc[visits["person"].to_numpy()[tickets["visit"]]]
    words = [
        _ticket(*row)
        for row in zip(
            tickets["intent"], tickets["language"], template, tickets["product"], gives_contact,
            person["email"], person["phone"], strict=True,
        )
    ]  # fmt: skip
    tickets["subject"] = [subject for subject, _ in words]
    tickets["text"] = [text for _, text in words]
    return tickets.reset_index(drop=True)


def _ticket(
    intent: int, language: str, template: int, product: int, gives_contact: bool, email: str, phone: str
) -> tuple[str, str]:
    subject, text = TICKETS[INTENTS[intent]][language][template]
    text = text.format(noun=NOUNS[product // PRODUCTS_PER_NOUN][language == "zh"])
    return subject, text + CONTACTS[language].format(email=email, phone=phone) * bool(gives_contact)


def _languages(visit: Integers, visits: pd.DataFrame, people: People) -> list[str]:
    is_chinese: Flags = people.table["is_chinese"].to_numpy()[visits["person"].to_numpy()[visit]]
    return [LANGUAGES[int(each)] for each in is_chinese]
