"""Recognises what a column is called and what its values look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache, partial
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from landing import masks, translation

EPOCHS = {"epoch_seconds": range(946_684_800, 4_102_444_800)}
EPOCHS["epoch_milliseconds"] = range(
    EPOCHS["epoch_seconds"].start * 1000, EPOCHS["epoch_seconds"].stop * 1000
)
"""The years 2000 to 2099."""

MONEY = {
    "plain": translation.DECIMAL_PATTERN,
    "1,234.56": translation.GROUPED_PATTERNS["1,234.56"],
    "1.234,56": translation.GROUPED_PATTERNS["1.234,56"],
}
ENOUGH = 0.95
"""So many values of a column must agree; the rest is what landing quarantines."""


class Vocabulary(BaseModel):
    """The words of ``vocabulary.yml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, tuple[str, ...]]
    people: tuple[str, ...]
    event_types: dict[str, tuple[str, ...]]
    purchases: tuple[str, ...]
    order_statuses: dict[str, tuple[str, ...]]
    missing: tuple[str, ...]
    times: tuple[str, ...]


@cache
def vocabulary() -> Vocabulary:
    """Read the words, once."""
    text = Path(__file__).with_name("vocabulary.yml").read_text(encoding="utf-8")
    return Vocabulary.model_validate(yaml.safe_load(text))


def plain(name: str) -> str:
    """Return a name as it is compared; of a JSON pointer, its last part.

    >>> plain("/events/Event_Type")
    'eventtype'
    """
    return re.sub(r"[\W_]+", "", name.rsplit("/", 1)[-1].lower())


def column_of(name: str) -> str | None:
    """Return what a column of this name most likely is; None for a name that nobody uses.

    >>> column_of("InvoiceNo"), column_of("用户ID"), column_of("colour")
    ('order_id', 'customer_id', None)
    """
    found = (ours for ours, theirs in vocabulary().columns.items() if plain(name) in map(plain, theirs))
    return next(found, "person" if plain(name) in map(plain, vocabulary().people) else None)


def rank(ours: str, name: str) -> int:
    """Return how far behind a name stands among the names of a column; the first is the best."""
    return [plain(theirs) for theirs in vocabulary().columns[ours]].index(plain(name))


def event_type(word: str) -> str | None:
    """Return the event type, or ``order``, that a shop's word means.

    >>> event_type("pv"), event_type("Buy"), event_type("share")
    ('view', 'order', None)
    """
    if plain(word) in map(plain, vocabulary().purchases):
        return "order"
    return _meaning(word, vocabulary().event_types)


def order_status(word: str) -> str | None:
    """Return the order status that a shop's word means."""
    return _meaning(word, vocabulary().order_statuses)


def _meaning(word: str, meanings: dict[str, tuple[str, ...]]) -> str | None:
    return next((ours for ours, theirs in meanings.items() if plain(word) in map(plain, theirs)), None)


def missing(values: Iterable[str]) -> set[str]:
    """Return the words among these values that mean that nothing is there."""
    return {value for value in set(values) if value.lower() in vocabulary().missing}


def time_formats(values: Sequence[str]) -> list[str]:
    """Return the formats of ``formats.timestamp`` that read these values, most likely first.

    >>> time_formats(["13/12/2010 8:26", "1/12/2010 9:01"]), time_formats(["1511544070"])
    (['%d/%m/%Y %H:%M'], ['epoch_seconds'])
    >>> len(time_formats(["1/12/2010 9:01"]))
    2
    """
    if _most(values, re.compile(translation.TIME_PATTERN).fullmatch):
        return ["iso"]
    for name, moments in EPOCHS.items():
        if _most(values, partial(_is_epoch, moments)):
            return [name]
    return [pattern for pattern in vocabulary().times if _most(values, partial(_is_time, pattern))]


def _is_epoch(moments: range, value: str) -> bool:
    return value.isdecimal() and int(value) in moments


def _is_time(pattern: str, value: str) -> bool:
    try:
        return 1990 <= datetime.strptime(value, pattern).year < 2100
    except ValueError:
        return False


def money_formats(values: Sequence[str]) -> list[str]:
    """Return the formats of ``formats.money`` that read these values; several where they can't be told apart.

    >>> money_formats(["1.234,56", "2,50"]), money_formats(["2.50", "12"])
    (['1.234,56'], ['plain', '1,234.56'])
    """
    return [name for name, pattern in MONEY.items() if _most(values, re.compile(pattern).fullmatch)]


def names_people(values: Sequence[str]) -> bool:
    """Say whether a tenth of the values holds an e-mail address or a phone number; bare numbers are ids."""
    if time_formats(values):
        return False
    shown = [value for value in values if not re.fullmatch(r"\d+([.,]\d+)*", value)]
    return 10 * sum(masks.mask(value) != value for value in shown) > len(values) > 0


def looks_typed(value: str) -> bool:
    """Say whether a value is a number, a time or an address, as no header is."""
    return bool(money_formats([value]) or time_formats([value]) or names_people([value]))


def _most(values: Sequence[str], holds: Callable[[str], object]) -> bool:
    return bool(values) and sum(bool(holds(value)) for value in values) >= ENOUGH * len(values)
