"""Lay a shop's behaviour log as landing would have landed it: Parquet by day, and ledger lines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

import journal
from landing import contracts, ledger
from landing.ledger import LandedDay, LedgerFile
from settings import ShopPaths

FIRST_DAY = date(2026, 1, 1)
DAYS = 120
"""The shortest history that has both cuts: features and sequences are then made three times."""

LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)
NEXT_DAY = FIRST_DAY + timedelta(days=DAYS)
EVENTS_PER_PERSON = 42
DRAWN = Path(__file__).with_suffix(".sql")


@dataclass(frozen=True)
class ScratchPaths(ShopPaths):
    """One shop's state in a data folder of its own."""

    data: Path

    @property
    def root(self) -> Path:
        return self.data / self.shop


class BehaviourLog:
    """A log of about so many events over :data:`DAYS` days, and a day more with a hundredth of them.

    Beside the events there are an order in one visit of twelve, its lines, and the catalogue.
    """

    def __init__(self, paths: ShopPaths, events: int) -> None:
        self.paths = paths
        self.connection = duckdb.connect()
        self._set(
            events=events,
            next_day_events=events // 100,
            people=events // EVENTS_PER_PERSON,
            products=min(20_000, max(100, events // 200)),
            days=DAYS,
            first_day=FIRST_DAY,
        )
        self.connection.execute("set TimeZone = 'UTC'; set memory_limit = '3GB'")
        self.connection.execute(DRAWN.read_text(encoding="utf-8"))

    def land_history(self) -> None:
        """Land all days but the last one, each known on its own day, and the catalogue on the first."""
        self._land("products", [FIRST_DAY], FIRST_DAY)
        for table in ("events", "orders", "order_lines"):
            self._land(table, [FIRST_DAY + timedelta(days=day) for day in range(DAYS)], None)

    def land_next_day(self) -> None:
        """Land the day after the history."""
        for table in ("events", "orders", "order_lines"):
            self._land(table, [NEXT_DAY], NEXT_DAY)

    def _set(self, **variables: Any) -> None:
        for name, value in variables.items():
            self.connection.execute(f"set variable {name} = ?", [value])

    def _land(self, table: str, days: list[date], delivered_on: date | None) -> None:
        file_id = f"{table}-{delivered_on or 'history'}"
        query = self._query(table)
        landed = [self._write(query, table, day, file_id) for day in days]
        rows = sum(day.rows_written for day in landed)
        line = LedgerFile(
            file_id=file_id,
            batch_id="benchmark",
            shop=self.paths.shop,
            source=table,
            file_name=f"{file_id}.parquet",
            content_hash=file_id,
            status="accepted",
            rows_in=rows,
            rows_good=rows,
            delivered_on=delivered_on,
            landed_at=journal.now(),
            contract_version="benchmark",
            mapping_version="benchmark",
            delivers=(table,),
            tables=tuple(landed),
            decided_at=journal.now(),
        )
        ledger.commit(self.paths, [line])

    def _query(self, table: str) -> str:
        """Return the query for one day's rows, in the columns and types that landing writes."""
        contract = contracts.load()[table]
        drawn = self.connection.sql(f"select * from {table}_of(null::date) limit 0").columns
        said = {"delivered_on": "event_date", "is_repeated_hour": "false", "file_id": "$file_id"}
        said |= {name: f'"{name}"' for name in drawn}
        columns = ", ".join(
            f'cast({said.get(name, "null")} as {type_}) as "{name}"'
            for name, type_ in contract.landed_columns.items()
        )
        return f"select {columns} from {table}_of($day) order by {contract.happened_at or 'row_number'}"

    def _write(self, query: str, table: str, day: date, file_id: str) -> LandedDay:
        landed = LandedDay(table=table, event_date=day, rows_written=0)
        path = landed.path(self.paths, file_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        [(rows,)] = self.connection.execute(
            f"copy ({query}) to $path (format parquet)",
            {"day": day, "path": str(path), "file_id": file_id},
        ).fetchall()
        return landed.model_copy(update={"rows_written": rows})
