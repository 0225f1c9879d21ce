"""A snapshot of a small shop on three days: 120 users, whose last event was the evening before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

import duckdb

from settings import ShopPaths
from warehouse.snapshot import Snapshot

AS_OF, TEST, TRAIN = date(2026, 5, 31), date(2026, 4, 30), date(2026, 3, 31)
USERS = 120

Row = dict[str, Any]

COUNTS = (
    "order_count",
    "order_count_last_90_days",
    "order_count_last_30_days",
    "order_count_last_7_days",
    "event_count",
    "event_count_last_90_days",
    "event_count_last_30_days",
    "event_count_last_7_days",
)
LISTS = {
    "event_types": "varchar[]",
    "texts": "varchar[]",
    "product_ids": "varchar[]",
    "categories": "varchar[]",
    "channels": "varchar[]",
    "gap_seconds": "bigint[]",
    "hours_of_week": "smallint[]",
    "amounts": "double[]",
    "quantities": "double[]",
}


def user_key(number: int) -> str:
    return f"{number:064x}"


def features(day: date) -> Iterator[Row]:
    for number in range(USERS):
        yield {
            "user_key": user_key(number),
            "as_of_date": day,
            "recency_days": 1,
            "tenure_days": 30,
            **dict.fromkeys(COUNTS, 2),
            "refund_share": 0.5,
            "discount_share": 0.0,
            "review_score_avg": 4.5,
            "net_revenue_amount": 12.5,
            # Refunds of earlier purchases: a month may be negative.
            "net_revenue_amount_last_30_days": -3.0,
            "top_category": "shoes",
        }


def sequences(day: date) -> Iterator[Row]:
    for number in range(USERS):
        yield {
            "user_key": user_key(number),
            "as_of_date": day,
            "event_count": 2,
            "event_types": ["view", "cart"],
            "texts": ["a", "b"],
            "product_ids": ["p", "p"],
            "categories": ["c", "c"],
            "channels": ["web", "web"],
            "gap_seconds": [0, 60],
            "hours_of_week": [0, 167],
            "amounts": [0.0, 0.0],
            "quantities": [0.0, 1.0],
            "last_event_at": datetime.combine(day - timedelta(days=1), time(20)),
        }


def labels(day: date) -> Iterator[Row]:
    is_closed = day != AS_OF
    for number in range(USERS):
        yield {
            "user_key": user_key(number),
            "as_of_date": day,
            "horizon_days": 30,
            "is_high_value": number < 110 if is_closed else None,
            "is_buyer": True if is_closed else None,
        }


class World:
    """The rows of a snapshot; spoil them, then write."""

    def __init__(self) -> None:
        days = (TRAIN, TEST, AS_OF)
        self.tables: dict[str, list[Row]] = {
            "fct_user_features": [row for day in days for row in features(day)],
            "fct_user_sequences": [row for day in days for row in sequences(day)],
            "fct_user_labels": [row for day in days for row in labels(day)],
        }
        self.cuts: dict[str, str | None] = {"train": str(TRAIN), "test": str(TEST), "score": str(AS_OF)}
        self.rows_told: dict[str, int] = {}

    def write(self, paths: ShopPaths, as_of: date = AS_OF) -> Snapshot:
        folder = paths.snapshots / f"digest-{as_of}"
        folder.mkdir(parents=True)
        for table, rows in self.tables.items():
            _write(folder / f"{table}.parquet", rows)
        told = {table: {"rows": self.rows_told.get(table, len(rows))} for table, rows in self.tables.items()}
        manifest = {"as_of_date": str(as_of), "cuts": self.cuts, "tables": told, "horizon_days": 30}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (paths.snapshots / f"latest-{as_of}").symlink_to(folder.name)
        return Snapshot(folder, manifest)


def _write(path: Any, rows: list[Row]) -> None:
    names = list(rows[0])
    columns = [[row.get(name) for row in rows] for name in names]
    with duckdb.connect() as connection:
        parts = ", ".join(f'unnest(?){_cast(name)} as "{name}"' for name in names)
        connection.sql(f"select {parts}", params=columns).write_parquet(str(path))


def _cast(name: str) -> str:
    return f"::{LISTS[name]}" if name in LISTS else "::boolean" if name.startswith("is_") else ""
