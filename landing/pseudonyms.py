"""Pseudonyms: who did it, without saying who.

``user_key`` is HMAC-SHA-256 of ``customer:<id>``, ``device_key`` of ``device:<id>``, as hex,
under a key that lies outside the warehouse and is made once per shop. DuckDB has SHA-256 but
no HMAC, so the definition (RFC 2104) is written out: H(outer || H(inner || message)).
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from cli import ShoalError
from landing import ledger
from settings import ShopPaths

KEY_BYTES = 32
BLOCK_BYTES = 64
KINDS = {"user_key": "customer", "device_key": "device"}


def key(paths: ShopPaths) -> bytes:
    """Return the shop's key, made on first use; simultaneous first users get the same one.

    Raises
    ------
    ShoalError
        When the key file is damaged, or gone though rows were landed with it: with another key, every user
        would become a stranger.
    """
    path = paths.secrets / "pseudonym.key"
    if not path.exists():
        if any(file.tables for file in ledger.files(paths)):
            raise ShoalError(
                f"{path} is gone, and what was landed was landed with it: restore it from your backup; a new "
                f"key would turn every known user into a new one. To begin anew, move {paths.root} away"
            )
        _make(path)
    found = path.read_bytes()
    if len(found) != KEY_BYTES:
        raise ShoalError(
            f"{path} has {len(found)} bytes instead of {KEY_BYTES}: restore it from your backup; "
            "a new key would turn every known user into a new one"
        )
    return found


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)  # fails where another process was first: then its key is the key
    except FileExistsError:
        pass
    finally:
        aside.unlink()


def of(secret: bytes, kind: str, text: str) -> str:
    """Return the HMAC of ``<kind>:<text>``, as :func:`expression` makes it in SQL."""
    return hmac.digest(secret, f"{kind}:{text}".encode(), "sha256").hex()


def pads(secret: bytes) -> dict[str, bytes]:
    """Return the two padded keys as the parameters of :func:`expression`."""
    block = secret.ljust(BLOCK_BYTES, b"\0")
    return {"inner": bytes(byte ^ 0x36 for byte in block), "outer": bytes(byte ^ 0x5C for byte in block)}


def expression(kind: str, text: str) -> str:
    """Return SQL for the HMAC of ``<kind>:<text>``; null stays null."""
    return f"sha256($outer || unhex(sha256($inner || encode('{kind}:' || {text}))))"
