"""Whatever the order of deliveries, the tables end the same: incremental equals full refresh, row for row."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

import warehouse
from cli import ShoalError
from landing import empty, ledger
from settings import ShopPaths
from tests import world
from tests.dbt import landed
from tests.dbt.conftest import land_world, tables_of, use_shop_folder
from tests.dbt.days import run_only
from warehouse import dbt, follow, horizon, ops, snapshot
from warehouse.build import build_core, choose_split, variables

pytestmark = pytest.mark.slow

SCHEMAS = ("staging", "intermediate", "core", "ml_inputs")


def content(paths: ShopPaths) -> dict[str, dict]:
    """Return row count and hash of every table of leg 1."""
    with warehouse.connect(paths, "a test", read_only=True) as connection:
        return {table: snapshot.content_hash(connection, table) for table in tables_of(connection, SCHEMAS)}


def die_half_way(paths: ShopPaths) -> None:
    """Build like a process that is killed when the events are merged and nothing after them is."""
    split = choose_split(paths, world.LAST_DAY)
    with warehouse.lock(paths, "a test"):
        with warehouse.open_locked(paths) as connection:
            follow.load_ledger(connection, paths)
            follow.note_touched(connection)
        dbt.invoke(
            paths,
            ["run", "--select", "+int_events_merged", "+int_events_sessionized"],
            variables(paths, split),
        )


def test_world_landed_out_of_order_equals_a_full_build(
    world_paths: ShopPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = content(world_paths)
    paths = use_shop_folder(monkeypatch, tmp_path)
    days = sorted(world.DELIVERIES)
    third = len(days) // 3
    # The last third first, then the beginning, then the middle, of which two days come again.
    for batch in (days[-third:], days[:third], days[third:-third], days[third : third + 2]):
        land_world(paths, batch)
        if batch == days[:third]:
            die_half_way(paths)
        with monkeypatch.context() as patch:
            patch.setattr(dbt, "build", run_only)
            build_core(paths, world.LAST_DAY)
    found = content(paths)
    assert len(found) > 40
    assert {table for table in expected if expected[table] != found.get(table)} == set()

    build_core(paths, world.LAST_DAY, full_refresh=True)
    assert {table for table, said in content(paths).items() if expected[table] != said} == set()


@pytest.mark.parametrize("change", ["drop column page", "add column x varchar", "alter page type blob"])
def test_table_of_other_columns_is_refused_and_left_alone(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = use_shop_folder(monkeypatch, tmp_path)
    land_world(paths, sorted(world.DELIVERIES))
    split = choose_split(paths, world.LAST_DAY)
    with warehouse.lock(paths, "a test"):
        with warehouse.open_locked(paths) as connection:
            empty.write(paths)
            ops.create(connection)
            follow.load_ledger(connection, paths)
            follow.note_touched(connection)
        staging = (["run", "--select", "stg_shop__events"], variables(paths, split))
        dbt.invoke(paths, *staging)
        with warehouse.open_locked(paths) as connection:
            connection.execute(f"alter table staging.stg_shop__events {change}")
            rows = len(connection.table("staging.stg_shop__events"))
        with pytest.raises(ShoalError, match="other columns than its model now: make rebuild"):
            dbt.invoke(paths, *staging)
        with warehouse.open_locked(paths) as connection:
            assert len(connection.table("staging.stg_shop__events")) == rows > 0


def test_withdrawn_file_leaves_no_trace(
    world_paths: ShopPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = content(world_paths)
    paths = use_shop_folder(monkeypatch, tmp_path)
    land_world(paths, sorted(world.DELIVERIES))
    stray = [
        # It bridges ben's two visits, replaces ana's last order, and links dora's device to somebody else.
        landed.deliver(
            paths, world.LAST_DAY, "events", [_event("s1", "2026-04-02 09:50:00", "ben", "d-ben")], name="a"
        ),
        landed.deliver(
            paths,
            world.LAST_DAY,
            "order_lines",
            [
                {
                    "order_id": "a4",
                    "line_number": 1,
                    "ordered_at": "2026-04-20 10:00:00",
                    "product_id": "mug",
                    "quantity": 1,
                    "unit_price_amount": 1,
                }
            ],
            name="b",
        ),
        landed.deliver(
            paths,
            world.LAST_DAY,
            "device_links",
            [{"device_id": "d-dora", "customer_id": "eve", "linked_at": "2026-03-01 09:50:00"}],
            name="c",
        ),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(dbt, "build", run_only)
        build_core(paths, world.LAST_DAY)
    disturbed = content(paths)
    for table in ("core.fct_sessions", "core.fct_orders", "intermediate.int_devices_stitched"):
        assert disturbed[table] != expected[table]

    ledger.set_status(paths, stray, "withdrawn", ["a test"])
    build_core(paths, world.LAST_DAY)
    assert {table for table, said in content(paths).items() if expected[table] != said} == set()


def _event(event_id: str, at: str, customer: str, device: str) -> dict:
    return {
        "event_id": event_id,
        "event_type": "view",
        "occurred_at": at,
        "customer_id": customer,
        "device_id": device,
    }


def test_of_two_files_of_a_day_the_one_that_is_named_later_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither says which is newer, and their order of landing must not."""
    paths = use_shop_folder(monkeypatch, tmp_path)
    days = [date(2026, 4, number) for number in range(1, 9)]
    for day in days:
        for part in (2, 1):
            order = {"order_id": f"o{day.day}", "ordered_at": f"{day} 10:00:00"}
            landed.deliver(
                paths, day, "orders", [order | {"channel": f"part {part}"}], name=f"o_{day}_{part}"
            )
            line = {"line_number": part, "product_id": "mug", "quantity": part, "unit_price_amount": 1}
            landed.deliver(paths, day, "order_lines", [order | line], name=f"l_{day}_{part}")
    empty.write(paths)
    tables = ("int_orders_deduplicated", "int_order_lines_deduplicated")
    with warehouse.lock(paths, "a test"):
        with warehouse.open_locked(paths) as connection:
            ops.create(connection)
            follow.load_ledger(connection, paths)
            follow.note_touched(connection)
        said = variables(paths, horizon.choose(days[0], days[-1]))
        dbt.invoke(paths, ["run", "--select", *(f"+{name}" for name in tables)], said)
    with warehouse.connect(paths, "a test", read_only=True) as connection:
        orders, lines = (
            connection.execute(f"select distinct {column} from intermediate.{table}").fetchall()
            for table, column in zip(tables, ("channel", "line_number"), strict=True)
        )
    assert (orders, lines) == ([("part 2",)], [(2,)])


def test_snapshot_of_equal_content_has_one_name(world_paths: ShopPaths) -> None:
    before = snapshot.read(world_paths, world.LAST_DAY)
    again = build_core(world_paths, world.LAST_DAY)
    assert again == before
    assert again.manifest["cuts"] == {"train": "2026-03-01", "test": "2026-03-31", "score": "2026-04-30"}
    assert again.manifest["as_of_date"] == date(2026, 4, 30).isoformat()
