"""Every expectation of the border `ml_inputs`, seen red by a spoiled snapshot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta

import duckdb
import pytest

from expectations import ml_inputs, ml_inputs_facts
from expectations.rules import BorderExpectation
from expectations.validate import Outcome
from settings import ShopPaths
from tests.unit.expectations.conftest import Judge
from tests.unit.expectations.snapshot_world import AS_OF, TEST, World

Spoiler = Callable[[World], None]


def change(table: str, row: int = -1, **values: object) -> Spoiler:
    """Spoil one row: by default the last, a user of the as_of_date."""
    return lambda world: world.tables[table][row].update(values)


def promise_another_row(world: World) -> None:
    world.rows_told["fct_user_features"] = 361


def double_a_user(world: World) -> None:
    for rows in world.tables.values():
        rows.append(dict(rows[-1]))


def lose_a_users_sequence(world: World) -> None:
    world.tables["fct_user_sequences"].pop()


def lose_the_as_of_date(world: World) -> None:
    for table, rows in world.tables.items():
        world.tables[table] = [row for row in rows if row["as_of_date"] != AS_OF]


def lose_the_test_cut(world: World) -> None:
    for table, rows in world.tables.items():
        world.tables[table] = [row for row in rows if row["as_of_date"] != TEST]


def label_99_users(world: World) -> None:
    for number, row in enumerate(world.tables["fct_user_labels"][:120]):
        row["is_high_value"] = number < 99


def forget_the_top_category(world: World) -> None:
    for row in world.tables["fct_user_features"][::2]:
        row["top_category"] = None


def add_an_email_column(world: World) -> None:
    for row in world.tables["fct_user_features"]:
        row["contact_email"] = "hidden"


# The shop is in Singapore: its day ends at 16:00 UTC.
TOO_LATE = datetime.combine(AS_OF, time(24 - 8))

SPOILERS: dict[type[BorderExpectation], Spoiler] = {
    ml_inputs.ExpectSnapshotToBeComplete: promise_another_row,
    ml_inputs.ExpectOneRowPerUserAndDate: double_a_user,
    ml_inputs.ExpectSameUsersInFeaturesAndSequences: lose_a_users_sequence,
    ml_inputs.ExpectUsersToScore: lose_the_as_of_date,
    ml_inputs.ExpectAllCutsPresent: lose_the_test_cut,
    ml_inputs.ExpectListsOfEqualLength: change("fct_user_sequences", amounts=[1.0]),
    ml_inputs.ExpectSequencesInRange: change("fct_user_sequences", hours_of_week=[0, 168]),
    ml_inputs.ExpectNoEventAfterAsOf: change("fct_user_sequences", last_event_at=TOO_LATE),
    ml_inputs.ExpectFeaturesInRange: change("fct_user_features", refund_share=1.01),
    ml_inputs.ExpectWindowsToNest: change("fct_user_features", order_count_last_7_days=3),
    ml_inputs.ExpectLabelsOnlyFromClosedHorizons: change("fct_user_labels", is_buyer=False),
    ml_inputs.ExpectEnoughPositives: label_99_users,
    ml_inputs.ExpectMissingSharesNearThePrevious: forget_the_top_category,
    ml_inputs.ExpectNoIdentifyingColumn: add_an_email_column,
}


@pytest.fixture
def lay_out(paths: ShopPaths, connection: duckdb.DuckDBPyConnection):
    """Write a snapshot, and one of the day before; return what lays out the facts."""

    def write(world: World, previous: World | None) -> Callable[[], None]:
        if previous:
            for rows in previous.tables.values():
                for row in rows:
                    row["as_of_date"] -= timedelta(days=1)
            previous.write(paths, AS_OF - timedelta(days=1))
        snapshot = world.write(paths)
        return lambda: ml_inputs_facts.prepare(connection, paths, snapshot)

    return write


@pytest.fixture
def outcomes(lay_out, judge: Judge):
    return lambda world, previous=None: judge(ml_inputs.EXPECTATIONS, lay_out(world, previous))


def test_a_sound_snapshot_passes_and_what_it_cannot_compare_is_not_applicable(outcomes):
    told = outcomes(World())
    assert set(told) == {ml_inputs.ExpectMissingSharesNearThePrevious.expectation_type}
    assert [finding.outcome for found in told.values() for finding in found] == [Outcome.NOT_APPLICABLE]


def test_a_sound_snapshot_after_a_sound_one_passes_everything(outcomes):
    assert outcomes(World(), previous=World()) == {}


@pytest.mark.parametrize("expectation", ml_inputs.EXPECTATIONS, ids=lambda one: one.__name__)
def test_expectation_turns_red_on_its_spoiled_snapshot_and_alone(expectation, lay_out, assert_alone_red):
    world = World()
    SPOILERS[expectation](world)
    also_red = [ml_inputs.ExpectEnoughPositives] if expectation is ml_inputs.ExpectAllCutsPresent else []
    assert_alone_red(expectation, ml_inputs.EXPECTATIONS, lay_out(world, World()), also_red)


def test_every_spoiler_names_an_expectation_of_the_suite():
    assert set(SPOILERS) == set(ml_inputs.EXPECTATIONS)


def test_the_last_second_of_the_as_of_date_is_no_future(outcomes):
    world = World()
    change("fct_user_sequences", last_event_at=TOO_LATE - timedelta(seconds=1))(world)
    assert outcomes(world, previous=World()) == {}


def test_one_hundred_positives_are_enough(outcomes):
    world = World()
    for number, row in enumerate(world.tables["fct_user_labels"][:240]):
        row["is_high_value"] = number % 120 < 100
    assert outcomes(world, previous=World()) == {}


def test_a_history_too_short_for_any_cut_is_not_applicable_and_passes(outcomes):
    world = World()
    world.cuts = {"train": None, "test": None, "score": str(AS_OF)}
    told = outcomes(world, previous=World())
    assert set(told) == {
        ml_inputs.ExpectAllCutsPresent.expectation_type,
        ml_inputs.ExpectEnoughPositives.expectation_type,
    }
    assert not any(finding.stops for found in told.values() for finding in found)


def test_a_raw_customer_id_as_user_key_is_found_and_not_shown(outcomes):
    world = World()
    for rows in world.tables.values():
        rows[-1]["user_key"] = "customer-17"
    told = outcomes(world, previous=World())
    found = told[ml_inputs.ExpectNoIdentifyingColumn.expectation_type]
    assert found[0].outcome is Outcome.FAIL
    assert "customer-17" not in str(told)


def test_the_previous_snapshot_is_the_newest_of_the_week_before(paths: ShopPaths):
    for day in (AS_OF - timedelta(days=8), AS_OF - timedelta(days=3), AS_OF, AS_OF + timedelta(days=1)):
        (paths.snapshots / f"d-{day}").mkdir(parents=True)
        (paths.snapshots / f"latest-{day}").symlink_to(f"d-{day}")
    previous = ml_inputs_facts._previous(paths, AS_OF)
    assert previous is not None and previous[0] == AS_OF - timedelta(days=3)
    assert ml_inputs_facts._previous(paths, date(2026, 1, 1)) is None
