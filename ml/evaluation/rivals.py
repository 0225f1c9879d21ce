"""The simple models that BERT must beat: an unfitted RFM rank, logistic regressions, LightGBM.

LightGBM and scikit-learn are imported where they are used: together they cost seconds, and
scoring a day seldom needs both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.configs import RivalConfig
from ml.encoder.features import Scaler, check_present, numeric
from ml.packages import load_tensors, read_json, save_tensors, write_json

Floats = NDArray[np.float64]

RFM = ("days_since_last_order", "order_count", "net_revenue_amount")


@dataclass(frozen=True)
class RfmRank:
    """The score that needs no training: the mean rank of recency, frequency and money.

    It serves where too few users were of high value to fit or to judge anything. A user
    without an order counts as the longest ago.
    """

    name = "rfm_rank"

    def score(self, features: pd.DataFrame) -> Floats:
        """Return (users,) in (0, 1]; equal users tie.

        >>> r, f, m = RFM
        >>> RfmRank().score(pd.DataFrame({r: [9.0, 1.0], f: [1, 5], m: [5.0, 50.0]})).tolist()
        [0.5, 1.0]
        """
        return np.asarray(np.mean(self._ranks(features), axis=0))

    def contributions(self, features: pd.DataFrame) -> tuple[list[str], Floats]:
        """Return how far each rank lies from that of the middle user, (users, 3)."""
        middle = (len(features) + 1) / (2 * len(features))
        return list(RFM), np.stack(self._ranks(features), axis=1) - middle

    def _ranks(self, features: pd.DataFrame) -> list[Floats]:
        """Return ranks in (0, 1] by recency, frequency and money, (users,) each."""
        check_present(RFM, features)
        values = features[list(RFM)].astype("float64")
        values["days_since_last_order"] = -values["days_since_last_order"].fillna(np.inf)
        return [values[name].fillna(0.0).rank().to_numpy() / len(values) for name in RFM]

    def save(self, folder: Path) -> None:
        """Write nothing: the rank has no parameters."""

    @classmethod
    def load(cls, folder: Path) -> RfmRank:
        """Return the rank."""
        return cls()


@dataclass(frozen=True)
class _Logistic:
    """Logistic regression on log features in standard units."""

    scaler: Scaler
    coefficients: Floats
    intercept: float

    @classmethod
    def fit_on(cls, values: pd.DataFrame, truth: NDArray[np.bool_], c: float) -> Self:
        """Fit on the users of the training cut; ``c`` is the inverse of the penalty."""
        from sklearn.linear_model import LogisticRegression

        scaler = Scaler.fit(values)
        # A few exact steps: many users, few columns.
        fitted = LogisticRegression(C=c, solver="newton-cholesky").fit(scaler.apply(values), truth)
        return cls(scaler, np.asarray(fitted.coef_[0], dtype=np.float64), float(fitted.intercept_[0]))

    def score(self, features: pd.DataFrame) -> Floats:
        """Return probabilities of high value, (users,)."""
        return self.of(numeric(features))

    def of(self, values: pd.DataFrame) -> Floats:
        """Return probabilities for features that :func:`numeric` has made numbers, (users,)."""
        inputs = self.scaler.apply(values).astype(np.float64)
        return np.asarray(1 / (1 + np.exp(-(inputs @ self.coefficients + self.intercept))))

    def contributions(self, features: pd.DataFrame) -> tuple[list[str], Floats]:
        """Return coefficient × standardised value, (users, columns)."""
        return self.scaler.names, self.scaler.apply(numeric(features)) * self.coefficients

    def save(self, folder: Path) -> None:
        """Write coefficients and scaler."""
        save_tensors(folder / "logistic.safetensors", {"coefficients": self.coefficients})
        write_json(folder / "logistic.json", {"intercept": self.intercept, "scaler": self.scaler.as_json()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        content = read_json(folder / "logistic.json")
        coefficients = load_tensors(folder / "logistic.safetensors")["coefficients"]
        return cls(Scaler.from_json(content["scaler"]), coefficients, float(content["intercept"]))


class RfmLogistic(_Logistic):
    """On recency, frequency and money alone: the rival every marketer knows."""

    name = "rfm_logistic"

    @classmethod
    def fit(cls, features: pd.DataFrame, truth: NDArray[np.bool_], config: RivalConfig) -> RfmLogistic:
        """Fit on the users of the training cut."""
        return cls.fit_on(numeric(features.reindex(columns=list(RFM))), truth, config.rfm_c)


class AllLogistic(_Logistic):
    """On all numeric features."""

    name = "all_logistic"

    @classmethod
    def fit(cls, features: pd.DataFrame, truth: NDArray[np.bool_], config: RivalConfig) -> AllLogistic:
        """Fit on the users of the training cut."""
        return cls.fit_on(numeric(features), truth, config.all_c)


@dataclass(frozen=True)
class GradientTrees:
    """LightGBM on all numeric features, the mean of a few seeds."""

    columns: tuple[str, ...]
    boosters: tuple[Any, ...]
    name = "lightgbm"

    @classmethod
    def fit(cls, features: pd.DataFrame, truth: NDArray[np.bool_], config: RivalConfig) -> GradientTrees:
        """Fit on the users of the training cut; one thread and fixed seeds give the same trees."""
        import lightgbm

        values = numeric(features)
        parameters = {
            "objective": "binary",
            "num_leaves": config.leaves,
            "min_data_in_leaf": config.min_per_leaf,
            "learning_rate": config.learning_rate,
            "feature_fraction": config.column_share,
            "lambda_l2": config.l2,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        boosters = tuple(
            lightgbm.train(
                {**parameters, "seed": seed},
                lightgbm.Dataset(
                    values.to_numpy(), label=truth.astype(int), feature_name=list(values.columns)
                ),
                num_boost_round=config.trees,
            )
            for seed in config.seeds
        )
        return cls(tuple(values.columns), boosters)

    def score(self, features: pd.DataFrame) -> Floats:
        """Return probabilities of high value, (users,)."""
        inputs = self._inputs(features)
        return np.asarray(
            np.mean([booster.predict(inputs, num_threads=1) for booster in self.boosters], axis=0)
        )

    def contributions(self, features: pd.DataFrame) -> tuple[list[str], Floats]:
        """Return tree SHAP values in log odds (Lundberg et al. 2018), (users, columns)."""
        inputs = self._inputs(features)
        found = [
            booster.predict(inputs, pred_contrib=True, num_threads=1)[:, :-1] for booster in self.boosters
        ]
        return list(self.columns), np.mean(found, axis=0)

    def _inputs(self, features: pd.DataFrame) -> NDArray[np.float64]:
        values = numeric(features)
        check_present(self.columns, values)  # LightGBM would take an absent column for an unknown value
        return values[list(self.columns)].to_numpy()

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM's text model files."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "lightgbm.json", {"columns": list(self.columns), "boosters": len(self.boosters)})
        for index, booster in enumerate(self.boosters):
            (folder / f"lightgbm_{index}.txt").write_text(booster.model_to_string())

    @classmethod
    def load(cls, folder: Path) -> GradientTrees:
        """Read what :meth:`save` wrote."""
        import lightgbm

        content = read_json(folder / "lightgbm.json")
        files = [folder / f"lightgbm_{index}.txt" for index in range(content["boosters"])]
        return cls(
            tuple(content["columns"]), tuple(lightgbm.Booster(model_str=file.read_text()) for file in files)
        )
