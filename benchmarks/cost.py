"""What a command costs: CPU-seconds, wall seconds and memory of a process, its start included."""

from __future__ import annotations

import json
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


# A process begins with the peak memory of the one that starts it, which may have held gigabytes: so a small
# one stands between, and tells what its child took.
BETWEEN = """
import json, os, sys
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(child, 0)
told = [os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6]
os.write(int(sys.argv[1]), json.dumps(told).encode())
"""


def run(module: str, *words: object, data: Path | None = None) -> Cost:
    """Run ``python -m <module> <words>`` to its end, on a data folder.

    Raises
    ------
    ShoalError
        When it fails; shows what it said.
    """
    command = [sys.executable, "-m", module, *map(str, words)]
    begun = time.monotonic()
    read, write = os.pipe()
    done = subprocess.run(
        [sys.executable, "-S", "-c", BETWEEN, str(write), *command],
        cwd=settings.ROOT,
        env=settings.environment(**({"SHOAL_DATA": str(data)} if data else {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=[write],
        check=False,
    )
    os.close(write)
    with os.fdopen(read) as told:
        code, cpu_seconds, peak_gigabytes = json.load(told)
    if code:
        raise ShoalError(f"`{' '.join(command[1:])}` failed: {done.stdout[-2000:]}")
    cost = Cost(cpu_seconds, time.monotonic() - begun, peak_gigabytes)
    console.print(
        f"  {module}: {cost.cpu_seconds:.1f} CPU-s, {cost.wall_seconds:.1f} s, {cost.peak_gigabytes:.2f} GB"
    )
    return cost
