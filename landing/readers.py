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

# ruff: noqa: S608  (identifiers come from contracts and shop files, quoted; every value is a parameter)

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast
from zipfile import BadZipFile

import duckdb

from landing.shops import CsvFormat, Format, quoted

MAX_ROW_CHARACTERS = 1_000_000
"""Half of what DuckDB's reader takes in one line; a longer row is quarantined, not read."""

LINE_STEP = 10_000_000
"""Rows of a line's list are numbered line × this + place: more than a line can hold."""

MAX_ROW_LINES = 10_000
"""Line breaks within one row; beyond it a quote was never closed."""

MAX_COLUMNS = 2_000
"""A wider file is no table of a shop."""

MAX_WORKBOOK_ROWS = 1_048_576
"""What a worksheet holds; a file may name any row, and all before it would be filled up."""

EXACT_WHOLE = 2**53
"""Whole numbers below it are exact as doubles."""

KEPT_CHARACTERS = 1_000
"""What the quarantine keeps of a row that is too long."""

TELLING_LONG = 2
TELLING_SHORT = 6
"""Different characters of three bytes, or of two, with which a text is hardly UTF-8 by chance.

Of the usual Chinese characters in GBK one in six can be read as two bytes of UTF-8, hardly any as three.
"""

STAND_IN = "\ud800"
"""A character that no text can hold, however it was decoded."""

BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}

NESTED_TYPES = ("STRUCT(", "MAP(", "UNION(", "VARIANT")
"""How DuckDB's names of such types begin; those of lists and arrays end in a bracket."""

BROKEN = ("file_index", "row_number", "reason", "raw", "is_duplicate")

BLANKS = " \t\u00a0\u3000\u200b\ufeff"
"""What a value does not begin or end with: blanks of all widths, none too, which nobody sees in an id."""
BLANK_LINES = re.compile(rb"\n[\r\n]*\n")
BLOCK_BYTES = 1 << 18

BATCH_ROWS = 10_000
"""Rows handed from Python to DuckDB at once."""

Fields = list[str]
NumberedRow = tuple[int, int, Sequence[str | None]]
"""Place of its file in the bundle, row number, what stands in its columns."""

Row = tuple[int, Fields, str | None]
"""Row number, what stands there, and the reason why it cannot be used, if there is one."""

FAULTS = (
    duckdb.Error,
    OSError,
    EOFError,
    UnicodeError,
    ValueError,
    KeyError,
    csv.Error,
    zlib.error,
    BadZipFile,
    SyntaxError,  # as which XML that does not parse is told
)
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
    has_nul: bool = False
    each: str | None = None
    """The list in a jsonl line whose elements are the rows."""

    @property
    def is_plain(self) -> bool:
        """Whether DuckDB can read it."""
        return self.format != "xlsx" and self.csv.encoding == "utf-8" and not self.has_nul

    @property
    def has_header(self) -> bool:
        """Whether its first row names the columns."""
        return self.format != "jsonl" and not (self.format == "csv" and self.csv.header)

    @property
    def names(self) -> list[str]:
        """Our own names of its columns, by place; a jsonl line is one column."""
        return [f"c{index}" for index in range(len(self.header) if self.format != "jsonl" else 1)]

    @property
    def fields(self) -> str:
        """The same as a list in SQL."""
        return ", ".join(self.names)


def header(
    path: Path, format_: Format, dialect: CsvFormat, connection: duckdb.DuckDBPyConnection
) -> tuple[str, ...]:
    """Return the column names of a file; of jsonl, whose lines name their own, none.

    Raises
    ------
    UnreadableError
        When there is no header that could be read.
    """
    if format_ == "parquet":
        return _parquet_header(path, connection)
    try:
        if format_ != "xlsx" and _is_utf_8_by_mistake(path, dialect):
            raise UnreadableError(
                f"its text is UTF-8, and {dialect.encoding} is stated: deliver it as stated, or take "
                "`csv: {encoding: …}` out of the shop's file"
            )
        if format_ == "jsonl":
            return ()
        with _rows(path, format_, dialect) as rows:
            names, fault = next(rows, ([], None))
    except FAULTS as error:
        raise UnreadableError(f"cannot be read as {format_}: torn, or not what its name says") from error
    if format_ == "csv" and dialect.header:
        return _stated_header(dialect, names)
    if not names:
        raise UnreadableError("the file is empty: not even a header was found")
    if fault:
        raise UnreadableError("its header has a quote that is not closed, or is far too long")
    if refusal := too_wide(len(names)):
        raise UnreadableError(refusal)
    if any("\0" in name for name in names):
        raise UnreadableError("its header has a NUL character: it is no text")
    if any(map(_has_undecoded, names)):
        raise UnreadableError(
            f"its header is not {dialect.encoding}: state `csv: {{encoding: …}}` in the shop's file"
        )
    stripped = tuple(name.strip() for name in names)
    if len(set(stripped)) < len(stripped):
        raise UnreadableError("a column stands twice in the header: rename one of each")
    return stripped


def _stated_header(dialect: CsvFormat, first_row: Fields) -> tuple[str, ...]:
    """Return the stated names, unless the first row has another width; a file without rows is fine."""
    _cut_empty_surplus(first_row, len(dialect.header))
    if first_row and len(first_row) != len(dialect.header):
        raise UnreadableError(
            f"its first row has {len(first_row)} fields, and csv.header names {len(dialect.header)}: "
            f"check `csv: {{delimiter: …, header: […]}}` in the shop's file"
        )
    return dialect.header


def _parquet_header(path: Path, connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    try:
        described = _described(connection, path)
    except duckdb.Error as error:
        raise UnreadableError("not a whole Parquet file: its footer cannot be read") from error
    if refusal := too_wide(len(described)):
        raise UnreadableError(refusal)
    return tuple(name for name, _ in described)


def parquet_types(path: Path, connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Return the types of a Parquet file's columns.

    Of several files DuckDB takes the first one's for all: the 10.75 of a second file would be 11 where the
    first has whole numbers alone, and '007' would be 7.
    """
    return tuple(type_ for _, type_ in _described(connection, path))


def nested(path: Path, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return the columns of a Parquet file that hold lists or structs, with their types."""
    described = _described(connection, path)
    return {name: type_ for name, type_ in described if type_.endswith("]") or type_.startswith(NESTED_TYPES)}


def old_times(path: Path, connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Return the columns with Parquet's old type of times, INT96, which does not say by which clock.

    Spark writes UTC in it, others the clock that they find.
    """
    query = "select name from parquet_schema($path) where type = 'INT96'"
    return frozenset(name for (name,) in connection.execute(query, {"path": str(path)}).fetchall())


def _described(connection: duckdb.DuckDBPyConnection, path: Path) -> list[tuple[str, str]]:
    """Return names and types of a Parquet file's columns."""
    query = "describe select * from read_parquet($path)"
    return [(name, type_) for name, type_, *_ in connection.execute(query, {"path": str(path)}).fetchall()]


def too_wide(columns: int) -> str | None:
    """Say why a file of so many columns is refused; None where they are few enough."""
    if columns <= MAX_COLUMNS:
        return None
    return f"it has {columns:,} columns, more than {MAX_COLUMNS:,}: deliver those that the shop's file maps"


def encoding(path: Path, dialect: CsvFormat) -> str:
    """Return the encoding of a text: what its byte order mark says, else what is stated."""
    return BYTE_ORDER_MARKS.get(_mark(path), dialect.encoding)


def _is_utf_8_by_mistake(path: Path, dialect: CsvFormat) -> bool:
    """Whether a text can be nothing but UTF-8, and another encoding is stated.

    Some words of GBK are letters of UTF-8 too, such as 女 (Ů), so a few characters decide nothing.
    """
    stated = encoding(path, dialect)
    if codecs.lookup(stated).name.startswith("utf"):
        return False
    decoder = codecs.getincrementaldecoder("utf-8")()
    found: set[str] = set()
    with _bytes(path) as file:
        try:
            while block := file.read(BLOCK_BYTES):
                text = decoder.decode(block)
                found.update(text if not text.isascii() else "")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    long = sum(character >= "\u0800" for character in found)  # three bytes and more
    short = sum("\x80" <= character < "\u0800" for character in found)
    return long >= TELLING_LONG or short >= TELLING_SHORT


def _mark(path: Path) -> bytes:
    """Return a text's byte order mark; nothing where it has none."""
    with _bytes(path) as file:
        beginning = file.read(4)
    return next(filter(beginning.startswith, BYTE_ORDER_MARKS), b"")


def decoded_end(path: Path, dialect: CsvFormat, end: bytes) -> str:
    """Return the last bytes of a text as characters: of UTF-16 its mark tells how to read them."""
    mark = _mark(path)
    text = (mark + end.removeprefix(mark)).decode(BYTE_ORDER_MARKS.get(mark, dialect.encoding), "replace")
    return text.removeprefix("\ufeff")


def read(connection: duckdb.DuckDBPyConnection, bundle: Bundle) -> None:
    """Fill ``numbered`` and ``broken`` from a bundle.

    Raises
    ------
    UnreadableError
        When some file of the bundle cannot be read as what its name says.
    """
    _begin(connection)
    try:
        if bundle.format == "parquet":
            _read_parquet(connection, bundle)
        else:
            _read_text(connection, bundle)
    except duckdb.OutOfMemoryException as error:
        raise UnreadableError("it unpacks to more than may be spent on it: deliver it in parts") from error
    except FAULTS as error:
        raise UnreadableError(
            f"cannot be read as {bundle.format}: torn, or not what its name says"
        ) from error


def read_again(connection: duckdb.DuckDBPyConnection, bundle: Bundle, rows: Iterable[NumberedRow]) -> None:
    """Fill ``numbered`` with rows that were read before, under the numbers that they had."""
    _begin(connection)
    types = {"file_index": "bigint", "row_number": "bigint", **dict.fromkeys(bundle.names, "varchar")}
    columns = ", ".join(f"{name} {type_}" for name, type_ in types.items())
    connection.execute(f"create or replace temp table raw ({columns})")
    _insert(connection, "raw", list(types), ((index, number, *fields) for index, number, fields in rows))
    connection.execute("create temp view numbered as from raw")


def _insert(
    connection: duckdb.DuckDBPyConnection, table: str, names: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Insert rows from Python, batch by batch."""
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH_ROWS)):
        import pyarrow as pa  # slow to import, and few files have broken rows

        columns = zip(names, zip(*batch, strict=True), strict=True)
        connection.register("batch", pa.table({name: list(values) for name, values in columns}))
        connection.execute(f"insert into {table} from batch")
        connection.unregister("batch")


def _begin(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("drop view if exists numbered")
    connection.execute(
        """
        create or replace temp table broken
        (file_index bigint, row_number bigint, reason varchar, raw varchar, is_duplicate boolean)
        """
    )


def _read_parquet(connection: duckdb.DuckDBPyConnection, bundle: Bundle) -> None:
    paths = {"paths": [str(path) for path in bundle.paths]}
    types = dict(zip(bundle.names, parquet_types(bundle.paths[0], connection), strict=True))
    texts = ", ".join(f"{_parquet_text(name, type_)} as {name}" for name, type_ in types.items())
    undecoded = [
        f"({name} is not null and {_parquet_text(name, type_)} is null)"
        for name, type_ in types.items()
        if type_ == "BLOB"
    ]
    connection.execute(
        f"""
        create or replace temp table raw as
        select
            file_index,
            row_number,
            case
                when {" + ".join(f"coalesce(strlen({name}), 0)" for name in bundle.names)} > $longest
                    then 'oversized_row'
                when {" or ".join(f"coalesce(contains({name}, chr(0)), false)" for name in bundle.names)}
                    then 'nul_character'
                when is_undecoded then 'unreadable_characters'
            end as fault,
            {", ".join(f"case when fault is null then {name} end as {name}" for name in bundle.names)}
        from (
            select
                file_index::bigint as file_index,
                file_row_number + 1 as row_number,
                {" or ".join(undecoded) or "false"} as is_undecoded,
                {texts}
            from read_parquet($paths) as source({bundle.fields})
        )
        """,
        paths | {"longest": MAX_ROW_CHARACTERS},
    )
    connection.execute(
        """
        insert into broken
        select file_index, row_number, fault, '[]', false from raw where fault is not null
        """
    )
    connection.execute("create temp view numbered as from raw where fault is null")


def _parquet_text(name: str, type_: str) -> str:
    if type_ == "BLOB":  # as older writers call text
        return f"try(decode({name}))"
    if type_ in ("DOUBLE", "FLOAT"):
        return _number_text(name)
    text = f"cast({name} as varchar)"
    # Oracle's NUMBER comes as DECIMAL(38, 10), ids too.
    return f"regexp_replace({text}, '[.]0+$', '')" if type_.startswith("DECIMAL") else text


def _number_text(number: str) -> str:
    """Return SQL for a double as text, a whole one without decimals.

    pandas makes whole numbers with gaps DOUBLE, and a gap NaN: 17850.0 is the id 17850.
    """
    is_whole = f"abs({number}) < {EXACT_WHOLE} and {number} = trunc({number})"
    text = f"case when {is_whole} then {number}::bigint::varchar else {number}::varchar end"
    return f"case when not isnan({number}) then {text} end"


def _read_text(connection: duckdb.DuckDBPyConnection, bundle: Bundle) -> None:
    slow = _read_fast(connection, bundle) if bundle.is_plain else None
    if slow is None:
        columns = ", ".join(f"{name} varchar" for name in bundle.names)
        connection.execute(f"create or replace temp table raw (file_index bigint, stated bigint, {columns})")
        slow = set(range(len(bundle.paths)))
    # Rows keep the order of the files and of their lines, so rowid counts them.
    connection.execute(
        """
        create or replace temp table file_start as
        select file_index, min(rowid) as first_row from raw where stated is null group by file_index
        """
    )
    for file_index in sorted(slow):
        _read_slowly(connection, bundle, file_index)
    connection.execute(
        f"""
        create temp view numbered as
        select
            raw.file_index,
            coalesce(raw.stated, raw.rowid - file_start.first_row + 1) as row_number,
            {bundle.fields}
        from raw left join file_start on file_start.file_index = raw.file_index
        {"where c0 is not null" if bundle.format == "jsonl" else ""}
        """
    )
    if bundle.format == "jsonl" and bundle.each:
        _take_lists_apart(connection, bundle.each)


def _take_lists_apart(connection: duckdb.DuckDBPyConnection, each: str) -> None:
    """Make each element of a line's list a row of its own; a line without elements stays one row.

    So does a line that has the list twice.
    """
    connection.execute(
        """
        create or replace temp table element as
        with
        list_elements as (
            select
                file_index,
                row_number,
                c0,
                case when json_valid(c0) then json_merge_patch(c0, json_object($each, null)) end as beside,
                case
                    when json_valid(c0) and len(list_filter(json_keys(c0), lambda name: name = $each)) = 1
                        then try_cast(json_extract(c0, $pointer) as json[])
                end as elements
            from numbered
        ),
        place_elements as (
            select
                * exclude (elements),
                unnest(coalesce(nullif(elements, []), [null])) as element,
                unnest(range(coalesce(nullif(len(elements), 0), 1))) + 1 as place
            from list_elements
        )
        select
            file_index,
            row_number * $step + place as row_number,
            case
                when element is null then c0
                else json_merge_patch(beside, json_object($each, element))::varchar
            end as c0
        from place_elements
        """,
        {"each": each, "pointer": _json_pointer(each), "step": LINE_STEP},
    )
    connection.execute("update broken set row_number = row_number * $step", {"step": LINE_STEP})
    connection.execute("drop view numbered")
    connection.execute("drop table raw")
    connection.execute("create temp view numbered as from element")


def _read_fast(connection: duckdb.DuckDBPyConnection, bundle: Bundle) -> set[int] | None:
    """Read all files with DuckDB; return those that it could not take whole, none of their rows kept.

    None means that it gave up on a single file, as over mixed line ends.
    """
    try:
        _scan(connection, bundle)
    except duckdb.Error:
        if len(bundle.paths) > 1:
            raise
        return None
    rejected = connection.execute(
        "select distinct file_path from rejected join rejected_scan using (scan_id, file_id)"
    ).fetchall()
    paths = [str(path) for path in bundle.paths]
    slow = {paths.index(path) for (path,) in rejected}
    slow |= _miscounted(connection, bundle, set(range(len(paths))) - slow)
    if slow:
        connection.execute("delete from raw where list_contains($slow, file_index)", {"slow": sorted(slow)})
    return slow


def _miscounted(connection: duckdb.DuckDBPyConnection, bundle: Bundle, asked: set[int]) -> set[int]:
    """Return the files of which DuckDB read another number of rows than their lines make.

    Of more files than two per thread, DuckDB 2.0.0 drops all behind a quote that is never closed, and
    rejects nothing. Quotes within plain fields are miscounted too: the slow way knows.
    """
    quote, row = (bundle.csv.quote, "*") if bundle.format == "csv" else ("", "c0")  # a blank line is null
    read_rows = dict(
        connection.execute(f"select file_index, count({row}) from raw group by file_index").fetchall()
    )
    return {
        index
        for index in asked
        if count_rows(bundle.paths[index], quote) != read_rows.get(index, 0) + bundle.has_header
    }


def count_rows(path: Path, quote: str) -> int | None:
    """Count the lines that end outside quotes: header too, blank ones not; None where a quote stays open."""
    mark = quote.encode()
    others = bytes(set(range(256)) - set(mark + b"\n"))
    count, is_open, is_new_line = 0, False, True
    with _bytes(path) as file:
        while block := file.read(BLOCK_BYTES):
            if block.endswith(b"\r"):
                block += file.read(1)
            lines = BLANK_LINES.sub(b"\n", b"\n" * is_new_line + block).translate(None, others)
            # Two quotes side by side say nothing here; without them few parts are left.
            parts = lines.replace(mark * 2, b"").split(mark) if mark else [lines]
            count += sum(part.count(b"\n") for part in parts[is_open::2]) - (is_new_line and not is_open)
            is_open ^= len(parts) % 2 == 0
            is_new_line = block.endswith(b"\n")
    return None if is_open else count + (not is_new_line)


def _scan(connection: duckdb.DuckDBPyConnection, bundle: Bundle) -> None:
    connection.execute("drop table if exists rejected")
    connection.execute("drop table if exists rejected_scan")
    rejects = "store_rejects = true, rejects_table = 'rejected', rejects_scan = 'rejected_scan'"
    connection.execute(
        f"""
        create or replace temp table raw as
        select file_index::bigint as file_index, null::bigint as stated, {bundle.fields}
        from {_csv_scan(bundle, rejects)}
        """,
        _csv_scan_parameters(bundle),
    )


def streamed(bundle: Bundle, wanted: Iterable[str]) -> tuple[str, dict[str, Any]]:
    """Return ``named`` of one plain csv as a query that keeps nothing, and its parameters.

    A line that DuckDB cannot take is an error. The window takes rows as they come, and they come in the
    order of the file.
    """
    numbered = f"""(
        select 0::bigint as file_index, row_number() over () as row_number, {bundle.fields}
        from {_csv_scan(bundle)}
    )"""
    return _under_names(bundle, wanted, numbered), _csv_scan_parameters(bundle)


def has_blank_ends(bundle: Bundle) -> bool:
    """Say whether some field may begin or end with a blank: whether one stands at a border of fields.

    Any of the rarer ones, wherever it stands, is answered with yes, and so is a blank as the delimiter.
    """
    import numpy as np  # slow to import, and small files are not asked

    if bundle.csv.delimiter in BLANKS:
        return True
    rare = [blank.encode() for blank in BLANKS if not blank.isascii()]
    is_border = np.zeros(256, bool)
    is_border[list(f"{bundle.csv.delimiter}{bundle.csv.quote}\r\n".encode())] = True
    for path in bundle.paths:
        with path.open("rb") as file:
            if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                file.seek(0)
            before = b"\n"
            while block := file.read(BLOCK_BYTES):
                told = before + block
                if b"\t" in told or (not told.isascii() and any(blank in told for blank in rare)):
                    return True
                text = np.frombuffer(told, np.uint8)
                after_blank = text[1:][text[:-1] == ord(" ")]
                before_blank = text[:-1][text[1:] == ord(" ")]
                if is_border[after_blank].any() or is_border[before_blank].any():
                    return True
                before = told[-2:]
            if before.endswith(b" "):
                return True
    return False


def _csv_scan(bundle: Bundle, rejects: str = "ignore_errors = false") -> str:
    return f"""read_csv(
        $paths, auto_detect = false, columns = $columns, header = $has_header,
        delim = $delimiter, quote = $quote, escape = $quote, strict_mode = $is_csv, {rejects}
    )"""


def _csv_scan_parameters(bundle: Bundle) -> dict[str, Any]:
    is_csv = bundle.format == "csv"
    return {
        "paths": [str(path) for path in bundle.paths],
        "columns": dict.fromkeys(bundle.names, "VARCHAR"),
        # A jsonl line is one field: JSON itself forbids a bare control character.
        "delimiter": bundle.csv.delimiter if is_csv else "\x01",
        "quote": bundle.csv.quote if is_csv else "",
        "is_csv": is_csv,
        "has_header": bundle.has_header,
    }


def _read_slowly(connection: duckdb.DuckDBPyConnection, bundle: Bundle, file_index: int) -> None:
    clean = bundle.scratch / "clean.csv"
    rows = numbered_rows(bundle.paths[file_index], bundle)
    _insert(connection, "broken", BROKEN, _write_clean(clean, rows, file_index))
    connection.execute(
        f"""
        insert into raw
        select $file_index, stated::bigint, {bundle.fields}
        from read_csv(
            $path, auto_detect = false, columns = $columns, header = false,
            delim = ',', quote = '"', escape = '"', new_line = '\\n', max_line_size = $longest
        )
        """,
        {
            "path": str(clean),
            "columns": dict.fromkeys(["stated", *bundle.names], "VARCHAR"),
            "file_index": file_index,
            "longest": 8 * MAX_ROW_CHARACTERS,  # a character has up to four bytes, and quotes are doubled
        },
    )
    clean.unlink()


def _write_clean(
    clean: Path, rows: Iterable[Row], file_index: int
) -> Iterator[tuple[int, int, str, str, bool]]:
    """Write the rows that can be read; yield the others as rows of ``broken``."""
    seen: set[bytes] = set()
    with clean.open("w", encoding="utf-8", newline="") as file:
        # All quoted: Python 3.11 leaves a field with a bare carriage return as it is.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row_number, fields, reason in rows:
            if reason is None:
                writer.writerow([row_number, *fields])
                continue
            if reason == "oversized_row":
                text = json.dumps([",".join(fields)[:KEPT_CHARACTERS]])
                yield file_index, row_number, reason, text, False
                continue
            text = json.dumps(fields)
            digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
            yield file_index, row_number, reason, text, digest in seen
            seen.add(digest)


def numbered_rows(path: Path, bundle: Bundle) -> Iterator[Row]:
    """Yield the rows of a text file or workbook, numbered from 1, each with its fault if it has one."""
    with _rows(path, bundle.format, bundle.csv) as rows:
        if bundle.has_header:
            next(rows, None)
        for row_number, (fields, fault) in enumerate(rows, start=1):
            if fields:
                _cut_empty_surplus(fields, len(bundle.names))
                yield row_number, fields, fault or _fault(fields, len(bundle.names))


def _cut_empty_surplus(fields: Fields, width: int) -> None:
    """Drop empty fields beyond the header, as DuckDB does: a delimiter at a line's end says nothing."""
    while len(fields) > width and not fields[-1]:
        fields.pop()


def _fault(fields: Fields, expected: int) -> str | None:
    if sum(map(len, fields)) > MAX_ROW_CHARACTERS:
        return "oversized_row"
    if len(fields) != expected:
        return "ragged_row"
    if any("\0" in field for field in fields):
        return "nul_character"
    if any(map(_has_undecoded, fields)):
        return "unreadable_characters"
    return None


def _has_undecoded(text: str) -> bool:
    # Undecodable bytes come as lone surrogates; plain ASCII, nearly every field, is passed over quickly.
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


@contextmanager
def _rows(path: Path, format_: Format, dialect: CsvFormat) -> Iterator[Iterator[tuple[Fields, str | None]]]:
    """Open a file as rows of text, header first, each with its fault if it has one.

    A blank line of a csv is no row; one of a jsonl file has no fields, but its number.
    """
    if format_ == "xlsx":
        with _workbook(path) as rows:
            yield ((fields, None) for fields in rows)
        return
    with _text(path, encoding(path, dialect)) as file:
        if format_ == "jsonl":
            yield (([line.rstrip("\r\n")] if line.strip() else [], None) for line in _bounded(file))
        else:
            yield _csv_records(_bounded(file), dialect)


@contextmanager
def _workbook(path: Path) -> Iterator[Iterator[Fields]]:
    from openpyxl import load_workbook  # slow to import, and most shops send none

    workbook = load_workbook(path, read_only=True, data_only=True)
    try:
        for sheet in workbook.worksheets:
            sheet.reset_dimensions()  # a sheet may claim any width, and every row would be filled up to it
        cells = (sheet.iter_rows(values_only=True) for sheet in workbook.worksheets)
        yield _joined(_rectangle(map(_cell_texts, each)) for each in cells)
    finally:
        workbook.close()


def _joined(sheets: Iterable[Iterator[Fields]]) -> Iterator[Fields]:
    """Read sheets with the same header as one, header first; refuse others, rather than lose them."""
    header: Fields = []
    for number, rows in enumerate(sheets, start=1):
        first = next(rows, [])
        if not header and first:
            header, known = first, number
            yield header
        elif first and first != header:
            raise UnreadableError(
                f"its sheet {number} has other columns than sheet {known}, so it would be lost: "
                "deliver it without that sheet"
            )
        yield from rows


def _rectangle(rows: Iterable[Fields]) -> Iterator[Fields]:
    """Cut and fill rows to the width of the header: a workbook stores no empty cell at a line's end."""
    width = 0
    for number, fields in enumerate(rows):
        if number == MAX_WORKBOOK_ROWS:
            raise ValueError("a worksheet has no row of this number")
        _cut_empty_surplus(fields, width)
        width = width or len(fields)
        if any(fields):
            yield fields + [""] * (width - len(fields))


def _cell_texts(values: Iterable[object]) -> Fields:
    return list(map(_cell_text, values))


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_WHOLE:
        return str(int(value))
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


def _csv_records(file: Iterable[str], dialect: CsvFormat) -> Iterator[tuple[Fields, str | None]]:
    """Yield the records of a csv; a quote that breaks its line costs that line and no other.

    A quote that is never closed would swallow the rest of the file: its line is set aside,
    and reading starts again behind it.
    """
    csv.field_size_limit(2 * MAX_ROW_CHARACTERS)
    delimiter = dialect.delimiter
    if len(delimiter) > 1:  # Python takes one character, so one stands in for all
        file = (line.replace(delimiter, STAND_IN) for line in file)
        for fields, fault in _csv_records(file, dialect.model_copy(update={"delimiter": STAND_IN})):
            yield [field.replace(STAND_IN, delimiter) for field in fields], fault
        return
    lines = _Lines(file)
    while True:
        reader = csv.reader(
            lines,
            delimiter=delimiter,
            quotechar=dialect.quote or None,
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            strict=True,
        )
        try:
            for fields in reader:
                lines.taken.clear()
                if fields:
                    yield fields, None
            return
        except csv.Error:
            line = lines.go_back_behind_first().rstrip("\r\n")
            yield [line], "oversized_row" if len(line) > MAX_ROW_CHARACTERS else "broken_quotes"


def _bounded(file: IO[str]) -> Iterator[str]:
    """Yield lines; of one that is too long only so much that it is seen to be."""
    while line := file.readline(MAX_ROW_CHARACTERS + 2):
        if len(line) == MAX_ROW_CHARACTERS + 2 and not line.endswith("\n"):
            while (rest := file.readline(MAX_ROW_CHARACTERS)) and not rest.endswith("\n"):
                pass
            line += "\n"
        yield line


class _Lines:
    """Lines that can be read again, back to the first of the record under way."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self.taken: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.taken) > MAX_ROW_LINES:
            raise csv.Error("a row of too many lines")
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        return line

    def go_back_behind_first(self) -> str:
        """Return the first line of the record; the others come again."""
        first = self.taken.popleft()
        self._again.extendleft(reversed(self.taken))
        self.taken.clear()
        return first


def _bytes(path: Path) -> IO[bytes]:
    opened = gzip.open if path.suffix.lower() == ".gz" else Path.open
    return cast(IO[bytes], opened(path, "rb"))


def _text(path: Path, encoding: str) -> IO[str]:
    name = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(_bytes(path), encoding=name, errors="surrogateescape", newline="")


def name_columns(
    connection: duckdb.DuckDBPyConnection, bundle: Bundle, wanted: Iterable[str], table: str
) -> None:
    """Create the view ``named`` over ``table``: the columns that a mapping reads, under their source names.

    A column that the files lack is null. The fields themselves stand beside them, under the names of
    :func:`raw_field`.
    """
    connection.execute("drop view if exists named")
    if bundle.format == "jsonl":
        _extract_json(connection, _columns(wanted), table)
    else:
        connection.execute(f"create temp view named as {_under_names(bundle, wanted, table)}")


def _columns(wanted: Iterable[str]) -> list[str]:
    return [name for name in sorted(wanted) if name != "row_number"]


def _under_names(bundle: Bundle, wanted: Iterable[str], table: str) -> str:
    place = {name: f"c{index}" for index, name in enumerate(bundle.header)}
    columns = "".join(f", {place.get(name, 'null::varchar')} as {quoted(name)}" for name in _columns(wanted))
    raw = ", ".join(f"{name} as {raw_field(name)}" for name in bundle.names)
    return f"select file_index, row_number, {raw} {columns} from {table}"


def _extract_json(connection: duckdb.DuckDBPyConnection, names: list[str], table: str) -> None:
    connection.execute(
        f"""
        create or replace temp table extracted as
        select
            file_index,
            row_number,
            c0,
            json_extract_string(c0, $pointers::varchar[]) as found,
            case
                when len(list_filter(found, lambda text: ends_with(text, '.0') or lower(text) = 'nan')) > 0
                    then json_type(c0, $pointers::varchar[])
            end as types
        from {table}
        """,
        {"pointers": [_json_pointer(name) for name in names]},
    )
    columns = "".join(f", {_json_text(place)} as {quoted(name)}" for place, name in enumerate(names, start=1))
    connection.execute(
        f"""
        create temp view named as
        select file_index, row_number, c0 as {raw_field("c0")} {columns} from extracted
        """
    )


def _json_text(place: int) -> str:
    """Return SQL for a value as text: a number as in Parquet, whether 17850, 17850.0 or Python's NaN."""
    number = _number_text(f"try_cast(found[{place}] as double)")
    return f"case when types[{place}] = 'DOUBLE' then {number} else found[{place}] end"


def fields_of(bundle: Bundle, columns: Sequence[str]) -> tuple[str, dict[str, list[str]]]:
    """Return query and parameters for columns of the file ``$file_index``: row_number, and texts by name."""
    parameters = {"names": list(columns)}
    if bundle.format == "jsonl":
        parameters["pointers"] = [_json_pointer(name) for name in columns]
        texts, rows = "json_extract_string(c0, $pointers)", "understood"
    else:
        place = {name: f"c{index}" for index, name in enumerate(bundle.header)}
        texts, rows = f"[{', '.join(place[name] for name in columns)}]", "clean"
    query = f"""
        select row_number, map($names::varchar[], {texts}) as columns
        from {rows}
        where file_index = $file_index
        order by row_number
    """
    return query, parameters


def raw_field(name: str) -> str:
    """Return the name of a source row's field, by place: no source column's name begins with a space."""
    return quoted(f" {name}")


def row_text(bundle: Bundle) -> str:
    """Return SQL over ``named`` for the whole source row in one text.

    An expression and no column: only rows without an id of their own need it, and it is dear.
    """
    if bundle.format == "jsonl":
        return raw_field("c0")
    return f"to_json([{', '.join(map(raw_field, bundle.names))}])::varchar"


def is_nested_json(name: str) -> str:
    """Return SQL over ``named`` for whether a value of jsonl is an object or a list, and no text of one.

    Only what begins like one is looked at again.
    """
    pointer = _json_pointer(name).replace("'", "''")
    is_nested = f"json_type({raw_field('c0')}, '{pointer}') in ('OBJECT', 'ARRAY')"
    return f"(left({quoted(name)}, 1) in ('{{', '[') and {is_nested})"


def _json_pointer(name: str) -> str:
    return name if name.startswith("/") else "/" + name.replace("~", "~0").replace("/", "~1")
