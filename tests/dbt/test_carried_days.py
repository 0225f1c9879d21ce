"""A day made from an earlier one says what it would say alone, whatever became known in between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import warehouse
from settings import ShopPaths
from tests.dbt import days, landed
from tests.dbt.conftest import use_shop_folder
from tests.dbt.test_delivery_orders import DELIVERIES, view
from warehouse import dbt
from warehouse.build import build_core

pytestmark = pytest.mark.slow

SCHEMAS = ("staging", "intermediate", "core", "ml_inputs")
KEPT = (
    *("ml_inputs.fct_user_features", "ml_inputs.fct_user_labels"),
    "intermediate.int_user_rule_segments",
)

FIRST_DAY = date(2025, 12, 1)
"""Early enough that there are cuts by April: they stand for a week while the days go on."""

TOLD = {
    **DELIVERIES,
    # Somebody who comes every day for as long as lists are, and longer.
    **{
        f"regular {number}": (
            str(day),
            "events",
            [view(f"r{number}-{i}", f"{day} {8 + i:02}:00:00", "d-r", "mug") for i in range(12)],
        )
        for number, day in enumerate(date(2026, 4, day) for day in range(1, 13))
    },
    # Nothing else becomes known of anybody here, and no catalogue lists the chair.
    # A visit of the past, told late.
    "quiet": ("2026-03-01", "events", [view("q1", "2026-03-01 09:00:00", "d-q", "chair")]),
    "quiet, told late": ("2026-04-09", "events", [view("q0", "2026-02-20 09:00:00", "d-q", "chair")]),
    # An event that is taken from one device and given to another.
    "somebody": (
        "2026-03-06",
        "events",
        [view(f"w{day}", f"2026-03-0{day} 07:00:00", "d-w", "chair") for day in (5, 6)],
    ),
    "it was another": ("2026-04-09", "events", [view("w5", "2026-03-05 07:00:00", "d-v", "chair")]),
    # Dora's device looks again, without her name.
    "dora": ("2026-03-01", "events", [view("s1", "2026-03-01 09:00:00", "d-s", "chair", customer="dora")]),
    "dora's device": ("2026-04-08", "events", [view("s2", "2026-04-08 09:00:00", "d-s", "chair")]),
    # Fay looked between two visits of eve's to their device: they were one.
    "fay and eve": (
        "2026-03-25",
        "events",
        [
            view("t1", "2026-03-24 09:00:00", "d-t", "chair", customer="fay"),
            view("t2", "2026-03-25 10:00:00", "d-t", "chair", customer="eve"),
            view("t4", "2026-03-25 10:50:00", "d-t", "chair", customer="eve"),
        ],
    ),
    "fay, told late": (
        "2026-04-09",
        "events",
        [view("t3", "2026-03-25 10:25:00", "d-t", "chair", customer="fay")],
    ),
    # Whose device that was becomes known.
    "a device": ("2026-03-02", "events", [view("u1", "2026-03-02 09:00:00", "d-u", "chair")]),
    "gus's device": (
        "2026-04-09",
        "device_links",
        [{"device_id": "d-u", "customer_id": "gus", "linked_at": "2026-03-01 12:00:00"}],
    ),
    # Days that leave a window of 7, 30 or 90 days between the 6th and the 10th of April.
    **{
        f"once, {day}": (day, "events", [view(f"o{day}", f"{day} 09:00:00", f"d-{day}", "chair")])
        for day in ("2026-04-01", "2026-03-09", "2026-01-08")
    },
    "newest catalogue": (
        "2026-04-11",
        "products",
        [
            {"product_id": "mug", "title": "Green mug", "category": "garden", "is_product": True},
            {"product_id": "teapot", "title": "Teapot", "category": "kitchen", "is_product": True},
        ],
    ),
}


class Shop:
    """A shop to which deliveries come day after day; notes from which date each build went on."""

    def __init__(self, paths: ShopPaths) -> None:
        self.paths = paths
        self.delivered: set[str] = set()
        self.carried: list[dict[str, str]] = []
        self.standing: list[list[str]] = []

    def build(
        self, paths: ShopPaths, leg: str, variables: dict[str, Any], full_refresh: bool = False
    ) -> None:
        self.carried.append(variables["carried"])
        self.standing.append(variables["standing"])
        # What a full refresh makes in parts, the days have made at once.
        parts = {"events_lined_up_at_once": 50, "events_measured_at_once": 40} if full_refresh else {}
        days.run_only(paths, leg, variables | parts, full_refresh)

    def deliver_until(self, day: date) -> None:
        for name, (on, table, rows) in TOLD.items():
            if name not in self.delivered and date.fromisoformat(on) <= day:
                landed.deliver(self.paths, date.fromisoformat(on), table, rows, name=name)
                self.delivered.add(name)

    def content(self) -> dict[str, str]:
        """Return the content of all tables, of those that keep earlier dates as of the last."""
        with warehouse.connect(self.paths, "a test") as connection:
            for table in KEPT:
                connection.execute(f"delete from {table} where as_of_date not in (from ops.built_date)")
        return days.content(self.paths, *SCHEMAS)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    paths = use_shop_folder(monkeypatch, tmp_path)
    built = Shop(paths)
    monkeypatch.setattr(dbt, "build", built.build)
    landed.deliver(paths, FIRST_DAY, "events", [view("z", f"{FIRST_DAY} 12:00:00", "d-z", "mug")])
    landed.deliver(paths, FIRST_DAY, "orders", [])
    yield built


def tell(shop: Shop, told_days: list[date]) -> None:
    """Build the days one after the other, each with what was delivered by then.

    Two empty files complete a day.
    """
    for day in told_days:
        for table in ("events", "orders"):
            landed.deliver(shop.paths, day, table, [])
        shop.deliver_until(day)
        build_core(shop.paths, day)


def assert_equal_to_a_full_refresh(shop: Shop, day: date) -> None:
    found = shop.content()
    build_core(shop.paths, day, full_refresh=True)
    expected = shop.content()
    assert {table for table in expected if found.get(table) != expected[table]} == set()


def test_days_made_from_days_before_equal_a_full_refresh(shop: Shop) -> None:
    first, second, third, fourth = (date(2026, 4, day) for day in (6, 10, 12, 13))
    tell(shop, [first, second, third])
    assert shop.carried == [{}, {str(second): str(first)}, {str(third): str(second)}]
    cuts = ["2026-02-05", "2026-03-07"]
    assert shop.standing == [[], cuts, cuts]
    assert_equal_to_a_full_refresh(shop, third)
    tell(shop, [fourth])
    moved = {"2026-02-12": cuts[0], "2026-03-14": cuts[1], str(fourth): str(third)}
    assert (shop.standing[-1], shop.carried[-1]) == ([], moved)
    assert_equal_to_a_full_refresh(shop, fourth)


@pytest.mark.deep
def test_every_day_made_from_days_before_equals_a_full_refresh(shop: Shop) -> None:
    told_days = [date(2026, 2, 26), *(date(2026, 3, day) for day in (1, 3, 5, 8, 10, 13, 19, 22, 27))]
    told_days += [date(2026, 4, day) for day in (1, 5, 7, 8, 9, 11, 12)]
    tell(shop, told_days[:1])
    for day in told_days[1:]:
        tell(shop, [day])
        assert shop.carried[-1], day
        assert_equal_to_a_full_refresh(shop, day)
