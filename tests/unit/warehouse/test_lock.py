from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import warehouse
from cli import ShoalError
from settings import ROOT, ShopPaths

HOLDER = """
import sys, warehouse
from settings import ShopPaths
with warehouse.lock(ShopPaths("world"), "a long build"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_lock_names_its_holder_and_dies_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    paths = ShopPaths("world")
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(ShoalError, match=rf"process {holder.pid} \(a long build\)"),
            warehouse.lock(paths, "a test", timeout_seconds=0),
        ):
            pass
        holder.kill()
    with warehouse.connect(paths, "a test") as connection:
        assert connection.execute("select current_setting('TimeZone')").fetchall() == [("UTC",)]


@pytest.mark.parametrize(("asked", "taken"), [(None, "2.7 GiB"), ("1GB", "953.6 MiB")])
def test_warehouse_takes_the_memory_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None, taken: str
) -> None:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    monkeypatch.delenv("SHOAL_MEMORY", raising=False)
    if asked:
        monkeypatch.setenv("SHOAL_MEMORY", asked)
    with warehouse.connect(ShopPaths("world"), "a test") as connection:
        assert connection.execute("select current_setting('memory_limit')").fetchall() == [(taken,)]
