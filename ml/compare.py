"""Two MLflow runs side by side: what differs, and which is better on the test rows that both saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cli import UsageError
from ml import tracking
from ml.configs import GateConfig
from ml.evaluation.judge import Interval, judge
from ml.judged import Judged
from settings import ShopPaths

NOT_COMPARED = ("mlflow.", "decision", "fingerprint")
"""Tags that differ between any two runs, or tell at length what the metrics say."""


@dataclass(frozen=True)
class Lead:
    """The second run minus the first, on the users that both were judged on."""

    users: int
    positives: int
    digest: str
    is_whole: bool
    """Whether both were judged on exactly these rows."""
    differences: Mapping[str, Interval]


def differing(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return what two runs say differently, by name; what one lacks is ``-``.

    >>> differing({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"})
    {'b': ('2', '3'), 'c': ('-', '4')}
    """
    names = sorted(name for name in first.keys() | second.keys() if not name.startswith(NOT_COMPARED))
    pairs = {name: (first.get(name, "-"), second.get(name, "-")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def lead(first: Judged, second: Judged, gate: GateConfig, seed: int) -> Lead:
    """Return by how much the second run leads, by paired bootstrap over the users that both saw.

    Raises
    ------
    UsageError
        When the runs were judged at different cuts or horizons, or share no user.
    """
    if (first.cut, first.horizon_days) != (second.cut, second.horizon_days):
        raise UsageError(
            f"the runs were judged on different rows: {first.horizon_days} days from {first.cut}, and "
            f"{second.horizon_days} days from {second.cut}; compare runs of one as_of_date"
        )
    rows = first.as_frame().join(second.as_frame(), how="inner", suffixes=("_1", "_2")).sort_index()
    rows = rows[rows["is_high_value_1"] == rows["is_high_value_2"]]
    if rows["is_high_value_1"].nunique() < 2:
        raise UsageError(f"the runs share {len(rows)} test users, of one class: nothing can be compared")
    verdict = judge(
        rows.index.to_numpy(dtype=object),
        rows["is_high_value_1"].to_numpy(dtype=bool),
        {"first": rows["score_1"].to_numpy(), "second": rows["score_2"].to_numpy()},
        gate.resamples,
        gate.confidence,
        seed,
    )
    return Lead(
        users=verdict.users,
        positives=verdict.positives,
        digest=verdict.rows_digest,
        is_whole=verdict.rows_digest == first.digest == second.digest,
        differences=verdict.differences["second", "first"],
    )


def compare(paths: ShopPaths, first: str, second: str, gate: GateConfig, seed: int) -> Comparison:
    """Compare two runs, named by their first letters."""
    one, other = tracking.find_run(paths.shop, first), tracking.find_run(paths.shop, second)
    return Comparison(
        runs=(one, other),
        tags=differing(one.tags, other.tags),
        params=differing(one.params, other.params),
        lead=lead(Judged.load(paths, one.run_id), Judged.load(paths, other.run_id), gate, seed),
    )


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs, and the lead of the second."""

    runs: tuple[tracking.Finished, tracking.Finished]
    tags: Mapping[str, tuple[str, str]]
    params: Mapping[str, tuple[str, str]]
    lead: Lead

    def sentence(self) -> str:
        """Return which run is better, or that it can't be told."""
        gap = self.lead.differences["roc_auc"]
        first, second = (f"{run.name} ({run.run_id[:8]})" for run in self.runs)
        rows = "the same" if self.lead.is_whole else "the shared"
        told = f"ROC-AUC, second − first, {gap} on {rows} {self.lead.users:,} users"
        if gap.low > 0:
            return f"{second} is better than {first}: {told}"
        if gap.high < 0:
            return f"{first} is better than {second}: {told}"
        return f"which is better can't be told: {told}"
