"""A stand-in for Docker: the services of docker-compose.yml as processes of this machine.

Each gets the command, the environment, the secrets and the health check that the file gives it, in the order
that the file asks for, and is started again when it ends. What containers keep apart is replaced: host names
by 127.0.0.1, ports by free ones, paths by folders of the test. The object store is moto's.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

import settings
from orchestrate import cluster, processes

FILE = settings.ROOT / "docker-compose.yml"
HEALTHY_SECONDS = 300

OF_DEBIAN = {"postgres": "postgresql", "redis-server": "redis-server"}
"""Program → package."""


def load(**variables: str) -> dict[str, Any]:
    """Read docker-compose.yml, its variables filled in as Docker would.

    Raises
    ------
    KeyError
        Where a variable without a default is not given.
    """

    def fill(found: re.Match[str]) -> str:
        if found.group() == "$$":
            return "$"
        name, default = found["name"], found["default"]
        return variables[name] if default is None else variables.get(name, default)

    variable = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}")
    compose: dict[str, Any] = _walk(yaml.safe_load(FILE.read_text()), lambda text: variable.sub(fill, text))
    return compose


def missing() -> list[str]:
    """Return Debian's packages that are not here."""
    return [package for program, package in OF_DEBIAN.items() if not _program(program)]


class Machine:
    """One machine that plays all hosts of docker-compose.yml."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        for name in ("secrets", "data", "postgres", "redis", "objects"):
            (folder / name).mkdir(mode=0o700)
        cluster.write_secrets(folder / "secrets")
        user = f"{os.getuid()}:{os.getgid()}"
        compose = load(SHOAL_CLUSTER=str(folder), SHOAL_USER=user, **variables)
        self.services: dict[str, dict[str, Any]] = compose["services"]
        self.services["objects"] |= {
            "entrypoint": ["python", "-m", "moto.server"],
            "command": ["--host", "0.0.0.0", "--port", "8333"],
            "healthcheck": {"test": ["CMD", "python", "-m", "orchestrate.health", "http://localhost:8333/"]},
        }
        self.ports = {
            port: processes.free_port(0) for each in self.services.values() for port in each.get("expose", ())
        }
        self.wanted: dict[str, int] = {}
        self.starts: dict[str, int] = {}
        self._guard = threading.Lock()

    @contextmanager
    def up(self) -> Iterator[None]:
        """Start everything, keep it up until the block ends, then end it."""
        stop = threading.Event()
        keeper = threading.Thread(target=self._keep, args=[stop], daemon=True)
        try:
            keeper.start()
            for name in self.services:
                self._start_after_others(name)
            for name in self.services:
                self._wait_healthy(name)
            yield
        finally:
            stop.set()
            keeper.join()
            for name in self.services:
                self._kill(name)

    def crash(self, name: str, down_seconds: float = 3) -> None:
        """Kill a service at once with all it runs; it stays down for some seconds."""
        with self._guard:
            self._kill(name)
            time.sleep(down_seconds)

    def run_once(self, name: str) -> None:
        """Run a service that ends by itself."""
        code = self._run(name, self._command(name))
        assert code == 0, f"{name}: {code}\n{self.log(name)[-3000:]}"

    def port(self, number: int) -> int:
        return self.ports[str(number)]

    def log(self, name: str) -> str:
        return (self._home(name) / "log").read_text(errors="replace")

    def members(self, name: str) -> list[psutil.Process]:
        """Return the processes of a service.

        Redis and the children of Postgres write their title over the mark by which others are known.
        """
        found = {process.pid: process for process in processes.members(self._family(name))}
        if name in self.wanted and _lives(self.wanted[name]):
            first = psutil.Process(self.wanted[name])
            found |= {process.pid: process for process in [first, *first.children(recursive=True)]}
        return [process for pid, process in found.items() if _lives(pid)]

    def environment(self, name: str) -> dict[str, str]:
        """Return what a service finds in its environment: the image's, and what docker-compose.yml says."""
        folders = [Path(sys.executable).parent, *_folders_of_debian()]
        path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
        given = self.services[name].get("environment", {})
        here = {key: self._here(name, str(value)) for key, value in given.items()}
        return {
            "PATH": path,
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self._home(name)),
            **here,
        }

    def _start_after_others(self, name: str) -> None:
        """Start a service once those that it depends on are as it wants them."""
        for other, how in self.services[name].get("depends_on", {}).items():
            if other not in self.starts:
                self._start_after_others(other)
            if how["condition"] == "service_healthy":
                self._wait_healthy(other)
        if name in self.starts:
            return
        if self.services[name]["restart"] == "no":
            self.starts[name] = 1
            self.run_once(name)
        else:
            with self._guard:
                self._start(name)

    def _start(self, name: str) -> None:
        if name == "postgres":
            self._initialise_postgres()
        command, environment = self._command(name), self.environment(name)
        log = self._home(name) / "log"
        self.wanted[name] = processes.start(self._family(name), name, command, environment, log)
        self.starts[name] = self.starts.get(name, 0) + 1

    def _keep(self, stop: threading.Event) -> None:
        """Start again what has ended, as `restart: unless-stopped` asks for."""
        while not stop.wait(0.5):
            with self._guard:
                for name, pid in list(self.wanted.items()):
                    if not _lives(pid):
                        self._kill(name)  # a container ends with its first process
                        self._start(name)

    def _kill(self, name: str) -> None:
        while alive := self.members(name):
            for process in alive:
                try:
                    process.send_signal(signal.SIGKILL)
                except psutil.NoSuchProcess:
                    continue
            psutil.wait_procs(alive, timeout=5)

    def _wait_healthy(self, name: str) -> None:
        check = self.services[name]["healthcheck"]
        if check.get("disable"):
            return
        kind, *words = check["test"]
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        command = [self._here(name, word) for word in command]
        deadline = time.monotonic() + HEALTHY_SECONDS
        while self._run(name, _found(command)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} is not healthy:\n{self.log(name)[-3000:]}")
            time.sleep(1)

    def _command(self, name: str) -> list[str]:
        service = self.services[name]
        of_image = ["python", "-m", "orchestrate"] if "build" in service else []
        words = [*service.get("entrypoint", of_image), *service["command"]]
        return self._as_owner(name, _found([self._here(name, word) for word in words]))

    def _run(self, name: str, command: list[str]) -> int:
        """Run a command where a service runs, and return its exit code."""
        with (self._home(name) / "log").open("a") as log:
            return subprocess.run(
                command,
                env=self.environment(name),
                cwd=settings.ROOT,
                stdout=log,
                stderr=log,
                check=False,
                timeout=HEALTHY_SECONDS,
            ).returncode

    def _here(self, name: str, text: str) -> str:
        """Return a word of docker-compose.yml with hosts, ports and paths as they are on this machine."""
        paths = {"/run/secrets": self._secrets_of(name), "/home/shoal": self._home(name)}
        for volume in self.services[name].get("volumes", ()):
            source, target = volume.removesuffix(":ro").rsplit(":", 1)
            paths[target] = Path(source)
        ends = r"(?![\w.-])"
        hosts = "|".join(map(re.escape, self.services))
        pattern = re.compile(
            rf"(?P<address>(?<=//|.@)({hosts}|localhost)(?=:)|0\.0\.0\.0)"
            rf"|(?P<path>{'|'.join(sorted(map(re.escape, paths), key=len, reverse=True))}){ends}"
            rf"|(?P<port>\b({'|'.join(self.ports)})\b)"
        )

        def replace(found: re.Match[str]) -> str:
            if found["path"]:
                return str(paths[found["path"]])
            return str(self.ports[found["port"]]) if found["port"] else "127.0.0.1"

        return pattern.sub(replace, text)

    def _secrets_of(self, name: str) -> Path:
        """Return a folder with the secrets of one service and no others."""
        folder = self._home(name) / "secrets"
        for secret in self.services[name].get("secrets", ()):
            if not (folder / secret).exists():
                folder.mkdir(exist_ok=True, mode=0o700)
                shutil.copy(self.folder / "secrets" / secret, folder)
        return folder

    def _home(self, name: str) -> Path:
        home = self.folder / "services" / name
        home.mkdir(parents=True, exist_ok=True)
        return home

    def _family(self, name: str) -> str:
        return f"cluster-{name}"

    def _as_owner(self, name: str, command: list[str]) -> list[str]:
        """Let Postgres, which refuses root, run as Debian's user where the tests run as root."""
        if name != "postgres" or os.getuid():
            return command
        for folder in (self.folder, self.folder / "services"):
            folder.chmod(0o711)
        for path in (self.folder / "postgres", self._home(name), *self._secrets_of(name).iterdir()):
            shutil.chown(path, "postgres", "postgres")
        shutil.chown(self._secrets_of(name), "postgres", "postgres")
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]

    def _initialise_postgres(self) -> None:
        """Do what the image's entry point does with an empty folder."""
        environment = self.environment("postgres")
        folder = Path(environment["PGDATA"])
        if folder.exists():
            return
        arguments = environment["POSTGRES_INITDB_ARGS"].split()
        password = f"--pwfile={environment['POSTGRES_PASSWORD_FILE']}"
        user = f"--username={environment['POSTGRES_USER']}"
        command = _found(["initdb", f"--pgdata={folder}", user, password, "--auth-local=trust", *arguments])
        assert self._run("postgres", self._as_owner("postgres", command)) == 0, self.log("postgres")
        # Debian's build keeps its socket where only Debian's service may write.
        with (folder / "postgresql.conf").open("a") as config:
            config.write("unix_socket_directories = ''\nlisten_addresses = '127.0.0.1'\n")


def _walk(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: _walk(each, change) for key, each in value.items()}
    if isinstance(value, list):
        return [_walk(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _folders_of_debian() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _program(name: str) -> str | None:
    path = os.pathsep.join([os.environ["PATH"], *map(str, _folders_of_debian())])
    return shutil.which(name, path=path)


def _found(command: list[str]) -> list[str]:
    program = sys.executable if command[0] == "python" else _program(command[0])
    assert program, f"{command[0]} is not here"
    return [program, *command[1:]]
