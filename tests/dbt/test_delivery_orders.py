"""Late events, late links, corrections and withdrawals, delivered in random orders: the tables end the same.

Every build of an example is incremental; what it must equal, row for row, is one full refresh. Three orders
are tried, the same in each run; ``--hypothesis-profile thorough`` tries fifty, other ones each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import warehouse
from landing import ledger
from settings import ShopPaths
from tests import world
from tests.dbt import days, landed
from tests.dbt.conftest import use_shop_folder
from warehouse import dbt
from warehouse.build import build_core

pytestmark = pytest.mark.slow

IS_THOROUGH = settings.get_current_profile_name() == "thorough"
CHECK = settings(
    max_examples=50 if IS_THOROUGH else 2,
    derandomize=not IS_THOROUGH,
    database=None,
    deadline=None,
    # No shrinking: each try costs three builds.
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)

SCHEMAS = ("staging", "intermediate", "core", "ml_inputs")


def view(event_id: str, at: str, device: str | None, product: str, customer: str | None = None) -> dict:
    who = {"device_id": device, "customer_id": customer}
    return {"event_id": event_id, "event_type": "view", "occurred_at": at, "product_id": product, **who}


def link(customer: str, at: str) -> dict:
    return {"device_id": "d-a", "customer_id": customer, "linked_at": at}


def order(status: str, updated_at: str) -> dict:
    return {
        "order_id": "o1",
        "ordered_at": "2026-02-28 18:00:00",
        "customer_id": "ana",
        "device_id": "d-b",
        "order_status": status,
        "updated_at": updated_at,
        "currency": "EUR",
        "channel": "web",
    }


def line(number: int, product: str, price: int) -> dict:
    at = "2026-02-28 18:00:00"
    key = {"order_id": "o1", "line_number": number, "ordered_at": at}
    return {**key, "product_id": product, "quantity": 1, "unit_price_amount": price}


def product(name: str, title: str) -> dict:
    return {"product_id": name, "title": title, "category": "kitchen", "is_product": True}


DELIVERIES = {
    # A device looks twice, fifty minutes apart: two visits.
    "visits": ("2026-02-27", "events", [
        view("a1", "2026-02-27 10:00:00", "d-a", "lamp"),
        view("a2", "2026-02-27 10:50:00", "d-a", "mug"),
    ]),
    # A day late, what happened between: one visit.
    "1 day late": ("2026-02-28", "events", [view("a3", "2026-02-27 10:25:00", "d-a", "mug")]),
    # A week late, and after the train cut: the first look was earlier. Two visits again.
    "7 days late": ("2026-03-06", "events", [view("a1", "2026-02-27 09:40:00", "d-a", "teapot")]),
    # Forty days late, after both cuts: something between those two. One visit.
    "40 days late": ("2026-04-08", "events", [view("a4", "2026-02-27 10:05:00", "d-a", "lamp")]),
    # The device is ana's, then also bea's; since a third customer it tells nobody.
    "first link": ("2026-03-05", "device_links", [link("ana", "2026-02-20 12:00:00")]),
    "second link": ("2026-04-07", "device_links", [link("bea", "2026-02-27 10:10:00")]),
    "third link": ("2026-04-12", "device_links", [link("cem", "2026-03-25 12:00:00")]),
    # Another device, on which ana is seen, and which looks again without her name.
    "ana is seen": ("2026-03-12", "events", [
        view("b1", "2026-03-12 08:00:00", "d-b", "mug", customer="ana"),
        view("b2", "2026-03-12 08:30:00", "d-b", "mug"),
        view("b3", "2026-03-12 09:00:01", "d-b", "mug"),
    ]),
    "order": ("2026-02-28", "orders", [order("placed", "2026-02-28 18:00:00")]),
    "lines": ("2026-03-02", "order_lines", [line(1, "mug", 10), line(2, "teapot", 40)]),
    "lines corrected": ("2026-03-09", "order_lines", [line(1, "mug", 12)]),
    "order cancelled": ("2026-04-09", "orders", [order("cancelled", "2026-04-09 09:00:00")]),
    "refund": ("2026-03-04", "refunds", [
        {"refund_id": "r1", "order_id": "o1", "refunded_at": "2026-03-03 09:00:00", "refund_amount": 10}
    ]),
    "payment": ("2026-03-03", "payments", [
        {"payment_id": "p1", "order_id": "o1", "customer_id": "ana", "paid_at": "2026-02-28 18:01:00",
         "paid_amount": 50, "method": "card", "payment_status": "succeeded"}
    ]),
    "catalogue": ("2026-02-01", "products", [product("mug", "Mug"), product("teapot", "Teapot")]),
    "new catalogue": ("2026-03-20", "products", [product("mug", "Blue mug"), product("lamp", "Lamp")]),
    # An event that a later delivery places on another day.
    "seen": ("2026-03-02", "events", [view("m1", "2026-03-02 07:00:00", "d-m", "mug")]),
    "seen on another day": ("2026-04-03", "events", [view("m1", "2026-03-28 07:00:00", "d-m", "mug")]),
    # What was said before, again, in another file.
    "visits repeated": ("2026-03-01", "events", [view("a2", "2026-02-27 10:50:00", "d-a", "mug")]),
}  # fmt: skip
BOTH_ENDS = [world.FIRST_DAY, world.LAST_DAY]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ShopPaths, dict[str, str]]]:
    """The shop with everything delivered and built once; file ids by name."""
    with pytest.MonkeyPatch.context() as patch:
        paths = use_shop_folder(patch, tmp_path_factory.mktemp("orders"))
        for day in BOTH_ENDS:
            landed.deliver(paths, day, "events", [view(f"z{day}", f"{day} 12:00:00", "d-z", "mug")])
            landed.deliver(paths, day, "orders", [])
        ids = {
            name: landed.deliver(paths, date.fromisoformat(on), table, rows, name=name)
            for name, (on, table, rows) in DELIVERIES.items()
        }
        build_core(paths, world.LAST_DAY)
        # From here on only what is built matters, not the data tests after it.
        patch.setattr(dbt, "build", days.run_only)
        yield paths, ids


@pytest.fixture(scope="module")
def expected(shop: tuple[ShopPaths, dict[str, str]]) -> dict[str, str]:
    """The content of a full refresh with everything delivered."""
    paths, _ = shop
    build_core(paths, world.LAST_DAY, full_refresh=True)
    return days.content(paths, *SCHEMAS)


def decide(paths: ShopPaths, ids: dict[str, str], delivered: set[str]) -> None:
    """Let exactly these deliveries count."""
    status = {file.file_id: file.status for file in ledger.files(paths)}
    for wanted in ("accepted", "withdrawn"):
        names = [name for name in ids if (name in delivered) == (wanted == "accepted")]
        changed = [ids[name] for name in names if status[ids[name]] != wanted]
        if changed:
            ledger.set_status(paths, changed, wanted, ["a test"])


@st.composite
def orders_of_delivery(draw: st.DrawFn) -> list[set[str]]:
    """Draw what has been delivered before each build but the last; some of it is withdrawn in between."""
    names = draw(st.permutations(list(DELIVERIES)))
    first, second = sorted(draw(st.tuples(st.integers(0, len(names)), st.integers(0, len(names)))))
    withdrawn = draw(st.sets(st.sampled_from(names), max_size=3))
    return [set(names[:first]), set(names[:second]) - withdrawn]


@CHECK
@given(orders_of_delivery())
def test_any_order_of_delivery_ends_like_a_full_refresh(
    shop: tuple[ShopPaths, dict[str, str]], expected: dict[str, str], steps: list[set[str]]
) -> None:
    paths, ids = shop
    for delivered in [*steps, set(ids)]:
        decide(paths, ids, delivered)
        build_core(paths, world.LAST_DAY)
    found = days.content(paths, *SCHEMAS)
    assert {table for table in expected if found.get(table) != expected[table]} == set()


@pytest.mark.deep
def test_visits_merge_and_split_with_what_is_known(
    shop: tuple[ShopPaths, dict[str, str]], expected: dict[str, str]
) -> None:
    """The planted deliveries do what is said beside them; otherwise the orders above would prove little."""
    paths, ids = shop
    everything_else = set(ids) - {"1 day late", "7 days late", "40 days late"}
    for more, visits in [((), 2), (("1 day late",), 1), (("7 days late",), 2), (("40 days late",), 1)]:
        everything_else |= set(more)
        decide(paths, ids, everything_else)
        build_core(paths, world.LAST_DAY)
        assert count_visits(paths) == visits, more


def count_visits(paths: ShopPaths) -> int:
    query = "select count(*) from core.fct_sessions where cast(session_started_at as date) = '2026-02-27'"
    with warehouse.connect(paths, "a test", read_only=True) as connection:
        [(visits,)] = connection.execute(query).fetchall()
    return int(visits)


@pytest.mark.deep
def test_late_event_touches_the_keys_and_visits_it_meets_and_no_other(
    shop: tuple[ShopPaths, dict[str, str]], expected: dict[str, str]
) -> None:
    paths, ids = shop
    decide(paths, ids, set(ids) - {"40 days late"})
    build_core(paths, world.LAST_DAY)
    with warehouse.connect(paths, "a test") as connection:
        connection.execute("update intermediate.int_events_sessionized set page = 'as it was'")
    decide(paths, ids, set(ids))
    build_core(paths, world.LAST_DAY)
    query = """
        select source_key, page is null from intermediate.int_events_sessionized where source_table = 'events'
    """
    with warehouse.connect(paths, "a test", read_only=True) as connection:
        is_rewritten = dict(connection.execute(query).fetchall())
    assert {key for key, is_new in is_rewritten.items() if is_new} == {"a1", "a2", "a3", "a4"}
    build_core(paths, world.LAST_DAY, full_refresh=True)
    assert days.content(paths, *SCHEMAS) == expected
