"""The ablations take away what they say, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks import ablations
from ml import tracking
from ml.configs import with_changes
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


def test_table_has_a_row_each_and_one_parent_run(data: Path) -> None:  # noqa: F811
    world = synthetic.write(users=120)
    config = with_changes(QUICK, training={"steps": 5}, rivals={"trees": 5})
    inputs = Inputs.of(world.paths, world.as_of)
    table = ablations.compare(inputs, "tiny", config, [1], data / "aside")
    rows = [*table.columns[0].cells]
    assert rows == ["lightgbm", *(one.name for one in ablations.ABLATIONS)]
    runs = tracking.recent_runs("tiny", 20)
    assert sorted(run["name"] for run in runs) == sorted(["ablations tiny", *rows])
