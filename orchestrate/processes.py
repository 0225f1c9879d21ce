"""Background processes: started in one place, known by a mark in their environment, ended all together.

A process may fork, change its group or outlive its parent, but it and its children keep the environment they
were born with. So every family carries a mark there, and ending a family means ending whoever carries it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

import settings
from cli import ShoalError

MARK = "SHOAL_FAMILY"
GRACE_SECONDS = 15


def start(family: str, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Start a process of a family in the background and return its pid; its output goes to ``log``.

    It is the head of its own session: closing the terminal does not end it, and neither does ctrl-C.
    """
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # What a server says of a request is for its owner only.
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        process = subprocess.Popen(
            command,
            cwd=settings.ROOT,
            # setproctitle, which Airflow and gunicorn use, would write a long title over the mark.
            env={**environment, MARK: mark(family), "SPT_NOENV": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
        )
    (log.parent / f"{name}.pid").write_text(f"{process.pid}\n")
    return process.pid


def mark(family: str) -> str:
    """Return the value that marks a family: two checkouts on one machine never end each other's."""
    return f"{family}:{settings.data_dir()}"


def members(family: str) -> list[psutil.Process]:
    """Return the living processes of a family, children included."""
    wanted = mark(family)
    return [process for process in psutil.process_iter() if _mark_of(process) == wanted]


def end(family: str) -> int:
    """End a family, first politely, and return how many processes there were."""
    ended: set[int] = set()
    deadline = time.monotonic() + GRACE_SECONDS
    while alive := members(family):
        polite = time.monotonic() < deadline
        for process in alive:
            if process.pid not in ended or not polite:
                _signal(process, polite)
            ended.add(process.pid)
        psutil.wait_procs(alive, timeout=1)
    return len(ended)


def free_port(preferred: int) -> int:
    """Return the preferred port of 127.0.0.1, or one that is free where it is taken."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ShoalError("no port of 127.0.0.1 is free: end some servers, then rerun")


def last_lines(log: Path, count: int = 15) -> str:
    """Return the end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:]) if log.exists() else "(no log)"


def _signal(process: psutil.Process, polite: bool) -> None:
    try:
        if polite:
            process.terminate()
        else:
            process.kill()
    except psutil.NoSuchProcess:
        pass


def _mark_of(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None
