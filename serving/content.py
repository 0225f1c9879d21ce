"""Say whether two tables hold the same rows, whoever wrote them and in which order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from serving.tables import PROVENANCE, quoted

if TYPE_CHECKING:
    import duckdb


def content_hash(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    where: str = "true",
    parameters: list[object] | None = None,
    columns: list[str] | None = None,
) -> str:
    """Return a hash over all rows and all columns but run_id, scored_at and published_at.

    Neither the order of rows nor that of columns matters; a repeated row does.

    Parameters
    ----------
    connection
        Where the table can be read.
    table
        A table as SQL names it: ``bi.user_segment_daily``, or ``read_parquet(?)``.
    where, parameters
        Which rows count; values only as parameters, those of ``table`` first.
    columns
        Compare only these; by default all that the table has.

    Returns
    -------
    str
        ``<rows>-<hex digits>``; ``0-`` and zeros for an empty table.
    """
    names = columns or column_names(connection, table, parameters)
    texts = ", ".join(f"cast({quoted(name)} as varchar)" for name in sorted(set(names) - set(PROVENANCE)))
    # Two sums of 64 bits each: order-independent, and unlike an xor they count repeated rows.
    query = f"""
        with spell_rows as (select to_json([{texts}])::varchar as spelled from {table} where {where})
        select
            count(*),
            coalesce(sum(md5_number_upper(spelled)::hugeint), 0) % 18446744073709551616,
            coalesce(sum(md5_number_lower(spelled)::hugeint), 0) % 18446744073709551616
        from spell_rows
    """  # noqa: S608 - identifiers from our own tables only
    row = connection.execute(query, parameters or []).fetchone()
    assert row is not None
    rows, upper, lower = (int(value) for value in row)
    return f"{rows}-{upper:016x}{lower:016x}"


def combined(hashes: Iterable[str]) -> str:
    """Return the hash of several tables' rows taken together, from the hash of each.

    Examples
    --------
    >>> one, two = "2-" + "0" * 15 + "1" + "f" * 16, "1-" + "0" * 15 + "2" + "0" * 15 + "2"
    >>> combined([one, two])
    '3-00000000000000030000000000000001'
    """
    rows = upper = lower = 0
    for found in hashes:
        count, digits = found.split("-")
        rows += int(count)
        upper = (upper + int(digits[:16], 16)) % 2**64
        lower = (lower + int(digits[16:], 16)) % 2**64
    return f"{rows}-{upper:016x}{lower:016x}"


def column_names(
    connection: duckdb.DuckDBPyConnection, table: str, parameters: list[object] | None = None
) -> list[str]:
    """Return a table's columns in order; ``parameters`` as in :func:`content_hash`."""
    placeholders = table.count("?")
    query = f"select * from {table} limit 0"  # noqa: S608 - identifiers from our own tables only
    cursor = connection.execute(query, (parameters or [])[:placeholders])
    return [column[0] for column in cursor.description or []]
