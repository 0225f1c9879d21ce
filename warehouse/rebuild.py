"""Make the warehouse again from what is truth: the landed files with their ledger, and the history.

The warehouse is derived. Leg 1 comes from landing, ``ml.*`` from ``history/ml``, published days from
``history/bi``. What an unpublished day had in ``bi`` is made again by building that day.
"""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import duckdb

import warehouse
from cli import console
from settings import ShopPaths
from warehouse import steps
from warehouse.build import before_rebuild, build_bi_locked, build_core_locked, choose_split

PREDICTIONS = ("user_scores", "user_segments", "segment_definitions")
"""What ``python -m ml score`` keeps in ``history/ml/<table>/<as_of_date>/<run_id>.parquet``."""


def rebuild(paths: ShopPaths, as_of: date | None = None) -> None:
    """Delete the warehouse and build it anew as of a day, by default the newest published one.

    The old file is put aside, with the notes of the steps that it holds, and both come back if anything
    fails. After a kill they still lie aside: the next rebuild keeps them until one succeeds.
    """
    split = choose_split(paths, as_of or paths.last_published)
    aside, notes = before_rebuild(paths), steps.journal_file(paths)
    with warehouse.lock(paths, f"rebuild as of {split.as_of_date}"):
        if not aside.exists() and notes.exists():
            shutil.copyfile(notes, _kept(notes))
        _put_aside(paths.warehouse, aside)
        try:
            build_core_locked(paths, split)
            with warehouse.open_locked(paths) as connection:
                rows = _load_predictions(connection, paths)
            console.print(f"took {rows} predictions back from {paths.history / 'ml'}")
            build_bi_locked(paths, split)
        except BaseException:
            if aside.exists() and _kept(notes).exists():
                _kept(notes).replace(notes)
            _put_back(aside, paths.warehouse)
            raise
        _remove(aside)
        _kept(notes).unlink(missing_ok=True)


def _kept(notes: Path) -> Path:
    return notes.with_suffix(".before_rebuild")


def _put_aside(file: Path, aside: Path) -> None:
    if aside.exists():
        _remove(file)
    elif file.exists():
        # The write-ahead log first: a kill in between leaves a whole file that lacks its newest rows, as
        # after any lost log, and not a log that is read into another file.
        for part in (_log(file), file):
            if part.exists():
                part.rename(aside if part == file else _log(aside))


def _put_back(aside: Path, file: Path) -> None:
    if aside.exists():
        _remove(file)
        for part, target in ((_log(aside), _log(file)), (aside, file)):
            if part.exists():
                part.rename(target)


def _remove(file: Path) -> None:
    for part in (_log(file), file):
        part.unlink(missing_ok=True)


def _log(file: Path) -> Path:
    return file.with_name(f"{file.name}.wal")


def _load_predictions(connection: duckdb.DuckDBPyConnection, paths: ShopPaths) -> int:
    """Load what was predicted for every as_of_date by the last run that scored it; return the rows."""
    runs = _last_runs(connection, paths)
    total = 0
    for table in PREDICTIONS:
        files = [str(paths.history / "ml" / table / day / f"{run}.parquet") for day, run in runs.items()]
        if files:
            total += connection.execute(
                f"insert into ml.{table} by name select * from read_parquet(?, union_by_name = true)",  # noqa: S608
                [files],
            ).fetchall()[0][0]
    return total


def _last_runs(connection: duckdb.DuckDBPyConnection, paths: ShopPaths) -> dict[str, str]:
    """Return, by as_of_date, the run that scored last of those that kept all their tables."""
    found: dict[str, tuple[object, str]] = {}
    for file in sorted((paths.history / "ml" / "user_segments").glob("*/*.parquet")):
        day, run = file.parent.name, file.stem
        if any(not (paths.history / "ml" / table / day / file.name).exists() for table in PREDICTIONS):
            continue
        query = "select max(scored_at) from read_parquet(?)"
        ((scored_at,),) = connection.execute(query, [str(file)]).fetchall()
        if scored_at is not None and (day not in found or (scored_at, run) > found[day]):
            found[day] = (scored_at, run)
    return {day: run for day, (_, run) in found.items()}
