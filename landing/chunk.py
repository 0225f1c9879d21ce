"""Lands files of one source together: text in, Parquet and quarantine out, nothing committed yet.

Many small files cost as much as one large one this way; each keeps its own rows, counts,
Parquet and quarantine. What is returned is committed by one line per file in the ledger.
"""

# ruff: noqa: S608  (identifiers come from contracts and shop files, quoted; every value is a parameter)

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import duckdb

from landing import civil_time, contracts, parquet, quarantine, readers
from landing.incoming import IncomingFile
from landing.ledger import LandedDay
from landing.readers import Bundle
from landing.shops import Shop, Source
from landing.translation import Translation
from settings import ShopPaths

MEMORY_LIMIT = "1500MB"
OPEN_FILES = 400
"""Days written side by side; below the usual limit of 1,024 open files of a process."""


@dataclass(frozen=True)
class Arrival:
    """A file with the day of its delivery."""

    file: IncomingFile
    delivered_on: date | Literal["row"]

    @property
    def day(self) -> date | None:
        """The one day of its delivery; None where each row has its own."""
        return self.delivered_on if isinstance(self.delivered_on, date) else None


@dataclass
class Landed:
    """What became of one file."""

    rows_in: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    tables: list[LandedDay] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    refused: str | None = None

    @property
    def rows_good(self) -> int:
        """By the law of conservation: all that is neither quarantined nor a repeat."""
        return self.rows_in - self.rows_quarantined - self.rows_duplicate


def connect(shop: Shop, paths: ShopPaths, incoming: Path, scratch: Path) -> duckdb.DuckDBPyConnection:
    """Open a connection that reaches the incoming files and the landing folder, and nothing else.

    The shop file's expressions run on it, and so does DuckDB's reader on foreign bytes.
    """
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set memory_limit = $limit", {"limit": MEMORY_LIMIT})
    connection.execute("set temp_directory = $folder", {"folder": str(scratch / "spill")})
    connection.execute("set partitioned_write_max_open_files = $files", {"files": OPEN_FILES})
    folders = [f"{folder.resolve()}{os.sep}" for folder in (incoming, paths.landing)]
    connection.execute("set allowed_directories = $folders", {"folders": folders})
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    civil_time.create_zone_day(connection, shop.zone)
    return connection


@dataclass(frozen=True)
class Chunk:
    """Files of one source with one header."""

    shop: Shop
    paths: ShopPaths
    source: Source
    arrivals: tuple[Arrival, ...]
    header: tuple[str, ...]
    scratch: Path

    def halves(self) -> Iterator[Chunk]:
        """Yield its first and its second half, to find the file that spoils it."""
        middle = len(self.arrivals) // 2
        yield replace(self, arrivals=self.arrivals[:middle])
        yield replace(self, arrivals=self.arrivals[middle:])

    @property
    def bundle(self) -> Bundle:
        """The same files as the readers want them."""
        files = [arrival.file for arrival in self.arrivals]
        paths = tuple(file.path for file in files)
        return Bundle(
            paths, files[0].format, self.header, self.source.csv, self.scratch, self.source.jsonl.each
        )

    @property
    def translations(self) -> list[Translation]:
        """One per table, tables that know when things happened first: they date the others in a history."""
        formats = self.shop.formats_of(self.source)
        found = [
            Translation(contracts.load()[table], mapping, formats, self.shop.currency, self.shop.time_zone)
            for table, mapping in self.source.tables.items()
        ]
        return sorted(found, key=lambda translation: translation.contract.happened_at is None)

    def land(self, connection: duckdb.DuckDBPyConnection, secret: bytes) -> list[Landed]:
        """Write Parquet and quarantine of every file; return what became of each, in their order.

        Raises
        ------
        readers.UnreadableError
            When some file cannot be read; of several files, land the halves instead.
        """
        readers.read(connection, self.bundle)
        landed = [Landed() for _ in self.arrivals]
        self._create_files(connection)
        _find_duplicates(connection, self.bundle.fields)
        self._name_rows(connection, landed)
        for translation in self.translations:
            connection.execute(*translation.statement(secret))
        self._date_history(connection)
        self._collect_bad(connection)
        self._count(connection, landed)
        for translation in self.translations:
            self._write(connection, translation, secret, landed)
        self._quarantine(connection, landed)
        return landed

    def _create_files(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            """
            create or replace temp table file as
            select
                unnest($index)::bigint as file_index,
                unnest($id)::varchar as file_id,
                unnest($day)::date as delivered_on
            """,
            {
                "index": list(range(len(self.arrivals))),
                "id": [arrival.file.file_id for arrival in self.arrivals],
                "day": [arrival.day for arrival in self.arrivals],
            },
        )

    def _name_rows(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        """Show rows under the source's names; jsonl tells only now which columns it has."""
        connection.execute(
            """
            create or replace temp table fault
            (file_index bigint, row_number bigint, position integer, table_name varchar, reasons varchar[])
            """
        )
        connection.execute(
            """
            insert into fault
            select file_index, row_number, 0, $table, [reason] from broken where not is_duplicate
            """,
            {"table": self._first_table},
        )
        rows = "clean"
        if self.bundle.format == "jsonl":
            rows = "understood"
            self._understand_json(connection, landed)
        readers.name_columns(connection, self.bundle, self.source.reads, rows)

    def _understand_json(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        connection.execute(
            """
            create or replace temp table understood as
            from clean where case when json_valid(c0) then json_type(c0) = 'OBJECT' else false end
            """
        )
        connection.execute(
            """
            insert into fault
            select file_index, row_number, 0, $table, ['invalid_json']
            from clean anti join understood using (file_index, row_number)
            """,
            {"table": self._first_table},
        )
        found = connection.execute(
            """
            select file_index, list(distinct key order by key)
            from (
                select
                    file_index,
                    unnest(
                        json_keys(c0) || list_filter($pointers, lambda pointer: json_exists(c0, pointer))
                    ) as key
                from understood
            )
            group by file_index
            """,
            {"pointers": sorted(name for name in self.source.reads if name.startswith("/"))},
        ).fetchall()
        for file_index, keys in found:
            landed[file_index].refused = self.source.refusal(tuple(keys))
        refused = [index for index, file in enumerate(landed) if file.refused]
        connection.execute(
            "delete from understood where list_contains($refused::bigint[], file_index)", {"refused": refused}
        )

    @property
    def _first_table(self) -> str:
        """Where a row is listed whose fault lies before any table."""
        return next(iter(self.source.tables))

    def _date_history(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Give rows without a time of their own the day of their source row, where that is the delivery."""
        dated = [each.target for each in self.translations if each.contract.happened_at]
        undated = [each.target for each in self.translations if not each.contract.happened_at]
        if not dated or all(arrival.day for arrival in self.arrivals):
            return
        days = " union all ".join(f"select file_index, row_number, event_date from {name}" for name in dated)
        for name in undated:
            connection.execute(
                f"""
                update {name} as undated
                set event_date = dated.event_date
                from ({days}) as dated
                where undated.event_date is null
                    and undated.file_index = dated.file_index
                    and undated.row_number = dated.row_number
                """
            )

    def _collect_bad(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Create ``bad``: every bad row with all its reasons, whoever found them."""
        for rule in self.source.quarantine:
            connection.execute(
                f"""
                insert into fault
                select file_index, row_number, 1, $table, [$reason] from named where ({rule.where}
                )
                """,
                {"table": self._first_table, "reason": rule.reason},
            )
        homes = [mapping.where for mapping in self.source.tables.values() if not mapping.first_per]
        if all(homes):  # a table without a condition takes every row
            belongs = " or ".join(f"coalesce(({where}\n), false)" for where in homes)
            connection.execute(
                f"""
                insert into fault
                select file_index, row_number, 2, $table, ['in_no_table'] from named where not ({belongs})
                """,
                {"table": self._first_table},
            )
        for position, each in enumerate(self.translations, start=3):
            connection.execute(
                f"""
                insert into fault
                select file_index, row_number, $position, $table, reasons
                from {each.target} where reasons is not null
                """,
                {"position": position, "table": each.contract.table},
            )
        connection.execute(
            """
            create or replace temp table bad as
            select
                file_index,
                row_number,
                min_by(table_name, position) as table_name,
                flatten(list(reasons order by position)) as reasons
            from fault
            group by file_index, row_number
            """
        )

    def _count(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        counted = connection.execute(
            """
            with counts as (
                select file_index, count(*) as rows_in, 0 as duplicates, 0 as bad from numbered group by 1
                union all
                select file_index, count(*), count(*) filter (where is_duplicate), 0 from broken group by 1
                union all
                select file_index, 0, count(*), 0 from duplicate group by 1
                union all
                select file_index, 0, 0, count(*) from bad group by 1
            )
            select file_index, sum(rows_in)::bigint, sum(duplicates)::bigint, sum(bad)::bigint
            from counts
            group by file_index
            """
        ).fetchall()
        for file_index, rows_in, duplicates, bad in counted:
            file = landed[file_index]
            if not file.refused:
                file.rows_in, file.rows_duplicate, file.rows_quarantined = rows_in, duplicates, bad

    def _write(
        self,
        connection: duckdb.DuckDBPyConnection,
        translation: Translation,
        secret: bytes,
        landed: list[Landed],
    ) -> None:
        places = {arrival.file.file_id: index for index, arrival in enumerate(self.arrivals)}
        for file_id, day in parquet.write(connection, translation, secret, self.paths, self.scratch):
            landed[places[file_id]].tables.append(day)

    def _quarantine(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        bad_rows: dict[int, list[quarantine.Row]] = defaultdict(list)
        for file_index, row in self._bad_rows(connection):
            bad_rows[file_index].append(row)
        for file_index, rows in sorted(bad_rows.items()):
            if landed[file_index].refused:
                continue
            quarantine.write(self.paths, self.arrivals[file_index].file.file_id, rows)
            reasons = landed[file_index].reasons
            for reason in (reason for row in rows for reason in row["reasons"]):
                reasons[reason] = reasons.get(reason, 0) + 1

    def _bad_rows(self, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[int, quarantine.Row]]:
        found = connection.execute(
            f"""
            select
                bad.file_index, bad.row_number, bad.table_name, bad.reasons, broken.raw, {self.bundle.fields}
            from bad
            left join broken using (file_index, row_number)
            left join numbered using (file_index, row_number)
            order by bad.file_index, bad.row_number
            """
        )
        while batch := found.fetchmany(10_000):
            for file_index, row_number, table, reasons, broken, *values in batch:
                raw = json.loads(broken) if broken is not None else self._raw(values)
                row = {"row_number": row_number, "table": table, "reasons": list(dict.fromkeys(reasons))}
                columns = quarantine.shown(raw, self.source) if isinstance(raw, dict) else {}
                yield file_index, {**row, "columns": columns, "raw": raw}

    def _raw(self, values: list[str | None]) -> Any:
        if self.bundle.format != "jsonl":
            return dict(zip(self.header, values, strict=True))
        try:
            return json.loads(values[0] or "")
        except ValueError:
            return values[0]


def _find_duplicates(connection: duckdb.DuckDBPyConnection, fields: str) -> None:
    """Find rows whose every raw field equals an earlier row's of the same file; the rest is ``clean``.

    A hash picks the few rows that may repeat; only these are compared field by field.
    """
    connection.execute("drop view if exists clean")
    connection.execute(
        f"""
        create or replace temp table duplicate as
        with
        hashed as (
            select file_index, row_number, {fields}, hash({fields}) as digest from numbered
        ),
        suspect as (
            select file_index, digest from hashed group by file_index, digest having count(*) > 1
        )
        select file_index, row_number
        from hashed semi join suspect using (file_index, digest)
        qualify row_number() over (partition by file_index, {fields} order by row_number) > 1
        """
    )
    connection.execute(
        "create temp view clean as from numbered anti join duplicate using (file_index, row_number)"
    )
