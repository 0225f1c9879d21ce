"""Score every eligible user and put each into one segment per scheme.

Reads: the Parquet snapshot of the as_of_date and the champions in MLflow; never what came later.
Writes: the day's rows of ``ml.user_scores``, ``ml.user_segments`` and ``ml.segment_definitions`` in one
transaction, and the same in ``data/<shop>/history/ml``; an event of the asset ``predictions``, which
starts ``publish_segments``.

When it runs: when ``build_features`` has handed a day over. By hand: for any ``as_of_date``.
What it does first: a day is scored only by a champion that knows nothing later than it. Where none is in
force, or the quality checks ask for new models (``python -m expectations wants-training``), ``train_models``
is asked and waited for; usually that step is skipped. Where that training itself waits for MLflow, a champion
in force scores the day without it.
When it fails: look at the run of ``train_models`` that it asked for, then at the log of ``score_users``.

Safe to rerun: yes. It writes the day's rows again, equal to before.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import PartitionedAssetTimetable, TriggerRule, dag

from common import assets, runs
from common.commands import AskForModel, Command


@dag(
    schedule=PartitionedAssetTimetable(assets=assets.ML_INPUTS),
    params=runs.params(full_refresh="Ask for newly trained models first."),
    max_active_runs=1,
    default_args=runs.TASK_DEFAULTS,
    doc_md=__doc__,
    tags=["ml"],
)
def score_users() -> None:
    """Make sure that a champion is in force, then score."""
    ask_for_model = AskForModel(task_id="ask_for_model", execution_timeout=timedelta(hours=7))
    score_users = Command(
        task_id="score_users",
        words=["ml", "score", "--shop", "{shop}", "--as-of", "{as_of}"],
        hands_over=assets.PREDICTIONS,
        queue=runs.WAREHOUSE_QUEUE,  # it ends with a short write; no slot is held for the long part before
        trigger_rule=TriggerRule.NONE_FAILED,
        execution_timeout=timedelta(hours=3),
    )
    ask_for_model >> score_users


score_users()
