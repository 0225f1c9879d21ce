"""Lands files of one source together: text in, Parquet and quarantine out, nothing committed yet.

Many small files cost as much as one large one this way; each keeps its own rows, counts,
Parquet and quarantine. What is returned is committed by one line per file in the ledger.
"""

# ruff: noqa: S608  (identifiers come from contracts and shop files, quoted; every value is a parameter)

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from itertools import chain, filterfalse, groupby
from pathlib import Path
from typing import Any, Literal

import duckdb

from landing import civil_time, contracts, parquet, quarantine, readers, straight
from landing.incoming import IncomingFile
from landing.ledger import LandedDay, part_name
from landing.readers import Bundle
from landing.shops import Shop, Source
from landing.translation import Translation
from settings import ShopPaths

MEMORY_LIMIT = "1500MB"
SPILL_LIMIT = "64GB"
"""What a call may need of the disk beside its Parquet: for many times the largest honest delivery."""

CHUNK_FILES = 400
CHUNK_BYTES = 256 << 20
"""Files landed in one go: enough to spread the cost of a query, few enough to fit in memory."""

FEW_ROWS = 5
"""Under five bad rows are typing errors: they alone hold a file only if no row of it is good."""

PACKED = (".gz", ".parquet", ".xlsx")
UNPACKED = 8
"""What a packed byte becomes as text: tables of shops shrink to a sixth or a tenth."""

OPEN_FILES = 400
"""Days written side by side; below the usual limit of 1,024 open files of a process."""


UNTAKEABLE = (duckdb.DataError, duckdb.InvalidInputException)
"""What DuckDB raises where an expression of a shop's file cannot take a value, as strptime or a division by
zero; it quotes the value, and that may name a person."""


@dataclass(frozen=True)
class Arrival:
    """A file with the day of its delivery, and of a replay its number."""

    file: IncomingFile
    delivered_on: date | Literal["row"]
    part: int = 0

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
    rows_set_aside: int = 0
    rows_waiting: int = 0
    due_on: date | None = None
    tables: list[LandedDay] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    refused: str | None = None
    columns: tuple[str, ...] = ()

    @property
    def rows_good(self) -> int:
        """By the law of conservation: all that is neither quarantined nor a repeat."""
        return self.rows_in - self.rows_quarantined - self.rows_duplicate

    def columns_unread(self, source: Source) -> list[str]:
        """Return the columns of the file that no mapping reads."""
        return sorted(set(self.columns) - source.reads)

    def too_many_quarantined(self, source: Source) -> str | None:
        """Say why the file is held: more of its rows are bad than its contracts allow; None when few are.

        A row whose only fault is that its day has not come is not bad.
        """
        share = min(contracts.load()[table].max_quarantined_share for table in source.tables)
        bad = self.rows_set_aside - self.rows_waiting
        if bad <= share * self.rows_in or (bad < FEW_ROWS and self.rows_good):
            return None
        worst = sorted(self.reasons.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
        told = ", ".join(f"{reason} {rows:,}" for reason, rows in worst)
        return f"{bad:,} of {self.rows_in:,} rows quarantined, allowed {share:.0%}: {told}"


def cannot_take(source: Source) -> str:
    """Say what to do about an expression that raises one of :data:`UNTAKEABLE`, without the value."""
    return (
        f"some expression of source {source.name!r} cannot take one of its values: let it give "
        "null for such a value, as by try_cast, in the shop's file"
    )


def connect(shop: Shop, paths: ShopPaths, incoming: Path, scratch: Path) -> duckdb.DuckDBPyConnection:
    """Open a connection that reaches the incoming files and the landing folder, and nothing else.

    The shop file's expressions run on it, and so does DuckDB's reader on foreign bytes.
    """
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set memory_limit = $limit", {"limit": MEMORY_LIMIT})
    connection.execute("set temp_directory = $folder", {"folder": str(scratch / "spill")})
    connection.execute("set max_temp_directory_size = $limit", {"limit": SPILL_LIMIT})
    connection.execute("set partitioned_write_max_open_files = $files", {"files": OPEN_FILES})
    # A csv does not tell how many rows it has, so DuckDB would gather it to look small tables up in it: joins
    # here are written with the small table on the right.
    connection.execute("set disabled_optimizers = 'build_side_probe_side'")
    folders = [f"{folder.resolve()}{os.sep}" for folder in (incoming, paths.landing)]
    connection.execute("set allowed_directories = $folders", {"folders": folders})
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    civil_time.create_zone_day(connection, shop.zone)
    return connection


@dataclass(frozen=True)
class Replay:
    """Which rows of the quarantine are read again, and up to which day waiting rows are due."""

    due: date | None
    only_due: bool

    def takes(self, row: quarantine.Row) -> bool:
        """Whether a row is read again: one with columns, and of those maybe only what has come due."""
        if isinstance(row["raw"], list):
            return False
        return not self.only_due or bool(self.due and row["due_on"] and row["due_on"] <= self.due.isoformat())


@dataclass(frozen=True)
class Chunk:
    """Files of one source with one header; in a replay, what the quarantine holds of them."""

    shop: Shop
    paths: ShopPaths
    source: Source
    arrivals: tuple[Arrival, ...]
    header: tuple[str, ...]
    scratch: Path
    replay: Replay | None = None

    def halves(self) -> Iterator[Chunk]:
        """Yield its first and its second half, to find the file that spoils it."""
        middle = len(self.arrivals) // 2
        yield replace(self, arrivals=self.arrivals[:middle])
        yield replace(self, arrivals=self.arrivals[middle:])

    @cached_property
    def bundle(self) -> Bundle:
        """The same files as the readers want them."""
        first, dialect = self.arrivals[0].file, self.source.csv
        paths = tuple(arrival.file.path for arrival in self.arrivals)
        if first.format in ("csv", "jsonl") and not self.replay:
            dialect = dialect.model_copy(update={"encoding": readers.encoding(first.path, dialect)})
        return Bundle(
            paths, first.format, self.header, dialect, self.scratch, first.has_nul, self.source.jsonl.each
        )

    @property
    def translations(self) -> list[Translation]:
        """One per table, tables that know when things happened first: they date the others in a history."""
        formats = self.shop.formats_of(self.source)
        found = [
            Translation(
                *(contracts.load()[table], mapping, formats),
                *(self.shop.currency, self.shop.time_zone, readers.row_text(self.bundle)),
                is_all_text=self.bundle.format == "csv",
                is_workbook=self.bundle.format == "xlsx",
                is_jsonl=self.bundle.format == "jsonl",
            )
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
        self._create_files(connection)
        if self._may_go_straight and (whole := self._land_straight(connection, secret)):
            return [whole]
        if self.replay:
            readers.read_again(connection, self.bundle, self._replayed_rows(self.replay))
        else:
            readers.read(connection, self.bundle)
        landed = [Landed(columns=self.header) for _ in self.arrivals]
        _find_duplicates(connection, self.bundle.fields)
        self._name_rows(connection, landed)
        for translation in self.translations:
            connection.execute(*translation.statement(secret))
        self._date_history(connection)
        self._date_releases(connection)
        self._refuse_retyped(connection, landed)
        self._collect_bad(connection)
        self._count(connection, landed)
        for translation in self.translations:
            self._write(connection, translation, secret, landed)
        self._quarantine(connection, landed)
        if not self.replay:
            self._keep_unread(connection, landed)
        return landed

    @property
    def _may_go_straight(self) -> bool:
        """Whether it is one large plain csv of which every column and row goes to one table."""
        file, mappings = self.arrivals[0].file, list(self.source.tables.values())
        return (
            len(self.arrivals) == len(mappings) == 1
            and not (self.replay or self.source.quarantine or mappings[0].where or mappings[0].first_per)
            and file.path.suffix.lower() == ".csv"
            and file.size >= straight.LEAST_BYTES
            and self.bundle.is_plain
            and self.source.reads >= set(self.header)
        )

    def _land_straight(self, connection: duckdb.DuckDBPyConnection, secret: bytes) -> Landed | None:
        """Land a file that has no fault; None when it has."""
        (translation,), (arrival,) = self.translations, self.arrivals
        try:
            days = parquet.write_straight(
                *(connection, self.bundle, self.source.reads, translation, secret),
                *(self.paths, self.scratch, arrival.file.file_id),
            )
        except straight.FaultError:
            return None
        return Landed(rows_in=sum(day.rows_written for day in days), tables=days, columns=self.header)

    def _replayed_rows(self, replay: Replay) -> Iterator[readers.NumberedRow]:
        for file_index, arrival in enumerate(self.arrivals):
            for row in filter(replay.takes, self._stored(arrival)):
                raw = row["raw"]
                yield file_index, row["row_number"], [raw] if isinstance(raw, str) else list(raw.values())

    def _stored(self, arrival: Arrival) -> Iterator[quarantine.Row]:
        """Yield what the quarantine holds of a file, as its last landing or replay left it."""
        return quarantine.stored(self.paths, part_name(arrival.file.file_id, arrival.part - 1))

    def _create_files(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            """
            create or replace temp table file as
            select *, greatest(delivered_on, $due::date) as due_by
            from (
                select
                    unnest($index)::bigint as file_index,
                    unnest($id)::varchar as file_id,
                    unnest($day)::date as delivered_on
            )
            """,
            {
                "index": list(range(len(self.arrivals))),
                "id": [arrival.file.file_id for arrival in self.arrivals],
                "day": [arrival.day for arrival in self.arrivals],
                "due": self.replay and self.replay.due,
            },
        )

    def _name_rows(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        """Show rows under the source's names; jsonl tells only now which columns it has."""
        connection.execute(
            """
            create or replace temp table fault
            (
                file_index bigint, row_number bigint, position integer, table_name varchar,
                reasons varchar[], due_on date
            )
            """
        )
        connection.execute(
            """
            insert into fault
            select file_index, row_number, 0, $table, [reason], null from broken where not is_duplicate
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
            select file_index, row_number, 0, $table, ['invalid_json'], null
            from clean anti join understood using (file_index, row_number)
            """,
            {"table": self._first_table},
        )
        connection.execute(
            r"""
            insert into fault
            select file_index, row_number, 0, $table, ['nul_character'], null
            from understood where contains(c0, '\u0000')
            """,
            {"table": self._first_table},
        )
        # Of a name that stands twice DuckDB would read the first value, Python the last. Many lines share few
        # lists of names, and only these are looked through.
        connection.execute(
            """
            insert into fault
            select file_index, row_number, 0, $table, ['repeated_name'], null
            from understood
            semi join (
                select json_keys(c0)::varchar as names from understood
                group by names having list_unique(any_value(json_keys(c0))) < len(any_value(json_keys(c0)))
            ) as repeated on repeated.names = json_keys(understood.c0)::varchar
            """,
            {"table": self._first_table},
        )
        if self.replay:  # the file was taken once, whatever its bad rows lack
            return
        found = connection.execute(
            """
            select file_index, count(*), list(key order by key)[:$most]
            from (
                select distinct
                    file_index,
                    unnest(
                        json_keys(c0)
                        || list_filter($pointers, lambda pointer: json_exists(c0, pointer))
                        || flatten(
                            list_transform(
                                $above,
                                lambda pointer: list_transform(
                                    coalesce(json_keys(json_extract(c0, pointer)), []),
                                    lambda name:
                                        pointer || '/' || replace(replace(name, '~', '~0'), '/', '~1')
                                )
                            )
                        )
                    ) as key
                from understood
            )
            group by file_index
            """,
            {
                "most": readers.MAX_COLUMNS,
                "pointers": sorted(name for name in self.source.reads if name.startswith("/")),
                "above": sorted(self.source.opened),
            },
        ).fetchall()
        for file_index, key_count, keys in found:
            file = landed[file_index]
            opened = self.source.opened
            file.columns = tuple(key for key in keys if key not in opened and f"/{key}" not in opened)
            file.refused = readers.too_wide(key_count) or self.source.refusal(file.columns)
        refused = [index for index, file in enumerate(landed) if file.refused]
        connection.execute(
            "delete from understood where list_contains($refused::bigint[], file_index)", {"refused": refused}
        )

    @property
    def _first_table(self) -> str:
        """Where a row is listed whose fault lies before any table."""
        return next(iter(self.source.tables))

    def _date_history(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Give rows without a time of their own the day of their source row, where that is the delivery.

        One whose source row is in no table that tells a time is ``undated``.
        """
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
            connection.execute(
                f"""
                update {name} set reasons = list_append(coalesce(reasons, []), 'undated')
                where event_date is null
                    and (file_index, row_number) not in (select (file_index, row_number) from ({days}))
                """
            )

    def _date_releases(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a source row that waited for its day become known, in all its tables, on that day."""
        dated = [each.target for each in self.translations if each.contract.happened_at]
        if not dated or not self.replay:
            return
        days = " union all ".join(f"select file_index, row_number, event_date from {name}" for name in dated)
        for each in self.translations:
            changes = "" if each.contract.happened_at else ", event_date = released.released_on"
            connection.execute(
                f"""
                update {each.target} as rows
                set delivered_on = released.released_on {changes}
                from (
                    select file_index, row_number, max(event_date) as released_on
                    from ({days}) group by file_index, row_number
                ) as released
                where rows.file_index = released.file_index
                    and rows.row_number = released.row_number
                    and released.released_on > rows.delivered_on
                """
            )

    def _refuse_retyped(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        """Refuse files in which a required column holds several values and none of its type."""
        for each in self.translations if not self.replay else ():
            for name, column in each.contract.columns.items():
                mapping = each.mapping.column(name)
                if not (column.required and column.type != "text" and mapping and mapping.reads):
                    continue
                for file_index, count in _wholly_unreadable(connection, each.target, name):
                    landed[file_index].refused = (
                        f"required column {' and '.join(map(repr, sorted(mapping.reads)))} has another type: "
                        f"none of its {count:,} values can be read as {column.type}; deliver as before, or "
                        f"state the new form under `formats` of source {self.source.name!r}"
                    )

    def _collect_bad(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Create ``bad``: every bad row with all its reasons, whoever found them."""
        for rule in self.source.quarantine:
            connection.execute(
                f"""
                insert into fault
                select file_index, row_number, 1, $table, [$reason], null from named where ({rule.where}
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
                select file_index, row_number, 2, $table, ['in_no_table'], null
                from named where not ({belongs})
                """,
                {"table": self._first_table},
            )
        for position, each in enumerate(self.translations, start=3):
            connection.execute(
                f"""
                insert into fault
                select
                    file_index, row_number, $position, $table, reasons,
                    case when len(list_filter(reasons, lambda reason: reason not like 'future:%')) = 0
                        then event_date
                    end
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
                flatten(list(reasons order by position)) as reasons,
                case when bool_and(due_on is not null) then max(due_on) end as due_on
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
        parts = {arrival.file.file_id: arrival.part for arrival in self.arrivals}
        for file_id, day in parquet.write(connection, translation, secret, self.paths, self.scratch, parts):
            landed[places[file_id]].tables.append(day)

    def _quarantine(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        seen = set()
        for file_index, pairs in groupby(self._bad_rows(connection), key=lambda pair: pair[0]):
            seen.add(file_index)
            if not landed[file_index].refused:
                self._set_aside(file_index, (row for _, row in pairs), landed[file_index])
        for file_index in set(range(len(landed))) - seen if self.replay else ():
            self._set_aside(file_index, iter(()), landed[file_index])

    def _keep_unread(self, connection: duckdb.DuckDBPyConnection, landed: list[Landed]) -> None:
        """Keep the columns that no mapping reads, as they came: what a shop adds may be wanted later."""
        for file_index, (arrival, file) in enumerate(zip(self.arrivals, landed, strict=True)):
            if file.refused or not file.columns_unread(self.source):
                continue
            aside = self.scratch / "unread.parquet"
            query, parameters = readers.fields_of(self.bundle, file.columns_unread(self.source))
            connection.execute(
                f"copy ({query}) to $path (format parquet)",
                {**parameters, "path": str(aside), "file_index": file_index},
            )
            quarantine.keep(self.paths, part_name(arrival.file.file_id, 0), aside)

    def _set_aside(self, file_index: int, rows: Iterator[quarantine.Row], file: Landed) -> None:
        """Write the bad rows of a file, in a replay with those that were not read again."""
        arrival = self.arrivals[file_index]
        if self.replay:
            rows = chain(rows, filterfalse(self.replay.takes, self._stored(arrival)))
        name = part_name(arrival.file.file_id, arrival.part)
        quarantine.write(self.paths, name, _tallied(rows, file))

    def _bad_rows(self, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[int, quarantine.Row]]:
        found = connection.execute(
            f"""
            select
                bad.file_index, bad.row_number, bad.table_name, bad.reasons, bad.due_on, broken.raw,
                {self.bundle.fields}
            from numbered
            right join (
                broken right join bad using (file_index, row_number)
            ) using (file_index, row_number)
            order by bad.file_index, bad.row_number
            """
        )
        while batch := found.fetchmany(10_000):
            for file_index, row_number, table, reasons, due_on, broken, *values in batch:
                raw = json.loads(broken) if broken is not None else self._raw(values)
                yield (
                    file_index,
                    {
                        "row_number": row_number,
                        "table": table,
                        "reasons": list(dict.fromkeys(reasons)),
                        "due_on": due_on and due_on.isoformat(),
                        "columns": quarantine.shown(_columns_of(raw), self.source),
                        "raw": raw,
                    },
                )

    def _raw(self, values: list[str | None]) -> Any:
        """Return a row as a replay can read it again: a line of jsonl to the letter, else its columns."""
        if self.bundle.format == "jsonl":
            return values[0]
        return dict(zip(self.header, values, strict=True))


def _columns_of(raw: Any) -> dict[str, Any]:
    """Return the columns of a raw row; none of a row that could not be taken apart."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError):
            return {}
    return raw if isinstance(raw, dict) else {}


def _tallied(rows: Iterable[quarantine.Row], file: Landed) -> Iterator[quarantine.Row]:
    """Yield rows on their way to the quarantine, and count them into what became of their file."""
    for row in rows:
        file.rows_set_aside += 1
        for reason in row["reasons"]:
            file.reasons[reason] = file.reasons.get(reason, 0) + 1
        if row["due_on"]:
            due_on = date.fromisoformat(row["due_on"])
            file.rows_waiting += 1
            file.due_on = min(due_on, file.due_on or due_on)
        yield row


def _wholly_unreadable(
    connection: duckdb.DuckDBPyConnection, table: str, column: str
) -> list[tuple[int, int]]:
    """Return the files of which a column is filled several times and never readable, with how often."""
    return connection.execute(
        f"""
        with
        bad as (
            select
                file_index,
                count(*) filter (list_contains(reasons, $unreadable)) as unreadable,
                count(*) filter (list_contains(reasons, $missing)) as missing
            from {table} where reasons is not null
            group by file_index
        ),
        suspect as (select * from bad where unreadable >= $few)
        select file_index, unreadable
        from suspect join (select file_index, count(*) as total from {table} group by file_index)
            using (file_index)
        where total = unreadable + missing
        """,
        {"few": FEW_ROWS, "unreadable": f"unreadable:{column}", "missing": f"missing:{column}"},
    ).fetchall()


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


def cut(members: Sequence[Arrival]) -> Iterator[list[Arrival]]:
    """Yield the members in parts that are landed in one go."""
    part: list[Arrival] = []
    size = 0
    for arrival in members:
        weight = arrival.file.size * (UNPACKED if arrival.file.path.suffix in PACKED else 1)
        if part and (len(part) == CHUNK_FILES or size + weight > CHUNK_BYTES):
            yield part
            part, size = [], 0
        part.append(arrival)
        size += weight
    if part:
        yield part
