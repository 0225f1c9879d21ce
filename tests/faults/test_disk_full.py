"""A full disk: one line that names it, nothing half done, and the same command succeeds once there is room.

The disk is a small tmpfs, filled with ballast up to a room drawn from a seed; only root may mount one.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from landing import pseudonyms
from settings import ShopPaths
from tests import world
from tests.dbt.conftest import land_world
from tests.faults.readers import asked, lay_published_version
from tests.faults.test_kill import SHOPS, landed, published
from tests.unit.serving.conftest import FIRST, Warehouse
from tests.warm import Warm, warm

pytestmark = pytest.mark.slow


def fill(disk: Path, room: int) -> Path:
    """Leave ``room`` bytes free."""
    ballast = disk / ".ballast"
    ballast.unlink(missing_ok=True)
    free = shutil.disk_usage(disk).free
    with ballast.open("wb") as file:
        file.write(bytes(max(0, free - room)))
    return ballast


def meet(
    victim: Warm,
    disk: Path,
    command: tuple[str, ...],
    seed: int,
    need: int,
    tries: int,
    unharmed: Callable[[], None],
) -> None:
    """Run a command in rooms drawn from 0 to what it needs; each try fails in one line and harms nothing."""
    rng = random.Random(seed)
    rooms = [0, *sorted(rng.randrange(need) for _ in range(tries - 1))]
    print(f"seed {seed}: rooms of {rooms} bytes, {need} needed")
    failures = 0
    for room in rooms:
        ballast = fill(disk, room)
        ended = victim.command(*command, data=disk)
        ballast.unlink()
        if ended.code == 0:
            break
        failures += 1
        unharmed()
        assert ended.code == 1, ended.said
        (line,) = (line for line in ended.said.splitlines() if line.startswith("python -m"))
        assert f"the disk of {disk} is full" in line and "make room" in line, ended.said
        assert "Traceback" not in ended.said, ended.said
    assert failures >= min(2, tries - 1)
    ended = victim.command(*command, data=disk)
    assert ended.code == 0, ended.said


def used(disk: Path) -> int:
    return shutil.disk_usage(disk).used


def undisturbed(victim: Warm, disk: Path, command: tuple[str, ...], kept: Path) -> int:
    """Run a command with room enough, put the disk back as it was, and return the bytes it took."""
    shutil.copytree(disk, kept, symlinks=True)
    before = used(disk)
    ended = victim.command(*command, data=disk)
    assert ended.code == 0, ended.said
    return used(disk) - before


def put_back(disk: Path, kept: Path) -> None:
    for entry in list(disk.iterdir()):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(kept, disk, symlinks=True, dirs_exist_ok=True)


def test_landing_on_a_full_disk_says_so_and_lands_all_when_there_is_room(disk: Path, tmp_path: Path) -> None:
    paths, drops = ShopPaths(world.SHOP), tmp_path / "drops"
    world.write_drops(drops)
    pseudonyms.key(paths)
    command = ("landing", "receive", str(drops), "--shop", world.SHOP)
    with warm("landing.__main__", "openpyxl", SHOAL_SHOPS=SHOPS) as victim:
        need = undisturbed(victim, disk, command, tmp_path / "kept")
        expected = landed(paths)
        put_back(disk, tmp_path / "kept")
        meet(victim, disk, command, 23, need, 4, lambda: None)
    assert landed(paths) == expected


def test_publishing_on_a_full_disk_leaves_the_version_in_force(disk: Path, tmp_path: Path) -> None:
    paths, day = ShopPaths(world.SHOP), FIRST + timedelta(days=1)
    working = Warehouse(paths)
    working.build(FIRST)
    command = ("serving", "publish", "--as-of", str(day), "--shop", world.SHOP)
    with warm("serving.publish", "serving.__main__") as victim:
        first = victim.command("serving", "publish", "--as-of", str(FIRST), "--shop", world.SHOP, data=disk)
        assert first.code == 0, first.said
        before = asked(paths)
        working.build(day, score=2)
        need = undisturbed(victim, disk, command, tmp_path / "kept")
        expected = published(paths)
        put_back(disk, tmp_path / "kept")

        def unharmed() -> None:
            assert asked(paths) == before
            assert not list((paths.serving / "versions").glob(".*"))

        meet(victim, disk, command, 29, int(need * 0.9), 5, unharmed)
    assert published(paths) == expected


@pytest.mark.deep
def test_build_on_a_full_disk_says_so_and_builds_when_there_is_room(disk: Path, tmp_path: Path) -> None:
    from tests.dbt.test_incremental import content

    paths = ShopPaths(world.SHOP)
    land_world(paths, sorted(world.DELIVERIES))
    lay_published_version(paths, tmp_path / "aside")
    before = asked(paths)
    command = ("warehouse", "build", "core", "--shop", world.SHOP)
    with warm("warehouse.build", "dbt.cli.main", "dbt.adapters.duckdb", SHOAL_SHOPS=SHOPS) as victim:
        need = undisturbed(victim, disk, command, tmp_path / "kept")
        expected = content(paths)
        put_back(disk, tmp_path / "kept")

        def unharmed() -> None:
            assert asked(paths) == before

        meet(victim, disk, command, 31, int(need * 0.8), 2, unharmed)
    assert content(paths) == expected
