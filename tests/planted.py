"""Personal data and secrets, planted to be looked for in everything that is left behind."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb

CUSTOMER, DEVICE = "planted-customer-7351", "planted-device-7351"
EMAIL, PHONE, NAME = "wilhelmina.planted@example.org", "+49 30 73517351", "Wilhelmina Plantagenet"
TEXTS = (CUSTOMER, DEVICE, EMAIL, PHONE, NAME, "Plantagenet")
MOMENT = "2026-04-29 10:00:00"


def plant(drops: Path, with_bad_rows: bool = False) -> None:
    """Drop rows with what identifies somebody, where it belongs and where it does not."""
    person = {
        "customer_id": CUSTOMER,
        "email": EMAIL,
        "phone": PHONE,
        "full_name": NAME,
        "updated_at": MOMENT,
    }
    event = {
        "event_id": "x1",
        "event_type": "view",
        "occurred_at": MOMENT,
        "customer_id": CUSTOMER,
        "device_id": DEVICE,
    }
    searched = event | {
        "event_id": "x2",
        "event_type": "search",
        "query": f"write to {EMAIL} or call {PHONE}",
    }
    order = {"order_id": "x4", "ordered_at": MOMENT, "customer_id": CUSTOMER, "order_status": "completed"}
    slipped = [event | {"event_id": "x3", "event_type": CUSTOMER}] if with_bad_rows else []
    torn = [person | {"updated_at": f"yesterday, {EMAIL}"}] if with_bad_rows else []
    write(drops / "customers_planted_2026-04-29.csv", [person, *torn])
    write(drops / "events_planted_2026-04-29.csv", [event, searched, *slipped])
    write(drops / "orders_planted_2026-04-29.csv", [order | {"currency": "EUR", "updated_at": MOMENT}])


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Write a drop; a row may lack columns that others have."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def traces(files: Iterable[Path], texts: Iterable[bytes]) -> Iterator[tuple[Path, bytes]]:
    """Yield each file and text that is found in it; packed files are unpacked, tables read."""
    texts = list(texts)
    for path in files:
        content = b"\n".join(_contents(path))
        yield from ((path, text) for text in texts if text in content)


def _contents(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".gz":
        yield gzip.decompress(path.read_bytes())
    if path.suffix in (".parquet", ".duckdb"):
        with duckdb.connect() as connection:
            for table in _tables(connection, path):
                rows = connection.execute(f"select cast(one as varchar) from {table} as one")
                yield "\n".join(row for (row,) in rows.fetchall()).encode()


def _tables(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return [f"read_parquet('{path}')"]
    connection.execute(f"attach '{path}' as looked_at (read_only)")
    return [
        f"looked_at.{schema}.{table}"
        for schema, table in connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = 'looked_at'"
        ).fetchall()
    ]
