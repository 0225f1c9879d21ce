"""The operator behind every task: a command that a person can type, run as its own process.

Airflow's LocalExecutor forks; torch, OpenMP and OpenSSL locks can hang a fork for good, so nothing heavy is
ever imported here. The command runs in the checkout, its output goes to the task's log line by line.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Asset, BaseOperator, Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
    DagRunTriggerException,
)
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import TriggerDagRun

import settings
from cli import GATE_STOPPED, TRY_LATER, WRONG_USAGE
from common import alerts
from common.runs import ShopRun, as_of_date, extra, partition_key, shop_runs

TELLING = re.compile(r"\b(already|reuse[ds]?|nothing new|unchanged)\b|^gate: ")
"""How commands say that they did less than the whole, or which model serves."""

SHORTEST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)
PATIENCE = timedelta(days=1)
"""For so long a command is tried again whose server does not answer; then its task fails."""

QUEUED_SECONDS = 60
"""A training that has not begun by then stands behind another, which may be waiting."""


class Command(BaseOperator):
    """Run ``python -m <words>`` once per shop of the run, and hand an asset over.

    Parameters
    ----------
    words : sequence of str
        The command; ``{shop}`` and ``{as_of}`` stand for the run's.
    full_refresh : sequence of str
        The words that are added when the run asks for a full refresh.
    force : bool
        Whether a full refresh also sets ``FORCE=1``.
    hands_over : Asset, optional
        Gets one event per shop, with as_of_date and shop as its partition key, and the run in its ``extra``.
    """

    template_fields: Sequence[str] = ()

    def __init__(
        self,
        *,
        words: Sequence[str],
        full_refresh: Sequence[str] = (),
        force: bool = False,
        hands_over: Asset | None = None,
        **options: Any,
    ) -> None:
        super().__init__(outlets=[hands_over] if hands_over else [], **options)
        self.words = tuple(words)
        self.full_refresh = tuple(full_refresh)
        self.force = force
        self.hands_over = hands_over
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Context) -> str:
        """Run the command for each shop; return the as_of_date for the tasks after it."""
        runs = shop_runs(context)
        day = self._day(context, runs)
        for run in runs:
            self._run(context, run, day)
        self._hand_over(context, runs, day)
        return day.isoformat()

    def on_kill(self) -> None:
        """End the command when Airflow ends the task."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _day(self, context: Context, runs: Sequence[ShopRun]) -> date:
        """Return the run's day; where nobody named one, all tasks of the run take what the first found."""
        if day := as_of_date(context):
            return day
        for found in context["ti"].xcom_pull(task_ids=sorted(self.upstream_task_ids)) or ():
            if found:
                return date.fromisoformat(found)
        latest = _latest_complete_day(context, runs[0])
        if latest is None:
            _skip(self, context, f"{runs[0].shop} has no complete day yet: nothing to do")
        return latest

    def _run(self, context: Context, run: ShopRun, day: date | None, **more: str) -> None:
        words = [word.format(shop=run.shop, as_of=day, **more) for word in self.words]
        environment = _environment(context, run)
        if run.full_refresh:
            words += self.full_refresh
            if self.force:
                environment["FORCE"] = "1"
        self.log.info("$ python -m %s", " ".join(words))
        self._process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=settings.ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            assert self._process.stdout
            said = []
            for line in self._process.stdout:
                self.log.info(line.rstrip("\n"))
                said.append(line.strip())
            code = self._process.wait()
        finally:
            self.on_kill()
        self._judge(context, code, " ".join(words), said)
        context["ti"].xcom_push(f"{run.shop} said", _in_short(said))

    def _judge(self, context: Context, code: int, command: str, lines: Sequence[str]) -> None:
        said = f"`python -m {command}` ended with exit code {code}"
        if code == TRY_LATER:
            _wait(context, f"{said}; {_in_short(lines)}")
        if code == GATE_STOPPED:
            raise AirflowFailException(f"{said}: a gate stopped it, nothing was published; see above")
        if code == WRONG_USAGE:
            raise AirflowFailException(f"{said}: wrong usage, which no retry mends; see above")
        if code:
            raise AirflowException(f"{said}; see above")

    def _hand_over(self, context: Context, runs: Sequence[ShopRun], day: date) -> None:
        if self.hands_over is not None:
            event = context["outlet_events"][self.hands_over]
            event.extra = extra(runs)
            event.add_partitions([partition_key(day, run.shop) for run in runs])


class Receive(Command):
    """Land a folder of files; skip when the run's day is not complete afterwards.

    Other than for the later DAGs, the day need not be known before: a history load takes the latest complete
    day it finds in the ledger.
    """

    def execute(self, context: Context) -> str:
        """Land the folder for the run's shop; return the as_of_date that is now complete."""
        (run,) = shop_runs(context)
        folder = context["params"]["folder"] or str(settings.ShopPaths(run.shop).root / "inbox")
        wanted = as_of_date(context)
        if not (settings.ROOT / folder).exists():
            self._skip_day(context, run.shop, f"{folder} does not exist: nothing to land for {run.shop}")
        self._run(context, run, wanted, folder=folder)
        latest = _latest_complete_day(context, run, up_to=wanted)
        if latest is None or (wanted and latest != wanted):
            self._skip_day(
                context,
                run.shop,
                f"{run.shop} has no complete day {wanted or 'at all'}: a daily table is missing",
            )
        return latest.isoformat()

    def _skip_day(self, context: Context, shop: str, reason: str) -> NoReturn:
        """Skip; where the day was due by the schedule, also tell somebody that it is late."""
        if context["dag_run"].run_type == "scheduled":
            alerts.day_is_late(shop, reason)
        _skip(self, context, reason)


class AskForModel(TriggerDagRunOperator):
    """Trigger ``train_models`` and wait: where no champion may score the day, or the checks ask for it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            trigger_dag_id="train_models",
            trigger_run_id="asked_by_{{ dag_run.run_id }}_{{ ti.try_number }}",
            logical_date=None,
            # The task occupies a slot of the executor while it waits, but no process of Shoal's runs in it.
            poke_interval=2,
            deferrable=False,
            openlineage_inject_parent_info=False,
            **options,
        )

    def execute(self, context: Context) -> None:
        """Ask for the shops that lack a model."""
        runs = shop_runs(context)
        day = as_of_date(context) or _latest_complete_day(context, runs[0])
        if day is None:
            _skip(self, context, f"{runs[0].shop} has no complete day yet: nothing to do")
        context["ti"].xcom_push("return_value", day.isoformat())
        has_champion = {run: bool(_champion(context, run, day)) for run in runs}
        lacking = [
            run
            for run in runs
            if run.full_refresh or not has_champion[run] or self._wanted(context, run, day)
        ]
        if not lacking:
            _skip(self, context, f"a champion is in force for {day}: no training asked for")
        self.conf = {"shop": lacking[0].shop, "as_of_date": day.isoformat(), **extra(lacking)}
        try:
            super().execute(context)
        except DagRunTriggerException as asked:
            self._trigger(context, asked)
            self._await(context, asked.dag_run_id, all(has_champion[run] for run in lacking))

    def _trigger(self, context: Context, asked: DagRunTriggerException) -> None:
        """Trigger the run as Airflow does with this exception, but for the waiting.

        Airflow would wait past ``execution_timeout``, and knows of no other end than the run's.
        """
        told = TriggerDagRun(
            dag_id=asked.trigger_dag_id, run_id=asked.dag_run_id, logical_date=None, conf=asked.conf
        )
        task_runner.SUPERVISOR_COMMS.send(told)
        context["ti"].xcom_push("trigger_run_id", asked.dag_run_id)

    def _await(self, context: Context, run_id: str, has_champion: bool) -> None:
        """Wait for the training; where it waits itself, a champion in force scores the day without it."""
        ti, begun = context["ti"], time.monotonic()
        while (state := ti.get_dagrun_state(self.trigger_dag_id, run_id)) != "success":
            if state == "failed":
                raise AirflowException(f"{run_id} of {self.trigger_dag_id} failed; see its log")
            is_behind = state == "queued" and time.monotonic() - begun > QUEUED_SECONDS
            if has_champion and (is_behind or self._waits(ti, run_id)):
                told = "the training waits: the champion in force scores the day"
                self.log.info(told)
                ti.xcom_push("task said", told)
                return
            time.sleep(self.poke_interval)

    def _waits(self, ti: Any, run_id: str) -> bool:
        states = ti.get_task_states(self.trigger_dag_id, run_ids=[run_id])
        return "up_for_reschedule" in states.get(run_id, {}).values()

    def _wanted(self, context: Context, run: ShopRun, day: date) -> bool:
        words = ["expectations", "wants-training", "--shop", run.shop, "--as-of", day.isoformat()]
        because = _ask(context, run, words)
        if because:
            self.log.info("training asked for: %s", because)
        return bool(because)


def _in_short(lines: Sequence[str]) -> str:
    """Return a command's last line, and before it the telling ones."""
    full = [line for line in lines if line]
    return "; ".join([*(line for line in full[:-1] if TELLING.search(line)), *full[-1:]])


def _wait(context: Context, reason: str) -> NoReturn:
    """Give the slot back and be tried again: after a minute, then after as long as was waited already.

    Such tries are none of the task's ``retries``.
    """
    now, ti = datetime.now(UTC), context["ti"]
    since = ti.get_first_reschedule_date(context)
    if since is None:
        alerts.task_waits(context, reason)
    waited = now - (since or now)
    if waited > PATIENCE:
        raise AirflowFailException(f"{reason}: given up after {waited}")
    ti.xcom_push("task said", f"waits since {since or now:%Y-%m-%d %H:%M} UTC: {reason}")
    ti.task.log.info("waits since %s: %s", since or now, reason)
    raise AirflowRescheduleException(now + min(max(waited, SHORTEST_WAIT), LONGEST_WAIT))


def _skip(task: BaseOperator, context: Context, reason: str) -> NoReturn:
    """Skip the task; its log and the display of `make demo` say why."""
    task.log.info(reason)
    context["ti"].xcom_push("task said", reason)
    raise AirflowSkipException(reason)


def _latest_complete_day(context: Context, run: ShopRun, up_to: date | None = None) -> date | None:
    words = ["landing", "latest-day", "--shop", run.shop]
    if up_to:
        words += ["--up-to", up_to.isoformat()]
    answer = _ask(context, run, words)
    return date.fromisoformat(answer) if answer else None


def _champion(context: Context, run: ShopRun, day: date) -> str:
    return _ask(context, run, ["ml", "champion", "--shop", run.shop, "--as-of", day.isoformat()])


def _ask(context: Context, run: ShopRun, words: Iterable[str]) -> str:
    """Return what a command prints to stdout."""
    answer = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=settings.ROOT,
        env=settings.environment(SHOAL_SHOP=run.shop),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        told = f"`python -m {' '.join(words)}` failed: {answer.stderr.strip()[-2000:]}"
        if answer.returncode == TRY_LATER:
            _wait(context, told)
        raise AirflowException(told)
    return answer.stdout.strip()


def _environment(context: Context, run: ShopRun) -> dict[str, str]:
    dag_run = context["dag_run"]
    return settings.environment(
        SHOAL_SHOP=run.shop,
        SHOAL_RUN_ID=run.run_id,
        SHOAL_DAG_RUN_ID=f"{dag_run.dag_id}/{dag_run.run_id}",
        PYTHONUNBUFFERED="1",
        COLUMNS="200",
        NO_COLOR="1",
    )
