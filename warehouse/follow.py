"""Follow the landing ledger: what was decided since the last whole build, and which days that touches.

The order of things makes a kill harmless at any point: what is touched is noted before dbt
starts, and it is noted as processed only after the whole build has succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb

from landing import ledger, quarantine
from settings import ShopPaths
from warehouse import ops
from warehouse.horizon import Split

CARRIED_FOR = timedelta(days=7)
"""An as_of_date is made from one that lies at most this far back: further back, most users have changed."""

CARRIED = (
    "int_devices_stitched",
    "int_carts_abandoned",
    "int_users_measured",
    "int_users_preferred",
    "int_user_sequences",
)
"""The tables of which an as_of_date's rows are made from those of the one before."""


def load_ledger(connection: duckdb.DuckDBPyConnection, paths: ShopPaths) -> None:
    """Load the ledger and the quarantine, as they are now."""
    files = [file.model_dump(mode="json") | {"name_order": file.name_order} for file in ledger.files(paths)]
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

    What a killed build noted stays noted, files, days, keys and spans: more can be touched than has to be,
    never less. It may have read a file that was withdrawn since.
    """
    connection.execute("begin")
    connection.execute("""
        create or replace temp table noted as
        select coalesce(files.file_id, processed.file_id) as file_id
        from (select * from ops.landing_ledger where status = 'accepted') as files
        full outer join ops.processed_file as processed on files.file_id = processed.file_id
        where files.file_id is null or processed.file_id is null or files.decided_at <> processed.decided_at
        union
        select file_id from ops.touched_file
    """)
    connection.execute("delete from ops.touched_file")
    connection.execute("""
        insert into ops.touched_file
        select file_id, file_id in (select file_id from ops.landing_ledger where status = 'accepted')
        from noted
    """)
    connection.execute("""
        insert into ops.touched_day
        select distinct table_name, event_date from ops.landing_ledger_table
        where file_id in (select file_id from ops.touched_file)
        except
        select * from ops.touched_day
    """)
    connection.execute("commit")
    return len(connection.execute("select file_id from ops.touched_file").fetchall())


@dataclass(frozen=True)
class Start:
    """What a build goes on from: rows of the last whole build's as_of_dates."""

    standing: tuple[date, ...]
    """Dates that are made already: cuts move once a week."""
    carried: dict[date, date]
    """From which earlier date a new one is made, as far as there is one."""

    @property
    def variables(self) -> dict[str, Any]:
        """Return what dbt is told."""
        carried = {str(day): str(base) for day, base in self.carried.items()}
        return {"standing": [str(day) for day in self.standing], "carried": carried}


def start_from(connection: duckdb.DuckDBPyConnection, split: Split) -> Start:
    """Return what the last whole build leaves to a new one.

    A date's rows are what they would be today if nothing was decided since about a file that had been known
    by then. The as_of_date itself is always made.
    """
    [(known_since,)] = connection.execute("""
        select min(coalesce(files.delivered_on, days.first_day, date '0001-01-01'))
        from ops.touched_file as touched
        left join ops.landing_ledger as files on touched.file_id = files.file_id
        left join (
            select file_id, min(event_date) as first_day from ops.landing_ledger_table group by file_id
        ) as days on touched.file_id = days.file_id
    """).fetchall()
    built = [day for (day,) in connection.execute("select as_of_date from ops.built_date").fetchall()]
    kept = [day for day in built if known_since is None or day < known_since]
    standing = tuple(day for day in split.as_of_dates if day in kept and day != split.as_of_date)
    carried = {
        day: max(before)
        for day in split.as_of_dates
        if (before := [each for each in kept if timedelta(0) < day - each <= CARRIED_FOR])
        and day not in standing
    }
    return Start(standing, carried)


def forget_built(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget which as_of_dates were built, before everything is built anew."""
    connection.execute("delete from ops.built_date")


def mark_processed(
    connection: duckdb.DuckDBPyConnection, models_digest: str, as_of_dates: list[date]
) -> None:
    """Note, after a whole build, that the warehouse stands where the ledger stood when it began.

    What was kept of earlier as_of_dates, to make these from, goes.
    """
    connection.execute("begin")
    connection.execute("delete from ops.processed_file")
    connection.execute(
        "insert into ops.processed_file "
        "select file_id, decided_at from ops.landing_ledger where status = 'accepted'"
    )
    for table in ("touched_file", "touched_day", "touched_key", "touched_span", "build_state"):
        connection.execute(f"delete from ops.{table}")  # noqa: S608  names from this very list
    connection.execute("insert into ops.build_state values (?, now()::timestamp)", [models_digest])
    forget_built(connection)
    connection.execute("insert into ops.built_date select unnest(cast(? as date[]))", [as_of_dates])
    _forget_carried(connection)
    connection.execute("commit")


def _forget_carried(connection: duckdb.DuckDBPyConnection) -> None:
    """Delete the rows of as_of_dates that are not the last build's; those as of the end of time stay."""
    tables = connection.execute(
        "select schema_name || '.' || table_name from duckdb_tables() where list_contains(?, table_name)",
        [list(CARRIED)],
    ).fetchall()
    for (table,) in tables:
        connection.execute(
            f"delete from {table} where as_of_date not in "  # noqa: S608  one of our own names
            "(select as_of_date from ops.built_date union all select date '9999-12-31')"
        )


def last_models_digest(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return the digest of the models that built this warehouse; None for an unfinished one."""
    rows = connection.execute("select models_digest from ops.build_state").fetchall()
    return str(rows[0][0]) if rows else None
