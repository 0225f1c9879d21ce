"""Latent classes: groups of users of whom each has habits of its own (Lazarsfeld 1950).

Of visits it is the mixture of Markov chains of Cadez et al. (2000), with pauses, hours, days, pieces and
prices beside what follows what. Who did much weighs more than who did little, and how much somebody does
has no say: a class is how its users do what they do. Fitted by expectation and maximisation; then frozen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cli import ShoalError
from ml.configs import ClusterConfig
from ml.packages import digest_of, load_tensors, read_json, save_tensors, write_json
from ml.reasons import TOP, InWords
from ml.segments.clusters import (
    AT_ONCE,
    Placement,
    Trial,
    choose,
    least_users,
    one_order,
    reported,
    too_few,
    tried,
)
from ml.segments.habits import Habits
from ml.words import LANGUAGES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR = 10.0
"""So many answers of the average user are added to those of each class, to every question."""
DIGITS = 6
NOTHING = -1
ROUNDS = 200
TOLERANCE = 1e-5
"""A round that gains a smaller share of the likelihood is the last."""
SHAPING = [Path(__file__).with_name(f"{name}.py") for name in ("habits", "latent_classes", "memory")]
"""The code by which a user is placed: another release may place somebody elsewhere."""


@dataclass(frozen=True)
class Memory:
    """When a user's habits count as changed, so that only what came after is remembered."""

    odds: float = 0.0
    """Of a change somewhere in what is known of a user, beside none. 0 forgets nothing."""
    newer_events: int = 4
    """So many must follow a change."""


@dataclass(frozen=True)
class LatentClasses:
    """Frozen classes over counted habits."""

    habits: Habits
    weights: Floats
    """(columns, k): logarithms of the probability of each answer."""
    shares: Floats
    """(k,): logarithms of the classes' shares of users."""
    codes: tuple[str, ...]
    memory: Memory = field(default_factory=Memory)
    """When a user is placed by newer events alone (:func:`ml.segments.memory.recalled`)."""

    @property
    def centroids(self) -> Floats:
        """Return where a user stands who surely belongs to a class, (k, k)."""
        return np.eye(len(self.codes))

    @property
    def digest(self) -> str:
        """Return the hash of all that shapes a score, this code included and codes of segments aside."""
        content = repr((self.habits, self.memory)).encode() + self.weights.tobytes() + self.shares.tobytes()
        return hashlib.sha256(content + digest_of(SHAPING).encode()).hexdigest()[:16]

    def scores(self, points: NDArray[Any]) -> Floats:
        """Return the log likelihood of each user together with each class, (users, k).

        Rounded: a product's last digits depend on how many users are multiplied at once.
        """
        parts = np.array_split(points, max(1, len(points) // AT_ONCE))
        found = [part.astype(np.float64) @ self.weights + self.shares for part in parts]
        return np.asarray(np.round(np.concatenate(found), DIGITS))

    def points(self, counts: NDArray[Any]) -> NDArray[Any]:
        """Return users where classes tell them apart: among their counts."""
        return counts

    def assign(self, points: NDArray[Any]) -> Ints:
        """Return the number of each user's class."""
        return np.asarray(self.scores(points).argmax(axis=1))

    def labels(self, counts: NDArray[Any]) -> Ints:
        """Return the number of each user's class."""
        return self.assign(counts)

    def coordinates(self, counts: NDArray[Any]) -> Floats:
        """Return the probability that a user is of each class, (users, k)."""
        return chances(self.scores(counts))

    def place(self, counts: NDArray[Any]) -> Placement:
        """Put each user into the likeliest class; an exact tie goes to the first code."""
        return self.placement(self.scores(counts))

    def placement(self, scores: NDArray[Any]) -> Placement:
        """Place users by their scores: distance is the chance that another class is right."""
        scores = scores.astype(np.float64)
        order = np.argsort(-scores, axis=1, kind="stable")
        rows, names = np.arange(len(scores)), np.array(self.codes, dtype=object)
        lead = scores[rows, order[:, 0]] - scores[rows, order[:, 1]]
        chance = chances(scores)[rows, order[:, 0]]
        return Placement(names[order[:, 0]], 1 - chance, names[order[:, 1]], 1 - np.exp(-lead))

    def reasons(self, counts: NDArray[Any], scores: Floats) -> Ints:
        """Return what speaks most for each user's class and against the next, (users, 3), strongest first.

        Numbers of columns; :data:`NOTHING` where less was done that speaks for it.
        """
        order = np.argsort(-scores, axis=1, kind="stable")
        leads = (self.weights[:, order[:, 0]] - self.weights[:, order[:, 1]]).T
        moved = np.round(counts * leads, DIGITS)
        strongest = np.argsort(-moved, axis=1, kind="stable")[:, :TOP]
        return np.where(np.take_along_axis(moved, strongest, axis=1) > 0, strongest, NOTHING)

    def told(self, reasons: Ints) -> InWords:
        """Return reasons in words; empty where there are fewer."""
        words = {language: [*self.habits.words(language), ""] for language in LANGUAGES}
        return {language: np.array(said, dtype=object)[reasons] for language, said in words.items()}

    def explains(self, points: NDArray[Any]) -> float:
        """Return the log likelihood per answer; 0 where nobody answered anything."""
        return (
            float(likelihoods(self.scores(points)).sum() / points.sum(dtype=np.float64))
            if points.any()
            else 0.0
        )

    def again(self, points: NDArray[Any], k: int, seed: int) -> tuple[LatentClasses, float]:
        """Return as many classes fitted on other users, and what of these they leave unexplained."""
        start = np.random.default_rng(seed).dirichlet(np.full(k, 0.3), len(points))
        shares, weights, likelihood = _fitted(points, start, self.habits.sizes)
        return replace(self, shares=shares, weights=weights, codes=_numbered(k)), -likelihood

    def moved_to(self, points: NDArray[Any]) -> LatentClasses:
        """Return these classes, nameless, halfway from where they stand to what their users do now."""
        shares, weights, _ = _fitted(
            points, self.coordinates(points), self.habits.sizes, np.exp(self.weights.T)
        )
        return replace(self, shares=shares, weights=weights, codes=_numbered(len(shares)))

    def named(self, codes: tuple[str, ...]) -> LatentClasses:
        """Return the same classes under names, kept in the order of their codes."""
        if len(set(codes)) != len(self.shares):
            raise ShoalError(
                f"{len(self.shares)} classes need as many distinct codes, got {', '.join(codes)}"
            )
        order = np.argsort(np.array(codes))
        return replace(
            self,
            weights=np.ascontiguousarray(self.weights[:, order]),
            shares=self.shares[order],
            codes=tuple(codes[index] for index in order),
        )

    def save(self, folder: Path) -> None:
        """Write probabilities, codes and what is counted."""
        save_tensors(folder / "classes.safetensors", {"weights": self.weights, "shares": self.shares})
        write_json(
            folder / "classes.json",
            {
                "codes": list(self.codes),
                "kinds": list(self.habits.kinds),
                "evidence": self.habits.evidence,
                "memory": asdict(self.memory),
            },
        )

    @classmethod
    def load(cls, folder: Path) -> LatentClasses:
        """Read what :meth:`save` wrote."""
        told = read_json(folder / "classes.json")
        habits = Habits(tuple(told["kinds"]), told["evidence"])
        memory = Memory(**told.get("memory", {}))  # a package of an earlier release forgets nothing
        tensors = load_tensors(folder / "classes.safetensors")
        return cls(habits, **tensors, codes=tuple(told["codes"]), memory=memory)


def fit(
    habits: Habits,
    counts: NDArray[Any],
    config: ClusterConfig,
    before: LatentClasses | None = None,
    features: pd.DataFrame | None = None,
) -> tuple[LatentClasses, list[Trial]]:
    """Choose k and fit; on ``fit_users`` of them where there are more.

    k is chosen as for clusters (:func:`ml.segments.clusters.choose`). Where there were classes before, as
    many go on from those while none of them is emptied: what another start gains in likelihood is little,
    and moves people.

    Parameters
    ----------
    before
        The classes in force; None where there are none, or of another kind.
    features
        (users, features): of the same users, by which classes are to be told apart.

    Raises
    ------
    ShoalError
        When there are fewer users than classes to tell apart.
    """
    from threadpoolctl import threadpool_limits

    too_few(len(counts), config)
    rows = drawn(counts, config)
    points, known = counts[rows], None if features is None else features.iloc[rows]
    plain = LatentClasses(habits, np.zeros((points.shape[1], 0)), np.zeros(0), ())
    with threadpool_limits(limits=1):
        best: dict[int, LatentClasses] = {}

        def fits(some: NDArray[Any], k: int) -> list[tuple[LatentClasses, float]]:
            return [plain.again(some, k, seed) for seed in config.seeds]

        def likeliest(some: NDArray[Any], k: int) -> LatentClasses:
            return min(fits(some, k), key=lambda one: one[1])[0]

        def judge(k: int) -> Trial:
            found = sorted(fits(points, k), key=lambda one: one[1])
            best[k] = found[0][0]
            others = [one for one, _ in found]
            return _judged(points, best[k], others, lambda drawn, _: likeliest(drawn, k), config, known)

        trials = tried(judge, config)
    chosen = choose(trials, len(points), config)
    found = best[chosen.k]
    if before is not None and before.habits == habits and before.codes:
        with threadpool_limits(limits=1):
            moved = before.moved_to(points)
            both = [moved, best.get(len(moved.codes), moved)]
            trial = _judged(points, moved, both, lambda drawn, _: before.moved_to(drawn), config, known)
        if trial.smallest >= least_users(len(points), config):
            found, chosen = moved, trial
    others = [trial for trial in trials if trial.k != chosen.k]
    return found, sorted([*others, replace(chosen, is_chosen=True)], key=lambda trial: trial.k)


def drawn(counts: NDArray[Any], config: ClusterConfig) -> Ints:
    """Return the rows of the users to learn from, ``fit_users`` at most, however they are ordered."""
    some = np.random.default_rng(config.seeds[0]).permutation(len(counts))[: config.fit_users]
    return one_order(counts)[np.sort(some)]


def _fitted(
    points: NDArray[Any], belongs: Floats, sizes: Ints, before: Floats | None = None
) -> tuple[Floats, Floats, float]:
    """Return log shares (k,), log probabilities (columns, k) and the log likelihood.

    Parameters
    ----------
    belongs
        (users, k): the chance of each class to start from.
    before
        (k, columns): probabilities that each class had, which count as much as all that is answered now.
    """
    k = belongs.shape[1]
    starts = sizes.cumsum() - sizes
    # Two answers in three nobody gives: they would be multiplied for nothing.
    is_given = np.asarray(points.any(axis=0))
    points = points[:, is_given].astype(np.float64)
    total = np.zeros(len(is_given))
    total[is_given] = points.sum(axis=0)
    usual = (total + 1e-3) / np.repeat(np.add.reduceat(total + 1e-3, starts), sizes)
    last = -np.inf
    for _ in range(ROUNDS):
        shares = np.log((belongs.sum(axis=0) + 1) / (len(points) + k))
        answered = np.tile(PRIOR * usual, (k, 1))
        answered[:, is_given] += belongs.T @ points
        chances = answered / np.repeat(np.add.reduceat(answered, starts, axis=1), sizes, axis=1)
        weights = np.log(chances if before is None else (chances + before) / 2).T
        belongs, likelihood = _probabilities(points @ weights[is_given] + shares)
        if likelihood - last < TOLERANCE * abs(likelihood):
            break
        last = likelihood
    return shares, np.ascontiguousarray(weights, dtype=np.float64), likelihood


def likelihoods(scores: NDArray[Any]) -> Floats:
    """Return the log likelihood of each user, whichever the class, (users,)."""
    highest = scores.max(axis=1, keepdims=True)
    return np.asarray(highest[:, 0] + np.log(np.exp(scores - highest).sum(axis=1)))


def chances(scores: NDArray[Any]) -> Floats:
    """Return the chance of each class, (users, k)."""
    return _probabilities(scores)[0]


def _probabilities(scores: NDArray[Any]) -> tuple[Floats, float]:
    """Return the chance of each class (users, k), and the log likelihood of all users."""
    found = likelihoods(scores)
    return np.exp(scores - found[:, None]), float(found.sum())


def _judged(
    points: NDArray[Any],
    best: LatentClasses,
    fits: Sequence[LatentClasses],
    again: Callable[[NDArray[Any], int], LatentClasses],
    config: ClusterConfig,
    features: pd.DataFrame | None,
) -> Trial:
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    placed = [one.assign(points) for one in fits]
    labels, k = best.assign(points), len(best.codes)
    sample = np.random.default_rng(config.seeds[0]).permutation(len(points))[: config.sample]
    is_divided = len(np.unique(labels[sample])) > 1
    return Trial(
        k=k,
        stability=float(np.mean([adjusted_rand_score(one, other) for one, other in combinations(placed, 2)])),
        smallest=int(np.bincount(labels, minlength=k).min()),
        silhouette=float(silhouette_score(np.sqrt(points[sample]), labels[sample])) if is_divided else 0.0,
        **reported(points, best, again, lambda drawn: best.again(drawn, 1, 0)[0], config, features),
    )


def _numbered(k: int) -> tuple[str, ...]:
    return tuple(f"class_{index}" for index in range(k))
