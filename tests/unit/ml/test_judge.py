"""`python -m ml judge` on planted trials: the table, the cut that is read once, what is kept."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import cli
from ml import __main__ as command
from ml import tracking
from ml import trials as judging
from ml.configs import Config, with_changes
from ml.evaluation.calibration import Calibration, ValueRange, coverage, score_apart
from ml.evaluation.contest import Arena, Contest, Result
from ml.evaluation.judge import Court, gap_over_cuts, judge
from ml.evaluation.recipes import RECIPES, Recipe
from ml.evaluation.rivals import GradientTrees
from ml.warehouse import Cut, Inputs
from settings import ShopPaths, TrialPaths
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK, fresh_tracking
from warehouse import trials
from warehouse.horizon import Trial
from warehouse.snapshot import Snapshot

CHEAP = ("rfm_logistic", "all_logistic", "lightgbm", "control_blend")
CONFIG = with_changes(QUICK, judge={"budget": 2, "folds": 2}, rivals={"trees": 20})

Plant = Callable[..., str]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Plant a shop's two trials, one to choose by and one to report on, in place of what dbt would build."""
    planted: dict[str, list[tuple[Trial, Snapshot]]] = {}

    def plant(shop: str, users: int = 400) -> str:
        planted[shop] = []
        for number, (role, day) in enumerate((("choose", date(2026, 5, 30)), ("report", date(2026, 6, 29)))):
            world = synthetic.write(shop, users, seed=3 + number, digest=f"d{number}", as_of=day)
            manifest = {"digest": world.digest, "horizon_days": world.horizon_days}
            trial = Trial(day, world.horizon_days, world.train, world.test, role)
            planted[shop].append((trial, Snapshot(world.paths.snapshots / world.digest, manifest)))
        return shop

    with pytest.MonkeyPatch.context() as patch, fresh_tracking():
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("judged")))
        patch.setattr(trials, "build_all", planted.__getitem__)
        yield plant


def _judge(shop: str, config: Config = CONFIG, **more: bool) -> list[judging.Row]:
    return judging.judge_shop(shop, config, ["rfm_logistic"], **more)


def test_judge_prints_the_promised_columns_and_logs_one_run_with_a_nested_one_per_model(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ml.configs.make", lambda: CONFIG)
    words = ["judge", "--shop", plant("table"), "--format", "csv", "--models", *CHEAP]
    assert cli.run(command._parser(), words) == cli.DONE
    told = capsys.readouterr()
    said = told.out
    assert said.splitlines()[0] == (
        "cut,horizon_days,role,model,seeds,n,n_positive,auc,auc_low,auc_high,gap_to_lightgbm,gap_low,"
        "gap_high,pr_auc,brier,cpu_seconds"
    )
    rows = list(csv.DictReader(io.StringIO(said)))
    assert [(row["role"], row["model"]) for row in rows] == [
        (role, model) for role in ("choose", "report") for model in CHEAP
    ]
    assert [row["cut"] for row in rows[:: len(CHEAP)]] == ["2026-05-01", "2026-05-31"]
    for row in rows:
        assert float(row["auc_low"]) <= float(row["auc"]) <= float(row["auc_high"])
        assert float(row["auc"]) > 0.6 and 0 < float(row["brier"]) < 0.25 and float(row["cpu_seconds"]) > 0
        assert row["seeds"] == ("1" if row["model"].endswith("logistic") else "3")
    assert {row["gap_to_lightgbm"] for row in rows if row["model"] == "lightgbm"} == {"0.0"}
    runs = {run["name"]: run for run in tracking.recent_runs("table", 20)}
    assert runs.keys() == {"judge table", *CHEAP}
    assert {run["tags"]["data_digest"] for run in runs.values()} == {"d0 d1"}
    for name in CHEAP:
        params = tracking.find_run("table", runs[name]["run_id"]).params
        assert params.keys() == CONFIG.dotted().keys()
    assert runs["all_logistic"]["tags"]["settings_tried"] == "2"
    assert runs["control_blend"]["tags"]["settings_tried"] == "4"
    assert "2026-05-31: campaigns contacted" in told.err
    expected = {"report_2026-05-31/auc", "choose_2026-05-01/brier", "all_cuts/gap_to_lightgbm_low"}
    expected |= {"report_2026-05-31/untreated_auc"}
    assert expected <= set(runs["all_logistic"]["metrics"])


def test_table_names_what_a_cut_s_models_share_once_and_cuts_no_column() -> None:
    printed = io.StringIO()
    answer = Console(file=printed, width=cli.WIDTH_OF_NO_TERMINAL)
    cuts = (("choose", date(2026, 5, 1)), ("report", date(2026, 5, 31)))
    for role, cut in cuts:
        shared = judging.Row(cut, 30, role, "rfm_logistic", 1, 300, 41, *[0.125] * 8, 12345.678)
        answer.print(command._cut_table([shared, replace(shared, model="bert_features")]))
    said = printed.getvalue()
    assert "2026-05-31, 30 days (report): 300 users, 41 of high value" in said
    assert "gap_to_lightgbm" in said and "bert_features" in said and "12345.678" in said and "…" not in said


def test_reporting_cut_is_noted_before_it_is_read_and_other_settings_are_told(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = plant("read")
    paths, trial = ShopPaths(shop), trials.build_all(shop)[1][0]
    _judge(shop, choosing_only=True)
    assert judging.readings(paths, trial) == []
    _judge(shop)
    _judge(shop)
    assert len(judging.readings(paths, trial)) == 1
    assert "times before" not in capsys.readouterr().err
    other = with_changes(CONFIG, rivals={"rfm_c": 2.0})

    def dies(self: Contest, arena: Arena) -> dict[str, Result]:
        if arena.trial.role == "report":
            raise KeyboardInterrupt
        return fight(self, arena)

    fight = Contest.fight
    monkeypatch.setattr(Contest, "fight", dies)
    with pytest.raises(KeyboardInterrupt):
        _judge(shop, other)
    assert "was read 1 times before by other code or settings" in capsys.readouterr().err
    assert len(judging.readings(paths, trial)) == 2


def test_what_was_fitted_is_not_fitted_again(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = plant("kept")
    first = _judge(shop, choosing_only=True)

    def refuses(*arguments: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr("ml.evaluation.rivals.GradientTrees.fit", refuses)
    assert _judge(shop, choosing_only=True) == first
    with pytest.raises(AssertionError, match="fitted again"):
        _judge(shop, with_changes(CONFIG, rivals={"trees": 10}))


def test_what_another_text_checkpoint_said_is_fitted_anew(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, fitted = plant("words"), GradientTrees.fit
    _judge(shop, choosing_only=True)
    counted: list[object] = []
    monkeypatch.setattr(GradientTrees, "fit", lambda *told: counted.append(told) or fitted(*told))
    _judge(shop, choosing_only=True)
    assert not counted
    # Another BERT lies where the first did: in the setting nothing has changed.
    monkeypatch.setattr("ml.evaluation.contest.checkpoint_hash", lambda _: "another")
    _judge(shop, choosing_only=True)
    assert counted


@pytest.mark.parametrize(("lead", "expected"), [(0.0009, {}), (0.0011, {"rivals": {"rfm_c": 0.1}})])
def test_settings_change_only_for_more_than_seeds_differ(
    lead: float, expected: dict[str, object], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def auc(self: Contest, recipe: Recipe, changes: dict[str, object], arena: object) -> float:
        return 0.8 + lead * (changes == {"rivals": {"rfm_c": 0.1}})

    monkeypatch.setattr(Contest, "_auc", auc)
    found = Contest(TrialPaths("tiny"), CONFIG, [one for one in RECIPES if one.name == "rfm_logistic"])
    found.choose([None])  # type: ignore[list-item]
    assert found.chosen["rfm_logistic"] == expected


def test_too_few_positives_are_told_and_not_ranked(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    assert _judge(plant("few", users=60)) == []
    assert "2026-05-31: can't rank models on" in capsys.readouterr().err


def test_where_only_a_reporting_cut_fits_it_is_said_that_none_is_left_to_choose_by(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = trials.build_all(plant("one", users=200))[1:]
    monkeypatch.setattr(trials, "build_all", lambda shop: report)
    assert _judge("one", choosing_only=True) == []
    said = " ".join(capsys.readouterr().err.split())
    assert "no cut to choose by: the reporting cut is the only one" in said and "fits no horizon" not in said


def test_unknown_model_is_refused() -> None:
    with pytest.raises(cli.UsageError, match="unknown models bart: known are rfm_logistic, "):
        judging.judge_shop("tiny", CONFIG, ["bart"])


def test_a_blend_brings_what_it_blends_and_the_rival_is_always_there() -> None:
    assert [one.name for one in judging._wanted(["control_blend"])] == [
        "all_logistic",
        "lightgbm",
        "control_blend",
    ]
    assert [one.name for one in judging._wanted(None)] == [one.name for one in RECIPES]


@pytest.fixture
def coins() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.3
    return truth, np.stack([truth + rng.normal(0, 2, 400) for _ in range(3)])


def test_seeds_that_disagree_widen_the_interval(coins: tuple[np.ndarray, np.ndarray]) -> None:
    truth, seeds = coins
    users = np.array([f"u{number}" for number in range(400)], dtype=object)
    scores = {"three": seeds, "mean": seeds.mean(axis=0)}
    verdict = judge(users, truth, scores, 1000, 0.95, 7)
    three, mean = (verdict.metrics[name]["roc_auc"] for name in scores)
    assert three.value == mean.value
    assert three.high - three.low > 1.1 * (mean.high - mean.low)
    # All the seeds the same: nothing is added.
    same = judge(users, truth, {"same": np.stack([seeds.mean(axis=0)] * 3)}, 1000, 0.95, 7)
    assert same.metrics["same"]["roc_auc"].low == pytest.approx(mean.low)


def test_whom_no_campaign_contacted_is_judged_apart(coins: tuple[np.ndarray, np.ndarray]) -> None:
    truth, seeds = coins
    users = np.array([f"u{number}" for number in range(400)], dtype=object)
    is_treated = np.arange(400) < 40
    told = judge(users, truth, {"three": seeds}, 100, 0.95, 7, is_treated)
    alone = judge(users[40:], truth[40:], {"three": seeds[:, 40:]}, 100, 0.95, 7)
    assert told.untreated == alone and told.users == 400
    assert told.metrics == judge(users, truth, {"three": seeds}, 100, 0.95, 7).metrics
    assert str(alone.metrics["three"]["roc_auc"]) in (told.told_apart or "")
    for nobody_or_all in (np.zeros(400, dtype=bool), np.ones(400, dtype=bool)):
        assert judge(users, truth, {"three": seeds}, 100, 0.95, 7, nobody_or_all).told_apart is None


def test_gap_over_cuts_is_the_mean_of_the_cuts_and_draws_a_user_once(
    coins: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, seeds = coins
    users = np.array([f"u{number}" for number in range(400)], dtype=object)
    court = Court(users, truth, {"one": seeds[0], "two": seeds[1]})
    alone = gap_over_cuts([court], "one", "two", 1000, 0.95, 7)
    # The same users at two cuts are no new evidence; other users are.
    twice = gap_over_cuts([court, court], "one", "two", 1000, 0.95, 7)
    assert twice.value == pytest.approx(alone.value)
    assert twice.high - twice.low == pytest.approx(alone.high - alone.low, rel=0.1)
    others = Court(np.array([f"v{number}" for number in range(400)], dtype=object), truth, court.scores)
    both = gap_over_cuts([court, others], "one", "two", 1000, 0.95, 7)
    assert both.high - both.low < 0.85 * (alone.high - alone.low)


@pytest.mark.parametrize("ranks", [1, -1])
def test_calibration_rises_and_says_the_share_that_came(ranks: int) -> None:
    rng = np.random.default_rng(1)
    for count in (2000, 20_000):  # Platt; above 1,000 positives a free curve
        scores = rng.random(count)
        truth = rng.random(count) < 0.5 * (scores if ranks > 0 else 1 - scores) ** 2
        found = Calibration.fit(scores, truth)
        assert bool(found.points) == (count == 20_000)
        said = found.of(scores)
        assert said.mean() == pytest.approx(truth.mean(), abs=0.005)
        assert (np.diff(said[np.argsort(scores)]) >= 0).all()
        # Whoever is told apart by a score that ranks is told apart by the probability, too.
        assert len(np.unique(np.round(said, 6))) > 0.8 * count or ranks < 0


def test_spend_of_later_users_lies_in_its_range_as_often_as_promised() -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(20_000)
    spend = np.where(rng.random(20_000) < 0.5 + scores / 2, 100 * rng.exponential(scores), 0.0)
    learned, later = np.arange(20_000) < 10_000, np.arange(20_000) >= 10_000
    found = ValueRange.fit(scores[learned], spend[learned])
    table = coverage(*found.of(scores[later]), spend[later], scores[later])
    assert table["covered_share"].between(0.77, 0.84).all()
    assert table["width_mean"].iloc[0] > 3 * table["width_mean"].iloc[-1]


@pytest.mark.parametrize("zeros", [0.0, 0.1, 0.7])
def test_range_of_few_users_keeps_its_promise(zeros: float) -> None:
    rng = np.random.default_rng(3)

    def spend(users: int) -> np.ndarray:
        return np.where(rng.random(users) < zeros, 0.0, rng.lognormal(3, 1, users))

    nobody, covered = np.zeros(1000), []
    for _ in range(500):
        low, high = ValueRange.fit(np.zeros(20), spend(20)).of(nobody)
        later = spend(1000)
        covered.append(((low <= later) & (later <= high)).mean())
    assert 0.79 < np.mean(covered) < 0.86  # the standard error is .005


def test_nobody_is_scored_by_a_model_that_learned_from_them(data: Path) -> None:
    world = synthetic.write(users=40)
    inputs = Inputs.of(world.paths, world.as_of)
    train, later = inputs.cut(world.train), inputs.cut(world.as_of)

    def fit(cut: Cut) -> Callable[[Cut], np.ndarray]:
        learned = set(cut.users)

        def score(others: Cut) -> np.ndarray:
            assert not learned & set(others.users)
            return np.full(len(others), float(len(learned)))

        return score

    found = score_apart(fit, train, 4, 7, later.only(np.arange(20)))
    assert [len(scores) for scores in found] == [40, 20]
    # All folds but one's own: everybody was scored, the same person by the same model.
    assert (found[0] > 0).all() and np.array_equal(found[0][:20], found[1])


def test_calibration_follows_the_newest_short_horizon_and_asks_for_enough(
    coins: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, seeds = coins
    scores = np.clip(seeds[0] / 10 + 0.4, 0.01, 0.99)
    plain = Calibration.fit(scores, truth)
    rare = truth & (np.arange(len(truth)) % 2 == 0)
    moved = plain.moved((scores, truth), (scores, rare))
    assert moved.of(scores).mean() == pytest.approx(rare.mean(), abs=0.001)
    few = truth & (np.cumsum(truth) < 30)
    assert plain.moved((scores, truth), (scores, few)) == plain
