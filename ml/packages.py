"""Model packages: safetensors, JSON and text files in a folder sealed by a hash manifest.

Nothing here is a pickle, so loading a package runs no code; a changed byte is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cli import ShoalError

MANIFEST = "manifest.json"


def seal(folder: Path) -> str:
    """Write the manifest of a finished package and return the package's digest."""
    hashes = {
        str(path.relative_to(folder)): _hash(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    content = json.dumps(hashes, indent=1)
    (folder / MANIFEST).write_text(content)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def check(folder: Path) -> str:
    """Compare a package with its manifest and return the package's digest.

    Raises
    ------
    ShoalError
        When a file is missing, was added or was changed since the package was sealed.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise ShoalError(f"model package {folder} has no {MANIFEST}: train again with FORCE=1")
    content = manifest.read_text()
    expected: dict[str, str] = json.loads(content)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    for name in sorted(expected.keys() | found):
        if name not in found or expected.get(name) != _hash(folder / name):
            raise ShoalError(
                f"model package {folder}: {name} is not what was sealed (missing, added or changed); "
                "restore it from a backup, or train again with FORCE=1"
            )
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def write_json(path: Path, content: Any, sort_keys: bool = True) -> None:
    """Write readable JSON in a stable order of keys: sorted, or as given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=sort_keys, ensure_ascii=False))


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text())


def save_tensors(path: Path, tensors: dict[str, NDArray[Any]]) -> None:
    """Write named arrays aside and swap them in, so that a kill leaves the old file or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.tmp")
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, str(aside))
    aside.replace(path)


def load_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read named arrays.

    Raises
    ------
    ShoalError
        When the file is anything but safetensors, a pickle for instance.
    """
    try:
        return load_file(str(path))
    except SafetensorError as error:
        raise ShoalError(
            f"{path} is no safetensors file ({error}): restore it from a backup, or train again with FORCE=1"
        ) from None


def digest_of(files: Iterable[Path]) -> str:
    """Return the hash of some files, names included."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"
