"""What serves is the judged recipe, fitted on later outcomes and checked; one closed window decides once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import cli
import journal
from ml import __main__ as command
from ml import promote, tracking
from ml.configs import GateConfig, with_changes
from ml.evaluation.judge import judge
from ml.evaluation.rivals import GradientTrees, RfmRank
from ml.high_value import HighValue
from ml.refit import refit
from ml.train import _quote, train
from ml.warehouse import Cut, Inputs
from settings import ShopPaths
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK, fresh_tracking


@pytest.fixture
def cuts(data: Path) -> tuple[Cut, Cut, Cut]:
    world = synthetic.write(users=400)
    inputs = Inputs.of(world.paths, world.as_of)
    train, test = (inputs.cut(day, with_outcomes=True) for day in (world.train, world.test))
    return train, test, inputs.cut(world.as_of)


def _judged(cut: Cut, test: Cut, gate: GateConfig = QUICK.gate) -> HighValue:
    assert cut.outcomes is not None
    model = GradientTrees.fit(cut.features, cut.outcomes.is_high_value, QUICK.rivals)
    day = date(2026, 6, 30)
    return HighValue.freeze(model, test, model.score(test.features), 30, day, day, gate)


def test_refitted_model_has_learned_from_the_newest_cut_and_says_probabilities(
    cuts: tuple[Cut, Cut, Cut], tmp_path: Path
) -> None:
    train, test, now = cuts
    assert test.outcomes is not None
    judged = _judged(train, test)
    again = refit(judged, test, now, QUICK, None)
    assert again.reason.startswith(f"refitted on {test.as_of_date}: rank correlation 0.")
    expected = GradientTrees.fit(test.features, test.outcomes.is_high_value, QUICK.rivals)
    assert isinstance(again.served.model, GradientTrees)
    assert np.array_equal(again.served.model.score(now.features), expected.score(now.features))
    said = again.served.score(now).scores
    assert said.mean() == pytest.approx(test.outcomes.is_high_value.mean(), abs=0.05)
    assert (again.served.tiers.of(said) == "high").mean() == pytest.approx(QUICK.gate.high_share, abs=0.02)
    again.served.save(tmp_path / "package")
    assert np.array_equal(HighValue.load(tmp_path / "package", None).score(now).scores, said)


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ({"refit_agreement": 1.01}, "its rank correlation with the judged model is 0."),
        ({"refit_drift": 1.0}, "times as many as the judged model, beyond 1.0"),
    ],
)
def test_refitted_model_that_differs_too_much_does_not_serve(
    cuts: tuple[Cut, Cut, Cut], gate: dict[str, float], why: str
) -> None:
    train, test, now = cuts
    assert test.outcomes is not None
    judged = _judged(train, test)
    again = refit(judged, test, now, with_changes(QUICK, gate=gate), None)
    assert again.served.model is judged.model
    # What it says is a probability all the same, in the order of its scores.
    said, raw = again.served.score(now).scores, judged.score(now).scores
    came = test.outcomes.is_high_value.mean()
    assert again.served.probabilities(test).mean() == pytest.approx(came, abs=0.005)
    assert abs(judged.probabilities(test).mean() - came) > 0.01
    assert (np.diff(said[np.argsort(raw, kind="stable")]) >= 0).all()
    assert (again.served.tiers.of(said) == "high").mean() == pytest.approx(QUICK.gate.high_share, abs=0.02)
    assert again.reason.startswith("the judged model serves: refitted, ") and why in again.reason


def test_window_in_which_nobody_came_to_be_of_high_value_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quoted: list[dict[str, object]] = []
    monkeypatch.setattr(tracking.Version, "set_tags", lambda version, tags: quoted.append(tags))
    champion = tracking.Version("tiny.high_value", "1", "run", {}, ())
    june, july = (
        promote.Window(date(2026, month, 1), date(2026, month, 1) + timedelta(days=29)) for month in (6, 7)
    )
    users = np.array(["u", "v", "w"], dtype=object)
    for window, truth in ((june, [False, False, False]), (july, [True, False, True])):
        verdict = judge(users, np.array(truth), {promote.CHAMPION: np.array([0.9, 0.1, 0.5])}, 500, 0.95, 7)
        _quote(champion, SimpleNamespace(window=window), verdict)  # type: ignore[arg-type]
    assert [one["quoted_window"] for one in quoted] == [july]


def test_rank_that_learned_nothing_is_not_refitted(cuts: tuple[Cut, Cut, Cut]) -> None:
    _, test, now = cuts
    day = date(2026, 6, 30)
    rank = HighValue.freeze(RfmRank(), test, RfmRank().score(test.features), 30, day, day, QUICK.gate)
    assert refit(rank, test, now, QUICK, None).served is rank


@pytest.mark.deep
def test_window_is_not_asked_again_the_day_after_by_the_champion_that_was_fitted_on_it(data: Path) -> None:
    """The as_of_date lies three days after the test cut's horizon, then four: the same window."""
    config = with_changes(QUICK, training={"steps": 10}, rivals={"trees": 20})
    decisions = []
    for spare_days in (3, 4):
        day = date(2026, 6, 30) + timedelta(days=spare_days)
        world = synthetic.write(
            users=400, digest=f"d{spare_days}", as_of=day, spare_days=spare_days, refund_days=14
        )
        decisions.append(train(world.paths, day, config)[0])
    assert [one.is_rehearsal for one in decisions] == [False, True]
    assert "quoted_roc_auc" not in tracking.version("tiny.high_value", "1").tags


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, promote.Decision]]:
    """What the gate says on the first day, ten days later and thirty days later."""
    config = with_changes(QUICK, training={"steps": 10}, rivals={"trees": 20})
    with pytest.MonkeyPatch.context() as patch, fresh_tracking():
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("months")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it to the store of the test before
        decisions = {}
        for days in (0, 10, 30):
            day = date(2026, 6, 30) + timedelta(days=days)
            world = synthetic.write(users=400, digest=f"d{days}", as_of=day)
            decisions[days] = train(world.paths, day, config)[0]
        yield decisions


@pytest.mark.deep
def test_one_closed_window_decides_once(months: dict[int, promote.Decision]) -> None:
    assert months[0].is_promoted and months[0].reason.en.endswith("there was no champion")
    assert months[10].is_rehearsal and not months[10].is_promoted
    assert not months[30].is_rehearsal and "champion (" in months[30].reason.en


@pytest.mark.deep
def test_champion_is_quoted_from_the_first_window_after_its_promotion(
    months: dict[int, promote.Decision],
) -> None:
    first = tracking.version("tiny.high_value", "1")
    assert first.tags["quoted_window"] == "2026-07-01 to 2026-07-30"
    assert 0.5 < float(first.tags["quoted_roc_auc"].split()[0]) < 1


@pytest.mark.deep
def test_rollback_withdraws_the_champion_and_keeps_the_reason(months: dict[int, promote.Decision]) -> None:
    champion = promote.in_force("tiny.high_value", date(2026, 7, 30))
    assert champion is not None
    if champion.version == "1":  # the later one did not beat it: make it champion by hand
        words = ["promote", "--shop", "tiny", "--model", "high_value", "--version", "3", "--reason", "a test"]
        assert cli.run(command._parser(), words) == cli.DONE
    words = ["rollback", "--shop", "tiny", "--model", "high_value", "--reason", "mislabels resellers"]
    assert cli.run(command._parser(), words) == cli.DONE
    back = promote.in_force("tiny.high_value", date(2026, 7, 30))
    named = tracking.with_alias("tiny.high_value", "champion")
    assert back is not None and named is not None and back.version == named.version == "1"
    last = list(journal.read(ShopPaths("tiny").ops / "model_run.jsonl"))[-1]
    assert (last["decision"], last["model_version"]) == ("withdrawn", "3")
    assert cli.run(command._parser(), words) == cli.WRONG_USAGE
