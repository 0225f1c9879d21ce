"""Validate a border: ``python -m expectations incoming|ml_inputs|bi --shop S [--as-of D]``.

Exit code 0: everything at severity error passed or was not applicable. 3: a gate stopped the
chain; the message names the rules and, for landed files, holds those at fault. Nothing was
published, readers keep the version they have.
"""

from __future__ import annotations

import argparse
from datetime import date

import cli
from settings import ShopPaths


def incoming(arguments: argparse.Namespace) -> int | None:
    """Judge landed files; hold those at fault."""
    from expectations import gates

    return gates.incoming(ShopPaths(arguments.shop), arguments.as_of)


def ml_inputs(arguments: argparse.Namespace) -> int | None:
    """Judge the snapshot that models read."""
    from expectations import gates

    return gates.ml_inputs(ShopPaths(arguments.shop), arguments.as_of)


def bi(arguments: argparse.Namespace) -> int | None:
    """Judge the segment tables before they are published."""
    from expectations import gates

    return gates.bi(ShopPaths(arguments.shop), arguments.as_of)


def wants_training(arguments: argparse.Namespace) -> None:
    """Print why the checks ask for newly trained models; nothing where they do not."""
    from expectations import training

    if because := training.wanted_because(ShopPaths(arguments.shop), arguments.as_of or date.max):
        print(because)


MANUAL = """\
Validates what comes in, what models learn from, and what BI will see.

Each expectation ends as pass, fail, could not check, or not applicable (nothing to compare with yet,
or a table that was not delivered). A failure, or a check that could not be made, stops the chain: BI
keeps the version that it has. At `incoming` the files at fault are held until somebody decides, by
`python -m landing accept | withdraw | replay <file>`. A warning is told and stops nothing.

Every outcome goes to ops.data_quality and, as static HTML, to data/<shop>/ops/data_docs/.
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line; Great Expectations is imported only once a border is named."""
    described = argparse.ArgumentParser(
        prog="python -m expectations",
        description=MANUAL,
        epilog="Exit codes: 0 passed, 1 failed to run, 2 wrong usage, 3 a gate stopped the chain.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    borders = described.add_subparsers(required=True, metavar="border")
    for act, told in (
        (incoming, "landed files, before dbt reads them; files at fault are held"),
        (ml_inputs, "the snapshot of ml_inputs, before a model reads it"),
        (bi, "the bi tables in the working warehouse, before they are published"),
    ):
        border = borders.add_parser(act.__name__, help=told, description=told)
        cli.add_shop(border)
        cli.add_as_of(border)
        border.set_defaults(act=act)
    told = "print why the checks ask for newly trained models, if they do; train_models is then run first"
    verb = borders.add_parser("wants-training", help=told, description=told)
    cli.add_shop(verb)
    cli.add_as_of(verb)
    verb.set_defaults(act=wants_training)
    return described


if __name__ == "__main__":
    cli.main(parser())
