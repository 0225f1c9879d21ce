"""Run dbt in this process, with everything it writes beside the shop's state."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

import settings
from cli import ShoalError
from settings import ShopPaths

PROJECT = settings.ROOT / "dbt_project"

LEG_SELECTORS = {"core": ("--exclude", "source:ml+"), "bi": ("--select", "source:ml+")}
"""What each leg builds; together every node, and none twice."""

LEG_2_FOLDERS = ("models/marts/bi/", "models/intermediate/segments/")

KEPT_PARSED = 8
"""How many parsed projects are kept: checkouts that share one environment must not delete each other's."""


def declared(variable: str) -> Any:
    """Return the value that dbt_project.yml gives a variable."""
    return yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))["vars"][variable]


def invoke(paths: ShopPaths, arguments: Sequence[str], variables: dict[str, Any]) -> Any:
    """Run one dbt command and return its result object.

    The caller holds the warehouse lock and has closed its own connection: dbt opens the file itself.

    Raises
    ------
    ShoalError
        When dbt fails; names the nodes that failed and where the log lies.
    """
    from dbt.cli.main import dbtRunner  # seconds of imports, only for who builds

    # On a full disk its log fails first, and Python would print a page about every line of it.
    logging.raiseExceptions = False
    settings.hand_to_dbt(paths)
    home = paths.ops / "dbt"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    parsed = _parsed()
    result = dbtRunner(manifest=parsed).invoke(
        [
            *("--log-path", str(home / "logs"), "--log-level", "none", "--log-level-file", "info"),
            *("--no-use-colors", "--no-version-check"),
            *arguments,
            *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
            *("--target-path", str(home / "target")),
            *("--vars", json.dumps(variables, default=str)),
        ]
    )
    _close_connections()
    if not result.success:
        raise ShoalError(
            f"dbt {arguments[0]} failed: {_failures(result)}; the log is {home / 'logs' / 'dbt.log'}"
        )
    if parsed is None:
        _keep_parsed(home / "target" / "partial_parse.msgpack")
    return result


def build(paths: ShopPaths, leg: str, variables: dict[str, Any], full_refresh: bool = False) -> Any:
    """Build one leg: models, seeds and data tests. Unit tests belong to the test suite."""
    arguments = ["build", *LEG_SELECTORS[leg], "--exclude-resource-type", "unit_test"]
    return invoke(paths, [*arguments, *(["--full-refresh"] if full_refresh else [])], variables)


def models_digest(shaping: dict[str, Any]) -> str:
    """Return a digest of leg 1's models, macros and seeds, and of the settings that shape every row.

    When it changes, old rows were made by another definition, and only a full build is right.
    """
    said = json.dumps(shaping, sort_keys=True, default=str)
    code = (path for path in _files() if path.suffix in (".sql", ".csv") or path.name == "dbt_project.yml")
    return _digest(said, (path for path in code if not _name(path).startswith(LEG_2_FOLDERS)))


def _parsed() -> Any:
    """Return the project as it was parsed before, by whichever shop, if not a byte of it has changed since.

    dbt itself would parse everything again whenever a variable differs, which one does every day.
    None of ours changes what is parsed: they are read when a model is compiled.
    """
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    try:
        store = _parsed_file().read_bytes()
    except OSError:
        return None
    manifest = Manifest.from_msgpack(store, decoder=extended_mashumuro_decoder)
    manifest.build_flat_graph()
    return manifest


def _keep_parsed(made: Path) -> None:
    """Keep what dbt parsed beside the packages that parsed it; nobody needs it where they are read-only."""
    kept = _parsed_file()
    aside = kept.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, aside)
        aside.replace(kept)
        by_age = sorted(kept.parent.glob("*.msgpack"), key=lambda path: path.stat().st_mtime, reverse=True)
        for older in by_age[KEPT_PARSED:]:
            older.unlink(missing_ok=True)


def _parsed_file() -> Path:
    return Path(sys.prefix) / "cache" / "dbt" / f"{_project_digest()}.msgpack"


def _project_digest() -> str:
    from dbt.version import __version__

    return _digest(f"{__version__} {PROJECT}", _files())


def _files() -> list[Path]:
    return sorted(path for path in PROJECT.rglob("*") if path.suffix in (".sql", ".csv", ".yml", ".md"))


def _digest(said: str, files: Iterable[Path]) -> str:
    digest = hashlib.sha256(said.encode())
    for path in files:
        digest.update(_name(path).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _name(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def _close_connections() -> None:
    """Let go of the file: the adapter would keep it open until the process ends."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()


def _failures(result: Any) -> str:
    if result.exception is not None:
        return str(result.exception)
    failed = [node for node in result.result if str(node.status) in ("error", "fail", "runtime error")]
    return "; ".join(f"{node.node.name}: {_first_lines(node.message)}" for node in failed) or "see the log"


def _first_lines(message: str | None) -> str:
    return " ".join((message or "no message").splitlines()[:3])
