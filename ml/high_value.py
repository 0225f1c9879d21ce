"""The served model of high value, whichever kind won: score, tiers, expected value, reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cli import ShoalError
from ml import packages, reasons
from ml.configs import GateConfig
from ml.costs import COST_ORDER
from ml.encoder.classifier import Classifier
from ml.evaluation.calibration import Calibration
from ml.evaluation.rivals import GradientTrees, RfmLogistic, RfmRank
from ml.reasons import InWords, Model
from ml.segments import value
from ml.warehouse import Cut, Day

Floats = NDArray[np.float64]
USUAL = "usual.safetensors"


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
    usual: NDArray[np.float32] | None = None
    """For BERT the mean embedding of a cut: what reasons measure a user's behaviour against."""
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
            usual=usual_embedding(model, test),
        )

    @property
    def name(self) -> str:
        """Return which kind of model serves."""
        return self.model.name

    def score(self, day: Day) -> Scored:
        """Score every user of a day, with reasons."""
        vectors = self.model.embed(day.sequences).vectors if isinstance(self.model, Classifier) else None
        told = reasons.in_words(self.contributions(day, vectors), day.features)
        return Scored(self.probabilities(day, vectors), told)

    def probabilities(self, day: Day, embeddings: NDArray[np.float32] | None = None) -> Floats:
        """Return every user's score; BERT takes embeddings that were made already."""
        said = score(self.model, day, embeddings)
        return np.round(said if self.calibration is None else self.calibration.of(said), value.DIGITS)

    def contributions(self, day: Day, embeddings: NDArray[np.float32] | None = None) -> reasons.Contributions:
        """Return what moved each user's score; BERT takes embeddings that were made already."""
        if isinstance(self.model, Classifier) and embeddings is None:
            embeddings = self.model.embed(day.sequences).vectors
        return reasons.contributions(self.model, day.features, embeddings, self.usual)

    def save(self, folder: Path) -> str:
        """Write a sealed package and return its digest."""
        self.model.save(folder)
        if self.usual is not None:
            packages.save_tensors(folder / USUAL, {"embedding": self.usual})
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
            usual=packages.load_tensors(folder / USUAL)["embedding"] if (folder / USUAL).exists() else None,
            calibration=Calibration.from_json(content.get("calibration")),
        )


@dataclass(frozen=True)
class Scored:
    """Scores, (users,), and three reasons each."""

    scores: Floats
    reasons: InWords = field(repr=False)


def score(model: Model, day: Day, embeddings: NDArray[np.float32] | None = None) -> Floats:
    """Return one model's scores for a day; BERT takes embeddings that were made already."""
    if isinstance(model, Classifier):
        vectors = model.embed(day.sequences).vectors if embeddings is None else embeddings
        return model.score(vectors, day.features)
    return model.score(day.features)


def usual_embedding(model: Model, cut: Cut) -> NDArray[np.float32] | None:
    """Return the mean embedding of a cut, (width,), where the model is BERT."""
    if not isinstance(model, Classifier):
        return None
    return np.asarray(model.embed(cut.sequences).vectors.mean(axis=0))


def _load_model(kind: str, folder: Path, cache_folder: Path | None) -> Model:
    if kind == Classifier.name:
        return Classifier.load(folder, cache_folder)
    for known in (GradientTrees, RfmLogistic, RfmRank):
        if kind == known.name:
            return known.load(folder)
    raise ShoalError(
        f"model package {folder} is of the unknown kind {kind!r}: known are {', '.join(COST_ORDER)}"
    )
