"""The whole chain under a real Airflow, on the world: one visitor's event from file to segment, three times.

First the shop's history; then the same files again, which must change nothing; then one more day, which must
change what it says and nothing else.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import settings
import warehouse
from landing import pseudonyms
from orchestrate import airflow_server, follow, login, processes
from serving.query import connect
from settings import ShopPaths
from tests import planted, world
from tests.published import Content, content

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

VISITOR = "ben"
NEXT_DAY = world.LAST_DAY + timedelta(days=1)
SCHEMES = {"rfm", "lifecycle", "behaviour"}
"""`value` needs a hundred positives to learn from; the world is told that it has none."""


@dataclass
class Shop:
    """The world's shop, its drops and its Airflow."""

    paths: ShopPaths
    drops: Path
    home: Path
    client: airflow_server.Client

    def run_chain(self, name: str) -> follow.Chain:
        run = follow.Run("land_behaviour", name)
        body = {
            "dag_run_id": name,
            "logical_date": None,
            "conf": {"shop": world.SHOP, "folder": str(self.drops)},
        }
        self.client.post(f"dags/{run.dag_id}/dagRuns", body)
        return follow.follow(self.client, run, until="publish_segments")

    def published(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connect(self.paths) as connection:
            return connection.execute(query, list(parameters)).fetchall()

    def key_of(self, customer: str) -> str:
        secret = pseudonyms.key(self.paths)
        return hmac.new(secret, f"customer:{customer}".encode(), hashlib.sha256).hexdigest()

    def segments_of(self, customer: str) -> dict[str, str]:
        rows = self.published(
            "select scheme, segment_code from bi.user_segment_current where user_key = ?",
            self.key_of(customer),
        )
        assert len(rows) == len(dict(rows)), "more than one row in a scheme"
        return dict(rows)

    def content(self, as_of: date) -> Content:
        return content(self.paths, as_of)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    data, home = (tmp_path_factory.mktemp(name) for name in ("data", "home"))
    drops = data / "drops"
    world.write_drops(drops)
    world.write_crowd(drops)
    planted.plant(drops)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(data))
        patch.setenv("SHOAL_SHOPS", str(settings.ROOT / "tests" / "shops"))
        patch.setenv("SHOAL_SHOP", world.SHOP)
        patch.setenv("SHOAL_AIRFLOW_PORT", "0")
        patch.setenv("HOME", str(home))
        try:
            address = airflow_server.start()
            yield Shop(ShopPaths(world.SHOP), drops, home, airflow_server.Client(address))
        finally:
            airflow_server.end()


@pytest.fixture(scope="module")
def first(shop: Shop) -> follow.Chain:
    return shop.run_chain("first")


def test_chain_trains_scores_and_publishes_the_last_complete_day(first: follow.Chain) -> None:
    assert first.as_of_date == world.LAST_DAY.isoformat()
    assert [run.dag_id for run in (*first.runs, *first.asked)] == [
        *("land_behaviour", "build_features", "score_users", "publish_segments", "train_models")
    ]
    assert {step.state for step in first.steps.values()} == {"success"}


def test_one_event_goes_from_its_file_to_a_segment_in_every_scheme(shop: Shop, first: follow.Chain) -> None:
    with (shop.drops / "events_2026-04-02.csv").open() as file:
        (event,) = (row for row in csv.DictReader(file) if row["event_id"] == "b1")
    assert (event["customer_id"], event["occurred_at"]) == (
        VISITOR,
        "2026-04-02 09:00:00",
    )  # Berlin; 07:00 UTC

    landed = shop.paths.landing / "events" / "2026-04-02" / "*.parquet"
    assert duckdb.execute(
        "select user_key, event_type, delivered_on from read_parquet(?) where event_id = 'b1'", [str(landed)]
    ).fetchall() == [(shop.key_of(VISITOR), "view", date(2026, 4, 2))]

    with warehouse.connect(shop.paths, "a test", read_only=True) as connection:
        built = connection.execute(
            "select event_type, product_id from core.fct_events where user_key = ? and occurred_at = ?",
            [shop.key_of(VISITOR), datetime(2026, 4, 2, 7, 0)],
        ).fetchall()
        read = connection.execute(
            "select event_types from ml_inputs.fct_user_sequences where user_key = ? and as_of_date = ?",
            [shop.key_of(VISITOR), world.LAST_DAY],
        ).fetchall()
    assert built == [("view", "lamp")]
    assert read == [(["view", "view", "view"],)]

    segments = shop.segments_of(VISITOR)
    assert segments.keys() >= SCHEMES
    assert segments["rfm"] == "not_bought"


def test_every_published_row_says_which_run_made_it(shop: Shop, first: follow.Chain) -> None:
    assert shop.published("select distinct run_id from bi.user_segment_daily") == [("first",)]


def test_same_files_again_change_nothing_but_run_ids(shop: Shop, first: follow.Chain) -> None:
    before = shop.content(world.LAST_DAY)
    assert before["user_segment_daily"]
    again = shop.run_chain("again")
    assert not again.asked, "a model was trained though nothing had changed"
    assert shop.content(world.LAST_DAY) == before


@pytest.mark.deep
def test_one_more_day_moves_who_bought_and_leaves_the_day_before(shop: Shop, first: follow.Chain) -> None:
    before = shop.content(world.LAST_DAY)
    _drop(shop.drops, "events", event_id="b4", event_type="view", occurred_at=f"{NEXT_DAY} 08:00:00")
    order = {"order_id": "ben1", "ordered_at": f"{NEXT_DAY} 09:00:00"}
    _drop(
        shop.drops,
        "orders",
        **order,
        order_status="completed",
        updated_at=order["ordered_at"],
        currency="EUR",
    )
    _drop(
        shop.drops, "order_lines", **order, line_number=1, product_id="lamp", quantity=1, unit_price_amount=50
    )

    chain = shop.run_chain("next_day")

    assert chain.as_of_date == NEXT_DAY.isoformat()
    assert shop.segments_of(VISITOR)["rfm"] != "not_bought"
    assert shop.content(world.LAST_DAY) == before


@pytest.mark.deep
def test_runbook_of_a_restatement_holds_word_for_word(shop: Shop, first: follow.Chain) -> None:
    """Through the real gate: ben's order of the last day but one was delivered late."""
    before = shop.content(world.LAST_DAY)
    order = {"order_id": "ben0", "ordered_at": f"{world.LAST_DAY} 09:00:00"}
    head = {"order_status": "completed", "updated_at": order["ordered_at"], "currency": "EUR"}
    line = {"line_number": 1, "product_id": "mug", "quantity": 2, "unit_price_amount": 20}
    _drop(shop.drops, "orders", f"{world.LAST_DAY}_late", **order, **head)
    _drop(shop.drops, "order_lines", f"{world.LAST_DAY}_late", **order, **line)
    _type(f"python -m landing receive {shop.drops} --shop {world.SHOP}")
    typed = _commands("Restate a day", simulated=world.SHOP, **{"2025-08-26": str(world.LAST_DAY)})
    assert [words.split()[2:4] for words in typed] == [
        ["warehouse", "build"],
        ["ml", "score"],
        ["serving", "restate"],
        ["serving", "query"],
    ]
    for words in typed:
        said = _type(words)
    assert f"{world.LAST_DAY}" in said and "the till of 24 August was delivered late" in said
    changed = {table for table, rows in shop.content(world.LAST_DAY).items() if rows != before[table]}
    assert {"user_segment_daily", "segment_profile_daily"} <= changed
    logged = shop.published("select as_of_date, because_of from ops.restatement")
    assert (world.LAST_DAY, world.LAST_DAY) in logged


def test_planted_personal_data_is_in_no_log_xcom_artefact_or_table(shop: Shop, first: follow.Chain) -> None:
    """Landing alone knows who it is: its files that only their owner reads, and the drops themselves."""
    assert shop.segments_of(planted.CUSTOMER), "nothing was planted"
    texts = [text.encode() for text in planted.TEXTS]
    left = _left(shop)
    suffixes = {path.suffix for path in left}
    assert {".log", ".db", ".duckdb", ".parquet", ".html", ".safetensors"} <= suffixes
    assert list(planted.traces(left, texts)) == []


def test_secrets_are_in_no_file_but_their_own(shop: Shop, first: follow.Chain) -> None:
    own = [login.file(), *shop.paths.secrets.iterdir(), *settings.data_dir().rglob("*.key")]
    secrets = {path: path.read_bytes().strip() for path in own}
    secrets[login.file()] = login.password().encode()
    assert len(secrets) >= 5 and all(path.stat().st_mode & 0o077 == 0 for path in secrets)
    texts = {form: path for path, text in secrets.items() for form in (text, text.hex().encode())}
    found = planted.traces([path for path in _left(shop) if path not in secrets], texts)
    assert [(path, texts[text]) for path, text in found] == []


def _left(shop: Shop) -> list[Path]:
    apart = {shop.drops, shop.paths.secrets, shop.paths.quarantine}
    return [
        path
        for path in settings.data_dir().rglob("*")
        if path.is_file() and not apart & {*path.parents} and path.suffix != ".lock"
    ]


def test_nothing_is_written_into_the_home_directory(shop: Shop, first: follow.Chain) -> None:
    assert list(shop.home.rglob("*")) == []


def test_no_process_outlives_its_airflow(shop: Shop, first: follow.Chain) -> None:
    assert processes.members(airflow_server.FAMILY)
    airflow_server.end()
    assert not processes.members(airflow_server.FAMILY)


def _drop(folder: Path, table: str, name: str = str(NEXT_DAY), **row: Any) -> None:
    """Drop one more file of one row by the visitor."""
    row = {"customer_id": VISITOR, "channel": "web"} | row
    if table == "order_lines":
        row = {name: value for name, value in row.items() if name not in ("customer_id", "channel")}
    world.write_file(folder / f"{table}_{name}.csv", row)


def _commands(section: str, **words: str) -> list[str]:
    """Return the commands of a section of the runbook, with other words in the place of the example's."""
    text = (settings.ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    lines = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0].splitlines()
    lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for example, ours in words.items():
        lines = [line.replace(example, ours) for line in lines]
    return lines


def _type(words: str) -> str:
    """Type a command and return what it said; it must end 0."""
    command = [sys.executable, *shlex.split(words)[1:]]
    done = subprocess.run(
        command, cwd=settings.ROOT, env=settings.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
    return done.stdout
