"""Planted personal data and secrets are found again in nothing that landing and leg 1 leave behind."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

import settings
from landing import pseudonyms
from settings import ShopPaths
from tests import planted, world
from tests.warm import warm

SHOPS = str(settings.ROOT / "tests" / "shops")


@pytest.mark.slow
@pytest.mark.deep
def test_planted_personal_data_and_keys_are_found_in_nothing_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, drops = tmp_path / "data", tmp_path / "drops"
    data.mkdir()
    monkeypatch.setenv("SHOAL_DATA", str(data))
    world.write_drops(drops)
    planted.plant(drops, with_bad_rows=True)
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
    texts = [text.encode() for text in planted.TEXTS] + [key, key.hex().encode(), base64.b64encode(key)]
    owners_only = {paths.secrets, paths.quarantine}
    left = [path for path in data.rglob("*") if path.is_file() and not owners_only & set(path.parents)]
    assert len(left) > 60 and any(path.name == "dbt.log" for path in left)
    assert list(planted.traces(left, texts)) == []
    assert [(name, text) for name, words in said.items() for text in texts if text in words] == []
    assert planted.EMAIL.encode() in {text for _, text in planted.traces(paths.quarantine.iterdir(), texts)}
