"""The dashboard in a real browser: every page opened, used and photographed, wide and narrow."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import duckdb
import pytest

import journal
from orchestrate import login
from serving.dashboard.navigation import ICONS
from serving.dashboard.words import texts
from tests.browser.conftest import SIZES, Visit, serving, visits
from tests.chain import Chain
from tests.chinese import english_left

pytestmark = pytest.mark.slow

USER_KEY = re.compile(rb"[0-9a-f]{64}")
CHART = ".js-plotly-plot, .shoal-shares"

WITHOUT_CHARTS = {"flows"}
"""With one published day there is nothing to compare."""


def address_of(page: str) -> str:
    return "/" if page == next(iter(ICONS)) else f"/{page}"


def title(page: str, language: str = "en") -> str:
    return texts()[f"page_{page}"][language]


@pytest.fixture(scope="module")
def user_keys(simulated: Chain) -> set[str]:
    """Return every user of the version; a page must know none."""
    with duckdb.connect(
        str(simulated.folder / "serving" / "current" / "shoal.duckdb"), read_only=True
    ) as one:
        keys = {
            key for (key,) in one.execute("select distinct user_key from bi.user_segment_daily").fetchall()
        }
    assert len(keys) > 1000
    return keys


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", ICONS)
def test_a_page_shows_what_it_should_at_each_width(
    page: str, size: str, visit: Visit, user_keys: set[str]
) -> None:
    visitor = visit(size)
    shown = visitor.look(address_of(page))
    picture = visitor.photograph(f"{page}_{size}")
    assert shown.locator("h1").inner_text() == title(page)
    assert shown.get_by_test_id("stException").count() == 0
    assert texts()["failed"]["en"] not in shown.inner_text("body")
    if page not in WITHOUT_CHARTS:
        assert shown.locator(CHART).count() >= 1
    # Neither what is drawn nor what came over the wire names a user; tables are drawn from the wire.
    told = b"".join(visitor.received) + shown.content().encode()
    assert len(visitor.received) > 3
    assert {key for key in USER_KEY.findall(told) if key.decode() in user_keys} == set()
    # Nothing sticks out sideways.
    assert shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert picture.stat().st_size > 10_000
    assert visitor.asked == {visitor.address.split("/")[2]}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("segments", "buys 2.4 times as often"),
        ("flows", "By the model"),
        ("segment", "How long users stay"),
        ("segment", "Typical journeys"),
        ("model", "bert beats rfm_logistic by 0.031"),
        ("model", "The tenth with the highest scores"),
        ("model", "Do the segments hold?"),
    ],
)
def test_a_page_shows_more_once_more_is_published(page: str, told: str, size: str, visit_rich: Visit) -> None:
    visitor = visit_rich(size)
    shown = visitor.look(address_of(page))
    visitor.photograph(f"rich_{page}_{size}")
    assert shown.get_by_test_id("stException").count() == 0
    if told == "Typical journeys":  # a table is drawn on a canvas, and its words stand beside it
        assert texts()["no_journeys"]["en"] not in shown.inner_text("body")
        assert shown.get_by_test_id("stDataFrame").count() >= 3
    else:
        assert told in shown.inner_text("body")
        assert shown.locator(CHART).count() >= 1


def test_who_is_known_to_have_stayed_or_moved_is_told_apart_from_who_is_not(visit_rich: Visit) -> None:
    shown = visit_rich().look("/flows?scheme=behaviour")
    figures = {" ".join(figure.split()) for figure in shown.get_by_test_id("stMetric").all_inner_texts()}
    assert {"Told together 30", "New 25 worth 2,500 SGD", "Gone 21 worth 2,100 SGD"} <= figures


def test_rich_pages_call_everything_by_its_chinese_name(visit_rich: Visit) -> None:
    visitor = visit_rich()
    for page, told in (("segment", "订单数"), ("model", "校准误差"), ("flows", "合计显示")):
        shown = visitor.look(f"{address_of(page)}?lang=zh&scheme=behaviour")
        visitor.photograph(f"zh_rich_{page}_desktop")
        assert shown.get_by_test_id("stException").count() == 0
        assert told in shown.inner_text("body")
        assert "order_count" not in shown.inner_text("body")


@pytest.mark.parametrize("size", SIZES)
def test_a_page_speaks_chinese_where_one_asks_it_to(size: str, visit: Visit) -> None:
    visitor, english = visit(size), {}
    for page in ICONS:
        shown = visitor.look(f"{address_of(page)}?lang=zh")
        assert shown.locator("h1").inner_text() == title(page, "zh")
        # Codes and names of categories are the shop's; a command is typed as it stands.
        body = shown.inner_text("[data-testid=stMain]")
        for code in shown.locator("[data-testid=stMain] code").all_inner_texts():
            body = body.replace(code, "")
        english |= {page: english_left(body)} if english_left(body) else {}
        visitor.photograph(f"zh_{page}_{size}")
        assert shown.get_by_test_id("stException").count() == 0
    assert english == {}


def test_a_filter_changes_what_is_seen_and_the_link_restores_it(visit: Visit) -> None:
    visitor = visit()
    shown = visitor.look("/")
    visitor.choose("Scheme", "RFM")
    assert "Champions" in shown.inner_text("body")
    assert "scheme=rfm" in shown.url
    again = visit()
    restored = again.look(shown.url.removeprefix(again.address))
    assert "Champions" in restored.inner_text("body")


def test_a_link_leads_on_after_the_log_in(visit: Visit, simulated: Chain) -> None:
    visitor = visit(is_logged_in=False)
    visitor.open("/funnel?lang=zh&scheme=rfm&window=90")
    password = json.loads((simulated.data / "login.json").read_text())[login.USER]
    shown = visitor.log_in(password, "/funnel?lang=zh&scheme=rfm&window=90")
    visitor.settled()
    assert shown.locator("h1").inner_text() == title("funnel", "zh")
    assert {"scheme=rfm", "window=90", "lang=zh"} <= set(shown.url.partition("?")[2].split("&"))
    shown.get_by_text("重要价值客户").first.wait_for()


def test_the_language_is_chosen_in_the_menu_and_kept_on_other_pages(visit: Visit) -> None:
    visitor = visit()
    shown = visitor.look("/")
    visitor.choose("Language", "中文")
    assert shown.locator("h1").inner_text() == title("segments", "zh")
    shown.get_by_role("link", name=title("cohorts", "zh")).click()
    shown.wait_for_url("**/cohorts*")
    visitor.settled()
    assert shown.locator("h1").inner_text() == title("cohorts", "zh")
    assert "lang=zh" in shown.url


def test_a_segment_opens_from_its_card(visit: Visit) -> None:
    visitor = visit()
    shown = visitor.look("/?scheme=rfm")
    shown.get_by_role("link", name="Champions").click()
    shown.wait_for_url("**/segment*")
    visitor.settled()
    assert shown.locator("h3").first.inner_text() == "Champions"
    assert "segment=champions" in shown.url


def test_a_table_is_downloaded_as_excel_takes_it_and_noted(
    visit: Visit, simulated: Chain, tmp_path: Path
) -> None:
    visitor = visit()
    shown = visitor.look("/runs")
    shown.get_by_test_id("stDataFrame").locator("visible=true").last.hover()
    shown.get_by_test_id("stElementToolbarButton").locator("visible=true").first.wait_for()
    assert shown.get_by_test_id("stElementToolbar").get_by_role("button", name="Download").count() == 0
    with shown.expect_download() as download:
        # By the keyboard: a table's buttons lie under it until the pointer is over it.
        shown.get_by_role("button", name="Download as CSV").last.press("Enter")
    file = tmp_path / "versions.csv"
    download.value.save_as(file)
    assert download.value.suggested_filename.startswith("simulated_versions_")
    assert file.read_bytes().startswith(b"\xef\xbb\xbfversion,as_of_date,")
    rows = file.read_text(encoding="utf-8-sig").splitlines()[1:]
    assert rows
    visitor.settled()
    *_, noted = journal.read(simulated.folder / "ops" / "export_log.jsonl")
    assert (noted["target"], noted["table"]) == ("dashboard", "versions")
    assert noted["row_count"] == len(rows)


def test_the_menu_opens_on_a_phone(visit: Visit) -> None:
    visitor = visit("phone")
    shown = visitor.look("/")
    shown.get_by_test_id("stExpandSidebarButton").click()
    shown.get_by_role("link", name=title("cohorts")).click()
    shown.wait_for_url("**/cohorts*")
    visitor.settled()
    assert shown.locator("h1").inner_text() == title("cohorts")


def test_a_wrong_password_shows_nothing_but_the_form(visit: Visit) -> None:
    visitor = visit(is_logged_in=False)
    shown = visitor.log_in("wrong")
    assert "Name or password is wrong" in shown.inner_text("body")
    visitor.pictures.mkdir(exist_ok=True)
    shown.screenshot(path=str(visitor.pictures / "log_in_desktop.png"))


def test_nothing_published_says_what_to_type(chromium: object, pictures: Path, tmp_path: Path) -> None:
    with serving(tmp_path) as address:
        visit = visits(chromium, address, tmp_path, pictures)  # type: ignore[arg-type]
        for page, size in product(ICONS, SIZES):
            shown = visit(size).look(address_of(page))
            assert "Nothing has been published yet" in shown.inner_text("body"), page
            assert "make demo" in shown.inner_text("body"), page
        for size in SIZES:
            visitor = visit(size)
            visitor.look("/?lang=zh")
            visitor.photograph(f"nothing_published_{size}")


def test_a_damaged_version_is_told_without_its_insides(
    chromium: object, simulated: Chain, pictures: Path, tmp_path: Path
) -> None:
    link = simulated.folder / "serving" / "current"
    version = tmp_path / "simulated" / "serving" / "versions" / link.resolve().name
    version.mkdir(parents=True)
    (version / "manifest.json").write_text((link / "manifest.json").read_text())
    (version / "shoal.duckdb").write_bytes(b"no database" * 1000)
    (tmp_path / "simulated" / "serving" / "current").symlink_to(Path("versions") / version.name)
    with serving(tmp_path) as address:
        visit = visits(chromium, address, tmp_path, pictures)  # type: ignore[arg-type]
        for page, size in product(ICONS, SIZES):
            visitor = visit(size)
            told = visitor.look(address_of(page)).inner_text("body")
            assert "This page could not be shown" in told or page == "runs"
            assert "python -m serving status --shop simulated" in told
            assert "Traceback" not in told
            visitor.photograph(f"damaged_{page}_{size}")
        assert "Traceback" in (tmp_path / "dashboard" / "server.log").read_text()
