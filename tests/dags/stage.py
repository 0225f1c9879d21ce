"""Airflow on a stand-in checkout: what tests say to it and see of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import settings
from orchestrate import airflow_server, follow, processes
from tests.dags import stand_in

DAY = "2011-12-08"
COMPLETE = [{"to": "landing latest-day", "says": DAY}, {"to": "ml champion", "says": "behaviour_segments 1"}]
CHAIN = ["land_behaviour", "build_features", "score_users", "publish_segments"]
COMMANDS = [
    "landing receive",
    "expectations incoming",
    "warehouse build core",
    "expectations ml_inputs",
    "ml score",
    "warehouse build bi",
    "expectations bi",
    "serving publish",
]


@dataclass
class Stage:
    """A stand-in checkout with its Airflow."""

    folder: Path
    client: airflow_server.Client
    seen: int = 0

    def when(self, *answers: dict[str, Any]) -> None:
        """Say how commands answer from now on, and look only at calls from now on."""
        stand_in.answer(self.folder, [*answers, *COMPLETE])
        self.seen = len(stand_in.calls(self.folder))

    def calls(self) -> list[dict[str, Any]]:
        new = stand_in.calls(self.folder)[self.seen :]
        return [call for call in new if "latest-day" not in call["words"]]

    def called(self, shop: str | None = None) -> list[str]:
        lines = [" ".join(call["words"]) for call in self.calls() if shop in (None, call["SHOAL_SHOP"])]
        return [each for line in lines for each in COMMANDS if line.startswith(each)]

    def trigger(self, name: str, dag_id: str = "land_behaviour", **body: Any) -> follow.Run:
        conf = {"shop": "online_retail", "folder": "data/drops"} | body.pop("conf", {})
        given = {"dag_run_id": name, "logical_date": None, "conf": conf, **body}
        self.client.post(f"dags/{dag_id}/dagRuns", given)
        return follow.Run(dag_id, name)

    def alerts(self) -> str:
        """Return what the alert command was told."""
        file = self.folder / "data" / "alerts.txt"
        return file.read_text() if file.exists() else ""

    def rest(self) -> None:
        """Wait until no run is under way."""
        eventually(lambda: not self.client.get("dags/~/dagRuns", state=["queued", "running"])["dag_runs"])

    def wait_for(self, run: follow.Run, *states: str) -> str:
        def state() -> str | None:
            found: str = self.client.get(run.path)["state"]
            return found if found in states else None

        return eventually(state)

    def task_states(self, run: follow.Run) -> dict[str, tuple[str, int]]:
        tasks = self.client.get(f"{run.path}/taskInstances")["task_instances"]
        return {task["task_id"]: (task["state"], task["try_number"]) for task in tasks}


def eventually(look: Callable[[], Any], seconds: float = 300) -> Any:
    """Return the first answer of ``look`` that says something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(1)
    raise AssertionError(f"{look} saw nothing within {seconds} s")


def send_events(
    client: airflow_server.Client, count: int, days: list[str], shop: str, senders: int, name: str = "event"
) -> set[str]:
    """Say so many times, several at once, that predictions of these days are there; return the runs named."""
    (asset,) = client.get("assets", name_pattern="predictions")["assets"]
    names = [f"{name}_{number}" for number in range(count)]

    def send(number: int) -> None:
        extra = {"shops": {shop: {"run_id": names[number], "full_refresh": False}}}
        event = {"asset_id": asset["id"], "partition_key": days[number % len(days)], "extra": extra}
        client.post("assets/events", event)

    with ThreadPoolExecutor(senders) as pool:
        list(pool.map(send, range(count)))
    return set(names)


def heard(client: airflow_server.Client, names: set[str]) -> set[str]:
    """Return those of :func:`send_events` that a DAG run answers to."""
    (asset,) = client.get("assets", name_pattern="predictions")["assets"]
    found: set[str] = set()
    for offset in range(0, 2 * len(names), 100):
        page = client.get("assets/events", asset_id=asset["id"], limit=100, offset=offset)
        for event in page["asset_events"]:
            runs = {told["run_id"] for told in event["extra"].get("shops", {}).values()}
            found |= runs if event["created_dagruns"] else set()
    return found & names


def backfill_by_command(_: airflow_server.Client, checkout: Path, first: str, last: str) -> None:
    """Ask for days, oldest first, as docs/operations.md types it."""
    words = ["--dag-id", "land_behaviour", "--max-active-runs", "1"]
    dates = ["--from-date", first, "--to-date", f"{last}T23:59"]
    subprocess.run(
        [sys.executable, "-m", "orchestrate", "airflow", "backfill", "create", *words, *dates],
        cwd=checkout,
        env=settings.environment(),
        check=True,
        capture_output=True,
    )


def backfill_backwards_by_page(client: airflow_server.Client, _: Path, first: str, last: str) -> None:
    """Ask for days, newest first, as Airflow's page does."""
    asked = {
        "dag_id": "land_behaviour",
        "from_date": f"{first}T00:00:00Z",
        "to_date": f"{last}T23:59:00Z",
        "run_backwards": True,
        "max_active_runs": 1,
        "reprocess_behavior": "none",
        "dag_run_conf": {},
    }
    client.post("backfills", asked)


@contextmanager
def opened(folder: Path, home: Path) -> Iterator[Path]:
    """Make a stand-in checkout and look at its data folder; at the end, end the Airflow that runs there."""
    stand_in.build(folder)
    (folder / "data" / "drops").mkdir()
    stand_in.answer(folder, [{"to": "landing latest-day"}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(folder / "data"))
        patch.setenv("HOME", str(home))
        patch.setenv("SHOAL_AIRFLOW_PORT", "0")
        patch.setenv("SHOAL_ALERT_COMMAND", f"tee -a {folder / 'data' / 'alerts.txt'}")
        try:
            yield folder
        finally:
            airflow_server.end()
        assert not processes.members(airflow_server.FAMILY)
        assert list(home.rglob("*")) == [], "Airflow or a task wrote into the home directory"


def begin(
    folder: Path, script: str = "from orchestrate import airflow_server; airflow_server.start()"
) -> Stage:
    """Start Airflow by a Python process in the checkout."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=settings.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    address = airflow_server.found()
    assert address
    return Stage(folder, airflow_server.Client(address))
