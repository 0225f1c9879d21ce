"""The leak canary: what happened or was delivered after the test cut changes nothing as of the cuts.

A few users are built once more, with poison beside what was landed of them (:mod:`warehouse.poisoned`), by
the very models that made the snapshot. Their features, sequences, embeddings and scores must be those of the
snapshot. As of the as_of_date, which knows the poison, nobody may be who they were: else the canary is dead.

What a sample can't tell: ``is_outlier``, the one feature in which all users have a part, since it asks how
much others do and spend. The two features that it compares them by are compared here, and models are given
the snapshot's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cli import ShoalError
from ml import high_value
from ml.encoder.classifier import Classifier
from ml.reasons import Model
from ml.warehouse import Cut, Inputs
from settings import ShopPaths
from warehouse import poisoned
from warehouse.horizon import Split
from warehouse.snapshot import CONTENT_KEY

SAMPLE = 100
"""Users of each cut at most. Half as many cost a tenth less: mostly it costs what dbt costs for anybody."""
OF_ALL_USERS = ["is_outlier"]
IS_ELIGIBLE = "is_eligible"


@dataclass(frozen=True)
class Pair:
    """The sampled users of one date: as the snapshot tells them, and as they are told with the poison."""

    told: Cut
    poisoned: Cut

    @property
    def as_of_date(self) -> date:
        return self.told.as_of_date

    @property
    def differs(self) -> pd.DataFrame:
        """Return what differs of each user, (users, 2 + features): all of whoever is on one side only."""
        told, other = _in_columns(self.told), _in_columns(self.poisoned)
        users = told.index.union(other.index)
        told, other = told.reindex(index=users), other.reindex(index=users, columns=told.columns)
        return (told != other) & ~(told.isna() & other.isna())


@dataclass(frozen=True)
class Sample:
    """The sampled users at both cuts and on the as_of_date."""

    cuts: Sequence[Pair]
    now: Pair
    injected_rows: int

    @property
    def users(self) -> int:
        return len(set().union(*(pair.told.users for pair in self.cuts)))


def sing(paths: ShopPaths, inputs: Inputs, train: Cut, test: Cut, now: Cut, seed: int) -> Sample | None:
    """Try features and sequences; return the sample for the models, None where nothing landed is here.

    Parameters
    ----------
    train, test, now
        The users of both cuts and of the as_of_date.

    Raises
    ------
    ShoalError
        When the poison changes something as of a cut, when the snapshot is not what the landed files give
        without it either, or when the poison is not seen on the as_of_date.
    """
    if not paths.ledger.exists():
        return None
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(cut.users, min(SAMPLE, len(cut)), replace=False) for cut in (train, test)]
    users = sorted({*drawn[0], *drawn[1]})
    sample = _build(paths, inputs, (train, test, now), users, with_poison=True)
    if found := _first_difference(sample):
        if clean := _first_difference(_build(paths, inputs, (train, test, now), users, with_poison=False)):
            raise ShoalError(
                f"{clean}, though nothing was added: the snapshot is not what the landed files give now, so "
                "nothing was trained; run python -m warehouse build core --full-refresh "
                f"--shop {paths.shop} --as-of {now.as_of_date}"
            )
        raise ShoalError(
            f"{found} {_once(sample.injected_rows, test.as_of_date)}: it knows the future, so nothing was "
            "trained; cut it at the as_of_date in dbt_project (known_on_each_date, is_known_as_of)"
        )
    _check_alive(sample)
    return sample


def check_models(models: Mapping[str, Model], sample: Sample) -> None:
    """Refuse a model to which the poison makes a difference.

    Embeddings are computed, not found again by their key.

    Raises
    ------
    ShoalError
        Names the model, the cut and how many of the sampled users it tells otherwise.
    """
    for name, model in models.items():
        for pair in sample.cuts:
            _check_model(name, model, pair)


def _check_model(name: str, model: Model, pair: Pair) -> None:
    of_all = pair.told.features.filter(OF_ALL_USERS)
    other = replace(pair.poisoned, features=pair.poisoned.features.assign(**of_all))
    told = [_said(model, cut) for cut in (pair.told, other)]
    for what, one, another in zip(("embedding", "score"), *told, strict=True):
        if differing := int((one != another).any(axis=1).sum()):
            raise ShoalError(
                f"the {what} of {name} at {pair.as_of_date} differs for {differing} of {len(one)} sampled "
                "users, though neither features nor sequences do: the model reads what no cut holds, so "
                "nothing was registered; let it read the cut alone"
            )


def _said(model: Model, cut: Cut) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return embeddings, (users, width), where the model has any, and scores, (users, 1)."""
    vectors = None
    if isinstance(model, Classifier):
        vectors = model.embed(cut.sequences.changed()).vectors
    scores = high_value.score(model, cut, vectors)[:, None]
    return np.zeros((len(cut), 0)) if vectors is None else vectors.astype(np.float64), scores


def _build(
    paths: ShopPaths, inputs: Inputs, cuts: Sequence[Cut], users: Sequence[str], with_poison: bool
) -> Sample:
    train, test, now = (cut.as_of_date for cut in cuts)
    split = Split(now, inputs.horizon_days, train, test)
    with poisoned.built(paths, split, users, with_poison) as found:
        others = Inputs(found.snapshot.folder, found.snapshot.manifest)
        try:
            pairs = [Pair(_among(cut, users), _among(others.cut(cut.as_of_date), users)) for cut in cuts]
        except ShoalError as error:
            raise ShoalError(f"{_once(found.injected_rows, test)}: {error}") from error
    return Sample(pairs[:-1], pairs[-1], found.injected_rows)


def _once(rows: int, cut: date) -> str:
    return f"once {rows} rows are laid beside theirs that happened or were delivered after {cut}"


def _among(cut: Cut, users: Sequence[str]) -> Cut:
    return cut.only(np.flatnonzero(pd.Index(cut.users).isin(users)))


def _in_columns(cut: Cut) -> pd.DataFrame:
    """Return all that is compared of a cut, a row per user."""
    assert cut.sequences.keys is not None
    told = {IS_ELIGIBLE: True, CONTENT_KEY: cut.sequences.keys.astype(object)}
    features = cut.features.drop(columns=OF_ALL_USERS, errors="ignore")
    return pd.concat([pd.DataFrame(told, index=features.index), features], axis=1)


def _first_difference(sample: Sample) -> str | None:
    """Say what differs at a cut, None where nothing does."""
    for pair in sample.cuts:
        differs = pair.differs.sum()
        for name in differs.index[differs > 0]:
            return (
                f"{name} of {pair.as_of_date} differs for {differs[name]} of {len(pair.told)} sampled users"
            )
    return None


def _check_alive(sample: Sample) -> None:
    differs = sample.now.differs.any(axis=1)
    if not differs.all() or len(differs) == 0:
        raise ShoalError(
            f"{(~differs).sum()} of {len(differs)} sampled users are on {sample.now.as_of_date} who they "
            f"were without the {sample.injected_rows} rows that were added: the leak canary is dead; see "
            "warehouse/poisoned.py"
        )
