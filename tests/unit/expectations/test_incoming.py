"""Every expectation of the border `incoming`, seen red by a spoiled file, and quiet without one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

import journal
from cli import DONE, GateStoppedError
from expectations import deliveries, gates, incoming, incoming_facts, validate
from expectations.rules import BorderExpectation
from expectations.validate import Outcome
from landing import empty, ledger
from settings import ShopPaths
from tests.unit.expectations.conftest import Judge
from tests.unit.expectations.shop_feed import TODAY, Feed, rows

Spoiler = Callable[[Feed], None]


def lose_a_source_row(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY), rows_in=101)


def write_fewer_rows_than_told(feed: Feed) -> None:
    told = [{"table": "events", "event_date": TODAY, "rows_written": 100}]
    feed.file("events", TODAY, "b-today", rows("events", TODAY, 99), rows_in=100, rows_good=100, tables=told)


def send_nine_of_a_hundred_rows(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY, 9))


def send_a_fifth_of_a_day(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY, 20))


def forget_who_the_users_are(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY, user_key=None))


def write_cents_for_euros(feed: Feed) -> None:
    feed.file("order_lines", TODAY, "b-today", rows("order_lines", TODAY, unit_price_amount=1000))


def invent_a_word(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY, event_type="teleport"))


def search_for_an_address(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY, query="order of ann@example.org"))


def leave_a_raw_customer_id(feed: Feed) -> None:
    feed.file("events", TODAY, "b-today", rows("events", TODAY, user_key="customer-17"))


def stay_silent_for_four_days(feed: Feed) -> None:
    for later in range(4):
        feed.file("orders", TODAY + timedelta(days=later), "b-today", rows("orders", TODAY))
        feed.file("order_lines", TODAY + timedelta(days=later), "b-today", rows("order_lines", TODAY))


def come_without_events(feed: Feed) -> None:
    feed.file("orders", TODAY, "b-today", rows("orders", TODAY))


# Which expectation a spoiler makes fail; a spoiler may rightly trip a second one.
SPOILERS: dict[type, tuple[Spoiler, set[type]]] = {
    incoming.ExpectSourceRowsToBeConserved: (lose_a_source_row, set()),
    incoming.ExpectLandedRowsToEqualTheLedger: (write_fewer_rows_than_told, set()),
    incoming.ExpectDailyVolumeNearItsTrailingMedian: (
        send_nine_of_a_hundred_rows,
        {incoming.ExpectUsualDailyVolume},
    ),
    incoming.ExpectUsualDailyVolume: (send_a_fifth_of_a_day, set()),
    incoming.ExpectUnknownUserShareNearItsPast: (forget_who_the_users_are, set()),
    incoming.ExpectAmountsInTheirUsualRange: (write_cents_for_euros, set()),
    incoming.ExpectKnownVocabularyOnly: (invent_a_word, set()),
    incoming.ExpectNoContactDetailsInText: (search_for_an_address, set()),
    incoming.ExpectPseudonymsForKeys: (leave_a_raw_customer_id, set()),
    incoming.ExpectDailyTablesToBeFresh: (
        stay_silent_for_four_days,
        {incoming.ExpectDailyTablesToArriveTogether},
    ),
    incoming.ExpectDailyTablesToArriveTogether: (come_without_events, set()),
}


@pytest.fixture(scope="session")
def quiet_weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Land the four quiet weeks once; each test points at their days."""
    folder = tmp_path_factory.mktemp("quiet_weeks")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SHOAL_DATA", str(folder))
        Feed(ShopPaths("simulated")).quiet_days()
    return folder


@pytest.fixture
def feed(paths: ShopPaths, quiet_weeks: Path) -> Feed:
    landed = quiet_weeks / paths.shop / "landing"
    for table in ("events", "orders", "order_lines"):
        (paths.landing / table).mkdir(parents=True)
        for day in (landed / table).iterdir():
            (paths.landing / table / day.name).symlink_to(day)
    shutil.copy(landed / "ledger.jsonl", paths.ledger)
    pass_batch(paths, "b-past")
    return Feed(paths)


def pass_batch(paths: ShopPaths, batch_id: str, as_of: date = TODAY) -> None:
    """Note that a batch passed, as a validation does."""
    finding = {
        "border": "incoming",
        "validation_id": batch_id,
        "severity": "error",
        "outcome": "pass",
        "batch_ids": [batch_id],
        "as_of_date": str(as_of),
    }
    journal.append(paths.ops / "data_quality.jsonl", [finding])


@pytest.fixture
def lay_out(paths: ShopPaths, connection: duckdb.DuckDBPyConnection) -> Callable[[], None]:
    return lambda: incoming_facts.prepare(connection, paths, deliveries.find(paths))


def test_a_quiet_day_after_four_quiet_weeks_passes_everything(feed: Feed, judge: Judge, lay_out):
    feed.day(TODAY, "b-today")
    assert judge(incoming.EXPECTATIONS, lay_out) == {}


@pytest.mark.parametrize("expectation", incoming.EXPECTATIONS, ids=lambda one: one.__name__)
def test_expectation_turns_red_on_its_spoiled_file_and_alone(
    expectation: type[BorderExpectation], feed: Feed, lay_out, assert_alone_red
):
    spoil, also_red = SPOILERS[expectation]
    spoil(feed)
    if spoil not in (come_without_events, stay_silent_for_four_days):
        feed.fill(TODAY, "b-today")
    assert_alone_red(expectation, incoming.EXPECTATIONS, lay_out, also_red)


def test_every_spoiler_names_an_expectation_of_the_suite():
    assert set(SPOILERS) == set(incoming.EXPECTATIONS)


def test_a_first_history_load_has_no_baseline_and_passes(paths: ShopPaths, judge: Judge, lay_out):
    Feed(paths).quiet_days(6)
    told = judge(incoming.EXPECTATIONS, lay_out)
    volume = told[incoming.ExpectDailyVolumeNearItsTrailingMedian.expectation_type]
    assert {finding.outcome for finding in volume} == {Outcome.NOT_APPLICABLE}
    assert not any(finding.stops for found in told.values() for finding in found)


def test_one_odd_day_in_a_long_history_load_is_a_holiday_but_three_are_a_broken_feed(
    paths: ShopPaths, connection, lay_out
):
    feed = Feed(paths)
    feed.quiet_days(40)
    days = [TODAY + timedelta(days=number) for number in range(3)]
    feed.file("events", days[0], "b-past", rows("events", days[0], 5))
    lay_out()
    # 41 days, of which 34 have a week behind them: 1 / 34 < 5 %.
    assert odd_files(connection) == set()
    for day in days[1:]:
        feed.file("events", day, "b-past", rows("events", day, 5))
    with duckdb.connect() as again:
        incoming_facts.prepare(again, paths, deliveries.find(paths))
        # 3 / 36 > 5 %.
        assert odd_files(again) == {f"f-events-{day}" for day in days}


def odd_files(connection: duckdb.DuckDBPyConnection) -> set[str | None]:
    expectation = incoming.ExpectDailyVolumeNearItsTrailingMedian
    return {file_id for _, file_id, _ in validate.unexpected_rows(connection, expectation)}


def test_an_empty_file_of_a_daily_table_is_an_empty_day_and_is_held(feed: Feed, connection, lay_out):
    file_id = feed.file("events", TODAY, "b-today", [])
    lay_out()
    assert odd_files(connection) == {file_id}


def test_a_few_late_rows_of_an_old_day_are_not_judged_as_a_day(feed: Feed, connection, lay_out):
    yesterday = TODAY - timedelta(days=1)
    late = [
        {"table": "events", "event_date": yesterday, "rows_written": 3},
        {"table": "events", "event_date": TODAY, "rows_written": 97},
    ]
    feed.file("events", TODAY, "b-today", rows("events", TODAY, 97), tables=late, rows_in=100, rows_good=100)
    lay_out()
    assert odd_files(connection) == set()


def test_a_shop_closed_on_sundays_passes_its_sundays(paths: ShopPaths, connection, lay_out):
    feed = Feed(paths)
    empty.write(paths)
    sundays = list(range(28, -1, -7))
    for back in range(28, -1, -1):
        day = TODAY - timedelta(days=back)
        feed.file(
            "events",
            day,
            "b-past" if back else "b-today",
            rows("events", day, 9 if back in sundays else 100),
        )
    pass_batch(paths, "b-past")
    lay_out()
    assert odd_files(connection) == set()


@pytest.mark.parametrize(
    ("words", "is_contact"),
    [
        ("ann@example.org", True),
        ("+49 (171) 123-4567", True),
        ("电话13812345678", True),
        ("call 13812345678 now", True),
        ("order 1234567", False),
        ("size 38-40, 2 pairs @ 9.99", False),
        ("[email] or [phone]", False),
    ],
)
def test_contact_details_are_told_from_other_numbers(connection, words: str, is_contact: bool):
    found = connection.execute(
        "select regexp_matches($1, $2) or regexp_matches($1, $3)",
        [words, incoming_facts.EMAIL, incoming_facts.PHONE],
    ).fetchall()
    assert found == [(is_contact,)]


def test_findings_never_show_the_address_they_found(feed: Feed, judge: Judge, lay_out):
    search_for_an_address(feed)
    assert "ann@" not in str(judge(incoming.EXPECTATIONS, lay_out))


def test_only_batches_that_have_not_passed_are_judged_and_else_the_newest(feed: Feed, paths: ShopPaths):
    assert set(deliveries.find(paths).batch_ids) == {"b-past"}
    feed.day(TODAY, "b-today")
    assert deliveries.find(paths).batch_ids == ["b-today"]
    pass_batch(paths, "b-today")
    assert deliveries.find(paths).batch_ids == ["b-today"]


def test_a_file_that_a_person_accepted_after_it_was_held_is_not_judged_again(feed: Feed, paths: ShopPaths):
    feed.day(TODAY, "b-today")
    ledger.set_status(paths, [f"f-events-{TODAY}"], "held", ["odd"])
    ledger.set_status(paths, [f"f-events-{TODAY}"], "accepted", ["a sale, says the shop"])
    judged = {file.file_id for file in deliveries.find(paths).judged}
    assert judged == {f"f-orders-{TODAY}", f"f-order_lines-{TODAY}"}


def test_a_batch_that_passed_up_to_a_day_is_still_judged_for_its_later_days(feed: Feed, paths: ShopPaths):
    feed.day(TODAY, "b-today")
    feed.day(TODAY + timedelta(days=1), "b-today")
    pass_batch(paths, "b-today")
    judged = deliveries.find(paths).judged
    assert {file.delivered_on for file in judged} == {TODAY + timedelta(days=1)}


def test_as_of_leaves_out_what_was_delivered_later(feed: Feed, paths: ShopPaths):
    feed.day(TODAY, "b-today")
    assert deliveries.find(paths, TODAY - timedelta(days=1)).batch_ids == ["b-past"]


def test_gate_holds_the_files_at_fault_and_says_which_and_why(feed: Feed, paths: ShopPaths):
    send_nine_of_a_hundred_rows(feed)
    feed.file("orders", TODAY, "b-today", rows("orders", TODAY))
    with pytest.raises(GateStoppedError) as stopped:
        gates.incoming(paths, None)
    assert stopped.value.exit_code == 3
    assert f"events_{TODAY}.csv" in str(stopped.value)
    assert "expect_daily_volume_near_its_trailing_median (events)" in str(stopped.value)
    held = {file.file_id: file.reasons for file in ledger.files(paths) if file.status == "held"}
    assert held == {
        f"f-events-{TODAY}": (
            f"expect_daily_volume_near_its_trailing_median: {TODAY}: 9 rows, median of the days before 100.0",
        )
    }
    # What is held is out of the way: the rest passes.
    assert gates.incoming(paths, None) == 0


def test_gate_records_every_outcome_with_its_batches(feed: Feed, paths: ShopPaths):
    feed.day(TODAY, "b-today")
    assert gates.incoming(paths, None) == 0
    records = [line for line in journal.read(paths.ops / "data_quality.jsonl") if "run_id" in line]
    assert {line["expectation"] for line in records} == {
        one.expectation_type for one in incoming.EXPECTATIONS
    }
    assert {line["outcome"] for line in records} == {"pass"}
    assert {tuple(line["batch_ids"]) for line in records} == {("b-today",)}
    assert {line["as_of_date"] for line in records} == {str(TODAY)}


def test_a_history_without_a_row_delivers_no_day_and_is_not_judged(feed: Feed, paths: ShopPaths):
    feed.file("reviews", TODAY, "b-empty", [], delivered_on=None)
    assert gates.incoming(paths, None) == DONE
    feed.day(TODAY, "b-today")
    assert deliveries.find(paths).batch_ids == ["b-today"]


def test_gate_of_a_shop_without_any_file_has_nothing_to_judge(paths: ShopPaths):
    assert gates.incoming(paths, None) == 0
