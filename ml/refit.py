"""What serves: the recipe that the gate judged, fitted again on the newest cut whose outcomes are known.

The judged model learned one horizon earlier, so that it could be judged on what came. Its recipe, given
the later outcomes too, knows the present better; it is checked against the judged model, since nothing
can judge it until the next window has closed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml import high_value
from ml.configs import Config, GateConfig
from ml.encoder.classifier import Classifier
from ml.encoder.training import held_out
from ml.evaluation.calibration import Calibration, score_apart
from ml.evaluation.rivals import GradientTrees, RfmLogistic
from ml.high_value import HighValue
from ml.reasons import Model
from ml.segments import value
from ml.warehouse import Cut

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Refit:
    """The model that serves, how it compares with the judged one, and why it serves."""

    served: HighValue
    agreement: float
    """Rank correlation of both on the users of the as_of_date."""
    drift: float
    """How many of high value the refitted model foretells there, per one that the judged model does."""
    reason: str

    def as_metrics(self) -> dict[str, float]:
        """Return what MLflow keeps."""
        return {"refit/rank_correlation": self.agreement, "refit/drift": self.drift}


def refit(judged: HighValue, newest: Cut, now: Cut, config: Config, folder: Path | None) -> Refit:
    """Fit the recipe of a judged model on the newest closed cut, calibrate it there, and check it.

    Where it differs too much, the judged model itself serves, calibrated on the same cut.

    Parameters
    ----------
    newest
        The cut that the judged model was tested on, with outcomes.
    now
        The users of the as_of_date.
    """
    if judged.name not in FITS:
        return Refit(judged, 1.0, 1.0, f"{judged.name} has nothing to refit")
    assert newest.outcomes is not None
    model = FITS[judged.name](newest, config, folder)
    scores, rows = _apart(model, newest, config, folder)
    calibration = Calibration.fit(scores, newest.outcomes.is_high_value[rows])
    said, before = (high_value.score(one, now) for one in (model, judged.model))
    agreement = _rank_correlation(said, before)
    drift = float(calibration.of(said).mean() / max(before.mean(), 1e-9))
    told = f"refitted on {newest.as_of_date}: rank correlation {agreement:.2f} with the judged model, "
    told += f"{drift:.2f} times as many foretold"
    why = _refusal(agreement, drift, config.gate)
    if why is not None:  # the judged model has learned from no outcome of the newest cut
        told = f"the judged model serves: refitted, {why}"
        model, said = judged.model, before
        scores, rows = high_value.score(model, newest), np.arange(len(newest))
        calibration = Calibration.fit(scores, newest.outcomes.is_high_value)
    served = replace(
        judged,
        model=model,
        usual=high_value.usual_embedding(model, newest),
        calibration=calibration,
        tiers=value.Tiers.freeze(calibration.of(said), config.gate.high_share, config.gate.medium_share),
        curve=value.ValueCurve.fit(calibration.of(scores), newest.outcomes.net_revenue[rows]),
    )
    return Refit(served, agreement, drift, told)


def _rfm_logistic(cut: Cut, config: Config, folder: Path | None) -> Model:
    assert cut.outcomes is not None
    return RfmLogistic.fit(cut.features, cut.outcomes.is_high_value, config.rivals)


def _lightgbm(cut: Cut, config: Config, folder: Path | None) -> Model:
    assert cut.outcomes is not None
    return GradientTrees.fit(cut.features, cut.outcomes.is_high_value, config.rivals)


def _bert(cut: Cut, config: Config, folder: Path | None) -> Model:
    return Classifier.fit(cut.users, cut.sequences, cut.features, cut.outcomes, config, folder)[0]


FITS: dict[str, Callable[[Cut, Config, Path | None], Model]] = {
    "rfm_logistic": _rfm_logistic,
    "lightgbm": _lightgbm,
    "bert": _bert,
}
"""How each kind that can serve is fitted at a cut."""


def _apart(model: Model, cut: Cut, config: Config, folder: Path | None) -> tuple[Floats, NDArray[np.int64]]:
    """Return scores of the cut's users by a model that did not learn from them, and who they are."""
    seed = config.training.seed
    if isinstance(model, Classifier):
        # Five more trainings would cost minutes; it leaves some users out by itself.
        rows = np.flatnonzero(held_out(cut.users, config.training.validation_share, seed))
        return high_value.score(model, cut.only(rows)), rows

    def fit(some: Cut) -> Callable[[Cut], Floats]:
        fitted = FITS[model.name](some, config, folder)
        return lambda others: high_value.score(fitted, others)

    (scores,) = score_apart(fit, cut, config.judge.folds, seed)
    return scores, np.arange(len(cut))


def _refusal(agreement: float, drift: float, gate: GateConfig) -> str | None:
    if agreement < gate.refit_agreement:
        return f"its rank correlation with the judged model is {agreement:.2f}, below {gate.refit_agreement}"
    if not 1 / gate.refit_drift <= drift <= gate.refit_drift:
        return f"it foretells {drift:.2f} times as many as the judged model, beyond {gate.refit_drift}"
    return None


def _rank_correlation(one: Floats, other: Floats) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)
