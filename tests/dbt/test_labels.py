"""Who was treated in a label's horizon: contacted by a campaign, as far as it was told in time."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb

from settings import ShopPaths
from tests import world
from warehouse import dbt
from warehouse.build import choose_split, variables

TABLES = """
create schema intermediate; create schema staging;
create table staging.stg_shop__campaign_contacts
    (user_key varchar, arm varchar, event_date date, delivered_on date);
create table intermediate.int_users_eligible (user_key varchar, as_of_date date);
create table intermediate.int_outcomes_observed
    (user_key varchar, as_of_date date, net_revenue_amount decimal(18, 4), order_count bigint);
create table intermediate.int_thresholds_measured
    (as_of_date date, threshold_amount decimal(18, 4), threshold_basis varchar);
"""
CUT, AHEAD = world.TRAIN_CUT, world.LAST_DAY
FIRST, LAST, CLOSES = (CUT + timedelta(days=days) for days in (1, 30, 44))


def test_treated_is_who_was_contacted_in_the_horizon_and_told_of_in_time(world_paths: ShopPaths) -> None:
    contacts: list[tuple[str, str | None, date, date]] = [
        ("first day", "treatment", FIRST, FIRST),
        ("last day", "treatment", LAST, CLOSES),
        ("no arm", None, LAST, LAST),
        ("twice", "control", FIRST, FIRST),
        ("twice", "treatment", LAST, LAST),
        ("held out", "control", FIRST, FIRST),
        ("before", "treatment", CUT, CUT),
        ("after", "treatment", LAST + timedelta(days=1), LAST + timedelta(days=1)),
        ("told too late", "treatment", FIRST, CLOSES + timedelta(days=1)),
        ("ahead", "treatment", AHEAD + timedelta(days=1), AHEAD),
    ]
    said = variables(world_paths, choose_split(world_paths, None))
    assert said["horizon_days"] == (LAST - CUT).days
    results = dbt.invoke(
        world_paths, ["compile", "--full-refresh", "--select", "fct_user_labels"], said
    ).result
    (query,) = (one.node.compiled_code for one in results.results if one.node.name == "fct_user_labels")
    with duckdb.connect() as connection:
        connection.execute(f"attach ':memory:' as warehouse; use warehouse; {TABLES}")
        connection.executemany(
            "insert into staging.stg_shop__campaign_contacts values (?, ?, ?, ?)", contacts
        )
        for user in {contact[0] for contact in contacts} - {"ahead"}:
            connection.execute("insert into intermediate.int_users_eligible values (?, ?)", [user, CUT])
        connection.execute("insert into intermediate.int_users_eligible values ('ahead', ?)", [AHEAD])
        found = dict(connection.execute(f"select user_key, is_treated from ({query})").fetchall())
    assert {user for user, is_treated in found.items() if is_treated} == {
        "first day",
        "last day",
        "no arm",
        "twice",
    }
    assert found["ahead"] is None  # as all of a horizon that lies ahead
    assert len(found) == 9
