"""The ablations take away what they say, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import ablations
from ml import tracking
from ml.configs import with_changes
from ml.costs import Spent
from ml.encoder.tokens import Sequences
from ml.warehouse import Inputs
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK, data  # noqa: F401 - a fixture
from tests.unit.ml.test_tokens import EVENTS


def _sequences() -> Sequences:
    return Sequences.from_arrow(pa.table(EVENTS))


def test_shuffling_keeps_every_user_their_events_and_the_gaps_their_places() -> None:
    before = _sequences()
    many = before.only(np.zeros(40, dtype=np.int64))  # forty times the user of three events
    after = ablations.shuffled(many)
    assert (after.gap_seconds == many.gap_seconds).all()
    assert not (after.text == many.text).all()
    for user in range(40):
        own = slice(3 * user, 3 * user + 3)
        assert sorted(after.text[own]) == sorted(many.text[own])


def test_gaps_become_one_day_and_orders_stay_whole() -> None:
    assert ablations.without_gaps(_sequences()).gap_seconds.tolist() == [0, 86400, 0, 0]


def test_nothing_is_left_of_the_events_but_the_users() -> None:
    left = ablations.nothing(_sequences())
    assert (len(left), len(left.text)) == (3, 0)


def test_table_has_a_row_each_and_one_parent_run(
    data: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = synthetic.write(users=120)
    config = with_changes(QUICK, training={"steps": 5}, rivals={"trees": 5})
    inputs = Inputs.of(world.paths, world.as_of)
    heard: list[dict[str, np.ndarray]] = []
    really = ablations.judge
    monkeypatch.setattr(ablations, "judge", lambda *told: heard.append(told[2]) or really(*told))
    spent: dict[str, Spent] = {}
    shown = ablations._table
    monkeypatch.setattr(ablations, "_table", lambda *told: spent.update(told[1]) or shown(*told))
    table = ablations.compare(inputs, "tiny", config, [1, 2], data / "aside")
    header, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert header == ["what BERT is given", "ROC-AUC", "PR-AUC", "gap to both", "CPU-s"]
    rows = [name for name, *_ in lines]
    assert rows == ["lightgbm", *(one.name for one in ablations.ABLATIONS)]
    # Users and seeds are drawn: the judge hears every seed by itself.
    assert {name: len(scores) for name, scores in heard[0].items()} == dict.fromkeys(rows, 2) | {
        "lightgbm": len(config.rivals.seeds)
    }
    runs = {run["name"]: run for run in tracking.recent_runs("tiny", 20)}
    assert sorted(runs) == sorted(["ablations tiny", *rows])
    for name in rows:
        metrics = runs[name]["metrics"]
        assert metrics["test/roc_auc_low"] <= metrics["test/roc_auc"] <= metrics["test/roc_auc_high"]
        assert spent[name].cpu_seconds > 0
    shown_gaps = {name: shown_gap for name, *_, shown_gap, _ in lines}
    assert shown_gaps["both"] == ""
    gap = [runs["sequence only"]["metrics"][f"gap/both/roc_auc{end}"] for end in ("_low", "", "_high")]
    assert gap == sorted(gap) and gap[0] < gap[2]
    assert shown_gaps["sequence only"] == f"{gap[1]:.3f} [{gap[0]:.3f}, {gap[2]:.3f}]"
    params = {name: tracking.find_run("tiny", runs[name]["run_id"]).params for name in rows}
    assert {name: params[name]["text.source"] for name in rows[-2:]} == {
        "titles: random": "random",
        "titles: TF-IDF + SVD": "tfidf",
    }
    assert params["sequence only"]["network.joins"] == "recency"
    assert {len(some) for some in params.values()} == {len(config.dotted())}
