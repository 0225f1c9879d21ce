"""Empty typed Parquet per contract, so that a table that never arrived is an empty table."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from landing import contracts
from settings import ShopPaths


def path(paths: ShopPaths, table: str) -> Path:
    """Say where a table's empty Parquet lies."""
    return paths.landing / table / "empty.parquet"


def write(paths: ShopPaths) -> None:
    """Write the empty Parquet of every contract, always: a contract may have changed."""
    with duckdb.connect() as connection:
        for table, contract in contracts.load().items():
            target = path(paths, table)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            aside = target.with_suffix(f".{os.getpid()}.tmp")
            columns = ", ".join(f'"{name}" {type_}' for name, type_ in contract.landed_columns.items())
            connection.execute(f'create or replace temp table "{table}" ({columns})')
            connection.table(f"temp.{table}").write_parquet(str(aside))
            aside.replace(target)
