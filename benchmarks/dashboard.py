"""How long a page of the dashboard takes to stand: ``python -m benchmarks.dashboard``, of what is published.

A first view is a new browser context that loads Streamlit's scripts, opens the live connection and draws; a
next one is the same reader once more. Beside them stands the same dashboard over an empty data folder: what
Streamlit and the browser take before Shoal shows anything. Needs Debian's chromium.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import psutil

import settings
from cli import ShoalError, answer, main
from orchestrate import dashboard_server, login, processes
from serving.dashboard.navigation import ICONS

DRAWN = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def measure(visits: int) -> list[tuple[str, float, float, float]]:
    """Return per page the median seconds of a first and of a next view, and the server's CPU-seconds."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        raise ShoalError("no chromium here: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with tempfile.TemporaryDirectory() as empty, _serving(Path(empty)) as address:
            rows = [("nothing published", *_page(browser, address, "/", visits))]
        with _serving(settings.data_dir()) as address:
            for name in ICONS:
                path = "/" if name == next(iter(ICONS)) else f"/{name}"
                rows.append((name, *_page(browser, address, path, visits)))
    return rows


@contextmanager
def _serving(data: Path) -> Iterator[str]:
    told = {"SHOAL_DATA": str(data), "SHOAL_DASHBOARD_PORT": "0"}
    with patch.dict("os.environ", told):
        try:
            address = dashboard_server.start()
            time.sleep(5)  # it warms up after it answers
            yield address
        finally:
            dashboard_server.end()


def _page(browser: Any, address: str, path: str, visits: int) -> tuple[float, float, float]:
    first, later, before = [], [], _cpu_seconds()
    for _ in range(visits + 1):  # the first one warms up
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.goto(f"{address}/log-out")
        page.fill("#user", login.USER)
        page.fill("#password", login.password())
        page.locator("input[name=next]").evaluate("(field, path) => field.value = path", path)
        began = time.perf_counter()
        page.click("button")
        _drawn(page)
        first.append(time.perf_counter() - began)
        began = time.perf_counter()
        page.goto(address + path)
        _drawn(page)
        later.append(time.perf_counter() - began)
        context.close()
    spent = (_cpu_seconds() - before) / (2 * (visits + 1))
    return median(first[1:]), median(later[1:]), spent


def _drawn(page: Any) -> None:
    page.wait_for_selector(".shoal-drawn", state="attached")
    page.wait_for_selector(DRAWN)


def _cpu_seconds() -> float:
    times = [process.cpu_times() for process in processes.members(dashboard_server.FAMILY)]
    return sum(each.user + each.system for each in times)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dashboard",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--visits", type=int, default=5, help="per page, after one to warm up")
    parser.set_defaults(act=lambda arguments: _tell(measure(arguments.visits)))
    return parser


def _tell(rows: list[tuple[str, float, float, float]]) -> None:
    load, cores = psutil.getloadavg()[0], psutil.cpu_count()
    answer.print(f"load {load:.1f} on {cores} cores\n")
    answer.print("| page | first view, s | next view, s | server, CPU-s |\n|---|---|---|---|")
    for name, *seconds in rows:
        answer.print(f"| {name} | " + " | ".join(f"{each:.2f}" for each in seconds) + " |")


if __name__ == "__main__":
    main(parser())
