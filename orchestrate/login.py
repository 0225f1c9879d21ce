"""The generated log-in, one for Airflow and MLflow, in files that only their owner reads."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import settings

USER = "shoal"


def file() -> Path:
    """Return the file of the log-in, made on first use, as Airflow's simple auth manager reads it."""
    path = settings.data_dir() / "login.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, json.dumps({USER: secrets.token_urlsafe(15)}) + "\n")
    return path


def password() -> str:
    """Return the password of the generated log-in."""
    passwords: dict[str, str] = json.loads(file().read_text())
    return passwords[USER]


def key(path: Path, make: str | None = None) -> str:
    """Return the key that a file holds, made on first use."""
    if not path.exists():
        write_private(path, make or secrets.token_urlsafe(32))
    return path.read_text()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as private:
        private.write(text)
