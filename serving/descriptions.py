"""What tables and columns mean, as comments in a version: as the files say it that declare them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

import settings
from serving.tables import BI_TABLES, quoted
from warehouse import ops

if TYPE_CHECKING:
    import duckdb

FILE = settings.ROOT / "dbt_project" / "models" / "marts" / "bi" / "_bi.yml"


def write(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    """Comment on every table of an attached version, and on its columns."""
    described = {model["name"]: model for model in yaml.safe_load(FILE.read_text(encoding="utf-8"))["models"]}
    for table in BI_TABLES:
        model, name = described[table.name], f"{database}.bi.{quoted(table.name)}"
        connection.execute(f"comment on table {name} is {_literal(model['description'])}")
        told = {column["name"]: column["description"] for column in model["columns"]}
        for column, *_ in connection.execute(f"describe {name}").fetchall():
            if column in told:
                connection.execute(f"comment on column {name}.{quoted(column)} is {_literal(told[column])}")


def write_operations(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    """Comment on the tables of ``ops`` in an attached version, and on their columns."""
    said = ops.described()
    for table, column in connection.execute(
        "select table_name, column_name from duckdb_columns() "
        "where database_name = ? and schema_name = 'ops'",
        [database],
    ).fetchall():
        of_table, of_columns = said[table]
        name = f"{database}.ops.{quoted(table)}"
        connection.execute(f"comment on table {name} is {_literal(of_table)}")
        connection.execute(f"comment on column {name}.{quoted(column)} is {_literal(of_columns[column])}")


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
