"""``kill -9`` at points drawn from a seed: nothing lost, equal tables, the old version answers meanwhile.

Each test first runs its command undisturbed, then lets it die at every point and repeats it once. What
must be equal is read from the tables; times of the machine and run ids are left out.
"""

from __future__ import annotations

import csv
import json
import shutil
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import journal
import settings
import warehouse
from landing import ledger, pseudonyms, quarantine
from serving import facts, versions
from serving.content import content_hash
from settings import ShopPaths
from tests import world
from tests.dbt import days
from tests.dbt.conftest import land_world
from tests.dbt.test_incremental import content
from tests.faults.readers import asked, lay_published_version, reading
from tests.unit.ml import synthetic
from tests.unit.serving.conftest import FIRST, Warehouse
from tests.warm import Point, Try, Warm, draw, warm
from warehouse import dbt, snapshot

pytestmark = pytest.mark.slow

SHOPS = str(settings.ROOT / "tests" / "shops")
CLOCKS = {"landed_at", "decided_at"}


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the paths of the world's shop on a data folder below the test's own."""
    monkeypatch.setenv("SHOAL_SHOPS", SHOPS)

    def use(name: str) -> ShopPaths:
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setenv("SHOAL_DATA", str(tmp_path / name))
        return ShopPaths(world.SHOP)

    return use


def landed(paths: ShopPaths) -> dict[str, Any]:
    """Return everything that landing committed, without the clocks."""
    files = [
        {name: value for name, value in file.model_dump(mode="json").items() if name not in CLOCKS}
        for file in ledger.files(paths)
    ]
    found: dict[str, Any] = {"ledger": sorted(json.dumps(file) for file in files)}
    found["quarantine"] = sorted(json.dumps(row, sort_keys=True) for row in quarantine.rows(paths))
    with duckdb.connect() as connection:
        for table in sorted({day.table for file in ledger.files(paths) for day in file.tables}):
            glob = [str(path) for path in sorted((paths.landing / table).glob("*/*.parquet"))]
            found[table] = content_hash(connection, "read_parquet(?)", parameters=[glob])
    found["stray"] = sorted(str(path.name) for path in paths.landing.glob("*/*/*.tmp"))
    return found


def died(ended: Try) -> bool:
    """Return whether a try was killed; the last moments of a run may come after its end."""
    assert ended.code in (-signal.SIGKILL, -signal.SIGPROF, 0), ended.said
    return ended.code < 0


def killed_and_repeated(
    victim: Warm, command: tuple[str, ...], points: list[Point], at: Any, tmp_path: Path
) -> Iterator[tuple[Point, bool, ShopPaths, set[Any]]]:
    """Kill a command at each point, on a copy of ``base``, and repeat it.

    Yields the point, whether it died there, where to look, and what readers were told meanwhile.
    """
    for number, point in enumerate(points):
        data = tmp_path / f"killed-{number}"
        shutil.copytree(tmp_path / "base", data, symlinks=True)
        paths = at(data.name)
        with reading(paths, 0.2) as answers:
            has_died = died(victim.command(*command, data=data, point=point))
            again = victim.command(*command, data=data)
        assert again.code == 0, again.said
        yield point, has_died, paths, set(answers)
        shutil.rmtree(data)


def test_killed_landing_repeated_lands_what_an_undisturbed_one_does(at: Any, tmp_path: Path) -> None:
    drops = tmp_path / "drops"
    world.write_drops(drops)
    with (drops / "events_2026-04-29.csv").open("w", newline="") as file:
        good = {
            "event_id": "x1",
            "event_type": "view",
            "occurred_at": "2026-04-29 10:00:00",
            "device_id": "d",
        }
        writer = csv.DictWriter(file, list(good))
        writer.writeheader()
        writer.writerows([good, good | {"event_id": "x2", "event_type": "juggle"}])
    base = at("base")
    pseudonyms.key(base)
    lay_published_version(base, tmp_path / "aside")
    before = asked(base)
    command = ("landing", "receive", str(drops), "--shop", world.SHOP)
    with warm("landing.__main__", "openpyxl", SHOAL_SHOPS=SHOPS) as victim:
        shutil.copytree(tmp_path / "base", tmp_path / "whole", symlinks=True)
        whole = victim.command(*command, data=tmp_path / "whole")
        assert whole.code == 0, whole.said
        expected = landed(at("whole"))
        assert expected["quarantine"] and len(expected) > 9
        deaths = 0
        points = draw(7, whole, events=3, shares=2)
        for point, has_died, paths, answers in killed_and_repeated(victim, command, points, at, tmp_path):
            deaths += has_died
            assert landed(paths) == expected, point
            assert answers == {before}
    assert deaths >= 3


def test_killed_build_repeated_gives_the_tables_of_an_undisturbed_one(at: Any, tmp_path: Path) -> None:
    base = at("base")
    deliveries = sorted(world.DELIVERIES)
    lay_published_version(base, tmp_path / "aside")
    before = asked(base)
    command = ("warehouse", "build", "core", "--shop", world.SHOP)
    with warm("warehouse.build", "dbt.cli.main", "dbt.adapters.duckdb", SHOAL_SHOPS=SHOPS) as victim:
        land_world(base, deliveries[:-20])
        first = victim.command(*command, data=tmp_path / "base")
        assert first.code == 0, first.said
        land_world(base, deliveries[-20:])
        shutil.copytree(tmp_path / "base", tmp_path / "whole", symlinks=True)
        whole = victim.command(*command, data=tmp_path / "whole")
        assert whole.code == 0, whole.said
        expected = content(at("whole"))
        inputs = snapshot.read(at("whole"), world.LAST_DAY).manifest
        paths = at("base")
        with reading(paths) as answers:
            deaths = [
                died(victim.command(*command, data=tmp_path / "base", point=point))
                for point in draw(11, whole, events=1, shares=1)
            ]
            again = victim.command(*command, data=tmp_path / "base")
        assert again.code == 0, again.said
    assert sum(deaths) >= 1
    assert content(paths) == expected
    assert snapshot.read(paths, world.LAST_DAY).manifest == inputs
    assert set(answers) == {before}


@pytest.mark.deep
def test_killed_build_of_leg_2_repeated_gives_what_an_undisturbed_one_does(
    at: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = at("base")
    lay_published_version(base, tmp_path / "aside")
    before = asked(base)
    land_world(base, sorted(world.DELIVERIES))
    with monkeypatch.context() as patch:
        patch.setattr(dbt, "build", days.run_only)
        days.lay_out(base, world.LAST_DAY)
    command = ("warehouse", "build", "bi", "--shop", world.SHOP)
    with warm("warehouse.build", "dbt.cli.main", "dbt.adapters.duckdb", SHOAL_SHOPS=SHOPS) as victim:
        shutil.copytree(tmp_path / "base", tmp_path / "whole", symlinks=True)
        whole = victim.command(*command, data=tmp_path / "whole")
        assert whole.code == 0, whole.said
        expected = days.content(at("whole"), "bi")
        assert len(expected) > 7
        points = draw(17, whole, events=1, shares=0)
        deaths = 0
        for point, has_died, paths, answers in killed_and_repeated(victim, command, points, at, tmp_path):
            deaths += has_died
            assert days.content(paths, "bi") == expected, point
            assert answers == {before}
    assert deaths >= 1


def test_killed_publish_repeated_publishes_what_an_undisturbed_one_does(at: Any, tmp_path: Path) -> None:
    day = FIRST + timedelta(days=1)
    command = ("serving", "publish", "--as-of", str(day), "--shop", world.SHOP)
    with warm("serving.publish", "serving.__main__") as victim:
        base = at("base")
        working = Warehouse(base)
        working.build(FIRST)
        first = victim.command(
            "serving", "publish", "--as-of", str(FIRST), "--shop", world.SHOP, data=tmp_path / "base"
        )
        assert first.code == 0, first.said
        before = asked(base)
        working.build(day, score=2)
        shutil.copytree(tmp_path / "base", tmp_path / "whole", symlinks=True)
        whole = victim.command(*command, data=tmp_path / "whole")
        assert whole.code == 0, whole.said
        after, expected = asked(at("whole")), published(at("whole"))
        deaths = 0
        points = draw(13, whole, events=3, shares=2)
        for point, has_died, paths, answers in killed_and_repeated(victim, command, points, at, tmp_path):
            deaths += has_died
            assert published(paths) == expected, point
            assert answers <= {before, after}, point
    assert deaths >= 3


def published(paths: ShopPaths) -> Any:
    """Return what the newest version holds, and how often the journal says so."""
    assert not list((paths.serving / "versions").glob(".*"))
    on_disk = [version.name for version in versions.versions(paths)]
    told = [line["version"] for line in journal.read(paths.ops / "published_version.jsonl")]
    assert told == on_disk
    newest = versions.current(paths)
    assert newest is not None
    return len(on_disk), newest.manifest["content_hashes"], facts.days(paths)


def predictions(paths: ShopPaths) -> dict[str, str]:
    """Return the content of ``ml.*``; the number of a version counts how often somebody tried."""
    with warehouse.connect(paths, "a test", read_only=True) as connection:
        tables = {"user_scores", "user_segments", "segment_definitions"}
        found = {}
        for table in sorted(tables):
            rows = f"(select * exclude (model_version) from ml.{table})"
            found[table] = content_hash(connection, rows)
        return found


@pytest.mark.deep
def test_killed_training_and_scoring_repeated_predict_what_undisturbed_ones_do(
    at: Any, tmp_path: Path
) -> None:
    at("base")
    made = synthetic.write(users=120)
    lay_published_version(made.paths, tmp_path / "aside")
    before = asked(made.paths)
    train, score = "tests.faults.acts:train", ("ml", "score", "--shop", "tiny")
    arguments = ("--shop", "tiny")
    with warm("ml.train", "ml.score", "ml.reuse", "mlflow.pyfunc", "tests.faults.acts") as victim:
        shutil.copytree(tmp_path / "base", tmp_path / "whole", symlinks=True)
        trained = victim.act(train, *arguments, data=tmp_path / "whole")
        assert trained.code == 0, trained.said
        scored = victim.command(*score, data=tmp_path / "whole")
        assert scored.code == 0, scored.said
        at("whole")
        expected = predictions(made.paths)
        at("base")
        with reading(made.paths) as answers:
            deaths = [
                died(victim.act(train, *arguments, data=tmp_path / "base", point=point))
                for point in draw(17, trained, events=1, shares=1)
            ]
            deaths.append(
                died(
                    victim.act(
                        f"{train}_and_die_before_the_champion_is_named", *arguments, data=tmp_path / "base"
                    )
                )
            )
            again = victim.act(train, *arguments, data=tmp_path / "base")
            assert again.code == 0, again.said
            told = victim.act("tests.faults.acts:print_champions", str(made.as_of), data=tmp_path / "base")
            deaths += [
                died(victim.command(*score, data=tmp_path / "base", point=point))
                for point in draw(19, scored, events=1, shares=1)
            ]
            again = victim.command(*score, data=tmp_path / "base")
            assert again.code == 0, again.said
    assert sum(deaths) >= 3  # points by CPU-seconds may come after the end
    for line in told.said.splitlines():
        serves, named, has_reason = json.loads(line)
        assert (serves, has_reason) == (named, True)
    assert predictions(made.paths) == expected
    assert set(answers) == {before}
