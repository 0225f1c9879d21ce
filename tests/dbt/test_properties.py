"""The two definitions with the largest input spaces, against the plainest possible reading of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landing.ledger import LedgerFile
from settings import ShopPaths
from warehouse import dbt
from warehouse.build import choose_split, variables

DAYS = [date(2026, 1, 1) + timedelta(days=n) for n in range(5)]
NUMBERS = {"f": 10, "g": 9}
"""Two files of a day, `orders_9` and `orders_10`: the one that is named later counts, whatever its id."""
CHECK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def models(world_paths: ShopPaths) -> dict[str, str]:
    """The compiled SQL of a full build, by model."""
    names = [
        "int_orders_deduplicated",
        "int_orders_attributed",
        "int_order_lines_deduplicated",
        "int_products_deduplicated",
        "int_events_sessionized",
    ]
    said = variables(world_paths, choose_split(world_paths, None))
    result = dbt.invoke(world_paths, ["compile", "--full-refresh", "--select", *names], said)
    return {found.node.name: found.node.compiled_code for found in result.result.results}


@pytest.fixture
def database(world_paths: ShopPaths) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty warehouse with the world's table definitions."""
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as warehouse")
        connection.execute(f"attach '{world_paths.warehouse}' as world (read_only)")
        for schema, table in [
            ("staging", "stg_shop__orders"),
            ("staging", "stg_shop__order_lines"),
            ("staging", "stg_shop__products"),
            ("ops", "quarantine"),
            ("ops", "landing_ledger"),
            ("intermediate", "int_events_merged"),
            ("intermediate", "int_orders_deduplicated"),
            ("reference", "event_types"),
        ]:
            connection.execute(f"create schema if not exists warehouse.{schema}")
            connection.execute(f"create table warehouse.{schema}.{table} as from world.{schema}.{table}")
        connection.execute("detach world")
        named = [
            {"file_id": file_id, "name_order": order}
            for file, number in NUMBERS.items()
            for order in [LedgerFile.model_construct(file_name=f"orders_{number}.csv").name_order]
            for file_id in (file, *(f"{day}{file}" for day in DAYS))
        ]
        refill(connection, "ops.landing_ledger", named)
        yield connection


def refill(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    connection.execute(f"delete from warehouse.{table}")
    for row in rows:
        names, marks = ", ".join(row), ", ".join("?" for _ in row)
        connection.execute(f"insert into warehouse.{table} ({names}) values ({marks})", list(row.values()))


def seen(connection: duckdb.DuckDBPyConnection, model: str, columns: str, day: date) -> list[tuple]:
    return connection.execute(
        f"select {columns} from ({model}) as m where delivered_on <= ? "
        "and (superseded_on is null or superseded_on > ?) order by all",
        [day, day],
    ).fetchall()


arrivals = st.lists(
    st.tuples(
        st.sampled_from(DAYS),
        st.sampled_from("fg"),
        st.integers(1, 3),
        st.none() | st.integers(1, 3),
        st.sampled_from("xy"),
        st.sampled_from([None, "upsert", "delete"]),
    ),
    max_size=8,
    unique_by=lambda row: row[:3],
)


@CHECK
@given(arrivals)
def test_newest_version_is_seen_on_every_day(
    models: dict[str, str], database: duckdb.DuckDBPyConnection, rows: list
) -> None:
    """Newest = version, else the end of the day of delivery, else the file's name and the row."""
    landed = [
        {
            "order_id": "o",
            "delivered_on": day,
            "file_id": file,
            "row_number": number,
            "updated_at": version and datetime(2026, 1, version),
            "channel": channel,
            "op": op,
        }
        for day, file, number, version, channel, op in rows
    ]
    refill(database, "staging.stg_shop__orders", landed)
    for day in DAYS:
        known = [row for row in rows if row[0] <= day]
        newest = max(known, key=lambda row: (newness(row), row[0], NUMBERS[row[1]], row[2]), default=None)
        is_seen = newest and newest[5] != "delete"
        expected = [(newest[4], newest[3] and datetime(2026, 1, newest[3]))] if is_seen else []
        assert seen(database, models["int_orders_deduplicated"], "channel, updated_at", day) == expected


@CHECK
@given(
    st.lists(
        st.tuples(st.sampled_from(DAYS), st.sampled_from(["placed", "cancelled", "deleted"])),
        max_size=5,
        unique_by=lambda row: row[0],
    )
)
def test_deleted_order_counts_as_cancelled_until_it_is_delivered_again(
    models: dict[str, str], database: duckdb.DuckDBPyConnection, told: list
) -> None:
    landed = [
        {
            "order_id": "o",
            "delivered_on": day,
            "file_id": "f",
            "row_number": 1,
            "order_status": None if what == "deleted" else what,
            "op": "delete" if what == "deleted" else None,
        }
        for day, what in told
    ]
    refill(database, "staging.stg_shop__orders", landed)
    refill(database, "intermediate.int_orders_deduplicated", [])
    database.execute(
        "insert into warehouse.intermediate.int_orders_deduplicated by name "
        f"from ({models['int_orders_deduplicated']})"
    )
    for day in DAYS:
        known = [what for on, what in sorted(told) if on <= day]
        was_told = "placed" in known or "cancelled" in known
        # A deletion of what nobody had told says nothing.
        expected = known[-1] != "placed" if was_told else False
        found = seen(database, models["int_orders_attributed"], "is_cancelled", day)
        assert found == ([(expected,)] if {what for _, what in told} - {"deleted"} else [])


def newness(row: tuple) -> int:
    """Return the day of January at whose beginning a version was made, else the day after its delivery."""
    day, _, _, version, *_ = row
    return version or day.day + 1


lines = st.lists(
    st.tuples(
        st.sampled_from(DAYS),
        st.sampled_from("fg"),
        st.integers(1, 3),
        st.integers(1, 2),
        st.sampled_from("xy"),
        st.sampled_from([None, "upsert", "delete"]),
    ),
    max_size=10,
    unique_by=lambda row: row[:3],
)


def ordered(rows: list) -> list:
    return sorted(rows, key=lambda row: (row[0], NUMBERS[row[1]], row[2]))


@CHECK
@given(lines)
def test_last_delivery_of_an_order_is_all_that_is_seen(
    models: dict[str, str], database: duckdb.DuckDBPyConnection, rows: list
) -> None:
    landed = [
        {
            "order_id": "o",
            "delivered_on": d,
            "file_id": f"{d}{f}",
            "row_number": n,
            "line_number": line,
            "product_id": product,
            "op": op,
        }
        for d, f, n, line, product, op in rows
    ]
    refill(database, "staging.stg_shop__order_lines", landed)
    for day in DAYS:
        known = ((d, f) for d, f, *_ in rows if d <= day)
        last = max(known, key=lambda file: (file[0], NUMBERS[file[1]]), default=None)
        told = {line: (product, op) for d, f, _, line, product, op in ordered(rows) if (d, f) == last}
        told = {line: product for line, (product, op) in told.items() if op != "delete"}
        found = seen(database, models["int_order_lines_deduplicated"], "line_number, product_id", day)
        assert found == sorted(told.items())


def test_lines_that_one_file_tells_on_several_days_stand_beside_each_other(
    models: dict[str, str], database: duckdb.DuckDBPyConnection
) -> None:
    """A history: the tea is told on the first day, the cup after midnight, the milk corrected at once; then
    another file replaces the order."""
    history = [(0, 1, "tea"), (0, 2, "milk"), (1, 2, "oat milk"), (1, 3, "cup")]
    rows = [(day, "f", line, product) for day, line, product in history] + [(3, "g", 1, "pot")]
    landed = [
        {
            "order_id": "o",
            "delivered_on": DAYS[day],
            "file_id": file,
            "row_number": number,
            "line_number": line,
            "product_id": product,
        }
        for number, (day, file, line, product) in enumerate(rows, start=1)
    ]
    refill(database, "staging.stg_shop__order_lines", landed)
    model = models["int_order_lines_deduplicated"]
    found = [[product for (product,) in seen(database, model, "product_id", day)] for day in DAYS[:4]]
    both_days = ["cup", "oat milk", "tea"]
    assert found == [["milk", "tea"], both_days, both_days, ["pot"]]


@CHECK
@given(lines, st.sets(st.sampled_from(DAYS)))
def test_absence_from_a_whole_snapshot_ends_a_product(
    models: dict[str, str], database: duckdb.DuckDBPyConnection, rows: list, partial: set
) -> None:
    """What is absent from a snapshot of which rows lie in the quarantine may be among those: it goes on."""
    landed = [
        {
            "product_id": str(product),
            "delivered_on": d,
            "file_id": f"{d}{f}",
            "row_number": n,
            "title": title,
            "op": op,
        }
        for d, f, n, product, title, op in rows
    ]
    refill(database, "staging.stg_shop__products", landed)
    bad = [{"file_id": f"{d}{f}", "table_name": "products"} for d, f, *_ in rows if d in partial]
    refill(database, "ops.quarantine", bad)
    told: dict[str, tuple[str, str | None]] = {}
    for day in DAYS:
        news = {str(product): (title, op) for d, *_, product, title, op in ordered(rows) if d == day}
        told = (told if day in partial or not news else {}) | news
        expected = {product: title for product, (title, op) in told.items() if op != "delete"}
        found = seen(database, models["int_products_deduplicated"], "product_id, title", day)
        assert found == sorted(expected.items())


@CHECK
@given(st.lists(st.tuples(st.sampled_from(["d1", "d2"]), st.integers(0, 4 * 3600)), max_size=15))
def test_visits_split_where_more_than_the_gap_passed(
    models: dict[str, str], database: duckdb.DuckDBPyConnection, clicks: list
) -> None:
    start = datetime(2026, 1, 1)
    # Multiples of ten minutes meet the gap exactly; what is left over does not.
    moments = [(device, start + timedelta(seconds=s - s % 600 if s % 3 else s)) for device, s in clicks]
    rows = [
        {
            "event_key": str(n),
            "event_type": "view",
            "device_key": device,
            "occurred_at": at,
            "delivered_on": DAYS[0],
        }
        for n, (device, at) in enumerate(moments)
    ]
    refill(database, "intermediate.int_events_merged", rows)
    found = database.execute(
        "select device_key, session_started_at, session_ended_at, count(*) "
        f"from ({models['int_events_sessionized']}) as m group by all order by all"
    ).fetchall()
    assert found == sorted(visits(moments))


def visits(moments: list[tuple[str, datetime]]) -> Iterator[tuple[str, datetime, datetime, int]]:
    for device in {device for device, _ in moments}:
        open_visit: list[datetime] = []
        for at in sorted(at for found, at in moments if found == device):
            if open_visit and at - open_visit[-1] > timedelta(minutes=30):
                yield device, open_visit[0], open_visit[-1], len(open_visit)
                open_visit = []
            open_visit.append(at)
        yield device, open_visit[0], open_visit[-1], len(open_visit)
