from __future__ import annotations

import json
from datetime import date, timedelta

import duckdb
import pytest
import yaml

import journal
from cli import GateStoppedError, ShoalError, UsageError
from serving import content_hash, facts, provenance, versions
from serving.publish import KEPT_SNAPSHOTS, publish
from serving.query import connect
from serving.tables import BI_TABLES
from settings import ShopPaths
from tests.unit.serving.conftest import Warehouse
from warehouse import ops, steps

FIRST = date(2026, 3, 1)
NEXT = FIRST + timedelta(days=1)


def ask(paths, sql):
    with connect(paths) as connection:
        return connection.execute(sql).fetchall()


def test_publish_shows_every_table_of_the_snapshot(working, paths):
    working.build(FIRST)
    outcome = publish(paths, FIRST)
    assert outcome.is_new and outcome.is_in_force and outcome.user_count == 3
    for table in BI_TABLES:
        ask(paths, f"from {table.name}")
    assert ask(paths, "select sum(net_revenue_amount) from segment_profile_daily where scheme = 'rfm'") == [
        (pytest.approx(100.00 + 20.50),)
    ]
    assert ask(paths, "select count(*) from user_segment_current") == [(3 * 2,)]
    assert ask(paths, "select version, as_of_date, user_count from published_version") == [
        (outcome.version, FIRST, 3)
    ]
    assert ask(paths, "select stage, status, version from ops.run_manifest") == [
        ("serving publish", "published", outcome.version)
    ]


def test_publish_says_which_schemes_are_absent(working, paths):
    working.build(FIRST)
    publish(paths, FIRST)
    assert ask(paths, "select degraded_because from published_version") == [("no scheme behaviour, value",)]


def test_publish_of_the_same_content_changes_nothing_but_run_ids(working, paths):
    working.build(FIRST, run_id="run-1")
    first = publish(paths, FIRST)
    working.build(FIRST, run_id="run-2")
    second = publish(paths, FIRST)
    assert not second.is_new and second.version == first.version
    assert second.kept_as_published == []
    assert [version.name for version in versions.versions(paths)] == [first.version]
    statuses = [record["status"] for record in journal.read(paths.ops / "run_manifest.jsonl")]
    assert statuses == ["published", "unchanged"]


def test_publish_keeps_a_published_day_when_its_content_would_change(working, paths):
    working.build(FIRST, score=1.0)
    publish(paths, FIRST)
    working.build(FIRST, score=2.0)
    outcome = publish(paths, FIRST)
    assert outcome.kept_as_published == ["user_segment_daily", "user_score_daily"]
    assert not outcome.is_new
    assert ask(paths, "select distinct score from user_segment_daily") == [(1.0,)]


def test_backfill_of_an_older_day_adds_it_and_leaves_current_alone(working, paths):
    working.build(NEXT, score=2.0)
    publish(paths, NEXT)
    working.build(FIRST, score=1.0)
    publish(paths, FIRST)
    assert ask(paths, "select distinct as_of_date, score from user_segment_current") == [(NEXT, 2.0)]
    assert ask(paths, "select distinct as_of_date from user_segment_daily order by 1") == [(FIRST,), (NEXT,)]


def test_a_day_that_was_built_but_never_published_is_not_shown(working, paths):
    working.build(FIRST)
    working.build(NEXT)
    publish(paths, FIRST)
    assert ask(paths, "select distinct as_of_date from user_segment_daily") == [(FIRST,)]
    assert ask(paths, "select distinct as_of_date from user_segment_current") == [(FIRST,)]


def test_histories_that_tell_of_a_day_that_nobody_published_are_refused(working, paths):
    """Leg 2 was built for a day that its gate then stopped, and the day before it is published again."""
    working.build(FIRST)
    publish(paths, FIRST)
    with duckdb.connect(str(paths.warehouse)) as connection:
        steps.note(connection, paths, "begin bi", NEXT, is_restating=False)
    with pytest.raises(ShoalError, match=f"tells of {NEXT}, .* build bi --shop simulated --as-of {FIRST}"):
        publish(paths, FIRST)
    working.build(NEXT)
    assert publish(paths, NEXT).is_new
    assert not publish(paths, FIRST).is_new


def test_a_funnel_that_a_stopped_day_told_is_not_published_with_an_older_day(working, paths):
    """The gate stopped the third day, and a backfill of the first leaves the funnel as that told it."""
    working.build(NEXT)
    publish(paths, NEXT)
    working.build(FIRST)
    with duckdb.connect(str(paths.warehouse)) as connection:
        steps.note(connection, paths, "tell newest", NEXT + timedelta(days=1))
        steps.note(connection, paths, "begin bi", FIRST, is_restating=False)
    with pytest.raises(ShoalError, match=rf"journeys .* build bi .* {NEXT}, then .* build bi .* {FIRST}"):
        publish(paths, FIRST)
    with duckdb.connect(str(paths.warehouse)) as connection:
        steps.note(connection, paths, "tell newest", NEXT, is_restating=True)
    with pytest.raises(ShoalError, match=rf"tell of {NEXT}, by a restatement that was given up: run "):
        publish(paths, FIRST)
    with duckdb.connect(str(paths.warehouse)) as connection:
        steps.note(connection, paths, "tell newest", NEXT)
    assert publish(paths, FIRST).is_new


def test_histories_of_a_restatement_that_was_given_up_are_refused(working, paths):
    working.build(FIRST, score=1.0)
    publish(paths, FIRST)
    working.build(FIRST, score=2.0)
    with duckdb.connect(str(paths.warehouse)) as connection:
        steps.note(connection, paths, "begin bi", FIRST, is_restating=True)
    with pytest.raises(ShoalError, match=f"tells {FIRST} otherwise than it is published, by a restatement"):
        publish(paths, FIRST)
    assert publish(paths, FIRST, restated_because="a test").restated
    assert not publish(paths, FIRST).is_new, "what the warehouse tells is what is published now"


def test_history_survives_the_loss_of_the_warehouse(working, paths):
    working.build(FIRST)
    publish(paths, FIRST)
    working.execute("delete from bi.user_segment_daily")
    working.build(NEXT)
    publish(paths, NEXT)
    assert ask(paths, "select distinct as_of_date from user_segment_daily order by 1") == [(FIRST,), (NEXT,)]


def test_history_files_are_never_rewritten(working, paths):
    working.build(FIRST)
    publish(paths, FIRST)
    files = sorted(facts.folder(paths, FIRST).glob("*.parquet"))
    assert [file.stem for file in files] == [
        "dim_segment",
        "segment_feature_index",
        "segment_profile_daily",
        "user_score_daily",
        "user_segment_daily",
    ]
    before = [(file.stat().st_ino, file.read_bytes()) for file in files]
    working.build(FIRST, score=9.0)
    publish(paths, FIRST)
    assert [(file.stat().st_ino, file.read_bytes()) for file in files] == before


def test_a_backfill_from_before_the_last_90_snapshots_can_be_published_again(working, paths, monkeypatch):
    monkeypatch.setattr("serving.publish.KEPT_SNAPSHOTS", 1)
    for day in (NEXT, FIRST):
        working.build(day)
        publish(paths, day)
    assert ask(paths, "select distinct as_of_date from user_segment_daily order by 1") == [(FIRST,), (NEXT,)]
    assert not publish(paths, FIRST).is_new
    last = NEXT + timedelta(days=1)
    working.build(last)
    publish(paths, last)
    assert ask(paths, "select distinct as_of_date from user_segment_daily") == [(last,)]


def test_versions_share_the_parquet_of_older_days(working, paths):
    for day in (FIRST, NEXT):
        working.build(day)
        publish(paths, day)
    copies = [
        version.folder / "parquet/user_segment_daily" / f"{FIRST}.parquet"
        for version in versions.versions(paths)
    ]
    assert len(copies) == 2
    assert len({file.stat().st_ino for file in copies}) == 1


def test_the_published_file_carries_the_last_90_snapshots_and_parquet_all(working, paths):
    working.build(FIRST)
    publish(paths, FIRST)
    for number in range(1, KEPT_SNAPSHOTS):
        # As published: 89 more days, without paying for 89 publishes.
        day = FIRST + timedelta(days=number)
        target = facts.folder(paths, day)
        target.mkdir()
        for file in facts.folder(paths, FIRST).glob("*.parquet"):
            duckdb.sql(
                f"copy (select date '{day}' as as_of_date, * exclude as_of_date from '{file}') "
                f"to '{target / file.name}' (format parquet)"
            )
    last = FIRST + timedelta(days=KEPT_SNAPSHOTS)
    working.build(last)
    publish(paths, last)
    assert ask(
        paths, "select count(distinct as_of_date), min(as_of_date), max(as_of_date) from user_segment_daily"
    ) == [(KEPT_SNAPSHOTS, NEXT, last)]
    in_force = versions.current(paths)
    assert in_force is not None
    assert len(list((in_force.folder / "parquet/user_segment_daily").iterdir())) == KEPT_SNAPSHOTS + 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            "delete from bi.user_segment_daily where scheme = 'rfm' and user_key = 'u1'",
            "users per scheme differ",
        ),
        (
            "insert into bi.user_segment_daily from bi.user_segment_daily limit 1",
            "user_segment_daily repeats 1 keys",
        ),
        (
            "update bi.user_segment_daily set segment_code = 'k7' where user_key = 'u1'",
            "does not have on their date",
        ),
        (
            "update bi.dim_segment set valid_from = date '2026-03-02'",
            "does not have on their date: lifecycle/aware",
        ),
        (
            "update bi.dim_segment set valid_to = date '2026-03-01'",
            "does not have on their date: lifecycle/aware",
        ),
        ("update bi.segment_profile_daily set users = 2 where segment_code = 'aware'", "sum to 4 users"),
        ("delete from bi.segment_profile_daily where scheme = 'rfm'", "sum to 0 users"),
        (
            "alter table bi.user_score_daily add column email varchar",
            "column bi.user_score_daily.email is named",
        ),
        (
            "update bi.dim_segment set description_en = 'ask ann@shop.example'",
            "bi.dim_segment.description_en has 1",
        ),
        (
            "update bi.dim_segment set description_en = 'call +49 30 1234567'",
            "bi.dim_segment.description_en has 1",
        ),
        (
            "update bi.dim_segment set description_zh = '电话13812345678'",
            "bi.dim_segment.description_zh has 1",
        ),
        ("delete from bi.user_segment_daily", "no row for 2026-03-01"),
    ],
)
def test_a_failed_check_publishes_nothing(working, paths, spoil, said):
    working.build(FIRST)
    working.execute(spoil)
    with pytest.raises(GateStoppedError, match=said):
        publish(paths, FIRST)
    assert versions.current(paths) is None
    assert facts.days(paths) == []


def test_a_failed_check_leaves_the_version_in_force(working, paths):
    working.build(FIRST)
    first = publish(paths, FIRST)
    working.build(NEXT)
    working.execute(
        "delete from bi.user_segment_daily "
        "where as_of_date = '2026-03-02' and scheme = 'rfm' and user_key = 'u1'"
    )
    with pytest.raises(GateStoppedError):
        publish(paths, NEXT)
    assert ask(paths, "select version from published_version") == [(first.version,)]


def test_publish_without_a_warehouse_says_what_to_run(paths):
    with pytest.raises(ShoalError, match="python -m warehouse build core"):
        publish(paths, FIRST)


def test_publish_without_bi_tables_names_them(working, paths):
    working.execute("drop view bi.user_segment_current; drop table bi.funnel_daily")
    with pytest.raises(
        ShoalError, match=r"user_segment_current, bi\.funnel_daily: run python -m warehouse build bi"
    ):
        publish(paths, FIRST)


def test_a_day_without_predictions_is_published_only_on_request(working, paths):
    working.build(FIRST)
    working.execute("delete from bi.user_score_daily; update bi.user_segment_daily set model_version = null")
    with pytest.raises(ShoalError, match=r"nothing has been predicted as of 2026-03-01.*python -m ml score"):
        publish(paths, FIRST)
    assert facts.days(paths) == []
    assert publish(paths, FIRST, rules_only=True).is_new
    assert not publish(paths, FIRST).is_new


def test_rollback_pins_and_release_shows_what_was_built_meanwhile(working, paths):
    names = []
    for number in range(3):
        working.build(FIRST + timedelta(days=number))
        names.append(publish(paths, FIRST + timedelta(days=number)).version)
    assert versions.rollback(paths, None).name == names[1]
    assert ask(paths, "select max(as_of_date) from user_segment_current") == [(NEXT,)]

    working.build(FIRST + timedelta(days=3))
    outcome = publish(paths, FIRST + timedelta(days=3))
    assert outcome.is_new and not outcome.is_in_force
    assert ask(paths, "select max(as_of_date) from user_segment_current") == [(NEXT,)]

    assert versions.release(paths).name == outcome.version
    assert ask(paths, "select max(as_of_date) from user_segment_current") == [(FIRST + timedelta(days=3),)]
    assert versions.pinned(paths) is None


def test_rollback_refuses_what_is_not_there(working, paths):
    with pytest.raises(ShoalError, match="no published version"):
        versions.rollback(paths, None)
    working.build(FIRST)
    publish(paths, FIRST)
    with pytest.raises(ShoalError, match="nothing to go back to"):
        versions.rollback(paths, None)
    with pytest.raises(UsageError, match="no version 'x'"):
        versions.rollback(paths, "x")
    with pytest.raises(UsageError, match="nothing is pinned"):
        versions.release(paths)


def test_the_last_seven_versions_are_kept_and_never_fewer_than_the_pinned(working, paths):
    working.build(FIRST)
    names = [publish(paths, FIRST).version]
    for number in range(1, 3):
        working.build(FIRST + timedelta(days=number))
        names.append(publish(paths, FIRST + timedelta(days=number)).version)
    versions.rollback(paths, names[0])
    for number in range(3, 10):
        working.build(FIRST + timedelta(days=number))
        names.append(publish(paths, FIRST + timedelta(days=number)).version)
    assert [version.name for version in versions.versions(paths)] == [names[0], *names[-7:]]
    versions.release(paths)
    assert [version.name for version in versions.versions(paths)] == names[-7:]


def test_is_pinned_is_seen_by_versions_built_while_a_pin_holds(working, paths):
    for day in (FIRST, NEXT):
        working.build(day)
        publish(paths, day)
    pinned = versions.rollback(paths, None).name
    working.build(NEXT + timedelta(days=1))
    built = publish(paths, NEXT + timedelta(days=1))
    database = versions.find(paths, built.version).database
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute("select version, is_pinned from bi.published_version order by 1").fetchall()
    assert [is_pinned for _, is_pinned in rows] == [True, False, False]
    assert rows[0][0] == pinned


def test_ops_tables_publish_declared_columns_only(working, paths):
    working.build(FIRST)
    working.execute("create table ops.landing_ledger (file_id varchar, file_name varchar, secret varchar)")
    working.execute("insert into ops.landing_ledger values ('f1', 'orders.csv', 'ann@shop.example')")
    metrics = {"auc": 0.7, "lift": {"value": float("nan")}}
    run = {"run_id": "r", "mlflow_run_id": "m", "model_version": "4", "metrics": metrics, "secret": "x"}
    journal.append(paths.ops / "model_run.jsonl", [run])
    publish(paths, FIRST)
    assert ask(paths, "select file_id, file_name, rows_in from ops.landing_ledger") == [
        ("f1", "orders.csv", None)
    ]
    found = ask(paths, "select metrics->>'$.auc', metrics->>'$.lift.value' from ops.model_run")
    assert found == [("0.7", None)]
    names = ask(paths, "select column_name from duckdb_columns() where column_name = 'secret'")
    assert names == []


def test_every_table_of_ops_and_its_columns_are_described(working, paths):
    working.build(FIRST)
    publish(paths, FIRST)
    tables = "select table_name, null, comment from duckdb_tables() where schema_name = 'ops'"
    columns = "select table_name, column_name, comment from duckdb_columns() where schema_name = 'ops'"
    told = ask(paths, f"{tables} union all {columns}")
    assert len({table for table, *_ in told}) == 9
    assert [(table, column) for table, column, said in told if not said] == []
    # Nor is a column described that no version has.
    held = {(table, column) for table, column, _ in told}
    only_there = yaml.safe_load(ops.PUBLISHED.read_text(encoding="utf-8"))
    assert {(name, column) for name, table in only_there.items() for column in table["columns"]} <= held


def test_run_manifest_ties_the_rows_to_what_made_them(working, paths):
    working.build(FIRST, run_id="run-7")
    journal.append(
        paths.ops / "model_run.jsonl",
        [
            {"mlflow_run_id": run, "registered_model": model, "model_version": version}
            for run, model, version in (
                ("m3", "high_value", "3"),
                ("m4", "high_value", "4"),
                ("m5", "behaviour_segments", "4"),  # another model's version of the same number
            )
        ],
    )
    checks = [{"border": "bi", "validation_id": name, "as_of_date": f"{FIRST}"} for name in ("v1", "v2")]
    journal.append(paths.ops / "data_quality.jsonl", checks)
    snapshot = paths.snapshots / f"latest-{FIRST}"
    snapshot.mkdir(parents=True)
    (snapshot / "manifest.json").write_text('{"digest": "abc"}')
    publish(paths, FIRST)
    [row] = ask(paths, "select row_run_ids, mlflow_run_ids, validation_ids, inputs from ops.run_manifest")
    assert [json.loads(text) for text in row] == [["run-7"], ["m4"], {"bi": "v2"}, {"snapshot_digest": "abc"}]


def test_trail_leads_from_a_model_to_its_days_and_back(working, paths, monkeypatch):
    trained = {"registered_model": "high_value", "run_id": "run-5", "as_of_date": f"{FIRST}"}
    journal.append(
        paths.ops / "model_run.jsonl",
        [
            {**trained, "mlflow_run_id": "aaa3", "model_version": "3", "dag_run_id": "train-3"},
            {**trained, "mlflow_run_id": "bbb4", "model_version": "4", "dag_run_id": "train-4"},
        ],
    )
    monkeypatch.setenv("SHOAL_DAG_RUN_ID", "publish-1")
    working.build(FIRST)
    version = publish(paths, FIRST).version
    for wanted in ("bbb", "train-4", version, "publish-1"):
        found = provenance.find(paths, wanted)
        assert [run["mlflow_run_id"] for run in found.models] == ["bbb4"], wanted
        assert [(row["version"], row["dag_run_id"]) for row in found.publications] == [(version, "publish-1")]
    assert provenance.find(paths, "train-3").publications == []
    with pytest.raises(UsageError, match="no run and no version of simulated is called 'ccc'"):
        provenance.find(paths, "ccc")


def test_content_hash_ignores_order_and_provenance_but_counts_repeats():
    with duckdb.connect() as connection:
        connection.execute(
            "create table a as select * from (values (1, 'x', 'r1'), (2, null, 'r1')) t(n, s, run_id)"
        )
        connection.execute(
            "create table b as select * from (values ('r2', null, 2), ('r3', 'x', 1)) t(run_id, s, n)"
        )
        connection.execute("create table c as from a union all from a limit 3")
        connection.execute("create table d as select n, coalesce(s, '') as s, run_id from a")
        connection.execute("create table e as from a limit 0")
        hashes = [content_hash(connection, table) for table in "abcde"]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4
    assert hashes[4] == "0-" + "0" * 32


def test_two_publishes_of_equal_warehouses_have_equal_content(working, paths, tmp_path, monkeypatch):
    working.build(FIRST, run_id="here")
    publish(paths, FIRST)
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path / "elsewhere"))
    other = ShopPaths("simulated")
    Warehouse(other).build(FIRST, run_id="there")
    publish(other, FIRST)
    first, second = (versions.versions(found)[-1].manifest["content_hashes"] for found in (paths, other))
    assert first == second


LEDGER = """
create table ops.landing_ledger (
    file_id varchar, file_name varchar, status varchar, delivered_on date, decided_at timestamp
);
insert into ops.landing_ledger values
    ('1', 'reviews.csv', 'refused', '2026-03-01', '2026-03-01 01:00:00'),
    ('2', 'products.csv', 'held', null, '2026-03-01 01:00:00'),
    ('3', 'customers.csv', 'waiting', '2026-03-02', '2026-03-01 01:00:00'),
    ('4', 'payments.csv', 'refused', '2026-03-01', '2026-03-01 01:00:00'),
    ('5', 'payments.csv', 'accepted', '2026-03-01', '2026-03-01 02:00:00'),
    ('6', 'events.csv', 'withdrawn', '2026-03-01', '2026-03-01 01:00:00')
"""


def test_a_version_names_the_files_that_it_goes_without(working, paths):
    working.build(FIRST)
    working.execute(LEDGER)
    assert degraded(paths, FIRST) == "no scheme behaviour, value; held products.csv; refused reviews.csv"
    working.build(NEXT)
    assert degraded(paths, NEXT).endswith("held products.csv; refused reviews.csv; waiting customers.csv")


def test_a_version_that_lacks_a_file_no_longer_is_a_new_one(working, paths):
    working.build(FIRST)
    working.execute(LEDGER)
    first = publish(paths, FIRST)
    assert not publish(paths, FIRST).is_new
    working.execute("update ops.landing_ledger set status = 'accepted'")
    again = publish(paths, FIRST)
    assert again.is_new and again.degraded_because == "no scheme behaviour, value"
    assert first.row_counts["user_segment_daily"] == again.row_counts["user_segment_daily"]


def degraded(paths, day):
    version = publish(paths, day).version
    query = f"select degraded_because from bi.published_version where version = '{version}'"
    ((because,),) = ask(paths, query)
    return because
