"""``python -m serving``: publish, go back, look, ask.

Every verb imports what it needs when it is called: a query must start fast.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from cli import ShoalError, UsageError, add_as_of, add_shop, main
from settings import ShopPaths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from landing.ledger import LedgerFile
    from serving.publish import Outcome


FILES_SHOWN = 5
"""Deliveries named when a published day would be otherwise."""

PLAIN = argparse.RawDescriptionHelpFormatter

MANUAL = """\
What goes out: published versions, each a whole of all tables that BI reads. Readers always see one
version; a publish builds the next aside, checks it, and swaps.
"""

EXAMPLES = """\
examples:
  python -m serving query "select segment_name_en, users from segment_profile_daily"
  python -m serving query --format csv "select * from user_segment_current" > segments.csv
  python -m serving as-of 2026-05-01 --scheme behaviour
  python -m serving rollback --to 20260504T061502000000 && python -m serving release
  python -m serving export xlsx --table segment_profile_daily --out segments.xlsx
  python -m serving restate 2026-05-01 --reason "the till of 30 April was delivered late"

exit codes: 0 done · 1 failed · 2 wrong usage · 3 a check stopped it, and nothing was published
"""

MANUALS = {
    "publish": """\
Builds a version with the snapshot of an as_of_date and all published before it, checks it, and puts
it in force. `python -m warehouse build bi` comes first.

What was published of a day stays: publishing it again changes nothing but run ids, and names the
rows that the warehouse would now fill otherwise, and the deliveries that did it. A day before
"current" never moves it back. While a version is pinned, the new one waits for `release`. The last 7
versions are kept.
""",
    "restate": """\
Tells a published day anew, as the warehouse now computes it. Build the core and score as of that day
first. What was said before is kept in history/restated/, and listed in ops.restatement.
""",
    "rollback": """\
Puts an older version in force and pins it: publishes go on building, and none is put in force until
`release`. `versions` lists those on disk.
""",
    "release": "Lifts the pin and puts the newest version in force.\n",
    "versions": "Lists the versions on disk, and which of them is in force or pinned.\n",
    "status": """\
The on-call page: last complete day, version in force and its age, pins, files that wait, are held or
were refused, quarantine, gates, champions. A line that begins with ! has the command that repairs it.
""",
    "trace": """\
Given an MLflow run, lists the models that it registered, and the days and versions in which they spoke.
Given a DAG run or a version, lists what it published and the MLflow runs behind it. It reads ops/ alone,
so it answers while MLflow does not.
""",
    "as-of": """\
Answers from what was published of a past day: its segments, or one user's. Later deliveries, models and
names change nothing of it. A day that was restated says so; --before tells what was said until then.
""",
    "query": """\
Answers one SQL query from the version in force, in DuckDB's dialect; schema bi is the default, ops is
within reach. It reads this version alone: no files, no settings, nothing to write. It waits for no
run. In csv, text that a spreadsheet would run begins with an apostrophe.

  bi.user_segment_current     who is in which segment
  bi.segment_profile_daily    what a segment is worth
  bi.user_score_daily         who will be of high value
  bi.customer_cohort_monthly  what cohorts bring, net of refunds
  bi.funnel_daily             where the funnel loses whom
  bi.published_version        how fresh this is, and what it lacks

`select * from duckdb_columns() where schema_name = 'bi'` lists every column.
""",
    "export": """\
Writes tables of the version in force, all of schema bi unless --table names some, and logs it in
ops.export_log. Group-level tables fold groups of fewer than 10 users into _other: they are for the
analysts' workplace. --groups writes what may leave the company instead: segments by week, users rounded
to 5 and money to three digits, no figure that a handful of users has changed, and no user.

  parquet    one file per table
  csv        UTF-8 as Excel reads it; text that a spreadsheet would run begins with an apostrophe
  xlsx       one workbook per table, its texts as texts; at most 1,048,575 rows
  postgres   fills schema bi of a database: copied aside, put in its place in one transaction, so readers
             see one whole version. Its address is SHOAL_POSTGRES, else data/<shop>/secrets/postgres
             (mode 0600), else libpq's variables (PGHOST …); it is never typed.
""",
    "dashboard": """\
Serves the dashboard of all shops on 127.0.0.1, behind the log-in of Airflow and MLflow, until it is
stopped. `make up` starts it in the background.
""",
}


def parser() -> argparse.ArgumentParser:
    """Return the manual of this room."""
    root = argparse.ArgumentParser(
        "python -m serving", description=MANUAL, epilog=EXAMPLES, formatter_class=PLAIN
    )
    verbs = root.add_subparsers(required=True, metavar="verb")
    publish = _verb(verbs, "publish", _publish, "build a version, check it and put it in force")
    add_as_of(publish)
    publish.add_argument(
        "--rules-only",
        action="store_true",
        help="publish a day for which nothing has been predicted, for good",
    )
    restate = _verb(
        verbs,
        "restate",
        _restate,
        "tell a published day anew, as the warehouse now computes it; keeps what was said before",
    )
    restate.add_argument("as_of", type=date.fromisoformat, metavar="YYYY-MM-DD", help="the published day")
    restate.add_argument("--reason", required=True, help="why; kept with the day, shown in ops.restatement")
    back = _verb(verbs, "rollback", _rollback, "put an older version in force and pin it")
    back.add_argument("--to", metavar="VERSION", help="which one (default: the one before)")
    _verb(verbs, "release", _release, "lift the pin and put the newest version in force")
    _verb(verbs, "versions", _versions, "list the versions on disk")
    _verb(
        verbs,
        "status",
        _status,
        "the on-call page: what is published, what stands in the way, how to repair it",
    )
    trace = _verb(
        verbs,
        "trace",
        _trace,
        "follow an MLflow run to the days that it spoke on, and a version or DAG run to its models",
    )
    trace.add_argument("id", help="an MLflow run (its first letters will do), a DAG run, or a version")
    as_of = _verb(verbs, "as-of", _as_of, "the segments of a past day, as they were published then")
    as_of.add_argument("day", type=date.fromisoformat, metavar="YYYY-MM-DD", help="the published day")
    as_of.add_argument("--scheme", help="of one scheme (default: all)")
    as_of.add_argument("--user", metavar="USER_KEY", help="where this user was, instead of all segments")
    as_of.add_argument("--before", metavar="VERSION", help="what was said until this version restated it")
    as_of.add_argument("--format", choices=("table", "csv", "json"), default="table")
    query = _verb(
        verbs, "query", _query, "answer one SQL query from the version in force; schema bi is the default"
    )
    query.add_argument("--format", choices=("table", "csv", "json"), default="table")
    query.add_argument("sql", help='such as "select * from segment_profile_daily"')
    export = _verb(verbs, "export", _export, "write tables as Parquet, CSV or XLSX, or into a Postgres")
    export.add_argument("form", choices=("parquet", "csv", "xlsx", "postgres"))
    export.add_argument("--table", action="append", default=[], help="a table of schema bi; may be repeated")
    export.add_argument("--groups", action="store_true", help="what may leave the company, coarse")
    export.add_argument(
        "--out", type=Path, help="a folder, or for one table a file (default: exports/<version> of the shop)"
    )
    dashboard = _verb(verbs, "dashboard", _dashboard, "serve the dashboard on 127.0.0.1")
    dashboard.add_argument("--port", type=int, help="default: SHOAL_DASHBOARD_PORT, else 8501")
    return root


def _verb(verbs: argparse._SubParsersAction, name: str, act: object, text: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=MANUALS[name], formatter_class=PLAIN
    )
    add_shop(verb)
    verb.set_defaults(act=act)
    return verb


def _paths(arguments: argparse.Namespace) -> ShopPaths:
    return ShopPaths(arguments.shop)


def _publish(arguments: argparse.Namespace) -> None:
    from cli import console
    from landing import ledger
    from serving.publish import publish

    as_of = arguments.as_of or ledger.latest_complete_day(arguments.shop)
    if as_of is None:
        raise ShoalError(
            f"shop {arguments.shop} has no complete day: land its files, or name a date with --as-of"
        )
    with console.status(f"publishing {as_of}"):
        outcome = publish(_paths(arguments), as_of, arguments.rules_only)
    if outcome.differences:
        told = "\n".join(_kept(outcome, arguments.shop))
        console.print(told, style="yellow", markup=False, soft_wrap=True)
    _tell(outcome, arguments.shop)


def _kept(outcome: Outcome, shop: str) -> Iterator[str]:
    """Say which rows of a published day would be otherwise, what did it, and what changes the day."""
    as_of, files = outcome.as_of_date, outcome.decided_since
    yield f"{as_of} has been published and stays as it is, though the warehouse would now give other rows:"
    for difference in outcome.differences:
        yield f"  {difference}"
    if files:
        yield f"of what is dated on or before {as_of}, this was decided since its rows were computed:"
        yield from (f"  {_decision(file)}" for file in files[:FILES_SHOWN])
        if len(files) > FILES_SHOWN:
            yield f"  and {len(files) - FILES_SHOWN:,} more: python -m landing ledger --shop {shop}"
    else:
        yield (
            f"no delivery dated on or before {as_of} did it: none was accepted or withdrawn since its rows "
            "were computed, so the code, a setting, a model or a name has changed"
        )
    yield f'what changes it is python -m serving restate {as_of} --shop {shop} --reason "…"'


def _decision(file: LedgerFile) -> str:
    dated = f"delivered on {file.delivered_on}" if file.delivered_on else "each row on its own day"
    landed = "" if file.landed_at[:19] == file.decided_at[:19] else f", landed {file.landed_at[:19]}"
    tables = ", ".join(file.delivers)
    return f"{file.status} {file.decided_at[:19]}: {file.file_name} ({tables}; {dated}{landed})"


def _restate(arguments: argparse.Namespace) -> None:
    from serving.restate import restate

    outcome = restate(_paths(arguments), arguments.as_of, arguments.reason)
    if outcome.restated:
        print(f"restated {arguments.as_of}: {', '.join(outcome.restated)}; what was said before is kept")
    else:
        print(f"{arguments.as_of} would say the same: nothing to restate")
    _tell(outcome, arguments.shop)


def _tell(outcome: Outcome, shop: str) -> None:
    from cli import console

    as_of = outcome.as_of_date
    if outcome.is_new:
        print(f"published {outcome.version} as of {as_of}: {outcome.user_count:,} users")
    else:
        print(f"nothing changed but run ids: version {outcome.version} stays")
    for day in outcome.compared_anew:
        console.print(f"{day} follows {as_of} now, in days_in_segment and is_new_user; see ops.restatement")
    if outcome.degraded_because:
        console.print(f"degraded: {outcome.degraded_because}", style="yellow")
    if not outcome.is_in_force:
        console.print(
            f"a version is pinned; this one is shown after python -m serving release --shop {shop}",
            style="yellow",
            soft_wrap=True,
        )


def _rollback(arguments: argparse.Namespace) -> None:
    from serving.versions import rollback

    version = rollback(_paths(arguments), arguments.to)
    print(f"{version.name} (as of {version.manifest['as_of_date']}) is in force and pinned until release")


def _release(arguments: argparse.Namespace) -> None:
    from serving.versions import release

    version = release(_paths(arguments))
    print(f"{version.name} (as of {version.manifest['as_of_date']}) is in force; publishes swap again")


def _versions(arguments: argparse.Namespace) -> None:
    from serving.query import print_rows
    from serving.versions import current, pinned, versions

    paths = _paths(arguments)
    in_force, pin = current(paths), pinned(paths)
    rows = [
        (
            version.name,
            version.manifest["as_of_date"],
            f"{version.published_at:%Y-%m-%d %H:%M:%S} UTC",
            version.manifest["user_count"],
            version.manifest["run_id"],
            "pinned" if version.name == pin else "in force" if version == in_force else "",
        )
        for version in versions(paths)
    ]
    print_rows(("version", "as_of_date", "published_at", "users", "run_id", "state"), rows)


def _status(arguments: argparse.Namespace) -> None:
    from serving.status import lines

    print(f"shop {arguments.shop}")
    for line in lines(_paths(arguments)):
        print(f"{'!' if line.repair else ' '} {line.subject}: {line.state}")
        if line.repair:
            print(f"      → {line.repair}")


def _trace(arguments: argparse.Namespace) -> None:
    from serving.provenance import find
    from serving.query import print_rows

    found = find(_paths(arguments), arguments.id)
    for columns, records in (
        (
            ("mlflow_run_id", "model", "model_version", "as_of_date", "data_digest", "dag_run_id"),
            found.models,
        ),
        (("version", "as_of_date", "stage", "status", "run_id", "dag_run_id"), found.publications),
    ):
        print_rows(columns, [tuple(record.get(column) for column in columns) for record in records])


def _as_of(arguments: argparse.Namespace) -> None:
    from cli import console
    from serving import as_of

    paths, day = _paths(arguments), arguments.day
    as_of.answer(paths, day, arguments.scheme, arguments.user, arguments.before, arguments.format)
    for version, reason in as_of.restated_by(paths, day) if arguments.before is None else ():
        console.print(
            f"{day} was told anew by version {version} ({reason}); --before {version} tells what was said "
            "until then",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )


def _query(arguments: argparse.Namespace) -> None:
    from serving.query import answer

    try:
        answer(_paths(arguments), arguments.sql, arguments.format)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()


def _export(arguments: argparse.Namespace) -> None:
    from cli import console
    from serving.export import export
    from serving.query import print_rows

    if arguments.form == "postgres" and arguments.out:
        raise UsageError("--out names a folder; where Postgres is stands in the environment or in a file")
    with console.status(f"exporting as {arguments.form}"):
        done = export(_paths(arguments), arguments.form, arguments.table, arguments.out, arguments.groups)
    rows = [(table.name, table.row_count, table.folded_count, table.left_out_count) for table in done.tables]
    print_rows(("table", "rows", "rows_folded", "rows_left_out"), rows)
    console.print(f"version {done.version} → {done.target}", soft_wrap=True)


def _dashboard(arguments: argparse.Namespace) -> None:
    import settings
    from orchestrate import login
    from serving.dashboard import server

    home = server.home()
    server.serve(
        arguments.port or settings.dashboard_port(),
        login.USER,
        login.password(),
        login.key(home / "cookie.key"),
    )


if __name__ == "__main__":
    main(parser())
