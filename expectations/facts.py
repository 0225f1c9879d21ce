"""What the borders share in laying out facts: their one-row header, and rows from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import duckdb

from landing import contracts

OTHER_IDENTIFYING_WORDS = (
    "address",
    "birth_date",
    "date_of_birth",
    "first_name",
    "ip_address",
    "last_name",
    "mobile",
    "postcode",
)
"""What identifies a person beside what the contracts call identifying."""


def create_header(
    connection: duckdb.DuckDBPyConnection, thresholds: Mapping[str, float], **days: date | None
) -> None:
    """Create the one-row table ``border``: what the queries of a suite need to know."""
    types = dict.fromkeys(days, "date")
    types |= {name: "double" if isinstance(value, float) else "integer" for name, value in thresholds.items()}
    columns = ", ".join(f'"{name}" {type_}' for name, type_ in types.items())
    connection.execute(f"create temp table border ({columns})")
    insert_rows(connection, "border", [(*days.values(), *thresholds.values())])


def insert_rows(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[object, ...]]
) -> None:
    """Insert rows in one statement, by column: executemany takes its time for each row."""
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        places = ", ".join(["unnest(?)"] * len(columns))
        connection.execute(f'insert into "{table}" select {places}', columns)


def write_identifying_words(connection: duckdb.DuckDBPyConnection) -> None:
    """Create ``identifying_word``: names that no column beyond landing may bear."""
    named = {
        name
        for contract in contracts.load().values()
        for name, column in contract.columns.items()
        if column.identifies
    }
    connection.execute("create temp table identifying_word (word varchar)")
    insert_rows(
        connection, "identifying_word", [(word,) for word in sorted({*named, *OTHER_IDENTIFYING_WORDS})]
    )
