"""What was said about a day, kept for good: ``history/bi/<as_of_date>/<table>.parquet``.

One folder per as_of_date, written aside and named in one rename, so all its tables were
said together. Nothing here is ever rewritten: a later computation that differs is reported
and left out, until a restatement, which keeps both.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from serving.content import column_names, content_hash
from serving.tables import FACT_TABLES, quoted
from serving.versions import sync_folder, write_whole
from settings import ShopPaths

if TYPE_CHECKING:
    import duckdb

HASHES = "content_hashes.json"
"""A day never changes, so it is hashed once."""

DEFINITIONS = "dim_segment"
"""The segments as defined on that day; all days together rebuild the intervals of dim_segment."""


def folder(paths: ShopPaths, as_of: date) -> Path:
    """Return the folder that holds, or will hold, what was said about a day."""
    return paths.history / "bi" / as_of.isoformat()


def days(paths: ShopPaths) -> list[date]:
    """Return the as_of_dates that have been published, oldest first."""
    return sorted(date.fromisoformat(found.name) for found in (paths.history / "bi").glob("[0-9]*"))


def files(paths: ShopPaths, table: str, wanted: list[date]) -> list[str]:
    """Return a table's files of some days; a day published before the table existed has none."""
    candidates = (folder(paths, day) / f"{table}.parquet" for day in wanted)
    return [str(path) for path in candidates if path.exists()]


def keep(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, database: str, as_of: date) -> None:
    """Write a day's facts, all tables in one commit, unless that day has been published before."""
    final = folder(paths, as_of)
    if final.exists():
        return
    final.parent.mkdir(parents=True, exist_ok=True)
    part = final.with_name(f".{final.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for table in FACT_TABLES:
        query = f"select * from {database}.bi.{quoted(table.name)} where as_of_date = ? order by all"  # noqa: S608
        _write(connection, query, [as_of], part / f"{table.name}.parquet")
    write_whole(part / HASHES, json.dumps(_hashes(connection, part)))
    query = f"""
        select ?::date as as_of_date, * from {database}.bi.dim_segment
        where valid_from <= ? and (valid_to is null or ? < valid_to) order by all
    """  # noqa: S608
    _write(connection, query, [as_of] * 3, part / f"{DEFINITIONS}.parquet")
    part.rename(final)
    sync_folder(final.parent)


def hashes(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date) -> dict[str, str]:
    """Return the content hash of each of a published day's tables, as noted when they were written."""
    try:
        return dict(json.loads((folder(paths, as_of) / HASHES).read_text()))
    except FileNotFoundError:
        return _hashes(connection, folder(paths, as_of))


def _hashes(connection: duckdb.DuckDBPyConnection, day: Path) -> dict[str, str]:
    tables = [table.name for table in FACT_TABLES if (day / f"{table.name}.parquet").exists()]
    return {
        table: content_hash(connection, "read_parquet(?)", parameters=[str(day / f"{table}.parquet")])
        for table in tables
    }


def _write(connection: duckdb.DuckDBPyConnection, query: str, values: list[object], path: Path) -> None:
    connection.execute(f"copy ({query}) to '{_literal(path)}' (format parquet, compression zstd)", values)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.chmod(0o444)


def _literal(path: Path) -> str:
    # COPY takes no parameter for its target.
    return str(path).replace("'", "''")


def differences(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, warehouse: str, as_of: date
) -> list[str]:
    """Say which tables of a published day would be different if they were computed now.

    Compares the rows that dbt computed (its intermediate models, or where a warehouse has none, the
    table itself) with those that were published, in the columns that both have.
    """
    changed = []
    for table in FACT_TABLES:
        source = _computed(connection, warehouse, table.name, table.computed_by)
        for published in files(paths, table.name, [as_of]):
            now = column_names(connection, source)
            then = column_names(connection, "read_parquet(?)", [published])
            shared = [name for name in now if name in then]
            said = content_hash(connection, "read_parquet(?)", "as_of_date = ?", [published, as_of], shared)
            if content_hash(connection, source, "as_of_date = ?", [as_of], shared) != said:
                changed.append(table.name)
    return changed


def _computed(connection: duckdb.DuckDBPyConnection, warehouse: str, table: str, model: str | None) -> str:
    row = connection.execute(
        "select table_schema from information_schema.tables where table_catalog = ? and table_name = ?",
        [warehouse, model],
    ).fetchone()
    if row and model:
        return f"{warehouse}.{quoted(row[0])}.{quoted(model)}"
    return f"{warehouse}.bi.{quoted(table)}"
