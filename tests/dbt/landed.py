"""Land rows for dbt tests without landing: Parquet and ledger lines as the interface says.

Pseudonyms are readable here, the shop's own ids, so that an expected value can be read too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

import journal
from landing import contracts, ledger
from landing.ledger import LandedDay, LedgerFile
from settings import ShopPaths

Row = dict[str, Any]
ZONE = ZoneInfo("Europe/Berlin")


def deliver(
    paths: ShopPaths,
    on: date | None,
    table: str,
    rows: Iterable[Row],
    name: str | None = None,
) -> str:
    """Land one file of one table; return its file_id. ``on=None`` delivers each row on its own day.

    The last of several rows was found good by a replay: it lies in a part of its own.
    """
    rows = list(rows)
    name = name or f"{table}_{on}.csv"
    file_id = hashlib.sha256(f"{name}{json.dumps(rows, default=str)}".encode()).hexdigest()[:16]
    contract = contracts.load()[table]
    days: dict[tuple[date, int], list[Row]] = {}
    for number, row in enumerate(rows, start=1):
        landed = _landed(contract, row)
        landed["event_date"] = landed["event_date"] or on
        landed |= {"delivered_on": on or landed["event_date"], "file_id": file_id, "row_number": number}
        days.setdefault((landed["event_date"], int(number == len(rows) > 1)), []).append(landed)
    written = [
        LandedDay(table=table, event_date=day, rows_written=len(landed_rows), part=part)
        for (day, part), landed_rows in days.items()
    ]
    for day, landed_rows in zip(written, days.values(), strict=True):
        _write(day.path(paths, file_id), contract, landed_rows)
    ledger.commit(
        paths,
        [
            LedgerFile(
                file_id=file_id,
                batch_id="test",
                shop=paths.shop,
                source=table,
                file_name=name,
                content_hash=file_id,
                status="accepted",
                rows_in=len(rows),
                rows_good=len(rows),
                delivered_on=on,
                landed_at=journal.now(),
                contract_version="test",
                mapping_version="test",
                delivers=(table,),
                tables=tuple(written),
                part=int(len(rows) > 1),
                decided_at=journal.now(),
            )
        ],
    )
    return file_id


def _landed(contract: contracts.Contract, row: Row) -> Row:
    landed: Row = {"event_date": None, "is_repeated_hour": False}
    for name, column in contract.columns.items():
        if column.is_landed:
            landed[contracts.landed_name(name, column)] = row.get(name) or None
    if contract.happened_at:
        moment = datetime.fromisoformat(row[contract.happened_at]).replace(tzinfo=ZoneInfo("UTC"))
        landed["event_date"] = moment.astimezone(ZONE).date()
    return landed


def _write(path: Path, contract: contracts.Contract, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    types = contract.landed_columns
    with duckdb.connect() as connection:
        columns = ", ".join(f'"{name}" {type_}' for name, type_ in types.items())
        connection.execute(f"create table landed ({columns})")
        marks = ", ".join("?" for _ in types)
        connection.executemany(
            f"insert into landed values ({marks})", [[row[name] for name in types] for row in rows]
        )
        connection.table("landed").write_parquet(str(path))
