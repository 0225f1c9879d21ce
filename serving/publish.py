"""Build a version aside, check it, and put it in force.

The working warehouse is read once, briefly, under its lock: the new snapshot, the tables known
as of now, the ledgers. Everything else comes from ``history/``. A kill at any point leaves the
version in force as it was; the next publish sweeps up.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

import journal
import settings
import warehouse
from cli import GateStoppedError, ShoalError
from landing.ledger import LedgerFile
from serving import checks, comparisons, descriptions, facts, groups, operations, provenance, versions
from serving.content import combined, content_hash
from serving.tables import BI_TABLES, CURRENT, FACT_TABLES, FACTS, VERSIONS, quoted
from settings import ShopPaths
from warehouse import steps

KEPT_SNAPSHOTS = 90
"""Older days stay as Parquet; three months are what a dashboard compares."""

EXPECTED_SCHEMES = ("rfm", "lifecycle", "behaviour", "value")

PUBLISHED_VERSION = {
    "version": "VARCHAR",
    "as_of_date": "DATE",
    "published_at": "TIMESTAMP",
    "run_id": "VARCHAR",
    "is_pinned": "BOOLEAN",
    "degraded_because": "VARCHAR",
    "user_count": "BIGINT",
    "row_counts": "VARCHAR",
}


@dataclass
class Outcome:
    """Say what a publish did."""

    version: str
    as_of_date: date
    is_new: bool = True
    is_in_force: bool = True
    user_count: int = 0
    row_counts: dict[str, int] = field(default_factory=dict)
    differences: list[facts.Difference] = field(default_factory=list)
    """What the warehouse would now say otherwise of the as_of_date, which stays as it was published."""
    decided_since: list[LedgerFile] = field(default_factory=list)
    """The deliveries, dated on or before it, that its rows do not know."""
    restated: list[str] = field(default_factory=list)
    """Tables of the as_of_date that now say something else."""
    compared_anew: list[date] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    """Files that it goes without."""
    degraded_because: str | None = None
    pruned: list[str] = field(default_factory=list)

    @property
    def kept_as_published(self) -> list[str]:
        """The tables of the as_of_date that stay, though the warehouse would say something else."""
        return [difference.table for difference in self.differences]


def publish(
    paths: ShopPaths, as_of: date, rules_only: bool = False, restated_because: str | None = None
) -> Outcome:
    """Publish the snapshot of an as_of_date and all published before it.

    Publishing a date again changes nothing: its rows are facts. If what the warehouse computes for
    it differs now, the outcome names the rows and the deliveries that did it, and the published rows stay.

    Parameters
    ----------
    rules_only
        Publish also when nothing has been predicted for this date, for good.
    restated_because
        Why a published date is told anew, as the warehouse has just computed it: for :mod:`serving.restate`.

    Raises
    ------
    GateStoppedError
        When a check fails; the version in force stays, and the message says what is wrong.
    ShoalError
        When the warehouse does not hold the tables, or no prediction of this date.
    """
    started_at = journal.now()
    with versions.lock(paths), versions.started(paths) as (name, building):
        facts.recover(paths)
        with _open(building) as connection:
            outcome = _copy_from_warehouse(connection, paths, Outcome(name, as_of), restated_because)
            if outcome.differences:
                outcome.decided_since = provenance.decided_since(paths, as_of)
            if not rules_only:
                _require_predictions(connection, paths, as_of)
            days = _shown_days(paths, as_of)
            outcome.compared_anew = comparisons.collect(connection, paths, as_of)
            anew = {*outcome.compared_anew, *([as_of] if outcome.restated else [])}
            _add_history(connection, paths, days, outcome)
            _add_current(connection)
            hashes = _hashes(connection, paths, days, anew)
            _describe(connection, outcome)
            run = _run_record(connection, paths, outcome, started_at, hashes)
            notes = _notes(paths, outcome, run, restated_because)
            _add_operations(connection, paths, outcome, run, notes, building)
            descriptions.write(connection, "published")
            _check(connection, as_of)
            _keep_facts(connection, paths, as_of, notes)
            groups.release(connection, paths, as_of, name)
            same = _unchanged(paths, hashes, outcome)
            if same is None:
                _write_parquet(connection, paths, building)
                groups.write_database(connection, paths, building)
        if same is not None:
            shutil.rmtree(building)
            return _stay(paths, same, outcome, run)
        version = versions.finish(paths, building, _manifest(outcome, run, hashes))
        return _put_in_force(paths, version, outcome, run)


@contextmanager
def _open(building: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    try:
        connection.execute("set TimeZone = 'UTC'")
        path = str(building / versions.DATABASE).replace("'", "''")
        # Drivers of BI tools bundle DuckDB 1.x; it reads files of this storage version.
        connection.execute(f"attach '{path}' as published (storage_version 'v1.0.0')")
        connection.execute("create schema published.bi")
        connection.execute("create schema published.ops")
        yield connection
        connection.execute("detach published")
    finally:
        connection.close()


def _copy_from_warehouse(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, outcome: Outcome, restated_because: str | None
) -> Outcome:
    """Copy what only the warehouse knows; say which published tables it would now compute otherwise."""
    as_of = outcome.as_of_date
    if not paths.warehouse.exists():
        raise ShoalError(f"no warehouse {paths.warehouse}: run python -m warehouse build core, then build bi")
    is_published = facts.folder(paths, as_of).exists()
    with warehouse.lock(paths, "serving publish: copy"):
        path = str(paths.warehouse).replace("'", "''")
        with warehouse.explained(paths):
            connection.execute(f"attach '{path}' as working (read_only)")
        try:
            _require_tables(connection)
            steps.require(connection, paths, "build bi", as_of, "working.ops")
            _require_published(connection, paths, as_of, restated_because is not None)
            _require_newest_published(paths, as_of)
            for table in BI_TABLES:
                is_wanted = table.kind not in (FACTS, CURRENT, VERSIONS)
                name = quoted(table.name)
                connection.execute(
                    f"create table published.bi.{name} as select * from working.bi.{name} "  # noqa: S608
                    f"where ? order by {', '.join(map(quoted, table.key))}",
                    [is_wanted],
                )
            if is_published and restated_because:
                _require_built_last(paths, as_of)
                outcome.restated = facts.contradictions(connection, paths, "working", as_of)
            elif is_published:
                outcome.differences = facts.differences(connection, paths, "working", as_of)
            if not is_published or outcome.restated:
                _copy_snapshot(connection, as_of)
            is_as_said = is_published and not outcome.restated
            comparisons.copy_stays(connection, paths, "working", as_of, is_as_said)
            operations.create_ledgers(connection, "working", "published")
            outcome.lacking = operations.lacking_files(connection, "working", as_of)
            return outcome
        finally:
            connection.execute("detach working")


def _require_tables(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute(
        "select table_name from information_schema.tables "
        "where table_catalog = 'working' and table_schema = 'bi'"
    ).fetchall()
    missing = [table.name for table in BI_TABLES if (table.name,) not in rows]
    if missing:
        raise ShoalError(
            f"the warehouse has no bi.{', bi.'.join(missing)}: run python -m warehouse build bi first"
        )


def _require_built_last(paths: ShopPaths, as_of: date) -> None:
    """Refuse to restate from a leg 2 of another day: there, a published day says what was published."""
    built = steps.last(paths, "build bi")
    if built is not None and built["as_of_date"] != as_of.isoformat():
        raise ShoalError(
            f"leg 2 of {built['as_of_date']} was built while {as_of} was restated (a run beside it?), so "
            "nothing was restated: run the same command again"
        )


def _require_published(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date, is_restating: bool
) -> None:
    """Refuse histories that were told with rows of a day that are not published, and will not be now."""
    begun = steps.last(paths, "begin bi")
    if begun is None:
        return
    day, is_restated = date.fromisoformat(begun["as_of_date"]), begun["is_restating"]
    if day == as_of and (is_restating or not is_restated):
        return
    if not facts.folder(paths, day).exists():
        told = f"tells of {day}, which was never published"
    elif is_restated and facts.contradictions(connection, paths, "working", day):
        told = f"tells {day} otherwise than it is published, by a restatement that was given up"
    else:
        return
    raise ShoalError(f"the warehouse {told}, and so do its histories: run {_both_legs(paths, as_of)}")


def _require_newest_published(paths: ShopPaths, as_of: date) -> None:
    """Refuse tables without an as_of_date that were told by a day, or a restatement, which is not published.

    A build of an older day leaves them as they are, whoever told them.
    """
    told = steps.last(paths, "tell newest")
    if told is None or (day := date.fromisoformat(told["as_of_date"])) == as_of:
        return
    published = facts.days(paths)
    if day not in published:
        reason = "which was never published"
    elif told.get("is_restating"):
        reason = "by a restatement that was given up"
    else:
        return
    again = dict.fromkeys([*published[-1:], as_of])
    raise ShoalError(
        f"funnel, cohorts and journeys in the warehouse tell of {day}, {reason}: "
        f"run {', then '.join(_both_legs(paths, day) for day in again)}"
    )


def _both_legs(paths: ShopPaths, as_of: date) -> str:
    of_day = f"--shop {paths.shop} --as-of {as_of}"
    return f"python -m warehouse build core {of_day}, then python -m warehouse build bi {of_day}"


def _copy_snapshot(connection: duckdb.DuckDBPyConnection, as_of: date) -> None:
    for table in FACT_TABLES:
        name = quoted(table.name)
        connection.execute(
            f"insert into published.bi.{name} select * from working.bi.{name} where as_of_date = ? "  # noqa: S608
            f"order by {', '.join(map(quoted, table.key))}",
            [as_of],
        )


def _require_predictions(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date) -> None:
    """Refuse to make a day without predictions a fact: what is published is said for good."""
    counts = connection.execute(
        """
        select
            (select count(*) from published.bi.user_segment_daily where as_of_date = $as_of),
            (select count(model_version) from published.bi.user_segment_daily where as_of_date = $as_of)
            + (select count(*) from published.bi.user_score_daily where as_of_date = $as_of)
        """,
        {"as_of": as_of},
    ).fetchone()
    users, predictions = counts or (0, 0)
    if users and not predictions and not facts.folder(paths, as_of).exists():
        raise ShoalError(
            f"nothing has been predicted as of {as_of}, and what is published of a day stays: run "
            f"python -m ml score --shop {paths.shop} --as-of {as_of}, build bi again, or publish --rules-only"
        )


def _shown_days(paths: ShopPaths, as_of: date) -> list[date]:
    """Return the last 90 snapshots and the one to publish, which a backfill may take from further back."""
    return sorted({*sorted({*facts.days(paths), as_of})[-KEPT_SNAPSHOTS:], as_of})


def _add_history(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, days: list[date], outcome: Outcome
) -> None:
    as_said = [day for day in days if not (outcome.restated and day == outcome.as_of_date)]
    for table in FACT_TABLES:
        anew = outcome.compared_anew if table.name == facts.COMPARED else []
        for day in (day for day in anew if day in days):
            connection.execute(
                f"insert into published.bi.{quoted(table.name)} by name "  # noqa: S608
                f"select * from {comparisons.TABLE} where as_of_date = ?",
                [day],
            )
        if found := facts.files(paths, table.name, [day for day in as_said if day not in anew]):
            # The files are sorted, and so are their rows.
            connection.execute(
                f"insert into published.bi.{quoted(table.name)} by name "  # noqa: S608
                "select * from read_parquet(?, union_by_name = true)",
                [found],
            )


def _add_current(connection: duckdb.DuckDBPyConnection) -> None:
    columns = ", ".join(quoted(name) for name in _columns(connection, "user_segment_current"))
    connection.execute(f"""
        insert into published.bi.user_segment_current by name
        select {columns} from published.bi.user_segment_daily
        where as_of_date = (select max(as_of_date) from published.bi.user_segment_daily)
        order by user_key, scheme
    """)  # noqa: S608


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    rows = connection.execute(
        "select column_name from duckdb_columns() where database_name = 'published' and schema_name = 'bi' "
        "and table_name = ? order by column_index",
        [table],
    ).fetchall()
    return [name for (name,) in rows]


def _hashes(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, days: list[date], anew: set[date]
) -> dict[str, str]:
    """Return the content hash of every table; of facts only the days that are new or told anew are read."""
    said_before = [day for day in days if day not in anew and facts.folder(paths, day).exists()]
    by_day = [facts.hashes(connection, paths, day) for day in said_before]
    found = {}
    for table in BI_TABLES:
        name = f"published.bi.{quoted(table.name)}"
        if table.kind == FACTS:
            new = [
                content_hash(connection, name, "as_of_date = ?", [day])
                for day in days
                if day not in said_before
            ]
            found[table.name] = combined([*(day[table.name] for day in by_day if table.name in day), *new])
        elif table.kind != VERSIONS:
            found[table.name] = content_hash(connection, name)
    return found


def _describe(connection: duckdb.DuckDBPyConnection, outcome: Outcome) -> None:
    for table in BI_TABLES:
        row = connection.execute(f"select count(*) from published.bi.{quoted(table.name)}").fetchone()  # noqa: S608
        outcome.row_counts[table.name] = row[0] if row else 0
    counted = connection.execute(
        "select scheme, count(*) from published.bi.user_segment_daily where as_of_date = ? group by scheme",
        [outcome.as_of_date],
    ).fetchall()
    outcome.user_count = max((users for _, users in counted), default=0)
    absent = [scheme for scheme in EXPECTED_SCHEMES if scheme not in dict(counted)]
    because = [f"no scheme {', '.join(absent)}"] if absent else []
    outcome.degraded_because = "; ".join([*because, *outcome.lacking]) or None


def _run_record(
    connection: duckdb.DuckDBPyConnection,
    paths: ShopPaths,
    outcome: Outcome,
    started_at: str,
    hashes: dict[str, str],
) -> journal.Record:
    """Return the row of ``ops.run_manifest`` that ties what is published to what made it."""
    return {
        "run_id": settings.run_id() or f"manual-{outcome.version}",
        "dag_run_id": settings.dag_run_id(),
        "shop": paths.shop,
        "stage": "serving restate" if outcome.restated else "serving publish",
        "as_of_date": outcome.as_of_date.isoformat(),
        "started_at": started_at,
        "finished_at": journal.now(),
        "code_version": code_version(),
        "outputs": hashes,
        **provenance.trace(connection, paths, outcome.as_of_date),
    }


def _notes(
    paths: ShopPaths, outcome: Outcome, run: journal.Record, restated_because: str | None
) -> list[journal.Record]:
    """Return one record of ``ops.restatement`` per day that is told anew."""
    day = outcome.as_of_date
    said = {
        "restated_at": run["finished_at"],
        "run_id": run["run_id"],
        "version": outcome.version,
        "because_of": day.isoformat(),
        "reason": restated_because or f"{day} was published before it",
    }
    tables = {each: [facts.COMPARED] for each in outcome.compared_anew}
    if outcome.restated:
        tables[day] = outcome.restated
    kept_in = {each: facts.earlier_folder(paths, each, outcome.version) for each in tables}
    return [
        {
            "as_of_date": each.isoformat(),
            "tables": tables[each],
            "kept_in": kept_in[each].relative_to(paths.root).as_posix(),
            **said,
        }
        for each in sorted(tables)
    ]


def _keep_facts(
    connection: duckdb.DuckDBPyConnection, paths: ShopPaths, as_of: date, notes: list[journal.Record]
) -> None:
    facts.keep(connection, paths, "published", as_of)
    for note in notes:
        day = date.fromisoformat(note["as_of_date"])
        if day == as_of:
            facts.restate(connection, paths, "published", day, note)
        else:
            facts.compare_anew(connection, paths, comparisons.TABLE, day, note)


def code_version() -> str | None:
    """Return the commit of this checkout, or None where there is no git."""
    command = ["git", "-C", str(settings.ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _add_operations(
    connection: duckdb.DuckDBPyConnection,
    paths: ShopPaths,
    outcome: Outcome,
    run: journal.Record,
    notes: list[journal.Record],
    scratch: Path,
) -> None:
    operations.create_journals(connection, paths, "published", scratch)
    operations.create_restatements(connection, "published", [*facts.restatements(paths), *notes], scratch)
    # This run is part of what it publishes, so that its run_id can be looked up there.
    own = {**run, "status": "published", "version": outcome.version}
    operations.load(
        connection, "published.ops.run_manifest", operations.JOURNALS["run_manifest"], [own], scratch
    )
    before = _published_before(paths)
    outcome.row_counts["published_version"] = len(before) + 1
    records = [*before, _published_record(outcome, run)]
    pin = versions.pinned(paths)
    for record in records:
        record["is_pinned"] = record["version"] == pin
    operations.load(connection, "published.bi.published_version", PUBLISHED_VERSION, records, scratch)


def _published_before(paths: ShopPaths) -> list[journal.Record]:
    records = journal.read(paths.ops / "published_version.jsonl")
    return [dict(record) for record in records if record["event"] == "published"]


def _published_record(outcome: Outcome, run: journal.Record) -> journal.Record:
    return {
        "event": "published",
        "version": outcome.version,
        "as_of_date": outcome.as_of_date.isoformat(),
        "published_at": run["finished_at"],
        "run_id": run["run_id"],
        "degraded_because": outcome.degraded_because,
        "user_count": outcome.user_count,
        "row_counts": outcome.row_counts,
    }


def _check(connection: duckdb.DuckDBPyConnection, as_of: date) -> None:
    if failures := checks.failures(connection, "published", as_of):
        raise GateStoppedError("nothing was published: " + "; ".join(failures))


def _write_parquet(connection: duckdb.DuckDBPyConnection, paths: ShopPaths, building: Path) -> None:
    """Write one Parquet file per table; of facts one per day, the very files of the history."""
    for table in BI_TABLES:
        target = building / "parquet" / table.name
        target.mkdir(parents=True)
        if table.kind != FACTS:
            path = str(target / f"{table.name}.parquet").replace("'", "''")
            connection.execute(
                f"copy published.bi.{quoted(table.name)} to '{path}' (format parquet, compression zstd)"
            )
            continue
        for day in facts.days(paths):
            for file in facts.files(paths, table.name, [day]):
                os.link(file, target / f"{day.isoformat()}.parquet")


def _manifest(outcome: Outcome, run: journal.Record, hashes: dict[str, str]) -> dict[str, Any]:
    return {**_published_record(outcome, run), "shop": run["shop"], "content_hashes": hashes}


def _unchanged(paths: ShopPaths, hashes: dict[str, str], outcome: Outcome) -> versions.Version | None:
    """Return the newest version if it says the same, row for row, and lacks the same."""
    for version in versions.versions(paths)[-1:]:
        lacks_the_same = version.manifest.get("degraded_because") == outcome.degraded_because
        if version.manifest["content_hashes"] == hashes and lacks_the_same:
            return version
    return None


def _stay(paths: ShopPaths, same: versions.Version, outcome: Outcome, run: journal.Record) -> Outcome:
    outcome.version, outcome.is_new = same.name, False
    return _put_in_force(paths, same, outcome, run)


def _put_in_force(
    paths: ShopPaths, version: versions.Version, outcome: Outcome, run: journal.Record
) -> Outcome:
    if versions.pinned(paths) is None:
        versions.swap(paths, version.name)
    else:
        outcome.is_in_force = False
    known = {record["version"] for record in _published_before(paths)}
    # A kill between swap and journal left a version that the journal does not know yet.
    if version.name not in known:
        record = {key: value for key, value in version.manifest.items() if key != "content_hashes"}
        journal.append(paths.ops / "published_version.jsonl", [record])
    status = "published" if outcome.is_new else "unchanged"
    finished = {**run, "status": status, "version": version.name, "finished_at": journal.now()}
    journal.append(paths.ops / "run_manifest.jsonl", [finished])
    outcome.pruned = versions.prune(paths)
    return outcome


def age(moment: datetime) -> str:
    """Say how long ago something was, in the unit a person would use.

    Examples
    --------
    >>> from datetime import timedelta
    >>> age(datetime.now(UTC) - timedelta(minutes=5, seconds=1))
    '5 minutes ago'
    """
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} seconds ago"
