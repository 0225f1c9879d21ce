"""Where a text BERT lies, and the hash of what shapes its vectors; imports nothing heavy."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

SHAPING = (
    *("*.safetensors", "*.safetensors.index.json", "config.json", "vocab.txt", "added_tokens.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
)
"""The files of a checkpoint that shape a vector: weights, perhaps in parts, word pieces and settings."""


def checkpoint_path(name: str) -> str:
    """Return the folder of a checkpoint that is named, or comes with a package or from the hub.

    A hub id that isn't in the local cache is returned as it is.
    """
    if Path(name).is_dir():
        return name
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or found.origin is None:
        return _in_hub_cache(name) or name
    return str(Path(found.origin).parent / "model")


def _in_hub_cache(name: str) -> str | None:
    """Return the folder of a hub id's whole checkpoint on this machine, None where there is none."""
    from transformers.utils.hub import cached_file

    try:
        found = cached_file(name, "config.json", local_files_only=True)
    except (OSError, ValueError):
        return None
    if found is None:
        return None
    folder = Path(found).parent
    has_words = any((folder / file).is_file() for file in ("vocab.txt", "tokenizer.json"))
    return str(folder) if has_words and any(folder.glob("*.safetensors")) else None


def checkpoint_hash(path: str) -> str | None:
    """Return the hash of a checkpoint's files, names included; None where they are not at hand."""
    found = {file.absolute() for pattern in SHAPING for file in Path(path).glob(pattern)}
    files = [(file, file.stat()) for file in sorted(found) if file.is_file()]
    told = [f"{file.name} {_digest(str(file), one.st_size, one.st_mtime_ns)}" for file, one in files]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16] if told else None


@cache
def _digest(file: str, size: int, changed_at: int) -> str:
    """Return the hash of a file, read once as long as neither size nor time of change differ."""
    with Path(file).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
