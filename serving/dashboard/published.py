"""What the dashboard reads: one published version per view, each question asked of it once."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

import settings
from serving import versions
from serving.query import connect
from serving.small_groups import shown
from settings import ShopPaths

if TYPE_CHECKING:
    import pandas as pd

KEPT_ANSWERS = 400
"""Answers in memory, of all shops and versions; the oldest make room."""

ONE_AT_A_TIME = threading.Lock()
"""Within a process DuckDB opens a file once, and what one connection has locked the next may not set."""


@dataclass(frozen=True)
class Published:
    """A version of a shop, as one view reads it."""

    shop: str
    version: str
    as_of_date: date
    published_at: datetime
    degraded_because: str | None
    is_pinned: bool

    def ask(self, query: str, **parameters: Any) -> pd.DataFrame:
        """Return the answer to a query; its values are parameters, never part of its text."""
        return _answer(self.shop, self.version, query, tuple(sorted(parameters.items()))).copy()

    def has(self, table: str) -> bool:
        """Return whether the version has a table of schema ``bi``."""
        return table in _tables(self.shop, self.version)

    def groups(self, table: str) -> str:
        """Return a query, to be selected from, for what may be shown of a group-level table."""
        return f"({shown(table, _tables(self.shop, self.version)[table])})"


def shops() -> list[str]:
    """Return the shops of which something has been published."""
    found = settings.data_dir().glob("*/serving/current")
    return sorted(
        link.parents[1].name for link in found if settings.SHOP_NAME.fullmatch(link.parents[1].name)
    )


def in_force(shop: str) -> Published | None:
    """Return the version that readers see now, or None before the first publish."""
    paths = ShopPaths(shop)
    version = versions.current(paths)
    if version is None:
        return None
    return Published(
        shop,
        version.name,
        date.fromisoformat(version.manifest["as_of_date"]),
        version.published_at,
        version.manifest.get("degraded_because"),
        versions.pinned(paths) is not None,
    )


@st.cache_data(max_entries=100, show_spinner=False)
def currency(shop: str) -> str:
    """Return the shop's currency; empty where its file is gone."""
    from landing import shops as shop_files

    file = ShopPaths(shop).config
    return str(shop_files.read(file).currency) if file.exists() else ""


@st.cache_data(max_entries=KEPT_ANSWERS, show_spinner=False)
def _answer(shop: str, version: str, query: str, parameters: tuple[tuple[str, Any], ...]) -> pd.DataFrame:
    with ONE_AT_A_TIME, connect(ShopPaths(shop), version) as connection:
        return connection.execute(query, dict(parameters)).df()


@st.cache_data(max_entries=20, show_spinner=False)
def _tables(shop: str, version: str) -> dict[str, dict[str, str]]:
    with ONE_AT_A_TIME, connect(ShopPaths(shop), version) as connection:
        rows = connection.execute(
            "select table_name, column_name, data_type from duckdb_columns() "
            "where schema_name = 'bi' order by table_name, column_index"
        ).fetchall()
    found: dict[str, dict[str, str]] = {}
    for table, column, data_type in rows:
        found.setdefault(table, {})[column] = data_type
    return found
