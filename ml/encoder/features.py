"""Plain features as model inputs: logs, standard units, missing shown as missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NOT_LOGGED = ("_share", "is_", "has_", "_score_avg")
"""Columns whose scale is bounded already; all others are counts, days or money, and skewed."""


def numeric(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the numeric and boolean columns as float64, null as NaN, amounts and counts as signed logs."""
    values = numeric_columns(frame)
    skewed = [name for name in values.columns if not any(mark in name for mark in NOT_LOGGED)]
    values[skewed] = np.sign(values[skewed]) * np.log1p(values[skewed].abs())
    return values


def numeric_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the numeric and boolean columns as float64, null as NaN."""
    return frame[[name for name in frame.columns if _is_number(frame[name])]].astype("float64")


@dataclass(frozen=True)
class Scaler:
    """Standard units of the users that it was fitted on.

    A missing value becomes 0 (the mean) and raises a flag column, where any was missing
    at fitting. A column that doesn't vary there, or is wholly missing, is left out.
    """

    columns: tuple[str, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    flagged: tuple[str, ...]

    @classmethod
    def fit(cls, values: pd.DataFrame) -> Scaler:
        """Learn means and deviations, nulls aside.

        >>> Scaler.fit(pd.DataFrame({"a": [1.0, 3.0], "b": [5.0, 5.0]})).columns
        ('a',)
        """
        deviations = values.std(ddof=0)
        columns = [name for name in values.columns if deviations[name] > 1e-9]
        flagged = [name for name in columns if values[name].isna().any()]
        return cls(
            columns=tuple(columns),
            means=tuple(float(value) for value in values[columns].mean()),
            deviations=tuple(float(value) for value in deviations[columns]),
            flagged=tuple(flagged),
        )

    @property
    def names(self) -> list[str]:
        """Return the names of the resulting columns."""
        return [*self.columns, *(f"{name} is missing" for name in self.flagged)]

    def apply(self, values: pd.DataFrame) -> NDArray[np.float32]:
        """Return (users, columns + flags), float32; capped at 6 deviations, so that one user can't break a score.

        Raises
        ------
        ValueError
            When a column that the scaler was fitted on is absent.
        """
        absent = sorted(set(self.columns) - set(values.columns))
        if absent:
            raise ValueError(f"fct_user_features lacks {', '.join(absent)}: rebuild ml_inputs, or train again")
        scaled = (values[list(self.columns)] - np.array(self.means)) / np.array(self.deviations)
        flags = values[list(self.flagged)].isna().to_numpy(dtype=np.float32)
        return np.hstack([scaled.clip(-6, 6).fillna(0.0).to_numpy(dtype=np.float32), flags])

    def as_json(self) -> dict[str, Any]:
        """Return the scaler as plain lists."""
        return {name: list(getattr(self, name)) for name in ("columns", "means", "deviations", "flagged")}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Scaler:
        """Return the scaler that :meth:`as_json` wrote."""
        return cls(**{name: tuple(values) for name, values in content.items()})


def _is_number(column: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column))
