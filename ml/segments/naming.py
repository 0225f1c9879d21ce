"""Names for clusters, by rule: what sets a cluster apart decides what it is called.

The words come from ``segment_names.csv``; which feature speaks for which name stands in
``behaviour_naming_rules.csv``; what a cluster must be like to bear a name at all (nobody is a
one-time buyer without an order) in ``behaviour_naming_limits.csv``. All are data that a person
may change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cli import ShoalError
from ml.encoder.features import standard_units
from ml.segments import FEATURES, LIMITS, NAMES, RULES

IMPOSSIBLE = -1e6
"""The score of a name whose features this shop doesn't have, or whose limits the cluster breaks."""
AVOIDED = -100.0
"""More than any fit can make up for, and far less than what is impossible."""
ORDINARY = 0.4
"""Deviations: a feature nearer to the population than this speaks for direction ``average``."""
CAP = 2.5
"""Deviations: one extreme feature must not name a cluster alone."""


class NamesRanOutError(ShoalError):
    """Fewer codes are possible for a shop than there are clusters."""

    def __init__(self, wanted: int, possible: int) -> None:
        super().__init__(
            f"{wanted} clusters need names, but the features of this shop allow only {possible} codes: "
            f"add rules to {RULES.name}"
        )
        self.lacking = wanted - possible


@dataclass(frozen=True)
class Rules:
    """Which features speak for which behaviour code, and what a cluster's means must be for it.

    One row per (segment_code, feature) in each table; a limit that is null binds nobody.
    """

    table: pd.DataFrame
    limits: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(
            columns=["segment_code", "feature", "lowest_mean", "highest_mean"]
        )
    )

    @classmethod
    def load(cls, rules: Path = RULES, names: Path = NAMES, limits: Path = LIMITS) -> Rules:
        """Read the rules and check them against the vocabulary.

        Raises
        ------
        ShoalError
            When a rule names a code that ``segment_names.csv`` doesn't hold.
        """
        table = pd.read_csv(rules)
        vocabulary = pd.read_csv(names)
        known = set(vocabulary.loc[vocabulary["scheme"] == "behaviour", "segment_code"])
        unknown = sorted(set(table["segment_code"]) - known)
        if unknown:
            raise ShoalError(
                f"{rules.name} names the behaviour codes {', '.join(unknown)}, which {names.name} lacks: "
                "add them there (scheme behaviour), or correct the rule"
            )
        return cls(table, pd.read_csv(limits))

    def fit(self, profile: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
        """Return how well each code fits each cluster.

        A fit is the weighted mean of the cluster's deviations in the directions that the
        rules ask for. A code needs its heaviest feature, and half of its weight, to exist.

        Parameters
        ----------
        profile
            (clusters, features): deviations from the population in standard units.
        means
            (clusters, features): the clusters' means in the features' own units.

        Returns
        -------
        DataFrame
            (clusters, codes)
        """
        fits = pd.DataFrame(
            {code: _fit_of(rules, profile) for code, rules in self.table.groupby("segment_code", sort=True)},
            index=profile.index,
        )
        for limit in self.limits.itertuples(index=False):
            if limit.segment_code in fits and limit.feature in means:
                mean = means[limit.feature].fillna(0.0)
                breaks = (mean < limit.lowest_mean) | (mean > limit.highest_mean)
                fits.loc[breaks, limit.segment_code] = IMPOSSIBLE
        return fits


def profile(features: pd.DataFrame, labels: NDArray[np.int64]) -> pd.DataFrame:
    """Return each cluster's mean deviation from the population, in standard units of (logged) features.

    Missing values are left out of both means; a column that doesn't vary is left out.

    Returns
    -------
    DataFrame
        (clusters, features)
    """
    return standard_units(features).groupby(labels).mean().fillna(0.0)


def plainest(features: pd.DataFrame, labels: NDArray[np.int64]) -> float:
    """Return how far the cluster most like everybody lies from the population, in standard units.

    By the feature that tells it best, of those that have words; 0 where none has.
    """
    told = profile(features, labels)
    named = told[[name for name in told if name in set(pd.read_csv(FEATURES)["feature"])]]
    return float(named.abs().max(axis=1).fillna(0.0).min())


def means(features: pd.DataFrame, labels: NDArray[np.int64]) -> pd.DataFrame:
    """Return each cluster's mean of every number, in the feature's own unit; missing values are left out.

    Returns
    -------
    DataFrame
        (clusters, features)
    """
    return features.select_dtypes("number").groupby(labels).mean()


def name_clusters(
    profile: pd.DataFrame,
    means: pd.DataFrame,
    rules: Rules,
    kept: Mapping[int, str] | None = None,
    avoided: Collection[str] = (),
) -> tuple[str, ...]:
    """Give each cluster a code of its own, so that the sum of fits is greatest (Kuhn 1955).

    Parameters
    ----------
    kept
        Clusters that have their code already; nobody else gets it.
    avoided
        Codes that are given only where no other is possible.

    Raises
    ------
    NamesRanOutError
        When fewer codes are possible for this shop than there are clusters.
    """
    from scipy.optimize import linear_sum_assignment

    kept = dict(kept or {})
    nameless = [index for index in range(len(profile)) if index not in kept]
    fits = rules.fit(profile, means).iloc[nameless].drop(columns=[*kept.values()], errors="ignore")
    fits.loc[:, fits.columns.isin(list(avoided))] += AVOIDED
    rows, columns = linear_sum_assignment(fits.to_numpy(), maximize=True)
    chosen = fits.to_numpy()[rows, columns]
    possible = int((chosen > IMPOSSIBLE / 2).sum())
    if possible < len(nameless):
        raise NamesRanOutError(len(nameless), possible)
    named = kept | {
        nameless[row]: str(fits.columns[column]) for row, column in zip(rows, columns, strict=True)
    }
    return tuple(named[index] for index in range(len(profile)))


def describe(profile: pd.DataFrame, language: str, top: int = 3) -> list[str]:
    """Say in one sentence per cluster what sets it apart, strongest first."""
    words = pd.read_csv(FEATURES).set_index("feature")[f"name_{language}"]
    return [_sentence(row, words, language, top) for _, row in profile.iterrows()]


def _fit_of(rules: pd.DataFrame, profile: pd.DataFrame) -> NDArray[np.float64]:
    present = rules["feature"].isin(profile.columns)
    heaviest = rules.loc[rules["weight"].idxmax(), "feature"]
    if heaviest not in profile.columns or rules.loc[present, "weight"].sum() < rules["weight"].sum() / 2:
        return np.full(len(profile), IMPOSSIBLE)
    used = rules[present]
    capped = profile[used["feature"]].clip(-CAP, CAP).to_numpy()
    direction = used["direction"].to_numpy()
    told = np.where(
        direction == "high", capped, np.where(direction == "low", -capped, ORDINARY - np.abs(capped))
    )
    return np.asarray(told @ used["weight"].to_numpy(dtype=np.float64) / used["weight"].sum())


def _sentence(row: pd.Series[Any], words: pd.Series[str], language: str, top: int) -> str:
    known = row[[name for name in row.index if name in words.index]]
    strongest = known.reindex(known.abs().sort_values(ascending=False, kind="stable").index)[:top]
    parts = [_PHRASES[language](str(words.loc[name]), float(value)) for name, value in strongest.items()]
    return _JOINED[language].format(_COMMAS[language].join(parts)) if parts else ""


def _english(word: str, value: float) -> str:
    degree = "far " if abs(value) >= 1 else "slightly " if abs(value) < 0.3 else ""
    return f"{word} {degree}{'above' if value > 0 else 'below'} average"


def _chinese(word: str, value: float) -> str:
    degree = "远" if abs(value) >= 1 else "略" if abs(value) < 0.3 else ""
    return f"{word}{degree}{'高于' if value > 0 else '低于'}平均"


_PHRASES: Mapping[str, Any] = {"en": _english, "zh": _chinese}
_COMMAS = {"en": ", ", "zh": "，"}
_JOINED = {"en": "Compared with all customers: {}.", "zh": "与全体顾客相比：{}。"}
