"""The table of days against zoneinfo, which has read the same rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landing import civil_time

ZONES = [
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",  # changed at midnight
    "Australia/Lord_Howe",  # half an hour
    "Africa/Casablanca",  # back and forth around Ramadan
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "UTC",
]

READ = """
select
    local - to_seconds(case when local < switch_at then offset_before else offset_after end) as utc,
    local >= odd_from and local < switch_at and is_skip as is_skipped,
    local >= odd_from and local < switch_at and not is_skip as is_repeated
from (select unnest($locals::timestamp[]) as local, generate_subscripts($locals::timestamp[], 1) as position)
left join zone_day on zone_day.day = local::date
order by position
"""


@pytest.fixture(scope="module", params=ZONES)
def zone(request):
    found = ZoneInfo(request.param)
    with duckdb.connect(config={"threads": 1}) as connection:
        civil_time.create_zone_day(connection, found)
        yield found, connection


def by_zoneinfo(local: datetime, zone: ZoneInfo) -> tuple[datetime, bool, bool]:
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    utc = first.astimezone(UTC)
    is_skipped = utc.astimezone(zone).replace(tzinfo=None) != local
    return utc.replace(tzinfo=None), is_skipped, not is_skipped and first.utcoffset() != second.utcoffset()


def check(locals_, zone):
    found, connection = zone
    for local, read in zip(locals_, connection.execute(READ, {"locals": locals_}).fetchall(), strict=True):
        expected = by_zoneinfo(local, found)
        assert read[1:] == expected[1:], local
        if not expected[1]:  # of a time that never was, only that it never was is said
            assert read[0] == expected[0], local


def test_around_every_change_of_the_clock_times_are_read_as_zoneinfo_reads_them(zone):
    moments = [
        at + timedelta(seconds=shift) for at, *_ in civil_time.changes(zone[0])[1:] for shift in around()
    ]
    check([moment for moment in moments if 1950 <= moment.year <= 2099], zone)


def around():
    hours = [hour * 3600 for hour in range(-14, 15)]
    return [hour + second for hour in hours for second in (-1, 0, 1, 1800)]


@settings(max_examples=20, deadline=None)
@given(local=st.datetimes(datetime(1950, 1, 1), datetime(2099, 12, 29)))
def test_any_time_is_read_as_zoneinfo_reads_it(zone, local):
    check([local.replace(microsecond=0)], zone)
