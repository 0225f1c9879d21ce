"""A new champion's first day: the model before it is asked too, so that moves can be told apart."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from ml import promote, tracking
from ml.score import score
from ml.segments.behaviour import BehaviourSegments
from ml.train import train
from ml.warehouse import Inputs, version_before
from settings import ShopPaths
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK


def _placed(paths: ShopPaths, day: date) -> dict[str, str | None]:
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        rows = connection.execute(
            "select user_key, code_by_previous_model from ml.user_segments "
            "where as_of_date = ? and scheme = 'behaviour'",
            [day],
        ).fetchall()
    return dict(rows)


def test_first_day_of_a_champion_tells_where_the_model_before_would_have_put_users(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = date(2026, 6, 30)
    days = [first + timedelta(days=number) for number in range(3)]
    for day in days:
        world = synthetic.write(users=150, horizon_days=None, as_of=day, digest=f"d{day.day}")
    paths = world.paths
    train(paths, days[0], QUICK)
    score(paths, days[0])
    assert set(_placed(paths, days[0]).values()) == {None}, "nobody came before the first"
    train(paths, days[1], QUICK)
    name = tracking.registered_name("tiny", tracking.BEHAVIOUR)
    promote.promote(tracking.version(name, "2"), "by hand")
    score(paths, days[1])
    cut = Inputs.of(paths, days[1]).cut(days[1])
    by_first = BehaviourSegments.load(tracking.version(name, "1").package(), None).place(cut)[0].code
    assert _placed(paths, days[1]) == dict(zip(cut.users, by_first, strict=True))
    assert version_before(paths, "behaviour", days[1]) == "1"
    score(paths, days[2])
    assert set(_placed(paths, days[2]).values()) == {None}, "its second day needs no comparison"
    # Who moved can't be told where the model before is damaged; the day is scored all the same.
    (kept,) = (paths.models / "champions" / name).glob("1-*/package/classes.safetensors")
    kept.write_bytes(kept.read_bytes()[:-1])
    score(paths, days[1])
    assert set(_placed(paths, days[1]).values()) == {None}
    said = " ".join(capsys.readouterr().err.split())
    assert f"version 1 of {name} can't be asked where it would have put the users (model package" in said
