"""Lands a large csv without a fault in one pass: judged, pseudonymised and written while it streams by.

Of its rows nothing is kept but a hash each. The first bad row ends the pass, and so does a line that
cannot be read, or in the end a row whose hash came twice: then :mod:`landing.chunk` lands the file,
with every reason of every row.
"""

# ruff: noqa: S608  (identifiers come from contracts and shop files, quoted; every value is a parameter)

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import duckdb

from landing import pseudonyms, readers
from landing.contracts import Contract
from landing.readers import Bundle
from landing.shops import quoted
from landing.translation import Translation

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet

LEAST_BYTES = 32 << 20
"""Smaller files gain less than pyarrow takes to start."""

ROW_GROUP = 122_880
"""Rows of a row group, as DuckDB writes them."""

MOST_PENDING = 1_000_000
"""Rows that wait until their day has a row group; beyond it the fullest day is written as it stands."""

MOST_DAYS = 400
"""Days written side by side; below the usual limit of 1,024 open files of a process."""

KNOWN_KEYS = 1 << 20
"""Pseudonyms of a kind that are kept at hand: those of the visitors seen last."""


class FaultError(Exception):
    """The file is not as good as it was hoped to be."""


def write(
    connection: duckdb.DuckDBPyConnection,
    bundle: Bundle,
    reads: Iterable[str],
    translation: Translation,
    secret: bytes,
    file_id: str,
    aside: Path,
) -> dict[date, tuple[Path, int]]:
    """Write the rows of one csv, all to one table, into a file per day; return the paths and rows.

    Raises
    ------
    FaultError
        When a row is bad or comes twice, or a line cannot be read: nothing of what was written counts.
    """
    import pyarrow as pa  # slow to import, and most files are small

    pa.set_memory_pool(pa.system_memory_pool())  # DuckDB's own; a second one costs 7 % more
    digests = []
    with _Days(aside, secret, translation.contract) as days:
        for batch in _translated(connection, bundle, reads, translation, secret, file_id):
            if batch["is_bad"].true_count:
                raise FaultError("a row is bad")
            digests.append(batch["digest"].to_numpy().copy())  # a view would hold the whole batch
            days.add(batch.drop_columns(["is_bad", "digest"]))
    _expect_no_repeat(digests)
    return days.written


def _translated(
    connection: duckdb.DuckDBPyConnection,
    bundle: Bundle,
    reads: Iterable[str],
    translation: Translation,
    secret: bytes,
    file_id: str,
) -> Iterator[pa.RecordBatch]:
    """Yield the landed columns, identifiers as themselves, with ``is_bad`` and the ``digest`` of the row."""
    named, named_parameters = readers.streamed(bundle, reads)
    fields = ", ".join(map(readers.raw_field, bundle.names))
    translation = replace(translation, has_blank_ends=readers.has_blank_ends(bundle))
    translated, parameters = translation.query(secret, digest=f"hash({fields})")
    columns = ", ".join(
        f"{quoted(name)}::{type_} as {quoted(name)}"
        for name, type_ in translation.contract.landed_columns.items()
    )
    query = f"""
        with
        named as ({named}),
        translated as ({translated}),
        landed as (
            select * replace (coalesce(delivered_on, event_date) as delivered_on), $file_id as file_id
            from translated
        )
        select {columns}, reasons is not null as is_bad, digest from landed
    """
    parameters |= named_parameters | {"file_id": file_id}
    try:
        yield from connection.sql(query, params=parameters).to_arrow_reader(ROW_GROUP)
    except readers.FAULTS as error:
        raise FaultError("a line cannot be read") from error


def _expect_no_repeat(digests: Sequence[Any]) -> None:
    import numpy as np

    if digests:
        ordered = np.concatenate(digests)
        ordered.sort()
        if (ordered[1:] == ordered[:-1]).any():
            raise FaultError("a row may come twice")


class _Days:
    """Parquet files, one per day, written side by side as their rows come."""

    def __init__(self, aside: Path, secret: bytes, contract: Contract) -> None:
        self.written: dict[date, tuple[Path, int]] = {}
        self._aside = aside
        columns = contract.landed_columns
        # What is unique has no use for a dictionary.
        self._repeating = [
            name for name, type_ in columns.items() if type_ == "VARCHAR" and name not in contract.landed_key
        ]
        self._keys = {
            name: lru_cache(KNOWN_KEYS)(partial(pseudonyms.of, secret, kind))
            for name, kind in pseudonyms.KINDS.items()
            if name in columns
        }
        self._pending: dict[date, list[pa.RecordBatch]] = defaultdict(list)
        self._writers: dict[date, pyarrow.parquet.ParquetWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for day in [] if error else list(self._pending):
                self._write(day)
        finally:
            for writer in self._writers.values():
                writer.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows of any days; write those days that have come to a row group."""
        import pyarrow.compute as pc

        days = batch["event_date"].unique()
        for day in days:
            rows = batch if len(days) == 1 else batch.filter(pc.equal(batch["event_date"], day))
            self._pending[day.as_py()].append(rows)
            if self._rows_pending(day.as_py()) >= ROW_GROUP:
                self._write(day.as_py())
        while sum(map(self._rows_pending, self._pending)) > MOST_PENDING:
            self._write(max(self._pending, key=self._rows_pending))

    def _rows_pending(self, day: date) -> int:
        return sum(batch.num_rows for batch in self._pending[day])

    def _write(self, day: date) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        batch = self._with_keys(pa.concat_batches(self._pending.pop(day)))
        path, rows = self.written.get(day, (self._aside / f"{day}.parquet", 0))
        if day not in self._writers:
            if len(self._writers) == MOST_DAYS:
                raise FaultError("it has more days than files may be open")
            self._writers[day] = ParquetWriter(
                path,
                batch.schema,
                use_dictionary=self._repeating,
                store_decimal_as_integer=True,
                store_schema=False,
            )
        self._writers[day].write_table(pa.Table.from_batches([batch]))
        self.written[day] = path, rows + batch.num_rows

    def _with_keys(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Replace identifiers by their keys; each is looked up once, and written by its place."""
        import pyarrow as pa

        for name, key_of in self._keys.items():
            ids = batch[name].dictionary_encode()
            keys = pa.array(map(key_of, ids.dictionary.to_pylist()), pa.string())
            keyed = pa.DictionaryArray.from_arrays(ids.indices, keys)
            batch = batch.set_column(batch.schema.get_field_index(name), name, keyed)
        return batch
