"""Run ``dbt_legs.sql``: ``python -m benchmarks.dbt_legs_script <landing> <database> <date> …``."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import duckdb


def main(landing: Path, database: Path, as_of_dates: list[date]) -> None:
    """Make all tables, in DuckDB's own manner but for a bound on its memory.

    Six gigabytes are too few for 20 million events.
    """
    with duckdb.connect(str(database)) as connection:
        connection.execute("set memory_limit = '16GB'")
        connection.execute("set variable landing = ?", [str(landing)])
        connection.execute("set variable as_of_dates = ?", [as_of_dates])
        connection.execute(Path(__file__).with_name("dbt_legs.sql").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [date.fromisoformat(each) for each in sys.argv[3:]])
