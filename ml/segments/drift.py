"""Whether users still do what they did: the newest week's events beside all that came before them.

Half of the users teach classes of habits, the other half is asked, and then the other way round. Of a
user of the other half the events before a week tell a class; the week's own events are then likelier by
that class, or by whatever class a stranger may be of. The share of users who did the week as strangers
do is what explains the week best (a mixture of two, fitted by likelihood). In any week some seem to,
since classes are rough; so the newest week is compared with the weeks before it, made in the same way.
A change in how many come, or in how much they do, is none in how they do it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.configs import ClusterConfig, DriftConfig
from ml.encoder.tokens import Sequences
from ml.evaluation.judge import Interval
from ml.segments import latent_classes
from ml.segments.habits import Habits
from ml.segments.latent_classes import LatentClasses, likelihoods
from ml.warehouse import Cut
from ml.words import Words

Floats = NDArray[np.float64]

WEEK_DAYS = 7
FURTHEST = 50.0
"""Log odds of one user's week are cut here, so that nobody decides alone."""


@dataclass(frozen=True)
class Drift:
    """How many users acted as others do, of those who were seen in the newest week."""

    users: int
    share: float
    """In the newest week."""
    usual: float
    """In the weeks before."""
    more: Interval
    """The difference, with the interval that an announcement asks for."""

    @property
    def is_announced(self) -> bool:
        """Return whether more users changed than chance explains."""
        return self.more.low > 0

    @property
    def words(self) -> Words:
        """Return it for people."""
        return Words(
            f"{self.share:.0%} of the {self.users:,} users seen in the last {WEEK_DAYS} days acted as others "
            f"do, {self.usual:.0%} in the weeks before: {self.more} more",
            f"最近 {WEEK_DAYS} 天到访的 {self.users:,} 位用户中，{self.share:.0%} 的行为如同他人，"
            f"此前各周为 {self.usual:.0%}：多 {self.more}",
        )

    def metrics(self) -> dict[str, float]:
        """Return it as metrics of a run."""
        return {
            "drift/changed_share": self.share,
            "drift/usual_share": self.usual,
            "drift/more": self.more.value,
            "drift/more_low": self.more.low,
            "drift/more_high": self.more.high,
        }


def ask(cut: Cut, k: int, clusters: ClusterConfig, config: DriftConfig) -> Drift | None:
    """Compare the newest week of a cut with the weeks before, at k classes; None where too few were seen."""
    random = np.random.default_rng(config.seed)
    if len(cut) > config.users:
        cut = cut.only(np.sort(random.permutation(len(cut))[: config.users]))
    ages = _ages(cut)
    half = np.zeros(len(cut), dtype=bool)
    half[random.permutation(len(cut))[: len(cut) // 2]] = True
    if min(half.sum(), (~half).sum()) < k * clusters.min_users:
        return None
    weeks: list[list[Floats]] = [[] for _ in range(config.weeks + 1)]
    for learners, asked in ((half, ~half), (~half, half)):
        classes = _learned(cut, ages, learners, k, clusters)
        for ago, found in enumerate(_odds(classes, cut, ages, asked, config)):
            weeks[ago].append(found)
    newest, earlier = np.concatenate(weeks[0]), np.concatenate([one for week in weeks[1:] for one in week])
    if min(len(newest), len(earlier)) < config.min_users:
        return None
    share, usual = strangers(newest), strangers(earlier)
    drawn = [
        strangers(random.choice(newest, len(newest))) - strangers(random.choice(earlier, len(earlier)))
        for _ in range(config.resamples)
    ]
    # A resample's extremes are not known from a few hundred; its spread is.
    reach = config.deviations * float(np.std(drawn))
    return Drift(
        len(newest), share, usual, Interval(share - usual, share - usual - reach, share - usual + reach)
    )


def strangers(odds: Floats) -> float:
    """Return the share of users who acted as strangers do, by maximum likelihood.

    Parameters
    ----------
    odds
        (users,): log likelihood of the week by any class, less that by the user's own.

    Examples
    --------
    >>> round(strangers(np.array([3.0] * 10 + [-3.0] * 90)), 2), strangers(np.full(50, -1.0)) < 0.01
    (0.06, True)
    """
    times = np.exp(odds.clip(-FURTHEST, FURTHEST))
    share = 0.05
    for _ in range(500):
        chance = share * times / (1 - share + share * times)
        last, share = share, float(chance.mean())
        if abs(share - last) < 1e-7:
            break
    return share


def _ages(cut: Cut) -> Floats:
    """Return how many days before the cut each event lies, (events,).

    As if the last event of a sequence were the last of all: what is in no sequence comes a little later.
    """
    sequences = cut.sequences
    user = sequences.user
    moments = sequences.gap_seconds.astype(np.float64).cumsum()
    last = moments[sequences.offsets[1:][user] - 1]
    return cut.features["recency_days"].to_numpy(dtype=np.float64)[user] + (last - moments) / 86400


def _learned(
    cut: Cut, ages: Floats, learners: NDArray[np.bool_], k: int, clusters: ClusterConfig
) -> LatentClasses:
    """Return classes of what some users did before the newest week."""
    rows = np.flatnonzero(learners)
    earlier = cut.sequences.where(ages >= WEEK_DAYS).only(rows)
    habits = Habits.fit(earlier, clusters.evidence)
    config = clusters.model_copy(update={"smallest_k": k, "largest_k": k})
    return latent_classes.fit(habits, habits.of(earlier), config)[0]


def _odds(
    classes: LatentClasses, cut: Cut, ages: Floats, asked: NDArray[np.bool_], config: DriftConfig
) -> Iterator[Floats]:
    """Yield, of the newest week and of those before it, the log odds that users did it as strangers."""
    rows = np.flatnonzero(asked)
    for ago in range(config.weeks + 1):
        begins, ends = WEEK_DAYS * (ago + 1), WEEK_DAYS * ago
        earlier = cut.sequences.where(ages >= begins).only(rows)
        week = cut.sequences.where((ages >= ends) & (ages < begins)).only(rows)
        seen = np.flatnonzero(_are_seen(earlier, config.min_events) & _are_seen(week, 1))
        own = classes.scores(classes.habits.of(earlier.only(seen)))
        did = classes.habits.of(week.only(seen)).astype(np.float64) @ classes.weights
        by_own = likelihoods(own + did) - likelihoods(own)
        yield likelihoods(did + classes.shares) - by_own


def _are_seen(sequences: Sequences, events: int) -> NDArray[np.bool_]:
    return np.diff(sequences.offsets) >= events
