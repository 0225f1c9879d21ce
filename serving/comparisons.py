"""What of a published day depends on the published days before it, told anew where those have changed.

A day says who is in which segment. Two columns of ``user_segment_daily`` compare it with the days before:
``days_in_segment`` and ``is_new_user``. Where a day is published or restated before others, they follow, in
those columns and no other, so that the order in which days were published makes no difference.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from serving import facts
from serving.tables import quoted
from settings import ShopPaths

if TYPE_CHECKING:
    import duckdb

STAYS = "int_user_stays_counted"
"""The dbt model that compares: the as_of_date's rows, and those of the published days after it."""

KEY = ("as_of_date", "user_key", "scheme")
COLUMNS = ("days_in_segment", "is_new_user")
TABLE = "compared_anew"


def copy_stays(connection: duckdb.DuckDBPyConnection, warehouse: str, as_of: date) -> None:
    """Copy what the last build of leg 2, if it was that of this as_of_date, counted for the days after it."""
    names = ", ".join(quoted(name) for name in (*KEY, *COLUMNS))
    schemas = connection.execute(
        "select schema_name from duckdb_tables() where database_name = ? and table_name = ?",
        [warehouse, STAYS],
    ).fetchall()
    source = f"{warehouse}.{quoted(schemas[0][0])}.{STAYS}" if schemas else None
    if source is None:
        columns = (
            "as_of_date date, user_key varchar, scheme varchar, days_in_segment bigint, is_new_user boolean"
        )
        connection.execute(f"create temp table stays ({columns})")
        return
    connection.execute(
        f"create temp table stays as select {names} from {source} "  # noqa: S608
        f"where as_of_date > ? and (select min(as_of_date) from {source}) = ?",
        [as_of, as_of],
    )


def collect(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date) -> list[date]:
    """Collect, in a temporary table, the later published days that now compare otherwise; return them."""
    later = [day for day in facts.days(paths) if day > as_of]
    files = facts.files(paths, facts.COMPARED, later)
    if not files:
        return []
    anew = ", ".join(f"coalesce(stays.{name}, published.{name}) as {name}" for name in COLUMNS)
    differs = " or ".join(f"published.{name} is distinct from stays.{name}" for name in COLUMNS)
    connection.execute(
        f"""
        create temp table {TABLE} as
        with read_published as (from read_parquet($files, union_by_name = true)),
        find_changed_days as (
            select distinct as_of_date from read_published as published
            inner join stays using ({", ".join(KEY)}) where {differs}
        )
        select published.* replace ({anew})
        from read_published as published left join stays using ({", ".join(KEY)})
        where published.as_of_date in (from find_changed_days)
        """,  # noqa: S608
        {"files": files},
    )
    rows = connection.execute(f"select distinct as_of_date from {TABLE} order by 1").fetchall()  # noqa: S608
    return [day for (day,) in rows]
