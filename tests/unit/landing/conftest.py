"""What tests of landing share: the corner shop, its drops, and a look at what landed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from landing import quarantine
from landing.receive import Report, receive
from landing.shops import Shop
from settings import ShopPaths

from .world import CORNER, VIEW, make_shop, write_rows


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def paths() -> ShopPaths:
    return ShopPaths("corner")


@pytest.fixture
def drops(tmp_path: Path) -> Path:
    folder = tmp_path / "drops"
    folder.mkdir()
    return folder


@pytest.fixture
def corner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return make_shop(tmp_path, monkeypatch, CORNER)


@pytest.fixture
def shop_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shop]:
    return lambda **changes: make_shop(tmp_path, monkeypatch, CORNER | changes)


@pytest.fixture(scope="session")
def corner_at() -> Callable[[Path, pytest.MonkeyPatch], Shop]:
    return lambda folder, patch: make_shop(folder, patch, CORNER)


@pytest.fixture
def view() -> dict[str, str]:
    return dict(VIEW)


@pytest.fixture
def write_csv(drops: Path) -> Callable[[str, Iterable[dict[str, str]]], Path]:
    def write(name: str, rows: Iterable[dict[str, str]]) -> Path:
        return write_rows(drops / name, rows)

    return write


@pytest.fixture
def land(drops: Path, corner: Shop) -> Callable[..., Report]:
    def act(shop: Shop = corner, delivered_on: date | None = None, is_history: bool = False) -> Report:
        return receive(shop, drops, delivered_on, is_history)

    return act


@pytest.fixture
def landed(paths: ShopPaths) -> Callable[[str], list[dict[str, Any]]]:
    """Read all landed Parquet of a table as dicts, by file and row."""

    def read(table: str) -> list[dict[str, Any]]:
        files = sorted(str(path) for path in (paths.landing / table).glob("*/*.parquet"))
        if not files:
            return []
        with duckdb.connect() as connection:
            found = connection.execute(
                "from read_parquet($files) order by file_id, row_number", {"files": files}
            )
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    return read


@pytest.fixture
def reasons(
    write_csv: Callable[..., Path], land: Callable[..., Report], paths: ShopPaths
) -> Callable[..., list[list[str]]]:
    """Land rows of one table and return the reasons of the quarantined ones."""

    def judge(table: str, *rows: dict[str, str], day: str = "2024-03-01") -> list[list[str]]:
        write_csv(f"{table}_{day}.csv", rows)
        land()
        return [row["reasons"] for row in quarantine.rows(paths)]

    return judge
