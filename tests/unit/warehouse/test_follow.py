"""Following the ledger: what counts as touched, and when it is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest

from landing import ledger
from settings import ShopPaths
from tests.dbt import landed
from warehouse import follow, ops

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
    follow.mark_processed(connection, "digest")
    assert touched(connection, paths) == []
    assert connection.execute("select * from ops.touched_day").fetchall() == []
    assert follow.last_models_digest(connection) == "digest"


def test_withdrawn_and_decided_again_files_are_touched(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths
) -> None:
    withdrawn, replayed, quiet = drop(paths, "a"), drop(paths, "b"), drop(paths, "c")
    touched(connection, paths)
    follow.mark_processed(connection, "digest")
    ledger.set_status(paths, [withdrawn], "withdrawn", ["a test"])
    ledger.set_status(paths, [replayed], "accepted", ["a test"])
    assert touched(connection, paths) == sorted([(withdrawn, False), (replayed, True)])
    assert quiet != withdrawn


def test_what_arrives_during_a_build_waits_for_the_next(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths
) -> None:
    drop(paths, "a")
    touched(connection, paths)
    late = drop(paths, "b")
    follow.mark_processed(connection, "digest")
    assert touched(connection, paths) == [(late, True)]


def test_held_files_are_not_read(connection: duckdb.DuckDBPyConnection, paths: ShopPaths) -> None:
    ledger.set_status(paths, [drop(paths, "a")], "held", ["a test"])
    assert touched(connection, paths) == []
    assert connection.execute("select status, reasons from ops.landing_ledger").fetchall() == [
        ("held", ["a test"])
    ]
