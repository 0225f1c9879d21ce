"""Where the demo's minutes go: ``python -m benchmarks.demo``.

The demo runs on a data folder of its own. How long each command took is read from the logs of its tasks;
what no command fills, and the drawing of files does not, is orchestration: Airflow's start and end, the
start of each task's process, and the scheduler's pauses.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import settings
from benchmarks import cost
from cli import ShoalError, answer, console, main

SHOP = "simulated"
FILES, ORCHESTRATION = "landing simulate", "orchestration"


@dataclass(frozen=True)
class Span:
    """A command that a task ran, and when (seconds since 1970)."""

    command: str
    began: float
    ended: float


def measure() -> list[tuple[str, float]]:
    """Run the demo; return steps and seconds, in order, which add up to the whole."""
    data = settings.data_dir() / "benchmarks" / "demo"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    console.print(f"the demo, on {data}")
    began = time.time()
    demo = cost.run("orchestrate", "demo", data=data)
    drawn = max(path.stat().st_mtime for path in (data / SHOP / "truth").rglob("*")) - began
    found = spans(data / "airflow" / "logs")
    shutil.rmtree(data)
    return [(FILES, drawn), *steps(found, demo.wall_seconds - drawn)]


def spans(logs: Path) -> list[Span]:
    """Return the commands of all tasks, by their beginning.

    Raises
    ------
    ShoalError
        When no log tells of a command.
    """
    found = [span for log in logs.rglob("*.log") for span in _spans_of(log)]
    if not found:
        raise ShoalError(f"no log below {logs} tells of a command: did the demo run a task?")
    return sorted(found, key=lambda span: span.began)


def _spans_of(log: Path) -> Iterator[Span]:
    command, began = "", 0.0
    for line in log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        said, at = str(event.get("event", "")), event.get("timestamp")
        if said.startswith("$ python -m "):
            command, began = " ".join(said.split()[3:5]), _seconds(at)
        elif command and said.startswith("::group::Post Execute"):
            yield Span(command, began, _seconds(at))
            command = ""


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


def steps(found: Sequence[Span], wall_seconds: float) -> list[tuple[str, float]]:
    """Return commands and their seconds, and what is left; of two at once, the later begins when it is alone.

    Examples
    --------
    >>> steps([Span("landing receive", 5, 15), Span("ml train", 20, 60), Span("ml score", 50, 70)], 100)
    [('landing receive', 10.0), ('ml train', 40.0), ('ml score', 10.0), ('orchestration', 40.0)]
    """
    seconds: dict[str, float] = {}
    reached = 0.0
    for span in found:
        alone = max(0.0, span.ended - max(span.began, reached))
        seconds[span.command] = seconds.get(span.command, 0.0) + alone
        reached = max(reached, span.ended)
    return [*seconds.items(), (ORCHESTRATION, wall_seconds - sum(seconds.values()))]


def as_markdown(measured: Sequence[tuple[str, float]]) -> str:
    """Return the README's table.

    Examples
    --------
    >>> print(as_markdown([("landing receive", 30.0), ("orchestration", 10.0)]))
    | step | seconds | share |
    |---|---|---|
    | `landing receive` | 30 | 75 % |
    | orchestration | 10 | 25 % |
    | **whole** | **40** | |
    """
    whole = sum(seconds for _, seconds in measured)
    lines = ["| step | seconds | share |", "|---|---|---|"]
    for step, seconds in measured:
        name = step if step == ORCHESTRATION else f"`{step}`"
        lines.append(f"| {name} | {seconds:.0f} | {seconds / whole:.0%} |".replace("%", " %"))
    return "\n".join([*lines, f"| **whole** | **{whole:.0f}** | |"])


def act(_: argparse.Namespace) -> None:
    """Run the demo and print the table."""
    answer.print(as_markdown(measure()), soft_wrap=True)


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    result = argparse.ArgumentParser("python -m benchmarks.demo", description=__doc__)
    result.set_defaults(act=act)
    return result


if __name__ == "__main__":
    main(parser())
