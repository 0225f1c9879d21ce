"""What a command costs: CPU-seconds, wall seconds and memory of a process, its start included."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import settings
from cli import ShoalError, console


@dataclass(frozen=True)
class Cost:
    """What one process and its children took; CPU-seconds are user and system time together."""

    cpu_seconds: float
    wall_seconds: float
    peak_gigabytes: float

    def __str__(self) -> str:
        return f"{self.cpu_seconds:.0f} ({self.peak_gigabytes:.1f} GB)"


def run(module: str, *words: object, data: Path | None = None) -> Cost:
    """Run ``python -m <module> <words>`` to its end, on a data folder.

    Raises
    ------
    ShoalError
        When it fails; shows what it said.
    """
    command = [sys.executable, "-m", module, *map(str, words)]
    begun = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=settings.ROOT,
        env=settings.environment(**({"SHOAL_DATA": str(data)} if data else {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ShoalError(f"`{' '.join(command[1:])}` failed: {said[-2000:]}")
    cost = Cost(
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        wall_seconds=time.monotonic() - begun,
        peak_gigabytes=usage.ru_maxrss / 1e6,
    )
    console.print(
        f"  {module}: {cost.cpu_seconds:.1f} CPU-s, {cost.wall_seconds:.1f} s, {cost.peak_gigabytes:.2f} GB"
    )
    return cost
