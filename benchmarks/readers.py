"""Do publishes disturb who reads? ``python -m benchmarks.readers``, on what a demo has published.

Twenty analysts, each a process of its own, ask the questions of docs/queries.md one after the other, with a
second of thought between them; two dashboards stand open in a headless Chromium and are loaded again and
again. First for a while undisturbed, then through twenty publishes, each of one more day: the newest day of
the version in force told again under the next date, in a data folder of its own. Every analyst also asks, on
one connection, two tables for their newest day: different answers would be a mixture of two versions.

Printed are the median and the 95th percentile of a question with its connection, of both times, and what
went wrong. Needs Debian's chromium, unless ``--dashboards 0``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import numpy as np

import settings
from benchmarks.behaviour_log import ScratchPaths
from benchmarks.dashboard import DRAWN
from cli import ShoalError, answer, console, main
from orchestrate import dashboard_server, login
from serving import versions
from serving.publish import publish
from serving.tables import BI_TABLES, CURRENT, FACT_TABLES, VERSIONS, quoted
from settings import ShopPaths
from tests.questions import questions

ANALYST = """
import json, sys, time
from pathlib import Path
from serving.query import connect
from settings import ShopPaths

shop, queries, stop, number = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
paths = ShopPaths(shop)
time.sleep(number / 20)
while not stop.exists():
    began = time.time()
    number += 1
    try:
        with connect(paths) as connection:
            connection.execute(queries[number % len(queries)]).fetchall()
            seconds = time.time() - began
            days = [
                connection.execute(f"select max(as_of_date) from {table}").fetchone()[0]
                for table in ("user_segment_current", "segment_profile_daily")
            ]
        failed = None if days[0] == days[1] else f"a mixture: {days[0]} and {days[1]}"
    except Exception as error:
        seconds, failed = time.time() - began, f"{type(error).__name__}: {error}"[:200]
    print(json.dumps([began, seconds, failed]), flush=True)
    time.sleep(1)
"""


@dataclass(frozen=True)
class Phase:
    """What one stretch of time showed; seconds of each question, and of each view of a dashboard."""

    name: str
    seconds: list[float]
    views: list[float]
    failures: list[str]

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.seconds, share)) if self.seconds else float("nan")


def lay(shop: str, data: Path) -> tuple[ShopPaths, date]:
    """Make a working warehouse of the version in force, in a data folder of its own; return its newest day.

    Raises
    ------
    ShoalError
        When nothing is published.
    """
    source = versions.current_folder(ShopPaths(shop))
    if source is None:
        raise ShoalError(f"nothing is published for shop {shop}: run make demo first")
    shutil.rmtree(data, ignore_errors=True)
    paths = ScratchPaths(shop, data)
    paths.root.mkdir(parents=True)
    with duckdb.connect(str(paths.warehouse)) as connection:
        connection.execute(f"attach '{source / versions.DATABASE}' as told (read_only)")
        connection.execute("create schema bi; create schema ops")
        for table in BI_TABLES:
            wanted = "where false" if table.kind in (CURRENT, VERSIONS) else ""
            connection.execute(
                f"create table bi.{quoted(table.name)} as from told.bi.{quoted(table.name)} {wanted}"
            )
        row = connection.execute("select max(as_of_date) from bi.user_segment_daily").fetchone()
        assert row is not None
        newest: date = row[0]
        for table in FACT_TABLES:
            connection.execute(f"delete from bi.{quoted(table.name)} where as_of_date <> ?", [newest])
    return paths, newest


def tell_next_day(paths: ShopPaths, day: date) -> None:
    """Let the warehouse tell the newest day again, as the day after."""
    with duckdb.connect(str(paths.warehouse)) as connection:
        for table in FACT_TABLES:
            name = quoted(table.name)
            connection.execute(f"update bi.{name} set as_of_date = ?", [day])


def measure(shop: str, analysts: int, dashboards: int, publishes: int, quiet_seconds: int) -> list[Phase]:
    """Let them read undisturbed, then through the publishes."""
    data = settings.data_dir() / "benchmarks" / "readers"
    paths, day = lay(shop, data)
    with patch.dict("os.environ", {"SHOAL_DATA": str(data)}):
        publish(ShopPaths(shop), day, rules_only=True)
        stop = data / "stop"
        queries = json.dumps([question.sql for question in questions()])
        readers = [
            subprocess.Popen(
                [sys.executable, "-c", ANALYST, shop, queries, str(stop), str(number)],
                cwd=settings.ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(analysts)
        ]
        told: list[tuple[float, float, str | None]] = []
        listeners = [threading.Thread(target=_listen, args=(reader, told)) for reader in readers]
        for each in listeners:
            each.start()
        views: list[tuple[float, float, str | None]] = []
        try:
            with _watching(data, dashboards, stop, views):
                console.print("warming up")
                time.sleep(20)
                marks = [time.time()]
                console.print(f"{quiet_seconds} seconds without a publish")
                time.sleep(quiet_seconds)
                marks.append(time.time())
                for number in range(1, publishes + 1):
                    following = day + timedelta(days=number)
                    tell_next_day(paths, following)
                    publish(ShopPaths(shop), following, rules_only=True)
                    console.print(f"published {following} ({number} of {publishes})")
                    time.sleep(max(0.0, marks[1] + number * quiet_seconds / publishes - time.time()))
                marks.append(time.time())
        finally:
            stop.touch()
            for each in listeners:
                each.join(timeout=60)
            for reader in readers:
                reader.wait(timeout=60)
    shutil.rmtree(data)
    return [
        _phase("without a publish", marks[0], marks[1], told, views),
        _phase(f"through {publishes} publishes", marks[1], marks[2], told, views),
    ]


def _listen(reader: subprocess.Popen[str], told: list[tuple[float, float, str | None]]) -> None:
    assert reader.stdout is not None
    for line in reader.stdout:
        told.append(tuple(json.loads(line)))


@contextmanager
def _watching(
    data: Path, dashboards: int, stop: Path, views: list[tuple[float, float, str | None]]
) -> Iterator[None]:
    """Keep dashboards open beside the analysts."""
    if not dashboards:
        yield
        return
    with patch.dict("os.environ", {"SHOAL_DASHBOARD_PORT": "0"}):
        address = dashboard_server.start()
        watcher = threading.Thread(target=_watch, args=(address, login.password(), dashboards, stop, views))
        watcher.start()
        try:
            yield
        finally:
            stop.touch()
            watcher.join(timeout=120)
            dashboard_server.end()


def _watch(
    address: str, password: str, dashboards: int, stop: Path, views: list[tuple[float, float, str | None]]
) -> None:
    from playwright.sync_api import Page, sync_playwright

    def look(page: Page, path: str) -> None:
        began = time.time()
        failed = None
        try:
            page.goto(address + path)
            page.wait_for_selector(".shoal-drawn", state="attached")
            page.wait_for_selector(DRAWN)
            if page.get_by_test_id("stException").count():
                failed = f"{path}: {page.get_by_test_id('stException').first.inner_text()[:200]}"
        except Exception as error:
            failed = f"{path}: {type(error).__name__}: {error}"[:200]
        views.append((began, time.time() - began, failed))

    with sync_playwright() as driver:
        program = shutil.which("chromium")
        browser: Any = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        pages = [browser.new_context().new_page() for _ in range(dashboards)]
        for page in pages:
            page.set_default_timeout(120_000)
            page.goto(address)
            page.fill("#user", login.USER)
            page.fill("#password", password)
            page.click("button")
            page.wait_for_selector("h1")
        while not stop.exists():
            for number, page in enumerate(pages):
                look(page, ("/", "/segment", "/funnel", "/runs")[(len(views) + number) % 4])
            time.sleep(3)
        browser.close()


def _phase(
    name: str,
    begin: float,
    end: float,
    told: list[tuple[float, float, str | None]],
    views: list[tuple[float, float, str | None]],
) -> Phase:
    asked = [one for one in told if begin <= one[0] < end]
    looked = [one for one in views if begin <= one[0] < end]
    failures = [failed for _, _, failed in (*asked, *looked) if failed]
    return Phase(name, [one[1] for one in asked], [one[1] for one in looked], failures)


def as_markdown(phases: list[Phase]) -> str:
    """Return the README's table.

    >>> print(as_markdown([Phase("quiet", [0.1, 0.3], [2.0], [])]))
    | | questions | median, s | 95 %, s | dashboard views | median, s | errors and mixtures |
    |---|---|---|---|---|---|---|
    | quiet | 2 | 0.20 | 0.29 | 1 | 2.0 | 0 |
    """
    lines = [
        "| | questions | median, s | 95 %, s | dashboard views | median, s | errors and mixtures |",
        "|---|---|---|---|---|---|---|",
    ]
    for phase in phases:
        views = f"{np.median(phase.views):.1f}" if phase.views else "–"
        cells = [phase.name, len(phase.seconds), *(f"{phase.percentile(each):.2f}" for each in (50, 95))]
        cells += [len(phase.views), views, len(phase.failures)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def act(arguments: argparse.Namespace) -> None:
    """Measure and print the table; fail where somebody met an error or a mixture."""
    phases = measure(
        arguments.shop, arguments.analysts, arguments.dashboards, arguments.publishes, arguments.seconds
    )
    answer.print(as_markdown(phases), soft_wrap=True)
    failures = sorted({failure for phase in phases for failure in phase.failures})
    if failures:
        raise ShoalError("readers were disturbed: " + "; ".join(failures[:5]))


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    result = argparse.ArgumentParser(
        "python -m benchmarks.readers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--shop", default="simulated")
    result.add_argument("--analysts", type=int, default=20)
    result.add_argument("--dashboards", type=int, default=2)
    result.add_argument("--publishes", type=int, default=20)
    result.add_argument("--seconds", type=int, default=120, help="of each of the two times (default: 120)")
    result.set_defaults(act=act)
    return result


if __name__ == "__main__":
    main(parser())
