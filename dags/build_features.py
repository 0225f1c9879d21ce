"""Clean and merge the landed files into core tables, and build what the models read.

Reads: landed files that the ledger lists as accepted.
Writes: ``ops``, ``core`` and ``ml_inputs`` in ``data/<shop>/warehouse.duckdb`` (leg 1: everything in dbt
that does not depend on predictions), and the Parquet snapshot ``data/<shop>/snapshots/<digest>``; an
event of the asset ``ml_inputs``, which starts ``score_users``.

When it runs: when ``land_behaviour`` has landed a complete day. By hand: for any ``as_of_date``.
When it fails: the log ends with dbt's own message, which names the model or test; the gate ``ml_inputs``
names the rule. ``python -m serving status`` lists failing gates.
When it waits: another process holds the warehouse; the log names it.

Safe to rerun: yes. It rebuilds the days and keys that changed since it last succeeded; ``full_refresh``
rebuilds all of them, with equal rows.
"""

from __future__ import annotations

from airflow.sdk import PartitionedAssetTimetable, dag

from common import assets, runs
from common.commands import Command


@dag(
    schedule=PartitionedAssetTimetable(assets=assets.LANDED_TABLES),
    params=runs.params(full_refresh="Rebuild the warehouse from all landed files."),
    max_active_runs=1,
    default_args=runs.TASK_DEFAULTS,
    doc_md=__doc__,
    tags=["warehouse"],
)
def build_features() -> None:
    """Build leg 1, check it at the border, hand the snapshot over."""
    build_core = Command(
        task_id="build_core",
        words=["warehouse", "build", "core", "--shop", "{shop}", "--as-of", "{as_of}"],
        full_refresh=["--full-refresh"],
        pool=runs.WAREHOUSE_POOL,
        queue=runs.WAREHOUSE_QUEUE,
    )
    check_ml_inputs = Command(
        task_id="check_ml_inputs",
        words=["expectations", "ml_inputs", "--shop", "{shop}", "--as-of", "{as_of}"],
        pool=runs.WAREHOUSE_POOL,
        queue=runs.WAREHOUSE_QUEUE,
        hands_over=assets.ML_INPUTS,
    )
    build_core >> check_ml_inputs


build_features()
