"""Every filter of every page used, at both widths, and beside a query; every view restored by its link."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestrate import login
from serving.dashboard.navigation import ICONS
from serving.dashboard.words import texts
from tests.browser.conftest import SIZES, Visit, Visitor, api, serving, visits
from tests.browser.rich import enrich
from tests.chain import Chain

pytestmark = pytest.mark.slow

Ask = Callable[[str], Any]


@pytest.fixture(scope="module")
def rich(simulated: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return enrich(simulated, tmp_path_factory.mktemp("views"))


@pytest.fixture(scope="module")
def visit(chromium: api.Browser, rich: Path, pictures: Path) -> Iterator[Visit]:
    with serving(rich) as address:
        yield visits(chromium, address, rich, pictures)


@pytest.fixture(scope="module")
def ask(rich: Path) -> Iterator[Ask]:
    """Ask the published version for one value."""
    database = rich / "simulated" / "serving" / "current" / "shoal.duckdb"
    with duckdb.connect(str(database), read_only=True) as connection:
        yield lambda query: connection.execute(query).fetchone()[0]


def figures(shown: api.Page) -> dict[str, str]:
    """Return the figures above a page by their labels."""
    told = [one.split("\n") for one in shown.get_by_test_id("stMetric").all_inner_texts()]
    return {lines[0]: next(line for line in lines[1:] if line.strip()) for lines in told}


def number(text: str) -> float:
    return float(text.split()[0].replace(",", ""))


def written(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def drawn(shown: api.Page) -> str:
    """Return what stands in the charts."""
    return " ".join(shown.locator(".js-plotly-plot text").all_text_contents())


def downloaded(visitor: Visitor, drawer: str) -> list[dict[str, str]]:
    """Open the drawer of a table and take its CSV."""
    visitor.page.get_by_text(texts()[drawer]["en"], exact=True).click()
    button = visitor.page.get_by_role("button", name="Download as CSV").locator("visible=true").first
    with visitor.page.expect_download() as download:
        button.press("Enter")
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))


@pytest.mark.parametrize("size", SIZES)
def test_segments_are_those_of_the_scheme_and_day(size: str, visit: Visit, ask: Ask) -> None:
    visitor = visit(size)
    shown = visitor.look("/?scheme=behaviour")
    total = "select sum(users) from bi.segment_profile_daily where scheme = '{}' and as_of_date = '{}'"
    newest = ask("select max(as_of_date) from bi.segment_profile_daily")
    earliest = ask("select min(as_of_date) from bi.segment_profile_daily")
    assert number(figures(shown)["Users"]) == ask(total.format("behaviour", newest))
    visitor.choose("Day", written(earliest))
    before = number(figures(shown)["Users"])
    assert before == ask(total.format("behaviour", earliest)) != ask(total.format("behaviour", newest))
    visitor.choose("Scheme", "RFM")
    brings_most = ask(
        "select segment_name_en from bi.segment_profile_daily where scheme = 'rfm' and as_of_date = "
        f"'{earliest}' order by net_revenue_amount desc limit 1"
    )
    assert shown.locator(".shoal-shares dt").first.inner_text() == brings_most
    assert number(figures(shown)["Users"]) == ask(total.format("rfm", earliest))


FLOW = "from bi.segment_migration where scheme = 'behaviour' and from_code {} and to_code {}"
SEGMENT = "not in ('NEW', 'ABSENT', 'IDENTIFIED', 'ERASED', '_other')"


@pytest.mark.parametrize("size", SIZES)
def test_flows_tell_how_many_moved_and_what_they_are_worth(size: str, visit: Visit, ask: Ask) -> None:
    visitor = visit(size)
    shown = visitor.look("/flows?scheme=behaviour")
    moved = FLOW.format(SEGMENT, SEGMENT) + " and from_code <> to_code"
    told = figures(shown)
    assert number(told["Moved"]) == ask(f"select sum(users) {moved}")
    amounts = {
        one.split("\n")[0]: one.rpartition("worth ")[2]
        for one in shown.get_by_test_id("stMetric").all_inner_texts()
        if "worth" in one
    }
    assert amounts.keys() == {"Moved", "New", "Gone"}
    assert number(amounts["Moved"]) == ask(f"select sum(net_revenue_amount) {moved}")
    hovers = shown.evaluate("document.querySelector('.js-plotly-plot').data[0].link.customdata")
    assert hovers and all(one.endswith(" SGD") for one in hovers)
    rows = downloaded(visitor, "all_flows")
    assert sum(float(row["net_revenue_amount"]) for row in rows) == ask(
        "select sum(net_revenue_amount) from bi.segment_migration"
    )


@pytest.mark.parametrize("size", SIZES)
def test_flows_are_those_between_the_two_days(size: str, visit: Visit, ask: Ask) -> None:
    visitor = visit(size)
    shown = visitor.look("/flows?scheme=rfm")
    earliest = ask("select min(as_of_date) from bi.segment_profile_daily")
    came = (
        "select count(*) from bi.user_segment_daily as now where scheme = 'rfm' and as_of_date = "
        "(select max(as_of_date) from bi.user_segment_daily) and not exists (select 1 "
        "from bi.user_segment_daily as old where old.user_key = now.user_key and old.scheme = 'rfm' "
        "and old.as_of_date = '{}')"
    )
    before = ask("select max(as_of_date) - 7 from bi.segment_profile_daily")
    assert number(figures(shown)["New"]) == ask(came.format(before)) == 0
    visitor.choose("From", written(earliest))
    assert number(figures(shown)["New"]) == ask(came.format(earliest)) > 100
    assert texts()["flows_worth_nowhere"]["en"] in shown.inner_text("body")
    newest = ask("select max(as_of_date) from bi.segment_profile_daily")
    assert f"from={earliest}" in shown.url and f"to={newest}" in shown.url
    visitor.choose("To", written(before))
    assert f"to={before}" in shown.url
    visitor.choose("Scheme", "Lifecycle")
    name = ask("select any_value(segment_name_en) from bi.user_segment_daily where segment_code = 'loyal'")
    assert name in drawn(shown)


@pytest.mark.parametrize("size", SIZES)
def test_a_segment_is_the_chosen_one_on_the_chosen_day(size: str, visit: Visit, ask: Ask) -> None:
    visitor = visit(size)
    shown = visitor.look("/segment?scheme=behaviour")
    visitor.choose("Scheme", "RFM")
    visitor.choose("Segment", "Champions")
    assert shown.locator("h3").first.inner_text() == "Champions"
    query = (
        "select users from bi.segment_profile_daily where scheme = 'rfm' and segment_code = 'champions' "
        "and as_of_date = '{}'"
    )
    newest = ask("select max(as_of_date) from bi.segment_profile_daily")
    assert number(figures(shown)["Users"]) == ask(query.format(newest))
    earlier = ask("select max(as_of_date) - 7 from bi.segment_profile_daily")
    visitor.choose("Day", written(earlier))
    assert number(figures(shown)["Users"]) == ask(query.format(earlier)) == ask(query.format(newest)) + 7


@pytest.mark.parametrize("size", SIZES)
def test_the_funnel_is_that_of_the_scheme_window_and_channel(size: str, visit: Visit, ask: Ask) -> None:
    visitor = visit(size)
    shown = visitor.look("/funnel?scheme=behaviour")
    query = (
        "select sum(users) from bi.funnel_daily where scheme = '{}' and ('{}' = 'all' or channel = '{}') "
        "and date > (select max(date) from bi.funnel_daily) - {}"
    )
    assert number(figures(shown)["User days"]) == ask(query.format("behaviour", "all", "all", 28))
    visitor.choose("Window", "Last 90 days")
    assert number(figures(shown)["User days"]) == ask(query.format("behaviour", "all", "all", 90))
    channel = ask("select channel from bi.funnel_daily where channel <> '_other' order by users desc limit 1")
    visitor.choose("Channel", channel)
    assert number(figures(shown)["User days"]) == ask(query.format("behaviour", channel, channel, 90))
    visitor.choose("Scheme", "RFM")
    assert number(figures(shown)["User days"]) == ask(query.format("rfm", channel, channel, 90))
    assert "Champions" in drawn(shown).replace("  ", " ")


@pytest.mark.parametrize("size", SIZES)
def test_models_are_those_of_the_training_and_measure(size: str, visit: Visit, ask: Ask) -> None:
    visitor = visit(size)
    shown = visitor.look("/model")
    query = (
        "select printf('%.3f', (metrics->>'$.{}.value')::double) from ops.model_run where model = 'bert' "
        "and as_of_date = (select max(as_of_date) from ops.model_run) - {}"
    )
    assert ask(query.format("roc_auc", 0)) in drawn(shown)
    earlier = ask("select min(as_of_date) from ops.model_run")
    visitor.choose("Trained as of", written(earlier))
    assert ask(query.format("roc_auc", 7)) in drawn(shown)
    assert ask(query.format("roc_auc", 0)) not in drawn(shown)
    visitor.choose("Measure", "Brier score")
    assert ask(query.format("brier", 7)) in drawn(shown)


@pytest.mark.parametrize("size", SIZES)
def test_hold_out_calibration_stands_beside_what_came_of_past_scores(
    size: str, visit: Visit, ask: Ask
) -> None:
    visitor = visit(size)
    shown = visitor.look("/model")
    visitor.photograph(f"rich_model_hold_out_{size}")
    body = shown.inner_text("body")
    assert texts()["hold_out"]["en"] in body
    # The newest training's models, and the champion, which was trained a week earlier.
    trained = written(ask("select min(as_of_date) from ops.model_run"))
    legend = shown.locator(".legendtext").all_text_contents()
    assert {"BERT", "LightGBM", "RFM, logistic", f"BERT · {trained} · serves today"} <= set(legend)
    assert {"Past scores: All users", "As said"} <= set(legend)
    rows = [row for row in downloaded(visitor, "hold_out_figures") if row["name"] == "BERT"]
    bins = json.loads(
        ask(
            "select calibration from ops.model_run where model = 'bert' "
            "and as_of_date = (select max(as_of_date) from ops.model_run)"
        )
    )
    assert [(int(row["users"]), float(row["observed_share"])) for row in rows] == [
        (one["users"], one["observed_share"]) for one in bins
    ]


CHOICES = {
    "segments": (("Scheme", "RFM"), ("Day", -1)),
    "flows": (("Scheme", "Lifecycle"), ("From", -1)),
    "segment": (("Scheme", "RFM"), ("Segment", "Champions"), ("Day", -1)),
    "cohorts": (),
    "funnel": (("Scheme", "RFM"), ("Window", "Last 7 days"), ("Channel", 1)),
    "model": (("Trained as of", -1), ("Measure", "Brier score")),
    "runs": (),
}
"""Page → its filters and what to choose, by name or by place."""


def told(shown: api.Page) -> tuple[object, ...]:
    selected = shown.locator('[data-testid="stMain"] [data-testid="stSelectbox"]').all_inner_texts()
    headings = shown.locator("h1, h3").all_inner_texts()
    # How long ago something was published changes while one looks.
    values = {label: one for label, one in figures(shown).items() if label not in ("Published", "发布")}
    return selected, headings, values, drawn(shown)


def test_every_page_is_in_the_test_of_links() -> None:
    assert CHOICES.keys() == ICONS.keys()


@pytest.mark.parametrize("page", CHOICES)
def test_a_link_restores_every_choice_for_who_was_never_here(page: str, visit: Visit, rich: Path) -> None:
    visitor = visit()
    shown = visitor.look("/" if page == "segments" else f"/{page}")
    first = told(shown)
    for label, option in CHOICES[page]:
        visitor.choose(label, option)
    visitor.choose("Language", "中文")
    seen = told(shown)
    assert seen != first
    link = shown.url.removeprefix(visitor.address)
    assert "shop=simulated" in link and "lang=zh" in link
    stranger = visit(is_logged_in=False)
    password = json.loads((rich / "login.json").read_text())[login.USER]
    restored = stranger.log_in(password, link)
    stranger.settled()
    assert told(restored) == seen
    assert set(restored.url.partition("?")[2].split("&")) == set(link.partition("?")[2].split("&"))


def test_a_link_names_its_shop_and_means_the_same_when_a_second_comes(
    chromium: api.Browser, rich: Path, pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(rich, tmp_path, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "dashboard", ignore_errors=True)
    with serving(tmp_path) as address:
        visitor = visits(chromium, address, tmp_path, pictures)()
        link = visitor.look("/funnel?scheme=rfm").url.removeprefix(address)
        shutil.copytree(tmp_path / "simulated", tmp_path / "another", symlinks=True)
        assert "shop=simulated" in link
        later = visits(chromium, address, tmp_path, pictures)()
        assert "another as of" in later.look("/funnel").inner_text("body")
        assert "simulated as of" in later.look(link).inner_text("body")


def test_a_link_to_what_is_not_there_any_more_says_so(visit: Visit) -> None:
    visitor = visit()
    shown = visitor.look("/?scheme=rfm&day=2001-01-01")
    text = texts()["not_in_link"]["en"].format(asked="2001-01-01")
    assert text in shown.inner_text("body")
    visitor.choose("Scheme", "Lifecycle")
    assert text in shown.inner_text("body")
    shown.get_by_role("link", name="Funnel").click()
    shown.wait_for_url("**/funnel*")
    visitor.settled()
    assert text not in shown.inner_text("body")
    other = visit().look("/?shop=elsewhere")
    assert texts()["not_in_link"]["en"].format(asked="elsewhere") in other.inner_text("body")
