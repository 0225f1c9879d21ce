"""Writes good rows as Parquet, one file per delivery and business day, put into place by renaming."""

# ruff: noqa: S608  (identifiers come from contracts and shop files, quoted; every value is a parameter)

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import duckdb

from landing import pseudonyms
from landing.ledger import LandedDay
from landing.readers import quoted
from landing.translation import Translation, first_per, pseudonymised
from settings import ShopPaths


def write(
    connection: duckdb.DuckDBPyConnection,
    translation: Translation,
    secret: bytes,
    paths: ShopPaths,
    scratch: Path,
    file_parts: Mapping[str, int],
) -> Iterator[tuple[str, LandedDay]]:
    """Write one table's rows that are not ``bad``; yield what was written, by file_id and day.

    ``file_parts`` says of each file whether it is landed (0) or which of its replays this is. Nothing of
    it counts until the ledger lists it.
    """
    table = translation.contract.table
    aside = scratch / table
    query = pseudonymised(translation.contract)
    written = connection.execute(
        f"""
        copy (
            with
            good as (
                select * replace (coalesce(delivered_on, event_date) as delivered_on)
                from {translation.target} anti join bad using (file_index, row_number)
            ),
            first as (select * from good {_only_first(translation)}),
            chosen as materialized (
                select first.*, file.file_id from first join file on file.file_index = first.file_index
            )
            {query}
        ) to $folder (
            format parquet, partition_by (event_date, file_id),
            write_partition_columns true, hive_file_pattern false, return_stats
        )
        """,
        {"folder": str(aside)} | (pseudonyms.pads(secret) if "$inner" in query else {}),
    ).fetchall()
    # One row per part: its path, its rows, sizes, statistics, and the partition that it belongs to.
    parts: dict[tuple[str, str], list[tuple[Path, int]]] = defaultdict(list)
    for path, rows, _, _, _, partition, *_ in written:
        parts[partition["file_id"], partition["event_date"]].append((Path(path), rows))
    for (file_id, day), members in sorted(parts.items()):
        rows = sum(count for _, count in members)
        landed = LandedDay(
            table=table, event_date=date.fromisoformat(day), rows_written=rows, part=file_parts[file_id]
        )
        _move(connection, [path for path, _ in members], landed.path(paths, file_id))
        yield file_id, landed
    shutil.rmtree(aside, ignore_errors=True)


def _only_first(translation: Translation) -> str:
    keys = ", ".join(quoted(first_per(source)) for source in translation.mapping.first_per)
    if not keys:
        return ""
    # In a history each day tells anew, as it did when it was delivered.
    window = f"partition by file_index, delivered_on, {keys} order by row_number"
    return f"qualify row_number() over ({window}) = 1"


def _move(connection: duckdb.DuckDBPyConnection, parts: list[Path], final: Path) -> None:
    """Put a finished file into place; a day that was written in several parts is joined first."""
    final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = parts[0]
    if len(parts) > 1:
        part = final.with_suffix(".tmp")
        connection.read_parquet([str(each) for each in parts]).write_parquet(str(part))
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(final)
