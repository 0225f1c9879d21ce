"""What tables and columns mean, as comments in a version: as the files say it that declare them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

import settings
from serving.tables import quoted
from warehouse import ops

if TYPE_CHECKING:
    import duckdb

FILE = settings.ROOT / "dbt_project" / "models" / "marts" / "bi" / "_bi.yml"


def write(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    """Comment on every table of an attached version, and on its columns."""
    held: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in connection.execute(
        "select schema_name, table_name, column_name from duckdb_columns() where database_name = ?",
        [database],
    ).fetchall():
        held.setdefault((schema, table), []).append(column)
    said = {"bi": _of_bi(), "ops": ops.described()}
    for (schema, table), columns in held.items():
        of_table, of_columns = said[schema][table]
        name = f"{database}.{schema}.{quoted(table)}"
        connection.execute(f"comment on table {name} is {_literal(of_table)}")
        for column in columns:
            if column in of_columns:
                of_column = _literal(of_columns[column])
                connection.execute(f"comment on column {name}.{quoted(column)} is {of_column}")


def _of_bi() -> ops.Described:
    return ops.descriptions(yaml.safe_load(FILE.read_text(encoding="utf-8"))["models"])


def read(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[str | None, dict[str, str]]:
    """Return what the version in force says of a table of ``bi``, and of each of its columns."""
    rows = connection.execute(
        "select null, comment from duckdb_tables() where schema_name = 'bi' and table_name = $table "
        "union all select column_name, comment from duckdb_columns() "
        "where schema_name = 'bi' and table_name = $table",
        {"table": table},
    ).fetchall()
    told = {column: said for column, said in rows if said}
    return told.pop(None, None), told


def _literal(text: str) -> str:
    """Return a text as SQL says it; a comment takes no parameter."""
    return "'" + text.strip().replace("'", "''") + "'"
