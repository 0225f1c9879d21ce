"""`python -m ml judge`: all models at all cuts of a shop, in one table, in MLflow and in ``ops``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

import journal
from cli import UsageError, console
from ml import reuse, tracking
from ml.configs import Config, with_changes
from ml.evaluation import canaries
from ml.evaluation.calibration import coverage, reliability
from ml.evaluation.contest import Arena, Contest, Result
from ml.evaluation.judge import Court, Interval, Verdict, gap_over_cuts, judge
from ml.evaluation.metrics import brier
from ml.evaluation.recipes import RECIPES, Blend, Recipe
from ml.warehouse import Inputs
from settings import ShopPaths, TrialPaths
from warehouse import trials
from warehouse.horizon import Trial
from warehouse.snapshot import Snapshot

RIVAL = "lightgbm"
"""The model that every other is measured against."""
READINGS = "judge_reading.jsonl"


@dataclass(frozen=True)
class Row:
    """One model at one cut, as `python -m ml judge` prints it."""

    cut: date
    horizon_days: int
    role: str
    model: str
    seeds: int
    n: int
    n_positive: int
    auc: float
    auc_low: float
    auc_high: float
    gap_to_lightgbm: float
    gap_low: float
    gap_high: float
    pr_auc: float
    brier: float
    cpu_seconds: float


COLUMNS = tuple(field.name for field in fields(Row))


def judge_shop(
    shop: str, config: Config, models: Sequence[str] | None = None, choosing_only: bool = False
) -> list[Row]:
    """Compare models at a shop's trials, log everything, and return the table.

    Parameters
    ----------
    models
        Which to compare, by name; the rival and what a blend needs come along. None: all.
    choosing_only
        Leave the reporting cut unread.
    """
    paths, recipes = TrialPaths(shop), _wanted(models)
    built = trials.build_all(shop)
    if not built:
        _tell_too_short(shop)
        return []
    if choosing_only:
        built = [one for one in built if one[0].role == "choose"]
    if not built:
        console.print(
            "no cut to choose by: the reporting cut is the only one, and it was left unread; land more "
            f"history, or name choosing cuts in {ShopPaths(shop).config}, judge:",
            style="yellow",
        )
        return []
    contest = Contest(paths, config, recipes)
    tags = {"shop": shop, "stage": "judge", "git_sha": tracking.git_sha(), "code_digest": reuse.code_digest()}
    with tracking.run("evaluation", f"judge {shop}", tags, config.dotted()) as parent:
        arenas = [_arena(shop, trial, found) for trial, found in built]
        data = {"data_digest": " ".join(arena.digest for arena in arenas)}
        parent.set_tags(data)
        arenas = [arena for arena in arenas if _can_rank(arena, config)]
        contest.choose([arena for arena in arenas if arena.trial.role == "choose"])
        rows: list[Row] = []
        heard: list[_Heard] = []
        for arena in arenas:
            if arena.trial.role == "report":
                _note_reading(ShopPaths(shop), contest, arena.trial, parent.run_id)
            heard.append(_hear(contest, arena))
            if told := heard[-1].verdict.told_apart:
                console.print(f"{arena.trial.cut}: {told}", markup=False)
            rows += _rows(heard[-1])
        together = _together(heard, config)
        _log(parent, contest, heard, together, rows, data)
    _tell_together(together)
    return rows


def as_csv(rows: Sequence[Any], columns: Sequence[str] = COLUMNS) -> str:
    """Return a table of records as csv, with its header even where it is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(value) for value in astuple(row)] for row in rows)
    return text.getvalue()


def readings(paths: ShopPaths, trial: Trial) -> list[journal.Record]:
    """Return who has read a reporting cut so far, oldest first; the same code and settings count once."""
    found = {
        (record["code_digest"], record["settings_digest"]): record
        for record in journal.read(paths.ops / READINGS)
        if (record["cut"], record["horizon_days"]) == (str(trial.cut), trial.horizon_days)
    }
    return list(found.values())


@dataclass(frozen=True)
class _Heard:
    """One cut with everything that was found there."""

    arena: Arena
    results: dict[str, Result]
    court: Court
    verdict: Verdict


def _wanted(models: Sequence[str] | None) -> list[Recipe | Blend]:
    known = {recipe.name: recipe for recipe in RECIPES}
    if unknown := sorted(set(models or ()) - known.keys()):
        raise UsageError(f"unknown models {', '.join(unknown)}: known are {', '.join(known)}")
    names = set(known if models is None else models) | {RIVAL}
    for name in list(names):
        recipe = known[name]
        names |= set(recipe.of) if isinstance(recipe, Blend) else set()
    return [recipe for recipe in RECIPES if recipe.name in names]


def _arena(shop: str, trial: Trial, found: Snapshot) -> Arena:
    short = trial.newest()
    newest = None if short is None else trials.build(shop, short)
    return Arena.read(
        trial,
        Inputs(found.folder, found.manifest),
        None if newest is None else Inputs(newest.folder, newest.manifest),
    )


def _can_rank(arena: Arena, config: Config) -> bool:
    train, test = arena.positives()
    if min(train, test) >= config.gate.min_positives:
        return True
    assert arena.test.outcomes is not None
    buyers, need = int(arena.test.outcomes.is_buyer.sum()), config.gate.min_positives
    console.print(
        f"{arena.trial.cut}: can't rank models on {buyers} buyers ({train} users of high value to learn from "
        f"and {test} to test on; {need} needed of each)",
        style="yellow",
    )
    return False


def _tell_too_short(shop: str) -> None:
    """Say on how many buyers nothing can be ranked."""
    day, found = trials.build_last_day(shop)
    features = Inputs(found.folder, found.manifest).cut(day).features
    buyers = int((features["order_count"] > 0).sum())
    console.print(f"can't rank models on {buyers} buyers whose history fits no horizon", style="yellow")


def _note_reading(paths: ShopPaths, contest: Contest, trial: Trial, run_id: str) -> None:
    """Write down that a reporting cut is read, before it is, and say how often it was read before."""
    settings_digest = contest.digest()
    record = {
        "cut": trial.cut,
        "horizon_days": trial.horizon_days,
        "read_at": journal.now(),
        "git_sha": tracking.git_sha(),
        "code_digest": reuse.code_digest(),
        "settings_digest": settings_digest,
        "mlflow_run_id": run_id,
        "models": [recipe.name for recipe in contest.recipes],
    }
    before = [
        one
        for one in readings(paths, trial)
        if (one["code_digest"], one["settings_digest"]) != (record["code_digest"], settings_digest)
    ]
    journal.append(paths.ops / READINGS, [record])
    if before:
        console.print(
            f"the reporting cut {trial.cut} was read {len(before)} times before by other code or settings "
            f"(first at {before[0]['read_at'][:16]}): its figures flatter whoever chose by them",
            style="yellow",
        )


def _hear(contest: Contest, arena: Arena) -> _Heard:
    canaries.sing(arena.train, arena.test, contest.config.rivals, contest.config.judge.seeds[0])
    results = contest.fight(arena)
    court = contest.court(arena, results)
    gate, seed = contest.config.gate, contest.config.judge.seeds[0]
    verdict = judge(
        court.users, court.truth, court.scores, gate.resamples, gate.confidence, seed, court.is_treated
    )
    return _Heard(arena, results, court, verdict)


def _rows(heard: _Heard) -> Iterator[Row]:
    trial, verdict = heard.arena.trial, heard.verdict
    assert trial.horizon_days is not None
    for name, result in heard.results.items():
        auc = verdict.metrics[name]["roc_auc"]
        gap = Interval(0.0, 0.0, 0.0) if name == RIVAL else verdict.gap(name, RIVAL)
        yield Row(
            cut=trial.cut,
            horizon_days=trial.horizon_days,
            role=trial.role,
            model=name,
            seeds=len(result.scores),
            n=verdict.users,
            n_positive=verdict.positives,
            auc=auc.value,
            auc_low=auc.low,
            auc_high=auc.high,
            gap_to_lightgbm=gap.value,
            gap_low=gap.low,
            gap_high=gap.high,
            pr_auc=verdict.metrics[name]["pr_auc"].value,
            brier=float(brier(heard.court.truth, result.probabilities)[0]),
            cpu_seconds=result.cpu_seconds,
        )


def _together(heard: Sequence[_Heard], config: Config) -> dict[str, dict[str, Interval]]:
    """Return each model's mean gap over all choosing cuts, and over all cuts."""
    groups = {
        "choosing cuts": [one.court for one in heard if one.arena.trial.role == "choose"],
        "cuts": [one.court for one in heard],
    }
    if len(groups["choosing cuts"]) == len(heard):
        del groups["cuts"]
    gate, seed = config.gate, config.judge.seeds[0]
    return {
        group: {
            name: gap_over_cuts(courts, name, RIVAL, gate.resamples, gate.confidence, seed)
            for name in courts[0].scores
            if name != RIVAL
        }
        for group, courts in groups.items()
        if len(courts) > 1
    }


def _log(
    parent: tracking.Run,
    contest: Contest,
    heard: Sequence[_Heard],
    together: dict[str, dict[str, Interval]],
    rows: Sequence[Row],
    data: dict[str, str],
) -> None:
    parent.log_table("judge.csv", pd.DataFrame([astuple(row) for row in rows], columns=COLUMNS))
    for recipe in contest.recipes:
        name = recipe.name
        settings = {
            f"{section}.{key}": value
            for section, some in contest.chosen[name].items()
            for key, value in some.items()
        }
        tags = {
            "shop": contest.paths.shop,
            "stage": name,
            "settings_tried": contest.tried[name],
            "settings_chosen": settings or None,
            **data,
        }
        config = with_changes(contest.config, **contest.chosen[name])
        with tracking.run("evaluation", name, tags, config.dotted(), parent) as run:
            for row in rows:
                if row.model == name:
                    run.log_metrics(_metrics(row))
            for group, gaps in together.items():
                if name in gaps:
                    gap = gaps[name]
                    key = f"all_{group.replace(' ', '_')}/gap_to_lightgbm"
                    run.log_metrics({key: gap.value, f"{key}_low": gap.low, f"{key}_high": gap.high})
            for one in heard:
                result, cut = one.results[name], one.arena.trial.link
                if (untreated := one.verdict.untreated) is not None:
                    auc = untreated.metrics[name]["roc_auc"]
                    key = f"{one.arena.trial.role}_{one.arena.trial.cut}/untreated_auc"
                    run.log_metrics({key: auc.value, f"{key}_low": auc.low, f"{key}_high": auc.high})
                run.log_table(f"reliability_{cut}.csv", reliability(one.court.truth, result.probabilities))
                run.log_table(f"spend_coverage_{cut}.csv", _coverage(one, name))


def _coverage(heard: _Heard, name: str) -> pd.DataFrame:
    result, outcomes = heard.results[name], heard.arena.test.outcomes
    assert outcomes is not None
    return coverage(*result.spend, outcomes.net_revenue, result.probabilities)


def _metrics(row: Row) -> dict[str, float]:
    measured = COLUMNS[COLUMNS.index("n") :]
    return {f"{row.role}_{row.cut}/{name}": float(getattr(row, name)) for name in measured}


def _tell_together(together: dict[str, dict[str, Interval]]) -> None:
    for group, gaps in together.items():
        told = "; ".join(f"{name} {gap}" for name, gap in gaps.items())
        console.print(f"mean gap to {RIVAL} over all {group}, users and seeds drawn together: {told}")


def _plain(value: object) -> object:
    if isinstance(value, float):
        return "" if np.isnan(value) else round(value, 6)
    return value
