"""Planted personal data and secrets are found again in nothing that landing and leg 1 leave behind."""

from __future__ import annotations

import base64
import csv
from pathlib import Path

import pytest

import settings
from landing import pseudonyms
from settings import ShopPaths
from tests import world
from tests.warm import warm

SHOPS = str(settings.ROOT / "tests" / "shops")
CUSTOMER, DEVICE = "planted-customer-7351", "planted-device-7351"
EMAIL, PHONE, NAME = "wilhelmina.planted@example.org", "+49 30 73517351", "Wilhelmina Plantagenet"
MOMENT = "2026-04-29 10:00:00"


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def plant(drops: Path) -> None:
    """Write good rows and bad ones, with what identifies somebody where it belongs and where it does not."""
    person = {
        "customer_id": CUSTOMER,
        "email": EMAIL,
        "phone": PHONE,
        "full_name": NAME,
        "updated_at": MOMENT,
    }
    write(drops / "customers_2026-04-29.csv", [person, person | {"updated_at": f"yesterday, {EMAIL}"}])
    event = {
        "event_id": "x1",
        "event_type": "view",
        "occurred_at": MOMENT,
        "customer_id": CUSTOMER,
        "device_id": DEVICE,
    }
    searched = event | {
        "event_id": "x2",
        "event_type": "search",
        "query": f"write to {EMAIL} or call {PHONE}",
    }
    slipped = event | {"event_id": "x3", "event_type": CUSTOMER}
    write(drops / "events_2026-04-29.csv", [event, searched, slipped])
    order = {"order_id": "x4", "ordered_at": MOMENT, "customer_id": CUSTOMER, "order_status": "completed"}
    write(drops / "orders_2026-04-29.csv", [order | {"currency": "EUR", "updated_at": MOMENT}])


@pytest.mark.slow
def test_planted_personal_data_and_keys_are_found_in_nothing_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, drops = tmp_path / "data", tmp_path / "drops"
    data.mkdir()
    monkeypatch.setenv("SHOAL_DATA", str(data))
    world.write_drops(drops)
    plant(drops)
    commands = [
        ("landing", "receive", str(drops)),
        ("landing", "quarantine", "--json"),
        ("landing", "ledger", "--json"),
        ("expectations", "incoming"),
        ("warehouse", "build", "core"),
    ]
    said = {}
    with warm(
        "landing.__main__", "warehouse.build", "dbt.cli.main", "dbt.adapters.duckdb", SHOAL_SHOPS=SHOPS
    ) as victim:
        for words in commands:
            ended = victim.command(*words, "--shop", world.SHOP, data=data)
            said[" ".join(words[:2])] = ended.said.encode()
            assert ended.code in (0, 3), ended.said  # so few rows may well be too many bad ones
    assert b"not_allowed:event_type" in said["landing quarantine"]
    paths = ShopPaths(world.SHOP)
    key = pseudonyms.key(paths)
    planted = [text.encode() for text in (CUSTOMER, DEVICE, EMAIL, PHONE, NAME, "Plantagenet")]
    planted += [key, key.hex().encode(), base64.b64encode(key)]
    owners_only = {paths.secrets, paths.quarantine}
    left = {
        str(path.relative_to(data)): path.read_bytes()
        for path in data.rglob("*")
        if path.is_file() and not owners_only & set(path.parents)
    }
    assert len(left) > 60 and any(name.endswith("dbt.log") for name in left)
    found = [(place, text) for place, content in (left | said).items() for text in planted if text in content]
    assert found == []
    quarantined = b"".join(path.read_bytes() for path in paths.quarantine.iterdir())
    assert EMAIL.encode() in quarantined, "nothing was planted"
