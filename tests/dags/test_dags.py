"""The DAG files themselves: parsed, never run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Asset, CronPartitionTimetable, CronTriggerTimetable, PartitionedAssetTimetable
from airflow.sdk.definitions.asset import AssetUniqueKey
from airflow.sdk.exceptions import ParamValidationError
from airflow.sdk.execution_time.context import OutletEventAccessor

import settings
from common import alerts, assets, runs
from common.commands import AskForModel, Command

DAGS = settings.ROOT / "dags"
DAG_IDS = {"land_behaviour", "build_features", "train_models", "score_users", "publish_segments"}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return _parse(DAGS)


def _parse(folder: Path) -> DagBag:
    """Parse a folder and insist on the exact set: a wrong folder gives no DAGs, and no errors either."""
    bag = DagBag(folder)
    assert not bag.import_errors
    assert set(bag.dags) == DAG_IDS
    return bag


def test_folder_holds_exactly_the_five_dags_each_in_the_file_of_its_name(bag: DagBag) -> None:
    assert {dag_id: Path(dag.fileloc).stem for dag_id, dag in bag.dags.items()} == {
        each: each for each in DAG_IDS
    }


def test_wrong_folder_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        _parse(tmp_path)


def test_parsing_imports_nothing_heavy() -> None:
    heavy = {"torch", "dbt", "pandas", "numpy", "duckdb", "mlflow", "great_expectations", "transformers"}
    script = (
        "import sys; from airflow.dag_processing.dagbag import DagBag; "
        f"bag = DagBag({str(DAGS)!r}); assert len(bag.dags) == 5; "
        f"print(','.join(sorted({heavy!r} & set(sys.modules))), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=_environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == ""


def _environment() -> dict[str, str]:
    return settings.environment(PYTHONPATH=f"{settings.ROOT}:{DAGS}")


def test_every_command_resolves(bag: DagBag) -> None:
    commands = list(_commands(bag))
    assert len(commands) == 9 + 1  # nine tasks run a command, one of them with more words on a full refresh
    codes = _exit_codes_of_parsing(commands)
    assert codes == [0] * len(commands), list(zip(commands, codes, strict=True))


def test_command_that_no_room_knows_is_noticed() -> None:
    wrong = [["landing", "recieve", "."], ["serving", "publish", "--as-off", "2026-01-31"]]
    assert _exit_codes_of_parsing(wrong) == [2, 2]


def _commands(bag: DagBag) -> Iterator[list[str]]:
    for dag in bag.dags.values():
        for task in dag.tasks:
            if isinstance(task, Command):
                words = [each.format(shop="simulated", as_of="2026-01-31", folder=".") for each in task.words]
                yield words
                if task.full_refresh:
                    yield [*words, *task.full_refresh]


def _exit_codes_of_parsing(commands: list[list[str]]) -> list[int]:
    """Let each room parse its command line, and stop before it acts."""
    script = (
        "import runpy, sys, cli; cli.run = lambda parser, argv=None: parser.parse_args(argv) and 0; "
        "sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__')"
    )
    return [
        subprocess.run(
            [sys.executable, "-c", script, *words],
            cwd=settings.ROOT,
            env=_environment(),
            capture_output=True,
            check=False,
        ).returncode
        for words in commands
    ]


def test_tasks_that_open_the_warehouse_share_one_slot(bag: DagBag) -> None:
    tasks = [task for dag in bag.dags.values() for task in dag.tasks]
    assert {task.task_id for task in tasks if task.pool == runs.WAREHOUSE_POOL} == {
        *("build_core", "check_ml_inputs"),
        *("build_bi", "check_bi", "publish_version"),
    }


def test_tasks_that_open_the_warehouse_go_to_its_worker(bag: DagBag) -> None:
    tasks = [task for dag in bag.dags.values() for task in dag.tasks]
    in_pool = {task.task_id for task in tasks if task.pool == runs.WAREHOUSE_POOL}
    queues = {task.task_id: task.queue for task in tasks}
    # Scoring writes its rows at its end, without a slot.
    assert {task for task, queue in queues.items() if queue == runs.WAREHOUSE_QUEUE} == {
        *in_pool,
        "score_users",
    }
    assert {*queues.values()} == {runs.WAREHOUSE_QUEUE, "default"}


def test_every_task_is_retried_with_growing_pauses(bag: DagBag) -> None:
    for dag in bag.dags.values():
        for task in dag.tasks:
            assert task.retries == 2, task.task_id
            assert task.retry_delay < timedelta(minutes=1)
            assert task.retry_exponential_backoff
            assert task.execution_timeout, task.task_id


def test_days_travel_one_at_a_time(bag: DagBag) -> None:
    assert {dag.max_active_runs for dag in bag.dags.values()} == {1}
    assert not any(dag.catchup for dag in bag.dags.values())


def test_schedules_carry_the_day_as_partition_key(bag: DagBag) -> None:
    schedule = {dag_id: dag.schedule for dag_id, dag in bag.dags.items()}
    landing = schedule["land_behaviour"]
    assert isinstance(landing, CronPartitionTimetable)
    assert (landing.key_format, landing.run_offset) == ("%Y-%m-%d", -1)
    assert isinstance(schedule["train_models"], CronTriggerTimetable)
    # On a Monday a first start would train at once, beside what score_users asks for.
    assert schedule["train_models"].run_immediately == timedelta(0)
    listens = {
        dag_id: each.asset_condition
        for dag_id, each in schedule.items()
        if isinstance(each, PartitionedAssetTimetable)
    }
    assert listens == {
        "build_features": assets.LANDED_TABLES,
        "score_users": assets.ML_INPUTS,
        "publish_segments": assets.PREDICTIONS,
    }


def test_every_asset_is_handed_over_by_the_last_task_of_one_dag(bag: DagBag) -> None:
    producers = [task for dag in bag.dags.values() for task in dag.tasks if task.outlets]
    handed = [task.outlets[0].name for task in producers]
    declared = [asset.name for asset in vars(assets).values() if isinstance(asset, Asset)]
    assert sorted(handed) == sorted(declared)
    assert not any(task.downstream_task_ids for task in producers)


def test_params_have_a_schema_and_defaults_that_satisfy_it(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert {"shop", "as_of_date", "full_refresh"} <= set(dag.params)
        dag.params.validate()


@pytest.mark.parametrize(
    ("name", "wrong"), [("shop", "No Shop"), ("as_of_date", "yesterday"), ("full_refresh", "maybe")]
)
def test_params_refuse_what_their_schema_does_not_allow(bag: DagBag, name: str, wrong: str) -> None:
    for dag in bag.dags.values():
        with pytest.raises(ParamValidationError):
            dag.params.get_param(name).resolve(wrong)


def test_docstrings_tell_whoever_is_on_call_what_to_do(bag: DagBag) -> None:
    for dag in bag.dags.values():
        for heading in ("Reads:", "Writes:", "When it runs:", "When it fails:", "Safe to rerun:"):
            assert heading in (dag.doc_md or ""), (dag.dag_id, heading)


def test_critical_path_has_eight_commands(bag: DagBag) -> None:
    daily = DAG_IDS - {"train_models"}
    tasks = [task for dag_id in daily for task in bag.dags[dag_id].tasks]
    assert sum(isinstance(task, Command) for task in tasks) == 8
    assert sum(isinstance(task, AskForModel) for task in tasks) == 1


def test_alert_command_of_no_use_is_logged_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SHOAL_ALERT_COMMAND", " ")
    alerts.send("Shoal: build_features.build_core failed in try 3")
    assert "SHOAL_ALERT_COMMAND=' ' is no command: set it to one" in caplog.text


class TestWhatARunIsAbout:
    """Of ``common.runs``: day, shops and id of a run."""

    def context(self, **given: Any) -> Any:
        defaults = {"shop": "simulated", "as_of_date": None, "full_refresh": False}
        dag_run = SimpleNamespace(
            partition_key=given.get("key"),
            run_id="manual__2026-01-31T10:00:00+00:00",
            conf=given.get("conf", {}),
        )
        events = [SimpleNamespace(timestamp=at, extra=extra) for at, extra in given.get("events", [])]
        return {
            "params": defaults | given.get("params", {}),
            "dag_run": dag_run,
            "triggering_asset_events": {"asset": events},
        }

    def test_key_names_the_day(self) -> None:
        assert runs.as_of_date(self.context(key="2026-01-31")) == date(2026, 1, 31)

    def test_parameter_names_the_day_where_there_is_no_key(self) -> None:
        assert runs.as_of_date(self.context(params={"as_of_date": "2026-01-30"})) == date(2026, 1, 30)

    def test_nobody_names_a_day(self) -> None:
        assert runs.as_of_date(self.context()) is None

    def test_key_and_parameter_that_disagree_are_refused(self) -> None:
        with pytest.raises(ValueError, match="2026-01-30 is not the partition key 2026-01-31"):
            runs.as_of_date(self.context(key="2026-01-31", params={"as_of_date": "2026-01-30"}))

    def test_run_by_hand_is_its_own_chain_with_an_id_that_fits_a_file_name(self) -> None:
        (run,) = runs.shop_runs(self.context(params={"shop": "online_retail"}))
        assert run == runs.ShopRun("online_retail", "manual__2026-01-31T10-00-00-00-00", False)

    def test_shop_and_chain_come_from_the_event_that_started_the_run(self) -> None:
        handed = runs.ShopRun("online_retail", "chain", True)
        assert runs.shop_runs(self.context(events=[(1, runs.extra([handed]))])) == [handed]

    def test_events_of_two_shops_in_one_run_keep_both(self) -> None:
        one, other = (runs.ShopRun(shop, f"of {shop}", False) for shop in ("simulated", "another"))
        events = [(1, runs.extra([one])), (2, runs.extra([other]))]
        assert runs.shop_runs(self.context(events=events)) == [other, one]

    def test_each_shop_of_a_day_is_handed_over_by_a_key_and_goes_on_in_a_run_of_its_own(self) -> None:
        """Airflow joins the events of one key into one run; the failure of one shop would end the other's."""
        one, other = (runs.ShopRun(shop, f"of {shop}", False) for shop in ("simulated", "another"))
        event = OutletEventAccessor(key=AssetUniqueKey.from_asset(assets.ML_INPUTS))
        build = Command(task_id="build", words=["warehouse"], hands_over=assets.ML_INPUTS)
        build._hand_over({"outlet_events": {assets.ML_INPUTS: event}}, [one, other], date(2026, 1, 31))
        started = [self.context(key=key, events=[(1, event.extra)]) for key in sorted(event.partition_keys)]
        assert [runs.shop_runs(context) for context in started] == [[other], [one]]
        assert [runs.as_of_date(context) for context in started] == [date(2026, 1, 31)] * 2

    def test_run_by_hand_for_a_key_works_for_the_shop_that_the_key_names(self) -> None:
        (run,) = runs.shop_runs(self.context(key="2026-01-31|online_retail"))
        assert run.shop == "online_retail"

    def test_newest_event_of_a_shop_decides(self) -> None:
        older, newer = (runs.extra([runs.ShopRun("simulated", each, False)]) for each in ("older", "newer"))
        (run,) = runs.shop_runs(self.context(events=[(2, newer), (1, older)]))
        assert run.run_id == "newer"

    def test_run_that_another_dag_asked_for_has_its_shops(self) -> None:
        conf = {"shop": "simulated", **runs.extra([runs.ShopRun("online_retail", "chain", False)])}
        (run,) = runs.shop_runs(self.context(conf=conf))
        assert (run.shop, run.run_id) == ("online_retail", "chain")
