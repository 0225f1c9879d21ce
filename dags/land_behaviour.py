"""Land what the shop dropped.

Reads: the folder that the parameter names, by default ``data/<shop>/inbox``.
Writes: ``data/<shop>/landing`` (Parquet and the ledger, its commit point) and ``data/<shop>/quarantine``;
an event of the asset ``landed_tables`` for the day, which starts ``build_features``.

When it runs: daily at 06:00 in the shop's time zone for the day before, which is the partition key. By
hand: give ``folder``, and ``as_of_date`` where it is not the latest complete day. Past days, one run each
that travels down the chain in order: ``airflow backfill create --dag-id land_behaviour --max-active-runs 1
--from-date 2011-12-01 --to-date 2011-12-09T23:59``; the time matters, since a bare date ends at midnight,
before that day's 06:00.

When it is skipped: no folder, or a table that the shop delivers daily has no accepted file for the day.
Nothing is published then; run it again when the file is there.
When it fails: a file of a required table was refused, too many rows of a file are bad so that it is held,
or the gate ``incoming`` holds the batches at fault: ``python -m serving status`` lists them with the command
that repairs each. A torn file waits for the next run; a refused file of an optional table degrades the run.

Safe to rerun: yes. A file that the ledger knows is not landed twice.
"""

from __future__ import annotations

from airflow.sdk import CronPartitionTimetable, Param, dag

from common import assets, runs
from common.commands import Command, Receive


@dag(
    schedule=CronPartitionTimetable(
        "0 6 * * *", timezone=runs.shop_time_zone(), run_offset=-1, key_format="%Y-%m-%d"
    ),
    params={
        **runs.params(full_refresh="Let build_features rebuild the warehouse from all landed files."),
        "folder": Param(
            None,
            type=["null", "string"],
            description="Folder or file to land, absolute or from the checkout. Empty: data/<shop>/inbox.",
        ),
    },
    max_active_runs=1,
    # A backfill has a limit of its own for runs; this one holds there too.
    default_args={**runs.TASK_DEFAULTS, "max_active_tis_per_dag": 1},
    doc_md=__doc__,
    tags=["landing"],
)
def land_behaviour() -> None:
    """Land files, check them at the border, hand the day over."""
    receive_files = Receive(
        task_id="receive_files",
        words=["landing", "receive", "{folder}", "--shop", "{shop}"],
    )
    check_incoming = Command(
        task_id="check_incoming",
        words=["expectations", "incoming", "--shop", "{shop}", "--as-of", "{as_of}"],
        hands_over=assets.LANDED_TABLES,
    )
    receive_files >> check_incoming


land_behaviour()
