"""Tells whether a file is whole, before any reader trusts it: torn, damaged, or larger than it looks.

A torn file waits: whoever writes it may still be at it. A damaged file, or one that unpacks to far
more than it weighs, is refused. DuckDB's own gzip reader checks no checksum, and a flipped bit may
cost it rows in silence; so every packed file is unpacked here once.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import duckdb

from landing import readers
from landing.incoming import READ_BYTES, IncomingFile
from landing.readers import UnreadableError
from landing.shops import CsvFormat, Source

UNPACKED_BYTES = 256 << 20
"""What any file may unpack to; beyond it the ratio counts."""

UNPACKED_RATIO = 200
"""Tables of shops shrink to a tenth, logs to a fiftieth; a bomb to a thousandth."""

ROWS_PER_BYTE = 10
"""Parquet writes a row of equal values in next to nothing, so rows are weighed too, from here on."""

UNPACKED_ROWS = 10_000_000

LAST_LINE_BYTES = 2 << 20


@dataclass(frozen=True)
class Look:
    """What a first look at a file found: why it must wait, if it must, and whether it holds a NUL."""

    waits_because: str | None
    has_nul: bool


def look(file: IncomingFile, connection: duckdb.DuckDBPyConnection) -> Look:
    """Look whether a file is whole.

    Raises
    ------
    UnreadableError
        When it is damaged, or unpacks beyond all measure.
    """
    if file.source.done_marker and not any(marker.is_file() for marker in markers(file.path, file.source)):
        return Look(f"no {file.name}.done lies beside it yet", file.has_nul)
    if file.path.name.lower().endswith(".gz"):
        return _look_into_gzip(file)
    if file.format in ("csv", "jsonl"):
        return Look(_text_torn(file, _end(file.path, LAST_LINE_BYTES)), file.has_nul)
    if file.format == "parquet":
        return Look(_parquet_torn(file, connection), has_nul=False)
    return Look(_workbook_torn(file), has_nul=False)


def markers(path: Path, source: Source) -> Sequence[Path]:
    """Return the names of which one says that a file is whole; none where the shop writes none."""
    if not source.done_marker:
        return ()
    return path.with_name(f"{path.name}.done"), path.with_name(f"{path.name.split('.')[0]}.done")


def _look_into_gzip(file: IncomingFile) -> Look:
    if not file.size:
        return Look("it is empty so far", has_nul=False)
    size, has_nul = 0, False
    last: deque[bytes] = deque(maxlen=LAST_LINE_BYTES // READ_BYTES + 1)
    try:
        with gzip.open(file.path, "rb") as packed:
            while block := packed.read(READ_BYTES):
                size += len(block)
                has_nul = has_nul or b"\0" in block
                last.append(block)
                _refuse_bomb(file.size, size)
    except EOFError:
        return Look("its gzip end is missing", has_nul)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableError("damaged: its gzip content is not what was packed; deliver it again") from error
    return Look(_text_torn(file, b"".join(last)), has_nul)


def _refuse_bomb(packed: int, unpacked: int) -> None:
    if unpacked > UNPACKED_BYTES and unpacked > UNPACKED_RATIO * packed:
        raise UnreadableError(
            f"{packed:,} bytes unpack to {unpacked:,} and more, over {UNPACKED_RATIO} times as much: "
            "deliver it unpacked if it is no trap"
        )


def _text_torn(file: IncomingFile, end: bytes) -> str | None:
    """Say why a text is unfinished, by its last bytes as they are once unpacked."""
    dialect = file.source.csv
    if not end and file.format == "csv":  # without a header line, a day without a sale has nothing to say
        return None if dialect.header else "it is empty so far"
    if file.source.done_marker:
        return None
    text = readers.decoded_end(file.path, dialect, end)
    return _csv_torn(text, dialect) if file.format == "csv" else _jsonl_torn(text)


def _csv_torn(end: str, dialect: CsvFormat) -> str | None:
    if end.rstrip("\0").endswith(("\n", "\r")) or not dialect.final_line_break:
        return None
    return (
        "its last line does not end, so the rest may be missing; if the shop never ends it, say "
        "`csv: {final_line_break: false}` of the source"
    )


def _jsonl_torn(end: str) -> str | None:
    last = end.rsplit("\n", 1)[-1].strip()
    if not last:
        return None
    try:
        json.loads(last, strict=False)  # a NUL within a value costs its row, later
    except (ValueError, RecursionError):
        return "its last line is not finished"
    return None


def _end(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(-min(size, path.stat().st_size), os.SEEK_END)
        return file.read()


def _parquet_torn(file: IncomingFile, connection: duckdb.DuckDBPyConnection) -> str | None:
    with file.path.open("rb") as opened:
        magic = opened.read(4)
    if not b"PAR1".startswith(magic):
        return None  # no Parquet: the reader refuses it
    if file.size < 12 or _end(file.path, 4) != b"PAR1":
        return "its Parquet footer is missing"
    try:
        ((rows, unpacked),) = connection.execute(
            """
            select sum(num_rows), (
                select sum(total_uncompressed_size) from parquet_metadata($path)
            ) from parquet_file_metadata($path)
            """,
            {"path": str(file.path)},
        ).fetchall()
    except duckdb.Error:
        return None  # as above
    _refuse_bomb(file.size, unpacked or 0)
    if rows > UNPACKED_ROWS and rows > ROWS_PER_BYTE * file.size:
        raise UnreadableError(f"{file.size:,} bytes claim {rows:,} rows: deliver it as csv if it is no trap")
    return None


def _workbook_torn(file: IncomingFile) -> str | None:
    with file.path.open("rb") as opened:
        magic = opened.read(4)
    if not b"PK\x03\x04".startswith(magic):
        return None  # no workbook: the reader refuses it
    try:
        with ZipFile(file.path) as members:
            _refuse_bomb(file.size, sum(member.file_size for member in members.infolist()))
    except (BadZipFile, OSError):
        return "its zip directory is missing"
    return None
