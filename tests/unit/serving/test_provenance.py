"""What made the rows of a version, and which deliveries a published day does not know."""

from __future__ import annotations

import json
from datetime import date, timedelta

import duckdb
import pytest

import journal
from landing import ledger
from landing.ledger import LandedDay, LedgerFile
from serving import __main__ as command
from serving import provenance
from serving.publish import publish
from serving.query import connect
from serving.tables import BI_TABLES
from warehouse import steps

FIRST = date(2026, 3, 1)
NEXT = FIRST + timedelta(days=1)


@pytest.fixture
def land(paths):
    """Commit a file of orders, named by what the test is about."""

    def land(name: str, day: date | None = FIRST, status: str = "accepted", **more: object) -> None:
        now = journal.now()
        file = LedgerFile(
            file_id=name,
            batch_id="b",
            shop=paths.shop,
            source="orders",
            file_name=f"{name}.csv",
            content_hash=name,
            status=status,
            delivered_on=day,
            landed_at=now,
            decided_at=now,
            contract_version="1",
            mapping_version="1",
            delivers=("orders",),
            **more,
        )
        ledger.commit(paths, [file])

    return land


def since(paths):
    return [file.file_id for file in provenance.decided_since(paths, FIRST)]


def note(working, paths, step: str, day: date = FIRST, **more: str) -> None:
    with duckdb.connect(str(paths.warehouse)) as connection:
        steps.note(connection, paths, step, day, **more)


def test_deliveries_since_are_those_dated_by_the_day_that_count_or_counted(working, paths, land):
    for name in ("known", "withdrawn", "held", "refused_before"):
        land(name, status="refused" if name == "refused_before" else "accepted")
    working.build(FIRST)
    publish(paths, FIRST)
    assert since(paths) == []
    land("late")
    land("of_the_next_day", NEXT)
    land("refused", status="refused")
    rows = {"table": "orders", "rows_written": 1}
    land("history", None, tables=(LandedDay(event_date=FIRST, **rows), LandedDay(event_date=NEXT, **rows)))
    land("history_of_the_next_day", None, tables=(LandedDay(event_date=NEXT, **rows),))
    ledger.set_status(paths, ["withdrawn"], "withdrawn", ["by the shop"])
    ledger.set_status(paths, ["held"], "held", ["too many"])
    ledger.set_status(paths, ["refused_before"], "refused", ["again"])
    assert since(paths) == ["late", "history", "withdrawn", "held"]


def test_deliveries_since_lie_between_what_the_rows_and_what_the_warehouse_read(working, paths, land):
    """Leg 1 had read the ledger before ``meanwhile`` came; nothing has read ``after`` yet."""
    land("known")
    read_at = journal.now()
    land("meanwhile")
    working.build(FIRST)
    note(working, paths, "build core", ledger_read_at=read_at)
    publish(paths, FIRST)
    assert since(paths) == []
    note(working, paths, "build core", NEXT, ledger_read_at=journal.now())  # of another day
    assert since(paths) == []
    land("late")
    note(working, paths, "build core", ledger_read_at=journal.now())
    land("after")
    assert since(paths) == ["meanwhile", "late"]


def said(working, paths, capsys) -> list[str]:
    working.build(FIRST, score=2.0)
    arguments = command.parser().parse_args(["publish", "--shop", paths.shop, "--as-of", str(FIRST)])
    arguments.act(arguments)
    return capsys.readouterr().err.splitlines()


def test_publish_says_which_rows_would_change_and_which_deliveries_did_it(working, paths, land, capsys):
    land("withdrawn")
    working.build(FIRST)
    publish(paths, FIRST)
    for number in range(5):
        land(f"late_{number}[b]")
    ledger.set_status(paths, ["withdrawn"], "withdrawn", ["by the shop"])
    lines = said(working, paths, capsys)
    assert lines[1:3] == [
        "  user_segment_daily: 6 changed, such as u1/lifecycle, u1/rfm, u2/lifecycle, u2/rfm, u3/lifecycle",
        "  user_score_daily: 3 changed, such as u1/high_value, u2/high_value, u3/high_value",
    ]
    assert lines[4].startswith("  accepted ")
    assert lines[4].endswith(f": late_0[b].csv (orders; delivered on {FIRST})")
    assert lines[9] == f"  and 1 more: python -m landing ledger --shop {paths.shop}"
    assert lines[10].endswith(f'python -m serving restate {FIRST} --shop {paths.shop} --reason "…"')


def test_publish_says_when_it_was_a_withdrawal_or_no_delivery(working, paths, land, capsys):
    land("withdrawn")
    working.build(FIRST)
    publish(paths, FIRST)
    assert f"no delivery dated on or before {FIRST} did it" in said(working, paths, capsys)[3]
    ledger.set_status(paths, ["withdrawn"], "withdrawn", ["by the shop"])
    [line] = [line for line in said(working, paths, capsys) if "withdrawn.csv" in line]
    assert line.startswith("  withdrawn ") and f"(orders; delivered on {FIRST}, landed " in line


def test_run_manifest_names_the_dbt_run_of_leg_2_whatever_ran_after_it(working, paths):
    working.build(FIRST)
    note(working, paths, "build bi", dbt_invocation_id="leg-2")
    note(working, paths, "build bi", NEXT, dbt_invocation_id="leg-2-of-another-day")
    results = paths.ops / "dbt" / "target" / "run_results.json"
    results.parent.mkdir(parents=True)
    results.write_text(json.dumps({"metadata": {"invocation_id": "leg-1-of-another-day"}}))
    publish(paths, FIRST)
    with connect(paths) as connection:
        found = connection.execute("select dbt_invocation_id from ops.run_manifest").fetchall()
    assert found == [("leg-2",)]


def test_run_manifest_names_the_run_of_every_published_row(working, paths):
    """Cohorts and funnel are built by a later run than the day's facts, the history by earlier ones."""
    working.build(FIRST, run_id="first")
    publish(paths, FIRST)
    working.build(NEXT, run_id="second")
    working.execute("""
        insert into bi.customer_cohort_monthly (cohort_month, month_number, run_id)
        values (date '2026-03-01', 0, 'of cohorts');
        insert into bi.funnel_daily (date, scheme, segment_code, channel, run_id)
        values (date '2026-03-01', 'rfm', 'promising', 'web', 'of the funnel');
        insert into bi.user_segment_history (user_key, scheme, valid_from, run_id)
        values ('u1', 'rfm', date '2026-03-01', 'first'), ('u2', 'rfm', date '2026-02-01', 'long ago')
    """)
    publish(paths, NEXT)
    with connect(paths) as connection:
        rows = connection.execute("select row_run_ids from ops.run_manifest order by as_of_date").fetchall()
        published = {
            run
            for table in BI_TABLES
            for (run,) in connection.execute(f"select distinct run_id from bi.{table.name}").fetchall()
        }
        own = connection.execute("select distinct run_id from ops.run_manifest").fetchall()
    named = [json.loads(text) for (text,) in rows]
    # "first" began intervals of the history; its own day names it.
    assert named == [["first"], ["long ago", "of cohorts", "of the funnel", "second"]]
    assert published <= {run for runs in named for run in runs} | {run for (run,) in own}
