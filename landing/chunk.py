"""Lands files of one source together: text in, Parquet and quarantine out, nothing committed yet.

Many small files cost as much as one large one this way; each keeps its own rows, counts,
Parquet and quarantine. What is returned is committed by one line per file in the ledger.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import duckdb

from landing import civil_time, contracts, pseudonyms, quarantine, readers
from landing.incoming import IncomingFile
from landing.ledger import LandedDay
from landing.readers import Bundle, quoted
from landing.shops import Shop, Source
from landing.translation import Translation, first_per, pseudonymised
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
        return None if self.delivered_on == "row" else self.delivered_on


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

    def only(self, arrival: Arrival) -> Chunk:
        """Return the chunk of one of its files alone."""
        return replace(self, arrivals=(arrival,))

    @property
    def bundle(self) -> Bundle:
        """The same files as the readers want them."""
        files = [arrival.file for arrival in self.arrivals]
        return Bundle(
            tuple(file.path for file in files), files[0].format, self.header, self.source.csv, self.scratch
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
            When some file of several cannot be read: then land them one by one.
        """
        readers.read(connection, self.bundle)
        landed = [Landed() for _ in self.arrivals]
        self._create_files(connection)
        self._find_duplicates(connection)
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
            "create or replace temp table file as select unnest($index)::bigint as file_index, "
            "unnest($id)::varchar as file_id, unnest($day)::date as delivered_on",
            {
                "index": list(range(len(self.arrivals))),
                "id": [arrival.file.file_id for arrival in self.arrivals],
                "day": [arrival.day for arrival in self.arrivals],
            },
        )

    def _find_duplicates(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Find rows whose every raw field equals an earlier row's of the same file.

        A hash picks the few rows that may repeat; only these are compared field by field.
        """
        fields = ", ".join(f"c{index}" for index in range(readers.width(self.bundle)))
        connection.execute("drop view if exists clean")
        connection.execute(
            "\n".join(
                [
                    "create or replace temp table duplicate as",
                    f"with hashed as (select file_index, row_number, {fields}, hash({fields}) as digest from numbered),",
                    "suspect as (select file_index, digest from hashed group by all having count(*) > 1)",
                    "select file_index, row_number from hashed semi join suspect using (file_index, digest)",
                    f"qualify row_number() over (partition by file_index, {fields} order by row_number) > 1",
                ]
            )
        )
        connection.execute(
            "create temp view clean as from numbered anti join duplicate using (file_index, row_number)"
        )

    def _name_rows(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        """Show rows under the source's names; jsonl tells only now which columns it has."""
        connection.execute(
            "create or replace temp table fault "
            "(file_index bigint, row_number bigint, position integer, table_name varchar, reasons varchar[])"
        )
        connection.execute(
            "insert into fault select file_index, row_number, 0, $table, [reason] from broken where not is_duplicate",
            {"table": next(iter(self.source.tables))},
        )
        rows = "clean"
        if self.bundle.format == "jsonl":
            rows = "understood"
            self._understand_json(connection, landed)
        readers.name_columns(connection, self.bundle, self.source.reads, rows)

    def _understand_json(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        connection.execute(
            "create or replace temp table understood as select * from clean "
            "where case when json_valid(c0) then json_type(c0) = 'OBJECT' else false end"
        )
        connection.execute(
            "insert into fault select file_index, row_number, 0, $table, ['invalid_json'] "
            "from clean anti join understood using (file_index, row_number)",
            {"table": next(iter(self.source.tables))},
        )
        found = connection.execute(
            "select file_index, list(distinct key order by key) "
            "from (select file_index, unnest(json_keys(c0)) as key from understood) group by file_index"
        ).fetchall()
        for file_index, keys in found:
            if refusal := self.source.refusal(tuple(keys)):
                landed[file_index].refused = refusal
        refused = [index for index, file in enumerate(landed) if file.refused]
        if refused:
            connection.execute(
                "delete from understood where list_contains($refused, file_index)", {"refused": refused}
            )

    def _date_history(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Where each row was delivered on its own day, tables without a time take it from their neighbours."""
        dated = [each for each in self.translations if each.contract.happened_at]
        for each in self.translations:
            if each.contract.happened_at is None and dated:
                days = " union all ".join(
                    f"select file_index, row_number, event_date from {other.target}" for other in dated
                )
                connection.execute(
                    "\n".join(
                        [
                            f"update {each.target} as undated set event_date = dated.event_date",
                            f"from ({days}) as dated where undated.event_date is null",
                            "and undated.file_index = dated.file_index and undated.row_number = dated.row_number",
                        ]
                    )
                )

    def _collect_bad(self, connection: duckdb.DuckDBPyConnection) -> None:
        first_table = next(iter(self.source.tables))
        for rule in self.source.quarantine:
            connection.execute(
                "\n".join(
                    [
                        "insert into fault select file_index, row_number, 1, $table, [$reason]",
                        f"from named where (\n{rule.where}\n)",
                    ]
                ),
                {"table": first_table, "reason": rule.reason},
            )
        homes = [mapping.where for mapping in self.source.tables.values() if not mapping.first_per]
        if all(homes):
            belongs = " or ".join(f"coalesce((\n{where}\n), false)" for where in homes)
            connection.execute(
                "\n".join(
                    [
                        "insert into fault select file_index, row_number, 2, $table, ['in_no_table']",
                        f"from named where not ({belongs})",
                    ]
                ),
                {"table": first_table},
            )
        for position, each in enumerate(self.translations, start=3):
            connection.execute(
                "\n".join(
                    [
                        "insert into fault select file_index, row_number, $position, $table, reasons",
                        f"from {each.target} where reasons is not null",
                    ]
                ),
                {"position": position, "table": each.contract.table},
            )
        connection.execute(
            "create or replace temp table bad as select file_index, row_number, "
            "min_by(table_name, position) as table_name, flatten(list(reasons order by position)) as reasons "
            "from fault group by file_index, row_number"
        )

    def _count(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        counted = connection.execute(
            "select file_index, sum(rows_in), sum(duplicates), sum(bad) from ("
            "select file_index, count(*) as rows_in, 0 as duplicates, 0 as bad from numbered group by 1 "
            "union all select file_index, count(*), count(*) filter (where is_duplicate), 0 from broken group by 1 "
            "union all select file_index, 0, count(*), 0 from duplicate group by 1 "
            "union all select file_index, 0, 0, count(*) from bad group by 1) group by file_index"
        ).fetchall()
        for file_index, rows_in, duplicates, bad in counted:
            file = landed[file_index]
            if not file.refused:
                file.rows_in, file.rows_duplicate, file.rows_quarantined = int(rows_in), int(duplicates), int(bad)

    def _write(
        self, connection: duckdb.DuckDBPyConnection, translation: Translation, secret: bytes, landed: list[Landed]
    ) -> None:
        """Write one table's good rows, one Parquet per file and business day, and move each into place."""
        table = translation.contract.table
        aside = self.scratch / table
        keys = ", ".join(quoted(first_per(source)) for source in translation.mapping.first_per)
        only_first = (
            f"qualify row_number() over (partition by file_index, delivered_on, {keys} order by row_number) = 1"
        )
        rows = pseudonymised(translation.contract)
        written = connection.execute(
            "\n".join(
                [
                    "copy (with good as (select * exclude (delivered_on),",
                    "coalesce(delivered_on, event_date) as delivered_on",
                    f"from {translation.target} anti join bad using (file_index, row_number)),",
                    f"first as (select * from good {only_first if keys else ''}),",
                    "chosen as materialized (select * from first",
                    "join (select file_index, file_id from file) as receipt using (file_index))",
                    f"{rows}) to $folder (format parquet, partition_by (event_date, file_id),",
                    "write_partition_columns true, hive_file_pattern false, return_stats)",
                ]
            ),
            {"folder": str(aside)} | (pseudonyms.pads(secret) if "$inner" in rows else {}),
        ).fetchall()
        places = {arrival.file.file_id: index for index, arrival in enumerate(self.arrivals)}
        for (file_id, day), parts in sorted(_by_file_and_day(written).items()):
            final = self.paths.landing / table / day / f"{file_id}.parquet"
            _move(connection, [Path(part) for part, _ in parts], final)
            rows = sum(count for _, count in parts)
            landed[places[file_id]].tables.append(
                LandedDay(table=table, event_date=date.fromisoformat(day), rows_written=rows)
            )
        shutil.rmtree(aside, ignore_errors=True)

    def _quarantine(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        bad_rows: dict[int, list[quarantine.Row]] = defaultdict(list)
        for file_index, row in self._bad_rows(connection):
            bad_rows[file_index].append(row)
        for file_index, rows in sorted(bad_rows.items()):
            if landed[file_index].refused:
                continue
            quarantine.write(self.paths, self.arrivals[file_index].file.file_id, rows)
            for row in rows:
                for reason in row["reasons"]:
                    landed[file_index].reasons[reason] = landed[file_index].reasons.get(reason, 0) + 1

    def _bad_rows(self, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[int, quarantine.Row]]:
        fields = ", ".join(f"c{index}" for index in range(readers.width(self.bundle)))
        found = connection.execute(
            "\n".join(
                [
                    f"select bad.file_index, bad.row_number, table_name, reasons, broken.raw, {fields}",
                    "from bad left join broken using (file_index, row_number)",
                    "left join numbered using (file_index, row_number) order by all",
                ]
            )
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


def _by_file_and_day(written: list[tuple[Any, ...]]) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """Sort DuckDB's report of a partitioned copy: parts (path, rows) per file_id and event_date."""
    parts: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for path, rows, _size, _footer, _statistics, partition, *_ in written:
        parts[partition["file_id"], partition["event_date"]].append((path, rows))
    return parts


def _move(connection: duckdb.DuckDBPyConnection, parts: list[Path], final: Path) -> None:
    """Put a finished Parquet file into place; a day that was written in several parts is joined first."""
    final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = parts[0]
    if len(parts) > 1:
        part = final.with_suffix(".tmp")
        connection.read_parquet([str(each) for each in parts]).write_parquet(str(part))
    _make_durable(part)
    os.replace(part, final)


def _make_durable(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
