"""A shop with planted truth: what it would drop, day by day, and what only tests may know.

The story, in the order of its modules: ``catalogue`` (what is sold), ``people`` (who comes),
``visits`` (how often and when), ``fraud`` and ``campaigns`` (who interferes), ``orders`` (what
is bought), ``events`` (what a visit consists of), ``voices`` (what people see and say),
``shop`` (all of it together), ``deliver``, ``dirt`` and ``drops`` (the files), ``truth``.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import settings
from cli import ShoalError, UsageError, console
from landing.simulate import drops, truth
from landing.simulate.deliver import DELIVERIES, tabulate
from landing.simulate.parameters import Parameters, open_streams
from landing.simulate.shop import Shop, imagine

__all__ = ["Parameters", "Shop", "Summary", "act", "add_arguments", "imagine", "simulate"]

SHOP = "simulated"
TABLES = "|".join((*DELIVERIES, *truth.TABLES))
OURS = re.compile(rf"({TABLES})(_\d{{4}}-\d\d-\d\d)?\.(csv|csv\.gz|jsonl|jsonl\.gz|parquet|json)")
"""Names of files that a simulation writes, and may therefore delete."""


@dataclass(frozen=True)
class Summary:
    """What one simulation wrote."""

    folder: Path
    files: int
    rows: dict[str, int]
    seconds: float
    cpu_seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``python -m landing simulate``."""
    usual = Parameters()
    parser.add_argument(
        "--users", type=int, default=usual.users, help="people who ever visit (default: %(default)s)"
    )
    parser.add_argument("--days", type=int, default=usual.days, help="days of files (default: %(default)s)")
    parser.add_argument(
        "--seed",
        type=int,
        default=usual.seed,
        help="the same seed gives the same bytes (default: %(default)s)",
    )
    parser.add_argument(
        "--order-signal",
        type=float,
        default=usual.order_signal,
        help="0 to 1: how much groups differ in order and rhythm at equal totals (default: %(default)s)",
    )
    parser.add_argument(
        "--start",
        type=date.fromisoformat,
        default=usual.start,
        metavar="YYYY-MM-DD",
        help="first day (default: %(default)s)",
    )
    parser.add_argument("--drift-day", type=int, help="day number of the drift (default: 60 %% of the days)")
    parser.add_argument(
        "--drift-share",
        type=float,
        default=usual.drift_share,
        help="share of people who drift (default: %(default)s)",
    )
    root = settings.data_dir() / SHOP
    parser.add_argument(
        "--out", type=Path, default=root / "drops", help="folder of the files (default: %(default)s)"
    )
    parser.add_argument(
        "--truth", type=Path, default=root / "truth", help="folder of the truth (default: %(default)s)"
    )
    parser.set_defaults(act=act)


def act(arguments: argparse.Namespace) -> None:
    """Run ``python -m landing simulate`` and say what it wrote."""
    names = ("users", "days", "seed", "order_signal", "start", "drift_day", "drift_share")
    try:
        parameters = Parameters(**{name: getattr(arguments, name) for name in names})
    except ValueError as error:
        raise UsageError(str(error)) from error
    with console.status(f"simulating {parameters.users:,} people over {parameters.days} days"):
        summary = simulate(parameters, arguments.out, arguments.truth)
    counted = ", ".join(f"{rows:,} {table}" for table, rows in summary.rows.items())
    console.print(f"wrote {summary.files:,} files to {summary.folder}: {counted}")
    console.print(f"took {summary.seconds:.1f} s, {summary.cpu_seconds:.1f} of them computing")
    console.print(f"the truth lies in {arguments.truth}; the pipeline never reads it")


def simulate(parameters: Parameters, out: Path, truth_folder: Path) -> Summary:
    """Write the shop's files to ``out`` and the truth beside them, replacing an earlier simulation."""
    began, began_cpu = time.perf_counter(), time.process_time()
    if truth_folder.resolve().is_relative_to(out.resolve()):
        raise UsageError(
            f"truth {truth_folder} lies inside {out}, which the pipeline reads: choose another folder"
        )
    for folder in (out, truth_folder):
        _clear(folder)
    shop = imagine(parameters)
    streams = open_streams(parameters.seed)  # these four are drawn from nowhere else
    tables = tabulate(shop, streams["row_ids"], streams["late"])
    files: truth.Records = []
    for name, table in tables.items():
        packed = drops.pack(name, table, parameters, streams["dirt"], streams["shuffle"])
        files.extend(drops.write(name, packed, out, parameters))
    truth.write_truth(shop, tables, files, truth_folder)
    rows = {name: sum(int(str(file["rows"])) for file in files if file["table"] == name) for name in tables}
    return Summary(out, len(files), rows, time.perf_counter() - began, time.process_time() - began_cpu)


def _clear(folder: Path) -> None:
    """Empty a folder that an earlier simulation wrote; refuse to touch anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.iterdir())
    for path in found:
        if not OURS.fullmatch(path.name):
            raise ShoalError(
                f"folder {folder} holds {path.name}, which no simulation wrote: name another folder"
            )
    for path in found:
        path.unlink()
