"""Writing: one file per table and day (or week), the same bytes for the same seed."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from landing.simulate.deliver import DELIVERIES, Delivery
from landing.simulate.dirt import add_dirt
from landing.simulate.parameters import Integers, Parameters

PRODUCT_TYPES = {
    "price_amount": pa.decimal128(18, 2),
    "is_product": pa.bool_(),
    "updated_at": pa.timestamp("us", "UTC"),
}


def pack(
    name: str,
    table: pa.Table,
    parameters: Parameters,
    dirt: np.random.Generator,
    shuffle: np.random.Generator,
) -> pa.Table:
    """Return a table's rows in the order of its files: by file, time, then chance.

    Rows whose delivery would come after the last day are left out.
    """
    file = closing_day(table["_day"].to_numpy(), DELIVERIES[name], parameters)
    table = table.append_column("_file", pa.array(file)).filter(pa.array(file < parameters.days))
    table = add_dirt(name, table, parameters, dirt)
    order = np.lexsort(
        (shuffle.random(table.num_rows), table["_seconds"].to_numpy(), table["_file"].to_numpy())
    )
    return table.take(pa.array(order))


def closing_day(day: Integers, delivery: Delivery, parameters: Parameters) -> Integers:
    """Return the day whose file carries what is delivered on ``day``.

    Weekly files close with the seventh day, or with the last day of all; snapshots and
    what was known before the start are dropped on the first day.
    """
    if delivery.every_days == 1 or delivery.extension == "parquet":
        return day
    closes = (day // delivery.every_days + 1) * delivery.every_days - 1
    closes = np.where(day < parameters.days, np.minimum(closes, parameters.days - 1), closes)
    return np.where(day == 0, 0, closes)


def write(name: str, table: pa.Table, folder: Path, parameters: Parameters) -> Iterator[dict[str, object]]:
    """Write a packed table's files; yield one record per file: name, table, rows, rows per kind."""
    delivery = DELIVERIES[name]
    file = table["_file"].to_numpy()
    hidden = [column for column in table.column_names if column.startswith("_")]
    for number in _file_days(file, delivery, parameters):
        start, stop = np.searchsorted(file, [number, number + 1])
        rows = table.slice(start, stop - start).combine_chunks()
        day = parameters.start + timedelta(days=int(number))
        path = folder / f"{name}_{day}.{delivery.extension}"
        path.write_bytes(_encode(rows.drop_columns(hidden), rows["_kind"], delivery))
        yield _record(path.name, name, day, rows["_kind"])


def _file_days(file: Integers, delivery: Delivery, parameters: Parameters) -> Integers:
    """Return the days with a file: of a daily table a quiet day has an empty one, so that nobody waits."""
    if delivery.only_with_rows or delivery.every_days > 1:
        return np.unique(file)
    return np.arange(parameters.days)


def _record(file_name: str, name: str, day: date, kinds: pa.ChunkedArray) -> dict[str, object]:
    counted = {each["values"]: each["counts"] for each in kinds.value_counts().to_pylist()}
    dirty = {kind: count for kind, count in sorted(counted.items()) if kind}
    return {"file_name": file_name, "table": name, "delivered_on": day, "rows": len(kinds), "dirt": dirty}


def _encode(table: pa.Table, kinds: pa.ChunkedArray, delivery: Delivery) -> bytes:
    if delivery.extension == "parquet":
        return _as_parquet(table)
    as_text: Callable[[pa.Table, Delivery], bytes] = _as_csv if "csv" in delivery.extension else _as_jsonl
    text = _break_lines(as_text(table, delivery), kinds, delivery)
    # Level 1 is four times as fast as 6; no time stamp, so that equal text gives equal bytes.
    return gzip.compress(text, compresslevel=1, mtime=0) if delivery.extension.endswith("gz") else text


def _as_csv(table: pa.Table, delivery: Delivery) -> bytes:
    buffer = BytesIO()
    style = "needed" if delivery.quoted else "none"
    pyarrow.csv.write_csv(table, buffer, pyarrow.csv.WriteOptions(quoting_style=style, quoting_header=style))
    return buffer.getvalue()


def _as_jsonl(table: pa.Table, delivery: Delivery) -> bytes:
    fields = [
        pc.binary_join_element_wise(
            f'"{name}": ', _json_value(table[name], name in delivery.json_numbers), ""
        )
        for name in table.column_names
    ]
    lines = pc.binary_join_element_wise("{", pc.binary_join_element_wise(*fields, ", "), "}\n", "")
    return "".join(lines.to_pylist()).encode()


def _json_value(values: pa.ChunkedArray, is_number: bool) -> pa.ChunkedArray:
    if not is_number:
        escaped = pc.replace_substring(pc.replace_substring(values, "\\", "\\\\"), '"', '\\"')
        values = pc.binary_join_element_wise('"', escaped, '"', "")
    return pc.fill_null(values, "null")


def _as_parquet(table: pa.Table) -> bytes:
    for name, type_ in PRODUCT_TYPES.items():
        values = table[name]
        if pa.types.is_timestamp(type_):
            values = pc.strptime(pc.replace_substring(values, "Z", ""), "%Y-%m-%dT%H:%M:%S", "us")
            values = pc.assume_timezone(values, "UTC")
        table = table.set_column(table.column_names.index(name), name, values.cast(type_))
    buffer = BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


def _break_lines(text: bytes, kinds: pa.ChunkedArray, delivery: Delivery) -> bytes:
    """Tear the lines of rows marked as broken: surplus fields in csv, half an object in json."""
    broken = np.flatnonzero(kinds.to_numpy() == "broken_line")
    if not len(broken):
        return text
    is_csv = "csv" in delivery.extension
    lines = text.split(b"\n")
    for row in broken:
        line = row + is_csv  # a csv begins with its header
        lines[line] = lines[line] + b",surplus,fields" if is_csv else lines[line][: len(lines[line]) // 2]
    return b"\n".join(lines)
