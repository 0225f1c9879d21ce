"""``python -m serving``: publish, go back, look, ask.

Every verb imports what it needs when it is called: a query must start fast.
"""

from __future__ import annotations

import argparse
import sys
from datetime import date
from typing import TYPE_CHECKING

from cli import ShoalError, add_as_of, add_shop, main
from settings import ShopPaths

if TYPE_CHECKING:
    from serving.publish import Outcome


def parser() -> argparse.ArgumentParser:
    """Return the command line of this room."""
    root = argparse.ArgumentParser(prog="python -m serving", description="What goes out: published versions.")
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
    query = _verb(
        verbs, "query", _query, "answer one SQL query from the version in force; schema bi is the default"
    )
    query.add_argument("--format", choices=("table", "csv", "json"), default="table")
    query.add_argument("sql", help='such as "select * from segment_profile_daily"')
    return root


def _verb(verbs: argparse._SubParsersAction, name: str, act: object, text: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
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
    for table in outcome.kept_as_published:
        console.print(
            f"{table}: {as_of} has been published and stays as it is, though the warehouse would now say "
            "something else; what changes it is "
            f'python -m serving restate {as_of} --shop {arguments.shop} --reason "…"',
            style="yellow",
            soft_wrap=True,
        )
    _tell(outcome, arguments.shop)


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


def _query(arguments: argparse.Namespace) -> None:
    from serving.query import answer

    try:
        answer(_paths(arguments), arguments.sql, arguments.format)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()


if __name__ == "__main__":
    main(parser())
