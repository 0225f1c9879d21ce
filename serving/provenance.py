"""What made the rows of a version: the runs, models, checks and inputs behind one as_of_date."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import journal
from serving.tables import FACT_TABLES, quoted
from settings import ShopPaths

if TYPE_CHECKING:
    import duckdb


def trace(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date) -> dict[str, Any]:
    """Return the traces of a snapshot, as columns of ``ops.run_manifest``."""
    models = _distinct(connection, "model_version", ("user_segment_daily", "user_score_daily"), as_of)
    tables = tuple(table.name for table in FACT_TABLES)
    return {
        "row_run_ids": _distinct(connection, "run_id", tables, as_of),
        "dbt_invocation_id": _dbt_invocation(paths),
        "mlflow_run_ids": _mlflow_runs(paths, models),
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


def _mlflow_runs(paths: ShopPaths, model_versions: list[str]) -> list[str]:
    records = journal.read(paths.ops / "model_run.jsonl")
    return sorted(
        {str(record["mlflow_run_id"]) for record in records if record["model_version"] in model_versions}
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
