"""A small disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings

DISK_MB = 64


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Mount a small disk and make it the data folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a full disk needs a tmpfs, which only root may mount: run as root to test it")
    monkeypatch.setenv("SHOAL_SHOPS", str(settings.ROOT / "tests" / "shops"))
    monkeypatch.setenv("SHOAL_DATA", str(folder))
    try:
        yield folder
    finally:
        # MLflow keeps its database open as long as this process lives.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
