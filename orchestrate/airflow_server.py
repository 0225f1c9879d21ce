"""Airflow on one machine: scheduler, DAG processor and API server, LocalExecutor, SQLite, 127.0.0.1.

All of Airflow's configuration is the environment that :func:`environment` returns. Nothing of Shoal's defers,
so there is no triggerer. Keys and log-in are generated once, into files that only their owner reads.
"""

from __future__ import annotations

import base64
import fcntl
import os
import random
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import psutil

import settings
from cli import ShoalError, console, one_at_a_time
from orchestrate import login, processes

FAMILY = "airflow"
READY_SECONDS = 180
"""Ten times what two quiet cores need."""

PARTS = {
    # Task logs are files that the API server reads; the scheduler's own log server would listen on all
    # interfaces, whatever the API host is.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "api-server": ["api-server"],
}


@dataclass(frozen=True)
class Address:
    """Where a running Airflow answers."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def environment(port: int) -> dict[str, str]:
    """Return the environment that every part of Airflow, and through it every task, runs in."""
    home = settings.airflow_dir()
    return settings.environment(
        **common_environment(),
        **keys(),
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__EXECUTOR="LocalExecutor",
        # A task that waits for another DAG needs a slot beside the ones that work.
        AIRFLOW__CORE__PARALLELISM=str(max(3, os.cpu_count() or 1)),
        AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"{Address(port).url}/execution/",
        AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=str(login.file()),
        AIRFLOW__API__HOST="127.0.0.1",
        AIRFLOW__API__PORT=str(port),
        AIRFLOW__API__BASE_URL=Address(port).url,
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
    )


def common_environment() -> dict[str, str]:
    """Return what holds for every part of Airflow, on one machine and on many.

    What else many need stands in docker-compose.yml.
    """
    bin_folder = Path(sys.executable).parent
    return {
        "PATH": f"{bin_folder}{os.pathsep}{settings.environment().get('PATH', '')}",
        # DAG files import settings.py; tasks run in the checkout.
        "PYTHONPATH": str(settings.ROOT),
        "SHOAL_DATA": str(settings.data_dir()),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings.ROOT / "orchestrate" / "airflow_plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{login.USER}:admin",
        # Five small files that rarely change: parsing them every 30 s would cost a tenth of a core.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(settings.airflow_dir() / "logs"),
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def keys() -> dict[str, str]:
    """Return how the parts of Airflow, its workers apart, read their keys where they need them.

    The keys stay in their files, so that no task inherits one.
    """
    return {
        "AIRFLOW__CORE__FERNET_KEY_CMD": _cat("fernet.key"),
        "AIRFLOW__API__SECRET_KEY_CMD": _cat("api.key"),
        "AIRFLOW__API_AUTH__JWT_SECRET_CMD": _cat("jwt.key"),
    }


@contextmanager
def running() -> Iterator[Client]:
    """Yield a client of the Airflow that runs, else of a new one; its last user ends it, unless it stays."""
    home = _home()
    with (home / "use.lock").open("w") as use:
        fcntl.flock(use, fcntl.LOCK_SH)
        try:
            if address := found():
                console.print(f"Airflow: using the one at {address.url}")
            else:
                _stays_file().unlink(missing_ok=True)  # it did not outlive the machine
                address = start()
            yield Client(address)
        finally:
            if not _stays_file().exists() and _is_last(use):
                end()


def stay() -> Address:
    """Return the address of the Airflow that runs, else of a new one; it stays until :func:`end`."""
    if address := found():
        if names := _set_otherwise(address):
            console.print(
                f"Airflow at {address.url} goes on with {', '.join(names)} as it was when it was started: "
                "`make down`, then `make up`, to change that",
                style="yellow",
                soft_wrap=True,
            )
    else:
        address = start()
    _stays_file().touch(mode=0o600)
    return address


def _set_otherwise(address: Address) -> list[str]:
    """Return the settings of Shoal's that the running Airflow, and so each of its tasks, has otherwise."""
    scheduler = psutil.Process(int((settings.airflow_dir() / "scheduler.pid").read_text()))
    running, wanted = (
        {name: value for name, value in each.items() if name.startswith("SHOAL_") and name != processes.MARK}
        for each in (scheduler.environ(), environment(address.port))
    )
    return sorted(name for name in running.keys() | wanted.keys() if running.get(name) != wanted.get(name))


def found() -> Address | None:
    """Return the address of the Airflow that runs on this data folder, if one does."""
    try:
        address = Address(int(_address_file().read_text()))
    except (FileNotFoundError, ValueError):
        return None
    # A part that has just died is called healthy for half a minute more.
    is_whole = processes.members(FAMILY) and not _ended_parts()
    return address if is_whole and Client(address).is_healthy() else None


def start() -> Address:
    """Start all parts and wait until they are healthy and know every DAG.

    Of several at once the first starts them; the others wait, and take its address.
    """
    home = _home()
    told = f"Airflow: another command starts it on {settings.data_dir()}; waiting …"
    with one_at_a_time(home / "start.lock", told):
        if address := found():
            return address
        end()
        address = Address(processes.free_port(settings.airflow_port()))
        _make_keys(home)
        started = time.monotonic()
        with console.status("Airflow: starting …"):
            _migrate(home, environment(address.port))
            login.write_private(_address_file(), str(address.port))
            _start_part("api-server", address)
            _start_part("dag-processor", address)
            # A task that starts before the API answers would fail, and be tried again much later.
            _wait(lambda: Client(address).answers())
            _start_part("scheduler", address)
            _wait(lambda: _is_ready(Client(address)))
        console.print(f"Airflow: ready at {address.url} after {time.monotonic() - started:.0f} s")
    return address


def end() -> int:
    """End all parts and the tasks they run; return how many processes there were."""
    for file in (_address_file(), _stays_file()):
        file.unlink(missing_ok=True)
    count = processes.end(FAMILY)
    for pid in settings.airflow_dir().glob("*.pid"):
        pid.unlink()
    return count


BUSY_SECONDS = 120
"""For so long Airflow's database may be busy with others, who all write to the one SQLite file."""


def _is_busy(method: str, answer: httpx.Response) -> bool:
    # A locked SQLite is told in two ways; a question may be asked again whatever its answer was.
    return answer.is_server_error and (method == "GET" or "Database error" in answer.text)


class NotReadyError(ShoalError):
    """Airflow could not answer now; it may be able to in a moment."""


class Client:
    """Airflow's REST API, with the generated log-in."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._http = httpx.Client(base_url=address.url, timeout=120, trust_env=False)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of ``/api/v2/<path>``."""
        return self._call("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Post JSON to ``/api/v2/<path>`` and return the answer."""
        with _one_writer():
            return self._call("POST", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """Patch ``/api/v2/<path>`` with JSON and return the answer."""
        with _one_writer():
            return self._call("PATCH", path, json=body)

    def answers(self) -> bool:
        """Return whether the server is up."""
        try:
            return self._http.get("/api/v2/version").is_success
        except httpx.HTTPError:
            return False

    def is_healthy(self) -> bool:
        """Return whether the parts have reported lately."""
        try:
            health = self._http.get("/api/v2/monitor/health").json()
        except (httpx.HTTPError, ValueError):
            return False
        return all(
            health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor")
        )

    def _call(self, method: str, path: str, **request: Any) -> Any:
        answer = self._http.request(method, f"/api/v2/{path}", **request)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._log_in()
            answer = self._http.request(method, f"/api/v2/{path}", **request)
        patience = time.monotonic() + BUSY_SECONDS
        while _is_busy(method, answer) and time.monotonic() < patience:
            time.sleep(random.uniform(0.1, 1))  # noqa: S311 - not to meet the same others again
            answer = self._http.request(method, f"/api/v2/{path}", **request)
            if answer.status_code == httpx.codes.CONFLICT:  # the first try had done it all the same
                return {}
        if answer.is_error:
            error = NotReadyError if answer.is_server_error else ShoalError
            raise error(f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def _log_in(self) -> None:
        answer = self._http.post("/auth/token", json={"username": login.USER, "password": login.password()})
        if answer.is_error:
            raise ShoalError(
                f"Airflow at {self.address.url} refuses the log-in of {login.file()}: "
                "`make down`, then try again"
            )
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def dag_ids() -> set[str]:
    """Return the DAGs that Airflow must know: one per file."""
    return {file.stem for file in (settings.ROOT / "dags").glob("*.py")}


def _start_part(name: str, address: Address) -> None:
    log = settings.airflow_dir() / f"{name}.log"
    command = [sys.executable, "-m", "airflow", *PARTS[name]]
    processes.start(FAMILY, name, command, environment(address.port), log)


def _wait(is_done: Callable[[], bool]) -> None:
    """Wait, as long as no part ends."""
    deadline = time.monotonic() + READY_SECONDS
    while not is_done():
        expect_alive()
        if time.monotonic() > deadline:
            raise ShoalError(
                f"Airflow is not ready after {READY_SECONDS} s; its logs are in {settings.airflow_dir()}"
            )
        time.sleep(0.5)


def _is_ready(client: Client) -> bool:
    """Return whether Airflow is healthy and has read the DAGs; make the pool when it is."""
    if not client.is_healthy() or not dag_ids() <= {dag["dag_id"] for dag in client.get("dags")["dags"]}:
        return False
    if errors := client.get("importErrors")["import_errors"]:
        raise ShoalError(
            "Airflow cannot read the DAGs:\n" + "\n".join(each["stack_trace"] for each in errors)
        )
    _make_pool(client)
    return True


def expect_alive() -> None:
    """Raise a ShoalError when a part that was started here has ended."""
    for name in _ended_parts():
        log = settings.airflow_dir() / f"{name}.log"
        raise ShoalError(
            f"Airflow's {name} ended; `make up` starts it again, and runs that it left go on. "
            f"The end of {log}:\n{processes.last_lines(log)}"
        )


def _ended_parts() -> list[str]:
    alive = {process.pid for process in processes.members(FAMILY)}
    started = {name: settings.airflow_dir() / f"{name}.pid" for name in PARTS}
    return [name for name, pid in started.items() if pid.exists() and int(pid.read_text()) not in alive]


def _make_pool(client: Client) -> None:
    pools = {pool["name"] for pool in client.get("pools")["pools"]}
    if "warehouse" not in pools:
        client.post(
            "pools", {"name": "warehouse", "slots": 1, "description": "One writer", "include_deferred": True}
        )


def _migrate(home: Path, environ: dict[str, str]) -> None:
    """Make or renew Airflow's tables, once per version: it costs seconds even where nothing is to do."""
    from importlib.metadata import version

    stamp = home / "migrated"
    if stamp.exists() and stamp.read_text() == version("apache-airflow"):
        return
    log = home / "migrate.log"
    pid = processes.start(FAMILY, "migrate", [sys.executable, "-m", "airflow", "db", "migrate"], environ, log)
    _, status = os.waitpid(pid, 0)
    if status:
        raise ShoalError(f"Airflow could not make its tables; the end of {log}:\n{processes.last_lines(log)}")
    stamp.write_text(version("apache-airflow"))


def _make_keys(home: Path) -> None:
    for name in ("fernet.key", "api.key", "jwt.key"):
        login.key(home / name, base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())


@contextmanager
def _one_writer() -> Iterator[None]:
    """Let one call at a time write, where Airflow keeps its tables in SQLite.

    Its API server stands still when two do: it writes its log of actions where it must not wait for the
    other, who then waits for it.
    """
    if settings.secrets_dir():  # Postgres
        yield
        return
    with (_home() / "write.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_last(use: IO[str]) -> bool:
    """Return whether nobody else uses this Airflow; then nobody begins to until the file is closed."""
    try:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _home() -> Path:
    home = settings.airflow_dir()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return home


def _stays_file() -> Path:
    return settings.airflow_dir() / "stays"


def _address_file() -> Path:
    return settings.airflow_dir() / "port"


def _cat(name: str) -> str:
    folder = settings.secrets_dir() or settings.airflow_dir()
    return f"cat {shlex.quote(str(folder / name))}"
