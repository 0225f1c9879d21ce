from __future__ import annotations

import os
import time
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


def plant(connection: duckdb.DuckDBPyConnection, rows: str) -> None:
    """Give every table of a snapshot the same rows."""
    connection.execute("create schema ml_inputs")
    for table in snapshot.TABLES.values():
        connection.execute(f"create table {table} as {rows}")


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


def test_rows_are_written_as_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    with duckdb.connect() as connection:
        plant(
            connection,
            "select date '2026-04-30' as as_of_date, md5(n::varchar) as user_key, "
            "timestamp '2026-01-01' + to_hours(n * 7919 % 10000) as last_event_at from range(10000) as r (n)",
        )
        written = snapshot.export(connection, ShopPaths("world"), Split(date(2026, 4, 30)))
        laid = [user for (user,) in connection.execute(
            f"select user_key from {snapshot.TABLES['fct_user_sequences']}"
        ).fetchall()]  # fmt: skip
    sequences = pq.ParquetFile(snapshot.file(written.folder, "fct_user_sequences", date(2026, 4, 30)))
    assert sequences.read()["user_key"].to_pylist() == laid != sorted(laid)
    assert sequences.num_row_groups == 3


def test_what_broke_off_leaves_nothing_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at once, a kill with the next build: each would have cost the disk a snapshot, for good."""
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    paths = ShopPaths("world")
    killed = paths.snapshots / ".0123456789abcdef.4711"
    killed.mkdir(parents=True)
    (killed / "fct_user_features.2026-04-30.parquet").write_bytes(b"PAR1")
    (paths.snapshots / ".latest-2026-04-30.4711").symlink_to("0123456789abcdef")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    with duckdb.connect() as connection:
        plant(connection, "select date '2026-04-30' as as_of_date, 'u1' as user_key")
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
            patch.setattr(Path, "write_text", refuse)
            snapshot.export(connection, paths, Split(date(2026, 4, 30)))
        assert list(paths.snapshots.iterdir()) == []
        written = snapshot.export(connection, paths, Split(date(2026, 4, 30)))
    assert {path.name for path in paths.snapshots.iterdir()} == {"latest-2026-04-30", written.folder.name}


def test_replaced_snapshot_is_removed_a_week_later_and_what_a_date_points_at_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two dates the older is built twice, with other rows; a training may still read the first ones."""
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    paths, kept = ShopPaths("world"), snapshot.REPLACED_KEPT_SECONDS

    def export(day: date, users: int) -> Path:
        with duckdb.connect() as connection:
            plant(
                connection, f"select date '{day}' as as_of_date, n as user_key from range({users}) as r (n)"
            )
            return snapshot.export(connection, paths, Split(day)).folder

    def age(folder: Path, seconds: float) -> None:
        os.utime(folder, (time.time() - seconds,) * 2)

    replaced, other = export(date(2026, 4, 29), users=1), export(date(2026, 4, 30), users=1)
    age(replaced, 2 * kept)
    age(other, 2 * kept)
    standing = export(date(2026, 4, 29), users=2)
    export(date(2026, 4, 29), users=2)
    assert replaced.exists(), "it was written two weeks ago, and replaced now"
    age(replaced, kept + 60)
    age(standing, 2 * kept)
    export(date(2026, 5, 1), users=1)
    assert not replaced.exists()
    assert snapshot.read(paths, date(2026, 4, 29)).folder == standing
    assert snapshot.read(paths, date(2026, 4, 30)).folder == other


def test_date_that_is_written_already_is_no_second_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    cut, first, second = (date(2026, 4, day) for day in (1, 29, 30))
    with duckdb.connect() as connection:
        plant(
            connection,
            "select day::date as as_of_date, 'ana' as user_key, timestamp '2026-01-01' as last_event_at, "
            "day::varchar as content_key, [1, 2] as texts "
            "from unnest(['2026-04-01', '2026-04-29', '2026-04-30']) as days (day)",
        )
        one = snapshot.export(connection, ShopPaths("world"), Split(first, 28, None, cut))
        two = snapshot.export(connection, ShopPaths("world"), Split(second, 28, None, cut))
        connection.execute(f"update {snapshot.TABLES['fct_user_labels']} set user_key = 'ben'")
        three = snapshot.export(connection, ShopPaths("world"), Split(second, 28, None, cut))
    parts = [snapshot.file(found.folder, "fct_user_labels", cut) for found in (one, two, three)]
    assert [part.name for part in parts] == ["fct_user_labels.2026-04-01.parquet"] * 3
    assert parts[0].samefile(parts[1]) and not parts[0].samefile(parts[2])
    assert pq.read_table(parts[2])["user_key"].to_pylist() == ["ben"]
    newest = [snapshot.file(found.folder, "fct_user_sequences", second) for found in (two, three)]
    assert newest[0].samefile(newest[1])
    rows = duckdb.execute("select count(*) from read_parquet(?)", [str(three.path("fct_user_labels"))])
    assert rows.fetchall() == [(2,)]
    assert three.manifest["tables"]["fct_user_labels"]["rows"] == 2


def test_date_is_copied_where_files_cannot_have_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(snapshot.os, "link", refuse)
    (tmp_path / "written").write_bytes(b"rows")
    snapshot._link(tmp_path / "written", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == b"rows"


def test_lists_are_told_by_their_key() -> None:
    def told(key: str, texts: str) -> dict:
        with duckdb.connect() as connection:
            connection.execute(f"create table t as select '{key}' as content_key, {texts} as texts")
            return snapshot.content_hash(connection, "t")

    assert told("a", "[1]") == told("a", "[2]") != told("b", "[1]")
