"""What may leave the company: segments by week, so coarse that no release, and no two, betray a few people.

Each version carries ``groups.duckdb`` with two tables and no user; it is what ``python -m serving export
--groups`` writes. ``bi.segment_meaning`` words the segments that are told anywhere by the vocabulary alone,
so that no member has a part in it. ``bi.segment_weekly`` tells their size: of each week the first published
snapshot is released, once, and never changed (``history/groups/<monday>.parquet``):

- Told are the rows of ``bi.segment_profile_daily``, in which a segment of under :data:`LEAST` users is folded
  into ``_other``, so that a scheme adds up to all users, as far as rounding goes.
- Users are rounded to 5, money to three significant digits.
- A cell whose members are others than at the release that it still shows, by 1 to :data:`LEAST` − 1 users in
  all (come and gone), shows that release again. So a new figure never comes from a handful of people.

The last rule needs to know which members a shown figure is about: the columns ``shown_as_of``,
``shown_version`` (the day may have been restated since) and ``shown_codes`` of the history say so, and stay
inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from ml.segments import NAMES
from serving import facts
from serving.versions import sync_folder
from settings import ShopPaths

if TYPE_CHECKING:
    import duckdb

LEAST = 10
"""Users in a group that may be told (law 11)."""
DATABASE = "groups.duckdb"
TABLES = {
    "segment_meaning": ("scheme", "segment_code"),
    "segment_weekly": ("week", "scheme", "segment_code"),
}
"""With their keys."""
MEANINGS = {
    "segment_meaning": "What each segment means: one row per scheme and segment_code.",
    "segment_weekly": "What may leave the company of segments: one row per week, scheme and segment_code.",
}
OTHER = "_other"
KEPT_WEEKS = 104

SCHEMA = pa.schema(
    [
        ("week", pa.date32()),
        ("as_of_date", pa.date32()),
        ("scheme", pa.string()),
        ("segment_code", pa.string()),
        ("segment_name_en", pa.string()),
        ("segment_name_zh", pa.string()),
        ("users", pa.int64()),
        ("net_revenue_amount", pa.int64()),
        ("is_folded", pa.bool_()),
        ("shown_as_of", pa.date32()),
        ("shown_version", pa.string()),
        ("shown_codes", pa.list_(pa.string())),
    ]
)
INSIDE = ("shown_as_of", "shown_version", "shown_codes")

DESCRIPTIONS = {
    "description_en": "What the segment means, whoever is in it.",
    "description_zh": "The same in Chinese.",
    "week": "Monday of the week.",
    "as_of_date": "The first snapshot that was published of that week.",
    "scheme": "Question that the segments answer.",
    "segment_code": "Segment; _other stands for all segments under ten users, with the next smallest.",
    "segment_name_en": "Name on that day.",
    "segment_name_zh": "Name on that day, in Chinese.",
    "users": "Users, rounded to 5. Shown as of an earlier week where fewer than ten have come or gone since.",
    "net_revenue_amount": "Net revenue to date of those users, in whole units and three significant digits.",
    "is_folded": "The row stands for several small segments.",
}


@dataclass(frozen=True)
class Cell:
    """One segment, or several small ones, of a scheme at a snapshot: exact figures, before rounding."""

    scheme: str
    codes: tuple[str, ...]
    """The segments that it stands for."""
    code: str
    names: tuple[str, str]
    users: int
    amount: Decimal


def week_of(as_of: date) -> date:
    """Return the Monday of a day's week.

    >>> str(week_of(date(2026, 3, 1)))
    '2026-02-23'
    """
    return as_of - timedelta(days=as_of.weekday())


def significant(amount: Decimal, digits: int = 3) -> int:
    """Round to so many significant digits, and to whole units.

    >>> significant(Decimal("12345.67")), significant(Decimal("-98.76")), significant(Decimal(0))
    (12300, -99, 0)
    """
    if amount == 0:
        return 0
    place = digits - 1 - math.floor(math.log10(abs(amount)))
    return round(round(amount, min(place, 0)))


def release(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date, version: str
) -> Path | None:
    """Release a snapshot's week from ``published``, unless that week, or a later one, was released before.

    Parameters
    ----------
    version
        The one that is being published.

    Returns
    -------
    Path
        The file of the week, or None where nothing was written.
    """
    week, before = week_of(as_of), _files(paths)
    if before and week <= date.fromisoformat(before[-1].stem):
        return None
    # Of each cell the latest release: it may have been folded, or its scheme absent, in the weeks before.
    shown = {(row["scheme"], row["segment_code"]): row for row in _rows(before)}
    rows = []
    for cell in _cells(connection, as_of):
        row = _told(cell, week, as_of, version)
        last = shown.get((cell.scheme, cell.code))
        if last is not None and 0 < _others(connection, paths, cell, as_of, last) < LEAST:
            kept = ("users", "net_revenue_amount", "is_folded", *INSIDE)
            row |= {name: last[name] for name in kept}
        rows.append(row)
    return _keep(paths, week, rows)


def write_database(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, folder: Path) -> None:
    """Write ``groups.duckdb`` with the newest :data:`KEPT_WEEKS` weeks, without what stays inside."""
    rows = pa.Table.from_pylist(_rows(_files(paths)[-KEPT_WEEKS:]), schema=SCHEMA).drop_columns(list(INSIDE))
    path = str(folder / DATABASE).replace("'", "''")
    connection.execute(f"attach '{path}' as groups (storage_version 'v1.0.0')")
    connection.register("released", rows)
    connection.register("vocabulary", csv.read_csv(NAMES))
    connection.execute(
        """
        create schema groups.bi;
        create table groups.bi.segment_weekly as
        from released order by week, scheme, segment_code;
        create table groups.bi.segment_meaning as
        select scheme, segment_code, description_en, description_zh
        from vocabulary semi join released using (scheme, segment_code)
        order by scheme, segment_code;
        """
    )
    connection.unregister("released").unregister("vocabulary")
    for table, column in connection.execute(
        "select table_name, column_name from duckdb_columns() where database_name = 'groups'"
    ).fetchall():
        said = DESCRIPTIONS[column].replace("'", "''")
        connection.execute(f"comment on column groups.bi.{table}.{column} is '{said}'")
    for table, meaning in MEANINGS.items():
        connection.execute(f"comment on table groups.bi.{table} is '{meaning}'")
    connection.execute("detach groups")


def _told(cell: Cell, week: date, as_of: date, version: str) -> dict[str, object]:
    return {
        "week": week,
        "as_of_date": as_of,
        "scheme": cell.scheme,
        "segment_code": cell.code,
        "segment_name_en": cell.names[0],
        "segment_name_zh": cell.names[1],
        "users": 5 * round(cell.users / 5),
        "net_revenue_amount": significant(cell.amount),
        "is_folded": cell.code == OTHER,
        "shown_as_of": as_of,
        "shown_version": version,
        "shown_codes": list(cell.codes),
    }


def _cells(connection: duckdb.DuckDBPyConnection, as_of: date) -> list[Cell]:
    found = connection.execute(
        """
        with list_codes as (
            select scheme, list(distinct segment_code order by segment_code) as codes
            from published.bi.user_segment_daily where as_of_date = $as_of group by scheme
        ),
        list_told as (
            select scheme, list(segment_code) as codes
            from published.bi.segment_profile_daily where as_of_date = $as_of group by scheme
        )
        select profiles.scheme,
            case when profiles.segment_code = $other
                then list_filter(list_codes.codes, lambda code: not list_contains(list_told.codes, code))
                else [profiles.segment_code]
            end,
            profiles.segment_code, profiles.segment_name_en, profiles.segment_name_zh,
            profiles.users, coalesce(profiles.net_revenue_amount, 0)
        from published.bi.segment_profile_daily as profiles
        inner join list_codes on profiles.scheme = list_codes.scheme
        inner join list_told on profiles.scheme = list_told.scheme
        where profiles.as_of_date = $as_of and profiles.users >= $least
        order by profiles.scheme, profiles.segment_code
        """,
        {"as_of": as_of, "other": OTHER, "least": LEAST},
    ).fetchall()
    return [
        Cell(scheme, tuple(codes), code, (english, chinese), users, amount)
        for scheme, codes, code, english, chinese, users, amount in found
    ]


def _others(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, cell: Cell, as_of: date, last: dict[str, object]
) -> int:
    """Return how many users have come to a cell or gone from it since the release that it shows."""
    then = last["shown_as_of"]
    assert isinstance(then, date)
    ((count,),) = connection.execute(
        """
        select count(*) from (
            select user_key from published.bi.user_segment_daily
            where as_of_date = $as_of and scheme = $scheme and list_contains($codes, segment_code)
        ) as now
        full join (
            select user_key from read_parquet($files)
            where scheme = $scheme and list_contains($then, segment_code)
        ) as before on now.user_key = before.user_key
        where now.user_key is null or before.user_key is null
        """,
        {
            "as_of": as_of,
            "scheme": cell.scheme,
            "codes": list(cell.codes),
            "files": facts.files_then(paths, "user_segment_daily", then, str(last["shown_version"] or "")),
            "then": last["shown_codes"],
        },
    ).fetchall()
    return int(count)


def _files(paths: ShopPaths) -> list[Path]:
    return sorted((paths.history / "groups").glob("[0-9]*.parquet"))


def _rows(files: list[Path]) -> list[dict[str, object]]:
    return [row for file in files for row in pq.read_table(file, schema=SCHEMA).to_pylist()]


def _keep(paths: ShopPaths, week: date, rows: list[dict[str, object]]) -> Path:
    file = paths.history / "groups" / f"{week}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".tmp")
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), aside)
    aside.replace(file)
    sync_folder(file.parent)
    return file
