"""How far back a user's habits reach: all that is known, or only from the visit on at which they changed.

A user is placed by the latest events, and whoever acts as another since last month would long be placed by
the months before. So at each visit it is asked how much likelier the older and the newer part are as the
doings of two users than as those of one (a Bayesian change point, as of Barry and Hartigan 1993, with at
most one change). Summed over visits and weighed by the odds of a change, that is the chance of each class
now; where another class than that of all events comes out on top, the older part is forgotten.

The odds are learned without labels. Who changes nothing may do the same visits in any order; so visits are
shuffled, and the odds are the largest at which few enough lose their past. Visits, not events: those of one
visit belong together. Odds are frozen with the classes, so that a placement depends on these and on what a
user did, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.configs import ClusterConfig
from ml.encoder.tokens import Sequences
from ml.segments.habits import Habits, opens
from ml.segments.latent_classes import DIGITS, LatentClasses, Memory, chances, likelihoods

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AT_ONCE = 2_000
"""So many users' visits are counted together: a few dozen MB."""
SHUFFLES = 3
"""Of each user's visits; of a hundredth of 2,000 users one alone tells too little."""
EVEN = 1.0
"""Odds at which a change is as likely as none; no shuffle may say more."""
FURTHEST = 500.0
"""Log odds are cut here: their exponential has an end."""


@dataclass(frozen=True)
class Visits:
    """What some users did, visit by visit, each user's oldest first; everybody came at least once."""

    counts: NDArray[np.float32]
    """(visits, columns): whole numbers, so that sums are exact in any order."""
    events: Ints
    """(visits,)"""
    first: Ints
    """(users,): the place of each user's first visit."""

    @classmethod
    def of(cls, habits: Habits, sequences: Sequences) -> Visits:
        """Count the visits of users who came at least once."""
        begins = opens(sequences)
        visit = begins.cumsum() - 1
        owner = sequences.user[begins]
        counts = habits.counted(sequences, visit, int(begins.sum()))
        return cls(counts, np.bincount(visit), np.searchsorted(owner, np.arange(len(sequences))))

    @cached_property
    def owner(self) -> Ints:
        """Return whose each visit is, (visits,)."""
        return np.repeat(np.arange(len(self.first)), np.diff(self.first, append=len(self.events)))

    @cached_property
    def newer(self) -> NDArray[np.float32]:
        """Return the counts from each visit on, it included, (visits, columns)."""
        return self._from(self.counts)

    @property
    def older(self) -> NDArray[np.float32]:
        """Return the counts before each visit, (visits, columns)."""
        return self.newer[self.first][self.owner] - self.newer

    def may_split(self, newer_events: int) -> NDArray[np.bool_]:
        """Return before which visits habits may have changed, (visits,)."""
        found = self._from(self.events) >= newer_events
        found[self.first] = False
        return found

    def shuffled(self, seed: int) -> Visits:
        """Return the visits in another order, each user's own; the same for all users with as many."""
        place = np.arange(len(self.owner)) - self.first[self.owner]
        drawn = np.random.default_rng(seed).random(int(place.max()) + 1)
        order = np.lexsort((drawn[place], self.owner))
        return Visits(self.counts[order], self.events[order], self.first)

    def _from(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sum of each user's values from each visit on."""
        before = values.cumsum(axis=0) - values
        return np.add.reduceat(values, self.first)[self.owner] - (before - before[self.first][self.owner])


def recalled(classes: LatentClasses, sequences: Sequences) -> NDArray[np.float32]:
    """Return the counts by which users are placed, (users, columns): of what they still do."""
    counts = classes.habits.of(sequences)
    if classes.memory.odds == 0:
        return counts
    for rows, visits in _visits(classes.habits, sequences):
        needed, begins = _needed(classes, visits, classes.memory.newer_events)
        is_broken = needed < classes.memory.odds
        counts[rows[is_broken]] = classes.habits.weighed(visits.newer[begins[is_broken]])
    return counts


def learned(classes: LatentClasses, sequences: Sequences, config: ClusterConfig) -> Memory:
    """Return the memory with which chance makes no more users forget than ``false_breaks`` of them."""
    needed = [np.zeros(0)]
    for _, visits in _visits(classes.habits, sequences):
        needed += [
            _needed(classes, visits.shuffled(seed), config.newer_events)[0] for seed in range(SHUFFLES)
        ]
    allowed = int(config.false_breaks * len(sequences) * SHUFFLES)
    found = np.sort(np.concatenate(needed))[allowed : allowed + 1]
    return Memory(float(min(EVEN, *found)) if len(found) else EVEN, config.newer_events)


def _visits(habits: Habits, sequences: Sequences) -> Iterator[tuple[Ints, Visits]]:
    """Yield the visits of users who came twice or more, and which they are."""
    came = np.bincount(sequences.user[opens(sequences)], minlength=len(sequences))
    for rows, some in sequences.batches(np.flatnonzero(came > 1), AT_ONCE):
        yield rows, Visits.of(habits, some)


def _needed(classes: LatentClasses, visits: Visits, newer_events: int) -> tuple[Floats, Ints]:
    """Return above which odds of a change each user is of another class, and from which visit it is told.

    Infinite where no odds do, or no newer part alone tells that class.
    """
    owner, first = visits.owner, visits.first
    new, old = (classes.scores(classes.habits.weighed(part)) for part in (visits.newer, visits.older))
    may = visits.may_split(newer_events)
    is_two = likelihoods(new) + likelihoods(old) - likelihoods(new + old - classes.shares)
    weight = np.where(may, np.exp(is_two.clip(max=FURTHEST)), 0)[:, None] * chances(new)  # (visits, k)
    splits = np.maximum(np.add.reduceat(may, first, dtype=np.int64), 1)
    changed, same = np.add.reduceat(weight, first) / splits[:, None], chances(new[first])  # (users, k)

    users, own = np.arange(len(first)), new[first].argmax(axis=1)
    lead, gain = same[users, own][:, None] - same, changed - changed[users, own][:, None]
    odds = np.divide(lead, gain, out=np.full(lead.shape, np.inf), where=gain > 0)
    other = odds.argmin(axis=1)
    is_told = may & (new.argmax(axis=1) == other[owner])
    tells = np.where(is_told, weight[np.arange(len(owner)), other[owner]], -1)
    begins = np.lexsort((-tells, owner))[first]
    needed = np.where(tells[begins] >= 0, odds[users, other], np.inf)
    return np.asarray(np.round(needed, DIGITS)), begins
