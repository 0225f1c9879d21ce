"""Follow one chain of DAG runs from its first run to its last, with progress.

A run's successor is the run that its asset event created, or the one that it triggered and waits for; so two
chains at once are never taken for each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

import settings
from cli import ShoalError, console
from orchestrate.airflow_server import Client, NotReadyError, expect_alive

POLL_SECONDS = 2.0
SAY_STILL_RUNNING_EVERY_SECONDS = 30.0
HANDED_OVER_SECONDS = 60
"""The scheduler makes a successor within a second or two of its asset event."""

FINISHED = {"success", "failed", "skipped", "upstream_failed", "removed"}
STYLES = {
    **{"success": "green", "failed": "red", "skipped": "dim", "running": "cyan"},
    **{"up_for_retry": "yellow", "up_for_reschedule": "yellow"},
}


@dataclass(frozen=True)
class Run:
    """One DAG run."""

    dag_id: str
    run_id: str

    @property
    def path(self) -> str:
        return f"dags/{self.dag_id}/dagRuns/{self.run_id}"


@dataclass
class Step:
    """What one task has done so far."""

    run: Run
    task_id: str
    state: str
    started_at: str
    seconds: float
    attempt: int
    said: str = ""

    @property
    def name(self) -> str:
        return f"{self.run.dag_id}.{self.task_id}"


@dataclass
class Chain:
    """The runs and tasks seen so far, in order."""

    runs: list[Run]
    asked: list[Run] = field(default_factory=list)
    steps: dict[tuple[Run, str], Step] = field(default_factory=dict)
    as_of_date: str | None = None


def follow(client: Client, first: Run, until: str) -> Chain:
    """Follow the chain that ``first`` begins until the DAG ``until`` has succeeded.

    Raises
    ------
    ShoalError
        When a task fails (with its last log lines), a day turns out to have no data, or Airflow ends.
    """
    chain = Chain([first])
    show = _as_table if console.is_terminal else _as_lines
    with show(chain) as refresh:
        while True:
            expect_alive()
            run = chain.runs[-1]
            is_done = client.get(run.path)["state"] == "success"
            _look(client, chain, run)
            for asked in chain.asked:
                _look(client, chain, asked)
            refresh()
            _raise_failures(client, chain)
            if is_done:
                if run.dag_id == until:
                    return chain
                chain.runs.append(_successor(client, chain, run))
            time.sleep(POLL_SECONDS)


def _look(client: Client, chain: Chain, run: Run) -> None:
    """Bring the tasks of a run up to date, and note the run that it waits for."""
    for task in client.get(f"{run.path}/taskInstances")["task_instances"]:
        if not task["state"]:
            continue
        step = Step(
            run,
            task["task_id"],
            task["state"],
            task["start_date"] or "9999",
            _seconds(task),
            task["try_number"],
        )
        if step.task_id == "ask_for_model" and step.state in ("running", "success"):
            asked = Run("train_models", f"asked_by_{run.run_id}_{step.attempt}")
            if asked not in chain.asked and _exists(client, asked):
                chain.asked.append(asked)
        known = chain.steps.get((run, step.task_id))
        if step.state in ("success", "skipped", "up_for_reschedule"):
            is_told = known is not None and known.state == step.state
            step.said = (is_told and known and known.said) or _said(client, step)
        chain.steps[run, step.task_id] = step


def _said(client: Client, step: Step) -> str:
    """Return what the command of a task said, in short."""
    path = f"{step.run.path}/taskInstances/{step.task_id}/xcomEntries"
    keys = [entry["key"] for entry in client.get(path)["xcom_entries"] if entry["key"].endswith(" said")]
    return "\n".join(str(client.get(f"{path}/{quote(key)}")["value"]) for key in sorted(keys))


def _exists(client: Client, run: Run) -> bool:
    found = client.get(f"dags/{run.dag_id}/dagRuns", run_id_pattern=run.run_id)["dag_runs"]
    return any(each["dag_run_id"] == run.run_id for each in found)


def _successor(client: Client, chain: Chain, run: Run) -> Run:
    """Return the run that this one's asset event created."""
    deadline = time.monotonic() + HANDED_OVER_SECONDS
    while time.monotonic() < deadline:
        try:
            events = client.get("assets/events", source_dag_id=run.dag_id, source_run_id=run.run_id)[
                "asset_events"
            ]
        except NotReadyError:
            # Airflow 3.3.2 answers 500 while a run that the event created is queued: its schema wants the
            # start date that such a run has not.
            time.sleep(POLL_SECONDS)
            continue
        if not events:
            raise ShoalError(f"{run.dag_id} handed nothing over: {_why_skipped(client, chain, run)}")
        for event in events:
            chain.as_of_date, _, _ = event["partition_key"].partition(settings.KEY_BORDER)
            for created in event["created_dagruns"]:
                return Run(created["dag_id"], created["run_id"])
        time.sleep(POLL_SECONDS)
    raise ShoalError(
        f"no DAG took over from {run.dag_id} within {HANDED_OVER_SECONDS} s: is the next one paused? "
        f"Look at {client.address.url}/dags"
    )


def _why_skipped(client: Client, chain: Chain, run: Run) -> str:
    for (of, _), step in chain.steps.items():
        if of == run and step.state == "skipped":
            return _log(client, step, 3).strip()
    return "no task of it emitted an event"


def _raise_failures(client: Client, chain: Chain) -> None:
    for step in chain.steps.values():
        if step.state == "failed":
            raise ShoalError(
                f"{step.name} failed in try {step.attempt}; the end of its log:\n{_log(client, step, 30)}\n"
                f"All tries: {settings.airflow_dir()}/logs/dag_id={step.run.dag_id}/run_id={step.run.run_id}"
            )


def _log(client: Client, step: Step, count: int) -> str:
    """Return the last lines of a task's log."""
    log = client.get(f"{step.run.path}/taskInstances/{step.task_id}/logs/{step.attempt}", full_content="true")
    events = [event for line in log["content"] for event in _events(line)]
    return "\n".join(f"  {event}" for event in events[-count:])


def _events(line: Any) -> Iterator[str]:
    """Return the words of a structured log line; those that begin with :: open and close folds."""
    if not isinstance(line, dict):
        yield str(line)
    elif not line["event"].startswith("::"):
        yield line["event"]
        for error in line.get("error_detail") or ():
            yield f"{error['exc_type']}: {error['exc_value']}"


def _seconds(task: dict[str, Any]) -> float:
    if not task["start_date"]:
        return 0.0
    begin = datetime.fromisoformat(task["start_date"])
    end = datetime.fromisoformat(task["end_date"]) if task["end_date"] else datetime.now(begin.tzinfo)
    return (end - begin).total_seconds()


@contextmanager
def _as_table(chain: Chain) -> Iterator[Callable[[], None]]:
    """On a terminal: show one table that fills."""
    with Live(console=console, refresh_per_second=4) as live:
        yield lambda: live.update(table(chain, with_words=True))


@contextmanager
def _as_lines(chain: Chain) -> Iterator[Callable[[], None]]:
    """In a file or a pipe: say one line per change, and give a sign of life on what takes long."""
    said: dict[tuple[Run, str], tuple[str, float]] = {}

    def refresh() -> None:
        for key, step in chain.steps.items():
            state, at = said.get(key, ("", 0.0))
            still_running = step.state == "running" and step.seconds - at >= SAY_STILL_RUNNING_EVERY_SECONDS
            if step.state not in ("scheduled", "queued") and (step.state != state or still_running):
                said[key] = (step.state, step.seconds)
                console.print(f"  {step.name}: {step.state} {step.seconds:.0f} s", soft_wrap=True)
                if step.said:
                    console.print(f"    {escape(step.said)}", style="dim", soft_wrap=True)

    yield refresh
    console.print(table(chain, with_words=False))


def table(chain: Chain, with_words: bool) -> Table:
    """Return the tasks of a chain with state and seconds, and what their commands said."""
    shown = Table(
        title=f"as of {chain.as_of_date}" if chain.as_of_date else None, box=None, title_justify="left"
    )
    shown.add_column("task")
    shown.add_column("state")
    shown.add_column("seconds", justify="right")
    if with_words:
        shown.add_column("what it said", style="dim", overflow="fold")
    for step in sorted(chain.steps.values(), key=lambda step: step.started_at):
        state = Text(step.state, STYLES.get(step.state, ""))
        words = [escape(step.said)] if with_words else []
        shown.add_row(step.name, state, f"{step.seconds:.1f}", *words)
    return shown
