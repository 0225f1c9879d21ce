"""The generated log-in, one for Airflow, MLflow and the dashboard, in files that only their owner reads.

Where ``SHOAL_SECRETS`` names a folder, its files are used as they are, and none is made.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import settings
from cli import ShoalError

USER = "shoal"
PASSWORD_LETTERS, KEY_LETTERS = 20, 43
"""As many as 15 and 32 random bytes take; whoever sets their own sets one as long."""


def file() -> Path:
    """Return the file of the log-in, made on first use, as Airflow's simple auth manager reads it."""
    if beforehand := settings.secrets_dir():
        return beforehand / "login.json"
    path = settings.data_dir() / "login.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, json.dumps({USER: secrets.token_urlsafe(15)}) + "\n")
    return path


def password() -> str:
    """Return the password of the generated log-in.

    Raises
    ------
    ShoalError
        When the file holds none, or a placeholder.
    """
    try:
        found = json.loads(file().read_text())[USER]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        found = ""
    return checked(file(), found, PASSWORD_LETTERS)


def key(path: Path, make: str | None = None) -> str:
    """Return the key that a file holds, made on first use.

    Raises
    ------
    ShoalError
        When the file holds none, or a placeholder.
    """
    if not path.exists():
        write_private(path, make or secrets.token_urlsafe(32))
    return existing_key(path)


def existing_key(path: Path) -> str:
    """Return the key that a file holds.

    Raises
    ------
    ShoalError
        When there is no such file, or it holds none, or a placeholder.
    """
    return checked(path, path.read_text().strip() if path.exists() else "", KEY_LETTERS)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as private:
        private.write(text)
    aside.replace(path)


def checked(path: Path, secret: object, letters: int) -> str:
    """Refuse what nobody would have generated; the message never shows it."""
    if isinstance(secret, str) and len(secret) >= letters and len(set(secret)) >= letters // 3:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return secret
    raise ShoalError(
        f"{path} holds no secret that could have been generated (empty, short or a placeholder): "
        "delete it, and the next start makes a new one"
    )
