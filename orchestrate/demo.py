"""The main job, once: a shop's files in, named segments out, under Airflow."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import settings
from cli import ShoalError, UsageError, console
from orchestrate import airflow_server, follow

SEGMENTS = """
    select
        scheme, segment_name_en as segment, users,
        round(user_share, 3) as user_share, round(revenue_share, 3) as revenue_share, recency_days_median
    from bi.segment_profile_daily
    where as_of_date = (select max(as_of_date) from bi.segment_profile_daily)
    order by scheme, users desc
"""


def run(shop: str, folder: Path | None) -> None:
    """Land a folder for a shop, follow the chain to its end, and show what BI reads."""
    started = time.monotonic()
    files = _drops(shop, folder)
    with airflow_server.running() as client:
        _run_chain(client, shop, files)
    console.print(f"\nThe segments of {shop}, as BI reads them:")
    _python("-m", "serving", "query", "--shop", shop, SEGMENTS)
    console.print(_where_to_look(shop), soft_wrap=True)
    console.print(f"[bold green]done[/] in {time.monotonic() - started:.0f} s")


def _drops(shop: str, folder: Path | None) -> Path:
    """Return the folder to land; the simulated shop makes its own."""
    if folder is not None:
        if not folder.exists():
            raise UsageError(f"FROM={folder} does not exist: name the folder that holds the shop's files")
        return folder.resolve()
    if shop != "simulated":
        raise UsageError(f"SOURCE={shop} needs its files: make demo SOURCE={shop} FROM=<folder>")
    drops, truth = (settings.ShopPaths(shop).root / name for name in ("drops", "truth"))
    if truth.is_dir() and any(truth.iterdir()):  # the truth is written last
        console.print(f"simulated shop: its files are in {drops} already")
    else:
        _python("-m", "landing", "simulate", "--out", str(drops), "--truth", str(truth))
    return drops


def _run_chain(client: airflow_server.Client, shop: str, files: Path) -> None:
    first = follow.Run("land_behaviour", f"demo_{shop}_{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    for dag_id in sorted(airflow_server.dag_ids()):
        client.patch(f"dags/{dag_id}", {"is_paused": False})
    client.post(
        f"dags/{first.dag_id}/dagRuns",
        {"dag_run_id": first.run_id, "logical_date": None, "conf": {"shop": shop, "folder": str(files)}},
    )
    follow.follow(client, first, until="publish_segments")


def _where_to_look(shop: str) -> str:
    option = "" if shop == settings.default_shop() else f" --shop {shop}"
    return "\n".join(
        (
            "\nWhere to look:",
            f'  tables   .venv/bin/python -m serving query{option} "from bi.user_segment_current limit 10"',
            f"  status   .venv/bin/python -m serving status{option}",
            f"  files    {settings.ShopPaths(shop).serving / 'current'}",
            "  dashboard, Airflow and MLflow in the browser   make up",
        )
    )


def _python(*words: str) -> None:
    """Run a command of Shoal's in the foreground."""
    code = subprocess.run(
        [sys.executable, *words], cwd=settings.ROOT, env=settings.environment(), check=False
    ).returncode
    if code:
        raise ShoalError(f"`python {' '.join(words[:3])}` ended with exit code {code}; see above")
