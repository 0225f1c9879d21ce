"""What the tables of one version betray together, and what is left out so that they don't."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import pytest

from cli import ShoalError
from serving import release, small_groups
from serving.small_groups import NEVER_ORDERED, few

DAY = date(2026, 3, 1)


@pytest.fixture
def version() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("create schema bi")
        yield connection


def tell_rules_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what few did, and nothing beside it."""
    monkeypatch.setattr(small_groups, "_with_next", lambda at, few, over: f"coalesce({few}_{at}, false)")


def test_the_few_whom_another_schemes_total_tells_are_found(
    version: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of 34 who paid, 30 are champions.
    version.execute("""
        create table bi.funnel_daily as
        select date '2026-03-01' as date, 'web' as channel, * from (values
            ('rfm', 'champions', 60, 30), ('rfm', 'gone', 40, 4), ('value', 'high', 100, 34)
        ) as told (scheme, segment_code, users, pay_users)
    """)
    assert release.withheld(version) == {}
    tell_rules_only(monkeypatch)
    assert release.withheld(version) == {"pay_users": {(DAY, "web", "rfm")}}


def test_orders_are_as_many_as_users_make(version: duckdb.DuckDBPyConnection) -> None:
    """Of the 14 who are high, hidden beside the few orders of the medium, each made more than two."""
    version.execute("""
        create table bi.segment_profile_daily as
        select date '2026-03-01' as as_of_date, *, orders / users as orders_last_90_days_avg from (values
            ('rfm', 'champions', 25, 65), ('rfm', 'gone', 23, 10), ('rfm', 'big', 10, 6),
            ('value', 'high', 14, 34), ('value', 'low', 21, 39), ('value', 'medium', 23, 8),
            ('behaviour', 'mixed_shoppers', 58, 81)
        ) as told (scheme, segment_code, users, orders)
    """)
    assert release.betrayed(version, "segment_profile_daily") == []


def test_who_paid_is_not_told_where_their_carts_betray_it(version: duckdb.DuckDBPyConnection) -> None:
    """Twenty of 23 paid in two segments: who left twelve carts and paid for all of them tells of eight."""
    version.execute("""
        create table bi.funnel_daily as
        select date '2026-03-01' as date, 'web' as channel, * from (values
            ('rfm', 'champions', 13, 12, 12, 1.0), ('rfm', 'gone', 10, 7, 8, 1.0),
            ('rfm', 'new_small_buyers', 14, 10, 14, 1.0), ('value', 'high', 37, 29, 34, 1.0)
        ) as told (scheme, segment_code, users, checkout_users, pay_users, checkout_to_pay_share)
    """)
    columns = ("segment_code", "checkout_users", "pay_users", "scheme", "checkout_to_pay_share", "users")
    columns += ("date", "channel")
    few = release.withheld(version)
    assert {total for totals in few.values() for total in totals} == {(DAY, "web", "rfm")}
    told = small_groups.shown("funnel_daily", columns, withheld=few)
    assert (
        version.sql(f"select checkout_to_pay_share from ({told}) where scheme = 'rfm'").fetchall()
        == [(None,)] * 3
    )


def test_schemes_that_contradict_each_other_are_named(version: duckdb.DuckDBPyConnection) -> None:
    """Of 22 users in two segments 34 paid."""
    version.execute("""
        create table bi.funnel_daily as
        select date '2026-03-01' as date, 'web' as channel, * from (values
            ('rfm', 'champions', 12, 30), ('rfm', 'gone', 10, 4), ('value', 'high', 100, 34)
        ) as told (scheme, segment_code, users, pay_users)
    """)
    with pytest.raises(ShoalError, match="funnel_daily: its schemes contradict each other"):
        release.withheld(version)
    (told,) = release.betrayed(version, "funnel_daily")
    assert "contradict each other" in told


SCHEMES = {
    "rfm": ("not_bought", "champions", "gone", "new_small_buyers"),
    "lifecycle": ("aware", "interested", "purchased", "loyal"),
    "value": ("high", "medium", "low"),
}


def draw_profiles(seed: int) -> pd.DataFrame:
    """Return profiles of thirty days: in some segments few are active or buy."""
    random = np.random.default_rng(seed)
    told = []
    for day in range(30):
        size = int(random.integers(60, 400))
        has_ordered = random.random(size) > random.uniform(0.05, 0.5)
        users = pd.DataFrame(
            {
                "active_last_7_days": random.random(size) < random.uniform(0.02, 0.9),
                "buyers_last_30_days": has_ordered & (random.random(size) < random.uniform(0.02, 0.5)),
            }
        )
        for scheme, codes in SCHEMES.items():
            sides = [[code for code in codes if (code in NEVER_ORDERED) != side] for side in (True, False)]
            one, other = (
                random.choice(side or [*codes], size, p=random.dirichlet(np.ones(len(side or codes))))
                for side in sides
            )
            users["segment_code"] = (
                np.where(has_ordered, one, other) if scheme != "value" else random.choice(codes, size)
            )
            folded = few(users.groupby("segment_code").size())
            users["segment_code"] = users["segment_code"].replace(
                dict.fromkeys(folded.index[folded], "_other")
            )
            sizes = users.groupby("segment_code").agg(
                users=("active_last_7_days", "size"),
                active_last_7_days=("active_last_7_days", "sum"),
                buyers_last_30_days=("buyers_last_30_days", "sum"),
            )
            told.append(sizes.reset_index().assign(scheme=scheme, as_of_date=DAY + timedelta(days=day)))
    return pd.concat(told, ignore_index=True)


@pytest.mark.parametrize("seed", range(4))
def test_no_few_active_users_or_buyers_are_betrayed_by_all_profiles_of_a_version(
    version: duckdb.DuckDBPyConnection, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    version.register("told", draw_profiles(seed))
    version.execute(
        "create table bi.segment_profile_daily as select * replace (as_of_date::date as as_of_date) from told"
    )
    assert release.betrayed(version, "segment_profile_daily") == []
    columns = ("active_last_7_days", "buyers_last_30_days", "users", "scheme", "segment_code", "as_of_date")
    told = version.sql(small_groups.shown("segment_profile_daily", columns)).df()
    assert 0.4 < told["active_last_7_days"].notna().mean() < 1
    tell_rules_only(monkeypatch)
    assert release.betrayed(version, "segment_profile_daily")
