"""``python -m orchestrate demo | up | down``, what ``make`` calls; Airflow's command line; the services."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import cli
import settings
from cli import ShoalError
from orchestrate import airflow_server, background, cluster, demo


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m orchestrate", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="verb")

    show = verbs.add_parser("demo", help="land a shop's files and run the whole chain under Airflow")
    cli.add_shop(show)
    show.add_argument(
        "--folder", type=Path, help="the shop's files (default for the simulated shop: it makes them)"
    )
    show.set_defaults(act=lambda arguments: demo.run(arguments.shop, arguments.folder))

    up = verbs.add_parser("up", help="serve dashboard, Airflow and MLflow on 127.0.0.1, in the background")
    up.set_defaults(act=lambda _: background.up())

    down = verbs.add_parser("down", help="end what `up` started")
    down.set_defaults(act=lambda _: background.down())

    secrets = verbs.add_parser("secrets", help="make the folders and secrets of docker-compose.yml")
    secrets.add_argument("--folder", type=Path, default=settings.ROOT / "cluster")
    secrets.set_defaults(act=lambda arguments: cluster.make_secrets(arguments.folder.resolve()))

    check = verbs.add_parser("check-secrets", help="refuse secrets that nobody would have generated")
    check.set_defaults(act=lambda _: cluster.check_secrets())

    prepare = verbs.add_parser("prepare", help="make or renew databases, pool and bucket of the services")
    prepare.set_defaults(act=lambda _: cluster.prepare())

    service = verbs.add_parser("service", help="become a service of docker-compose.yml")
    service.add_argument("part", choices=["mlflow", "worker", *cluster.PARTS])
    service.add_argument("queue", nargs="?", default="default", help="the queue that a worker works on")
    service.set_defaults(act=lambda arguments: cluster.serve(arguments.part, arguments.queue))

    airflow = verbs.add_parser("airflow", help="run Airflow's own command line on what `up` started")
    airflow.add_argument("words", nargs=argparse.REMAINDER, help="such as: dags list")
    airflow.set_defaults(act=lambda arguments: _airflow(arguments.words))
    return parser


def _airflow(words: Sequence[str]) -> int:
    address = airflow_server.found()
    if address is None:
        raise ShoalError(f"no Airflow runs on {settings.data_dir()}: run make up first")
    command = [sys.executable, "-m", "airflow", *words]
    environment = airflow_server.environment(address.port)
    return subprocess.run(command, cwd=settings.ROOT, env=environment, check=False).returncode


def _stop(number: int, _: FrameType | None) -> None:
    """Leave through every ``finally``, so that no child outlives this process."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, _stop)
    cli.main(parser())
