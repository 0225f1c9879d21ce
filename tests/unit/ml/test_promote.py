"""The gate, red and green, and packages that refuse a changed byte."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

import cli
import journal
from cli import ShoalError, UsageError
from ml import __main__ as command
from ml import kept, packages, promote, tracking
from ml.configs import GateConfig, StabilityConfig
from ml.evaluation.judge import Interval, Verdict
from ml.segments.drift import Drift
from ml.segments.stability import Agreement, Stability
from ml.words import Words
from settings import ShopPaths
from warehouse.horizon import HORIZONS_DAYS, MIN_HISTORY_DAYS, choose

GATE = GateConfig()
CHOSEN = Words("chosen", "选用")


def _tell_the_same(words: Words) -> None:
    """Both languages give the same figures; the Chinese is none of the English."""
    figures, sentences = r"[+-]?\d[\d.,]*\d%?|\d%?", r"[a-z]+ [a-z]+"
    assert sorted(re.findall(figures, words.en)) == sorted(re.findall(figures, words.zh))
    assert not re.search(sentences, words.zh) and re.search(r"[\u4e00-\u9fff]", words.zh)


def _verdict(gaps: dict[tuple[str, str], tuple[float, float, float]]) -> Verdict:
    names = {name for pair in gaps for name in pair}
    metrics = {name: {"roc_auc": Interval(0.8, 0.7, 0.9)} for name in names}
    differences = {pair: {"roc_auc": Interval(*gap)} for pair, gap in gaps.items()}
    return Verdict("rows", 1000, 200, metrics, differences)


def test_costlier_model_that_is_only_as_good_does_not_serve() -> None:
    verdict = _verdict(
        {("lightgbm", "rfm_logistic"): (0.02, 0.01, 0.03), ("bert", "lightgbm"): (0.004, -0.001, 0.009)}
    )
    chosen = promote.choose(verdict)
    assert chosen.choice == "lightgbm"
    assert "bert does not beat the cheaper lightgbm: 0.004 [-0.001, 0.009] ROC-AUC" in chosen.reason.en
    _tell_the_same(chosen.reason)


def test_bert_serves_when_it_beats_the_best_rival() -> None:
    verdict = _verdict(
        {("lightgbm", "rfm_logistic"): (0.02, 0.01, 0.03), ("bert", "lightgbm"): (0.01, 0.001, 0.02)}
    )
    assert promote.choose(verdict).choice == "bert"


def test_bert_is_measured_against_the_choice_so_far() -> None:
    verdict = _verdict(
        {("lightgbm", "rfm_logistic"): (0.0, -0.01, 0.01), ("bert", "rfm_logistic"): (-0.02, -0.03, -0.01)}
    )
    assert promote.choose(verdict).choice == "rfm_logistic"


def test_costlier_model_that_ties_a_cheaper_one_does_not_serve_because_it_beats_a_third() -> None:
    verdict = _verdict(
        {
            ("lightgbm", "rfm_logistic"): (0.004, -0.001, 0.009),
            ("bert", "rfm_logistic"): (0.006, 0.001, 0.011),
            ("bert", "lightgbm"): (0.002, -0.003, 0.007),
        }
    )
    chosen = promote.choose(verdict)
    assert chosen.choice == "lightgbm"
    assert chosen.reason.en == (
        "bert beats rfm_logistic by 0.006 [0.001, 0.011] ROC-AUC; "
        "bert does not beat the cheaper lightgbm: 0.002 [-0.003, 0.007] ROC-AUC"
    )


@pytest.mark.parametrize(
    ("gap", "kind", "is_promoted", "why"),
    [
        ((0.01, 0.001, 0.02), "bert", True, "beats the champion (bert)"),
        ((0.0, 0.0, 0.0), "lightgbm", False, "the champion stays"),
        ((0.0, -0.004, 0.004), "bert", True, "and cheaper"),
        ((0.0, -0.006, 0.006), "bert", False, "the champion stays"),
        ((0.0, -0.004, 0.004), "rfm_logistic", False, "the champion stays"),
        # A clear lead is one however wide; anything else that wide says nothing.
        ((0.04, 0.001, 0.08), "bert", True, "beats the champion (bert)"),
        ((0.018, -0.004, 0.04), "bert", False, "can't tell it from the champion (bert)"),
        ((0.0, -0.0201, 0.0201), "rfm_logistic", False, "can't tell it from the champion"),
        ((0.0, -0.0199, 0.0199), "rfm_logistic", False, "does not beat the champion"),
    ],
)
def test_challenger_must_beat_the_champion_or_be_as_good_and_cheaper(
    gap: tuple[float, float, float], kind: str, is_promoted: bool, why: str
) -> None:
    verdict = _verdict({("lightgbm", promote.CHAMPION): gap})
    decision = promote.decide(promote.Decision("lightgbm", True, CHOSEN), verdict, kind, GATE)
    assert decision.is_promoted is is_promoted
    assert why in decision.reason.en
    _tell_the_same(decision.reason)


def test_first_model_is_promoted_and_an_unjudged_one_never_replaces_a_champion() -> None:
    choice = promote.Decision("rfm_rank", True, CHOSEN)
    assert promote.decide(choice, None, None, GATE).is_promoted
    assert not promote.decide(choice, None, "lightgbm", GATE).is_promoted


def test_window_that_overlaps_the_last_decision_is_a_rehearsal() -> None:
    verdict = _verdict({("lightgbm", promote.CHAMPION): (0.05, 0.04, 0.06)})
    choice = promote.Decision("lightgbm", True, CHOSEN)
    may = promote.Window(date(2026, 5, 2), date(2026, 5, 31))
    same_day, next_day = (
        promote.Window(first, first + timedelta(days=29)) for first in (date(2026, 5, 31), date(2026, 6, 1))
    )
    why = [promote.why_rehearsal(window, may, known_through=may.closes_on) for window in (same_day, next_day)]
    rehearsal, decision = (promote.decide(choice, verdict, "bert", GATE, one) for one in why)
    assert (rehearsal.is_promoted, rehearsal.is_rehearsal) == (False, True)
    assert "a rehearsal: its window 2026-05-31 to 2026-06-29 overlaps" in rehearsal.reason.en
    _tell_the_same(rehearsal.reason)
    assert (decision.is_promoted, decision.is_rehearsal) == (True, False)


@pytest.mark.parametrize("remainder", [0, 3])
def test_daily_training_decides_on_no_day_that_decided_before_or_that_the_champion_knows(
    remainder: int,
) -> None:
    """The as_of_date lies up to six days after the horizon; the champion is fitted on all that it knows."""
    first, history, horizon = date(2025, 1, 1), MIN_HISTORY_DAYS, max(HORIZONS_DAYS)
    known_through, last, decided = date.min, None, []
    for days in range(190):
        as_of = first + timedelta(days=history + 2 * horizon - 1 + remainder + days)
        split = choose(first, as_of)
        assert split.test_cut is not None and split.horizon_days == horizon
        window = promote.Window(split.test_cut + timedelta(days=1), split.test_cut + timedelta(days=horizon))
        if promote.why_rehearsal(window, last, known_through) is None:
            assert window.opens_on > known_through
            decided.append(days)
            known_through, last = as_of, window
    # The cuts move once a week: the first of them that opens after what is known.
    assert decided == {0: [0, 13 * 7, 2 * 13 * 7], 3: [0, 14 * 7 - 3, 14 * 7 - 3 + 13 * 7]}[remainder]


def test_last_window_is_that_of_the_last_decision_and_not_of_a_rehearsal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def judged(number: str, opens_on: date, **tags: str) -> tracking.Version:
        window = promote.Window(opens_on, opens_on + timedelta(days=29))
        told = {name: str(value) for name, value in window.as_tags().items()}
        known = {"known_through": str(window.closes_on)}
        return tracking.Version("shop.model", number, "run", told | known | tags, ())

    versions = [
        judged("1", date(2026, 3, 1), promoted_at="2026-04-01"),
        judged("2", date(2026, 4, 1), stayed_behind_at="2026-05-01"),
        judged("3", date(2026, 4, 10)),
        judged("4", date(2026, 7, 1), promoted_at="2026-08-01"),
    ]
    monkeypatch.setattr(tracking, "versions", lambda name: versions)
    found = promote.last_window("shop.model", date(2026, 6, 1))
    assert found == promote.Window(date(2026, 4, 1), date(2026, 4, 30))
    assert promote.last_window("shop.model", date(2026, 3, 1)) is None


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Keep versions 1 and 2, of which 2 knows more, in place of MLflow; return the aliases that are set."""
    known = {"1": _version("1", date(2026, 5, 1)), "2": _version("2", date(2026, 5, 20))}
    named: list[tuple[str, str]] = []

    def set_tags(version: tracking.Version, tags: dict[str, object]) -> tracking.Version:
        known[version.version] = replace(version, tags={**version.tags, **tags})
        return known[version.version]

    monkeypatch.setattr(tracking, "versions", lambda name: list(known.values()))
    monkeypatch.setattr(tracking.Version, "set_tags", set_tags)
    monkeypatch.setattr(
        tracking.Version, "set_alias", lambda version, alias: named.append((version.version, alias))
    )
    return named


def test_rolled_back_champion_serves_no_more_and_the_one_before_does(
    named: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    withdrawn, serving = promote.roll_back("shop.model", "mislabels resellers")
    assert (withdrawn.version, serving.version) == ("2", "1")
    assert withdrawn.tags["withdrawal_reason"] == "mislabels resellers"
    assert named == [("1", "champion")]
    found = promote.in_force("shop.model", date(2026, 6, 1))
    assert found is not None and found.version == "1"
    with pytest.raises(UsageError, match=r"no earlier champion to go back to \(only version 1 was"):
        promote.roll_back("shop.model", "again")
    monkeypatch.setattr(promote, "name_champion", lambda name: None)
    promote.promote(withdrawn, "by hand: it was right after all")
    back = promote.in_force("shop.model", date(2026, 6, 1))
    assert back is not None and back.version == "2"


def test_older_version_promoted_by_hand_serves_and_what_knows_more_is_withdrawn(
    named: list[tuple[str, str]],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tracking, "explained", nullcontext)
    ShopPaths("shop").ops.mkdir(parents=True)
    words = ["promote", "--shop", "shop", "--model", "high_value", "--reason", "2 mislabels resellers"]
    assert cli.run(command._parser(), [*words, "--version", "1"]) == cli.DONE
    assert named[-1] == ("1", "champion")
    found = promote.in_force("shop.high_value", date(2026, 6, 1))
    assert found is not None and found.version == "1"
    said = " ".join(capsys.readouterr().err.split())
    assert "version 1 is champion, in force from 2026-05-01 on; withdrawn: version 2" in said
    (record,) = journal.read(ShopPaths("shop").ops / "model_run.jsonl")
    assert (record["decision"], record["model_version"]) == ("withdrawn", "2")
    assert record["decision_reason"] == "by hand: 2 mislabels resellers; version 1 serves again"
    assert record["decision_reason_zh"] == "人工：2 mislabels resellers；重新启用版本 1"
    # The newer one comes back the same way, and leaves the champion of the days before its own.
    assert cli.run(command._parser(), [*words, "--version", "2"]) == cli.DONE
    in_force = [promote.in_force("shop.high_value", date(2026, 5, day)) for day in (10, 20)]
    assert [found and found.version for found in in_force] == ["1", "2"]
    assert named[-1] == ("2", "champion")


def test_version_that_was_left_half_registered_is_not_promoted(
    named: list[tuple[str, str]],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It says of no day that it may speak about it, so nobody could ask for a champion any more."""
    known = tracking.versions("shop.high_value")
    half = tracking.Version("shop.high_value", "3", "run", {}, ())
    monkeypatch.setattr(tracking, "versions", lambda name: [*known, half])
    monkeypatch.setattr(tracking, "explained", nullcontext)
    ShopPaths("shop").ops.mkdir(parents=True)
    words = ["promote", "--shop", "shop", "--model", "high_value", "--version", "3", "--reason", "newest"]
    assert cli.run(command._parser(), words) == cli.WRONG_USAGE
    assert "version 3 of shop.high_value was left half registered" in capsys.readouterr().err
    assert named == []


def test_status_says_no_champion_only_where_mlflow_knows_none(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ShopPaths("shop").root.mkdir(parents=True)
    words = ["status", "--shop", "shop"]
    assert cli.run(command._parser(), words) == cli.DONE
    assert "high_value: none yet: python -m ml train --shop shop" in capsys.readouterr().out

    def fail(*_: str) -> None:
        raise MlflowException("API request to http://mlflow:5000 failed")

    monkeypatch.setattr(tracking.client(), "get_model_version_by_alias", fail)
    assert cli.run(command._parser(), words) == cli.TRY_LATER
    told = capsys.readouterr()
    assert told.out == "" and "see that it runs" in told.err


@pytest.fixture
def served(named: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let MLflow's versions, as good as each other, have packages below the folder that is returned."""
    for number in "12":
        packages.write_json(tmp_path / number / "model.json", {"version": number})
        sealed = packages.seal(tmp_path / number)
        found = replace(tracking.versions("shop.high_value")[int(number) - 1], name="shop.high_value")
        found.set_tags({"known_through": "2026-05-01", tracking.SEAL: sealed})
    package = tracking.Version.package
    monkeypatch.setattr(
        tracking.Version, "package", lambda one: package(one) if one.folder else tmp_path / one.version
    )
    monkeypatch.setattr(tracking, "explained", nullcontext)
    return tmp_path


def test_champion_that_was_promoted_again_is_the_one_that_serves_without_mlflow(
    served: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, day = ShopPaths("shop"), date(2026, 6, 1)
    first, second = tracking.versions("shop.high_value")
    for version in (first, second, first):
        promote.promote(version, "by hand")
        found = kept.in_force(paths, tracking.HIGH_VALUE, day)
        assert found is not None and found.version == version.version

    def fail(_: str) -> list[tracking.Version]:
        raise tracking.UnreachableError("MLflow failed")

    monkeypatch.setattr(tracking, "versions", fail)
    last = kept.in_force(paths, tracking.HIGH_VALUE, day)
    assert last is not None and last.version == "1"


def test_kept_copy_that_is_not_what_was_registered_is_refused_every_day(served: Path, data: Path) -> None:
    paths, day = ShopPaths("shop"), date(2026, 6, 1)
    champion = kept.in_force(paths, tracking.HIGH_VALUE, day)
    assert champion is not None and champion.folder is not None
    packages.write_json(champion.folder / "model.json", {"version": "another"})
    packages.seal(champion.folder)
    with pytest.raises(
        ShoalError, match=r"version 2 .* and is now \w+: delete .*champions/shop.high_value/2-run"
    ):
        kept.in_force(paths, tracking.HIGH_VALUE, day)


HOW = StabilityConfig()


def _stability(**changes: object) -> Stability:
    """Return segments that hold, agree with the champion and fit no better, but for what is changed."""
    agreed = {
        "ari": 0.9,
        "jaccard": {},
        "psi": 0.01,
        "moved_share": 0.05,
        "smallest_share": 0.1,
        "fit": Interval(0.0, -0.01, 0.01),
        "later_users": 500,
    }
    inner, changed = changes.pop("inner", 0.8), changes.pop("drift", None)
    agreement = Agreement(**(agreed | changes))  # type: ignore[arg-type]
    codes = {"newcomers": inner, "searchers": 0.9}
    return Stability(codes, inner, agreement, changed)  # type: ignore[arg-type]


def _changed(low: float) -> Drift:
    return Drift(400, 0.18, 0.03, Interval(0.15, low, 0.2))


@pytest.mark.parametrize(
    ("changes", "age", "gate"),
    [
        ({}, 27, "young"),
        ({}, 28, "renewed"),
        ({"smallest_share": 0.001}, 1, "emptied"),
        # Another story: the champion stays however old it is, unless it describes later users worse.
        ({"ari": 0.49}, 28, "disagrees"),
        ({"ari": 0.49, "fit": Interval(0.05, HOW.fit_slack, 0.09)}, 28, "disagrees"),
        ({"ari": 0.49, "fit": Interval(0.05, HOW.fit_slack + 0.001, 0.09)}, 1, "drift"),
        # So do people who changed their habits, beyond chance.
        ({"drift": _changed(0.001)}, 1, "drift"),
        ({"drift": _changed(0.0)}, 1, "young"),
        # What dissolves by itself is out, whatever else speaks for it.
        ({"inner": 0.49, "fit": Interval(0.05, 0.04, 0.06)}, 28, "unstable"),
    ],
)
def test_gate_of_segments_asks_two_questions(changes: dict[str, object], age: int, gate: str) -> None:
    made = date(2026, 6, 1)
    told = promote.decide_segments(made, made + timedelta(days=age), _stability(**changes), GATE, HOW)
    assert (told.gate, told.is_promoted) == (gate, gate in ("renewed", "emptied", "drift"))
    assert "adjusted Rand index" in told.reason.en
    assert ("18% of the 400 users" in told.reason.en) is ("drift" in changes)
    _tell_the_same(told.reason)


def test_first_segments_serve_and_name_what_is_unstable() -> None:
    told = promote.decide_segments(
        None, date(2026, 6, 1), Stability({"newcomers": 0.3}, 0.3, None), GATE, HOW
    )
    assert (told.gate, told.is_promoted) == ("first", True)
    assert "unstable: newcomers" in told.reason.en
    _tell_the_same(told.reason)


def test_package_refuses_a_changed_byte_a_missing_and_an_added_file(tmp_path: Path) -> None:
    packages.save_tensors(tmp_path / "weights.safetensors", {"a": np.arange(4.0)})
    packages.write_json(tmp_path / "model.json", {"kind": "bert"})
    digest = packages.seal(tmp_path)
    assert packages.check(tmp_path) == digest
    content = bytearray((tmp_path / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(content)
    with pytest.raises(ShoalError, match=r"weights.safetensors is not what was sealed"):
        packages.check(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(ShoalError, match=r"weights.safetensors is not what was sealed"):
        packages.check(tmp_path)
    packages.save_tensors(tmp_path / "weights.safetensors", {"a": np.arange(4.0)})
    (tmp_path / "extra.py").write_text("print('hello')")
    with pytest.raises(ShoalError, match=r"extra.py is not what was sealed"):
        packages.check(tmp_path)


def _version(number: str, known_through: date, is_promoted: bool = True) -> tracking.Version:
    tags = {"known_through": known_through.isoformat()}
    if is_promoted:
        tags["promoted_at"] = f"2026-06-0{number}T00:00:00+00:00"
    return tracking.Version("shop.model", number, "run", tags, ())


def test_past_day_is_scored_by_the_newest_champion_that_knows_nothing_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = [
        _version("1", date(2026, 5, 1)),
        _version("2", date(2026, 5, 20)),
        # Trained last, for a past day: it knows less than version 2.
        _version("3", date(2026, 5, 10)),
        _version("4", date(2026, 5, 15), is_promoted=False),
    ]
    monkeypatch.setattr(tracking, "versions", lambda name: known)
    in_force = {
        day: found.version if (found := promote.in_force("shop.model", date(2026, 5, day))) else None
        for day in (1, 9, 10, 19, 20, 31)
    }
    assert in_force == {1: "1", 9: "1", 10: "3", 19: "3", 20: "2", 31: "2"}
    assert promote.in_force("shop.model", date(2026, 4, 30)) is None
    with pytest.raises(ShoalError, match=r"may score 2026-04-30 \(version 1 knows days through 2026-05-01;"):
        promote.require_in_force("shop.model", date(2026, 4, 30), "shop")
