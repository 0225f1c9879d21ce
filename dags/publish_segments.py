"""Build what BI reads, check it, and publish it as a new version.

Reads: ``core`` and the predictions of the as_of_date.
Writes: ``bi`` in the warehouse (leg 2: everything in dbt that depends on predictions), then
``data/<shop>/serving/versions/<version>``, and swaps ``serving/current`` to it; an event of the asset
``published_segments``.

When it runs: when ``score_users`` has handed a day over. By hand: for any ``as_of_date``.
When it fails: BI keeps the version it has. The gate ``bi`` names the rule; a version that fails its own
checks is left aside. ``python -m serving status`` says what is published, pinned and failing.
To take a version back: ``python -m serving rollback``; publishing then builds but does not swap until
``python -m serving release``.

Safe to rerun: yes. Readers see one whole version at every moment. An older day never moves ``current``
back.
"""

from __future__ import annotations

from airflow.sdk import PartitionedAssetTimetable, dag

from common import assets, runs
from common.commands import Command


@dag(
    schedule=PartitionedAssetTimetable(assets=assets.PREDICTIONS),
    params=runs.params(full_refresh="Changes nothing here: a day is always built anew from core and ml."),
    max_active_runs=1,
    default_args=runs.TASK_DEFAULTS,
    doc_md=__doc__,
    tags=["serving"],
)
def publish_segments() -> None:
    """Build leg 2, check it at the border, publish."""
    build_bi = Command(
        task_id="build_bi",
        words=["warehouse", "build", "bi", "--shop", "{shop}", "--as-of", "{as_of}"],
        pool=runs.WAREHOUSE_POOL,
        queue=runs.WAREHOUSE_QUEUE,
    )
    check_bi = Command(
        task_id="check_bi",
        words=["expectations", "bi", "--shop", "{shop}", "--as-of", "{as_of}"],
        pool=runs.WAREHOUSE_POOL,
        queue=runs.WAREHOUSE_QUEUE,
    )
    publish_version = Command(
        task_id="publish_version",
        words=["serving", "publish", "--shop", "{shop}", "--as-of", "{as_of}"],
        pool=runs.WAREHOUSE_POOL,
        queue=runs.WAREHOUSE_QUEUE,
        hands_over=assets.PUBLISHED_SEGMENTS,
    )
    build_bi >> check_bi >> publish_version


publish_segments()
