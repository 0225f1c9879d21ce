"""The tables `ops.*` of the working warehouse: declared in dbt as a source, created and filled here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

import journal
from settings import ROOT, ShopPaths

Record = dict[str, Any]
Described = dict[str, tuple[str, dict[str, str]]]
"""What tables mean, and their columns."""

DECLARATION = ROOT / "dbt_project" / "models" / "staging" / "_sources_ops.yml"
PUBLISHED = Path(__file__).with_name("ops_tables.yml")


@cache
def columns() -> dict[str, dict[str, str]]:
    """Return the declared columns of every table: table → column → DuckDB type."""
    return {
        table["name"]: {column["name"]: column["data_type"] for column in table["columns"]}
        for table in _declared_tables()
    }


@cache
def journals() -> tuple[str, ...]:
    """Return the tables that mirror a journal, ``ops/<table>.jsonl``."""
    return tuple(
        table["name"]
        for table in _declared_tables()
        if table.get("config", {}).get("meta", {}).get("is_journal", False)
    )


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what is missing, empty."""
    connection.execute("create schema if not exists ops")
    for table, types in columns().items():
        connection.execute(f"create table if not exists ops.{table} ({_definition(types)})")


def replace(connection: duckdb.DuckDBPyConnection, table: str, records: Iterable[Record]) -> None:
    """Replace a table's rows; what a record lacks is null, what is not declared is left out."""
    types = columns()[table]
    rows = [{name: _plain(record.get(name)) for name in types} for record in records]
    fields = [
        (name, pa.list_(pa.string()) if type_.endswith("[]") else pa.string())
        for name, type_ in types.items()
    ]
    connection.register("incoming_rows", pa.Table.from_pylist(rows, schema=pa.schema(fields)))
    casts = ", ".join(f'cast("{name}" as {type_})' for name, type_ in types.items())
    connection.execute(f"create or replace table ops.{table} ({_definition(types)})")
    # Names and types are the declared ones, never input.
    connection.execute(f"insert into ops.{table} select {casts} from incoming_rows")  # noqa: S608
    connection.unregister("incoming_rows")


def load_journals(connection: duckdb.DuckDBPyConnection, paths: ShopPaths) -> None:
    """Load what others wrote into ``ops/*.jsonl``, as far as the models read it."""
    for table in journals():
        replace(connection, table, journal.read(paths.ops / f"{table}.jsonl"))


def described() -> Described:
    """Return what the tables of ``ops`` mean, also those that only a version has, and their columns."""
    published = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    only_there = {name: (table["description"], table["columns"]) for name, table in published.items()}
    return descriptions(_declared_tables()) | only_there


def descriptions(declared: Iterable[Mapping[str, Any]]) -> Described:
    """Return what tables mean, and their columns, as dbt's files declare them."""
    return {
        table["name"]: (
            table["description"],
            {column["name"]: column["description"] for column in table.get("columns", [])},
        )
        for table in declared
    }


def _declared_tables() -> list[dict[str, Any]]:
    declared = yaml.safe_load(DECLARATION.read_text(encoding="utf-8"))
    return list(declared["sources"][0]["tables"])


def _definition(types: dict[str, str]) -> str:
    return ", ".join(f'"{name}" {type_}' for name, type_ in types.items())


def _plain(value: object) -> object:
    """Turn a value into text that DuckDB casts back; lists stay lists of text."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
