"""MLflow's server on 127.0.0.1, over the store that training writes to."""

from __future__ import annotations

import sys
import time

import httpx

import settings
from cli import ShoalError, console
from orchestrate import processes

FAMILY = "mlflow"
READY_SECONDS = 120


def start() -> str:
    """Start the server, wait until it answers, and return its address."""
    home = settings.mlflow_dir()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    processes.end(FAMILY)
    port = processes.free_port(settings.mlflow_port())
    url, log = f"http://127.0.0.1:{port}", home / "server.log"
    command = [
        *(
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
        ),
        *("--backend-store-uri", settings.mlflow_uri(), "--artifacts-destination", str(home / "artifacts")),
    ]
    # Job execution would add eight helper processes for evaluations that nobody asks for.
    environment = settings.environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    processes.start(FAMILY, "server", command, environment, log)
    deadline = time.monotonic() + READY_SECONDS
    with console.status("MLflow: starting …"):
        while not _answers(url):
            if not processes.members(FAMILY) or time.monotonic() > deadline:
                raise ShoalError(f"MLflow did not start; the end of {log}:\n{processes.last_lines(log)}")
            time.sleep(0.5)
    return url


def end() -> int:
    """End the server; return how many processes there were."""
    return processes.end(FAMILY)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False
