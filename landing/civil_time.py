"""What a shop's clock says, in UTC: set-wise, through a table of days.

Twice a year a clock repeats an hour or skips one. A repeated time is read with its first
offset and flagged; a skipped time never was, so its row is quarantined.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import duckdb

FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
STEP = timedelta(days=7)
"""Closer together than any two changes of a clock that cancel each other out."""

CREATE_ZONE_DAY = """
create or replace temp table zone_day as
with
changes as (
    select
        unnest($at) as changed_at, unnest($before) as offset_before, unnest($after) as offset_after
),
switches as (
    select
        offset_before,
        offset_after,
        changed_at + to_seconds(greatest(offset_before, offset_after)) as switch_at,
        changed_at + to_seconds(least(offset_before, offset_after)) as odd_from,
        offset_after > offset_before as is_skip
    from changes
),
odd_days as (
    select
        *,
        unnest(
            generate_series(odd_from::date, (switch_at - interval 1 second)::date, interval 1 day)
        )::date as day
    from switches
),
days as (
    select unnest(generate_series(date '1900-01-02', date '2099-12-30', interval 1 day))::date as day
)
select
    days.day,
    coalesce(today.offset_before, earlier.offset_after) as offset_before,
    coalesce(today.offset_after, earlier.offset_after) as offset_after,
    coalesce(today.switch_at, timestamp '1900-01-01') as switch_at,
    coalesce(today.odd_from, timestamp '1900-01-01') as odd_from,
    coalesce(today.is_skip, false) as is_skip
from days
left join odd_days as today
    on today.day = days.day
asof left join switches as earlier
    on earlier.switch_at <= days.day
"""


def create_zone_day(connection: duckdb.DuckDBPyConnection, zone: ZoneInfo) -> None:
    """Create ``zone_day``: one row per local day, 1900 to 2099.

    A local time l of that day has ``offset_before`` (seconds east of UTC) while
    l < ``switch_at``, then ``offset_after``. From ``odd_from`` up to ``switch_at`` the
    clock time is skipped (``is_skip``) or repeated.
    """
    at, before, after = zip(*changes(zone), strict=True)
    connection.execute(CREATE_ZONE_DAY, {"at": list(at), "before": list(before), "after": list(after)})


@cache
def changes(zone: ZoneInfo) -> tuple[tuple[datetime, int, int], ...]:
    """Return each change of the clock: naive UTC instant, offset before, offset after, in seconds.

    The first entry states the offset at the beginning as a change from itself.

    Examples
    --------
    >>> [at.isoformat() for at, *_ in changes(ZoneInfo("Europe/London")) if at.year == 2011]
    ['2011-03-27T01:00:00', '2011-10-30T01:00:00']
    """
    return tuple(_changes(zone))


def _changes(zone: ZoneInfo) -> Iterator[tuple[datetime, int, int]]:
    start = _offset(FIRST, zone)
    yield (FIRST - timedelta(days=366)).replace(tzinfo=None), start, start
    moment = FIRST
    while moment < LAST:
        if _offset(moment, zone) != _offset(moment + STEP, zone):
            at = _first_instant_after_change(moment, moment + STEP, zone)
            yield at.replace(tzinfo=None), _offset(moment, zone), _offset(at, zone)
        moment += STEP


def _first_instant_after_change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    before = _offset(low, zone)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return high


def _offset(moment: datetime, zone: ZoneInfo) -> int:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
