"""The ``ops`` tables of a published version: what happened, without anything that identifies.

Whoever acts appends to a journal in ``ops/``; here the journals become tables. Only the columns
declared below are published, so a journal may say more than BI should read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import journal
from serving.tables import quoted
from settings import ShopPaths

if TYPE_CHECKING:
    import duckdb

JOURNALS: dict[str, dict[str, str]] = {
    "run_manifest": {
        "run_id": "VARCHAR",
        "dag_run_id": "VARCHAR",
        "shop": "VARCHAR",
        "stage": "VARCHAR",
        "as_of_date": "DATE",
        "status": "VARCHAR",
        "version": "VARCHAR",
        "started_at": "TIMESTAMP",
        "finished_at": "TIMESTAMP",
        "code_version": "VARCHAR",
        "row_run_ids": "VARCHAR",
        "dbt_invocation_id": "VARCHAR",
        "mlflow_run_ids": "VARCHAR",
        "validation_ids": "VARCHAR",
        "inputs": "VARCHAR",
        "outputs": "VARCHAR",
    },
    "data_quality": {
        "run_id": "VARCHAR",
        "validation_id": "VARCHAR",
        "border": "VARCHAR",
        "as_of_date": "DATE",
        "expectation": "VARCHAR",
        "table_name": "VARCHAR",
        "column_name": "VARCHAR",
        "outcome": "VARCHAR",
        "severity": "VARCHAR",
        "observed": "VARCHAR",
        "expected": "VARCHAR",
        "unexpected_count": "BIGINT",
        "batch_ids": "VARCHAR",
        "checked_at": "TIMESTAMP",
    },
    "model_run": {
        "run_id": "VARCHAR",
        "dag_run_id": "VARCHAR",
        "mlflow_run_id": "VARCHAR",
        "as_of_date": "DATE",
        "model": "VARCHAR",
        "registered_model": "VARCHAR",
        "model_version": "VARCHAR",
        "recipe": "VARCHAR",
        "data_digest": "VARCHAR",
        "params_hash": "VARCHAR",
        "metrics": "VARCHAR",
        "calibration": "VARCHAR",
        "decision": "VARCHAR",
        "decision_reason": "VARCHAR",
        "decision_reason_zh": "VARCHAR",
        "cpu_seconds": "DOUBLE",
        "peak_memory_mb": "DOUBLE",
        "fit_cpu_seconds": "DOUBLE",
        "cpu_seconds_per_1000_users": "DOUBLE",
        "rival": "VARCHAR",
        "rival_fit_cpu_seconds": "DOUBLE",
        "rival_cpu_seconds_per_1000_users": "DOUBLE",
        "rival_peak_memory_mb": "DOUBLE",
        "recorded_at": "TIMESTAMP",
    },
    "segment_rename": {
        "renamed_at": "TIMESTAMP",
        "run_id": "VARCHAR",
        "scheme": "VARCHAR",
        "segment_code": "VARCHAR",
        "segment_name_en": "VARCHAR",
        "segment_name_zh": "VARCHAR",
        "valid_from": "DATE",
        "reason": "VARCHAR",
    },
    "export_log": {
        "exported_at": "TIMESTAMP",
        "run_id": "VARCHAR",
        "command": "VARCHAR",
        "form": "VARCHAR",
        "target": "VARCHAR",
        "version": "VARCHAR",
        "as_of_date": "DATE",
        "table_name": "VARCHAR",
        "row_count": "BIGINT",
        "folded_count": "BIGINT",
        "left_out_count": "BIGINT",
        "has_user_keys": "BOOLEAN",
    },
}
"""Journals by table, with the columns of each; a value that is a list or an object becomes its JSON."""

RESTATEMENT: dict[str, str] = {
    "as_of_date": "DATE",
    "restated_at": "TIMESTAMP",
    "because_of": "DATE",
    "reason": "VARCHAR",
    "tables": "VARCHAR",
    "kept_in": "VARCHAR",
    "run_id": "VARCHAR",
    "version": "VARCHAR",
}
"""``ops.restatement``: one row per published day that was told anew. ``because_of`` is the day that was
restated, or published late, and that this one follows; ``kept_in`` is where what was said before lies."""

LEDGERS: dict[str, dict[str, str]] = {
    "landing_ledger": {
        "file_id": "VARCHAR",
        "batch_id": "VARCHAR",
        "shop": "VARCHAR",
        "file_name": "VARCHAR",
        "content_hash": "VARCHAR",
        "status": "VARCHAR",
        "rows_in": "BIGINT",
        "rows_good": "BIGINT",
        "rows_quarantined": "BIGINT",
        "rows_duplicate": "BIGINT",
        "delivered_on": "DATE",
        "landed_at": "TIMESTAMP",
        "contract_version": "VARCHAR",
    },
    "landing_ledger_table": {
        "file_id": "VARCHAR",
        "table_name": "VARCHAR",
        "event_date": "DATE",
        "rows_written": "BIGINT",
    },
    "quarantine": {
        "file_id": "VARCHAR",
        "file_name": "VARCHAR",
        "table_name": "VARCHAR",
        "row_number": "BIGINT",
        "reasons": "VARCHAR",
        "status": "VARCHAR",
    },
}
"""Tables that the warehouse holds as it read them; published as they were when it did."""

LACKING_SHOWN = 5
"""Files named in ``degraded_because``; the on-call page lists all of them."""

WRITTEN_AS = {"table_name": "table", "column_name": "column"}
"""What the journals call by a word that SQL keeps for itself."""


def create_ledgers(connection: duckdb.DuckDBPyConnection, source: str, target: str) -> None:
    """Copy the ledgers from the warehouse; one that it does not hold yet is published empty.

    Parameters
    ----------
    source, target
        Names of the attached databases to read and to write.
    """
    for table, columns in LEDGERS.items():
        _create(connection, target, table, columns)
        held = _columns_of(connection, source, table)
        shared = [quoted(name) for name in columns if name in held]
        if shared:
            names = ", ".join(shared)
            values = ", ".join(_cast(name, columns[name], held[name]) for name in columns if name in held)
            connection.execute(
                f"insert into {target}.ops.{quoted(table)} ({names}) "  # noqa: S608
                f"select {values} from {source}.ops.{quoted(table)}"
            )


def lacking_files(connection: duckdb.DuckDBPyConnection, source: str, as_of: date) -> list[str]:
    """Name the files, delivered by a day, that the warehouse was built without; none where it has no ledger.

    A file of the same name that was accepted later has taken its place.
    """
    if not {"decided_at", "delivered_on"} <= _columns_of(connection, source, "landing_ledger").keys():
        return []
    ledger = f"{source}.ops.landing_ledger"
    found = connection.execute(
        f"""
        select status || ' ' || file_name from {ledger} as files
        where status in ('refused', 'held', 'waiting')
            and coalesce(delivered_on <= $as_of, true)
            and not exists (
                from {ledger} as later
                where later.file_name = files.file_name
                    and later.status = 'accepted'
                    and later.decided_at > files.decided_at
            )
        order by all
        """,  # noqa: S608 - our own attached database
        {"as_of": as_of},
    ).fetchall()
    names = [name for (name,) in found]
    more = len(names) - LACKING_SHOWN
    return [*names[:LACKING_SHOWN], f"{more} more files"] if more > 0 else names


def create_journals(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, target: str, scratch: Path
) -> None:
    """Load the journals of ``ops/`` as tables of the same names."""
    for table, columns in JOURNALS.items():
        _create(connection, target, table, columns)
        load(
            connection,
            f"{target}.ops.{quoted(table)}",
            columns,
            journal.read(paths.ops / f"{table}.jsonl"),
            scratch,
        )


def create_restatements(
    connection: duckdb.DuckDBPyConnection, target: str, records: Iterable[journal.Record], scratch: Path
) -> None:
    """Load the notes that lie with the restated days in ``history/``."""
    _create(connection, target, "restatement", RESTATEMENT)
    load(connection, f"{target}.ops.restatement", RESTATEMENT, records, scratch)


def load(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: dict[str, str],
    records: Iterable[journal.Record],
    scratch: Path,
) -> None:
    """Insert journal records into a table; fields that it does not declare stay behind."""
    part = scratch / "records.jsonl"
    with part.open("w", encoding="utf-8") as file:
        for record in records:
            plain = {name: _plain(record.get(WRITTEN_AS.get(name, name))) for name in columns}
            file.write(json.dumps(plain, ensure_ascii=False) + "\n")
    try:
        if part.stat().st_size:
            connection.execute(
                f"insert into {table} select * from read_json(?, format = 'newline_delimited', columns = ?)",  # noqa: S608
                [str(part), columns],
            )
    finally:
        part.unlink()


def _plain(value: object) -> object:
    if isinstance(value, (dict, list)):
        return json.dumps(_measured(value), ensure_ascii=False, sort_keys=True)
    return _measured(value)


def _measured(value: object) -> object:
    """Return a value without the NaN in it, which JSON does not know: what could not be measured is empty."""
    if isinstance(value, dict):
        return {name: _measured(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_measured(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _create(connection: duckdb.DuckDBPyConnection, target: str, table: str, columns: dict[str, str]) -> None:
    declared = ", ".join(f"{quoted(name)} {data_type}" for name, data_type in columns.items())
    connection.execute(f"create table {target}.ops.{quoted(table)} ({declared})")


def _columns_of(connection: duckdb.DuckDBPyConnection, database: str, table: str) -> dict[str, str]:
    rows = connection.execute(
        "select column_name, data_type from duckdb_columns() "
        "where database_name = ? and schema_name = 'ops' and table_name = ?",
        [database, table],
    ).fetchall()
    return dict(rows)


def _cast(name: str, wanted: str, held: str) -> str:
    if wanted == "VARCHAR" and held != "VARCHAR":
        # Lists as JSON, not in the engine's own notation.
        return f"to_json({quoted(name)})::varchar" if held.endswith("]") else f"{quoted(name)}::varchar"
    return f"{quoted(name)}::{wanted}"
