"""A few users in a warehouse of their own, told what nobody could know on the day of the test cut.

Beside all that was landed of them lies poison. Whatever they had done by the cut is done once more on the
day after, though it claims to be known as long; is told late, as done when it was; and is told otherwise,
under the same keys. And every device that they were seen on turns out to be a stranger's, too. As of both
cuts the models must make of it what they made of the shop; as of the as_of_date they see it.
"""

# ruff: noqa: S608  (tables and columns come from contracts; every value is a parameter)

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb

import journal
import settings
import warehouse
from landing import contracts, empty, ledger
from landing.contracts import Contract
from landing.ledger import LandedDay, LedgerFile
from settings import CanaryPaths, ShopPaths
from warehouse import dbt, follow, ops, snapshot, steps
from warehouse.build import variables
from warehouse.horizon import Split
from warehouse.snapshot import Snapshot

LAID = Path(__file__).with_suffix(".sql")

TABLES = {
    "events": ("event_id",),
    "device_links": (),
    "orders": ("order_id",),
    "order_lines": ("order_id",),
    "payments": ("payment_id", "order_id"),
    "refunds": ("refund_id", "order_id"),
    "reviews": ("review_id", "order_id"),
    "customers": (),
    "products": (),
    "campaign_contacts": ("contact_id",),
}
"""What features, sequences and labels are made of, and which ids make another row of a copy."""

POISON = "canary"
"""The file that tells it, the stranger's key, and each word that is told otherwise."""

STRANGER = f"""
    insert into poison by name
    select
        device_key,
        '{POISON}' as user_key,
        timestamp '2000-01-01 12:00:00' as linked_at,
        date '2000-01-01' as event_date,
        getvariable('after') as delivered_on
    from known_device
    where device_key is not null
"""

BUILD = (
    *("build", "--select", "+marts.ml_inputs", "--resource-type", "model", "--resource-type", "seed"),
    "--no-write-json",  # nobody reads what dbt writes of it: a sixth of its CPU-seconds
)


@dataclass(frozen=True)
class Poisoned:
    """What the models made of the users."""

    snapshot: Snapshot
    injected_rows: int


@contextmanager
def built(
    paths: ShopPaths, split: Split, users: Sequence[str], with_poison: bool = True
) -> Iterator[Poisoned]:
    """Build the inputs of some users, poisoned or as they are, and delete all of it afterwards.

    What counts is what counted when the shop's own snapshot was made: of a file that was decided about
    since, the snapshot could not know.
    """
    canary = CanaryPaths(paths.shop)
    with warehouse.lock(canary, f"build the canaries' inputs as of {split.as_of_date}"):
        _forget(canary)
        try:
            injected = _lay(paths, canary, split, users, with_poison)
            with warehouse.open_locked(canary) as connection:
                ops.create(connection)
                follow.load_ledger(connection, canary)
            dbt.invoke(canary, BUILD, variables(canary, split))
            with warehouse.open_locked(canary) as connection:
                found = snapshot.export(connection, canary, split)
            yield Poisoned(found, injected)
        finally:
            _forget(canary)


def _forget(canary: CanaryPaths) -> None:
    """Delete all but the lock, which is held; a killed training may have left something."""
    for folder in (canary.landing, canary.snapshots, canary.ops):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (canary.warehouse, canary.warehouse.with_name(f"{canary.warehouse.name}.wal")):
        file.unlink(missing_ok=True)


def _lay(paths: ShopPaths, canary: CanaryPaths, split: Split, users: Sequence[str], with_poison: bool) -> int:
    """Lay the users' rows as one file of each table; return how many of them are poison.

    The ledger goes on telling the files that the rows came from: of two of one day the name decides.
    """
    assert split.test_cut is not None
    files = ledger.files(paths, until=_read_at(paths, split))
    empty.write(canary)
    days, injected = [], 0
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set memory_limit = ?", [settings.memory()])
        connection.execute("set temp_directory = ?", [str(canary.ops)])
        connection.execute("create temp table sampled as select unnest(cast(? as varchar[]))", [list(users)])
        for table in TABLES:
            landed = [str(empty.path(canary, table)), *_landed(paths, files, table)]
            connection.read_parquet(landed, hive_partitioning=False).create_view(table)
        connection.execute(LAID.read_text(encoding="utf-8"))
        if with_poison:
            injected = sum(_poison(connection, table, split.test_cut) for table in TABLES)
        for table in TABLES:
            rows = connection.table(f"laid_{table}")
            days.append(LandedDay(table=table, event_date=split.test_cut, rows_written=len(rows)))
            target = days[-1].path(canary, POISON)
            target.parent.mkdir(parents=True, mode=0o700)
            rows.write_parquet(str(target))
    told = [file.model_copy(update={"tables": ()}) for file in files]
    ledger.commit(canary, [*told, _file(canary, days)])
    return injected


def _read_at(paths: ShopPaths, split: Split) -> str | None:
    """Return when the ledger was read for the shop's own snapshot, None where nobody noted it."""
    notes = steps.done(paths, "build core", split.as_of_date)
    return str(notes[-1].get("ledger_read_at", notes[-1]["at"])) if notes else None


def _landed(paths: ShopPaths, files: Sequence[LedgerFile], table: str) -> list[str]:
    return [
        str(day.path(paths, file.file_id))
        for file in files
        if file.status == "accepted"
        for day in file.tables
        if day.table == table and day.rows_written
    ]


def _poison(connection: duckdb.DuckDBPyConnection, table: str, cut: date) -> int:
    """Add poison to what is laid of a table; return how many rows."""
    contract = contracts.load()[table]
    connection.execute("set variable cut = cast(? as date)", [cut])
    connection.execute("set variable after = cast(? as date)", [cut + timedelta(days=1)])
    connection.execute(f"create or replace temp table poison as from laid_{table} limit 0")
    for said in _copies(contract, TABLES[table]):
        told = ", ".join(f'{value} as "{column}"' for column, value in said.items())
        connection.execute(
            f"insert into poison select * replace ({told}) from laid_{table} "
            "where event_date <= getvariable('cut')"
        )
    if table == "device_links":
        connection.execute(STRANGER)
    connection.execute(
        f"insert into laid_{table} "
        f"select * replace ('{POISON}' as file_id, row_number() over () as row_number) from poison"
    )
    return len(connection.table("poison"))


def _copies(contract: Contract, ids: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield what each copy of a row says otherwise than the row, in SQL."""
    otherwise = {name: told for name in contract.landed_columns if (told := _otherwise(contract, name))}
    if contract.version is not None:
        otherwise[contract.version] = "null"  # comes after all that was delivered before it
    yield otherwise | {"delivered_on": "getvariable('after')"}
    if ids:
        assert contract.happened_at is not None
        yield _another(ids, "late") | {"delivered_on": "getvariable('after')"}
        yield _another(ids, "again") | {
            contract.happened_at: f"{contract.happened_at} + to_days(getvariable('after') - event_date)",
            "event_date": "getvariable('after')",
        }


def _another(ids: Sequence[str], how: str) -> dict[str, str]:
    return {name: f"'{POISON} {how} ' || {name}" for name in ids}


def _otherwise(contract: Contract, name: str) -> str | None:
    """Return what a column says when it is told otherwise; None for ids, moments and provenance."""
    column = contract.columns.get(name)
    if column is None or name in contract.key or name.endswith("_id") or name == "op":
        return None
    if column.allowed is not None:
        return f"'{column.allowed[-1]}'"
    return {
        "text": f"'{POISON}'",
        "boolean": f"not coalesce({name}, false)",
        "timestamp": None,
    }.get(column.type, f"coalesce({name}, 0) + 1")


def _file(canary: CanaryPaths, days: Sequence[LandedDay]) -> LedgerFile:
    """Return the ledger's line of what is laid."""
    return LedgerFile(
        file_id=POISON,
        batch_id=POISON,
        shop=canary.shop,
        source=POISON,
        file_name=POISON,
        content_hash=POISON,
        status="accepted",
        landed_at=journal.now(),
        contract_version=POISON,
        mapping_version=POISON,
        tables=tuple(days),
        decided_at=journal.now(),
    )
