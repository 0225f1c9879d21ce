"""What of a published day depends on the published days before it, told anew where those have changed.

A day says who is in which segment. Two columns of ``user_segment_daily`` compare it with the days before:
``days_in_segment`` and ``is_new_user``. Where a day is published or restated before others, they follow, in
those columns and no other, so that the order in which days were published makes no difference.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from serving import facts
from serving.content import content_hash
from serving.tables import quoted
from settings import ShopPaths

if TYPE_CHECKING:
    import duckdb

STAYS = "int_user_stays_counted"
"""The dbt model that compares: the as_of_date's rows, and those of the published days after it."""

KEY = ("as_of_date", "user_key", "scheme")
COLUMNS = ("days_in_segment", "is_new_user")
TABLE = "compared_anew"


def copy_stays(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, warehouse: str, as_of: date, is_as_said: bool
) -> None:
    """Copy what the last build of leg 2 counted for the days after an as_of_date.

    Nothing is copied from a build of another day, nor from one that restated this day and was given up.

    Parameters
    ----------
    is_as_said
        Whether the as_of_date itself stays as it was published.
    """
    names = ", ".join(quoted(name) for name in (*KEY, *COLUMNS))
    schemas = connection.execute(
        "select schema_name from duckdb_tables() where database_name = ? and table_name = ?",
        [warehouse, STAYS],
    ).fetchall()
    source = f"{warehouse}.{quoted(schemas[0][0])}.{STAYS}" if schemas else None
    files = facts.files(paths, facts.COMPARED, [as_of]) if is_as_said else []
    if source is None or (files and not _says_the_same(connection, source, as_of, files)):
        connection.execute(
            "create temp table stays (as_of_date date, user_key varchar, scheme varchar, "
            "days_in_segment bigint, is_new_user boolean)"
        )
        return
    connection.execute(
        f"create temp table stays as select {names} from {source} "  # noqa: S608
        f"where as_of_date > ? and (select min(as_of_date) from {source}) = ?",
        [as_of, as_of],
    )


def _says_the_same(connection: duckdb.DuckDBPyConnection, source: str, as_of: date, files: list[str]) -> bool:
    columns = ["user_key", "scheme", "segment_code"]
    counted = content_hash(connection, source, "as_of_date = ?", [as_of], columns)
    return counted == content_hash(connection, "read_parquet(?)", "true", [files], columns)


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
