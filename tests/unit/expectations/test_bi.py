"""Every expectation of the border `bi`, seen red by a spoiled warehouse; readers keep what they have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import journal
import warehouse
from cli import GateStoppedError, ShoalError
from expectations import bi, bi_facts, gates
from expectations.rules import BorderExpectation
from expectations.validate import Outcome
from settings import ShopPaths
from tests.unit.expectations import bi_world
from tests.unit.expectations.bi_world import AS_OF
from tests.unit.expectations.conftest import Judge

ONE_USER = "user_key = printf('%064x', 7)"
TODAY = "as_of_date = date '2026-05-31'"

LOYAL_TODAY = f"where scheme = 'lifecycle' and {TODAY}"

SPOILERS: dict[type[BorderExpectation], str] = {
    bi.ExpectSegmentsForTheAsOfDate: f"""
        delete from bi.user_segment_daily {LOYAL_TODAY};
        delete from bi.segment_profile_daily {LOYAL_TODAY}""",
    bi.ExpectEveryEligibleUserInEachScheme: f"""
        update bi.user_segment_daily set user_key = printf('%064x', 99) {LOYAL_TODAY} and {ONE_USER}""",
    bi.ExpectOneSegmentPerUserAndScheme: f"""
        insert into bi.user_segment_daily from bi.user_segment_daily {LOYAL_TODAY} and {ONE_USER};
        update bi.segment_profile_daily set users = 41 {LOYAL_TODAY}""",
    bi.ExpectEverySegmentDefined: """
        update bi.dim_segment set valid_to = date '2026-05-31' where segment_code = 'loyal'""",
    bi.ExpectNamesInBothLanguages: """
        update bi.dim_segment set segment_name_zh = ' ' where segment_code = 'rest'""",
    bi.ExpectProfilesToCountEveryUser: f"update bi.segment_profile_daily set users = 39 {LOYAL_TODAY}",
    bi.ExpectSharesToSumToOne: f"update bi.segment_profile_daily set user_share = 0.99 {LOYAL_TODAY}",
    bi.ExpectScoresInRange: f"update bi.user_score_daily set score = 1.01 where {ONE_USER}",
    bi.ExpectEveryEligibleUserScored: f"delete from bi.user_score_daily where {ONE_USER}",
    bi.ExpectUserCountsNearThePrevious: """
        insert into bi.user_segment_daily
        select date '2026-05-30', printf('%064x', 100 + i), 'lifecycle', 'loyal' from range(41) as r (i)""",
    bi.ExpectStableSegmentShares: f"""
        update bi.user_segment_daily set segment_code = 'best' where scheme = 'rfm' and {TODAY}""",
    bi.ExpectCohortMoneyToAgreeWithCore: """
        update bi.customer_cohort_monthly set net_revenue_amount = 200.01 where month_number = 1""",
    bi.ExpectProfileMoneyToAgreeWithUsers: f"""
        update bi.segment_profile_daily set net_revenue_amount = 400.01 {LOYAL_TODAY}""",
    bi.ExpectNoSmallGroup: "update bi.funnel_daily set users = 9 where segment_code = 'best'",
    bi.ExpectNoIdentifyingColumnInBi: "alter table bi.dim_segment add column owner_email varchar",
}

# All rfm users moved to the segment `best`, told by the profiles too.
CONSISTENT_SHIFT = f"""
    {SPOILERS[bi.ExpectStableSegmentShares]};
    delete from bi.segment_profile_daily where {TODAY} and segment_code = 'rest';
    update bi.segment_profile_daily
    set users = 40, user_share = 1, revenue_share = 1, net_revenue_amount = 400
    where {TODAY} and segment_code = 'best'
"""


@pytest.fixture(scope="session")
def sound_warehouse(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("bi") / "warehouse.duckdb"
    bi_world.build(path)
    return path.read_bytes()


@pytest.fixture
def file(paths: ShopPaths, sound_warehouse: bytes) -> Path:
    paths.root.mkdir(parents=True)
    paths.warehouse.write_bytes(sound_warehouse)
    return paths.warehouse


@pytest.fixture
def connection(paths: ShopPaths) -> Iterator[duckdb.DuckDBPyConnection]:
    """Read the warehouse as the gate does: through its door, reading only."""
    with warehouse.connect(paths, "a test", read_only=True) as opened:
        yield opened


@pytest.fixture
def judge_bi(request: pytest.FixtureRequest):
    def run() -> dict[str, list]:
        judge: Judge = request.getfixturevalue("judge")
        connection = request.getfixturevalue("connection")
        return judge(bi.EXPECTATIONS, lambda: bi_facts.prepare(connection, AS_OF))

    return run


def test_a_sound_warehouse_passes_everything(file: Path, judge_bi):
    assert judge_bi() == {}


@pytest.mark.parametrize("expectation", bi.EXPECTATIONS, ids=lambda one: one.__name__)
def test_expectation_turns_red_on_its_spoiled_warehouse_and_alone(expectation, file: Path, request):
    bi_world.spoil(file, SPOILERS[expectation])
    assert_alone_red = request.getfixturevalue("assert_alone_red")
    connection = request.getfixturevalue("connection")
    assert_alone_red(expectation, bi.EXPECTATIONS, lambda: bi_facts.prepare(connection, AS_OF))


def test_every_spoiler_names_an_expectation_of_the_suite():
    assert set(SPOILERS) == set(bi.EXPECTATIONS)


def test_a_first_snapshot_has_nothing_to_be_compared_with_and_passes(file: Path, judge_bi):
    bi_world.spoil(file, f"delete from bi.user_segment_daily where not {TODAY}")
    told = judge_bi()
    assert set(told) == {
        bi.ExpectUserCountsNearThePrevious.expectation_type,
        bi.ExpectStableSegmentShares.expectation_type,
    }
    assert {finding.outcome for found in told.values() for finding in found} == {Outcome.NOT_APPLICABLE}


def test_a_shop_without_scores_is_not_applicable_there_and_passes(file: Path, judge_bi):
    bi_world.spoil(file, "delete from bi.user_score_daily")
    told = judge_bi()
    assert {finding.outcome for found in told.values() for finding in found} == {Outcome.NOT_APPLICABLE}


def test_cohorts_are_not_compared_once_core_knows_later_days(file: Path, judge_bi):
    bi_world.spoil(file, "update core.fct_events set delivered_on = date '2026-06-01' where user_key is null")
    told = judge_bi()
    assert set(told) == {bi.ExpectCohortMoneyToAgreeWithCore.expectation_type}


def test_cohorts_are_not_compared_while_leg_1_is_laid_out_for_another_day(file: Path, judge_bi):
    bi_world.spoil(file, SPOILERS[bi.ExpectCohortMoneyToAgreeWithCore])
    bi_world.spoil(file, "update intermediate.int_users_eligible set as_of_date = as_of_date - 5")
    told = judge_bi()
    assert set(told) == {bi.ExpectCohortMoneyToAgreeWithCore.expectation_type}
    assert "built for another day" in str(told)


def test_cohorts_of_a_newer_snapshot_do_not_stop_a_restatement(file: Path, judge_bi):
    bi_world.spoil(file, SPOILERS[bi.ExpectCohortMoneyToAgreeWithCore])
    bi_world.spoil(
        file,
        f"insert into bi.user_segment_daily select * replace (date '{AS_OF}' + 1 as as_of_date) "
        f"from bi.user_segment_daily where as_of_date = date '{AS_OF}'",
    )
    told = judge_bi()
    assert set(told) == {bi.ExpectCohortMoneyToAgreeWithCore.expectation_type}
    assert "newer snapshot" in str(told)


def test_failed_gate_exits_3_publishes_nothing_and_leaves_the_published_version(file: Path, paths: ShopPaths):
    version = paths.serving / "versions" / "v1"
    version.mkdir(parents=True)
    (version / "shoal.duckdb").write_bytes(b"as published")
    (paths.serving / "current").symlink_to("versions/v1")
    bi_world.spoil(file, SPOILERS[bi.ExpectSharesToSumToOne])
    before = file.read_bytes()
    with pytest.raises(GateStoppedError) as stopped:
        gates.bi(paths, AS_OF)
    assert stopped.value.exit_code == 3
    assert "expect_shares_to_sum_to_one" in str(stopped.value)
    assert (paths.serving / "current").resolve() == version
    assert (version / "shoal.duckdb").read_bytes() == b"as published"
    assert file.read_bytes() == before


def test_warning_is_recorded_and_stops_nothing(file: Path, paths: ShopPaths):
    bi_world.spoil(file, CONSISTENT_SHIFT)
    assert gates.bi(paths, AS_OF) == 0
    failed = [line for line in journal.read(paths.ops / "data_quality.jsonl") if line["outcome"] == "fail"]
    assert [(line["expectation"], line["severity"]) for line in failed] == [
        ("expect_stable_segment_shares", "warning")
    ]


def test_warehouse_without_bi_tables_could_not_be_checked_and_stops(paths: ShopPaths):
    paths.root.mkdir(parents=True)
    duckdb.connect(str(paths.warehouse)).close()
    with pytest.raises(GateStoppedError):
        gates.bi(paths, AS_OF)
    outcomes = {line["outcome"] for line in journal.read(paths.ops / "data_quality.jsonl")}
    assert outcomes == {"could_not_check"}


def test_no_warehouse_is_an_error_that_says_what_to_run_first(paths: ShopPaths):
    with pytest.raises(ShoalError, match="python -m warehouse build core"):
        gates.bi(paths, AS_OF)
