"""What leg 1 costs, beside a plain SQL script and pandas: ``python -m benchmarks.dbt_legs --events 1000000``.

For each size a behaviour log is drawn and laid as landing would have landed it, in a data folder of its own.
Measured are processes, with their start: ``python -m warehouse build core`` on all of it; one SQL script in
plain DuckDB (``dbt_legs.sql``) and pandas (``dbt_legs_pandas.py``), which make the same tables from the same
files; and ``build core`` again after one more day with a hundredth of the events has landed. CPU-seconds are
user and system time together, memory is the largest resident set. The tables must have equal content hashes,
and the day after, at the smallest size, must equal a full refresh: otherwise the command fails.

Leg 1 does more than its rivals: versions, labels, rule segments, products, data tests, a Parquet snapshot.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

import settings
from benchmarks import cost
from benchmarks.behaviour_log import FIRST_DAY, LAST_DAY, NEXT_DAY, BehaviourLog, ScratchPaths
from benchmarks.cost import Cost
from cli import ShoalError, answer, console, main
from warehouse import horizon, snapshot

SHOP = "simulated"
COMPARED = (
    *("core.fct_events", "core.fct_sessions", "core.fct_orders", "core.dim_users"),
    *("ml_inputs.fct_user_features", "ml_inputs.fct_user_sequences"),
)
"""The tables that all ways make; compared are the columns that the script gives them, in leg 1's types.

Left out are keys made by hashing (``event_key``, ``session_id``), which only Shoal needs, ``is_outlier``, and
what this log does not fill: refunds, reviews, customers.
"""


@dataclass(frozen=True)
class Figures:
    """All that was measured at one size; without pandas where it was left out."""

    events: int
    full: Cost
    script: Cost
    pandas: Cost | None
    next_day: Cost


def measure(events: int, with_pandas: bool, compare_refresh: bool) -> Figures:
    """Draw a log, take it through every way, and compare what they made."""
    data = settings.data_dir() / "benchmarks" / f"dbt-legs-{events}-events"
    shutil.rmtree(data, ignore_errors=True)
    paths = ScratchPaths(SHOP, data)
    log = BehaviourLog(paths, events)
    console.print(f"{events:,} events: laying the log in {data}")
    log.land_history()
    dates = horizon.choose(FIRST_DAY, LAST_DAY).as_of_dates
    full = _build(paths)
    script = cost.run("benchmarks.dbt_legs_script", paths.landing, data / "script.duckdb", *dates)
    _compare(paths, data / "script.duckdb")
    pandas = None
    if with_pandas:
        pandas = cost.run("benchmarks.dbt_legs_pandas", paths.landing, data / "pandas", *dates)
        _compare(paths, data / "script.duckdb", data / "pandas")
    log.land_next_day()
    next_day = _build(paths)
    if compare_refresh:
        _compare_refresh(paths)
    shutil.rmtree(data)
    return Figures(events, full, script, pandas, next_day)


def _build(paths: ScratchPaths, *options: str) -> Cost:
    return cost.run("warehouse", "build", "core", "--shop", SHOP, *options, data=paths.data)


def _compare(paths: ScratchPaths, script: Path, pandas: Path | None = None) -> None:
    """Compare what leg 1 made with what the script made of it, or with what pandas did.

    Raises
    ------
    ShoalError
        When a table differs.
    """
    different = []
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'; set memory_limit = '3GB'")
        connection.execute(f"attach '{paths.warehouse}' as shoal (read_only)")
        connection.execute(f"attach '{script}' as script (read_only)")
        for table in COMPARED:
            name = table.partition(".")[2]
            made = set(connection.table(f"script.{name}").columns)
            types = connection.execute(f"describe shoal.{table}").fetchall()
            columns = {column: type_ for column, type_, *_ in types if column in made}
            found = _hash(connection, f"shoal.{table}", columns)
            if pandas:
                other = _hash(connection, f"read_parquet('{pandas}/{name}*.parquet')", columns, is_whole=True)
            else:
                other = _hash(connection, f"script.{name}", columns)
            console.print(
                f"    {table}: {found['rows']:,} rows, {len(columns)} columns, equal: {found == other}"
            )
            if found != other:
                different.append(table)
    if different:
        raise ShoalError(f"{', '.join(different)}: leg 1 and {pandas or script} differ")


def _hash(
    connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, str], is_whole: bool = False
) -> dict[str, Any]:
    """Hash some columns of a table; with ``is_whole`` amounts come as whole ten-thousandths."""
    casts = ", ".join(
        f"cast({f'{name} * 0.0001' if is_whole and 'DECIMAL' in type_ else name} as {type_}) as {name}"
        for name, type_ in columns.items()
    )
    connection.execute(f"create or replace temp view compared as select {casts} from {table}")
    return snapshot.content_hash(connection, "compared")


def _compare_refresh(paths: ScratchPaths) -> None:
    """Compare the day's incremental build with a full refresh, row for row.

    Raises
    ------
    ShoalError
        When a table differs.
    """
    dates = horizon.choose(FIRST_DAY, NEXT_DAY).as_of_dates
    found = _content(paths, dates)
    _build(paths, "--full-refresh")
    different = [table for table, said in _content(paths, dates).items() if found.get(table) != said]
    if different:
        raise ShoalError(f"{', '.join(different)}: the day's build differs from a full refresh")


def _content(paths: ScratchPaths, dates: list[date]) -> dict[str, object]:
    """Return the content of all tables of leg 1; of those that keep earlier dates, these dates."""
    with duckdb.connect(str(paths.warehouse), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'; set memory_limit = '3GB'")
        tables = connection.execute(
            "select table_schema || '.' || table_name, bool_or(column_name = 'as_of_date') "
            "from information_schema.columns "
            "where table_schema in ('staging', 'intermediate', 'core', 'ml_inputs') group by all"
        ).fetchall()
        kept = ("ml_inputs.", "intermediate.int_user_rule_segments")
        return {
            table: snapshot.content_hash(
                connection, table, dates if has_date and table.startswith(kept) else None
            )
            for table, has_date in tables
        }


def as_markdown(measured: Sequence[Figures]) -> str:
    """Return the README's table.

    Examples
    --------
    >>> cost = Cost(10.0, 6.0, 1.5)
    >>> print(as_markdown([Figures(1_000_000, cost, cost, None, Cost(2.0, 1.5, 0.5))]))
    | events | leg 1 | SQL script | pandas | leg 1 per script | per pandas | +1 % day | per leg 1 |
    |---|---|---|---|---|---|---|---|
    | 1 million | 10 (1.5 GB) | 10 (1.5 GB) | – | 1.0 | – | 2 (0.5 GB) | 0.20 |
    """
    lines = [
        "| events | leg 1 | SQL script | pandas | leg 1 per script | per pandas | +1 % day | per leg 1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in measured:
        full = each.full.cpu_seconds
        cells = [
            f"{each.events / 1e6:g} million",
            *(_cell(cost) for cost in (each.full, each.script, each.pandas)),
            f"{full / each.script.cpu_seconds:.1f}",
            f"{full / each.pandas.cpu_seconds:.1f}" if each.pandas else "–",
            _cell(each.next_day),
            f"{each.next_day.cpu_seconds / full:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(cost: Cost | None) -> str:
    return str(cost or "–")


def act(arguments: argparse.Namespace) -> None:
    """Measure every size and print the table."""
    measured: list[Figures] = []
    for events in sorted(arguments.events):
        measured.append(measure(events, events <= arguments.pandas_up_to, events == min(arguments.events)))
        if arguments.out:
            arguments.out.write_text(as_markdown(measured) + "\n", encoding="utf-8")
    answer.print(as_markdown(measured), soft_wrap=True)


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    result = argparse.ArgumentParser("python -m benchmarks.dbt_legs", description=__doc__)
    result.add_argument("--events", type=int, nargs="+", default=[1_000_000, 5_000_000, 20_000_000])
    result.add_argument(
        "--pandas-up-to",
        type=int,
        default=5_000_000,
        metavar="EVENTS",
        help="leave pandas out above this many events: it holds everything in memory (default: %(default)s)",
    )
    result.add_argument("--out", type=Path, help="also write the table to this file")
    result.set_defaults(act=act)
    return result


if __name__ == "__main__":
    main(parser())
