"""The served model of high value, whichever kind won: score, tiers, expected value, reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cli import ShoalError
from ml import packages
from ml.configs import GateConfig
from ml.encoder.classifier import Classifier
from ml.evaluation.calibration import Calibration
from ml.evaluation.rivals import GradientTrees, RfmLogistic, RfmRank
from ml.segments import WORDS, value
from ml.warehouse import Cut

Floats = NDArray[np.float64]
Model = Classifier | GradientTrees | RfmLogistic | RfmRank

NAMES = ("rfm_rank", "rfm_logistic", "lightgbm", "bert")
"""Cheapest first: each step up must be earned."""


@dataclass(frozen=True)
class HighValue:
    """A model with all that scoring a day needs, frozen with it."""

    model: Model
    tiers: value.Tiers
    curve: value.ValueCurve | None
    horizon_days: int
    known_through: date
    """The last day that anything in here was learned or judged from."""
    trained_as_of: date
    calibration: Calibration | None = None
    """From what the model says to a probability; None: as it says."""

    @classmethod
    def freeze(
        cls,
        model: Model,
        test: Cut,
        scores: Floats,
        horizon_days: int,
        known_through: date,
        as_of: date,
        gate: GateConfig,
    ) -> HighValue:
        """Set tiers and expected values from the test cut, whose users the model didn't learn from."""
        assert test.outcomes is not None
        return cls(
            model=model,
            tiers=value.Tiers.freeze(scores, gate.high_share, gate.medium_share),
            curve=value.ValueCurve.fit(scores, test.outcomes.net_revenue),
            horizon_days=horizon_days,
            known_through=known_through,
            trained_as_of=as_of,
        )

    @property
    def name(self) -> str:
        """Return which kind of model serves."""
        return self.model.name

    def score(self, cut: Cut) -> Scored:
        """Score every user of a cut."""
        embedded = self.model.embed(cut.sequences) if isinstance(self.model, Classifier) else None
        vectors = None if embedded is None else embedded.vectors
        said = score(self.model, cut, vectors)
        scores = np.round(said if self.calibration is None else self.calibration.of(said), 6)
        return Scored(scores, reasons(self.model, cut, vectors))

    def save(self, folder: Path) -> str:
        """Write a sealed package and return its digest."""
        self.model.save(folder)
        packages.write_json(
            folder / "high_value.json",
            {
                "kind": self.name,
                "horizon_days": self.horizon_days,
                "known_through": self.known_through.isoformat(),
                "trained_as_of": self.trained_as_of.isoformat(),
                "calibration": None if self.calibration is None else vars(self.calibration),
                **value.as_json(self.tiers, self.curve),
            },
        )
        return packages.seal(folder)

    @classmethod
    def load(cls, folder: Path, cache_folder: Path | None) -> HighValue:
        """Check the seal of a package and read it."""
        packages.check(folder)
        content = packages.read_json(folder / "high_value.json")
        tiers, curve = value.from_json(content)
        return cls(
            model=_load_model(content["kind"], folder, cache_folder),
            tiers=tiers,
            curve=curve,
            horizon_days=int(content["horizon_days"]),
            known_through=date.fromisoformat(content["known_through"]),
            trained_as_of=date.fromisoformat(content["trained_as_of"]),
            calibration=Calibration.from_json(content.get("calibration")),
        )


@dataclass(frozen=True)
class Scored:
    """Scores, (users,), and three reasons each, (users, 3)."""

    scores: Floats
    reasons: NDArray[np.object_] = field(repr=False)


def score(model: Model, cut: Cut, embeddings: NDArray[np.float32] | None = None) -> Floats:
    """Return one model's scores for a cut; BERT takes embeddings that were made already."""
    if isinstance(model, Classifier):
        vectors = model.embed(cut.sequences).vectors if embeddings is None else embeddings
        return model.score(vectors, cut.features)
    return model.score(cut.features)


def reasons(
    model: Model, cut: Cut, embeddings: NDArray[np.float32] | None = None, top: int = 3
) -> NDArray[np.object_]:
    """Return per user the features that moved the score most, in words, as association.

    Returns
    -------
    ndarray of shape (users, 3), str
        Such as ``+ number of orders 12``: the sign says whether it raised or lowered the score.
    """
    if isinstance(model, Classifier):
        assert embeddings is not None
        names, moved = model.contributions(embeddings, cut.features)
    else:
        names, moved = model.contributions(cut.features)
    words = pd.read_csv(WORDS).set_index("feature")["en"].to_dict()
    order = np.argsort(-np.abs(np.round(moved, 6)), axis=1, kind="stable")[:, :top]
    found = np.full((len(cut), top), "", dtype=object)
    columns = {
        name: cut.features[name].to_numpy(dtype="float64", na_value=np.nan)
        for name in names
        if name in cut.features
    }
    for rank in range(order.shape[1]):
        for row, place in enumerate(order[:, rank]):
            found[row, rank] = _reason(names[place], moved[row, place], columns, row, words)
    return found


def _reason(name: str, moved: float, columns: dict[str, Any], row: int, words: dict[str, str]) -> str:
    sign = "+" if moved >= 0 else "\u2212"
    if name not in columns:
        return f"{sign} {words.get(name.removesuffix(' is missing'), name)}: unknown"
    amount = columns[name][row]
    told = "unknown" if np.isnan(amount) else f"{amount:,.4g}"
    return f"{sign} {words.get(name, name.replace('_', ' '))}: {told}"


def _load_model(kind: str, folder: Path, cache_folder: Path | None) -> Model:
    if kind == Classifier.name:
        return Classifier.load(folder, cache_folder)
    for known in (GradientTrees, RfmLogistic, RfmRank):
        if kind == known.name:
            return known.load(folder)
    raise ShoalError(f"model package {folder} is of the unknown kind {kind!r}: known are {', '.join(NAMES)}")
