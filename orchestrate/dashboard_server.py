"""The dashboard on 127.0.0.1, in the background."""

from __future__ import annotations

import sys
import time

import httpx

import settings
from cli import ShoalError, console
from orchestrate import processes

FAMILY = "dashboard"
READY_SECONDS = 60


def start() -> str:
    """Start the server, wait until it answers, and return its address."""
    home = settings.data_dir() / "dashboard"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    processes.end(FAMILY)
    port = processes.free_port(settings.dashboard_port())
    url, log = f"http://127.0.0.1:{port}", home / "server.log"
    command = [sys.executable, "-m", "serving", "dashboard", "--port", str(port)]
    processes.start(FAMILY, "server", command, settings.environment(), log)
    deadline = time.monotonic() + READY_SECONDS
    with console.status("dashboard: starting …"):
        while not answers(url):
            if not processes.members(FAMILY) or time.monotonic() > deadline:
                raise ShoalError(
                    f"the dashboard did not start; the end of {log}:\n{processes.last_lines(log)}"
                )
            time.sleep(0.2)
    return url


def end() -> int:
    """End the server; return how many processes there were."""
    return processes.end(FAMILY)


def answers(url: str) -> bool:
    """Return whether the server is up."""
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False
