"""Airflow under faults, with stand-ins for the commands: nothing is lost, and who follows is told."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

import settings
from cli import ShoalError
from orchestrate import airflow_server, follow, processes
from serving import status
from tests.dags.stage import CHAIN, COMMANDS, DAY, Stage, begin, eventually, heard, opened, send_events

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

START = "from orchestrate import airflow_server; print(airflow_server.start().port)"


@pytest.fixture(scope="module")
def started_by_six(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, list[str]]]:
    """Six commands start Airflow at once where none ever ran; return what each answered."""
    with opened(tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("home")) as folder:
        commands = [
            subprocess.Popen(
                [sys.executable, "-c", START],
                cwd=folder,
                env=settings.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(6)
        ]
        answers = [command.communicate() for command in commands]
        assert [command.returncode for command in commands] == [0] * 6, answers
        yield begin(folder), [port.strip() for port, _ in answers]


@pytest.fixture
def stage(started_by_six: tuple[Stage, list[str]]) -> Stage:
    stage, _ = started_by_six
    stage.rest()
    return stage


def heads() -> set[int]:
    """Return Airflow's processes that no other process of Airflow started."""
    members = processes.members(airflow_server.FAMILY)
    pids = {process.pid for process in members}
    return {process.pid for process in members if process.ppid() not in pids}


def test_six_that_start_airflow_at_once_get_the_same_one(started_by_six: tuple[Stage, list[str]]) -> None:
    stage, ports = started_by_six
    assert set(ports) == {str(stage.client.address.port)}
    parts = {int((settings.airflow_dir() / f"{name}.pid").read_text()): name for name in airflow_server.PARTS}
    assert len(parts) == 3
    eventually(lambda: heads() == set(parts), 30)


def test_run_triggered_by_eight_at_once_runs_once(stage: Stage) -> None:
    stage.when()

    def trigger(_: int) -> follow.Run | None:
        try:
            return stage.trigger("the_same")
        except ShoalError as error:
            assert "409" in str(error)
            return None

    with ThreadPoolExecutor(8) as pool:
        run, *_ = filter(None, pool.map(trigger, range(8)))
    chain = follow.follow(stage.client, run, until="publish_segments")
    assert [run.dag_id for run in chain.runs] == CHAIN
    assert stage.called() == COMMANDS


def test_two_runs_of_one_day_at_once_both_end_published(stage: Stage) -> None:
    stage.when()
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda name: stage.trigger(name, partition_key=DAY), ("one", "two")))
    for run in runs:
        chain = follow.follow(stage.client, run, until="publish_segments")
        assert chain.as_of_date == DAY
    # The scheduler may join both into one run of a later DAG.
    assert stage.called()[-1] == "serving publish"
    assert {verb: stage.called().count(verb) in (1, 2) for verb in COMMANDS} == dict.fromkeys(COMMANDS, True)


def test_events_by_the_dozen_lose_none_and_every_day_is_published(stage: Stage) -> None:
    """On SQLite thirty; five hundred are sent to Postgres, in tests/cluster."""
    days = ["2011-12-01", "2011-12-02"]
    stage.when()
    told = send_events(stage.client, 30, days, "online_retail", senders=4)
    told |= (last := send_events(stage.client, 2, days, "online_retail", senders=1, name="last"))
    stage.rest()
    eventually(lambda: heard(stage.client, told) == told)
    stage.rest()
    runs = stage.client.get("dags/publish_segments/dagRuns", limit=100)["dag_runs"]
    states = {(run["partition_key"], run["state"]) for run in runs if run["partition_key"] in days}
    assert states == {(day, "success") for day in days}
    published = [call for call in stage.calls() if call["words"][:2] == ["serving", "publish"]]
    assert {call["words"][-1] for call in published} == set(days)
    assert last <= {call["SHOAL_RUN_ID"] for call in published}, "the newest decides"


def test_day_that_met_a_paused_dag_is_told_and_mended_by_running_it_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow hands events to no paused DAG, not even later; `serving status` tells what mends it."""
    monkeypatch.setattr(follow, "HANDED_OVER_SECONDS", 5)
    stage.when()
    stage.client.patch("dags/score_users", {"is_paused": True})
    try:
        run = stage.trigger("while_paused", partition_key=DAY)
        with pytest.raises(ShoalError, match=r"no DAG took over from build_features .* paused\?"):
            follow.follow(stage.client, run, until="publish_segments")
    finally:
        stage.client.patch("dags/score_users", {"is_paused": False})
    assert stage.called() == COMMANDS[:4]
    monkeypatch.undo()
    stage.when()
    (stage.folder / "data" / "online_retail" / "inbox").mkdir(parents=True)
    words = shlex.split(status.rerun("online_retail", date.fromisoformat(DAY)))
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=stage.folder,
        env=settings.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    eventually(lambda: stage.called("online_retail") == COMMANDS)


def test_training_that_mlflow_keeps_waiting_lets_the_day_go_on_and_logs_later(stage: Stage) -> None:
    """A champion is in force, and the quality checks ask for a new model."""
    wanted = {"to": "expectations wants-training", "says": "segments moved fast"}
    stage.when({"to": "ml train", "code": 75, "says": "MLflow is away"}, wanted)
    chain = follow.follow(stage.client, stage.trigger("mlflow_away"), until="publish_segments")
    assert stage.called() == COMMANDS
    (training,) = chain.asked
    assert stage.client.get(training.path)["state"] == "running"
    eventually(lambda: sum(call["words"][:2] == ["ml", "train"] for call in stage.calls()) >= 2)
    stage.when(wanted)
    assert stage.wait_for(training, "success", "failed") == "success"
    assert stage.task_states(training) == {"train_models": ("success", 1)}, "waiting costs no retry"
    assert [call["words"][:2] for call in stage.calls()] == [["ml", "train"]]
    alert = "Shoal: train_models.train_models waits, and is tried again for a day\n`python -m ml train --shop"
    assert stage.alerts().count(alert) == 1, "told once"
    assert "MLflow is away" in stage.alerts()


def test_day_that_no_champion_may_score_waits_for_mlflow_and_then_for_the_training(stage: Stage) -> None:
    stage.when({"to": "ml champion", "code": 75})
    stage.trigger("nobody_kept", dag_id="score_users", partition_key=DAY)
    eventually(lambda: len(stage.calls()) >= 2)
    assert {tuple(call["words"][:2]) for call in stage.calls()} == {("ml", "champion")}
    stage.when({"to": "ml champion", "says": ""}, {"to": "ml train", "code": 75})
    eventually(lambda: sum(call["words"][:2] == ["ml", "train"] for call in stage.calls()) >= 2)
    assert stage.called() == []
    stage.when()
    eventually(lambda: stage.called() == COMMANDS[4:])


def test_killed_scheduler_is_told_and_its_run_goes_on_when_airflow_is_back(
    started_by_six: tuple[Stage, list[str]], stage: Stage
) -> None:
    stage.when({"to": "warehouse build core", "waits_for": "go"})
    run = stage.trigger("interrupted", partition_key=DAY)
    eventually(lambda: stage.called()[-1:] == ["warehouse build core"])
    os.kill(int((settings.airflow_dir() / "scheduler.pid").read_text()), signal.SIGKILL)
    with pytest.raises(ShoalError, match="Airflow's scheduler ended; `make up` starts it again"):
        follow.follow(stage.client, run, until="publish_segments")
    (Path(stage.folder) / "data" / "go").touch()
    back = replace(begin(stage.folder), seen=stage.seen)
    chain = follow.follow(back.client, run, until="publish_segments")
    assert [run.dag_id for run in chain.runs] == CHAIN
    called = back.called()
    assert list(dict.fromkeys(called)) == COMMANDS
    assert [verb for verb in set(called) if called.count(verb) > 1] in ([], ["warehouse build core"])
