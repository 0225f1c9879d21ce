"""Following the ledger: what counts as touched, and when it is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from landing import ledger
from settings import ShopPaths
from tests.dbt import landed
from warehouse import follow, ops
from warehouse.horizon import Split

DAY = date(2026, 1, 2)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShopPaths:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    return ShopPaths("world")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        ops.create(connection)
        yield connection


def drop(paths: ShopPaths, name: str) -> str:
    row = {"event_id": name, "event_type": "view", "occurred_at": "2026-01-02 10:00:00", "device_id": "d"}
    return landed.deliver(paths, DAY, "events", [row], name=name)


def touched(connection: duckdb.DuckDBPyConnection, paths: ShopPaths) -> list[tuple]:
    follow.load_ledger(connection, paths)
    follow.note_touched(connection)
    return connection.execute("select file_id, is_accepted from ops.touched_file order by all").fetchall()


def test_new_file_is_touched_until_a_build_succeeds(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths
) -> None:
    file_id = drop(paths, "a")
    assert touched(connection, paths) == [(file_id, True)]
    assert connection.execute("select * from ops.touched_day").fetchall() == [("events", DAY)]
    # The build dies here: the next one finds the same work.
    assert touched(connection, paths) == [(file_id, True)]
    follow.mark_processed(connection, "digest", [])
    assert touched(connection, paths) == []
    assert connection.execute("select * from ops.touched_day").fetchall() == []
    assert follow.last_models_digest(connection) == "digest"


def test_withdrawn_and_decided_again_files_are_touched(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths
) -> None:
    withdrawn, replayed, quiet = drop(paths, "a"), drop(paths, "b"), drop(paths, "c")
    touched(connection, paths)
    follow.mark_processed(connection, "digest", [])
    ledger.set_status(paths, [withdrawn], "withdrawn", ["a test"])
    ledger.set_status(paths, [replayed], "accepted", ["a test"])
    assert touched(connection, paths) == sorted([(withdrawn, False), (replayed, True)])
    assert quiet != withdrawn


def test_file_that_a_killed_build_read_and_that_was_withdrawn_since_is_taken_out(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths
) -> None:
    file_id = drop(paths, "a")
    assert touched(connection, paths) == [(file_id, True)]
    # The build dies here, with the file's rows in staging.
    ledger.set_status(paths, [file_id], "withdrawn", ["a test"])
    assert touched(connection, paths) == [(file_id, False)]
    assert connection.execute("select * from ops.touched_day").fetchall() == [("events", DAY)]
    follow.mark_processed(connection, "digest", [])
    assert touched(connection, paths) == []


def test_what_arrives_during_a_build_waits_for_the_next(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths
) -> None:
    drop(paths, "a")
    touched(connection, paths)
    late = drop(paths, "b")
    follow.mark_processed(connection, "digest", [])
    assert touched(connection, paths) == [(late, True)]


def test_held_files_are_not_read(connection: duckdb.DuckDBPyConnection, paths: ShopPaths) -> None:
    ledger.set_status(paths, [drop(paths, "a_9.csv")], "held", ["a test"])
    assert touched(connection, paths) == []
    found = connection.execute("select status, reasons, name_order from ops.landing_ledger").fetchall()
    assert found == [("held", ["a test"], f"a_{9:020}")]


def carried(connection: duckdb.DuckDBPyConnection, *days: date) -> dict[date, date]:
    """Return from which dates a build of these would go on, one a month and the last one for itself."""
    return follow.start_from(connection, Split(days[-1], 30, *days[:-1])).carried


def test_dates_go_on_from_those_of_the_last_whole_build(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths
) -> None:
    built = [date(2026, 3, 1), date(2026, 3, 31), date(2026, 4, 30)]
    assert carried(connection, *built) == {}
    follow.mark_processed(connection, "digest", built)
    later = [date(2026, 3, 2), date(2026, 4, 7), date(2026, 5, 8)]
    # A week further is near enough, eight days are not; and no date goes on from a later one.
    assert carried(connection, *later) == {later[0]: built[0], later[1]: built[1]}
    assert carried(connection, *built) == {}
    follow.forget_built(connection)
    assert carried(connection, *later) == {}


def test_cuts_that_were_made_stand_until_something_becomes_known_of_them(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths
) -> None:
    cuts, next_day = (DAY - timedelta(days=31), DAY - timedelta(days=1)), DAY + timedelta(days=1)
    follow.mark_processed(connection, "digest", [*cuts, DAY])
    tomorrow = Split(next_day, 30, *cuts)
    assert follow.start_from(connection, tomorrow) == follow.Start(cuts, {next_day: DAY})
    # The as_of_date itself is made, however often it is asked for.
    assert follow.start_from(connection, Split(DAY, 30, *cuts)) == follow.Start(cuts, {DAY: cuts[1]})
    drop(paths, "late")
    [file] = ledger.files(paths)
    ledger.commit(paths, [file.model_copy(update={"delivered_on": cuts[1]})])
    touched(connection, paths)
    assert follow.start_from(connection, tomorrow) == follow.Start(cuts[:1], {})


def test_what_was_known_by_a_date_and_is_decided_now_ends_its_use(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths
) -> None:
    before, after = DAY - timedelta(days=1), DAY + timedelta(days=1)
    follow.mark_processed(connection, "digest", [before])
    drop(paths, "a")
    touched(connection, paths)
    assert carried(connection, after) == {after: before}
    follow.mark_processed(connection, "digest", [DAY])
    assert carried(connection, after) == {after: DAY}
    file_id = drop(paths, "late")
    touched(connection, paths)
    assert carried(connection, after) == {}
    follow.mark_processed(connection, "digest", [DAY])
    ledger.set_status(paths, [file_id], "withdrawn", ["a test"])
    touched(connection, paths)
    assert carried(connection, after) == {}


def test_history_is_known_since_the_first_of_its_days(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths
) -> None:
    follow.mark_processed(connection, "digest", [DAY])
    drop(paths, "history")
    [file] = ledger.files(paths)
    ledger.commit(paths, [file.model_copy(update={"delivered_on": None})])
    touched(connection, paths)
    assert carried(connection, DAY + timedelta(days=1)) == {}


def test_rows_of_other_dates_go_once_the_build_is_whole(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create schema intermediate")
    connection.execute("create table intermediate.int_devices_stitched (as_of_date date)")
    connection.execute(
        "insert into intermediate.int_devices_stitched values (?), (?), (date '9999-12-31')",
        [DAY, DAY + timedelta(days=1)],
    )
    follow.mark_processed(connection, "digest", [DAY])
    found = connection.execute("select as_of_date::varchar from intermediate.int_devices_stitched order by 1")
    assert found.fetchall() == [(str(DAY),), ("9999-12-31",)]
