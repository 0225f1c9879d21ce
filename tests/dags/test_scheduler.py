"""The DAGs under a real scheduler, in a checkout whose commands are stand-ins.

Seen here: how the day, the shop and the chain's id travel; what is skipped, retried and given up. What the
commands do is seen in tests/e2e.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator

import httpx
import psutil
import pytest

import settings
from cli import ShoalError
from orchestrate import airflow_server, follow, login, processes
from tests.dags.stage import (
    CHAIN,
    COMMANDS,
    DAY,
    Stage,
    backfill_backwards_by_page,
    backfill_by_command,
    begin,
    eventually,
    opened,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _quiet(stage: Stage) -> None:
    """Let what an earlier test set off come to its end."""
    stage.rest()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with opened(tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("home")) as folder:
        yield begin(folder)


def test_day_shop_and_chain_travel_from_landing_to_publishing(stage: Stage) -> None:
    stage.when()
    first = stage.trigger("by_hand")
    chain = follow.follow(stage.client, first, until="publish_segments")
    assert [run.dag_id for run in chain.runs] == CHAIN
    assert chain.as_of_date == DAY
    (skipped,) = (step for step in chain.steps.values() if step.state == "skipped")
    assert (skipped.task_id, skipped.said) == (
        "ask_for_model",
        f"a champion is in force for {DAY}: no training asked for",
    )
    assert stage.called() == COMMANDS
    for call in stage.calls():
        assert call["SHOAL_SHOP"] == "online_retail"
        if call["words"][:2] not in (["landing", "receive"], ["expectations", "incoming"]):
            assert call["words"][-1] == DAY, call
    chains = {
        call["SHOAL_RUN_ID"]
        for call in stage.calls()
        if not {"champion", "wants-training"} & {*call["words"]}
    }
    assert chains == {"by_hand"}
    assert [call["SHOAL_DAG_RUN_ID"].split("/")[0] for call in stage.calls() if call["SHOAL_DAG_RUN_ID"]] == [
        *["land_behaviour"] * 2,
        *["build_features"] * 2,
        *["score_users"],
        *["publish_segments"] * 3,
    ]


def test_model_is_asked_for_once_where_none_is_in_force(stage: Stage) -> None:
    stage.when({"to": "ml champion", "says": ""})
    chain = follow.follow(stage.client, stage.trigger("without_champion"), until="publish_segments")
    trained = [call for call in stage.calls() if call["words"][:2] == ["ml", "train"]]
    assert [(call["words"][-1], call["SHOAL_SHOP"], call["SHOAL_RUN_ID"]) for call in trained] == [
        (DAY, "online_retail", "without_champion")
    ]
    assert [run.dag_id for run in chain.asked] == ["train_models"]
    assert stage.called() == COMMANDS


def test_quality_checks_ask_for_training_though_a_champion_is_in_force(stage: Stage) -> None:
    stage.when({"to": "expectations wants-training", "says": "segments moved fast"})
    chain = follow.follow(stage.client, stage.trigger("moved_fast"), until="publish_segments")
    assert [run.dag_id for run in chain.asked] == ["train_models"]
    assert [call["words"][-1] for call in stage.calls() if call["words"][:2] == ["ml", "train"]] == [DAY]


def test_day_that_is_not_complete_is_skipped_and_publishes_nothing(stage: Stage) -> None:
    stage.when({"to": "landing latest-day", "says": "2011-12-06"})
    run = stage.trigger("without_data", partition_key="2011-12-07")
    with pytest.raises(ShoalError, match="has no complete day 2011-12-07"):
        follow.follow(stage.client, run, until="publish_segments")
    assert stage.called() == ["landing receive"]


def test_gate_stops_the_chain_without_a_retry(stage: Stage) -> None:
    stage.when({"to": "expectations ml_inputs", "code": 3})
    run = stage.trigger("stopped")
    with pytest.raises(ShoalError, match=r"check_ml_inputs failed in try 1(.|\n)*a gate stopped it"):
        follow.follow(stage.client, run, until="publish_segments")
    assert stage.called() == COMMANDS[:4]


def test_alert_command_is_told_of_a_task_that_failed_for_good(stage: Stage) -> None:
    stage.when({"to": "expectations incoming", "code": 3})
    run = stage.trigger("alarming")
    assert stage.wait_for(run, "failed") == "failed"
    told = eventually(lambda: "run: alarming" in stage.alerts() and stage.alerts())
    assert "Shoal: land_behaviour.check_incoming failed in try 1" in told
    assert "ended with exit code 3: a gate stopped it" in told
    assert f"logs: {settings.airflow_dir()}/logs/dag_id=land_behaviour/run_id=alarming/" in told


def test_alert_command_is_told_of_a_scheduled_day_that_is_late(stage: Stage) -> None:
    """Airflow runs yesterday as soon as it starts; the stand-in shop dropped nothing."""
    runs = stage.client.get("dags/land_behaviour/dagRuns", run_type=["scheduled"])["dag_runs"]
    assert runs
    assert "Shoal: simulated is late\ndata/simulated/inbox does not exist" in stage.alerts().replace(
        f"{settings.data_dir()}", "data"
    )


def test_failure_is_tried_again_and_the_chain_goes_on(stage: Stage) -> None:
    stage.when({"to": "warehouse build core", "code": 1})
    run = stage.trigger("by_hand_again", dag_id="build_features", partition_key=DAY)
    eventually(lambda: stage.task_states(run).get("build_core") == ("up_for_retry", 1))
    stage.when()
    assert stage.wait_for(run, "success", "failed") == "success"
    assert stage.task_states(run)["build_core"] == ("success", 2)
    eventually(lambda: stage.called() == COMMANDS[2:])


def test_two_shops_on_one_day_each_get_their_own_chain(stage: Stage) -> None:
    stage.when()
    for shop in ("online_retail", "simulated"):
        stage.trigger(f"of_{shop}", conf={"shop": shop})
    eventually(lambda: all(stage.called(shop) == COMMANDS for shop in ("online_retail", "simulated")))
    for call in stage.calls():
        if call["SHOAL_RUN_ID"]:
            assert call["SHOAL_RUN_ID"] == f"of_{call['SHOAL_SHOP']}", call
            assert call["SHOAL_SHOP"] in call["words"], call


@pytest.mark.parametrize(
    ("ask", "days"),
    [
        (backfill_by_command, [f"2011-11-{number}" for number in range(26, 31)]),
        (backfill_backwards_by_page, [f"2011-11-{number}" for number in range(25, 20, -1)]),
    ],
)
def test_backfill_of_five_days_travels_in_order_while_today_runs(
    stage: Stage, ask: Callable[..., None], days: list[str]
) -> None:
    (stage.folder / "data" / "simulated" / "inbox").mkdir(parents=True, exist_ok=True)
    complete = [{"to": f"landing latest-day --shop simulated --up-to {day}", "says": day} for day in days]
    stage.when(*complete)
    ask(stage.client, stage.folder, min(days), max(days))
    stage.trigger(f"today_beside_{days[0]}")
    eventually(lambda: stage.called("simulated").count("serving publish") == len(days), seconds=600)
    eventually(lambda: stage.called("online_retail") == COMMANDS)
    for verb in COMMANDS[2:]:
        calls = [call for call in stage.calls() if " ".join(call["words"]).startswith(verb)]
        assert [call["words"][-1] for call in calls if call["SHOAL_SHOP"] == "simulated"] == days, verb
    for dag_id in CHAIN:
        runs = stage.client.get(f"dags/{dag_id}/dagRuns", limit=100)["dag_runs"]
        keys = [(run["partition_key"] or "").partition("|")[0] for run in runs]
        assert sorted(key for key in keys if key in days) == sorted(days), dag_id


def test_everything_listens_on_this_machine_only(stage: Stage) -> None:
    listening = [
        (connection.laddr.ip, connection.laddr.port)
        for process in processes.members(airflow_server.FAMILY)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {("127.0.0.1", stage.client.address.port)}


def test_keys_and_log_in_are_readable_by_their_owner_only(stage: Stage) -> None:
    home = settings.airflow_dir()
    files = [home / name for name in ("fernet.key", "api.key", "jwt.key", "airflow.db", "port")]
    files.append(login.file())
    assert {stat.filemode(file.stat().st_mode) for file in files} == {"-rw-------"}


def answers_to(anybody: httpx.Client, description: str, **query: str) -> dict[str, int]:
    """Return what every route of a described interface answers, by its address."""
    told = anybody.get(description, params=query).json()
    (prefix,) = [server["url"] for server in told.get("servers", [{"url": ""}])]
    return {
        f"{method} {prefix}{route}": anybody.request(
            method, prefix + re.sub(r"{[^}]*}", "x", route), params=query
        ).status_code
        for route, methods in told["paths"].items()
        for method in methods
    }


def test_api_answers_nobody_who_is_not_logged_in_but_for_health_version_and_the_log_in(stage: Stage) -> None:
    with httpx.Client(base_url=stage.client.address.url, trust_env=False, timeout=60) as anybody:
        answers = answers_to(anybody, "/openapi.json")
        assert anybody.get("/ui/dags").status_code == 401
        assert anybody.get("/auth/token").status_code == 403
        given = anybody.post("/auth/token", json={"username": "admin", "password": "admin"})
        assert given.status_code == 401
    assert len(answers) > 100
    assert {route: code for route, code in answers.items() if code != 401} == {
        "get /api/v2/version": 200,
        "get /api/v2/monitor/health": 200,
        "get /api/v2/auth/login": 307,
        "get /api/v2/auth/logout": 307,
    }


def test_interface_of_the_tasks_answers_nobody_without_the_token_of_a_task(stage: Stage) -> None:
    with httpx.Client(base_url=stage.client.address.url, trust_env=False, timeout=60) as anybody:
        versions = re.findall(r"docs\?version=([0-9-]+)", anybody.get("/execution/docs").text)
        answers = answers_to(anybody, "/execution/openapi.json", version=versions[0])
        anybody.headers["Authorization"] = f"Bearer {token(anybody)}"
        logged_in = answers_to(anybody, "/execution/openapi.json", version=versions[0])
    health = {"get /execution/health": 200, "get /execution/health/ping": 200}
    for found in (answers, logged_in):
        assert len(found) > 20
        assert {route: code for route, code in found.items() if code not in (401, 403)} == health


def token(client: httpx.Client) -> str:
    """Log in; return what the next requests carry."""
    told = client.post("/auth/token", json={"username": login.USER, "password": login.password()})
    return str(told.json()["access_token"])


@pytest.mark.parametrize("elsewhere", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_airflow_refuses_a_foreign_host_or_origin_even_with_a_log_in(
    stage: Stage, elsewhere: dict[str, str]
) -> None:
    url = stage.client.address.url
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as known:
        known.headers["Authorization"] = f"Bearer {token(known)}"
        assert known.get("/api/v2/dags", headers={"Origin": url}).status_code == 200
        for path in ("/", "/api/v2/dags", "/api/v2/version", "/execution/health", "/auth/login"):
            assert known.get(path, headers=elsewhere).status_code == 403, path
        change = known.patch("/api/v2/dags/train_models", json={"is_paused": True}, headers=elsewhere)
        assert change.status_code == 403
    assert not stage.client.get("dags/train_models")["is_paused"]


def test_no_task_inherits_a_key_of_airflow(stage: Stage) -> None:
    keys = [(settings.airflow_dir() / f"{name}.key").read_text() for name in ("fernet", "api", "jwt")]
    told = airflow_server.environment(stage.client.address.port)
    assert not any(key in value for key in keys for value in told.values())
