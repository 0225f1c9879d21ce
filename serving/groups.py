"""What may leave the company: segments by week, so coarse that no release, and no two, betray a few people.

Each version carries ``groups.duckdb`` with one table, ``segment_weekly``, and no user. Of each week the first
published snapshot is released, once, and never changed (``history/groups/<monday>.parquet``):

- A segment of under :data:`LEAST` users is folded into ``_other``, with the next smallest until that is large
  enough. What is left of a scheme then adds up to all users, as far as rounding goes.
- Users are rounded to 5, money to three significant digits.
- A cell whose members are others than at the release that it still shows, by 1 to :data:`LEAST` − 1 users in
  all (come and gone), shows that release again. So a new figure never comes from a handful of people.

The last rule needs to know which members a shown figure is about: the columns ``shown_as_of`` and
``shown_codes`` of the history say so, and stay inside.
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

from serving import facts
from serving.versions import sync_folder
from settings import ShopPaths

if TYPE_CHECKING:
    import duckdb

LEAST = 10
"""Users in a group that may be told (law 11)."""
DATABASE = "groups.duckdb"
OTHER = "_other"
OTHER_NAMES = ("Other small groups", "其他小群组")
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
        ("shown_codes", pa.list_(pa.string())),
    ]
)
INSIDE = ("shown_as_of", "shown_codes")

DESCRIPTIONS = {
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
    names: tuple[str, str]
    users: int
    amount: Decimal

    @property
    def code(self) -> str:
        return self.codes[0] if len(self.codes) == 1 and self.users >= LEAST else OTHER


def week_of(as_of: date) -> date:
    """Return the Monday of a day's week.

    >>> str(week_of(date(2026, 3, 1)))
    '2026-02-23'
    """
    return as_of - timedelta(days=as_of.weekday())


def folded(cells: list[Cell]) -> list[Cell]:
    """Fold the small segments of one scheme, and the next smallest until they are enough.

    A scheme whose users are too few all together tells nothing.

    >>> sizes = {"a": 40, "b": 12, "c": 4, "d": 3}
    >>> found = folded([Cell("s", (code,), ("", ""), size, Decimal(0)) for code, size in sizes.items()])
    >>> [(cell.code, cell.users) for cell in found]
    [('a', 40), ('_other', 19)]
    """
    by_size = sorted(cells, key=lambda cell: (cell.users, cell.codes))
    inside = [cell for cell in by_size if cell.users < LEAST]
    outside = by_size[len(inside) :]
    while inside and outside and sum(cell.users for cell in inside) < LEAST:
        inside.append(outside.pop(0))
    if not inside:
        return cells
    codes = tuple(sorted(code for cell in inside for code in cell.codes))
    amount = sum((cell.amount for cell in inside), Decimal(0))
    other = Cell(inside[0].scheme, codes, OTHER_NAMES, sum(cell.users for cell in inside), amount)
    return [*(cell for cell in cells if cell in outside), *([other] if other.users >= LEAST else [])]


def significant(amount: Decimal, digits: int = 3) -> int:
    """Round to so many significant digits, and to whole units.

    >>> significant(Decimal("12345.67")), significant(Decimal("-98.76")), significant(Decimal(0))
    (12300, -99, 0)
    """
    if amount == 0:
        return 0
    place = digits - 1 - math.floor(math.log10(abs(amount)))
    return round(round(amount, min(place, 0)))


def release(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date) -> Path | None:
    """Release a snapshot's week from ``published``, unless that week, or a later one, was released before.

    Returns
    -------
    Path
        The file of the week, or None where nothing was written.
    """
    week, before = week_of(as_of), _files(paths)
    if before and week <= date.fromisoformat(before[-1].stem):
        return None
    shown = {(row["scheme"], row["segment_code"]): row for row in _rows(before[-1:])}
    rows = []
    for cell in _cells(connection, as_of):
        row = _told(cell, week, as_of)
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
    connection.execute(
        "create table groups.segment_weekly as from released order by week, scheme, segment_code"
    )
    connection.unregister("released")
    for name, told in DESCRIPTIONS.items():
        said = told.replace("'", "''")
        connection.execute(f"comment on column groups.segment_weekly.{name} is '{said}'")
    connection.execute("detach groups")


def _told(cell: Cell, week: date, as_of: date) -> dict[str, object]:
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
        "shown_codes": list(cell.codes),
    }


def _cells(connection: duckdb.DuckDBPyConnection, as_of: date) -> list[Cell]:
    found = connection.execute(
        """
        select segments.scheme, segments.segment_code, segments.name_en, segments.name_zh, segments.users,
            coalesce(profiles.net_revenue_amount, 0)
        from (
            select scheme, segment_code, count(*) as users,
                max(segment_name_en) as name_en, max(segment_name_zh) as name_zh
            from published.bi.user_segment_daily where as_of_date = $1
            group by scheme, segment_code
        ) as segments
        left join published.bi.segment_profile_daily as profiles
            on profiles.as_of_date = $1 and segments.scheme = profiles.scheme
            and segments.segment_code = profiles.segment_code
        order by segments.scheme, segments.segment_code
        """,
        [as_of],
    ).fetchall()
    schemes: dict[str, list[Cell]] = {}
    for scheme, code, english, chinese, users, amount in found:
        schemes.setdefault(scheme, []).append(Cell(scheme, (code,), (english, chinese), users, amount))
    return [cell for cells in schemes.values() for cell in folded(cells)]


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
            "files": facts.files(paths, "user_segment_daily", [then]),
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
