"""Of which days a build can be asked, and what it notes of itself."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

import journal
import settings
import warehouse
from cli import ShoalError, UsageError
from landing import ledger
from settings import ShopPaths
from warehouse import build, dbt, follow, rebuild, snapshot, steps
from warehouse.build import choose_split
from warehouse.horizon import Split

FIRST, LAST = date(2026, 1, 1), date(2026, 1, 9)
DAY = timedelta(days=1)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShopPaths:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    monkeypatch.setenv("SHOAL_SHOPS", str(settings.ROOT / "tests" / "shops"))
    return ShopPaths("world")


def deliver(paths: ShopPaths, day: date, status: ledger.Status = "accepted") -> None:
    delivered = ledger.LedgerFile(
        file_id=f"{day}",
        batch_id="b",
        shop=paths.shop,
        source="all",
        file_name=f"all_{day}.csv",
        content_hash="c",
        status=status,
        delivered_on=day,
        landed_at="2026-02-01T00:00:00+00:00",
        decided_at="2026-02-01T00:00:00+00:00",
        contract_version="1",
        mapping_version="1",
        delivers=("events", "orders"),
    )
    ledger.commit(paths, [delivered])


def test_a_day_before_the_first_or_after_every_delivery_is_wrong_usage(paths: ShopPaths) -> None:
    for day in (FIRST, LAST):
        deliver(paths, day)
    assert choose_split(paths, None).as_of_date == LAST
    assert choose_split(paths, LAST - DAY).as_of_date == LAST - DAY
    with pytest.raises(UsageError, match=f"as of {FIRST - DAY} nothing is known: the first complete day"):
        choose_split(paths, FIRST - DAY)
    with pytest.raises(UsageError, match=f"nothing is known yet: the latest complete day of world is {LAST}"):
        choose_split(paths, LAST + DAY)


def test_a_day_whose_files_were_withdrawn_can_be_told_anew(paths: ShopPaths) -> None:
    for day, status in ((FIRST, "accepted"), (LAST, "withdrawn")):
        deliver(paths, day, status)
    assert choose_split(paths, None).as_of_date == FIRST
    assert choose_split(paths, LAST).as_of_date == LAST


def test_build_bi_notes_its_own_dbt_run(paths: ShopPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(name: str) -> None:
        results = paths.ops / "dbt" / "target" / "run_results.json"
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text(json.dumps({"metadata": {"invocation_id": name}}))

    deliver(paths, FIRST)
    run("leg-1")
    with warehouse.connect(paths, "a test") as connection:
        steps.note(connection, paths, "build core", FIRST)
    monkeypatch.setattr(dbt, "build", lambda *_: run("leg-2"))
    monkeypatch.setattr(build, "_is_overtaken", lambda *_: False)  # dbt has made no tables
    monkeypatch.setattr(build, "_is_newest", lambda *_: False)
    build.build_bi(paths, FIRST)
    run("leg-1-of-another-day")
    noted = steps.last(paths, "build bi", FIRST)
    assert noted is not None and noted["dbt_invocation_id"] == "leg-2"


def test_build_bi_of_a_day_whose_core_broke_off_says_so_and_how_to_end_it(
    paths: ShopPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise ShoalError("dbt build failed")

    deliver(paths, FIRST)
    monkeypatch.setattr(dbt, "build", break_off)
    with pytest.raises(ShoalError, match="dbt build failed"):
        build.build_core(paths, FIRST)
    with pytest.raises(
        ShoalError,
        match=f"leg 1 of {FIRST} was never built to its end in {paths.warehouse}: "
        f"run python -m warehouse build core --shop world --as-of {FIRST} first",
    ):
        build.build_bi(paths, FIRST)


def begin_rebuild(paths: ShopPaths, split: Split) -> None:
    """Build leg 1 in a new warehouse, and break off."""
    with warehouse.open_locked(paths) as connection:
        steps.note(connection, paths, "build core", split.as_of_date)
    raise ShoalError("broke off")


def test_failed_rebuild_leaves_the_notes_of_what_the_old_warehouse_holds(
    paths: ShopPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(paths, FIRST)
    held = ("build core", "score")
    with warehouse.connect(paths, "a test") as connection:
        for step in held:
            steps.note(connection, paths, step, FIRST)
    monkeypatch.setattr(rebuild, "build_core_locked", begin_rebuild)
    with pytest.raises(ShoalError, match="broke off"):
        rebuild.rebuild(paths)
    with warehouse.connect(paths, "a test") as connection:
        for step in held:
            steps.require(connection, paths, step, FIRST)
            assert steps.last(paths, step, FIRST) is not None
    assert not list(paths.root.rglob("*before_rebuild*"))


def test_build_bi_after_a_killed_rebuild_asks_for_the_rebuild_again(
    paths: ShopPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(paths, FIRST)
    with warehouse.connect(paths, "a test") as connection:
        steps.note(connection, paths, "build core", FIRST)
    monkeypatch.setattr(rebuild, "build_core_locked", begin_rebuild)
    monkeypatch.setattr(rebuild, "_put_back", lambda *_: None)  # as after a kill
    with pytest.raises(ShoalError, match="broke off"):
        rebuild.rebuild(paths)
    with pytest.raises(
        ShoalError, match=r"was broken off, .*: run python -m warehouse rebuild --shop world again"
    ):
        build.build_bi(paths, FIRST)


def test_build_bi_notes_who_tells_the_tables_without_a_date(
    paths: ShopPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a day that leg 1 lays out, none before the last published one."""
    for day in (FIRST, LAST):
        deliver(paths, day)
    monkeypatch.setattr(dbt, "build", lambda *_: None)
    monkeypatch.setattr(build, "_invocation_id", lambda *_: None)
    monkeypatch.setattr(build, "_is_overtaken", lambda *_: False)
    with warehouse.connect(paths, "a test") as connection:
        connection.execute("create schema intermediate")
        connection.execute("create table intermediate.int_users_eligible (as_of_date date)")
        connection.execute("insert into intermediate.int_users_eligible values (?), (?)", [FIRST, LAST])
        for day in (LAST, LAST - DAY, FIRST):
            steps.note(connection, paths, "build core", day)
    (paths.history / "bi" / str(FIRST + DAY)).mkdir(parents=True)
    for day in (LAST, LAST - DAY, FIRST):
        build.build_bi(paths, day)
    told = [len(steps.done(paths, "tell newest", day)) for day in (LAST, LAST - DAY, FIRST)]
    assert told == [1, 0, 0]


def test_build_core_notes_when_it_had_read_the_ledger(
    paths: ShopPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lands while dbt runs is not known to this build."""
    during: list[str] = []
    deliver(paths, FIRST)
    monkeypatch.setattr(dbt, "build", lambda *_: during.append(journal.now()))
    monkeypatch.setattr(follow, "mark_processed", lambda *_: None)
    monkeypatch.setattr(
        snapshot, "export", lambda *_: SimpleNamespace(manifest={"digest": "d", "tables": {}})
    )
    build.build_core(paths, FIRST)
    [noted] = steps.done(paths, "build core", FIRST)
    assert noted["ledger_read_at"] < during[0] < noted["at"]
