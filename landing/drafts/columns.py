"""Says which of our columns each column of a sample is: by its name, else by what stands in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from landing.drafts import words
from landing.drafts.sample import Sample

GUESSED_BY_PLACE = ("customer_id", "product_id", "category")
"""Without names, the first columns that could be ids are taken in this order, and marked."""

Meaning = Callable[[str], str | None]

NUMBERS = ("price", "quantity")
PEOPLE = ("email", "phone", "full_name")
MOST_WORDS = 40
"""A column with more different values is no vocabulary."""


@dataclass
class Columns:
    """The source columns of a sample by what they are for us."""

    sample: Sample
    of: dict[str, str] = field(default_factory=dict)
    guessed: set[str] = field(default_factory=set)
    people: list[str] = field(default_factory=list)
    """Source columns that seem to name somebody and have no place in Shoal."""

    def __contains__(self, ours: str) -> bool:
        return ours in self.of

    def __getitem__(self, ours: str) -> str:
        return self.of[ours]

    def values(self, ours: str) -> list[str]:
        """Return the sample's values of one of our columns, without words for nothing."""
        found = self.sample.columns[self.of[ours]] if ours in self.of else []
        return [value for value in found if value not in self.missing]

    @cached_property
    def missing(self) -> set[str]:
        """The words that this file writes where there is nothing."""
        return set().union(*map(words.missing, self.sample.columns.values()))

    @property
    def unmapped(self) -> list[str]:
        """The columns that nothing was found for."""
        return [
            name for name in self.sample.columns if name not in self.of.values() and name not in self.people
        ]

    @property
    def event_words(self) -> Counter[str]:
        """The words of the event type that may be shown, with their rows: known ones, and such as repeat."""
        return _shown(Counter(self.values("event_type")), words.event_type)

    @property
    def status_words(self) -> Counter[str]:
        """The same of the order's status."""
        return _shown(Counter(self.values("order_status")), words.order_status)


def recognise(sample: Sample) -> Columns:
    """Find our columns in a sample."""
    columns = Columns(sample)
    by_name: dict[str, list[str]] = {}
    for name, values in sample.columns.items():
        ours = words.column_of(name)
        if ours == "person" or (words.names_people(values) and ours not in (*PEOPLE, "query")):
            columns.people.append(name)
        elif ours:
            by_name.setdefault(ours, []).append(name)
    for ours, names in by_name.items():
        fitting = [name for name in names if _fits(ours, sample.columns[name])]
        if fitting:
            columns.of[ours] = min(fitting, key=lambda name: words.rank(ours, name))
    _find_by_content(columns)
    return columns


def _fits(ours: str, values: list[str]) -> bool:
    absent = words.missing(values)
    present = [value for value in values if value not in absent]
    if ours == "time":
        return bool(words.time_formats(present))
    if ours == "event_type":
        return _known(Counter(present)) > 0
    if ours == "order_status":
        return any(words.order_status(word) for word in set(present))
    return ours not in NUMBERS or bool(words.money_formats(list(map(amount, present))))


def amount(text: str) -> str:
    """Return what is left of an amount without signs of currencies."""
    return "".join(character for character in text if character in "0123456789.,+-")


def _find_by_content(columns: Columns) -> None:
    """Find times and events that are called otherwise; of a file without names, also who and what."""
    for ours in ("event_type", "time"):
        for name in columns.unmapped if ours not in columns else []:
            if _is_surely(ours, columns.sample.columns[name]):
                columns.of[ours] = name
                columns.guessed.add(ours)
                break
    if columns.sample.csv.header:
        free = (name for name in columns.unmapped if columns.sample.columns[name])
        for ours, name in zip(GUESSED_BY_PLACE, free, strict=False):
            columns.of[ours] = name
            columns.guessed.add(ours)


def _is_surely(ours: str, values: list[str]) -> bool:
    if ours == "event_type":
        counted = Counter(values)
        return bool(values) and len(counted) <= MOST_WORDS and 2 * _known(counted) >= len(values)
    return bool(words.time_formats(values)) and len(set(values)) > 1


def _shown(counted: Counter[str], meaning: Meaning) -> Counter[str]:
    is_vocabulary = 2 * _known(counted, meaning) >= counted.total() and len(counted) <= MOST_WORDS
    shown = {
        word: rows
        for word, rows in counted.items()
        if meaning(word) or (is_vocabulary and rows > 1 and _is_word(word))
    }
    return Counter(shown)


def _known(counted: Counter[str], meaning: Meaning = words.event_type) -> int:
    return sum(rows for word, rows in counted.items() if meaning(word))


def _is_word(text: str) -> bool:
    return len(text) <= 30 and not any(character.isdigit() or character == "@" for character in text)
