"""Commands as forks of one warm process, and killed at a point where a test says so.

Importing dbt or torch costs more than most commands do, so a room is imported once and every
command is a fork of it: a process of its own, as when it is typed. A point is one of two:

event n      SIGKILL before the n-th write, rename, link, removal or folder below the data folder
share s      the end without a word once the try has used the share s of the CPU-seconds that the
             undisturbed run took: wherever that may be, inside DuckDB or torch too
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import settings

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

Point = tuple[str, float]


@dataclass(frozen=True)
class Try:
    """How one try ended.

    Attributes
    ----------
    code : int
        Its exit code; negative: the signal.
    events : int
    cpu_seconds : float
    answer : str
        What it wrote to its standard output.
    said : str
        What it wrote to either output.
    """

    code: int
    events: int
    cpu_seconds: float
    answer: str
    said: str


class Warm:
    """One warm process."""

    def __init__(self, modules: Sequence[str], **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", *modules],
            cwd=settings.ROOT,
            env=settings.environment(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def act(
        self, function: str, *arguments: str, data: Path, point: Point | None = None, **environment: str
    ) -> Try:
        """Call ``module:function`` in a fork on a data folder; ``point`` says where it dies."""
        assert self.process.stdin and self.process.stdout
        request = {
            "function": function,
            "arguments": arguments,
            "environment": environment | {"SHOAL_DATA": str(data)},
            "data": str(data),
            "point": point,
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return Try(**json.loads(self.process.stdout.readline()))

    def command(self, *words: str, data: Path, point: Point | None = None, **environment: str) -> Try:
        """Run ``python -m <words>`` in a fork."""
        return self.act("tests.warm:run_command", *words, data=data, point=point, **environment)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=30)


@contextlib.contextmanager
def warm(*modules: str, **environment: str) -> Iterator[Warm]:
    """Give a warm process with modules imported."""
    victim = Warm(modules, **environment)
    try:
        yield victim
    finally:
        victim.close()


def draw(seed: int, whole: Try, events: int, shares: int) -> list[Point]:
    """Draw points of an undisturbed run: so many events, so many moments; the seed is printed."""
    rng = random.Random(seed)
    chosen = sorted(rng.sample(range(1, whole.events + 1), min(events, whole.events)))
    moments = sorted(round(rng.uniform(0.02, 0.8), 3) for _ in range(shares))
    points: list[Point] = [("event", number) for number in chosen]
    points += [("cpu", round(share * whole.cpu_seconds, 4)) for share in moments]
    print(f"seed {seed}: {points} of {whole.events} events and {whole.cpu_seconds:.2f} CPU-seconds")
    return points


def run_command(*words: str) -> None:
    """Run ``python -m <words>`` in this process."""
    sys.argv = list(words)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        answer_file, said_file = (Path(f"{request['data']}.{stream}") for stream in ("answer", "said"))
        pid = os.fork()
        if pid == 0:
            os._exit(_die_or_end(request, answer_file, said_file))
        _, status, usage = os.wait4(pid, 0)
        events = Path(f"{request['data']}.events")
        answer = {
            "code": os.waitstatus_to_exitcode(status),
            "events": events.stat().st_size if events.exists() else 0,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "answer": answer_file.read_text(),
            "said": said_file.read_text() + answer_file.read_text(),
        }
        print(json.dumps(answer), flush=True)


def _die_or_end(request: dict[str, Any], answer_file: Path, said_file: Path) -> int:
    os.environ.update(request["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, file in ((1, answer_file), (2, said_file)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
    kind, at = request["point"] or ("never", 0)
    tally = Path(f"{request['data']}.events")
    _count_events(f"{request['data']}/", tally, at if kind == "event" else None)
    if kind == "cpu":
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, at)
    module, function = request["function"].split(":")
    try:
        getattr(importlib.import_module(module), function)(*request["arguments"])
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _count_events(folder: str, tally: Path, fatal: float | None) -> None:
    descriptor = os.open(tally, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    count = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & WRITES:
                return
        elif event not in CHANGES:
            return
        path = arguments[0]
        if isinstance(path, (str, bytes, Path)) and os.fsdecode(path).startswith(folder):
            count += 1
            os.write(descriptor, b".")
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        importlib.import_module(name)
    _serve()
