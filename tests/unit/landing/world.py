"""A corner shop in Berlin: events, orders, reviews and the rest, under the contracts' own names."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from landing import shops
from landing.shops import Shop

CORNER: dict[str, Any] = {
    "shop": "corner",
    "description": "A corner shop in Berlin.",
    "time_zone": "Europe/Berlin",
    "currency": "EUR",
    "required": ["events"],
    "daily": ["events"],
    "sources": [
        {"name": table, "files": [f"{table}_*"], "tables": [table]}
        for table in ("events", "orders", "order_lines", "refunds", "reviews", "products", "customers")
    ],
}

VIEW = {
    "event_id": "e1",
    "event_type": "view",
    "occurred_at": "2024-03-01 10:00:00",
    "customer_id": "c1",
    "device_id": "d1",
    "product_id": "p1",
    "quantity": "1",
    "price_amount": "9.90",
}


def make_shop(folder: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]) -> Shop:
    (folder / "shops").mkdir(exist_ok=True)
    path = folder / "shops" / f"{content['shop']}.yml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    monkeypatch.setattr("settings.ROOT", folder)
    shops.load.cache_clear()
    return shops.read(path)


def write_rows(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    listed = list(rows)
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)
    return path
