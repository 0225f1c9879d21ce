"""Trials at other cuts: the same rows as the working warehouse makes, beside it, and deaf to the future."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest

from landing import ledger
from ml.warehouse import Cut, Inputs
from settings import ShopPaths, TrialPaths
from tests import world
from tests.dbt import landed
from tests.dbt.conftest import land_world, use_shop_folder
from tests.dbt.days import run_only
from warehouse import dbt, trials
from warehouse.build import build_core
from warehouse.horizon import Trial

pytestmark = pytest.mark.slow

CUT = date(2026, 4, 1)
"""The day after the world's test cut: what the working warehouse trains and tests on, asked for by name."""


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopPaths]:
    """The world, landed in a folder of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbt, "build", run_only)
        found = use_shop_folder(patch, tmp_path_factory.mktemp("trials"))
        land_world(found, sorted(world.DELIVERIES))
        yield found


def _trial() -> Trial:
    (found,) = trials.choose(world.SHOP)
    return found


def _cuts(trial: Trial) -> list[Cut]:
    found = trials.build(world.SHOP, trial)
    inputs = Inputs(found.folder, found.manifest)
    assert trial.train_cut is not None and trial.test_cut is not None
    return [inputs.cut(day, with_outcomes=True) for day in (trial.train_cut, trial.test_cut)]


def test_trial_has_the_rows_of_the_working_warehouse_and_leaves_it_alone(
    paths: ShopPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = _trial()
    assert (trial.cut, trial.horizon_days, trial.role) == (CUT, 30, "report")
    built = trials.build(world.SHOP, trial)
    assert not paths.warehouse.exists() and not paths.snapshots.exists()
    assert [link.name for link in TrialPaths(world.SHOP).snapshots.glob("*d")] == ["2026-04-01-30d"]
    assert build_core(paths, world.LAST_DAY).manifest == built.manifest
    paths.warehouse.unlink()
    shutil.rmtree(paths.snapshots)
    monkeypatch.delattr(trials, "build_core_locked")  # unchanged: nothing is built
    assert trials.build(world.SHOP, trial) == built


def test_future_events_and_late_deliveries_change_no_feature_and_no_token(paths: ShopPaths) -> None:
    trial = _trial()
    before = _cuts(trial)
    event = {"event_type": "view", "channel": "web", "customer_id": "ana", "product_id": "mug"}
    future = {"event_id": "future", "occurred_at": "2026-04-05 10:00:00", **event}
    late = {"event_id": "late", "occurred_at": "2026-02-20 10:00:00", **event}
    landed.deliver(paths, date(2026, 4, 5), "events", [future], name="future.csv")
    landed.deliver(paths, date(2026, 4, 6), "events", [late], name="late.csv")
    assert trials.build(world.SHOP, trial).folder.name  # something was delivered: built anew
    after = _cuts(trial)
    for one, other in zip(before, after, strict=True):
        assert one.features.equals(other.features)
        # Vocabulary, tokens, embeddings and scores are functions of these alone.
        assert one.sequences.digest == other.sequences.digest
        assert one.sequences.keys is not None and other.sequences.keys is not None
        assert np.array_equal(one.sequences.keys, other.sequences.keys)
    # Seen red: the day itself knows both.
    now = [
        Inputs(found.folder, found.manifest).cut(trial.as_of_date).features.loc["ana", "event_count"]
        for found in [trials.build(world.SHOP, trial)]
    ]
    assert now[0] > after[1].features.loc["ana", "event_count"]


def test_trial_is_built_anew_for_what_it_knows_and_not_for_later_deliveries(
    paths: ShopPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = _trial()
    trials.build(world.SHOP, trial)
    built: list[str] = []
    monkeypatch.setattr(trials, "build_core_locked", lambda paths, split: built.append(split.link))
    files = ledger.accepted(paths)
    for delivered_on, expected in ((date(2026, 5, 1), []), (date(2026, 4, 30), ["2026-04-01-30d"])):
        more = files[0].model_copy(update={"file_id": "more", "delivered_on": delivered_on})
        monkeypatch.setattr(ledger, "accepted", lambda paths, more=more: [*files, more])
        trials.build(world.SHOP, trial)
        assert built == expected
