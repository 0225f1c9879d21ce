"""Five past days under a real Airflow with the real commands, in both orders, while today's run works."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest

import settings
from orchestrate import airflow_server
from orchestrate.airflow_server import Client
from serving.query import connect
from settings import ShopPaths
from tests import world
from tests.chain import Chain
from tests.dags.stage import CHAIN, backfill_backwards_by_page, backfill_by_command, eventually
from tests.dbt import days

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.deep]

Said = list[dict[tuple[date, str], str]]
"""What each backfill published: the content hash of every table of every day."""

PAST = [world.LAST_DAY - timedelta(days=ago) for ago in (5, 4, 3, 2, 1)]
TODAY = world.LAST_DAY


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The world's shop on the first of the days, with a model; the files of later days lie in the inbox."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_SHOPS", str(settings.ROOT / "tests" / "shops"))
        patch.setenv("SHOAL_SHOP", world.SHOP)
        chain = Chain(world.SHOP, tmp_path_factory.mktemp("trained"))
        world.write_drops(chain.drops)
        world.write_crowd(chain.drops)
        for number, day in enumerate(PAST):
            _deliver_a_day(chain.drops, number, day)
        inbox = chain.folder / "inbox"
        inbox.mkdir()
        for file in chain.drops.iterdir():
            if date.fromisoformat(file.stem[-10:]) > PAST[0]:
                file.rename(inbox / file.name)
        assert chain.land(chain.drops) == str(PAST[0])
        chain.run("warehouse", "build", "core", "--as-of", str(PAST[0]))
        chain.run("ml", "train", "--as-of", str(PAST[0]), "--steps", "60")
        yield chain


def _deliver_a_day(drops: Path, number: int, day: date) -> None:
    """Write what the shop drops every day: somebody of the crowd looks, and somebody else buys."""
    at = f"{day} 10:00:00"
    visit = {"event_id": f"daily{number}", "event_type": "view", "occurred_at": at, "channel": "web"}
    world.write_file(drops / f"events_daily_{day}.csv", visit | {"customer_id": f"crowd{number}"})
    order = {"order_id": f"daily{number}", "ordered_at": at}
    head = {"customer_id": f"crowd{60 - number}", "order_status": "completed", "currency": "EUR"}
    line = {"line_number": 1, "product_id": "mug", "quantity": 1 + number, "unit_price_amount": 10}
    world.write_file(drops / f"orders_daily_{day}.csv", order | head | {"updated_at": at})
    world.write_file(drops / f"order_lines_daily_{day}.csv", order | line)


@pytest.fixture(scope="module")
def said() -> Said:
    return []


@contextmanager
def airflow(data: Path, home: Path) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(data))
        patch.setenv("SHOAL_AIRFLOW_PORT", "0")
        patch.setenv("HOME", str(home))
        try:
            yield Client(airflow_server.start())
        finally:
            airflow_server.end()


def runs_by_day(client: Client, dag_id: str) -> dict[str | None, list[dict[str, str]]]:
    """Return the runs of a DAG by their day; not what the schedule started by the clock of this machine."""
    found: dict[str | None, list[dict[str, str]]] = {}
    for run in client.get(f"dags/{dag_id}/dagRuns", limit=100)["dag_runs"]:
        if run["run_type"] != "scheduled":
            day = run["partition_key"] and run["partition_key"].partition("|")[0]
            found.setdefault(day, []).append(run)
    return found


def are_all_published(client: Client) -> bool:
    states = {
        (dag, day): {run["state"] for run in runs}
        for dag in CHAIN
        for day, runs in runs_by_day(client, dag).items()
    }
    assert "failed" not in set().union(*states.values()), states
    return all(states.get(("publish_segments", str(day))) == {"success"} for day in (*PAST, TODAY))


@pytest.mark.parametrize(
    ("ask", "order"), [(backfill_by_command, PAST), (backfill_backwards_by_page, PAST[::-1])]
)
def test_five_days_give_five_runs_each_in_order_while_today_runs(
    ask: Callable[..., None], order: list[date], trained: Chain, said: Said, tmp_path: Path
) -> None:
    data, wanted = tmp_path / "data", [str(day) for day in order]
    shutil.copytree(trained.data, data, symlinks=True)
    with airflow(data, tmp_path) as client:
        ask(client, settings.ROOT, min(wanted), max(wanted))
        client.post("dags/land_behaviour/dagRuns", {"dag_run_id": "today", "logical_date": None, "conf": {}})
        eventually(lambda: are_all_published(client), seconds=1800)
        for dag in CHAIN:
            runs = runs_by_day(client, dag)
            today = None if dag == "land_behaviour" else str(TODAY)
            assert {day: len(each) for day, each in runs.items()} == dict.fromkeys([*wanted, today], 1), dag
            assert sorted(wanted, key=lambda day: runs[day][0]["start_date"]) == wanted, dag
        ended = {day: runs[0]["end_date"] for day, runs in runs_by_day(client, "publish_segments").items()}
        assert ended[str(TODAY)] < ended[wanted[-1]], "today did not wait for the past"
        paths = ShopPaths(world.SHOP)
        with connect(paths) as connection:
            shown = connection.execute("select distinct as_of_date from bi.user_segment_current")
            assert shown.fetchall() == [(TODAY,)], "the past never moves what is current back"
        said.append(days.published(paths))
    assert {day for day, _ in said[-1]} == {*PAST, TODAY}


def test_order_of_the_days_makes_no_difference_to_what_they_say(said: Said) -> None:
    forward, backwards = said
    assert backwards == forward
