from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

import settings
import warehouse
from settings import ShopPaths
from tests import world
from tests.dbt import landed
from warehouse.build import build_core

Query = Callable[..., list[tuple]]


@pytest.fixture(scope="package")
def world_paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopPaths]:
    """The world, landed in order and built once as of its last day. Read only."""
    with pytest.MonkeyPatch.context() as patch:
        paths = use_shop_folder(patch, tmp_path_factory.mktemp("world"))
        land_world(paths, sorted(world.DELIVERIES))
        build_core(paths)
        yield paths


@pytest.fixture(scope="package")
def ask(world_paths: ShopPaths) -> Query:
    """Ask the built world something."""

    def answer(query: str, *parameters: object) -> list[tuple]:
        with warehouse.connect(world_paths, "a test", read_only=True) as connection:
            return connection.execute(query, list(parameters)).fetchall()

    return answer


def use_shop_folder(patch: pytest.MonkeyPatch, folder: Path, shop: str = world.SHOP) -> ShopPaths:
    patch.setenv("SHOAL_DATA", str(folder))
    patch.setenv("SHOAL_SHOPS", str(settings.ROOT / "tests" / "shops"))
    return ShopPaths(shop)


def land_world(paths: ShopPaths, days: list) -> None:
    for day in days:
        for table, rows in world.DELIVERIES[day].items():
            landed.deliver(paths, day, table, rows)


def tables_of(connection: duckdb.DuckDBPyConnection, schemas: tuple[str, ...]) -> list[str]:
    """Return the tables and views of some schemas, as SQL names them."""
    found = connection.execute(
        "select table_schema || '.' || table_name from information_schema.tables "
        "where list_contains(?, table_schema) order by all",
        [list(schemas)],
    ).fetchall()
    return [table for (table,) in found]
