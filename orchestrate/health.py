"""``python -m orchestrate.health``: what the services of docker-compose.yml are asked now and then.

Imports as little as it can: each service is asked every half minute.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Sequence


def main(words: Sequence[str]) -> bool:
    """Return whether ``<url>`` answers, ``<url> <part>`` calls the part healthy, ``worker <queue>`` lives."""
    if words[0] == "worker":
        return _worker_lives(words[1])
    # The address is docker-compose.yml's.
    with urllib.request.urlopen(words[0], timeout=10) as answer:  # noqa: S310
        return len(words) == 1 or json.load(answer)[words[1]]["status"] == "healthy"


def _worker_lives(queue: str) -> bool:
    """Ask over the broker, so that a worker which lost it is not called healthy."""
    from celery import Celery

    command = shlex.split(os.environ["AIRFLOW__CELERY__BROKER_URL_CMD"])
    broker = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    with Celery(broker=broker) as app:
        return bool(app.control.ping(destination=[f"{queue}@{socket.gethostname()}"], timeout=5))


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
