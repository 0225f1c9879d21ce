"""Stays, entries and flows over a hand-made row of snapshots; model 2 serves first on the ninth of March.

- anna stays; ben becomes a searcher between the second and the eighth: behaviour.
- cleo and dan are newcomers with model 2. Model 1 would have left cleo in place: the model moved her. It
  would have moved dan too, elsewhere: behaviour.
- d5, a device, goes on as eve from the fifth on. finn is erased on the ninth; hugo is new then.
- kiosk, a device of which hugo is the third customer, tells nobody: it is not seen any more.
- gus is not eligible on the second, and back on the eighth.
- On the second nothing is told in the scheme rfm; anna is a champion there before and after.
- In the scheme value 25 stay high, 12 fall to low, 3 to medium, and 11 stay medium.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import duckdb
import pytest

from settings import ShopPaths
from tests.dbt.test_bi_models import Chain

FIRST, SECOND, EIGHTH, NINTH = (date(2026, 3, day) for day in (1, 2, 8, 9))
LOYAL, SEARCH, NEW = "loyal_regulars", "searchers", "newcomers"

PLACES = {
    "anna": {FIRST: LOYAL, SECOND: LOYAL, EIGHTH: LOYAL, NINTH: LOYAL},
    "ben": {FIRST: LOYAL, SECOND: LOYAL, EIGHTH: SEARCH, NINTH: SEARCH},
    "cleo": {FIRST: LOYAL, SECOND: LOYAL, EIGHTH: LOYAL, NINTH: NEW},
    "dan": {FIRST: LOYAL, SECOND: LOYAL, EIGHTH: LOYAL, NINTH: NEW},
    "d5": {FIRST: SEARCH, SECOND: SEARCH},
    "eve": {EIGHTH: SEARCH, NINTH: SEARCH},
    "finn": {FIRST: LOYAL, SECOND: LOYAL, EIGHTH: LOYAL},
    "gus": {FIRST: LOYAL, EIGHTH: LOYAL, NINTH: LOYAL},
    "hugo": {NINTH: SEARCH},
    "kiosk": {FIRST: SEARCH, SECOND: SEARCH},
}
BY_MODEL_1 = {"cleo": LOYAL, "dan": SEARCH}
"""Where model 1 would have put them on the ninth; all others where model 2 does."""

VALUE = [("high", "high")] * 25 + [("high", "low")] * 12 + [("high", "medium")] * 3
VALUE += [("medium", "medium")] * 11

UPSTREAM = """
create schema if not exists bi; create schema if not exists intermediate;
create table bi.user_segment_daily (
    as_of_date date, user_key varchar, scheme varchar, segment_code varchar, segment_name_en varchar,
    segment_name_zh varchar, model_version varchar, code_by_previous_model varchar,
    net_revenue_amount decimal(18, 4), run_id varchar
);
create table intermediate.int_segment_definitions_kept (
    as_of_date date, scheme varchar, segment_code varchar, segment_name_en varchar, segment_name_zh varchar,
    description_en varchar, description_zh varchar, kind varchar, model_version varchar, event varchar,
    parent_code varchar, run_id varchar
);
insert into intermediate.int_segment_definitions_kept
select day, scheme, code, code, '名', 'd', '述', 'rule', null, null, null, 'r' || day
from (values ('2026-03-01'::date), ('2026-03-02'), ('2026-03-08'), ('2026-03-09')) as days (day)
cross join (values ('behaviour', 'loyal_regulars'), ('rfm', 'champions')) as segments (scheme, code)
where day <> '2026-03-02' or scheme <> 'rfm';
create table intermediate.int_user_segments_assigned as
select '2026-03-09'::date as as_of_date, 'anna' as user_key, scheme, code as segment_code
from (values ('behaviour', 'loyal_regulars'), ('rfm', 'champions')) as segments (scheme, code);
create or replace table intermediate.int_identities
    (device_key varchar, user_key varchar, event_date date, delivered_on date, superseded_on date);
insert into intermediate.int_identities values
    ('d5', 'eve', '2026-03-05', '2026-03-05', null),
    ('kiosk', 'anna', '2026-02-01', '2026-02-01', null), ('kiosk', 'anna', '2026-02-02', '2026-02-02', null),
    ('kiosk', 'ben', '2026-02-02', '2026-02-02', null), ('kiosk', 'hugo', '2026-02-03', '2026-02-03', null);
insert into ops.erasure_ledger values ('finn', '2026-03-09');
"""

MODELS = ("int_user_segments_spelled", "int_segment_moves_counted", "user_segment_history")
MODELS += ("segment_membership_event", "segment_migration", "dim_segment", "int_user_stays_counted")


def _rows() -> list[tuple[object, ...]]:
    rows = []
    for user, days in PLACES.items():
        for day, code in days.items():
            by_last = BY_MODEL_1.get(user, code) if day == NINTH else None
            version = "2" if day == NINTH else "1"
            rows.append(
                (day, user, "behaviour", code, code, "名", version, by_last, Decimal("1.005"), f"r{day}")
            )
    for number, codes in enumerate(VALUE):
        for day, code in zip((EIGHTH, NINTH), codes, strict=True):
            rows.append((day, f"v{number}", "value", code, code, "名", "7", None, Decimal(2), f"r{day}"))
    return rows


def _publish(paths: ShopPaths, day: date, schemes: tuple[str, ...]) -> None:
    """Let anna be where she is on the ninth, in these schemes, since the first."""
    file = paths.history / "bi" / str(day) / "user_segment_daily.parquet"
    file.parent.mkdir(parents=True)
    duckdb.execute(
        f"copy (select $day::date as as_of_date, 'anna' as user_key, unnest($schemes) as scheme, "
        "case scheme when 'rfm' then 'champions' else 'loyal_regulars' end as segment_code, "
        f"{day.day}::bigint as days_in_segment, false as is_new_user) to '{file}'",
        {"day": day, "schemes": list(schemes)},
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Build the models of this file on tables that play their parents."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("data")))
        paths = ShopPaths("simulated")
        paths.landing.mkdir(parents=True)
        chain = Chain(paths)
        chain.execute(UPSTREAM)
        for day, schemes in ((FIRST, ("behaviour", "rfm")), (SECOND, ("behaviour",))):
            _publish(paths, day, schemes)
        with duckdb.connect(str(paths.warehouse)) as connection:
            marks = ", ".join("?" * 10)
            connection.executemany(f"insert into bi.user_segment_daily values ({marks})", _rows())
        others = ("resource_type:unit_test", "assert_no_group_is_small")
        others += ("assert_every_segment_is_defined_on_its_date",)
        assert chain.run("build", "--select", *MODELS, "--exclude", *others, day=NINTH)
        yield chain


def _history(chain, user):
    return chain.ask(f"""
        select segment_code, previous_code, valid_from, valid_to, entry_cause, exit_reason
        from bi.user_segment_history where user_key = '{user}' order by valid_from
    """)


def test_who_stays_has_one_open_interval(told):
    assert _history(told, "anna") == [(LOYAL, None, FIRST, None, "behaviour", None)]


def test_who_moves_leaves_one_interval_on_the_day_that_opens_the_next(told):
    assert _history(told, "ben") == [
        (LOYAL, None, FIRST, EIGHTH, "behaviour", "behaviour"),
        (SEARCH, LOYAL, EIGHTH, None, "behaviour", None),
    ]


def test_whom_the_old_model_would_have_left_in_place_was_moved_by_the_model(told):
    assert [row[5] for row in _history(told, "cleo")] == ["model", None]
    assert [row[5] for row in _history(told, "dan")] == ["behaviour", None]


def test_who_is_absent_has_no_interval_and_knows_the_segment_from_before(told):
    assert _history(told, "gus") == [
        (LOYAL, None, FIRST, SECOND, "behaviour", "behaviour"),
        (LOYAL, LOYAL, EIGHTH, None, "behaviour", None),
    ]


def test_an_identified_device_and_an_erased_user_say_why_they_ended(told):
    assert _history(told, "d5") == [(SEARCH, None, FIRST, EIGHTH, "behaviour", "identified")]
    assert _history(told, "kiosk") == [(SEARCH, None, FIRST, EIGHTH, "behaviour", "behaviour")]
    assert _history(told, "finn") == [(LOYAL, None, FIRST, NINTH, "behaviour", "erased")]


def test_events_tell_each_side_of_a_move(told):
    rows = told.ask("""
        select event_at, event, segment_code, reason, run_id from bi.segment_membership_event
        where user_key = 'cleo' order by event_at, event
    """)
    ninth = datetime(2026, 3, 9)
    assert rows == [
        (datetime(2026, 3, 1), "enter", LOYAL, "behaviour", "r2026-03-01"),
        (ninth, "enter", NEW, "model", "r2026-03-09"),
        (ninth, "exit", LOYAL, "model", "r2026-03-09"),
    ]


def test_split_groups_halve_a_segment_and_stay(told):
    rows = told.ask("""
        select split_group, count(distinct user_key) from bi.segment_membership_event
        where scheme = 'value' and segment_code = 'high' group by all order by all
    """)
    assert [row[0] for row in rows] == ["a", "b"] and sum(row[1] for row in rows) == 40
    assert min(row[1] for row in rows) >= 10
    tossed = told.ask("""
        select max(groups) from (
            select count(distinct split_group) as groups from bi.segment_membership_event
            group by user_key, scheme, segment_code
        )
    """)
    assert tossed == [(1,)], "gus enters twice, into the same half"


def _moves(chain, first, last):
    return chain.ask(f"""
        select from_code, to_code, cause, users from intermediate.int_segment_moves_counted
        where scheme = 'behaviour' and from_date = '{first}' and to_date = '{last}' order by all
    """)


def test_moves_of_a_day_tell_whom_the_model_moved_and_who_left(told):
    assert _moves(told, EIGHTH, NINTH) == [
        ("NEW", SEARCH, "none", 1),
        (LOYAL, "ERASED", "none", 1),
        (LOYAL, LOYAL, "none", 2),
        (LOYAL, NEW, "behaviour", 1),
        (LOYAL, NEW, "model", 1),
        (SEARCH, SEARCH, "none", 2),
    ]
    assert _moves(told, FIRST, SECOND)[0] == (LOYAL, "ABSENT", "none", 1)


def test_moves_of_a_week_tell_what_brought_users_where_they_are(told):
    assert _moves(told, FIRST, EIGHTH) == [
        ("IDENTIFIED", SEARCH, "none", 1),
        (LOYAL, LOYAL, "none", 5),
        (LOYAL, SEARCH, "behaviour", 1),
        (SEARCH, "ABSENT", "none", 1),
        (SEARCH, "IDENTIFIED", "none", 1),
    ]
    # eve goes on from d5; hugo is new, whatever became of the kiosk.
    came = [("IDENTIFIED", SEARCH, "none", 1), ("NEW", LOYAL, "none", 1), ("NEW", SEARCH, "none", 1)]
    assert _moves(told, SECOND, NINTH)[:3] == came
    assert (LOYAL, NEW, "model", 1) in _moves(told, SECOND, NINTH)


def test_small_moves_are_folded_with_the_next_smallest_and_totals_stay(told):
    rows = told.ask("""
        select from_code, to_code, cause, users, net_revenue_amount, is_folded, window_days
        from bi.segment_migration where scheme = 'value' order by all
    """)
    # Three fell to medium: too few to be told, so the twelve who fell to low are told with them. And who
    # stayed in medium is not told apart, or the fourteen of its later profile would betray the three.
    assert rows == [
        ("high", "_other", "none", 12 + 3, Decimal(30), True, 1),
        ("high", "high", "none", 25, Decimal(50), False, 1),
        ("medium", "_other", "none", 11, Decimal(22), True, 1),
    ]
    shares = told.ask("select share_of_from from bi.segment_migration where to_code = 'high'")
    assert shares == [(25 / 40,)]


def test_a_scheme_of_few_users_is_one_number(told):
    rows = told.ask("""
        select from_code, to_code, users, net_revenue_amount from bi.segment_migration
        where scheme = 'behaviour' and to_date = '2026-03-09' and window_days = 1
    """)
    # Seven at 1.005 each, and one who left, whose money would be what is left over.
    assert rows == [("_other", "_other", 8, Decimal("7.04"))]


def test_a_scheme_that_a_day_lacks_goes_on_where_it_was(told):
    """As stays of users do, which begin and end on snapshots of their scheme."""
    assert told.ask("""
        select scheme, valid_from, valid_to, event from bi.dim_segment order by all
    """) == [("behaviour", FIRST, None, "born"), ("rfm", FIRST, None, "born")]
    assert told.ask("""
        select scheme, days_in_segment from intermediate.int_user_stays_counted
        where as_of_date = '2026-03-09' order by all
    """) == [("behaviour", 9), ("rfm", 9)]


SPOILED = {
    "assert_history_rebuilds_every_snapshot": (
        "update bi.user_segment_history set valid_to = null where user_key = 'ben'"
    ),
    "assert_migration_margins_equal_the_snapshots": (
        "update intermediate.int_segment_moves_counted set net_amount = 9 where to_code = 'newcomers'"
    ),
}


@pytest.mark.parametrize("name", sorted(SPOILED))
def test_each_of_our_data_tests_goes_red_when_spoiled(told, name):
    before = told.paths.warehouse.read_bytes()
    try:
        assert told.run("test", "--select", name, day=NINTH)
        told.execute(SPOILED[name])
        assert not told.run("test", "--select", name, day=NINTH)
    finally:
        told.paths.warehouse.write_bytes(before)
