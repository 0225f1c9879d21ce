"""A version as schema ``bi`` of a Postgres, for tools that read no DuckDB file.

The tables are copied into a schema aside and take the old one's place in the same transaction: who reads
meets all of one version, and a copy that breaks off leaves nothing. The address comes from the environment or
from a file that its owner alone reads, never from the command line, where every user of the machine sees it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import settings
from cli import ShoalError
from serving import descriptions, groups
from serving.export import Source, Table
from serving.tables import BI_TABLES
from settings import ShopPaths

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

SCHEMA, ASIDE, FORMER = "bi", "bi_being_copied", "bi_before"
MARK = "Shoal"
"""How the comment of a schema begins that an export has made."""

TYPES = {
    "VARCHAR": "text",
    "BIGINT": "bigint",
    "INTEGER": "integer",
    "SMALLINT": "smallint",
    "DOUBLE": "double precision",
    "FLOAT": "real",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
}
"""DuckDB's type → Postgres's; DECIMAL(p,s) becomes numeric(p,s)."""

LOCK = 0x5EA1
"""Two exports into one database wait for each other."""

PATIENCE_SECONDS = 30
"""Dropping a table waits for who reads it, and whoever comes later waits behind: no longer than this."""


def replace_schema(source: Source, tables: list[Table], paths: ShopPaths) -> str:
    """Let schema ``bi`` hold these tables and no others; return where it is, without what is secret.

    Roles that could read the schema, or a table of the same name, can do so again.

    Raises
    ------
    ShoalError
        When no address is given, Postgres refuses it, the schema is not Shoal's, something depends on it, or
        somebody goes on reading it for longer than :data:`PATIENCE_SECONDS`.
    """
    import psycopg

    try:
        with psycopg.connect(address(paths), application_name="shoal export") as connection:
            connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
            _require_ours(connection)
            grants = _grants(connection)
            connection.execute(f"create schema {ASIDE}")
            for table in tables:
                _copy(connection, source, table)
            _swap_soon(connection, source)
            _grant(connection, grants, {table.name for table in tables})
            info = connection.info
            return f"postgres {info.host}:{info.port}/{info.dbname}"
    except psycopg.errors.DependentObjectsStillExist as error:
        told = " ".join((error.diag.message_detail or "").split())
        raise ShoalError(
            f"something else in the database reads schema {SCHEMA} ({told}): drop it, export, and make it "
            "again; nothing was changed"
        ) from None
    except psycopg.Error as error:
        raise ShoalError(f"Postgres refused the export, nothing was changed: {_told(error)}") from None


def address(paths: ShopPaths) -> str:
    """Return what Postgres is reached by: SHOAL_POSTGRES, the file of the shop, or libpq's own variables.

    Raises
    ------
    ShoalError
        When there is none, or others than the owner may read the file, or it can't be understood.
    """
    from psycopg import ProgrammingError, conninfo

    file = paths.secrets / "postgres"
    found = settings.postgres() or (_private(file) if file.exists() else "")
    if not found and not settings.is_libpq_told():
        raise ShoalError(
            f"no Postgres is named: set SHOAL_POSTGRES, or write its address into {file} (mode 0600), such "
            "as postgresql://writer:…@db.example.org/reports"
        )
    try:
        conninfo.conninfo_to_dict(found)
    except ProgrammingError:  # its message quotes the address, password and all
        where = "SHOAL_POSTGRES" if settings.postgres() else str(file)
        raise ShoalError(
            f"{where} holds no address of a Postgres: write postgresql://user:password@host/database"
        ) from None
    return found


def _private(file: Any) -> str:
    if file.stat().st_mode & 0o077:
        raise ShoalError(f"{file} holds a password that others may read: chmod 600 {file}")
    return str(file.read_text(encoding="utf-8").strip())


def _require_ours(connection: psycopg.Connection) -> None:
    """Refuse to replace a schema that no export has made, or in which somebody has put a table."""
    row = connection.execute(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = %s", [SCHEMA]
    ).fetchone()
    if row and not str(row[0]).startswith(MARK):
        raise ShoalError(
            f"the database has a schema {SCHEMA} that Shoal did not make: rename it, or name another database"
        )
    ours = [*groups.TABLES, *(table.name for table in BI_TABLES)]
    foreign = connection.execute(
        "select tablename from pg_tables where schemaname = %s and tablename <> all(%s) order by 1",
        [SCHEMA, ours],
    ).fetchall()
    if foreign:
        raise ShoalError(
            f"schema {SCHEMA} holds {', '.join(name for (name,) in foreign)}, which Shoal did not make and "
            "an export would drop: move it to another schema, or drop it; nothing was changed"
        )


def _grants(connection: psycopg.Connection) -> list[tuple[str | None, str]]:
    """Return who may read what: a table's name and a role; None for the use of the schema itself."""
    return connection.execute(
        """
        with list_grants as (
            select null as name, grantee
            from pg_namespace, aclexplode(nspacl) where nspname = %(schema)s and grantee <> nspowner
            union
            select relname, grantee
            from pg_class inner join pg_namespace on relnamespace = pg_namespace.oid, aclexplode(relacl)
            where nspname = %(schema)s and privilege_type = 'SELECT' and grantee <> relowner
        )
        -- Of everybody the catalogue says 0.
        select name, case when grantee = 0 then 'public' else grantee::regrole::text end from list_grants
        """,
        {"schema": SCHEMA},
    ).fetchall()


def _copy(connection: psycopg.Connection, source: Source, table: Table) -> None:
    from psycopg import sql

    name = sql.Identifier(ASIDE, table.name)
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(_type(data_type)))  # type: ignore[arg-type]
        for column, data_type in table.columns.items()
    )
    connection.execute(sql.SQL("create table {} ({})").format(name, columns))
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("copy {} from stdin").format(name)) as copy,
    ):
        for batch in source.rows(table):
            for row in batch:
                copy.write_row([_value(value) for value in row])
    _describe(connection, source, table, name)
    if table.key:
        key = sql.SQL(", ").join(map(sql.Identifier, table.key))
        connection.execute(sql.SQL("create unique index on {} ({})").format(name, key))
    connection.execute(sql.SQL("analyze {}").format(name))


def _describe(connection: psycopg.Connection, source: Source, table: Table, name: sql.Identifier) -> None:
    """Comment on a table and its columns, so that a tool of BI shows what they mean."""
    from psycopg import sql

    of_table, of_columns = descriptions.read(source.connection, table.name)
    if of_table:
        connection.execute(sql.SQL("comment on table {} is {}").format(name, sql.Literal(of_table)))
    for column, told in of_columns.items():
        connection.execute(
            sql.SQL("comment on column {}.{} is {}").format(name, sql.Identifier(column), sql.Literal(told))
        )


def _swap_soon(connection: psycopg.Connection, source: Source) -> None:
    """Let the new schema take the old one's place, unless its readers let nobody in."""
    import psycopg

    connection.execute(f"set local lock_timeout = '{PATIENCE_SECONDS}s'")
    try:
        _swap(connection, source)
    except psycopg.errors.LockNotAvailable:
        connection.rollback()
        readers = ", ".join(_readers(connection)) or "somebody who has finished since"
        raise ShoalError(
            f"schema {SCHEMA} was being read for {PATIENCE_SECONDS} seconds by {readers}: let them finish (a "
            "tool that keeps its transaction open reads on), or end their session with "
            "select pg_terminate_backend(<pid>), and export again; nothing was changed"
        ) from None


def _readers(connection: psycopg.Connection) -> list[str]:
    """Return who holds a lock on a table of the schema: role, process and program."""
    rows = connection.execute(
        """
        select distinct usename, pid, application_name
        from pg_locks
        inner join pg_class on pg_locks.relation = pg_class.oid
        inner join pg_stat_activity using (pid)
        where relnamespace = %s::regnamespace and pg_locks.granted
            and pg_locks.database = (select oid from pg_database where datname = current_database())
        order by pid
        """,
        [SCHEMA],
    ).fetchall()
    return [f"{role} (pid {pid}{program and f', {program}'})" for role, pid, program in rows]


def _swap(connection: psycopg.Connection, source: Source) -> None:
    from psycopg import sql

    told = f"{MARK}, version {source.version}, as of {source.as_of_date}"
    connection.execute(sql.SQL("comment on schema {} is {}").format(sql.Identifier(ASIDE), sql.Literal(told)))
    if connection.execute("select from pg_namespace where nspname = %s", [SCHEMA]).fetchone() is not None:
        connection.execute(f"alter schema {SCHEMA} rename to {FORMER}")
        _drop(connection)
    connection.execute(f"alter schema {ASIDE} rename to {SCHEMA}")


def _drop(connection: psycopg.Connection) -> None:
    """Drop the former tables, and refuse where a view of somebody's reads one."""
    from psycopg import sql

    tables = connection.execute("select tablename from pg_tables where schemaname = %s", [FORMER]).fetchall()
    for (name,) in tables:
        connection.execute(sql.SQL("drop table {}").format(sql.Identifier(FORMER, name)))
    connection.execute(f"drop schema {FORMER}")


def _grant(connection: psycopg.Connection, grants: list[tuple[str | None, str]], names: set[str]) -> None:
    from psycopg import sql

    for table, role in grants:
        # The role comes from the catalogue as it has to be written, in quotes where it needs them.
        grantee = sql.SQL(role)  # type: ignore[arg-type]
        if table is None:
            connection.execute(
                sql.SQL("grant usage on schema {} to {}").format(sql.Identifier(SCHEMA), grantee)
            )
        elif table in names:
            connection.execute(
                sql.SQL("grant select on {} to {}").format(sql.Identifier(SCHEMA, table), grantee)
            )


def _type(data_type: str) -> str:
    """Return Postgres's type for one of DuckDB's.

    Examples
    --------
    >>> _type("DECIMAL(18,2)"), _type("VARCHAR")
    ('numeric(18,2)', 'text')
    """
    if found := re.fullmatch(r"DECIMAL(\(\d+,\d+\))", data_type):
        return f"numeric{found[1]}"
    if data_type not in TYPES:
        raise ShoalError(f"no Postgres type is known for DuckDB's {data_type}: add it to serving/postgres.py")
    return TYPES[data_type]


def _value(value: object) -> object:
    # Postgres keeps no NUL in a text.
    return value.replace("\x00", "") if isinstance(value, str) else value


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
