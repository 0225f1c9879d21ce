"""What was said about a day, kept for good: ``history/bi/<as_of_date>/<table>.parquet``.

One folder per as_of_date, written aside and named in one rename, so all its tables were
said together. Nothing here is ever rewritten: a later computation that differs is reported
and left out, until a restatement. That puts another folder in its place, moves the one before
to ``history/restated/<as_of_date>/<version>/``, named by the version that no longer says it, and
notes in the new one why.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import journal
from serving.content import column_names, content_hash
from serving.tables import FACT_TABLES, PROVENANCE, Table, quoted
from serving.versions import sync_folder, write_whole
from settings import ShopPaths

if TYPE_CHECKING:
    import duckdb

RESTATEMENT = "restatement.json"
"""In a folder that took the place of another: why, and where the other lies."""

HASHES = "content_hashes.json"
"""A day never changes, so it is hashed once."""

COMPARED = "user_segment_daily"
"""Has two columns that depend on the published days before its own: days_in_segment and is_new_user."""

DEFINITIONS = "dim_segment"
"""The segments as defined on that day, without the intervals of dim_segment: all days together make those."""


EXAMPLES = 5
"""Keys shown of each table that would say something else."""


@dataclass(frozen=True)
class Difference:
    """How a table of a published day would be otherwise if it were computed now."""

    table: str
    rows: dict[str, int]
    """How many would be *changed*, *added* or *gone*."""
    examples: tuple[str, ...]
    """The keys of some, at most five: ``user_key/scheme``."""

    def __str__(self) -> str:
        """Say it in a line.

        Examples
        --------
        >>> print(Difference("user_segment_daily", {"changed": 7, "added": 1}, ("u1/rfm", "u2/rfm")))
        user_segment_daily: 7 changed, 1 added, such as u1/rfm, u2/rfm
        """
        counts = ", ".join(f"{count:,} {how}" for how, count in self.rows.items())
        return f"{self.table}: {counts}, such as {', '.join(self.examples)}"


def folder(paths: ShopPaths, as_of: date) -> Path:
    """Return the folder that holds, or will hold, what was said about a day."""
    return paths.history / "bi" / as_of.isoformat()


def days(paths: ShopPaths) -> list[date]:
    """Return the as_of_dates that have been published, oldest first."""
    return sorted(date.fromisoformat(found.name) for found in (paths.history / "bi").glob("[0-9]*"))


def files(paths: ShopPaths, table: str, wanted: list[date]) -> list[str]:
    """Return a table's files of some days; a day published before the table existed has none."""
    candidates = (folder(paths, day) / f"{table}.parquet" for day in wanted)
    return [str(path) for path in candidates if path.exists()]


def files_then(paths: ShopPaths, table: str, day: date, version: str) -> list[str]:
    """Return a table's file of a day as it was told when a version was published, whoever restated it since.

    Versions are named by when they were begun; '' is before all.
    """
    since = sorted(
        found
        for found in (paths.history / "restated" / day.isoformat()).glob("[0-9]*")
        if found.name > version
    )
    path = [*since, folder(paths, day)][0] / f"{table}.parquet"
    return [str(path)] if path.exists() else []


def keep(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, database: str, as_of: date) -> None:
    """Write a day's facts, all tables in one commit, unless that day has been published before."""
    final = folder(paths, as_of)
    if not final.exists():
        part = _write_day(connection, paths, database, as_of)
        part.rename(final)
        sync_folder(final.parent)


def restate(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, database: str, as_of: date, note: journal.Record
) -> None:
    """Put a published day's facts in place of those before, which stay readable."""
    _take_place(paths, as_of, _write_day(connection, paths, database, as_of), note)


def compare_anew(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, rows: str, as_of: date, note: journal.Record
) -> None:
    """Put the users of a later day, compared anew with the days before it, in place of those before.

    Parameters
    ----------
    rows
        A table with all rows of ``user_segment_daily`` of this day; its other tables stay as they were.
    """
    part = _new_part(paths, as_of)
    for file in folder(paths, as_of).glob("*.parquet"):
        if file.stem != COMPARED:
            os.link(file, part / file.name)
    query = f"select * from {quoted(rows)} where as_of_date = ? order by all"  # noqa: S608
    _write(connection, query, [as_of], part / f"{COMPARED}.parquet")
    write_whole(part / HASHES, json.dumps(_hashes(connection, part)))
    _take_place(paths, as_of, part, note)


def recover(paths: ShopPaths) -> None:
    """Bring back a day whose restatement was killed between its two renames."""
    for earlier in (paths.history / "restated").glob("[0-9]*"):
        final = paths.history / "bi" / earlier.name
        if not final.exists():
            max(earlier.glob("[0-9]*")).rename(final)


def restatements(paths: ShopPaths) -> list[journal.Record]:
    """Return why days were told anew, oldest first: the notes of today's folders and of earlier ones."""
    notes = [
        json.loads(file.read_text(encoding="utf-8"))
        for pattern in (f"bi/[0-9]*/{RESTATEMENT}", f"restated/*/[0-9]*/{RESTATEMENT}")
        for file in paths.history.glob(pattern)
    ]
    return sorted(notes, key=lambda note: (note["restated_at"], note["as_of_date"]))


def said_at(paths: ShopPaths, as_of: date) -> str:
    """Return when a published day was first told, or last restated.

    A day that follows another in its comparisons is not told anew by that.
    """
    day = as_of.isoformat()
    restated = [
        str(note["restated_at"])
        for note in restatements(paths)
        if note["as_of_date"] == note["because_of"] == day
    ]
    published = [
        str(record["published_at"])
        for record in journal.read(paths.ops / "published_version.jsonl")
        if record["event"] == "published" and record["as_of_date"] == day
    ]
    # A publish that was killed after it had kept the facts left the folder, and no record.
    kept = datetime.fromtimestamp(folder(paths, as_of).stat().st_mtime, UTC).isoformat()
    return max(restated, default=min(published, default=kept))


def earlier_folder(paths: ShopPaths, as_of: date, version: str) -> Path:
    """Return where a day lies as it was told before a version restated it."""
    return paths.history / "restated" / as_of.isoformat() / version


def _take_place(paths: ShopPaths, as_of: date, part: Path, note: journal.Record) -> None:
    final, earlier = folder(paths, as_of), earlier_folder(paths, as_of, note["version"])
    write_whole(part / RESTATEMENT, json.dumps(note, ensure_ascii=False))
    earlier.parent.mkdir(parents=True, exist_ok=True)
    final.rename(earlier)
    part.rename(final)
    for changed in (earlier.parent, final.parent):
        sync_folder(changed)


def _new_part(paths: ShopPaths, as_of: date) -> Path:
    final = folder(paths, as_of)
    final.parent.mkdir(parents=True, exist_ok=True)
    part = final.with_name(f".{final.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    return part


def _write_day(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, database: str, as_of: date) -> Path:
    """Write a day's facts aside; return the folder that only lacks its name."""
    part = _new_part(paths, as_of)
    for table in FACT_TABLES:
        query = f"select * from {database}.bi.{quoted(table.name)} where as_of_date = ? order by all"  # noqa: S608
        _write(connection, query, [as_of], part / f"{table.name}.parquet")
    write_whole(part / HASHES, json.dumps(_hashes(connection, part)))
    query = f"""
        select ?::date as as_of_date, * exclude (valid_from, valid_to)
        from {database}.bi.dim_segment
        where valid_from <= ? and (valid_to is null or ? < valid_to) order by all
    """  # noqa: S608
    _write(connection, query, [as_of] * 3, part / f"{DEFINITIONS}.parquet")
    return part


def hashes(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date) -> dict[str, str]:
    """Return the content hash of each of a published day's tables, as noted when they were written."""
    try:
        return dict(json.loads((folder(paths, as_of) / HASHES).read_text()))
    except FileNotFoundError:
        return _hashes(connection, folder(paths, as_of))


def _hashes(connection: duckdb.DuckDBPyConnection, day: Path) -> dict[str, str]:
    tables = [table.name for table in FACT_TABLES if (day / f"{table.name}.parquet").exists()]
    return {
        table: content_hash(connection, "read_parquet(?)", parameters=[str(day / f"{table}.parquet")])
        for table in tables
    }


def _write(connection: duckdb.DuckDBPyConnection, query: str, values: list[object], path: Path) -> None:
    connection.execute(f"copy ({query}) to '{_literal(path)}' (format parquet, compression zstd)", values)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.chmod(0o444)


def _literal(path: Path) -> str:
    # COPY takes no parameter for its target.
    return str(path).replace("'", "''")


def differences(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, warehouse: str, as_of: date
) -> list[Difference]:
    """Say which tables of a published day would be different if they were computed now, and in which rows.

    Compares the rows that dbt computed (its intermediate models, or where a warehouse has none, the
    table itself) with those that were published, in the columns that both have. Says nothing about a day
    whose rows the warehouse no longer lays out.
    """
    if not _is_laid_out(connection, warehouse, as_of):
        return []
    found = []
    for table in FACT_TABLES:
        source = _computed(connection, warehouse, table.name, table.computed_by)
        for published in files(paths, table.name, [as_of]):
            now = column_names(connection, source)
            then = column_names(connection, "read_parquet(?)", [published])
            shared = [name for name in now if name in then]
            said = content_hash(connection, "read_parquet(?)", "as_of_date = ?", [published, as_of], shared)
            if content_hash(connection, source, "as_of_date = ?", [as_of], shared) != said:
                found.append(_difference(connection, table, source, published, as_of, shared))
    return found


def _difference(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    source: str,
    published: str,
    as_of: date,
    columns: list[str],
) -> Difference:
    """Compare row by row, by key, and as :func:`content_hash` does: the text of all but the provenance."""
    key = ", ".join(quoted(name) for name in table.key if name != "as_of_date")
    texts = ", ".join(f"cast({quoted(name)} as varchar)" for name in columns if name not in PROVENANCE)
    rows = connection.execute(
        f"""
        with published as (select {key}, [{texts}] as said from read_parquet(?) where as_of_date = ?),
        computed as (select {key}, [{texts}] as said from {source} where as_of_date = ?),
        find_differences as (
            select
                concat_ws('/', {key}) as row_key,
                case
                    when computed.said is null then 'gone' when published.said is null then 'added'
                    else 'changed'
                end as how
            from published full join computed using ({key})
            where published.said is distinct from computed.said
        ),
        number_examples as (
            select
                how,
                row_key,
                count(*) over (partition by how) as row_count,
                row_number() over (partition by how order by row_key) as place
            from find_differences
        )
        select how, row_key, row_count from number_examples where place <= ?
        order by place, how = 'gone', how = 'added'
        """,  # noqa: S608 - identifiers from our own tables only
        [published, as_of, as_of, EXAMPLES],
    ).fetchall()
    counts = {how: count for how, _, count in rows}
    return Difference(table.name, counts, tuple(row_key for _, row_key, _ in rows[:EXAMPLES]))


def contradictions(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, warehouse: str, as_of: date
) -> list[str]:
    """Say which tables of a published day the warehouse, restating it, tells otherwise."""
    said = hashes(connection, paths, as_of)
    return [
        table.name
        for table in FACT_TABLES
        if said.get(table.name)
        != content_hash(connection, f"{warehouse}.bi.{quoted(table.name)}", "as_of_date = ?", [as_of])
    ]


def _is_laid_out(connection: duckdb.DuckDBPyConnection, warehouse: str, as_of: date) -> bool:
    """Tell whether the last builds of both legs were for this day; a warehouse without their models is."""
    for model in ("int_user_rule_segments", "int_user_segments_assigned"):
        source = _computed(connection, warehouse, COMPARED, model)
        query = f"select count(*) from {source} where as_of_date = ?"  # noqa: S608
        if connection.execute(query, [as_of]).fetchall() == [(0,)]:
            return False
    return True


def _computed(connection: duckdb.DuckDBPyConnection, warehouse: str, table: str, model: str | None) -> str:
    row = connection.execute(
        "select table_schema from information_schema.tables where table_catalog = ? and table_name = ?",
        [warehouse, model],
    ).fetchone()
    if row and model:
        return f"{warehouse}.{quoted(row[0])}.{quoted(model)}"
    return f"{warehouse}.bi.{quoted(table)}"
