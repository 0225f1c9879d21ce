"""Past days by the real commands, a trained model included: the order in which they run changes nothing."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

import settings
from tests import world
from tests.chain import Chain
from tests.dbt import days

pytestmark = pytest.mark.slow

DAYS = [str(day) for day in days.FIVE_DAYS[-2:]]
DAY_BEFORE = str(days.FIVE_DAYS[-2] - timedelta(days=1))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The world and its crowd, landed whole, with a model that knows nothing after the first of the days."""
    chain = Chain(world.SHOP, tmp_path_factory.mktemp("trained"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_SHOPS", str(settings.ROOT / "tests" / "shops"))
        world.write_drops(chain.drops)
        world.write_crowd(chain.drops)
        chain.land(chain.drops)
        chain.run("warehouse", "build", "core", "--as-of", DAYS[0])
        chain.run("ml", "train", "--as-of", DAYS[0])
    return chain


def tell(trained: Chain, folder: Path, order: list[str]) -> Chain:
    """Go on from the trained state in a folder of its own, with the days in an order."""
    shutil.copytree(trained.data, folder, symlinks=True)
    chain = Chain(world.SHOP, folder)
    for day in order:
        chain.run_number += 1
        chain.run("warehouse", "build", "core", "--as-of", day)
        chain.run("expectations", "ml_inputs", "--as-of", day)
        chain.run("ml", "score", "--as-of", day)
        chain.publish(day)
    return chain


def test_days_run_backwards_say_what_days_in_order_say(
    trained: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_SHOPS", str(settings.ROOT / "tests" / "shops"))
    said = {}
    for name, order in (("forward", DAYS), ("backward", DAYS[::-1])):
        chain = tell(trained, tmp_path / name, order)
        monkeypatch.setenv("SHOAL_DATA", str(chain.data))
        said[name] = days.published(settings.ShopPaths(world.SHOP))
        assert chain.value("select max(as_of_date)::varchar from bi.user_segment_current") == DAYS[-1]
    assert len(said["forward"]) == len(DAYS) * 4
    assert said["backward"] == said["forward"]


def test_day_before_the_model_knows_is_not_scored(trained: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_SHOPS", str(settings.ROOT / "tests" / "shops"))
    assert trained.run("ml", "champion", "--as-of", DAYS[0]).startswith("world.behaviour_segments")
    assert trained.run("ml", "champion", "--as-of", DAY_BEFORE) == ""
    trained.run("ml", "score", "--as-of", DAY_BEFORE, expect=1)
    assert f"may score {DAY_BEFORE}" in trained.said["ml score"]
    assert f"python -m ml train --shop {world.SHOP} --as-of {DAY_BEFORE}" in trained.said["ml score"]
