"""From scores to probabilities, and from scores to a range of later spend.

Both are learned from users of the training cut that the scored model did not learn from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ISOTONIC_POSITIVES = 1000
"""From so many positives on, a free rising curve is steadier than two parameters are biased."""


@dataclass(frozen=True)
class Calibration:
    """A rising curve from score to probability: through ``points``, or Platt's, a line in log odds."""

    slope: float
    intercept: float
    points: tuple[tuple[float, float], ...] = ()

    @classmethod
    def fit(cls, scores: Floats, truth: NDArray[np.bool_]) -> Calibration:
        """Fit Platt's curve (1999), above 1,000 positives an isotonic one.

        Parameters
        ----------
        scores
            (users,) in [0, 1], of users whom the model did not learn from.

        Examples
        --------
        Scores that say half of what is true are put right:

        >>> scores, truth = np.repeat([0.1, 0.3], 1000), np.tile([True] + [False] * 4, 400)
        >>> truth[1000:] = np.tile([True, True, True, False, False], 200)
        >>> np.round(Calibration.fit(scores, truth).of(np.array([0.1, 0.3])), 2).tolist()
        [0.2, 0.6]
        """
        from sklearn.isotonic import IsotonicRegression
        from sklearn.linear_model import LogisticRegression

        if truth.sum() > ISOTONIC_POSITIVES:
            curve = IsotonicRegression(y_min=0.0, y_max=1.0).fit(scores, truth)
            points = zip(curve.X_thresholds_, curve.y_thresholds_, strict=True)
            return cls(1.0, 0.0, tuple((float(x), float(y)) for x, y in points))
        line = LogisticRegression(C=1e6).fit(_log_odds(scores)[:, None], truth)
        return cls(float(line.coef_[0, 0]), float(line.intercept_[0]))

    def of(self, scores: Floats) -> Floats:
        """Return probabilities, (users,)."""
        if self.points:
            x, y = np.array(self.points).T
            return _probability(_log_odds(np.interp(scores, x, y)) + self.intercept)
        return _probability(self.slope * _log_odds(scores) + self.intercept)


def reliability(truth: NDArray[np.bool_], probabilities: Floats, groups: int = 10) -> pd.DataFrame:
    """Return, by tenth of the users, what was said and what came: the table behind a calibration plot.

    >>> reliability(np.array([False, True]), np.array([0.2, 0.9]), 2)[["said", "came"]].values.tolist()
    [[0.2, 0.0], [0.9, 1.0]]
    """
    parts = np.array_split(np.argsort(probabilities, kind="stable"), groups)
    rows = [(len(part), probabilities[part].mean(), truth[part].mean()) for part in parts if len(part)]
    return pd.DataFrame(rows, columns=["users", "said", "came"])


def _log_odds(scores: Floats) -> Floats:
    bounded = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(bounded / (1 - bounded)))


def _probability(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))
