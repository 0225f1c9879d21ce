"""Takes a sample of a file that no shop's file describes yet: format, dialect, columns and some rows."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import duckdb

from cli import ShoalError, UsageError
from landing import incoming, readers
from landing.drafts import words
from landing.shops import SUFFIXES, CsvFormat, Format

ROWS = 2_000
BYTES = 4 << 20
DELIMITERS = ",;\t|"
ENCODINGS = ("utf-8", "gb18030", "cp1252")
"""Tried in this order: each of them reads more files than the one before it, and means less by it."""

EVERYDAY = b"\xa1", b"\xd8"
"""From the first to before the second GB 2312 has punctuation and 3,755 everyday characters."""


@dataclass(frozen=True)
class Sample:
    """The first rows of a file by column, as text; empty fields are left out."""

    path: Path
    format: Format
    csv: CsvFormat
    each: str | None
    columns: dict[str, list[str]]
    rows: int


def take(path: Path) -> Sample:
    """Read the first rows of a file.

    Raises
    ------
    UsageError
        When there is no such file, or its name's ending promises no format that landing reads.
    ShoalError
        When it holds no rows, or is not what its name says.
    """
    if not path.is_file():
        raise UsageError(f"{path} is no file: name one that the shop dropped")
    format_ = incoming.format_of(path)
    if format_ is None:
        raise UsageError(f"{path.name} ends like no format that landing reads: {', '.join(SUFFIXES)}")
    try:
        sample = _TAKERS[format_](path)
    except readers.UnreadableError as error:
        raise ShoalError(f"{path.name}: {error}") from error
    except readers.FAULTS as error:
        raise ShoalError(
            f"{path.name} cannot be read as {format_}: torn, or not what its name says"
        ) from error
    if not sample.rows:
        raise ShoalError(f"{path.name} has no rows: a draft needs a file with some")
    return sample


def _take_csv(path: Path) -> Sample:
    encoding = _encoding(path)
    with _opened(path, encoding) as file:
        text = file.read(BYTES)
    lines = text.splitlines(keepends=True)
    if len(text) == BYTES:
        lines.pop()  # cut in the middle
    dialect = CsvFormat(delimiter=_delimiter(lines), encoding=encoding)
    records = list(islice(csv.reader(lines, delimiter=dialect.delimiter), ROWS + 1))
    width = Counter(map(len, records)).most_common(1)[0][0] if records else 0
    rows = [record for record in records if len(record) == width]
    if rows and _is_header(rows):
        return _of_rows(path, "csv", dialect, [name.strip() for name in rows[0]], rows[1:])
    names = [f"column_{place}" for place in range(1, width + 1)]
    return _of_rows(path, "csv", dialect.model_copy(update={"header": tuple(names)}), names, rows)


def _take_xlsx(path: Path) -> Sample:
    with duckdb.connect() as connection:
        names = readers.header(path, "xlsx", CsvFormat(), connection)
    bundle = readers.Bundle((path,), "xlsx", names, CsvFormat(), path.parent)
    rows = [fields for _, fields, fault in islice(readers.numbered_rows(path, bundle), ROWS) if not fault]
    return _of_rows(path, "xlsx", CsvFormat(), list(names), rows)


def _take_parquet(path: Path) -> Sample:
    with duckdb.connect() as connection:
        names = readers.header(path, "parquet", CsvFormat(), connection)
        found = connection.execute(
            "select columns(*)::varchar from read_parquet($path) limit $rows",
            {"path": str(path), "rows": ROWS},
        ).fetchall()
    rows = [["" if value is None else value for value in row] for row in found]
    return _of_rows(path, "parquet", CsvFormat(), list(names), rows)


def _take_jsonl(path: Path) -> Sample:
    with _opened(path, "utf-8") as file:
        read = [json.loads(line) for line in islice(file, ROWS) if line.strip()]
    objects = [value for value in read if isinstance(value, dict)]
    each = _list_of_objects(objects)
    if each:
        objects = [row | {each: element} for row in objects for element in row.get(each) or []][:ROWS]
    columns: dict[str, list[str]] = {}
    for row in objects:
        for name, value in _leaves(row):
            columns.setdefault(name, []).extend([value] if value.strip() else [])
    return Sample(path, "jsonl", CsvFormat(), each, columns, len(objects))


_TAKERS = {"csv": _take_csv, "xlsx": _take_xlsx, "parquet": _take_parquet, "jsonl": _take_jsonl}


def _of_rows(
    path: Path, format_: Format, dialect: CsvFormat, names: list[str], rows: list[list[str]]
) -> Sample:
    columns = {
        name: [value.strip() for row in rows if (value := row[place]).strip()]
        for place, name in enumerate(names)
    }
    return Sample(path, format_, dialect, None, columns, len(rows))


def _opened(path: Path, encoding: str) -> IO[str]:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    return cast(
        IO[str], opened(path, "rt", encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="")
    )


def _encoding(path: Path) -> str:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with cast(IO[bytes], opened(path, "rb")) as file:
        start = file.read(BYTES)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for name in ENCODINGS:
        try:
            text = codecs.getincrementaldecoder(name)().decode(start)
        except UnicodeDecodeError:
            continue
        if name != "gb18030" or _is_chinese(text):
            return name
    return "latin-1"


def _is_chinese(text: str) -> bool:
    """Say whether most of what is not ASCII is everyday Chinese; accented letters make rare signs."""
    codes = [sign.encode("gb2312", "replace") for sign in text if not sign.isascii()]
    return 10 * sum(EVERYDAY[0] <= code < EVERYDAY[1] for code in codes) >= 8 * len(codes)


def _delimiter(lines: list[str]) -> str:
    """Choose the delimiter by which most of the first lines have the same width; the widest wins."""

    def fit(delimiter: str) -> tuple[float, int]:
        widths = Counter(map(len, csv.reader(lines[:200], delimiter=delimiter)))
        width, count = widths.most_common(1)[0] if widths else (1, 1)
        return (count / widths.total() if width > 1 else 0.0), width

    return max(DELIMITERS, key=fit)


def _is_header(rows: list[list[str]]) -> bool:
    """Say whether the first row names columns; where in doubt it does not, as it may name a person."""
    first = [name.strip() for name in rows[0]]
    if (
        not all(first)
        or len(set(first)) < len(first)
        or any(any(c.isdigit() for c in name[:1]) for name in first)
    ):
        return False
    return any(words.column_of(name) for name in first) and not any(words.looks_typed(name) for name in first)


def _list_of_objects(objects: list[dict[str, Any]]) -> str | None:
    lists = Counter(
        name
        for row in objects
        for name, value in row.items()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    )
    return next((name for name, count in lists.most_common(1) if 2 * count > len(objects)), None)


def _leaves(row: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield plain values with their names: keys of the top level, JSON pointers below."""
    for name, value in row.items():
        pointer = f"{above}/{name.replace('~', '~0').replace('/', '~1')}"
        if isinstance(value, dict):
            yield from _leaves(value, pointer)
        elif value is not None and not isinstance(value, list):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            yield (pointer if above else name), text
