"""What landing costs, beside a plain copy: ``python -m benchmarks.landing --rows 20000000``.

One csv of events is written, a month of an honest shop in the order of time. Measured are processes, with
their start: DuckDB's ``copy`` from csv to one Parquet file, types guessed, nothing checked; and ``python -m
landing receive``, which finds repeated rows, types and judges each value, pseudonymises users and devices,
and writes Parquet by day. Every row must be good and landed: otherwise the command fails.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import duckdb

import settings
from benchmarks import cost
from benchmarks.cost import Cost
from cli import ShoalError, answer, console, main
from landing import ledger

SHOP = "simulated"
WRITE_EVENTS = """
copy (
    with
    -- A visit is ten events of one device, a minute apart; half of the visits are by a tenth of the devices.
    visit as (
        select
            visit,
            timestamp '2026-03-03' + to_seconds((visit * 28.0 * 86400 / ($rows // 10))::bigint) as began_at,
            case
                when hash(visit, 1) % 2 = 0 then hash(visit, 2) % ($rows // 500)
                else hash(visit, 3) % ($rows // 50)
            end as device
        from range($rows // 10) as numbers(visit)
    ),
    event as (
        select *, unnest(range(10)) as step from visit
    )
    select
        printf('e%010d', visit * 10 + step) as event_id,
        ['view', 'view', 'click', 'view', 'search', 'view', 'cart', 'view', 'uncart', 'checkout'][step + 1]
            as event_type,
        strftime(began_at + to_seconds(step * 60), '%Y-%m-%d %H:%M:%S') as occurred_at,
        case when device % 5 < 2 then printf('c%07d', device) end as customer_id,
        printf('d%08d', device) as device_id,
        printf('p%06d', hash(visit, step) % 50000) as product_id,
        ['web', 'app'][1 + (device % 2)::bigint] as channel,
        (hash(visit, step, 7) % 100000) / 100.0 as price_amount
    from event
    order by visit, step
) to $path (header)
"""


def measure(rows: int) -> tuple[int, float, Cost, Cost]:
    """Return rows, size of the csv in gigabytes, and what the plain copy and landing cost."""
    data = settings.data_dir() / "benchmarks" / f"landing-{rows}-rows"
    shutil.rmtree(data, ignore_errors=True)
    drops = data / "drops"
    drops.mkdir(parents=True)
    csv = drops / "events_2026-03-31.csv"
    console.print(f"{rows:,} rows: writing {csv}")
    duckdb.execute(WRITE_EVENTS, {"rows": rows, "path": str(csv)})
    copied = cost.run("benchmarks.landing", "--copy", csv, data / "plain.parquet")
    landed = cost.run("landing", "receive", drops, "--shop", SHOP, data=data)
    _expect_all_landed(rows, data)
    size = csv.stat().st_size / 1e9
    shutil.rmtree(data)
    return rows, size, copied, landed


def copy(csv: Path, parquet: Path) -> None:
    """Turn a csv into Parquet as plainly as DuckDB does it."""
    with duckdb.connect() as connection:
        connection.execute("set memory_limit = '1500MB'")
        connection.execute(
            "copy (from read_csv($csv)) to $parquet", {"csv": str(csv), "parquet": str(parquet)}
        )


def _expect_all_landed(rows: int, data: Path) -> None:
    lines = (data / SHOP / "landing" / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    (file,) = (ledger.LedgerFile.model_validate_json(line) for line in lines)
    if (file.rows_in, file.rows_good) != (rows, rows):
        raise ShoalError(f"of {rows:,} rows {file.rows_in:,} came in and {file.rows_good:,} were good")


def as_markdown(measured: Sequence[tuple[int, float, Cost, Cost]]) -> str:
    """Return the README's table.

    Examples
    --------
    >>> print(as_markdown([(2_000_000, 0.14, Cost(3.0, 2.0, 0.3), Cost(9.0, 5.0, 1.0))]))
    | rows | csv | DuckDB copy | landing | landing per copy |
    |---|---|---|---|---|
    | 2 million | 0.1 GB | 3 (0.3 GB) | 9 (1.0 GB) | 3.0 |
    """
    lines = ["| rows | csv | DuckDB copy | landing | landing per copy |", "|---|---|---|---|---|"]
    lines += [
        f"| {rows / 1e6:g} million | {size:.1f} GB | {copied} | {landed} "
        f"| {landed.cpu_seconds / copied.cpu_seconds:.1f} |"
        for rows, size, copied, landed in measured
    ]
    return "\n".join(lines)


def act(arguments: argparse.Namespace) -> None:
    """Measure every size and print the table; or be the plain copy."""
    if arguments.copy:
        copy(*arguments.copy)
        return
    answer.print(as_markdown([measure(rows) for rows in arguments.rows]), soft_wrap=True)


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    result = argparse.ArgumentParser("python -m benchmarks.landing", description=__doc__)
    result.add_argument("--rows", type=int, nargs="+", default=[2_000_000, 20_000_000])
    result.add_argument("--copy", type=Path, nargs=2, help=argparse.SUPPRESS)
    result.set_defaults(act=act)
    return result


if __name__ == "__main__":
    main(parser())
