"""What was trained before on the same data, config and code is not trained again.

Imports nothing heavy: finding out that there is nothing to do costs a second or two.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from cli import console
from ml import packages, tracking
from ml.configs import Config
from ml.encoder.checkpoints import checkpoint_hash, checkpoint_path
from ml.segments import NAMES, RULES
from settings import ShopPaths
from warehouse import snapshot


@contextmanager
def alone(paths: ShopPaths) -> Iterator[None]:
    """Let one process at a time train for a shop; the kernel frees the lock when its holder dies.

    Another takes what this one has registered so far for the rest of a training that died, and deletes it.
    """
    paths.models.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(paths.models / "training.lock", os.O_RDWR | os.O_CREAT, 0o600)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"waiting: another process is training for {paths.shop}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def find(paths: ShopPaths, as_of: date, config: Config) -> tracking.Version | None:
    """Return the segments that the same inputs gave before: registered last, so all else is there."""
    wanted = fingerprint(str(snapshot.read(paths, as_of).manifest["digest"]), config)
    known = tracking.versions(tracking.registered_name(paths.shop, tracking.BEHAVIOUR))
    return next((one for one in reversed(known) if one.tags.get("complete") == wanted), None)


def fingerprint(data_digest: str, config: Config) -> str:
    """Return the hash of all that decides what training makes."""
    words = checkpoint_hash(checkpoint_path(config.text.checkpoint))
    decides = f"{data_digest}|{config.digest()}|{words}|{code_digest()}"
    return hashlib.sha256(decides.encode()).hexdigest()[:16]


def code_digest() -> str:
    """Return the hash of ml's sources and of the seeds that name segments."""
    room = Path(__file__).parent
    return packages.digest_of(
        [*sorted(path for path in room.rglob("*") if path.suffix in (".py", ".csv")), RULES, NAMES]
    )
