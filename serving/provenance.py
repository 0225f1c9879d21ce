"""What made the rows of a version: the runs, models, checks and inputs behind one as_of_date.

:func:`trace` notes it when a day is published; :func:`find` follows the notes in both
directions, from a model to the days that it spoke on, and from a day to who trained its model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import journal
from cli import UsageError
from serving.tables import FACT_TABLES, quoted
from settings import ShopPaths

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
    told = list(journal.read(paths.ops / "run_manifest.jsonl"))
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


def _is_named(record: journal.Record, wanted: str) -> bool:
    return wanted in (record.get("run_id"), record.get("dag_run_id"))


def trace(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date) -> dict[str, Any]:
    """Return the traces of a snapshot, as columns of ``ops.run_manifest``."""
    tables = tuple(table.name for table in FACT_TABLES)
    return {
        "row_run_ids": _distinct(connection, "run_id", tables, as_of),
        "dbt_invocation_id": _dbt_invocation(paths),
        "mlflow_run_ids": _mlflow_runs(paths, _models(connection, as_of)),
        "validation_ids": _validations(paths, as_of),
        "inputs": _inputs(paths, as_of),
    }


def _distinct(
    connection: duckdb.DuckDBPyConnection, column: str, tables: tuple[str, ...], as_of: date
) -> list[str]:
    found: set[str] = set()
    for table in tables:
        query = f"""
            select distinct {quoted(column)} from published.bi.{quoted(table)} where as_of_date = ?
        """  # noqa: S608
        found |= {value for (value,) in connection.execute(query, [as_of]).fetchall() if value}
    return sorted(found)


def _dbt_invocation(paths: ShopPaths) -> str | None:
    try:
        results = json.loads((paths.ops / "dbt" / "target" / "run_results.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return str(results["metadata"]["invocation_id"])


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
