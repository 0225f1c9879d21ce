"""Reads files of one kind into one table of text, without judging what the text means.

After :func:`read` the connection holds

``numbered``
    a view with one row per source row: ``file_index``, ``row_number``, ``c0``, ``c1`` … as text
``broken``
    source rows that have no columns to speak of: ``file_index``, ``row_number``, ``reason``,
    ``raw`` (what stood there, as JSON), ``is_duplicate``

:func:`name_columns` then shows such rows under the columns that a mapping reads.

The straight way is DuckDB's own reader over many files at once. A csv with ragged lines,
another encoding than UTF-8, or a workbook takes the slow way: Python takes it apart, sets
the broken rows aside and hands a clean, numbered csv back to DuckDB.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import IO
from zipfile import BadZipFile

import duckdb

from landing.shops import CsvFormat, Format

MAX_ROW_CHARACTERS = 1_000_000
"""Half of what DuckDB's reader takes in one line; a longer row is quarantined, not read."""

Fields = list[str]
Row = tuple[int, Fields | None, str | None]
"""Row number, then its fields, or the reason why it has none that can be used."""


FAULTS = (duckdb.Error, OSError, EOFError, UnicodeError, ValueError, KeyError, csv.Error, zlib.error, BadZipFile)
"""What readers raise over torn or foreign files."""


class UnreadableError(Exception):
    """A file cannot be taken apart at all; the message never quotes its content."""


@dataclass(frozen=True)
class Bundle:
    """Files that are read in one go: same format, same header, same dialect."""

    paths: tuple[Path, ...]
    format: Format
    header: tuple[str, ...]
    csv: CsvFormat
    scratch: Path


def header(path: Path, format_: Format, dialect: CsvFormat, connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Return the column names of a file; of jsonl, whose lines name their own, none."""
    if format_ == "jsonl":
        return ()
    if format_ == "parquet":
        return _parquet_header(path, connection)
    try:
        with _rows(path, format_, dialect) as rows:
            names = next(rows, None)
    except FAULTS as error:
        raise UnreadableError(f"cannot be read as {format_}: torn, or not what its name says") from error
    if not names:
        raise UnreadableError("the file is empty: not even a header was found")
    if any(_has_undecoded(name) for name in names):
        raise UnreadableError(f"its header is not {dialect.encoding}: state `csv: {{encoding: …}}` in the shop's file")
    stripped = tuple(name.strip() for name in names)
    if repeated := sorted({name for name in stripped if stripped.count(name) > 1}):
        raise UnreadableError(f"columns {repeated} stand twice in the header: rename one of each")
    return stripped


def _parquet_header(path: Path, connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    try:
        described = connection.execute("describe select * from read_parquet($path)", {"path": str(path)}).fetchall()
    except duckdb.Error as error:
        raise UnreadableError("not a whole Parquet file: its footer cannot be read") from error
    return tuple(f"{name}" for name, *_ in described)


def read(connection: duckdb.DuckDBPyConnection, bundle: Bundle) -> None:
    """Fill ``numbered`` and ``broken`` from a bundle.

    Raises
    ------
    UnreadableError
        When some file of the bundle cannot be read as what its name says.
    """
    connection.execute(
        "create or replace temp table broken "
        "(file_index bigint, row_number bigint, reason varchar, raw varchar, is_duplicate boolean)"
    )
    try:
        if bundle.format == "parquet":
            _read_parquet(connection, bundle)
        else:
            _read_text(connection, bundle)
    except FAULTS as error:
        raise UnreadableError(f"cannot be read as {bundle.format}: torn, or not what its name says") from error


def _read_parquet(connection: duckdb.DuckDBPyConnection, bundle: Bundle) -> None:
    paths = {"paths": [str(path) for path in bundle.paths]}
    described = connection.execute("describe select * from read_parquet($paths)", paths).fetchall()
    names = [f"c{index}" for index in range(len(described))]
    texts = [_parquet_text(name, type_) for name, (_, type_, *_) in zip(names, described, strict=True)]
    connection.execute("drop view if exists numbered")
    connection.execute(
        "\n".join(
            [
                "create or replace temp table raw as",
                f"select file_index::bigint as file_index, file_row_number + 1 as row_number, {', '.join(texts)}",
                f"from read_parquet($paths) as source({', '.join(names)})",
            ]
        ),
        paths,
    )
    connection.execute("create temp view numbered as from raw")


def _parquet_text(name: str, type_: str) -> str:
    # pandas writes a missing number as NaN.
    value = f"case when not isnan({name}) then {name} end" if type_ in ("DOUBLE", "FLOAT") else name
    return f"cast({value} as varchar) as {name}"


def _read_text(connection: duckdb.DuckDBPyConnection, bundle: Bundle) -> None:
    names = [f"c{index}" for index in range(width(bundle))]
    connection.execute("drop view if exists numbered")
    if bundle.csv.encoding == "utf-8" and bundle.format != "xlsx":
        slow = _read_fast(connection, bundle, names)
    else:
        columns = ", ".join(f"{name} varchar" for name in names)
        connection.execute(f"create or replace temp table raw (file_index bigint, stated bigint, {columns})")
        slow = set(range(len(bundle.paths)))
    # Rows keep the order of the files and of their lines, so rowid counts them.
    connection.execute(
        "create or replace temp table file_start as "
        "select file_index, min(rowid) as first_row from raw where stated is null group by file_index"
    )
    for file_index in sorted(slow):
        _read_slowly(connection, bundle, names, file_index)
    connection.execute(
        "\n".join(
            [
                "create temp view numbered as select raw.file_index,",
                f"coalesce(raw.stated, raw.rowid - file_start.first_row + 1) as row_number, {', '.join(names)}",
                "from raw left join file_start on file_start.file_index = raw.file_index",
                "where c0 is not null" if bundle.format == "jsonl" else "",
            ]
        )
    )


def width(bundle: Bundle) -> int:
    """Return the number of columns: a jsonl line is one."""
    return 1 if bundle.format == "jsonl" else len(bundle.header)


def _read_fast(connection: duckdb.DuckDBPyConnection, bundle: Bundle, names: Sequence[str]) -> set[int]:
    """Read all files with DuckDB; return those with lines that it could not take, none of their rows kept."""
    connection.execute("drop table if exists rejected")
    connection.execute("drop table if exists rejected_scan")
    is_csv = bundle.format == "csv"
    paths = [str(path) for path in bundle.paths]
    connection.execute(
        "\n".join(
            [
                "create or replace temp table raw as",
                f"select file_index::bigint as file_index, null::bigint as stated, {', '.join(names)}",
                "from read_csv($paths, auto_detect = false, columns = $columns, header = $is_csv,",
                "    delim = $delimiter, quote = $quote, escape = $quote, strict_mode = $is_csv,",
                "    store_rejects = true, rejects_table = 'rejected', rejects_scan = 'rejected_scan')",
            ]
        ),
        {
            "paths": paths,
            "columns": {name: "VARCHAR" for name in names},
            # A jsonl line is one field: JSON itself forbids a bare control character.
            "delimiter": bundle.csv.delimiter if is_csv else "\x01",
            "quote": bundle.csv.quote if is_csv else "",
            "is_csv": is_csv,
        },
    )
    rejected = connection.execute(
        "select distinct file_path from rejected join rejected_scan using (scan_id, file_id)"
    ).fetchall()
    slow = {paths.index(path) for (path,) in rejected}
    if slow:
        connection.execute("delete from raw where list_contains($slow, file_index)", {"slow": sorted(slow)})
    return slow


def _read_slowly(
    connection: duckdb.DuckDBPyConnection, bundle: Bundle, names: Sequence[str], file_index: int
) -> None:
    clean = bundle.scratch / "clean.csv"
    broken = list(_write_clean(clean, numbered_rows(bundle.paths[file_index], bundle), file_index))
    parameters = {
        "path": str(clean),
        "columns": {name: "VARCHAR" for name in ("stated", *names)},
        "file_index": file_index,
    }
    connection.execute(
        "\n".join(
            [
                "insert into raw",
                f"select $file_index, stated::bigint, {', '.join(names)}",
                "from read_csv($path, auto_detect = false, columns = $columns, header = false,",
                "    delim = ',', quote = '\"', escape = '\"')",
            ]
        ),
        parameters,
    )
    clean.unlink()
    if broken:
        connection.executemany("insert into broken values (?, ?, ?, ?, ?)", broken)


def _write_clean(clean: Path, rows: Iterable[Row], file_index: int) -> Iterator[tuple[int, int, str, str, bool]]:
    seen: set[str] = set()
    with clean.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
        for row_number, fields, reason in rows:
            if reason is None and fields is not None:
                writer.writerow([row_number, *fields])
                continue
            text = json.dumps(fields)
            yield file_index, row_number, reason or "broken_row", text, text in seen
            seen.add(text)


def numbered_rows(path: Path, bundle: Bundle) -> Iterator[Row]:
    """Yield the rows of a text file or workbook, numbered from 1, each with its fault if it has one."""
    csv.field_size_limit(1 << 30)
    with _rows(path, bundle.format, bundle.csv) as rows:
        if bundle.format != "jsonl":
            next(rows, None)
        for row_number, fields in enumerate(rows, start=1):
            yield row_number, fields, _fault(fields, width(bundle))


def _fault(fields: Fields, width: int) -> str | None:
    if len(fields) != width:
        return "ragged_row"
    if sum(map(len, fields)) > MAX_ROW_CHARACTERS:
        return "oversized_row"
    if any(map(_has_undecoded, fields)):
        return "unreadable_characters"
    return None


def _has_undecoded(text: str) -> bool:
    # Undecodable bytes come as lone surrogates; plain ASCII, nearly every field, is passed over quickly.
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


@contextmanager
def _rows(path: Path, format_: Format, dialect: CsvFormat) -> Iterator[Iterator[Fields]]:
    """Open a file as rows of text, header first; blank lines are no rows."""
    if format_ == "xlsx":
        from openpyxl import load_workbook  # slow to import, and most shops send none

        workbook = load_workbook(path, read_only=True, data_only=True)
        try:
            yield (
                [_cell_text(value) for value in values]
                for values in workbook.worksheets[0].iter_rows(values_only=True)
                if any(value is not None for value in values)
            )
        finally:
            workbook.close()
        return
    with _text(path, dialect.encoding) as file:
        if format_ == "jsonl":
            yield ([line.rstrip("\r\n")] for line in file if line.strip())
        else:
            reader = csv.reader(file, delimiter=dialect.delimiter, quotechar=dialect.quote)
            yield (fields for fields in reader if fields)


def _text(path: Path, encoding: str) -> IO[str]:
    file: IO[bytes] = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    name = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(file, encoding=name, errors="surrogateescape", newline="")


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return str(value)


def name_columns(
    connection: duckdb.DuckDBPyConnection, bundle: Bundle, wanted: Iterable[str], table: str
) -> None:
    """Create ``named`` over ``table``: the columns that the mapping reads, under their source names."""
    chosen = ["file_index", "row_number", f"{_row_text(bundle)} as row_text"]
    parameters: dict[str, object] = {}
    names = [name for name in sorted(wanted) if name != "row_number"]
    if bundle.format == "jsonl":
        parameters["pointers"] = [_json_pointer(name) for name in names]
        extracted = ", json_extract_string(c0, $pointers) as found" if names else ""
        chosen += [f"found[{index}] as {quoted(name)}" for index, name in enumerate(names, start=1)]
    else:
        extracted = ""
        place = {name: f"c{index}" for index, name in enumerate(bundle.header)}
        chosen += [f"{place.get(name, 'null::varchar')} as {quoted(name)}" for name in names]
    connection.execute("drop view if exists named")
    rows = f"(select *{extracted} from {table})"
    if bundle.format == "jsonl":
        connection.execute(f"create or replace temp table extracted as from {rows}", parameters)
        rows = "extracted"
    connection.execute(f"create temp view named as select {', '.join(chosen)} from {rows}")


def _row_text(bundle: Bundle) -> str:
    if bundle.format == "jsonl":
        return "c0"
    return f"to_json([{', '.join(f'c{index}' for index in range(len(bundle.header)))}])::varchar"


def _json_pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def quoted(name: str) -> str:
    """Return a name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
