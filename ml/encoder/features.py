"""Plain features as model inputs: logs, standard units, missing shown as missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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


def standard_units(frame: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`numeric` columns in deviations from their mean, capped at 6.

    A column that doesn't vary is left out. Nulls stay NaN, and count in neither mean nor deviation.
    """
    values = numeric(frame)
    values = values.loc[:, values.std(ddof=0) > 1e-9]
    return ((values - values.mean()) / values.std(ddof=0)).clip(-6, 6)


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
        """Return (users, columns + flags), float32.

        Values are capped at 6 deviations, so that one user can't break a score.

        Raises
        ------
        ValueError
            When a column that the scaler was fitted on is absent.
        """
        check_present(self.columns, values)
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


@dataclass(frozen=True)
class Steps:
    """Piecewise linear encoding: how much of each quantile bin a value has filled.

    A linear model on these says what a tree says of one feature at a time (Gorishniy,
    Rubachev, Babenko 2022, "On embeddings for numerical features", section 3.2). Bins are
    set, and values centred, by the users that it was fitted on; a missing value fills no
    bin and raises a flag.
    """

    edges: dict[str, tuple[float, ...]]
    flagged: tuple[str, ...]
    centre: tuple[float, ...]

    @classmethod
    def fit(cls, values: pd.DataFrame, bins: int) -> Steps:
        """Set the borders at quantiles; borders that coincide count once.

        >>> Steps.fit(pd.DataFrame({"a": [0.0, 0.0, 0.0, 1.0, 9.0]}), 4).edges
        {'a': (0.0, 1.0, 9.0)}
        """
        edges = {name: _borders(values[name].dropna().to_numpy(), bins) for name in values.columns}
        edges = {name: borders for name, borders in edges.items() if len(borders) > 1}
        flagged = tuple(name for name in edges if values[name].isna().any())
        plain = cls(edges, flagged, (0.0,) * (sum(len(one) - 1 for one in edges.values()) + len(flagged)))
        return replace(plain, centre=tuple(float(one) for one in plain.apply(values).mean(axis=0)))

    @property
    def names(self) -> list[str]:
        """Return the features, each once."""
        return list(self.edges)

    @property
    def owners(self) -> NDArray[np.int64]:
        """Return for each encoded column the place of its feature in :attr:`names`."""
        bins = [place for place, borders in enumerate(self.edges.values()) for _ in borders[1:]]
        return np.array([*bins, *(self.names.index(name) for name in self.flagged)], dtype=np.int64)

    def apply(self, values: pd.DataFrame) -> NDArray[np.float32]:
        """Return (users, bins + flags), float32, centred.

        Raises
        ------
        ValueError
            When a column that the bins were set on is absent.
        """
        check_present(self.names, values)
        parts = [_filled(values[name].to_numpy(), np.array(borders)) for name, borders in self.edges.items()]
        flags = values[list(self.flagged)].isna().to_numpy(dtype=np.float64)
        encoded = np.hstack([*parts, flags]) if parts else np.zeros((len(values), 0))
        return (encoded - np.array(self.centre)).astype(np.float32)

    def as_json(self) -> dict[str, Any]:
        """Return the encoding as plain lists."""
        return {"edges": self.edges, "flagged": list(self.flagged), "centre": list(self.centre)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Steps:
        """Return the encoding that :meth:`as_json` wrote."""
        edges = {name: tuple(borders) for name, borders in content["edges"].items()}
        return cls(edges, tuple(content["flagged"]), tuple(content["centre"]))


def _borders(values: NDArray[np.float64], bins: int) -> tuple[float, ...]:
    if len(values) == 0:
        return ()
    return tuple(float(one) for one in np.unique(np.quantile(values, np.linspace(0, 1, bins + 1))))


def _filled(values: NDArray[np.float64], borders: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (users, bins): 0 below a bin, 1 above it, in between the part that the value fills."""
    share = (values[:, None] - borders[:-1]) / np.diff(borders)
    return np.nan_to_num(np.clip(share, 0.0, 1.0), nan=0.0)


def check_present(names: Sequence[str], values: pd.DataFrame) -> None:
    """Refuse features that lack a column which a model was fitted on."""
    absent = sorted(set(names) - set(values.columns))
    if absent:
        raise ValueError(f"fct_user_features lacks {', '.join(absent)}: rebuild ml_inputs, or train again")


def _is_number(column: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column))
