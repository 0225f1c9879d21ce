"""A headless Chromium of Debian's, and the dashboard that it looks at."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrate import dashboard_server, login
from tests.browser.rich import enrich
from tests.chain import Chain

api = pytest.importorskip("playwright.sync_api")

SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
PATIENCE = 60_000  # milliseconds; a busy machine is slow, and slowness is measured elsewhere


CHARTS_ARE_DRAWN = """
() => [...document.querySelectorAll('[data-testid="stPlotlyChart"]')]
    .every(one => one.querySelector('.main-svg'))
"""
"""A chart's script comes after the page; one in a closed drawer is not there at all."""


class Visitor:
    """Somebody who is logged in and looks at pages."""

    def __init__(self, context: api.BrowserContext, address: str, pictures: Path) -> None:
        self.context, self.address, self.pictures = context, address, pictures
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.asked: set[str] = set()
        self.received: list[bytes] = []
        self.page.on("request", lambda request: self.asked.add(request.url.split("/")[2]))
        self.page.on("websocket", lambda wire: wire.on("framereceived", self._receive))

    def _receive(self, frame: str | bytes) -> None:
        self.received.append(frame if isinstance(frame, bytes) else frame.encode())

    def open(self, path: str = "/") -> api.Page:
        self.page.goto(self.address + path)
        return self.page

    def log_in(self, password: str, path: str = "/") -> api.Page:
        self.open(path)
        self.page.fill("#user", login.USER)
        self.page.fill("#password", password)
        self.page.click("button")
        return self.page

    def look(self, path: str) -> api.Page:
        self.open(path)
        self.settled()
        return self.page

    def settled(self) -> None:
        """Wait until the page is drawn."""
        self.page.wait_for_selector("h1")
        self.page.wait_for_selector(".shoal-drawn", state="attached")
        self.page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        self.page.wait_for_function(CHARTS_ARE_DRAWN)
        self.page.wait_for_timeout(500)

    def choose(self, label: str, option: str | int) -> None:
        """Choose an option of the filter with a label, by its name or its place in the list."""
        self.page.get_by_test_id("stSelectbox").filter(has_text=re.compile(f"^{label}")).locator(
            '[role="combobox"], input'
        ).first.click()
        options = self.page.get_by_role("option")
        options.first.wait_for()
        if isinstance(option, str):
            self.page.get_by_role("option", name=option, exact=True).click()
        else:
            options.nth(option).click()
        self.page.wait_for_timeout(600)
        self.settled()

    def photograph(self, name: str) -> Path:
        """Keep a picture of the whole page, however long."""
        width = self.page.viewport_size["width"]
        tall = self.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        before = self.page.viewport_size
        self.page.set_viewport_size({"width": width, "height": min(int(tall) + 20, 6000)})
        self.page.wait_for_timeout(500)
        path = self.pictures / f"{name}.png"
        self.page.screenshot(path=str(path))
        self.page.set_viewport_size(before)
        return path


# While its driver lives, no other test of this process may run an event loop: it ends with the module.
@pytest.fixture(scope="module")
def chromium() -> Iterator[api.Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with api.sync_playwright() as driver:
        # As root Chromium has no sandbox; it opens nothing but this test's own pages.
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest) -> Path:
    """Return the folder of the pictures, below pytest's cache; the last run's stay to be looked at."""
    return Path(request.config.cache.mkdir("pictures"))


@contextmanager
def serving(data: Path) -> Iterator[str]:
    """Serve the dashboard of a data folder on a free port."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(data))
        patch.setenv("SHOAL_DASHBOARD_PORT", "0")
        try:
            yield dashboard_server.start()
        finally:
            dashboard_server.end()


Visit = Callable[..., Visitor]


def visits(browser: api.Browser, address: str, data: Path, pictures: Path) -> Visit:
    """Return what gives visitors; who is logged in shares the log-in of a width."""
    known: dict[str, api.BrowserContext] = {}

    def context(size: str) -> api.BrowserContext:
        width, height = SIZES[size]
        return browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)

    def visit(size: str = "desktop", is_logged_in: bool = True) -> Visitor:
        if not is_logged_in:
            return Visitor(context(size), address, pictures)
        if size not in known:
            known[size] = context(size)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SHOAL_DATA", str(data))
                Visitor(known[size], address, pictures).log_in(login.password()).wait_for_selector("h1")
        return Visitor(known[size], address, pictures)

    return visit


@pytest.fixture(scope="module")
def visit(chromium: api.Browser, simulated: Chain, pictures: Path) -> Iterator[Visit]:
    """Give visitors of the simulated shop's dashboard."""
    with serving(simulated.data) as address:
        yield visits(chromium, address, simulated.data, pictures)


@pytest.fixture(scope="module")
def visit_rich(
    chromium: api.Browser, simulated: Chain, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Visit]:
    """Give visitors of a version that has every table."""
    data = enrich(simulated, tmp_path_factory.mktemp("rich"))
    with serving(data) as address:
        yield visits(chromium, address, data, pictures)


@pytest.fixture(scope="session", autouse=True)
def _no_proxy() -> None:
    os.environ.setdefault("NO_PROXY", "127.0.0.1")
