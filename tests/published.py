"""What BI reads of a day, as rows that can be compared."""

from __future__ import annotations

from datetime import date
from typing import Any

from serving.query import connect
from settings import ShopPaths

TELLS_ONE_RUN_FROM_ANOTHER = {
    "run_id",
    "scored_at",
    "published_at",
    "recorded_at",
    "version",
    "model_version",
}

Content = dict[str, list[tuple[Any, ...]]]


def content(paths: ShopPaths, as_of: date) -> Content:
    """Return every published row of a day by table, without what tells one run from another."""
    with connect(paths) as connection:
        tables = connection.execute(
            "select table_name, list(column_name order by column_index) from duckdb_columns() "
            "where schema_name = 'bi' and not ends_with(table_name, '_current') "
            "group by table_name having 'as_of_date' in list(column_name)"
        ).fetchall()
        found = {}
        for table, columns in tables:
            kept = ", ".join(f'"{name}"' for name in columns if name not in TELLS_ONE_RUN_FROM_ANOTHER)
            found[table] = connection.execute(
                f'select {kept} from bi."{table}" where as_of_date = ? order by all', [as_of]
            ).fetchall()
        return found
