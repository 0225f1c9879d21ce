"""Which steps the warehouse holds, noted inside it and outside it, and compared.

A torn write-ahead log loses the last commits without a word, so the file cannot vouch for itself. After
its last commit a step notes a token in ``ops.warehouse_step`` and then in ``ops/warehouse_step.jsonl``.
Commits are lost from the end only: where a step's token is found, all of the step is there.
"""

from __future__ import annotations

import secrets
from datetime import date
from pathlib import Path

import duckdb

import journal
from cli import ShoalError
from settings import ShopPaths

TABLE = "warehouse_step"
COMMANDS = {
    "build core": "warehouse build core",
    "score": "ml score",
    "build bi": "warehouse build bi",
}
"""Which command repeats a step."""


def journal_file(paths: ShopPaths) -> Path:
    """Say where the tokens are noted outside the warehouse."""
    return paths.ops / f"{TABLE}.jsonl"


def note(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, step: str, as_of: date, **more: str | bool | None
) -> None:
    """Note, after its last commit, that a step of an as_of_date is done, and what ``more`` is to be known."""
    outside = journal_file(paths)
    if not _is_there(connection, "ops"):
        connection.execute("create schema if not exists ops")
        connection.execute(f"create table ops.{TABLE} (token varchar)")
        # A warehouse made anew holds nothing of what an earlier one held.
        journal.append(outside, [{"step": None}])
    token = secrets.token_hex(8)
    connection.execute(f"insert into ops.{TABLE} values (?)", [token])  # noqa: S608  our own name
    done = {"step": step, "as_of_date": as_of, "token": token, "at": journal.now()}
    journal.append(outside, [done | more])


def require(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, step: str, as_of: date, schema: str = "ops"
) -> None:
    """Refuse to go on from a step of an as_of_date that was done and is no longer in the file.

    Raises
    ------
    ShoalError
        Names the step, when it was done, and the command that repeats it.
    """
    done = last(paths, step, as_of)
    if done is None or (_is_there(connection, schema) and _holds(connection, schema, done["token"])):
        return
    raise ShoalError(
        f"the warehouse {paths.warehouse} has lost what `{COMMANDS[step]}` of {as_of} committed at "
        f"{done['at'][:19]} (a torn log loses the last commits without a word): run "
        f"python -m {COMMANDS[step]} --shop {paths.shop} --as-of {as_of} again; "
        "docs/operations.md, “The warehouse lost commits”"
    )


def last(paths: ShopPaths, step: str, as_of: date | None = None) -> journal.Record | None:
    """Return the last note of a step that this warehouse holds, of an as_of_date or of any; None without."""
    found = None
    for record in journal.read(journal_file(paths)):
        if record["step"] is None:
            found = None
        elif record["step"] == step and (as_of is None or record["as_of_date"] == as_of.isoformat()):
            found = record
    return found


def done(paths: ShopPaths, step: str, as_of: date) -> list[journal.Record]:
    """Return every note of a step of an as_of_date, oldest first, those of earlier warehouses too."""
    return [
        record
        for record in journal.read(journal_file(paths))
        if (record["step"], record.get("as_of_date")) == (step, as_of.isoformat())
    ]


def _is_there(connection: duckdb.DuckDBPyConnection, schema: str) -> bool:
    database, _, name = schema.rpartition(".")
    rows = connection.execute(
        "select 1 from duckdb_tables() where table_name = ? and schema_name = ? "
        "and database_name = coalesce(nullif(?, ''), current_database())",
        [TABLE, name, database],
    ).fetchall()
    return bool(rows)


def _holds(connection: duckdb.DuckDBPyConnection, schema: str, token: str) -> bool:
    rows = connection.execute(f"select 1 from {schema}.{TABLE} where token = ?", [token]).fetchall()  # noqa: S608  our own names
    return bool(rows)
