"""Whether segments stay while nothing happens, and speak up when something does.

``python -m benchmarks.drift --seeds 1 2`` simulates two shops per seed, one with a drift and one
without, builds the inputs of eight weekly dates, and trains the behaviour segments on each as
``python -m ml train`` does, champion and gate included, without MLflow and without the models of value.
The drift is planted on the day of the fourth training, so the fifth is the first that can see it.
Three CPU-minutes a shop of 2,000 people; what was built is not built again.

Printed per shop: the share of unchanged users who keep their code from week to week (the worst week),
the same from the week before the drift to the last, beside that of users whose planted group changed, of
all of these and of those who came again since, and in which week the gate said drift. Only this file
reads the truth, and nothing of it flows back.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
from rich.table import Table

import settings
import warehouse
from benchmarks.recovery import planted
from cli import answer, main
from ml import promote
from ml.configs import Config, with_changes
from ml.encoder.classifier import Classifier
from ml.segments import drift, naming, stability
from ml.segments.behaviour import BehaviourSegments
from ml.warehouse import Cut, Inputs
from settings import ShopPaths
from tests.chain import Chain
from warehouse.build import build_core_locked
from warehouse.horizon import Split

SHOP, WEEKS, DRIFT_WEEK = "simulated", 8, 5
START = date(2025, 1, 1)
DAYS = 140
"""The last seven weeks are trained on; before them lie three months of history."""
DRIFT_DAY = DAYS - 7 * (WEEKS - DRIFT_WEEK + 1)
"""The day of the fourth training; the shop lets drifts begin at multiples of 14."""


BY_USER = ("codes", "days_since_seen")
ROOT = settings.data_dir() / "benchmarks"


class Weekly(Split):
    """The days of all trainings in one build: what each knows is as of that day."""

    @property
    def as_of_dates(self) -> list[date]:
        """Return the day of each training, oldest first."""
        return [self.as_of_date - timedelta(days=7 * ago) for ago in reversed(range(WEEKS))]


@dataclass(frozen=True)
class Week:
    """One training, and where the champion after it put the users of its day."""

    gate: str
    codes: pd.Series  # index user_key
    days_since_seen: pd.Series  # index user_key
    k: int
    stable: float
    ari: float | None
    gap: float | None
    gap_low: float | None


@dataclass(frozen=True)
class Told:
    """What eight weeks of one shop showed."""

    seed: int
    drift_share: float
    kept: tuple[float, ...]
    """Of unchanged users, from each week to the next."""
    worst_kept: float
    kept_over_all: float
    kept_of_drifted: float | None
    kept_of_seen: float | None
    """Of users whose planted group changed and who came at least once since: the others did nothing."""
    announced: tuple[int, ...]
    gates: tuple[str, ...]

    @property
    def is_announced_in_time(self) -> bool:
        """Return whether one of the first two trainings after the drift said so."""
        return bool({DRIFT_WEEK, DRIFT_WEEK + 1} & {*self.announced})

    @property
    def is_false_alarm(self) -> bool:
        """Return whether drift was announced where none had been planted yet."""
        return any(week < DRIFT_WEEK or not self.drift_share for week in self.announced)


def build(seed: int, users: int, drift_share: float) -> ShopPaths:
    """Simulate a shop and build the inputs of all weeks, unless that was done."""
    folder = ROOT / f"drift-{users}-users-seed-{seed}-share-{drift_share}"
    os.environ["SHOAL_DATA"] = str(folder)
    paths = ShopPaths(SHOP)
    last = START + timedelta(days=DAYS - 1)
    if not (paths.snapshots / f"latest-{last}").exists():
        print(f"seed {seed}, drift {drift_share}: building in {folder}", file=sys.stderr, flush=True)
        chain = Chain(SHOP, folder)
        dials = {
            "users": users,
            "days": DAYS,
            "seed": seed,
            "drift-day": DRIFT_DAY,
            "drift-share": drift_share,
        }
        words = [word for name, value in dials.items() for word in (f"--{name}", str(value))]
        chain.simulate(*words, "--out", str(chain.drops))
        chain.land(chain.drops)
        with warehouse.lock(paths, "benchmark"):
            build_core_locked(paths, Weekly(last))
    return paths


def train_weekly(paths: ShopPaths, config: Config) -> list[Week]:
    """Train on each week, and let the gate decide who serves."""
    last = START + timedelta(days=DAYS - 1)
    inputs, champion, weeks = Inputs.of(paths, last), None, []
    for day in Weekly(last).as_of_dates:
        cut = inputs.cut(day)
        champion, week = _train(cut, champion, config, paths)
        weeks.append(week)
    return weeks


def _train(
    cut: Cut, champion: BehaviourSegments | None, config: Config, paths: ShopPaths
) -> tuple[BehaviourSegments, Week]:
    day = cut.as_of_date
    classifier, _ = Classifier.fit(cut.users, cut.sequences, cut.features, None, config, paths.models)
    embeddings = classifier.embed(cut.sequences).vectors
    before = None if champion is None else champion.before("champion", cut)
    made, trials = BehaviourSegments.make(
        classifier,
        cut,
        embeddings,
        day,
        config.clusters,
        naming.Rules.load(),
        before,
        config.identity,
        champion,
    )
    known = None if champion is None else champion.known_through
    days = 0 if known is None else (day - known).days
    vectors = made.vectors(cut)
    found = stability.ask(made.clusters, vectors, cut.features, before, days, config)
    if champion is not None:
        changed = drift.ask(cut, len(made.clusters.codes), config.clusters, config.drift)
        found = replace(found, drift=changed)
    decision = promote.decide_segments(known, day, found, config.gate, config.stability)
    serving = made if decision.is_promoted or champion is None else champion
    codes = pd.Series(serving.clusters.place(serving.vectors(cut)).code, index=cut.users)
    told = found.agreement
    return serving, Week(
        str(decision.gate),
        codes,
        cut.features["recency_days"].set_axis(cut.users),
        next(trial.k for trial in trials if trial.is_chosen),
        found.inner,
        told and told.ari,
        told and told.fit.value,
        told and told.fit.low,
    )


def judge(paths: ShopPaths, weeks: list[Week], seed: int, drift_share: float) -> Told:
    """Compare where users were from week to week, by whether their planted group changed."""
    truth, key = paths.root / "truth", paths.secrets / "pseudonym.key"
    before, after = (planted(truth, key, is_after) for is_after in (False, True))
    changed = before[before != after].index
    quiet = weeks[-1].days_since_seen
    seen = changed.intersection(quiet[quiet < DAYS - DRIFT_DAY].index)
    return Told(
        seed,
        drift_share,
        (kept := tuple(_kept(one, other, changed, False) for one, other in pairwise(weeks))),
        min(kept),
        _kept(weeks[DRIFT_WEEK - 2], weeks[-1], changed, False),
        _kept(weeks[DRIFT_WEEK - 2], weeks[-1], changed, True) if len(changed) else None,
        _kept(weeks[DRIFT_WEEK - 2], weeks[-1], seen, True) if len(changed) else None,
        tuple(number for number, week in enumerate(weeks, 1) if week.gate == "drift"),
        tuple(week.gate for week in weeks),
    )


def _kept(one: Week, other: Week, changed: pd.Index, is_of_changed: bool) -> float:
    users = one.codes.index.intersection(other.codes.index)
    users = users[users.isin(changed) == is_of_changed]
    return float((one.codes[users] == other.codes[users]).mean()) if len(users) else float("nan")


def act(arguments: argparse.Namespace) -> None:
    """Print one row per shop, and the sums."""
    config = with_changes(Config(), training={"steps": arguments.steps, "threads": 1}, text={"threads": 1})
    told = []
    for seed in arguments.seeds:
        for share in (arguments.drift_share, 0.0):
            paths = build(seed, arguments.users, share)
            weeks = train_weekly(paths, config)
            told.append(judge(paths, weeks, seed, share))
            if arguments.weeks:
                for number, week in enumerate(weeks, 1):
                    said = {key: value for key, value in vars(week).items() if key not in BY_USER}
                    print(json.dumps({"seed": seed, "drift": share, "week": number, **said}), flush=True)
    _print(told)


def _print(told: list[Told]) -> None:
    columns = (
        "seed",
        "drift",
        "kept, worst week",
        "kept since week 4",
        "of changed users",
        "of those seen since",
        "announced",
        "gates",
    )
    table = Table(*columns, title=f"{WEEKS} weekly trainings")
    for one in told:
        of_changed = [
            "" if kept is None else f"{kept:.1%}" for kept in (one.kept_of_drifted, one.kept_of_seen)
        ]
        announced = ", ".join(f"week {week}" for week in one.announced) or "never"
        table.add_row(
            str(one.seed),
            f"{one.drift_share:.0%}",
            f"{one.worst_kept:.1%}",
            f"{one.kept_over_all:.1%}",
            *of_changed,
            announced,
            " ".join(one.gates),
        )
    drifted = [one for one in told if one.drift_share]
    quiet = [one for one in told if not one.drift_share]
    answer.print(
        table,
        f"announced in time: {sum(one.is_announced_in_time for one in drifted)} of {len(drifted)} shops with "
        f"a drift; false alarms: {sum(one.is_false_alarm for one in quiet)} of {len(quiet)} without, "
        f"{sum(one.is_false_alarm for one in drifted)} before it; "
        f"unchanged users keep their code in {np.mean([one.worst_kept for one in told]):.1%} "
        "(worst week, mean of shops)" + _told_of_changed(drifted),
        sep="\n",
    )


def _told_of_changed(drifted: list[Told]) -> str:
    """Say, of the shops with a drift, how many of those who changed have another code at the end."""
    if not drifted:
        return ""
    of_all, of_seen = (
        np.mean([1 - (kept or 0) for kept in found])
        for found in ([one.kept_of_drifted for one in drifted], [one.kept_of_seen for one in drifted])
    )
    return f"; of users who changed {of_all:.1%} have another at the end, of those seen since {of_seen:.1%}"


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    result = argparse.ArgumentParser(
        "python -m benchmarks.drift",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    result.add_argument("--users", type=int, default=1000)
    result.add_argument(
        "--drift-share", type=float, default=0.12, help="of all people (default: %(default)s)"
    )
    result.add_argument(
        "--steps",
        type=int,
        default=1,
        help="of the encoder, which has no say in habits (default: %(default)s)",
    )
    result.add_argument("--weeks", action="store_true", help="also print every training, in JSON")
    result.set_defaults(act=act)
    return result


if __name__ == "__main__":
    main(parser())
