"""What must hold before a version may be put in force, whoever built its tables."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from serving import release
from serving.groups import OTHER
from serving.tables import BI_TABLES, FACT_TABLES, Table, quoted

if TYPE_CHECKING:
    import duckdb

IDENTIFYING_NAME = (
    r"(^|_)(e_?mail|phone|mobile|telephone|first_name|last_name|full_name|customer_id|device_id)($|_)"
)
EMAIL = r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}"
# Written with a plus, in groups, or a Chinese mobile number; never inside a longer code or hash.
PHONE = (
    r"(^|[^0-9A-Za-z])"
    r"(\+[0-9][0-9 ()-]{6,}[0-9]|\(?[0-9]{3}\)?[ -][0-9]{3,4}[ -][0-9]{4}|1[3-9][0-9]{9})"
    r"($|[^0-9A-Za-z])"
)


def failures(connection: duckdb.DuckDBPyConnection, database: str, as_of: date) -> list[str]:
    """Return what is wrong with a version, one sentence each; empty means it may be published.

    Parameters
    ----------
    database
        The attached database that holds the version's ``bi`` and ``ops``.
    as_of
        The snapshot that this version adds.
    """
    found = [_absent_snapshot(connection, database, as_of), _unequal_schemes(connection, database)]
    found += [_repeated_rows(connection, database, table) for table in BI_TABLES]
    found += [
        _unknown_codes(connection, database, table)
        for table in ("user_segment_daily", "segment_profile_daily", "user_segment_current")
    ]
    found.append(_unequal_profiles(connection, database))
    found += release.betrayed(connection, "segment_profile_daily", f"{database}.bi")
    found += _identifying_columns(connection, database)
    found += _identifying_values(connection, database, as_of)
    return [sentence for sentence in found if sentence]


def _value(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: list[object] | None = None
) -> object:
    row = connection.execute(query, parameters or []).fetchone()
    assert row is not None
    return row[0]


def _absent_snapshot(connection: duckdb.DuckDBPyConnection, database: str, as_of: date) -> str | None:
    query = f"select count(*) from {database}.bi.user_segment_daily where as_of_date = ?"  # noqa: S608
    if _value(connection, query, [as_of]):
        return None
    return f"user_segment_daily has no row for {as_of}: build the features and segments of that date first"


def _unequal_schemes(connection: duckdb.DuckDBPyConnection, database: str) -> str | None:
    rows = connection.execute(f"""
        with count_users as (
            select as_of_date, scheme, count(distinct user_key) as users
            from {database}.bi.user_segment_daily group by all
        )
        select as_of_date, string_agg(scheme || ' ' || users, ', ' order by scheme)
        from count_users group by as_of_date having min(users) != max(users) order by as_of_date
    """).fetchall()  # noqa: S608
    if not rows:
        return None
    return (
        f"users per scheme differ on {rows[0][0]}: {rows[0][1]}; every eligible user has one row per scheme"
    )


def _repeated_rows(connection: duckdb.DuckDBPyConnection, database: str, table: Table) -> str | None:
    key = ", ".join(map(quoted, table.key))
    repeats = _value(
        connection,
        f"select count(*) from (from {database}.bi.{quoted(table.name)} "  # noqa: S608
        f"select {key} group by {key} having count(*) > 1)",
    )
    return f"{table.name} repeats {repeats} keys ({', '.join(table.key)})" if repeats else None


def _unknown_codes(connection: duckdb.DuckDBPyConnection, database: str, table: str) -> str | None:
    rows = connection.execute(f"""
        select distinct scheme, segment_code
        from {database}.bi.{quoted(table)} as named
        where segment_code <> '{OTHER}' and not exists (
            select 1 from {database}.bi.dim_segment as segments
            where segments.scheme = named.scheme
                and segments.segment_code = named.segment_code
                and segments.valid_from <= named.as_of_date
                and (segments.valid_to is null or named.as_of_date < segments.valid_to)
        ) order by all
    """).fetchall()  # noqa: S608
    if not rows:
        return None
    codes = ", ".join(f"{scheme}/{code}" for scheme, code in rows)
    return f"{table} uses codes that dim_segment does not have on their date: {codes}"


def _unequal_profiles(connection: duckdb.DuckDBPyConnection, database: str) -> str | None:
    rows = connection.execute(f"""
        with count_users as (
            select as_of_date, scheme, count(*) as users from {database}.bi.user_segment_daily group by all
        ),
        sum_profiles as (
            select as_of_date, scheme, sum(users) as users
            from {database}.bi.segment_profile_daily group by all
        )
        select as_of_date, scheme, count_users.users, sum_profiles.users
        from count_users full join sum_profiles using (as_of_date, scheme)
        where count_users.users is distinct from sum_profiles.users order by all
    """).fetchall()  # noqa: S608
    if not rows:
        return None
    day, scheme, users, summed = rows[0]
    return f"profiles of {scheme} on {day} sum to {summed or 0} users, user_segment_daily has {users or 0}"


def _text_columns(connection: duckdb.DuckDBPyConnection, database: str) -> list[tuple[str, str, str, str]]:
    return connection.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        "where database_name = ? and schema_name in ('bi', 'ops') order by all",
        [database],
    ).fetchall()


def _identifying_columns(connection: duckdb.DuckDBPyConnection, database: str) -> list[str]:
    rows = connection.execute(
        "select schema_name || '.' || table_name || '.' || column_name from duckdb_columns() "
        "where database_name = ? and schema_name in ('bi', 'ops') and regexp_matches(column_name, ?)",
        [database, IDENTIFYING_NAME],
    ).fetchall()
    return [f"column {name} is named like something that identifies a person" for (name,) in rows]


def _identifying_values(connection: duckdb.DuckDBPyConnection, database: str, as_of: date) -> list[str]:
    columns: dict[tuple[str, str], list[str]] = {}
    for schema, table, column, data_type in _text_columns(connection, database):
        if data_type == "VARCHAR" and column != "user_key":
            columns.setdefault((schema, table), []).append(column)
    found = []
    for (schema, table), names in columns.items():
        # Days published before have been looked at; and distinct first: a column of codes costs nothing then.
        is_dated = ("bi", table) in ((schema, fact.name) for fact in FACT_TABLES)
        where = "where as_of_date = $as_of" if is_dated else ""
        texts = " union all ".join(
            f"select distinct '{name}' as name, {quoted(name)} as text "  # noqa: S608
            f"from {database}.{quoted(schema)}.{quoted(table)} {where}"
            for name in names
        )
        rows = connection.execute(
            f"select name, count(*) from ({texts}) "  # noqa: S608
            "where regexp_matches(text, $email) or regexp_matches(text, $phone) group by name order by name",
            {"email": EMAIL, "phone": PHONE, **({"as_of": as_of} if is_dated else {})},
        ).fetchall()
        found += [
            f"{schema}.{table}.{name} has {count} values like an e-mail address or phone number"
            for name, count in rows
        ]
    return found
