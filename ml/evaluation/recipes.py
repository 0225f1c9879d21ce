"""What the judge compares: each recipe turns a training cut into something that scores a later one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.configs import Config
from ml.encoder.order import OrderFeatures
from ml.evaluation.buy_till_die import BuyTillDie, Purchases
from ml.evaluation.rivals import AllLogistic, GradientTrees, RfmLogistic
from ml.warehouse import Cut

Floats = NDArray[np.float64]
Changes = dict[str, dict[str, Any]]
Mask = NDArray[np.bool_]


class Scorer(Protocol):
    """A fitted model."""

    def score(self, cut: Cut) -> Floats:
        """Return (users,) in [0, 1], higher for who is more likely of high value."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How a model is made."""

    name: str
    fit: Callable[[Cut, Config, int, Path | None], Scorer]
    """Training cut, settings, seed, and a folder where text vectors are kept."""
    trials: tuple[Changes, ...]
    """Settings to try at the choosing cuts, by section: first those of ml/configs, then others."""
    seeds: int | None = None
    """At most so many: 1 where another seed gives the same model. None: all."""
    held_out: Callable[[Cut, Config, int], Mask] | None = None
    """Users of the training cut that ``fit`` itself learns nothing from; None: it learns from all."""


@dataclass(frozen=True)
class Blend:
    """The mean score of other recipes: what any two models gain from being averaged."""

    name: str
    of: tuple[str, ...]


@dataclass(frozen=True)
class OnFeatures:
    """A model of features as a scorer of cuts."""

    model: AllLogistic | GradientTrees | RfmLogistic

    def score(self, cut: Cut) -> Floats:
        """Return probabilities, (users,)."""
        return self.model.score(cut.features)


@dataclass(frozen=True)
class OrderTrees:
    """LightGBM on the features and on cheap features of order."""

    order: OrderFeatures
    trees: GradientTrees

    @classmethod
    def fit(cls, train: Cut, config: Config, seed: int, folder: Path | None) -> OrderTrees:
        """Choose transitions and grow trees on the training cut."""
        order = OrderFeatures.fit(train.sequences)
        return cls(order, _trees(order.beside(train.features, train.sequences), train, config, seed))

    def score(self, cut: Cut) -> Floats:
        """Return probabilities, (users,)."""
        return self.trees.score(self.order.beside(cut.features, cut.sequences))


@dataclass(frozen=True)
class BgNbd:
    """The expected spend by BG/NBD and Gamma-Gamma, as odds against what a buyer spends on average."""

    model: BuyTillDie
    days: int

    @classmethod
    def fit(cls, train: Cut, config: Config, seed: int, folder: Path | None) -> BgNbd:
        """Fit on purchases before the training cut; outcomes are not looked at."""
        assert train.horizon_days is not None
        purchases = Purchases.of(train.features)
        return cls(BuyTillDie.fit(purchases, config.rivals.purchase_penalty), train.horizon_days)

    def score(self, cut: Cut) -> Floats:
        """Return spend / (spend + mean order), (users,): it ranks as the spend does."""
        spend = self.model.expected(Purchases.of(cut.features), self.days)
        return np.asarray(spend / (spend + self.model.unit))


def _rfm_logistic(train: Cut, config: Config, seed: int, folder: Path | None) -> Scorer:
    assert train.outcomes is not None
    return OnFeatures(RfmLogistic.fit(train.features, train.outcomes.is_high_value, config.rivals))


def _all_logistic(train: Cut, config: Config, seed: int, folder: Path | None) -> Scorer:
    assert train.outcomes is not None
    return OnFeatures(AllLogistic.fit(train.features, train.outcomes.is_high_value, config.rivals))


def _lightgbm(train: Cut, config: Config, seed: int, folder: Path | None) -> Scorer:
    return OnFeatures(_trees(train.features, train, config, seed))


def _trees(features: Any, train: Cut, config: Config, seed: int) -> GradientTrees:
    assert train.outcomes is not None
    one_seed = config.rivals.model_copy(update={"seeds": (seed,)})
    return GradientTrees.fit(features, train.outcomes.is_high_value, one_seed)


def _validated(train: Cut, config: Config, seed: int) -> Mask:
    from ml.encoder.training import held_out

    return held_out(train.users, config.training.validation_share, seed)


def _settings(section: str, *changes: dict[str, Any]) -> tuple[Changes, ...]:
    """Return ml/configs as it stands, and some changes of one section."""
    return ({}, *({section: one} for one in changes))


def _bert(name: str) -> Callable[[Cut, Config, int, Path | None], Scorer]:
    def fit(train: Cut, config: Config, seed: int, folder: Path | None) -> Scorer:
        from ml.encoder import recipes

        return recipes.fit(name, train, config, seed, folder)

    return fit


TREES = _settings("rivals", {"leaves": 4, "min_per_leaf": 100}, {"leaves": 12, "min_per_leaf": 30})
NETWORKS = (*_settings("network", {"dropout": 0.2}), {"training": {"learning_rate": 5e-4}})

RECIPES: tuple[Recipe | Blend, ...] = (
    Recipe("rfm_logistic", _rfm_logistic, _settings("rivals", {"rfm_c": 0.1}, {"rfm_c": 10.0}), seeds=1),
    Recipe("all_logistic", _all_logistic, _settings("rivals", {"all_c": 0.01}, {"all_c": 1.0}), seeds=1),
    Recipe("lightgbm", _lightgbm, TREES),
    Recipe("lightgbm_order", OrderTrees.fit, TREES),
    Recipe(
        "bg_nbd",
        BgNbd.fit,
        _settings("rivals", {"purchase_penalty": 0.001}, {"purchase_penalty": 0.01}),
        seeds=1,
    ),
    Blend("control_blend", ("lightgbm", "all_logistic")),
    Recipe("bert", _bert("bert"), NETWORKS, held_out=_validated),
    Recipe("bert_features", _bert("bert_features"), NETWORKS, held_out=_validated),
    # A hundred times the cost of the others, and far behind them: one setting and one seed must do.
    Recipe("bert_text", _bert("bert_text"), ({},), seeds=1, held_out=_validated),
)
"""In the order of the table."""
