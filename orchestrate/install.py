"""Make the environment in ``.venv``: torch first with pip, then the locked rest with uv.

With the word ``cluster``, also what docker-compose.yml needs (``requirements-cluster.lock``); it changes no
version of the rest.

Runs under a bare Python 3.11, so it imports the standard library only. A stamp holds the hash of the lock;
while it matches, there is nothing to do.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
LOCK = ROOT / "requirements.lock"
CLUSTER_LOCK = ROOT / "requirements-cluster.lock"
STAMP = ENVIRONMENT / "installed.sha256"
CLUSTER_STAMP = ENVIRONMENT / "installed-cluster.sha256"
LOG = ENVIRONMENT / "install.log"


def main() -> int:
    """Install what is missing; say each step and its seconds."""
    if sys.version_info[:2] != (3, 11):
        print(
            f"Shoal needs Python 3.11, found {sys.version.split()[0]} at {sys.executable}: install 3.11, "
            "or name one with `make PYTHON=/path/to/python3.11 …`",
            file=sys.stderr,
        )
        return 1
    wanted = {STAMP: _fingerprint(LOCK)}
    if "cluster" in sys.argv[1:]:
        wanted[CLUSTER_STAMP] = _fingerprint(LOCK, CLUSTER_LOCK)
    lacking = [
        stamp for stamp, content in wanted.items() if not stamp.exists() or stamp.read_text() != content
    ]
    if not lacking:
        return 0
    started = time.monotonic()
    try:
        if STAMP in lacking:
            _install()
        if CLUSTER_STAMP in lacking:
            with _step(f"{len(_requirements(CLUSTER_LOCK))} more packages, for many processes"):
                _install_lock(CLUSTER_LOCK)
    except subprocess.CalledProcessError as error:
        print(f"set-up failed at `{' '.join(map(str, error.cmd))}`; the end of {LOG}:", file=sys.stderr)
        print("\n".join(LOG.read_text(errors="replace").splitlines()[-15:]), file=sys.stderr)
        return 1
    for stamp in lacking:
        stamp.write_text(wanted[stamp])
    print(f"set-up: done in {time.monotonic() - started:.0f} s", flush=True)
    return 0


def _install() -> None:
    if not PYTHON.exists():
        with _step("virtual environment in .venv"):
            subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    LOG.write_text("")
    torch, uv = _pinned("torch"), _locked("uv")
    with _step(f"{torch} (a few hundred megabytes)"):
        _run(PYTHON, "-m", "pip", "install", "--no-cache-dir", "--progress-bar=off", torch)
    with _step(f"{len(_requirements(LOCK))} locked packages"):
        _run(PYTHON, "-m", "pip", "install", "--no-cache-dir", "--progress-bar=off", uv)
        _install_lock(LOCK)


def _install_lock(lock: Path) -> None:
    """Install a lock with uv; with pip where uv cannot reach the packages.

    A lock is complete, so nothing is resolved: no package can take torch, or its CUDA build, along.
    Where Python may not keep what it compiles (PYTHONDONTWRITEBYTECODE), everything is compiled here: dozens
    of processes start in a run, and each would compile anew.
    """
    compiled = ["--compile-bytecode"] if sys.dont_write_bytecode else []
    from_lock = ("install", "--no-deps", "-r", lock)
    try:
        _run(PYTHON, "-m", "uv", "pip", *from_lock, "--python", PYTHON, *compiled, **_uv_environment())
    except subprocess.CalledProcessError:
        print("set-up: uv found not all of them (it does not read pip.conf); pip tries", flush=True)
        _run(PYTHON, "-m", "pip", *from_lock, "--no-cache-dir", "--progress-bar=off")


def _uv_environment() -> dict[str, str]:
    """Return what uv should know: a cache inside ``.venv``, and the index that pip was told to use."""
    told = {"UV_CACHE_DIR": str(ENVIRONMENT / "cache" / "uv")}
    index = subprocess.run(
        [PYTHON, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    index = os.environ.get("PIP_INDEX_URL", index)
    if index and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & os.environ.keys():
        told["UV_DEFAULT_INDEX"] = index
    return told


def _run(*command: str | Path, **environment: str) -> None:
    with LOG.open("a") as log:
        subprocess.run(
            command, check=True, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )


@contextmanager
def _step(what: str) -> Iterator[None]:
    print(f"set-up: {what} …", end=" ", flush=True)
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:.0f} s", flush=True)


def _requirements(lock: Path) -> list[str]:
    return re.findall(r"^[a-z0-9][^\s#]*==\S+", lock.read_text(), flags=re.MULTILINE)


def _locked(name: str) -> str:
    return next(line for line in _requirements(LOCK) if line.startswith(f"{name}=="))


def _pinned(name: str) -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return next(line for line in project["dependencies"] if line.startswith(f"{name}=="))


def _fingerprint(*locks: Path) -> str:
    content = b"".join(lock.read_bytes() for lock in locks)
    return hashlib.sha256(content + _pinned("torch").encode() + sys.version.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
