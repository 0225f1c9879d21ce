"""What the border ``ml_inputs`` judges by: the snapshot's files, its manifest, and one pass per column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb

from expectations.facts import create_header, insert_rows, write_identifying_words
from landing import shops
from settings import ShopPaths
from warehouse.snapshot import Snapshot, files

FEATURES, SEQUENCES, LABELS = "fct_user_features", "fct_user_sequences", "fct_user_labels"
TABLES = (FEATURES, SEQUENCES, LABELS)

THRESHOLDS = {
    # The longest sequence that dbt builds (its variable sequence_length) and BERT reads.
    "max_sequence_length": 64,
    "max_hour_of_week": 167,
    # Below, a model learns noise and the simple score serves.
    "min_positives": 100,
    # A column that half vanished changes what a model means by it.
    "max_missing_shift": 0.25,
    # Missing shares of a handful of users jump by chance.
    "min_users_for_shares": 50,
    # What lies further back says little about a sudden change.
    "max_previous_age_days": 7,
}


def prepare(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, snapshot: Snapshot) -> None:
    """Lay out the facts of a snapshot and of the one before it."""
    as_of = date.fromisoformat(snapshot.manifest["as_of_date"])
    previous = _previous(paths, as_of)
    create_header(connection, THRESHOLDS, as_of_date=as_of, previous_as_of_date=previous and previous[0])
    _open_tables(connection, snapshot.folder)
    _write_manifest(connection, snapshot.manifest)
    _write_day_ends(connection, shops.load(paths.shop))
    write_identifying_words(connection)
    _write_columns(connection, FEATURES, is_previous=False)
    if previous:
        connection.execute("set variable previous_features = ?", [str(files(previous[1], FEATURES))])
        connection.execute(
            "create temp view previous_features as select f.* "
            "from read_parquet(getvariable('previous_features')) as f, border as b "
            "where f.as_of_date = b.previous_as_of_date"
        )
        _write_columns(connection, "previous_features", is_previous=True)


def _previous(paths: ShopPaths, as_of: date) -> tuple[date, Path] | None:
    """Find the newest earlier snapshot, unless it is too old to tell of a sudden change."""
    oldest = as_of - timedelta(days=THRESHOLDS["max_previous_age_days"])
    found = [
        (day, link.resolve())
        for link in paths.snapshots.glob("latest-*")
        if oldest <= (day := date.fromisoformat(link.name.removeprefix("latest-"))) < as_of
    ]
    return max(found, default=None)


def _open_tables(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    connection.execute("create temp table table_fact (table_name varchar, row_count bigint)")
    connection.execute("create temp table column_name (table_name varchar, column_name varchar)")
    for table in TABLES:
        connection.execute(f'set variable "{table}" = ?', [str(files(folder, table))])
        connection.execute(
            f'create temp view "{table}" as '  # noqa: S608 - names from TABLES
            f"select * from read_parquet(getvariable('{table}'))"
        )
        connection.execute(
            f'insert into table_fact select ?, count(*) from "{table}"',  # noqa: S608 - as above
            [table],
        )
        connection.execute(
            f'insert into column_name select ?, column_name from (describe "{table}")',  # noqa: S608 - as above
            [table],
        )
    rows = " union all ".join(
        f"select '{table}' as table_name, as_of_date, user_key from \"{table}\""  # noqa: S608 - as above
        for table in TABLES
    )
    connection.execute(f"create temp view user_row as {rows}")


def _write_manifest(connection: duckdb.DuckDBPyConnection, manifest: Mapping[str, Any]) -> None:
    connection.execute("create temp table cut (cut varchar, cut_date date)")
    connection.execute("create temp table manifest_table (table_name varchar, row_count bigint)")
    insert_rows(connection, "cut", [(cut, day) for cut, day in manifest["cuts"].items() if day])
    insert_rows(
        connection, "manifest_table", [(table, manifest["tables"][table]["rows"]) for table in TABLES]
    )


def _write_day_ends(connection: duckdb.DuckDBPyConnection, shop: shops.Shop) -> None:
    """Say in UTC when each as_of_date ends in the shop's time zone: the next one's first instant."""
    connection.execute("create temp table day_end (as_of_date date, ends_at timestamp)")
    days = [day for (day,) in connection.execute("select distinct as_of_date from user_row").fetchall()]
    insert_rows(connection, "day_end", [(day, _end_of(day, shop)) for day in days])


def _end_of(day: date, shop: shops.Shop) -> datetime:
    midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=shop.zone)
    return midnight.astimezone(UTC).replace(tzinfo=None)


def _write_columns(connection: duckdb.DuckDBPyConnection, relation: str, is_previous: bool) -> None:
    """Measure every column of the features: rows, missing share, and range where it has numbers."""
    connection.execute(
        "create temp table if not exists column_fact (is_previous boolean, column_name varchar, "
        "as_of_date date, row_count bigint, missing_share double, low double, high double)"
    )
    for column, kind in _columns(connection, relation):
        low, high = (
            (f'min("{column}")::double', f'max("{column}")::double') if _is_number(kind) else ("null", "null")
        )
        connection.execute(
            "insert into column_fact select ?, ?, as_of_date, count(*), "  # noqa: S608 - columns as described
            f'avg(("{column}" is null)::int), {low}, {high} from "{relation}" group by as_of_date',
            [is_previous, column],
        )


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> Sequence[tuple[str, str]]:
    described = connection.execute(f'describe "{relation}"').fetchall()
    return [(name, kind) for name, kind, *_ in described if name not in ("user_key", "as_of_date")]


def _is_number(kind: str) -> bool:
    return kind.startswith(
        ("DECIMAL", "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT")
    )
