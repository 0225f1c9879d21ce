"""Build a leg: follow the ledger, run dbt, note what was processed, hand out the snapshot."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import journal
import settings
import warehouse
from cli import ShoalError, UsageError, console
from landing import empty, ledger, shops
from settings import ShopPaths
from warehouse import dbt, follow, horizon, ops, snapshot, steps
from warehouse.horizon import Split
from warehouse.snapshot import Snapshot

if TYPE_CHECKING:
    import duckdb


def choose_split(paths: ShopPaths, as_of: date | None) -> Split:
    """Choose as_of_date and cuts from the ledger.

    Raises
    ------
    ShoalError
        When no day is complete yet, or the as_of_date lies before the first one or after every delivery.
    """
    first_day, last_day = ledger.first_day(paths.shop), ledger.latest_complete_day(paths.shop)
    if first_day is None or last_day is None:
        raise ShoalError(
            f"shop {paths.shop} has no complete day yet: "
            f"run `python -m landing receive <folder> --shop {paths.shop}` first"
        )
    as_of = as_of or last_day
    if as_of < first_day:
        raise UsageError(
            f"as of {as_of} nothing is known: the first complete day of {paths.shop} is {first_day}"
        )
    # Later than the latest complete day: what a published day rests on may have been withdrawn since.
    if as_of > max(last_day, ledger.last_delivery(paths) or last_day):
        raise UsageError(
            f"as of {as_of} nothing is known yet: the latest complete day of {paths.shop} is {last_day}"
        )
    return horizon.choose(first_day, as_of)


def build_core(paths: ShopPaths, as_of: date | None = None, full_refresh: bool = False) -> Snapshot:
    """Build leg 1 and export its snapshot; a killed or failed build is repaired by building again."""
    split = choose_split(paths, as_of)
    with warehouse.lock(paths, f"build core as of {split.as_of_date}"):
        return build_core_locked(paths, split, full_refresh)


def build_core_locked(paths: ShopPaths, split: Split, full_refresh: bool = False) -> Snapshot:
    """Build leg 1 for a caller that holds the warehouse lock."""
    console.print(str(split))
    digest = dbt.models_digest(shaping(paths))
    with warehouse.open_locked(paths) as connection:
        empty.write(paths)
        ops.create(connection)
        read_at = journal.now()
        follow.load_ledger(connection, paths)
        touched = follow.note_touched(connection)
        built_by = follow.last_models_digest(connection)
        is_outdated = built_by is not None and built_by != digest
        if full_refresh or is_outdated:
            follow.forget_built(connection)
        start = follow.start_from(connection, split)
    if is_outdated:
        console.print("the models or the shop's settings have changed: building everything anew")
    console.print(f"following {touched} new or changed files")
    with console.status("building the core: cleaning, merging, measuring"):
        dbt.build(paths, "core", variables(paths, split) | start.variables, full_refresh or is_outdated)
    with warehouse.open_locked(paths) as connection:
        follow.mark_processed(connection, digest, split.as_of_dates)
        steps.note(connection, paths, "build core", split.as_of_date, ledger_read_at=read_at)
        written = snapshot.export(connection, paths, split)
    rows = ", ".join(f"{table['rows']} {name}" for name, table in written.manifest["tables"].items())
    console.print(f"snapshot {written.manifest['digest']}: {rows}")
    return written


def before_rebuild(paths: ShopPaths) -> Path:
    """Say where a rebuild puts the old warehouse until it has succeeded."""
    return paths.warehouse.with_name("warehouse.before_rebuild.duckdb")


def build_bi(paths: ShopPaths, as_of: date | None = None, is_restating: bool = False) -> None:
    """Build leg 2: what BI reads, from leg 1's tables and the predictions.

    Parameters
    ----------
    is_restating
        Compute a published as_of_date anew. This changes nothing that is published, and lasts until the
        next build: see :mod:`serving.restate`.

    Raises
    ------
    ShoalError
        When leg 1 of the date was never built to its end, the warehouse has lost it or the predictions since
        they were made, or a rebuild was broken off.
    """
    split = choose_split(paths, as_of)
    with warehouse.lock(paths, f"build bi as of {split.as_of_date}"):
        if (old := before_rebuild(paths)).exists():
            raise ShoalError(
                f"a rebuild of {paths.warehouse} was broken off, and {old} still lies beside it: "
                f"run python -m warehouse rebuild --shop {paths.shop} again"
            )
        build_bi_locked(paths, split, is_restating)


def build_bi_locked(paths: ShopPaths, split: Split, is_restating: bool = False) -> None:
    """Build leg 2 for a caller that holds the warehouse lock."""
    day = split.as_of_date
    if not steps.done(paths, "build core", day):
        raise ShoalError(
            f"leg 1 of {day} was never built to its end in {paths.warehouse}: "
            f"run python -m {steps.COMMANDS['build core']} --shop {paths.shop} --as-of {day} first"
        )
    with warehouse.open_locked(paths) as connection:
        for step in ("build core", "score"):
            steps.require(connection, paths, step, split.as_of_date)
        is_overtaken = _is_overtaken(connection, split.as_of_date)
    if is_overtaken:
        # A backfill beside it. What has no as_of_date is told by the newest day, and from leg 1 alone.
        console.print(f"leg 1 was built for another day meanwhile: building that of {split.as_of_date} again")
        build_core_locked(paths, split)
    with warehouse.open_locked(paths) as connection:
        ops.create(connection)
        ops.load_journals(connection, paths)
        steps.note(connection, paths, "begin bi", split.as_of_date, is_restating=is_restating)
        if _is_newest(connection, paths, split.as_of_date):
            steps.note(connection, paths, "tell newest", split.as_of_date, is_restating=is_restating)
    with console.status("building what BI reads"):
        dbt.build(paths, "bi", variables(paths, split) | {"is_restating": is_restating})
    with warehouse.open_locked(paths) as connection:
        steps.note(connection, paths, "build bi", split.as_of_date, dbt_invocation_id=_invocation_id(paths))


def _is_overtaken(connection: duckdb.DuckDBPyConnection, as_of: date) -> bool:
    """Return whether leg 1 was built for another day after this one, the newest that is scored."""
    (found,) = connection.execute(
        "select not exists (select 1 from intermediate.int_users_eligible where as_of_date = ?) "
        "and not exists (select 1 from ml.user_segments where as_of_date > ?)",
        [as_of, as_of],
    ).fetchall()
    return bool(found[0])


def _is_newest(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date) -> bool:
    """Return whether leg 2 will write the tables without an as_of_date: `is_newest_snapshot` in dbt."""
    query = "select exists (select 1 from intermediate.int_users_eligible where as_of_date = ?)"
    (found,) = connection.execute(query, [as_of]).fetchall()
    return bool(found[0]) and as_of >= (paths.last_published or as_of)


def _invocation_id(paths: ShopPaths) -> str | None:
    """Return dbt's name for what it ran last: for who holds the warehouse lock since it ran."""
    try:
        results = json.loads((paths.ops / "dbt" / "target" / "run_results.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return str(results["metadata"]["invocation_id"])


def run_id() -> str:
    """Return the run handed down by the DAG, or a new one for a typed command."""
    return settings.run_id() or f"manual-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"


def variables(paths: ShopPaths, split: Split) -> dict[str, Any]:
    """Return the dbt variables of one build."""
    return shaping(paths) | {
        "landing_dir": str(paths.landing),
        "run_id": run_id(),
        "as_of_date": str(split.as_of_date),
        "as_of_dates": [str(day) for day in split.as_of_dates],
        "train_cut": split.train_cut and str(split.train_cut),
        "test_cut": split.test_cut and str(split.test_cut),
        "horizon_days": split.horizon_days,
    }


def shaping(paths: ShopPaths) -> dict[str, Any]:
    """Return the settings that shape every row, so that changing one asks for a full build."""
    shop = shops.load(paths.shop)
    whole = sorted(table for table in shop.delivered_tables if shop.delivery(table) == "snapshot")
    return {
        "shop": paths.shop,
        "time_zone": shop.time_zone,
        "currency": shop.currency,
        "snapshot_tables": whole,
    }
