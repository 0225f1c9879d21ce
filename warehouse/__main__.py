"""Build the warehouse's two legs, and its documentation."""

from __future__ import annotations

import argparse

import cli
from settings import ShopPaths


def main() -> None:
    """Run ``python -m warehouse``."""
    parser = argparse.ArgumentParser(prog="python -m warehouse", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    build = verbs.add_parser("build", help="build a leg: core (clean, merge, model inputs) or bi (what BI reads)")
    build.add_argument("leg", choices=("core", "bi"))
    build.add_argument(
        "--full-refresh", action="store_true", help="build core from all landed files instead of from new ones"
    )
    cli.add_shop(build)
    cli.add_as_of(build)
    build.set_defaults(act=_build)

    cli.main(parser)


def _build(arguments: argparse.Namespace) -> None:
    from warehouse.build import build_bi, build_core

    paths = ShopPaths(arguments.shop)
    if arguments.leg == "core":
        build_core(paths, arguments.as_of, arguments.full_refresh)
    else:
        build_bi(paths, arguments.as_of)


if __name__ == "__main__":
    main()
