"""Answer one SQL query from the published version, and start fast.

The connection is read-only on the resolved path of one version, sees no other file and
cannot be reconfigured; so a query never blocks a publish and never sees half of one.
"""

from __future__ import annotations

import csv
import json
import math
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import TextIO

import duckdb

from cli import ShoalError, UsageError
from serving.versions import DATABASE, current_folder, find
from settings import ShopPaths

FORMATS = ("table", "csv", "json")
FORMULA = tuple("=+-@＝＋－＠\t\r\n")
"""What makes a spreadsheet read a cell as a formula; some read the wide signs of Chinese input alike."""

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@contextmanager
def connect(
    paths: ShopPaths, version: str | None = None, database: str = DATABASE
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the version in force, read-only and locked down; ``bi`` is the default schema.

    Who asks more than once and wants one answer names the version; ``database`` is one of its files.

    Raises
    ------
    ShoalError
        When nothing has been published, or the version is gone.
    """
    connection = _open(paths, database) if version is None else _open_version(paths, version, database)
    try:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set search_path = 'bi'")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _open(paths: ShopPaths, database: str) -> duckdb.DuckDBPyConnection:
    # A version can be pruned between reading the link and opening the file, but only after
    # seven newer ones came: read the link again.
    for _ in range(3):
        if (folder := current_folder(paths)) is None:
            break
        if (folder / database).exists():
            return duckdb.connect(str(folder / database), read_only=True)
    raise ShoalError(
        f"nothing has been published for shop {paths.shop}: run python -m serving publish --shop {paths.shop}"
    )


def _open_version(paths: ShopPaths, version: str, database: str) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(find(paths, version).folder / database), read_only=True)


def answer(paths: ShopPaths, sql: str, form: str = "table", out: TextIO | None = None) -> int:
    """Print a query's rows as a table, RFC 4180 CSV or JSON; return how many there were.

    In CSV, text that a spreadsheet would run begins with an apostrophe.

    Raises
    ------
    UsageError
        When the query is empty, or DuckDB rejects it, its message in one line; in JSON also when columns
        share a name.
    """
    with connect(paths) as connection:
        try:
            cursor = connection.execute(sql)
            if cursor is None:  # of no statement, whatever DuckDB's types say
                raise UsageError('the query is empty: ask such as "select * from segment_profile_daily"')
            columns = [column[0] for column in cursor.description or []]
            rows = cursor.fetchall()
        except duckdb.Error as error:
            raise UsageError(f"query failed: {' '.join(str(error).split())}") from None
    write(columns, rows, form, out)
    return len(rows)


def write(
    columns: list[str], rows: list[tuple[object, ...]], form: str = "table", out: TextIO | None = None
) -> None:
    """Print rows as a table, RFC 4180 CSV or JSON."""
    _WRITERS[form](columns, rows, out or sys.stdout)


def _write_csv(columns: list[str], rows: list[tuple[object, ...]], out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(map(defused, columns))
    writer.writerows(map(defused, row) for row in rows)


def defused(value: object) -> object:
    """Put an apostrophe before text that a spreadsheet would run as a formula; numbers stay numbers.

    Examples
    --------
    >>> [defused(value) for value in ("=1+1", "-5", -5, "- none", None)]
    ["'=1+1", '-5', -5, "'- none", None]
    """
    if value is None or isinstance(value, (bool, int, float, Decimal)):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) and not NUMBER.fullmatch(text) else text


def _write_json(columns: list[str], rows: list[tuple[object, ...]], out: TextIO) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise UsageError(
            f"a JSON record holds one value of a name, and several columns are called {', '.join(twice)}: "
            'tell them apart, such as "a.users as users_before"'
        )
    records = [dict(zip(columns, map(_json_value, row), strict=True)) for row in rows]
    json.dump(records, out, ensure_ascii=False, indent=1, default=str)
    out.write("\n")


def _json_value(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)  # exact to 15 digits: cents up to ten trillion
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _write_table(columns: list[str], rows: list[tuple[object, ...]], out: TextIO) -> None:
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(_width(text) for text in column) for column in zip(columns, *cells, strict=True)]
    is_number = [
        all(isinstance(row[i], (int, float, Decimal)) or row[i] is None for row in rows) and bool(rows)
        for i in range(len(columns))
    ]
    for line in (columns, ["─" * width for width in widths], *cells):
        padded = [
            _pad(text, width, right) for text, width, right in zip(line, widths, is_number, strict=True)
        ]
        out.write("  ".join(padded).rstrip() + "\n")
    out.write(f"({len(rows):,} {'row' if len(rows) == 1 else 'rows'})\n")


def _cell(value: object) -> str:
    if value is None:
        return "∅"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.2f}"
    return " ".join(str(value).split())


def _width(text: str) -> int:
    # A Chinese character fills two columns of a terminal.
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _pad(text: str, width: int, right: bool) -> str:
    blank = " " * (width - _width(text))
    return blank + text if right else text + blank


_WRITERS = {"table": _write_table, "csv": _write_csv, "json": _write_json}


def print_rows(columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    """Print rows as ``query`` does."""
    _write_table(list(columns), list(rows), sys.stdout)
