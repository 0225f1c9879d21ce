"""Days published in any order say the same, and a published day changes only by a restatement."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest

import warehouse
from cli import GateStoppedError, ShoalError, UsageError
from expectations import gates
from serving import __main__ as command
from serving import facts
from serving.publish import publish
from serving.query import connect
from serving.restate import restate
from serving.tables import BI_TABLES, FACT_TABLES
from settings import ShopPaths
from tests import world
from tests.dbt import days, landed
from tests.dbt.conftest import land_world, use_shop_folder
from warehouse import dbt, steps
from warehouse.build import build_bi

pytestmark = pytest.mark.slow

FIRST, SECOND, THIRD, FOURTH, FIFTH = days.FIVE_DAYS

Rows = dict[tuple[date, str, str], tuple[str, int, bool]]


@pytest.fixture(scope="module")
def forward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopPaths]:
    """Five days, published as they came."""
    with pytest.MonkeyPatch.context() as patch:
        paths = use_shop_folder(patch, tmp_path_factory.mktemp("forward"))
        land_world(paths, sorted(world.DELIVERIES))
        patch.setattr(dbt, "build", days.run_only)
        for day in days.FIVE_DAYS:
            days.tell(paths, day)
        yield paths


def users(paths: ShopPaths) -> Rows:
    """Return segment, days_in_segment and is_new_user by day, user and scheme, from the history."""
    files = str(paths.history / "bi" / "*" / "user_segment_daily.parquet")
    rows = duckdb.execute(
        "select as_of_date, user_key, scheme, segment_code, days_in_segment, is_new_user "
        "from read_parquet(?)",
        [files],
    ).fetchall()
    return {(day, user, scheme): (code, stay, is_new) for day, user, scheme, code, stay, is_new in rows}


def compare(told: Rows) -> Rows:
    """Compare each day with the days before it, in the plainest way."""
    found: Rows = {}
    known = sorted({day for day, _, _ in told})
    for (day, user, scheme), (code, _, _) in told.items():
        before = [each for each in known if each < day]
        began = day
        for each in reversed(before):
            if told.get((each, user, scheme), ("",))[0] != code:
                break
            began = each
        is_new = bool(before) and not any((each, user, scheme) in told for each in before)
        found[day, user, scheme] = (code, (day - began).days + 1, is_new)
    return found


def test_days_told_backwards_say_what_days_told_in_order_say(
    forward: ShopPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Today first, then the past from the newest day to the oldest."""
    expected, files = days.published(forward), forward.landing
    assert facts.restatements(forward) == []
    paths = use_shop_folder(monkeypatch, tmp_path)
    shutil.copytree(files, paths.landing)
    for day in reversed(days.FIVE_DAYS):
        days.tell(paths, day)
    assert len(expected) == len(days.FIVE_DAYS) * len((*FACT_TABLES, facts.DEFINITIONS))
    assert days.published(paths) == expected
    told = users(paths)
    assert told == compare(told)
    assert len({stay for _, stay, _ in told.values()}) > 3
    followed = {(note["as_of_date"], note["because_of"]) for note in facts.restatements(paths)}
    assert (str(FIFTH), str(FIRST)) in followed
    with connect(paths) as connection:
        shown = connection.execute("select max(as_of_date), max(days_in_segment) from user_segment_current")
        assert shown.fetchall() == [(FIFTH, (FIFTH - FIRST).days + 1)]


def test_newest_day_tells_what_has_no_date_though_a_past_one_was_laid_out_meanwhile(
    forward: ShopPaths,
) -> None:
    """As a backfill does beside today's run: leg 1 of a past day comes between the two legs of today."""
    tables = ("bi.customer_cohort_monthly", "bi.funnel_daily")
    before = days.content(forward, "bi")
    assert not any(before[table].startswith("0-") for table in tables)
    days.lay_out(forward, FIRST)
    with warehouse.connect(forward, "a test") as connection:
        for table in tables:
            connection.execute(f"delete from {table}")
    build_bi(forward, FIFTH)
    after = days.content(forward, "bi")
    assert {table: after[table] for table in tables} == {table: before[table] for table in tables}


def test_late_delivery_leaves_a_published_day_and_names_the_command(
    forward: ShopPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    before = days.published(forward)
    landed.deliver(forward, FOURTH, "reviews", [], name="of_a_later_day")
    landed.deliver(forward, THIRD, "orders", [_order("mo9", "mo", "2026-04-22 10:00:00")], name="late")
    landed.deliver(forward, THIRD, "order_lines", [_line("mo9", "2026-04-22 10:00:00")], name="late")
    outcome = days.tell(forward, THIRD, run_id="late")
    assert "user_segment_daily" in outcome.kept_as_published
    assert days.published(forward) == before
    arguments = command.parser().parse_args(["publish", "--shop", world.SHOP, "--as-of", str(THIRD)])
    arguments.act(arguments)
    told = capsys.readouterr().err
    assert re.search(r"user_segment_daily: \d+ changed, such as .*mo/lifecycle", told)
    assert f": late (orders; delivered on {THIRD}" in told
    assert f": late (order_lines; delivered on {THIRD}" in told
    assert "of_a_later_day" not in told and "world" not in told.split("restate")[0]
    assert f'python -m serving restate {THIRD} --shop {world.SHOP} --reason "…"' in told


def test_run_manifest_names_the_run_and_the_dbt_run_of_every_published_row(forward: ShopPaths) -> None:
    with connect(forward) as connection:
        published = {
            run
            for table in BI_TABLES
            for (run,) in connection.execute(f"select distinct run_id from bi.{table.name}").fetchall()
        }
        manifests = connection.execute(
            "select as_of_date, run_id, row_run_ids, dbt_invocation_id from ops.run_manifest"
        ).fetchall()
    own = {run for _, run, _, _ in manifests}
    assert published <= own | {run for _, _, runs, _ in manifests for run in json.loads(runs)}
    builds = {
        (day, done["dbt_invocation_id"])
        for day in days.FIVE_DAYS
        for done in steps.done(forward, "build bi", day)
    }
    assert {(day, invocation) for day, _, _, invocation in manifests} <= builds
    assert {day for day, _, _, _ in manifests} == set(days.FIVE_DAYS)


def test_restatement_needs_a_reason_and_a_published_day(forward: ShopPaths) -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        restate(forward, THIRD, " ")
    with pytest.raises(UsageError, match=r"2026-04-01 of world was never published.* serving publish"):
        restate(forward, date(2026, 4, 1), "a test")
    with pytest.raises(SystemExit) as stopped:
        command.parser().parse_args(["restate", str(THIRD)])
    assert stopped.value.code == 2


def test_restatement_of_a_day_that_is_not_laid_out_says_how_to(forward: ShopPaths) -> None:
    with pytest.raises(ShoalError, match=f"warehouse build core --shop world --as-of {FIRST}"):
        restate(forward, FIRST, "a test")


def test_gate_that_stops_a_restatement_changes_nothing(
    forward: ShopPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise GateStoppedError("the border bi stopped the chain")

    before = days.published(forward)
    monkeypatch.setattr(gates, "bi", stop)
    with pytest.raises(GateStoppedError):
        restate(forward, THIRD, "a test")
    assert days.published(forward) == before
    assert not publish(forward, THIRD).is_new


def test_restatement_keeps_both_lets_later_days_follow_and_is_logged(
    forward: ShopPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "bi", lambda *_: None)
    before, told_before = days.published(forward), users(forward)
    announced = {difference.table: difference.rows for difference in publish(forward, THIRD).differences}
    outcome = restate(forward, THIRD, "the till of 22 April was delivered late")
    after, told = days.published(forward), users(forward)
    assert "user_segment_daily" in outcome.restated
    assert announced["user_segment_daily"] == {"changed": changed_users(forward, outcome.version)}

    changed = {key for key in before if before[key] != after[key]}
    assert {table for day, table in changed if day == THIRD} >= {
        "user_segment_daily",
        "segment_profile_daily",
    }
    assert {key for key in changed if key[0] != THIRD} <= {(FOURTH, facts.COMPARED), (FIFTH, facts.COMPARED)}
    assert {key: code for key, (code, _, _) in told.items() if key[0] != THIRD} == {
        key: code for key, (code, _, _) in told_before.items() if key[0] != THIRD
    }
    assert told == compare(told)

    for note in facts.restatements(forward):
        earlier = forward.root / note["kept_in"]
        hashes = json.loads((earlier / facts.HASHES).read_text())
        assert hashes == {table: before[date.fromisoformat(note["as_of_date"]), table] for table in hashes}
    with connect(forward) as connection:
        logged = connection.execute(
            "select reason, because_of, version from ops.restatement where as_of_date = ?", [THIRD]
        ).fetchall()
        stages = connection.execute("select stage from ops.run_manifest where version = ?", [outcome.version])
        assert stages.fetchall() == [("serving restate",)]
    assert logged == [("the till of 22 April was delivered late", THIRD, outcome.version)]


def test_restated_day_is_what_a_first_publish_would_have_said(forward: ShopPaths) -> None:
    outcome = days.tell(forward, THIRD, run_id="late")
    assert outcome.kept_as_published == []
    assert restate_again(forward) == []


def test_restatement_of_the_newest_day_is_settled_once_it_is_published(forward: ShopPaths) -> None:
    """Only one that was given up keeps what older days are published with from being so."""
    days.tell(forward, FIFTH, run_id="again")
    restate_again(forward, FIFTH)
    told = [record for record in steps.done(forward, "tell newest", FIFTH) if "is_restating" in record]
    assert [record["is_restating"] for record in told][-1], "the restatement told the newest day"
    last = steps.last(forward, "tell newest")
    assert last is not None
    assert not last.get("is_restating")


def changed_users(paths: ShopPaths, version: str) -> int:
    """Count the rows that a restatement changed, but for the columns that follow the days before."""
    folders = (facts.folder(paths, THIRD), facts.earlier_folder(paths, THIRD, version))
    now, then = (str(folder / "user_segment_daily.parquet") for folder in folders)
    rows = "select * exclude (run_id, days_in_segment, is_new_user) from read_parquet(?)"
    return len(duckdb.execute(f"{rows} except {rows}", [now, then]).fetchall())


def restate_again(paths: ShopPaths, day: date = THIRD) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gates, "bi", lambda *_: None)
        return restate(paths, day, "once more").restated


def test_day_that_is_being_written_is_not_read(forward: ShopPaths) -> None:
    before = days.content(forward, "bi")
    final = facts.folder(forward, THIRD)
    part = shutil.copytree(final, final.with_name(f".{final.name}.part"))
    assert days.content(forward, "bi") == before
    shutil.rmtree(part)


def test_restatement_killed_between_its_renames_is_undone_and_repeated(forward: ShopPaths) -> None:
    final = facts.folder(forward, THIRD)
    earlier = facts.earlier_folder(forward, THIRD, "99991231T000000000000")
    earlier.parent.mkdir(parents=True, exist_ok=True)  # a neighbour may have restated the day, or none yet
    before = days.published(forward)
    final.rename(earlier)
    publish(forward, THIRD)
    assert days.published(forward) == before


def _order(order_id: str, customer: str, at: str) -> dict:
    return {
        "order_id": order_id,
        "ordered_at": at,
        "customer_id": customer,
        "order_status": "completed",
        "updated_at": at,
        "currency": "EUR",
    }


def _line(order_id: str, at: str) -> dict:
    return {
        "order_id": order_id,
        "line_number": 1,
        "ordered_at": at,
        "product_id": "lamp",
        "quantity": 4,
        "unit_price_amount": 50,
    }
