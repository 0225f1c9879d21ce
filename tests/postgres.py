"""A real Postgres of Debian's for one test session, on a free port of 127.0.0.1, as nobody's service."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrate import processes

PASSWORD = "writer-7351-secret"


def program(name: str) -> Path | None:
    """Return Debian's newest build of one of Postgres's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1] if found else None


@contextmanager
def running() -> Iterator[str]:
    """Start a server and yield the address of its superuser ``writer``, whose password it asks for."""
    initdb, control = program("initdb"), program("pg_ctl")
    assert initdb and control
    # Not below pytest's folder: only its owner may enter there, and Postgres refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="shoal-postgres-"))
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        _hand_over(folder, secret)
        data, port = folder / "data", processes.free_port(0)
        told = (
            f"--pgdata={data}",
            "--username=writer",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--no-sync",
        )
        _run(folder, str(initdb), *told)
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c fsync=off"
        _run(folder, str(control), "start", "-w", "-D", str(data), "-l", str(folder / "log"), "-o", options)
        try:
            yield f"postgresql://writer:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            _run(folder, str(control), "stop", "-D", str(data), "-m", "immediate")
    finally:
        shutil.rmtree(folder)


def _hand_over(*paths: Path) -> None:
    if os.getuid() == 0:
        for path in paths:
            shutil.chown(path, "postgres", "postgres")


def _run(folder: Path, *command: str) -> None:
    as_owner = (
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    )
    # Its output goes to a file: a server that inherits a pipe would hold it open.
    with (folder / "said").open("a") as said:
        done = subprocess.run([*as_owner, *command], cwd="/", stdout=said, stderr=said, check=False)
    assert done.returncode == 0, (folder / "said").read_text()
