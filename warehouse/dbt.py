"""Run dbt in this process, with everything it writes beside the shop's state."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import settings
from cli import ShoalError, console
from settings import ShopPaths

PROJECT = settings.ROOT / "dbt_project"

LEG_SELECTORS = {"core": ("--exclude", "source:ml+"), "bi": ("--select", "source:ml+")}
"""What each leg builds; together every node, and none twice."""


def invoke(paths: ShopPaths, arguments: Sequence[str], variables: dict[str, Any] | None = None) -> Any:
    """Run one dbt command and return its result object.

    The caller holds the warehouse lock and has closed its own connection: dbt opens the file itself.

    Raises
    ------
    ShoalError
        When dbt fails; names the nodes that failed and where the log lies.
    """
    from dbt.cli.main import dbtRunner  # three seconds of imports, only for who builds

    settings.hand_to_dbt(paths)
    home = paths.ops / "dbt"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    result = dbtRunner().invoke(
        [
            *("--log-path", str(home / "logs"), "--log-level", "error", "--log-level-file", "info"),
            *("--no-use-colors", "--no-version-check"),
            *arguments,
            *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
            *("--target-path", str(home / "target")),
            *("--vars", json.dumps(variables or {}, default=str)),
        ]
    )
    _close_connections()
    if not result.success:
        raise ShoalError(f"dbt {arguments[0]} failed: {_failures(result)}; the log is {home / 'logs' / 'dbt.log'}")
    return result


def build(paths: ShopPaths, leg: str, variables: dict[str, Any], full_refresh: bool = False) -> Any:
    """Build one leg: models, seeds and data tests. Unit tests belong to the test suite."""
    arguments = ["build", *LEG_SELECTORS[leg], "--exclude-resource-type", "unit_test", "--quiet"]
    return invoke(paths, [*arguments, *(["--full-refresh"] if full_refresh else [])], variables)


def models_digest(shaping: dict[str, Any]) -> str:
    """Return a digest of leg 1's models, macros and seeds, and of the settings that shape every row.

    When it changes, old rows were made by another definition, and only a full build is right.
    """
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True, default=str).encode())
    for path in sorted(_definitions()):
        digest.update(path.relative_to(PROJECT).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _definitions() -> list[Path]:
    folders = ("models/staging", "models/intermediate", "models/marts/core", "models/marts/ml_inputs")
    found = [path for folder in (*folders, "macros", "seeds") for path in (PROJECT / folder).rglob("*")]
    return [path for path in found if path.suffix in (".sql", ".csv")] + [PROJECT / "dbt_project.yml"]


def _close_connections() -> None:
    """Let go of the file: the adapter would keep it open until the process ends."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()


def _failures(result: Any) -> str:
    if result.exception is not None:
        return str(result.exception)
    failed = [node for node in result.result if str(node.status) in ("error", "fail", "runtime error")]
    return "; ".join(f"{node.node.name}: {_first_line(node.message)}" for node in failed) or "see the log"


def _first_line(message: str | None) -> str:
    return " ".join((message or "no message").split(os.linesep)[:3])
