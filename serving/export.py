"""Exports: a version's tables as Parquet, CSV or XLSX files, or as schema ``bi`` of a Postgres.

All of an export is read from one version. Nothing is told of few users (:mod:`serving.small_groups`); what
leaves the company is coarser still (:mod:`serving.groups`). What was written, from which version and what was
folded is kept in ``ops/export_log.jsonl``, a table of the next version; so is what the dashboard gives away.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import journal
import settings
from cli import ShoalError, UsageError, console
from serving import groups, release, versions
from serving.groups import OTHER
from serving.query import connect, defused
from serving.small_groups import EMPTY, GROUP_TABLES, Total, shown
from serving.tables import BI_TABLES, quoted
from settings import ShopPaths

if TYPE_CHECKING:
    import duckdb

BATCH = 50_000
"""Rows in memory at once."""

SHEET_ROWS = 1_048_576
"""What an Excel sheet holds, its heading included."""

CODES = ("segment_code", "channel", "from_code", "to_code")
"""Columns that say ``_other`` in a row of several small groups."""

Rows = Iterator[list[tuple[Any, ...]]]

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""What XML, and so a workbook, cannot hold."""


@dataclass
class Table:
    """One table of an export, opened: what it holds, and what small groups did to it."""

    name: str
    key: tuple[str, ...]
    columns: dict[str, str]
    row_count: int
    folded_count: int = 0
    """Rows that stand for several small groups, ``_other``."""
    left_out_count: int | None = 0
    """Rows that are not told, of fewer than ten users; None where nobody counted them."""

    @property
    def has_user_keys(self) -> bool:
        return "user_key" in self.columns


@dataclass(frozen=True)
class Source:
    """A version that tables are read from."""

    connection: duckdb.DuckDBPyConnection
    version: str
    as_of_date: str

    def table(self, name: str) -> Table:
        """Open a table of schema ``bi``.

        Raises
        ------
        UsageError
            When the version has no such table; names those it has.
        """
        found = self.connection.execute(
            "select column_name, data_type from duckdb_columns() "
            "where schema_name = 'bi' and table_name = ? order by column_index",
            [name],
        ).fetchall()
        if not found:
            known = ", ".join(self.names())
            raise UsageError(f"version {self.version} has no table bi.{name}: choose of {known}")
        table = Table(name, _keys().get(name, ()), dict(found), 0)
        other = " or ".join(f"{code} = '{OTHER}'" for code in CODES if code in table.columns) or "false"
        (row,) = self.connection.execute(
            f"select count(*), count(*) filter (where {other}), "  # noqa: S608 - names of ours
            f"(select count(*) from bi.{quoted(name)}) - count(*) from {self._read(table)}"
        ).fetchall()
        table.row_count, table.folded_count, table.left_out_count = row
        return table

    def names(self) -> list[str]:
        rows = self.connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'bi' order by table_name"
        ).fetchall()
        return [name for (name,) in rows]

    def query(self, table: Table) -> str:
        """Return the query for a table's rows, by its key."""
        columns = ", ".join(map(quoted, table.columns))
        order = ", ".join(f"{quoted(name)} nulls last" for name in table.key) or "all"
        return f"select {columns} from {self._read(table)} order by {order}"  # noqa: S608

    def rows(self, table: Table) -> Rows:
        """Yield the rows, some thousands at a time."""
        cursor = self.connection.cursor().execute(self.query(table))
        while batch := cursor.fetchmany(BATCH):
            yield batch

    @cached_property
    def _withheld(self) -> dict[str, set[Total]]:
        with console.status("asking whom the funnel's steps would betray together"):
            return release.withheld(self.connection)

    def _read(self, table: Table) -> str:
        if table.name in GROUP_TABLES:
            withheld = self._withheld if table.name == "funnel_daily" else EMPTY
            return f"({shown(table.name, table.columns, withheld=withheld)})"
        return f"bi.{quoted(table.name)}"


@dataclass(frozen=True)
class Export:
    """Say what was written, from which version and where."""

    version: str
    target: str
    tables: list[Table]


def export(
    paths: ShopPaths,
    form: str,
    names: Sequence[str] = (),
    out: Path | None = None,
    is_for_others: bool = False,
) -> Export:
    """Write tables of the version in force, and log it.

    Parameters
    ----------
    form
        *parquet*, *csv*, *xlsx* or *postgres*.
    names
        Tables of schema ``bi``; none for all.
    out
        A folder, or for one table a file with the form's ending; ``exports/<version>`` of the shop if None.
        Postgres takes none.
    is_for_others
        Write what may leave the company, the tables of ``groups.duckdb``, and nothing else.

    Raises
    ------
    UsageError
        When a table does not exist, or ``out`` does not fit.
    ShoalError
        When nothing is published, a sheet can't hold a table, or Postgres refuses.
    """
    folder = versions.current_folder(paths)
    if folder is None:
        raise ShoalError(f"nothing has been published for shop {paths.shop}: run python -m serving publish")
    manifest = versions.find(paths, folder.name).manifest
    database = groups.DATABASE if is_for_others else versions.DATABASE
    with connect(paths, folder.name, database) as connection:
        source = Source(connection, folder.name, manifest["as_of_date"])
        tables = [source.table(name) for name in names or source.names()]
        if form == "postgres":
            from serving import postgres

            target = postgres.replace_schema(source, tables, paths)
        else:
            target = str(_write_files(source, tables, form, out or paths.root / "exports" / folder.name))
    note(paths, f"serving export {form}", form, target, source.version, source.as_of_date, tables)
    return Export(folder.name, target, tables)


def _write_files(source: Source, tables: list[Table], form: str, out: Path) -> Path:
    ending = f".{form}"
    is_file = out.suffix == ending
    if is_file and len(tables) > 1:
        raise UsageError(f"--out {out} is one file for {len(tables)} tables: name a folder, or one --table")
    if form == "xlsx":
        _require_sheets(tables)
    folder = out.parent if is_file else out
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        path = out if is_file else folder / f"{table.name}{ending}"
        _write_whole(path, lambda part, table=table: WRITERS[form](source, table, part))  # type: ignore[misc]
    return out.resolve()


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file for its owner only, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_parquet(source: Source, table: Table, path: Path) -> None:
    from pyarrow import parquet

    reader = source.connection.cursor().sql(source.query(table)).to_arrow_reader(BATCH)
    with parquet.ParquetWriter(path, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


def _write_csv(source: Source, table: Table, path: Path) -> None:
    # Excel takes a file for UTF-8 by its first bytes only.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(map(defused, table.columns))
        for batch in source.rows(table):
            writer.writerows(map(defused, row) for row in batch)


def _write_xlsx(source: Source, table: Table, path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet(table.name[:31])
    sheet.freeze_panes = "A2"
    sheet.append([_cell(sheet, name) for name in table.columns])
    for batch in source.rows(table):
        for row in batch:
            sheet.append([_cell(sheet, value) for value in row])
    book.save(path)


def _cell(sheet: Any, value: object) -> object:
    """Return what a sheet takes for a value; a text stays the text that it is, whatever it looks like."""
    from openpyxl.cell import WriteOnlyCell

    if not isinstance(value, str):
        return value
    cell = WriteOnlyCell(sheet, UNPRINTABLE.sub("", value))
    cell.data_type = "s"
    return cell


def _require_sheets(tables: list[Table]) -> None:
    for table in tables:
        if table.row_count >= SHEET_ROWS:
            raise ShoalError(
                f"bi.{table.name} has {table.row_count:,} rows, and an Excel sheet holds {SHEET_ROWS:,} with "
                "its heading: export it as parquet or csv, or ask for a part with "
                "python -m serving query --format csv"
            )


WRITERS: dict[str, Callable[[Source, Table, Path], None]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "xlsx": _write_xlsx,
}
FORMS = (*WRITERS, "postgres")


def _keys() -> dict[str, tuple[str, ...]]:
    return groups.TABLES | {table.name: table.key for table in BI_TABLES}


def note(
    paths: ShopPaths,
    command: str,
    form: str,
    target: str,
    version: str,
    as_of_date: str,
    tables: Sequence[Table],
) -> None:
    """Note what was taken away in the log of exports, one record per table."""
    said: dict[str, Any] = {
        "exported_at": journal.now(),
        "run_id": settings.run_id(),
        "shop": paths.shop,
        "command": command,
        "form": form,
        "target": target,
        "version": version,
        "as_of_date": as_of_date,
    }
    records = [
        {
            **said,
            "table": table.name,
            "row_count": table.row_count,
            "folded_count": table.folded_count,
            "left_out_count": table.left_out_count,
            "has_user_keys": table.has_user_keys,
        }
        for table in tables
    ]
    journal.append(paths.ops / "export_log.jsonl", records)
