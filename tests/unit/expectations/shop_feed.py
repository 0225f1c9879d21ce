"""A shop's landed days as the border `incoming` meets them: 28 quiet days, then one to judge.

Each day: 100 events (20 by unknown visitors), 60 orders and 60 order lines at 10.00.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import duckdb

import journal
from landing import contracts, empty
from settings import ShopPaths

TODAY = date(2026, 5, 29)
KEY = "a" * 64

Row = dict[str, Any]


def event(number: int, day: date, **changes: Any) -> Row:
    return {
        "event_id": f"e-{day}-{number}",
        "event_type": "view",
        "occurred_at": f"{day} 12:00:00",
        "user_key": None if number < 20 else KEY,
        "device_key": "b" * 64,
        "product_id": "p1",
        "query": "blue shoes",
        "channel": "web",
        "price_amount": 10,
    } | changes


def order(number: int, day: date, **changes: Any) -> Row:
    return {
        "order_id": f"o-{day}-{number}",
        "ordered_at": f"{day} 12:00:00",
        "user_key": KEY,
        "order_status": "paid",
        "currency": "EUR",
        "shipping_amount": 5,
    } | changes


def order_line(number: int, day: date, **changes: Any) -> Row:
    return {
        "order_id": f"o-{day}-{number}",
        "line_number": 1,
        "ordered_at": f"{day} 12:00:00",
        "product_id": "p1",
        "quantity": 1,
        "unit_price_amount": 10,
        "discount_amount": 0,
    } | changes


def rows(table: str, day: date, count: int | None = None, **changes: Any) -> list[Row]:
    make, usual = {"events": (event, 100), "orders": (order, 60), "order_lines": (order_line, 60)}[table]
    return [make(number, day, **changes) for number in range(usual if count is None else count)]


@dataclass
class Feed:
    """Writes landed Parquet and ledger lines as landing does."""

    paths: ShopPaths
    connection: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)

    def quiet_days(self, count: int = 28, batch_id: str = "b-past") -> None:
        empty.write(self.paths)
        for back in range(count, 0, -1):
            self.day(TODAY - timedelta(days=back), batch_id)

    def day(self, day: date, batch_id: str, **tables: list[Row]) -> None:
        for table in ("events", "orders", "order_lines"):
            self.file(table, day, batch_id, tables.get(table, rows(table, day)))

    def fill(self, day: date, batch_id: str) -> None:
        """Land the tables that the day still lacks, as on a quiet day."""
        landed = {
            table
            for line in journal.read(self.paths.ledger)
            if line["delivered_on"] == str(day)
            for table in line["delivers"]
        }
        for table in {"events", "orders", "order_lines"} - landed:
            self.file(table, day, batch_id, rows(table, day))

    def file(self, table: str, day: date, batch_id: str, landed: list[Row], **ledger: Any) -> str:
        """Land one file; ledger fields can be given to disagree with it."""
        file_id = f"f-{table}-{day}"
        if landed:
            self.parquet(table, day, file_id, landed)
        line = {
            "file_id": file_id,
            "batch_id": batch_id,
            "shop": self.paths.shop,
            "source": table,
            "file_name": f"{table}_{day}.csv",
            "content_hash": file_id,
            "status": "accepted",
            "rows_in": len(landed),
            "rows_good": len(landed),
            "rows_quarantined": 0,
            "rows_duplicate": 0,
            "delivered_on": day,
            "landed_at": f"{day}T23:00:00+00:00",
            "contract_version": "c",
            "mapping_version": "m",
            "delivers": [table],
            "tables": [{"table": table, "event_date": day, "rows_written": len(landed)}] if landed else [],
            "decided_at": f"{day}T23:00:00+00:00",
        } | ledger
        journal.append(self.paths.ledger, [line])
        return file_id

    def parquet(self, table: str, day: date, file_id: str, landed: list[Row]) -> None:
        columns = contracts.load()[table].landed_columns
        provenance = {"event_date": day, "is_repeated_hour": False, "delivered_on": day, "file_id": file_id}
        values = [
            [(row | provenance | {"row_number": number}).get(name) for number, row in enumerate(landed, 1)]
            for name in columns
        ]
        parts = ", ".join(f'unnest(?)::{kind} as "{name}"' for name, kind in columns.items())
        target = self.paths.landing / table / day.isoformat() / f"{file_id}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        self.connection.sql(f"select {parts}", params=values).write_parquet(str(target))
