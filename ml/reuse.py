"""What was trained before on the same data, config and code is not trained again.

Imports nothing heavy: finding out that there is nothing to do costs a second or two.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path

from cli import one_at_a_time
from ml import packages, tracking
from ml.configs import Config
from ml.encoder.checkpoints import checkpoint_hash, checkpoint_path
from ml.segments import NAMES, RULES
from settings import ShopPaths
from warehouse import snapshot


def alone(paths: ShopPaths) -> AbstractContextManager[None]:
    """Let one process at a time train for a shop.

    Another takes what this one has registered so far for the rest of a training that died, and deletes it.
    """
    told = f"waiting: another process is training for {paths.shop}"
    return one_at_a_time(paths.models / "training.lock", told)


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
