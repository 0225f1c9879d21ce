"""Train, compare and register the models.

Reads: the Parquet snapshot of the as_of_date, and what was landed of some of its users, to see that later
deliveries change nothing of them; never the warehouse.
Writes: MLflow runs and registered models (``data/mlflow``), ``data/<shop>/ops/model_run.jsonl``. The
alias ``champion`` moves only where the challenger wins on the same rows. ``data/<shop>/canary``, for a while.

When it runs: on Mondays at 07:30 in the shop's time zone; when ``score_users`` finds no champion that may
score its day, or the quality checks of ``bi`` saw segments move fast since the last training; by hand for
any ``as_of_date``.
When it is skipped: the shop has no complete day.
When it waits (``up_for_reschedule``): MLflow does not answer, or its disk is full. What was fitted is kept,
and the task tries again by itself for a day.
When it fails: as where a feature knows the future, the log ends with the reason; runs and metrics so far are
in MLflow under the experiment's name.

Safe to rerun: yes. Unchanged data, configuration and code reuse the registered model; ``full_refresh``
trains again (``FORCE=1``), with equal metrics.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, dag

from common import runs
from common.commands import Command


@dag(
    # A first start on a Monday would make up for that morning, within a tenth of a week, beside the training
    # that score_users asks for: Airflow takes False for that.
    schedule=CronTriggerTimetable("30 7 * * 1", timezone=runs.shop_time_zone(), run_immediately=timedelta(0)),
    params=runs.params(full_refresh="Train again even where data, configuration and code are unchanged."),
    max_active_runs=1,
    default_args=runs.TASK_DEFAULTS,
    doc_md=__doc__,
    tags=["ml"],
)
def train_models() -> None:
    """Train every model of the shop."""
    Command(
        task_id="train_models",
        words=["ml", "train", "--shop", "{shop}", "--as-of", "{as_of}"],
        force=True,
        execution_timeout=timedelta(hours=6),
    )


train_models()
