"""MLflow's server on 127.0.0.1, over the store that training writes to."""

from __future__ import annotations

import configparser
import io
import sys
import time
from pathlib import Path

import httpx

import settings
from cli import ShoalError, console
from orchestrate import login, processes

FAMILY = "mlflow"
READY_SECONDS = 120


def start() -> str:
    """Start the server, wait until it answers, and return its address."""
    home = settings.mlflow_dir()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    processes.end(FAMILY)
    port = processes.free_port(settings.mlflow_port())
    url, log = f"http://127.0.0.1:{port}", home / "server.log"
    artifacts = str(home / "artifacts")
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", settings.mlflow_uri(), "--artifacts-destination", artifacts),
    ]
    environment = settings.environment(
        # Job execution would add eight helper processes for evaluations that nobody asks for.
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_AUTH_CONFIG_PATH=str(_authorization(home)),
        MLFLOW_FLASK_SERVER_SECRET_KEY=login.key(home / "flask.key"),
    )
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


def _authorization(home: Path) -> Path:
    """Write who may do what: the generated log-in everything, nobody else anything."""
    config = configparser.ConfigParser(interpolation=None)
    config["mlflow"] = {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": f"sqlite:///{home}/auth.db",
        "admin_username": login.USER,
        "admin_password": login.password(),
    }
    text = io.StringIO()
    config.write(text)
    login.write_private(home / "auth.ini", text.getvalue())
    return home / "auth.ini"


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False
