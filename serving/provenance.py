"""What made the rows of a version: the runs, models, checks and inputs behind one as_of_date.

:func:`trace` notes it when a day is published; :func:`find` follows the notes in both
directions, from a model to the days that it spoke on, and from a day to who trained its model.
:func:`decided_since` tells which deliveries a published day does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import journal
from cli import UsageError
from landing.ledger import LedgerFile
from serving import facts
from serving.tables import BI_TABLES, FACTS, INTERVALS, Table, quoted
from settings import ShopPaths
from warehouse import steps

if TYPE_CHECKING:
    import duckdb


MODELS = {"behaviour": "behaviour_segments", "value": "high_value", "high_value": "high_value"}
"""The registered model behind a scheme or a score; rules have none."""


@dataclass(frozen=True)
class Trail:
    """What an id leads to: runs of ``ops.model_run``, and rows of ``ops.run_manifest``."""

    models: list[journal.Record]
    publications: list[journal.Record]


def find(paths: ShopPaths, wanted: str) -> Trail:
    """Follow an id to the models and publications that belong to it.

    Parameters
    ----------
    wanted
        An MLflow run (its first letters will do), a DAG run, a run of a command, or a version.

    Raises
    ------
    UsageError
        When nothing in this shop bears that id.
    """
    models = list(journal.read(paths.ops / "model_run.jsonl"))
    told = list(_manifests(paths))
    trained = [run for run in models if _is_named(run, wanted) or run["mlflow_run_id"].startswith(wanted)]
    published = [row for row in told if _is_named(row, wanted) or row["version"] == wanted]
    if not trained and not published:
        raise UsageError(
            f"no run and no version of {paths.shop} is called {wanted!r}: see python -m ml runs --shop "
            f"{paths.shop} and python -m serving versions --shop {paths.shop}"
        )
    behind = {name for row in published for name in row["mlflow_run_ids"]}
    theirs = {run["mlflow_run_id"] for run in trained}
    return Trail(
        [run for run in models if run in trained or run["mlflow_run_id"] in behind],
        [row for row in told if row in published or theirs & set(row["mlflow_run_ids"])],
    )


def _manifests(paths: ShopPaths) -> Iterator[journal.Record]:
    return journal.read(paths.ops / "run_manifest.jsonl")


def _is_named(record: journal.Record, wanted: str) -> bool:
    return wanted in (record.get("run_id"), record.get("dag_run_id"))


def trace(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date) -> dict[str, Any]:
    """Return the traces of a snapshot, as columns of ``ops.run_manifest``."""
    build = steps.last(paths, "build bi", as_of) or {}
    return {
        "row_run_ids": _row_run_ids(connection, paths, as_of),
        "dbt_invocation_id": build.get("dbt_invocation_id"),
        "mlflow_run_ids": _mlflow_runs(paths, _models(connection, as_of)),
        "validation_ids": _validations(paths, as_of),
        "inputs": _inputs(paths, as_of),
    }


def decided_since(paths: ShopPaths, as_of: date) -> list[LedgerFile]:
    """Return the deliveries, dated on or before a published day, that would now change its rows.

    These are the files that were accepted, replayed, held or withdrawn between two readings of the ledger:
    the one that the published rows rest on, and the last one for this day, which the warehouse rests on. A
    file that counts neither then nor now is none of them.
    """
    said_at = facts.said_at(paths, as_of)
    readings = [
        (str(done["at"]), str(done.get("ledger_read_at", done["at"])))
        for done in steps.done(paths, "build core", as_of)
    ]
    then = max((read for built_at, read in readings if built_at <= said_at), default=said_at)
    now = max((read for _, read in readings), default=journal.now())
    before: dict[str, str] = {}
    since: dict[str, journal.Record] = {}
    for line in journal.read(paths.ledger):
        if line["decided_at"] <= then:
            before[line["file_id"]] = line["status"]
        elif line["decided_at"] <= now:
            since[line["file_id"]] = line
    files = [LedgerFile.model_validate(line) for line in since.values()]
    return [
        file
        for file in files
        if "accepted" in (file.status, before.get(file.file_id)) and _is_dated_by(file, as_of)
    ]


def _is_dated_by(file: LedgerFile, as_of: date) -> bool:
    """Whether any row was delivered by a day; where the file has no date, each was on its own."""
    days = [file.delivered_on] if file.delivered_on else [day.event_date for day in file.tables]
    return any(day <= as_of for day in days)


def _row_run_ids(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date) -> list[str]:
    """Return the runs that computed the published rows, of facts those of the day.

    A history goes on naming the runs of all days before: of these only the ones that no publication has
    named, or each would name more than the last.
    """
    named = {run for told in _manifests(paths) for run in told.get("row_run_ids", ())}
    found: set[str] = set()
    for table in BI_TABLES:
        runs = _runs(connection, table, as_of)
        found |= runs - named if table.kind == INTERVALS else runs
    return sorted(found)


def _runs(connection: duckdb.DuckDBPyConnection, table: Table, as_of: date) -> set[str]:
    where, values = ("as_of_date = ?", [as_of]) if table.kind == FACTS else ("true", [])
    query = f"select distinct run_id from published.bi.{quoted(table.name)} where {where}"  # noqa: S608
    return {run for (run,) in connection.execute(query, values).fetchall() if run}


def _models(connection: duckdb.DuckDBPyConnection, as_of: date) -> set[tuple[str, str]]:
    """Return the registered models that spoke on a day, with the version of each."""
    found = connection.execute(
        """
        select scheme, model_version from published.bi.user_segment_daily where as_of_date = $1
        union
        select score_name, model_version from published.bi.user_score_daily where as_of_date = $1
        """,
        [as_of],
    ).fetchall()
    return {(MODELS[said], version) for said, version in found if said in MODELS and version}


def _mlflow_runs(paths: ShopPaths, models: set[tuple[str, str]]) -> list[str]:
    """Return who trained them; two models may well have versions of the same number."""
    records = journal.read(paths.ops / "model_run.jsonl")
    return sorted(
        {
            str(record["mlflow_run_id"])
            for record in records
            if (record.get("registered_model"), record["model_version"]) in models
        }
    )


def _validations(paths: ShopPaths, as_of: date) -> dict[str, str]:
    """Return the last validation of each border for this day."""
    records = journal.read(paths.ops / "data_quality.jsonl")
    return {
        str(record["border"]): str(record["validation_id"])
        for record in records
        if record.get("as_of_date") == as_of.isoformat()
    }


def _inputs(paths: ShopPaths, as_of: date) -> dict[str, str]:
    manifest = paths.snapshots / f"latest-{as_of.isoformat()}" / "manifest.json"
    if not manifest.exists():
        return {}
    return {"snapshot_digest": str(json.loads(manifest.read_text(encoding="utf-8"))["digest"])}
