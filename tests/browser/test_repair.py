"""A file that is held, found on the page of the runs, and repaired by the command that stands there."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from serving.dashboard.words import texts
from tests.browser.conftest import SIZES, api, serving, visits
from tests.chain import Chain

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def held(simulated: Chain, tmp_path_factory: pytest.TempPathFactory) -> tuple[Chain, str]:
    """Take a copy of the shop whose newest file of events names nothing that is known; return its batch."""
    chain = Chain(simulated.shop, tmp_path_factory.mktemp("held"))
    shutil.copytree(simulated.folder, chain.folder, symlinks=True)
    drop = tmp_path_factory.mktemp("drop")
    (file,) = simulated.tomorrow.glob("events_*")
    header, *lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    at = header.split(",").index("event_type")
    spoiled = [",".join([*line.split(",")[:at], "nonsense", *line.split(",")[at + 1 :]]) for line in lines]
    (drop / file.name).write_bytes(
        gzip.compress("\n".join([header, *spoiled[:-20], *lines[-20:], ""]).encode())
    )
    chain.run("landing", "receive", str(drop), expect=3)
    (batch,) = {one["batch_id"] for one in ledger(chain) if one["status"] == "held"}
    return chain, batch


def ledger(chain: Chain) -> list[dict[str, str]]:
    return [json.loads(line) for line in chain.run("landing", "ledger", "--json").splitlines()]


def test_a_held_batch_is_shown_with_the_command_that_repairs_it(
    held: tuple[Chain, str], chromium: api.Browser, pictures: Path
) -> None:
    chain, batch = held
    with serving(chain.data) as address:
        visit = visits(chromium, address, chain.data, pictures)
        for size in SIZES:
            visitor = visit(size)
            shown = visitor.look("/runs")
            visitor.photograph(f"held_runs_{size}")
            assert batch in shown.inner_text("body")
        told = " ".join(shown.get_by_test_id("stCode").all_inner_texts())
        assert "events_2025-05-30.csv.gz" in shown.inner_text("body")
        assert texts()["all_is_well"]["en"] not in shown.inner_text("body")
        (command,) = re.findall(rf"python -m (landing accept {batch} --shop {chain.shop})", told)
        chain._python(*command.split())
        assert {one["status"] for one in ledger(chain) if one["batch_id"] == batch} == {"accepted"}
        after = visitor.look("/runs").inner_text("body")
        assert batch not in after
        assert texts()["all_is_well"]["en"] in after
