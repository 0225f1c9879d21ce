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

COMMAND = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"]
"""Address and stores come from the environment."""


def start() -> str:
    """Start the server, wait until it answers, and return its address."""
    home = settings.mlflow_dir()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    processes.end(FAMILY)
    port = processes.free_port(settings.mlflow_port())
    url, log = f"http://127.0.0.1:{port}", home / "server.log"
    environment = settings.environment(
        **common_environment(home, f"sqlite:///{home}/auth.db", login.key(home / "flask.key")),
        MLFLOW_HOST="127.0.0.1",
        MLFLOW_PORT=str(port),
        MLFLOW_BACKEND_STORE_URI=settings.mlflow_uri(),
        MLFLOW_ARTIFACTS_DESTINATION=str(home / "artifacts"),
    )
    processes.start(FAMILY, "server", COMMAND, environment, log)
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


def common_environment(home: Path, log_ins: str, key: str) -> dict[str, str]:
    """Return what holds for MLflow's server on one machine and on many.

    Parameters
    ----------
    home
        Where the file with the log-in is written, for this process's user only.
    log_ins
        The address of the database of log-ins.
    key
        Signs the forms of MLflow's pages.
    """
    return {
        # Job execution would add eight helper processes for evaluations that nobody asks for.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_AUTH_CONFIG_PATH": str(_authorization(home, log_ins)),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": key,
    }


def _authorization(home: Path, log_ins: str) -> Path:
    """Write who may do what: the generated log-in everything, nobody else anything."""
    config = configparser.ConfigParser(interpolation=None)
    config["mlflow"] = {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": log_ins,
        "admin_username": login.USER,
        "admin_password": login.password(),
        # A log-in is costly to check, and a model is logged in dozens of requests. With one server process a
        # changed password counts at once all the same.
        "auth_cache_ttl_seconds": "60",
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
