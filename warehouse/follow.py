"""Follow the landing ledger: what was decided since the last whole build, and which days that touches.

The order of things makes a kill harmless at any point: what is touched is noted before dbt
starts, and it is noted as processed only after the whole build has succeeded.
"""

from __future__ import annotations

import duckdb

from landing import ledger, quarantine
from settings import ShopPaths
from warehouse import ops


def load_ledger(connection: duckdb.DuckDBPyConnection, paths: ShopPaths) -> None:
    """Load the ledger and the quarantine, as they are now."""
    files = [file.model_dump(mode="json") for file in ledger.files(paths)]
    days = [
        {"file_id": file["file_id"], "table_name": day["table"], **day}
        for file in files
        for day in file["tables"]
    ]
    rows = ({**row, "table_name": row["table"]} for row in quarantine.rows(paths))
    ops.replace(connection, "landing_ledger", files)
    ops.replace(connection, "landing_ledger_table", days)
    ops.replace(connection, "quarantine", rows)


def note_touched(connection: duckdb.DuckDBPyConnection) -> int:
    """Note the files whose state differs from what was processed; return how many.

    Keys and spans that a killed build noted stay noted: more can be touched than has to be,
    never less.
    """
    connection.execute("begin")
    connection.execute("delete from ops.touched_file")
    connection.execute("""
        insert into ops.touched_file
        select coalesce(files.file_id, processed.file_id), files.file_id is not null
        from (select * from ops.landing_ledger where status = 'accepted') as files
        full outer join ops.processed_file as processed on files.file_id = processed.file_id
        where files.file_id is null or processed.file_id is null or files.decided_at <> processed.decided_at
    """)
    connection.execute("delete from ops.touched_day")
    connection.execute("""
        insert into ops.touched_day
        select distinct table_name, event_date from ops.landing_ledger_table
        where file_id in (select file_id from ops.touched_file)
    """)
    connection.execute("commit")
    return len(connection.execute("select file_id from ops.touched_file").fetchall())


def mark_processed(connection: duckdb.DuckDBPyConnection, models_digest: str) -> None:
    """Note, after a whole build, that the warehouse stands where the ledger stood when it began."""
    connection.execute("begin")
    connection.execute("delete from ops.processed_file")
    connection.execute(
        "insert into ops.processed_file "
        "select file_id, decided_at from ops.landing_ledger where status = 'accepted'"
    )
    for table in ("touched_file", "touched_day", "touched_key", "touched_span", "build_state"):
        connection.execute(f"delete from ops.{table}")  # noqa: S608  names from this very list
    connection.execute("insert into ops.build_state values (?, now()::timestamp)", [models_digest])
    connection.execute("commit")


def last_models_digest(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return the digest of the models that built this warehouse; None for an unfinished one."""
    rows = connection.execute("select models_digest from ops.build_state").fetchall()
    return str(rows[0][0]) if rows else None
