"""Build the warehouse's two legs, make it anew, build trials beside it, and write its documentation."""

from __future__ import annotations

import argparse

import cli
from settings import ShopPaths

BUILD_MANUAL = """\
Runs dbt on the working warehouse, one leg at a time, under its lock.

  core  cleans and merges what landing accepted since the last build, lays it out as of a day and at
        the cuts of training, and writes the snapshot that models read. It prints the horizon.
  bi    fills what BI reads from core and the predictions; `python -m serving publish` shows it.

Safe to repeat, and to kill: what was not finished is built again. When models or the shop's settings
have changed, core builds everything anew by itself.

exit codes: 0 done · 1 failed · 2 wrong usage
"""


def main() -> None:
    """Run ``python -m warehouse``."""
    parser = argparse.ArgumentParser(prog="python -m warehouse", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    build = verbs.add_parser(
        "build",
        help="build a leg: core (clean, merge, model inputs) or bi (what BI reads)",
        description=BUILD_MANUAL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_argument("leg", choices=("core", "bi"), help="core comes first, then ml score, then bi")
    build.add_argument(
        "--full-refresh",
        action="store_true",
        help="build core from all landed files instead of from new ones",
    )
    cli.add_shop(build)
    cli.add_as_of(build)
    build.set_defaults(act=_build)

    rebuild = verbs.add_parser(
        "rebuild",
        help="delete the warehouse and make it again from landing/ and history/",
        description="Deletes the warehouse and makes it again from landing/ with its ledger and from "
        "history/, as of the newest published day. The old file lies aside until this has succeeded. "
        "Needs no model; published versions stay as they are.",
    )
    cli.add_shop(rebuild)
    cli.add_as_of(rebuild)
    rebuild.set_defaults(act=_rebuild)

    trials = verbs.add_parser(
        "trials",
        help="build what models are compared on: inputs at earlier cuts, in a warehouse beside",
        description="Builds the inputs of each trial in data/<shop>/trials/ and prints where they lie. The "
        "cuts stand in the shop's file under judge:, else they are chosen from the data. What has not "
        "changed is reused; the working warehouse is not touched.",
    )
    cli.add_shop(trials)
    trials.set_defaults(act=_trials)

    docs = verbs.add_parser("docs", help="write dbt's documentation page and docs/data-model.md")
    cli.add_shop(docs)
    docs.set_defaults(act=_docs)

    cli.main(parser)


def _build(arguments: argparse.Namespace) -> None:
    from warehouse.build import build_bi, build_core

    paths = ShopPaths(arguments.shop)
    if arguments.leg == "core":
        build_core(paths, arguments.as_of, arguments.full_refresh)
    else:
        build_bi(paths, arguments.as_of)


def _rebuild(arguments: argparse.Namespace) -> None:
    from warehouse.rebuild import rebuild

    rebuild(ShopPaths(arguments.shop), arguments.as_of)


def _trials(arguments: argparse.Namespace) -> None:
    from warehouse import trials

    for trial, found in trials.build_all(arguments.shop):
        print(f"{trial.cut} {trial.horizon_days} {trial.role} {found.folder}")


def _docs(arguments: argparse.Namespace) -> None:
    from warehouse import docs

    for written in docs.write(ShopPaths(arguments.shop)):
        cli.console.print(f"wrote {written}")


if __name__ == "__main__":
    main()
