"""Cheap features of order and rhythm: what an embedding must be able to tell, and a rival's features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.encoder.tokens import Sequences

Floats = NDArray[np.float64]

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
QUARTERS = ("night", "morning", "afternoon", "evening")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class OrderFeatures:
    """Transition counts, quantiles of the pauses and shares of the week.

    What happened at the same moment and of the same kind (the lines of one order) counts once. Which
    transitions are counted is learned at the training cut: the most frequent there.
    """

    transitions: tuple[str, ...]

    @classmethod
    def fit(cls, sequences: Sequences, limit: int = 30) -> OrderFeatures:
        """Choose the transitions; ties go by name."""
        names, counts = np.unique(_Moments.of(sequences).transitions()[1].astype("U"), return_counts=True)
        return cls(tuple(sorted(str(names[place]) for place in np.lexsort((names, -counts))[:limit])))

    def beside(self, features: pd.DataFrame, sequences: Sequences) -> pd.DataFrame:
        """Return features of users with those of order beside them."""
        return pd.concat([features, self.of(sequences, features.index)], axis=1)

    def of(self, sequences: Sequences, index: pd.Index) -> pd.DataFrame:
        """Return one row per user; a user with one moment has no pause and no transition."""
        moments = _Moments.of(sequences)
        parts = (self._counted(moments), _pauses(moments), _weeks(moments))
        return pd.DataFrame({name: values for part in parts for name, values in part}, index=index)

    def _counted(self, moments: _Moments) -> Iterator[tuple[str, Floats]]:
        users, names = moments.transitions()
        for name in self.transitions:
            yield f"transition_count {name}", moments.count(users[names == name])


@dataclass(frozen=True)
class _Moments:
    """What happened at one time, flat: user, kind, seconds since the moment before, hour of the week."""

    users: int
    user: NDArray[np.int64]
    kind: NDArray[np.object_]
    pause: Floats
    hour: NDArray[np.int64]

    @classmethod
    def of(cls, sequences: Sequences) -> _Moments:
        user = sequences.user
        is_first = np.ones(len(user), dtype=bool)
        is_first[1:] = user[1:] != user[:-1]
        is_new = is_first | (sequences.gap_seconds > 0)
        is_new[1:] |= sequences.event_type[1:] != sequences.event_type[:-1]
        # The first event in a list may follow one that is no longer in it: that pause is left out.
        pause = np.where(is_first, np.nan, sequences.gap_seconds.astype(np.float64))
        return cls(
            users=len(sequences),
            user=user[is_new],
            kind=sequences.event_type[is_new],
            pause=pause[is_new],
            hour=sequences.hour_of_week[is_new],
        )

    def transitions(self) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
        """Return whose each step from one moment to the next is, and from what to what it leads."""
        is_step = self.user[1:] == self.user[:-1]
        return self.user[1:][is_step], (self.kind[:-1] + " > " + self.kind[1:])[is_step]

    def count(self, users: NDArray[np.int64]) -> Floats:
        return np.bincount(users, minlength=self.users).astype(np.float64)


def _pauses(moments: _Moments) -> Iterator[tuple[str, Floats]]:
    days = pd.Series(moments.pause / 86400).groupby(moments.user)
    for share in QUANTILES:
        yield f"pause_days_quantile_{share}", _of_all(days.quantile(share), moments.users)
    yield "pause_days_newest", _of_all(days.last(), moments.users)


def _weeks(moments: _Moments) -> Iterator[tuple[str, Floats]]:
    whole = moments.count(moments.user)
    for number, day in enumerate(DAYS):
        for part, quarter in enumerate(QUARTERS):
            is_there = (moments.hour // 24 == number) & (moments.hour % 24 // 6 == part)
            found = moments.count(moments.user[is_there])
            yield f"{day}_{quarter}_share", np.divide(found, whole, out=np.zeros_like(found), where=whole > 0)


def _of_all(found: pd.Series, users: int) -> Floats:
    return found.reindex(range(users)).to_numpy(dtype=np.float64)
