from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from cli import ShoalError
from settings import ShopPaths
from warehouse import snapshot
from warehouse.horizon import Split


def content(connection: duckdb.DuckDBPyConnection, rows: str) -> dict:
    connection.execute(
        f"create or replace table t as select * from (values {rows}) as r (as_of_date, user_key)"
    )
    return snapshot.content_hash(connection, "t")


def test_content_hash_ignores_order_and_sees_every_change() -> None:
    with duckdb.connect() as connection:
        one = content(connection, "(1, 'a'), (2, 'b')")
        assert one == content(connection, "(2, 'b'), (1, 'a')")
        for other in (
            "(1, 'b'), (2, 'a')",
            "(1, 'a')",
            "(1, 'a'), (2, 'b'), (2, 'b')",
            "('1', 'a'), ('2', 'b')",
        ):
            assert one != content(connection, other)


def test_content_hash_of_nothing_is_that_of_its_columns() -> None:
    with duckdb.connect() as connection:
        connection.execute("create table t (as_of_date date, user_key varchar)")
        assert snapshot.content_hash(connection, "t")["rows"] == 0


def test_missing_snapshot_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    with pytest.raises(ShoalError, match="python -m warehouse build core --shop world --as-of 2026-04-30"):
        snapshot.read(ShopPaths("world"), date(2026, 4, 30))


def test_users_lie_as_they_acted_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    with duckdb.connect() as connection:
        connection.execute("create schema ml_inputs")
        for table in snapshot.TABLES.values():
            connection.execute(
                f"create table {table} as "
                "select date '2026-04-30' as as_of_date, md5(n::varchar) as user_key, "
                "timestamp '2026-01-01' + to_hours(n * 7919 % 10000) as last_event_at "
                "from range(10000) as r (n)"
            )
        written = snapshot.export(connection, ShopPaths("world"), Split(date(2026, 4, 30)))
    sequences = pq.ParquetFile(written.path("fct_user_sequences"))
    acted = sequences.read()["last_event_at"].to_pylist()
    assert acted == sorted(acted)
    assert sequences.num_row_groups == 3
    keys = pq.read_table(written.path("fct_user_features"))["user_key"].to_pylist()
    assert keys == sorted(keys)
