"""What a user does again and again, counted: what follows what, pauses, hours, days, pieces and prices.

Each block of columns counts the outcomes of one question ("what follows a search?", "at what hour does a
visit begin?"), so that a user's answers are a draw from that user's habit, however long the history is.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.encoder.tokens import Sequences
from ml.segments import EVENTS
from ml.words import Language, Words

Ints = NDArray[np.int64]

VISIT_GAP_SECONDS = 30 * 60
"""A longer pause begins another visit, as in the warehouse."""
COVERED = 0.99
OTHER = ""
"""The kind of an event that was unknown when the habits were named."""
PAUSES, HOURS, DAYS, PIECES, PRICES = 25, 24, 7, 8, 16
WEEK = (
    Words("Mondays", "周一"),
    Words("Tuesdays", "周二"),
    Words("Wednesdays", "周三"),
    Words("Thursdays", "周四"),
    Words("Fridays", "周五"),
    Words("Saturdays", "周六"),
    Words("Sundays", "周日"),
)
UNITS = ((86400, Words("days", "天")), (3600, Words("hours", "小时")), (60, Words("minutes", "分钟")))
LOWEST_PRICE = -2
"""Prices are told apart by doublings, from a quarter of the shop's currency on."""


@dataclass(frozen=True)
class Habits:
    """Counts of a shop's habits.

    Parameters
    ----------
    kinds
        The kinds of events, in alphabetical order.
    evidence
        How strongly a user's many answers to one question repeat themselves: n of them count as
        n / (1 + evidence n), at most 1 / evidence. People keep to their ways more than dice do.
    """

    kinds: tuple[str, ...]
    evidence: float

    @classmethod
    def fit(cls, sequences: Sequences, evidence: float) -> Habits:
        """Name the kinds of events."""
        return cls((OTHER, *sorted({str(kind) for kind in sequences.event_type} - {OTHER})), evidence)

    def cover(self, sequences: Sequences, evidence: float) -> bool:
        """Return whether these habits still tell nearly all that happens, counted as strongly.

        A kind of event that is new and rare is no reason to count anew, and to lose the classes in force.
        """
        is_known = np.isin(sequences.event_type.astype("U"), self.kinds)
        return self.evidence == evidence and bool(is_known.mean() >= COVERED)

    @property
    def sizes(self) -> Ints:
        """Return how many columns each block has."""
        kinds = len(self.kinds)
        return np.array([2 * kinds] * kinds + [kinds, PAUSES, PAUSES, HOURS, DAYS, PIECES, PRICES])

    def of(self, sequences: Sequences) -> NDArray[np.float32]:
        """Return the counts, (users, columns)."""
        return self.weighed(self.counted(sequences, sequences.user, len(sequences)))

    def counted(self, sequences: Sequences, row: Ints, rows: int) -> NDArray[np.float32]:
        """Return how often each answer was given, (rows, columns); ``row`` says to which each event adds."""
        counts = np.zeros((rows, int(self.sizes.sum())), dtype=np.float32)
        begin = 0
        for size, (events, answers) in zip(self._widths(), self._answers(sequences), strict=True):
            np.add.at(counts, (row[events], begin + answers), 1)
            begin += size
        return counts

    def weighed(self, counts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return counts of one user's answers, (users, columns), as the evidence that they are."""
        starts = self.sizes.cumsum() - self.sizes
        totals = np.add.reduceat(counts, starts, axis=1)
        weight = 1 / (1 + self.evidence * totals)
        return np.asarray(counts * np.repeat(weight, self.sizes, axis=1), dtype=np.float32)

    def words(self, language: Language = "en") -> list[str]:
        """Return what each column counts, in words.

        >>> habits = Habits(("", "cart", "view"), 0.1)
        >>> [habits.words()[column] for column in (16, 11, 19)]
        ['view, then view of another thing', 'cart, then view of the same thing', 'begins with cart']
        >>> [habits.words("zh")[column] for column in (16, 11, 19)]
        ['查看商品，随后查看商品（另一对象）', '加购，随后查看商品（同一对象）', '以加购开始访问']
        """
        return [said.zh if language == "zh" else said.en for said in self._words()]

    def _words(self) -> list[Words]:
        known = _events()
        kinds = [
            Words(kind.replace("_", " "), known.get(kind, kind)) if kind else Words("other", "其他行为")
            for kind in self.kinds
        ]
        told = [
            Words(
                f"{before.en}, then {after.en} of {which.en} thing",
                f"{before.zh}，随后{after.zh}（{which.zh}对象）",
            )
            for before in kinds
            for after in kinds
            for which in (Words("another", "另一"), Words("the same", "同一"))
        ]
        told += [Words(f"begins with {kind.en}", f"以{kind.zh}开始访问") for kind in kinds]
        pauses = [_duration(2.0 ** (step + 0.5)) for step in range(PAUSES)]
        told += [Words(f"goes on after about {pause.en}", f"约{pause.zh}后继续") for pause in pauses]
        told += [Words(f"comes back after about {pause.en}", f"约{pause.zh}后再来") for pause in pauses]
        told += [Words(f"comes at {hour}:00", f"{hour}点来访") for hour in range(HOURS)]
        told += [Words(f"comes on {day.en}", f"{day.zh}来访") for day in WEEK]
        told += [Words("buys 1 piece at once", "一次购买1件")]
        pieces = [(2**step, 2 ** (step + 1) - 1) for step in range(1, PIECES)]
        told += [
            Words(f"buys {low} to {high} pieces at once", f"一次购买{low}至{high}件") for low, high in pieces
        ]
        prices = [2.0**step for step in range(LOWEST_PRICE, LOWEST_PRICE + PRICES)]
        told += [Words(f"pays {low:g} to {2 * low:g} apiece", f"单价{low:g}至{2 * low:g}") for low in prices]
        return told

    def _widths(self) -> list[int]:
        """Return the columns of each question; what follows which kind is one question here."""
        steps = 2 * len(self.kinds) ** 2
        return [steps, *self.sizes[len(self.kinds) :].tolist()]

    def _answers(self, sequences: Sequences) -> Iterator[tuple[NDArray[np.bool_], Ints]]:
        """Yield per question which events answer it, and how."""
        kind = np.searchsorted(self.kinds, sequences.event_type.astype("U"))
        kind = kind.clip(max=len(self.kinds) - 1)
        kind = np.where(np.array(self.kinds)[kind] == sequences.event_type.astype("U"), kind, 0)
        is_first, begins = _is_first(sequences), opens(sequences)
        before = np.roll(kind, 1)
        is_same = np.roll(sequences.text, 1) == sequences.text
        yield ~begins, ((before * len(self.kinds) + kind) * 2 + is_same)[~begins]
        yield begins, kind[begins]
        pause = _doublings(sequences.gap_seconds, 0, PAUSES)
        for asked in (~begins, begins & ~is_first):
            yield asked, pause[asked]
        yield begins, (sequences.hour_of_week % 24)[begins]
        yield begins, (sequences.hour_of_week // 24)[begins]
        is_bought = (sequences.quantity > 0) & (sequences.amount > 0)
        pieces = np.where(is_bought, sequences.quantity, 1)
        yield is_bought, _doublings(pieces, 0, PIECES)[is_bought]
        prices = np.where(is_bought, sequences.amount, 1) / pieces
        yield is_bought, _doublings(prices, LOWEST_PRICE, PRICES)[is_bought]


def opens(sequences: Sequences) -> NDArray[np.bool_]:
    """Return which events begin a visit, (events,)."""
    return _is_first(sequences) | (sequences.gap_seconds > VISIT_GAP_SECONDS)


def _is_first(sequences: Sequences) -> NDArray[np.bool_]:
    """Return which events are their user's first, (events,)."""
    user = sequences.user
    found = np.ones(len(user), dtype=bool)
    found[1:] = user[1:] != user[:-1]
    return found


def _events() -> dict[str, str]:
    """Return what kinds of events are called in Chinese; a shop's own are called by their codes."""
    with EVENTS.open(encoding="utf-8", newline="") as file:
        return {row["event_type"]: row["name_zh"] for row in csv.DictReader(file)}


def _duration(seconds: float) -> Words:
    """Return a length of time in the largest unit of which there is one.

    >>> [_duration(2.0**power).en for power in (1.5, 6.5, 12.5, 20.5)]
    ['3 seconds', '1.5 minutes', '1.6 hours', '17 days']
    >>> _duration(2.0**20.5).zh
    '17天'
    """
    for size, name in UNITS:
        if seconds >= size:
            return Words(f"{seconds / size:.2g} {name.en}", f"{seconds / size:.2g}{name.zh}")
    return Words(f"{seconds:.0f} seconds", f"{seconds:.0f}秒")


def _doublings(values: NDArray[np.generic], lowest: int, count: int) -> Ints:
    """Return the whole part of the logarithm to base 2, counted from ``lowest`` and cut to ``count``."""
    logs = np.floor(np.log2(np.maximum(values.astype(np.float64), 2.0**lowest)))
    return (logs - lowest).clip(0, count - 1).astype(np.int64)
