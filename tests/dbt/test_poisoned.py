"""The leak canary on the world: green for models that are deaf to the future, red for a clock forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cli import ShoalError
from ml.evaluation import leaks
from ml.warehouse import Cut, Inputs
from settings import CanaryPaths, ShopPaths
from tests import world
from tests.dbt import landed
from tests.dbt.conftest import land_world, use_shop_folder
from tests.dbt.days import run_only
from warehouse import dbt, poisoned
from warehouse.build import build_core
from warehouse.snapshot import CONTENT_KEY

pytestmark = pytest.mark.slow

LATE = {
    "event_id": "late",
    "event_type": "view",
    "occurred_at": "2026-02-20 10:00:00",
    "customer_id": "ana",
    "channel": "web",
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopPaths]:
    """The world, landed and built in a folder of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbt, "build", run_only)
        found = use_shop_folder(patch, tmp_path_factory.mktemp("poisoned"))
        land_world(found, sorted(world.DELIVERIES))
        build_core(found)
        yield found


def _cuts(paths: ShopPaths) -> tuple[Inputs, list[Cut]]:
    inputs = Inputs.of(paths, world.LAST_DAY)
    return inputs, [inputs.cut(day) for day in (world.TRAIN_CUT, world.TEST_CUT, world.LAST_DAY)]


def _files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def _say(patch: pytest.MonkeyPatch, name: str, condition: str, instead: str) -> None:
    """Change a condition of a macro, or of a model, for whoever runs dbt from now on."""
    parsed = dbt._parsed

    def changed() -> Any:
        manifest = parsed()
        assert manifest is not None, "building the world has parsed the project"
        node = manifest.macros.get(f"macro.shoal.{name}") or manifest.nodes[f"model.shoal.{name}"]
        code = "macro_sql" if hasattr(node, "macro_sql") else "raw_code"
        assert condition in getattr(node, code)
        setattr(node, code, getattr(node, code).replace(condition, instead))
        return manifest

    patch.setattr(dbt, "_parsed", changed)


def test_honest_models_pass_and_nothing_of_the_shop_changes(paths: ShopPaths) -> None:
    landed.deliver(paths, date(2026, 2, 20), "events", [LATE], name="decided after the snapshot was made.csv")
    inputs, cuts = _cuts(paths)
    before = _files(paths.root)
    sample = leaks.sing(paths, inputs, *cuts, seed=7)
    assert sample is not None
    assert [set(pair.told.users) for pair in sample.cuts] == [set(cut.users) for cut in cuts[:2]]
    assert sample.injected_rows > 3 * sample.users
    left = _files(paths.root)
    assert left.pop(CanaryPaths(world.SHOP).warehouse.with_suffix(".lock"))
    assert left == before


def test_models_that_know_later_links_stop_the_run(paths: ShopPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stranger is told apart no more, and the tablet of emil and fay is everybody's.

    The world's own late link tells of a later day: the snapshot is what such models make, too.
    """
    known = "{{ is_known_as_of('links', 'list_as_of_dates.as_of_date') }}"
    _say(monkeypatch, "int_devices_stitched", known, "true")
    inputs, cuts = _cuts(paths)
    told = r"is_eligible of 2026-03-01 differs for 3 of 7 sampled users once \d+ rows are laid beside theirs "
    told += r"that happened or were delivered after 2026-03-31: it knows the future, so nothing was trained"
    with pytest.raises(ShoalError, match=told):
        leaks.sing(paths, inputs, *cuts, seed=7)


KNOWN = """{{ is_known_as_of('rows_known', "date '" ~ as_of_date ~ "'") }}"""
HAPPENED = "rows_known.event_date <= date '{{ as_of_date }}'"
DELIVERED = "rows_known.delivered_on <= date '{{ as_of_date }}'"
STILL_SAID = "coalesce(rows_known.superseded_on > date '{{ as_of_date }}', true)"


def test_poison_reaches_models_that_forget_when_something_was_delivered(
    paths: ShopPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ana the shop told nothing late: what differs, the poison did."""
    _say(monkeypatch, "known_on_each_date", KNOWN, STILL_SAID)
    inputs, cuts = _cuts(paths)
    sample = leaks._build(paths, inputs, cuts, ["ana"], with_poison=True)
    for pair in sample.cuts:
        assert pair.differs.loc["ana", ["order_count", CONTENT_KEY]].all()


@pytest.mark.parametrize(
    ("condition", "instead", "told"),
    [
        (
            HAPPENED,
            "true",
            "fct_user_sequences of 2026-03-01 holds an event of 2026-04-01 10:00:00, after its",
        ),
        (
            KNOWN,
            f"{DELIVERED} and rows_known.superseded_on is null",
            r"snapshot \w+ has no user on 2026-03-01",
        ),
    ],
    ids=["done again", "told otherwise"],
)
def test_poison_makes_inputs_that_nobody_may_read(
    paths: ShopPaths, monkeypatch: pytest.MonkeyPatch, condition: str, instead: str, told: str
) -> None:
    """By models that forget when something happened, or what was said of it before."""
    _say(monkeypatch, "known_on_each_date", condition, instead)
    inputs, cuts = _cuts(paths)
    with pytest.raises(ShoalError, match=rf"^once \d+ rows .* delivered after 2026-03-31: {told}"):
        leaks._build(paths, inputs, cuts, ["ana"], with_poison=True)


def test_poison_is_in_every_table_that_features_sequences_and_labels_are_made_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    sources = ["list", *poisoned.BUILD[1:3], "--resource-type", "source", "--output", "name", "--quiet"]
    read = set(dbt.invoke(ShopPaths(world.SHOP), sources, {}).result)
    assert poisoned.TABLES.keys() == {name.removeprefix("shop.") for name in read if name.startswith("shop.")}
