"""Why a user's score is what it is; and whether such reasons hold.

They hold where the named items matter more than others do. How stable they are is what another
seed of the same recipe names.

An item is deleted by giving it the value of the middle user (a feature) or the usual embedding
(the history); what its deletion moves is measured in log odds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cli import UsageError
from ml import attribution, configs, kept, reasons, tracking
from ml.configs import Config
from ml.costs import COST_ORDER
from ml.encoder.classifier import Classifier
from ml.encoder.features import numeric_columns
from ml.encoder.tokens import Sequences
from ml.evaluation.judge import Interval
from ml.evaluation.metrics import Floats
from ml.evaluation.rivals import GradientTrees
from ml.high_value import HighValue
from ml.reasons import HISTORY, TOP, Contributions, Model, Vectors
from ml.refit import FITS
from ml.warehouse import Cut, Inputs
from settings import ShopPaths

USERS = 500
RESAMPLES = 2000
SURE = 1e-6
"""Probabilities are kept this far from 0 and 1: log odds of a certainty know no end."""


@dataclass(frozen=True)
class Deletion:
    """What deleting the named items moves, and what as many others, in log odds; means over users."""

    users: int
    deleted: int
    named: float
    random: float
    lead: Interval
    """Named minus random, with the 95 % bootstrap interval over users."""

    @property
    def holds(self) -> bool:
        """Return whether the named items move the score more than others do."""
        return self.lead.low > 0


@dataclass(frozen=True)
class Rows:
    """Some users as a model takes them."""

    features: pd.DataFrame
    embeddings: Vectors | None

    @classmethod
    def draw(cls, model: HighValue, cut: Cut, users: int, seed: int) -> Rows:
        """Draw users of a cut."""
        rows = np.random.default_rng(seed).permutation(len(cut))[:users]
        vectors = model.model.embed(cut.sequences).vectors if isinstance(model.model, Classifier) else None
        return cls(numeric_columns(cut.features).iloc[rows], None if vectors is None else vectors[rows])

    def log_odds(self, model: Model) -> Floats:
        """Return each user's score as log odds."""
        if isinstance(model, Classifier):
            assert self.embeddings is not None
            scores = model.score(self.embeddings.astype(np.float32), self.features)
        else:
            scores = model.score(self.features)
        scores = np.clip(scores, SURE, 1 - SURE)
        return np.asarray(np.log(scores / (1 - scores)))

    def without(self, items: list[str], is_deleted: NDArray[np.bool_], usual: Vectors | None) -> Rows:
        """Return the users with some items deleted, ``is_deleted`` being (users, items)."""
        features, embeddings = self.features.copy(), self.embeddings
        middle = features.median()
        for place, name in enumerate(items):
            if name in features:
                features.loc[is_deleted[:, place], name] = middle[name]
        if HISTORY in items and embeddings is not None and usual is not None:
            gone = is_deleted[:, items.index(HISTORY)][:, None]
            embeddings = np.where(gone, usual, embeddings)
        return Rows(features, embeddings)


@dataclass(frozen=True)
class Explained:
    """A user's score, and its largest parts in words, in log odds; strongest first."""

    score: float
    parts: list[tuple[float, str]]


@dataclass(frozen=True)
class Checked:
    """Whether a model's reasons hold, and how far another seed agrees."""

    deletion: Deletion
    overlap: float | None
    """None where no seed plays a part."""
    chance: float

    def lines(self) -> list[str]:
        """Return the findings in words."""
        found = self.deletion
        told = (
            f"{found.users} users: deleting the {found.deleted} strongest of what is named moves "
            f"the log odds by {found.named:.3f}, deleting as many others by {found.random:.3f}; "
            f"named − others {found.lead}: {'the reasons hold' if found.holds else 'the reasons fail'}"
        )
        seeds = (
            "no seed plays a part: another fit names the same"
            if self.overlap is None
            else f"another seed names {self.overlap:.1%} of the same items (by chance {self.chance:.1%})"
        )
        return [told, seeds]


def chosen(paths: ShopPaths, as_of: date, run: str | None) -> tuple[HighValue, str]:
    """Return the model of a run, else the champion that may speak about a date; and what it is called.

    Raises
    ------
    UsageError
        When the run logged none.
    """
    if run is not None:
        found = tracking.find_run(paths.shop, run)
        if found.tags["stage"] not in COST_ORDER:
            raise UsageError(
                f"run {found.run_id} ({found.name}) logged no model of high value: name a run of "
                f"{', '.join(COST_ORDER)} (python -m ml runs)"
            )
        return HighValue.load(found.package(), paths.models), f"run {found.run_id[:8]}"
    version = kept.require_in_force(paths, tracking.HIGH_VALUE, as_of)
    return HighValue.load(version.package(), paths.models), f"version {version.version}"


def user(model: HighValue, cut: Cut, key: str, top: int = 12) -> Explained:
    """Explain one user's score.

    Raises
    ------
    UsageError
        When the user is not eligible on that day.
    """
    places = np.flatnonzero(cut.users == key)
    if len(places) == 0:
        raise UsageError(
            f"no user {key!r} is eligible on {cut.as_of_date}: take a user_key of bi.user_score_daily"
        )
    place = int(places[0])
    if isinstance(model.model, Classifier):
        alone = cut.only(np.array([place]))
        parts = _with_events(model.model, alone.sequences, alone.features)
    else:  # of everybody: rfm_rank knows a user's rank only among all users of the day
        parts = _in_words(model.contributions(cut), cut.features, place)
    score = float(model.probabilities(cut)[place])
    return Explained(score, sorted(parts, key=lambda one: -abs(one[0]))[:top])


def check(model: HighValue, inputs: Inputs, as_of: date, paths: ShopPaths, seed: int = 7) -> Checked:
    """Check the reasons of a model on users of a day, and what another seed of its recipe names.

    The recipe is fitted twice on the snapshot's training cut, with two other seeds.
    """
    cut = inputs.cut(as_of)
    rows = Rows.draw(model, cut, USERS, seed)
    found = reasons.contributions(model.model, rows.features, rows.embeddings, model.usual)
    lead = deletion(model, rows, found, seed)
    day = inputs.cut_date("train")
    if day is None or model.name not in (GradientTrees.name, Classifier.name):
        return Checked(lead, None, by_chance(found))
    train, config = inputs.cut(day, with_outcomes=True), configs.make()
    first, second = (again(model.name, train, config, seed + more, paths.models) for more in (1, 2))
    return Checked(lead, *stability(first, second, cut))


def deletion(model: HighValue, rows: Rows, found: Contributions, seed: int) -> Deletion:
    """Compare the deletion of what the reasons name with the deletion of as many other items.

    Where a model knows few items, fewer are deleted, so that others are left to draw from.

    Raises
    ------
    UsageError
        When the model knows one item only.
    """
    count = min(TOP, len(found.items) // 2)
    if count == 0:
        raise UsageError(f"{model.name} knows {len(found.items)} item: there is no other to delete")
    rng = np.random.default_rng(seed)
    named = _marked(found.top(count), len(found.items))
    others = np.argsort(rng.random(named.shape) + named, axis=1)[:, :count]  # what is named comes last
    plain = rows.log_odds(model.model)
    moved = [
        np.abs(rows.without(found.items, gone, model.usual).log_odds(model.model) - plain)
        for gone in (named, _marked(others, len(found.items)))
    ]
    lead = moved[0] - moved[1]
    drawn = lead[rng.integers(0, len(lead), (RESAMPLES, len(lead)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Deletion(
        users=len(lead),
        deleted=count,
        named=float(moved[0].mean()),
        random=float(moved[1].mean()),
        lead=Interval(float(lead.mean()), float(low), float(high)),
    )


def overlap(first: Contributions, second: Contributions) -> float:
    """Return which share of the first's top items the second names too, mean over users.

    >>> one = Contributions(["a", "b", "c", "d"], np.array([[4.0, 3, 2, 1]]))
    >>> other = Contributions(["a", "b", "c", "d"], np.array([[4.0, 3, 1, 2]]))
    >>> round(overlap(one, other), 3) == round(2 / 3, 3)
    True
    """
    named = [_names(one) for one in (first, second)]
    shared = [len(one & other) / len(one) for one, other in zip(*named, strict=True)]
    return float(np.mean(shared))


def by_chance(found: Contributions) -> float:
    """Return the overlap of two draws of top items at random."""
    return min(1.0, TOP / len(found.items))


def again(kind: str, train: Cut, config: Config, seed: int, folder: Path | None) -> Model:
    """Fit a recipe with another seed on the same users."""
    seeds = tuple(1000 * seed + one for one in config.rivals.seeds)
    return FITS[kind](
        train, configs.with_changes(config, training={"seed": seed}, rivals={"seeds": seeds}), folder
    )


def stability(first: Model, second: Model, rows: Cut) -> tuple[float, float]:
    """Return the overlap of the reasons that two fits give for the same users, and that of chance."""
    found = [_explained(model, rows) for model in (first, second)]
    return overlap(*found), by_chance(found[0])


def _explained(model: Model, rows: Cut) -> Contributions:
    vectors = model.embed(rows.sequences).vectors if isinstance(model, Classifier) else None
    usual = None if vectors is None else vectors.mean(axis=0)
    return reasons.contributions(model, rows.features, vectors, usual)


def _in_words(found: Contributions, features: pd.DataFrame, place: int) -> list[tuple[float, str]]:
    words = reasons.words()
    return [
        (
            float(moved),
            str(reasons.told(name, float(reasons.amounts(features, name)[place]), words)),
        )
        for name, moved in zip(found.items, found.moved[place], strict=True)
    ]


def _with_events(model: Classifier, sequences: Sequences, features: pd.DataFrame) -> list[tuple[float, str]]:
    found = attribution.attribute(model, sequences, features)
    by_feature = Contributions(list(found.features), np.array([list(found.features.values())]))
    told = attribution.events_in_words(model, sequences)
    return [*zip(found.events.tolist(), told, strict=True), *_in_words(by_feature, features, 0)]


def _marked(places: NDArray[np.int64], width: int) -> NDArray[np.bool_]:
    marked = np.zeros((len(places), width), dtype=bool)
    np.put_along_axis(marked, places, True, axis=1)
    return marked


def _names(found: Contributions) -> list[set[str]]:
    return [{found.items[place] for place in row} for row in found.top()]
