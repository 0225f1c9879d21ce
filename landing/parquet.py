"""Writes good rows as Parquet, one file per delivery and business day, put into place by renaming."""

# ruff: noqa: S608  (identifiers come from contracts and shop files, quoted; every value is a parameter)

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

import duckdb

from landing import pseudonyms, straight
from landing.ledger import LandedDay
from landing.readers import Bundle
from landing.shops import quoted
from landing.translation import Translation, first_per, key_tables, pseudonymised
from settings import ShopPaths

ROWS_PER_DAY = 10_000
"""From so many rows per file and day on, days are written one by one."""

Parts = dict[tuple[str, date], list[tuple[Path, int]]]
"""What was written by file_id and event_date: paths and rows."""


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
    aside = scratch / translation.contract.table
    aside.mkdir()
    for statement in key_tables(translation):
        connection.execute(statement, pseudonyms.pads(secret))
    days = _days(connection, translation)
    rows = sum(count for *_, count in days)
    if rows >= ROWS_PER_DAY * len(days) and not translation.mapping.first_per:
        parts = _write_by_day(connection, translation, aside, days)
    else:
        parts = _write_at_once(connection, translation, aside)
    for (file_id, day), members in sorted(parts.items()):
        rows = sum(count for _, count in members)
        landed = LandedDay(
            table=translation.contract.table, event_date=day, rows_written=rows, part=file_parts[file_id]
        )
        _move(connection, [path for path, _ in members], landed.path(paths, file_id))
        yield file_id, landed
    shutil.rmtree(aside)


def write_straight(
    connection: duckdb.DuckDBPyConnection,
    bundle: Bundle,
    reads: Iterable[str],
    translation: Translation,
    secret: bytes,
    paths: ShopPaths,
    scratch: Path,
    file_id: str,
) -> list[LandedDay]:
    """Write one csv's rows in one pass; return what was written.

    Raises
    ------
    straight.FaultError
        When there is a fault in it: then nothing is left of what was written.
    """
    aside = scratch / "straight"
    aside.mkdir()
    try:
        written = straight.write(connection, bundle, reads, translation, secret, file_id, aside)
        days = []
        for day, (path, rows) in sorted(written.items()):
            days.append(LandedDay(table=translation.contract.table, event_date=day, rows_written=rows))
            _move(connection, [path], days[-1].path(paths, file_id))
        return days
    finally:
        shutil.rmtree(aside)


def _days(
    connection: duckdb.DuckDBPyConnection, translation: Translation
) -> list[tuple[int, str, date, int]]:
    """Return file_index, file_id, event_date and rows of what will be written, at most."""
    return connection.execute(
        f"""
        select file.file_index, file.file_id, rows.event_date, count(*)
        from {translation.target} as rows join file on file.file_index = rows.file_index
        where rows.reasons is null
        group by all
        order by all
        """
    ).fetchall()


def _good(translation: Translation) -> str:
    return f"""
        select * replace (coalesce(delivered_on, event_date) as delivered_on)
        from {translation.target} anti join bad using (file_index, row_number)
    """


def _write_by_day(
    connection: duckdb.DuckDBPyConnection,
    translation: Translation,
    aside: Path,
    days: list[tuple[int, str, date, int]],
) -> Parts:
    """Write a file and day at a time: half the price of a partitioned write, where days are large.

    Rows mostly come in the order of time, so that a day is a few row groups of the table.
    """
    parts: Parts = {}
    for number, (file_index, file_id, day, _) in enumerate(days):
        path = aside / f"{number}.parquet"
        ((rows,),) = connection.execute(
            f"""
            copy (
                with
                good as ({_good(translation)}),
                chosen as (
                    select *, $file_id as file_id from good
                    where event_date = $day and file_index = $file_index
                )
                {pseudonymised(translation.contract)}
            ) to $path (format parquet)
            """,
            {"path": str(path), "file_id": file_id, "day": day, "file_index": file_index},
        ).fetchall()
        if rows:
            parts[file_id, day] = [(path, rows)]
    return parts


def _write_at_once(connection: duckdb.DuckDBPyConnection, translation: Translation, aside: Path) -> Parts:
    """Write everything in one statement: it costs the same for one day as for thousands."""
    written = connection.execute(
        f"""
        copy (
            with
            good as ({_good(translation)}),
            first as (select * from good {_only_first(translation)}),
            chosen as (
                select first.*, file.file_id from first join file on file.file_index = first.file_index
            )
            {pseudonymised(translation.contract)}
        ) to $folder (
            format parquet, partition_by (event_date, file_id), overwrite_or_ignore true,
            write_partition_columns true, hive_file_pattern false, return_stats
        )
        """,
        {"folder": str(aside)},
    ).fetchall()
    # One row per part: its path, its rows, sizes, statistics, and the partition that it belongs to.
    parts: Parts = {}
    for path, rows, _, _, _, partition, *_ in written:
        key = partition["file_id"], date.fromisoformat(partition["event_date"])
        parts.setdefault(key, []).append((Path(path), rows))
    return parts


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
