"""The benchmark of leg 1 draws the same log each time, and sees it when two ways disagree by one value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from benchmarks import behaviour_log, dbt_legs, dbt_legs_pandas, dbt_legs_script
from benchmarks.behaviour_log import FIRST_DAY, LAST_DAY, BehaviourLog, ScratchPaths
from cli import ShoalError
from landing import ledger
from warehouse import horizon

EVENTS = 2000


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScratchPaths]:
    """A small log, the script's tables and pandas', and a warehouse with the script's in place of leg 1's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(behaviour_log, "EVENTS_PER_PERSON", 20)
        paths = ScratchPaths("simulated", tmp_path_factory.mktemp("log"))
        BehaviourLog(paths, EVENTS).land_history()
        dates = horizon.choose(FIRST_DAY, LAST_DAY).as_of_dates
        dbt_legs_script.main(paths.landing, paths.data / "script.duckdb", dates)
        dbt_legs_pandas.main(paths.landing, paths.data / "pandas", dates)
        with duckdb.connect(str(paths.warehouse)) as connection:
            connection.execute(f"attach '{paths.data / 'script.duckdb'}' as script")
            connection.execute("create schema core; create schema ml_inputs")
            for table in dbt_legs.COMPARED:
                connection.execute(f"create table {table} as from script.{table.partition('.')[2]}")
            connection.execute("alter table core.fct_events drop column session_number")
        yield paths


def landed(paths: ScratchPaths, table: str) -> str:
    return f"read_parquet('{paths.landing}/{table}/*/*.parquet')"


def test_log_has_the_events_asked_for_and_one_in_a_hundred_twice(paths: ScratchPaths) -> None:
    [(rows, events)] = duckdb.sql(
        f"select count(*), count(distinct event_id) from {landed(paths, 'events')}"
    ).fetchall()
    assert EVENTS * 0.97 < events <= EVENTS
    assert rows == pytest.approx(events * 1.01, abs=20)
    assert len(ledger.files(paths)) == 4
    assert sum(file.rows_good for file in ledger.files(paths) if file.source == "events") == rows


def test_next_day_has_a_hundredth_and_people_seen_before(paths: ScratchPaths, tmp_path: Path) -> None:
    log = BehaviourLog(ScratchPaths("simulated", tmp_path), EVENTS)
    log.land_next_day()
    known = f"select device_key from {landed(paths, 'events')}"
    [(events, seen)] = duckdb.sql(
        f"select count(*), count(*) filter (where device_key in ({known})) from {landed(log.paths, 'events')}"
    ).fetchall()
    assert 0 < seen <= events <= EVENTS / 100 * 1.1


def test_equal_tables_pass(paths: ScratchPaths) -> None:
    dbt_legs._compare(paths, paths.data / "script.duckdb")
    dbt_legs._compare(paths, paths.data / "script.duckdb", paths.data / "pandas")


@pytest.mark.parametrize("way", ["script", "pandas"])
@pytest.mark.parametrize("table", dbt_legs.COMPARED)
def test_one_other_value_is_seen(paths: ScratchPaths, table: str, way: str) -> None:
    columns = {
        "core.fct_events": "price_amount = 1.23",
        "core.fct_sessions": "event_count = 99",
        "core.fct_orders": "channel = 'fax'",
        "core.dim_users": "device_count = 9",
        "ml_inputs.fct_user_features": "night_share = 0.123",
        "ml_inputs.fct_user_sequences": "channels = ['fax']",
    }
    spoilt = ScratchPaths("simulated", paths.data / f"{table}-{way}")
    spoilt.root.mkdir(parents=True)
    spoilt.warehouse.write_bytes(paths.warehouse.read_bytes())
    with duckdb.connect(str(spoilt.warehouse)) as connection:
        connection.execute(f"update {table} set {columns[table]} where rowid = 0")
    with pytest.raises(ShoalError, match=rf"{table}: leg 1 and .*{way}"):
        dbt_legs._compare(
            spoilt, paths.data / "script.duckdb", paths.data / "pandas" if way == "pandas" else None
        )
