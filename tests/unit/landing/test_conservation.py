"""rows_in = good + quarantined + repeated, whatever a csv holds; counted again by hand."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from landing import quarantine
from landing.receive import receive
from settings import ShopPaths

COLUMNS = ["event_id", "event_type", "occurred_at", "customer_id", "note"]

FIELDS = [
    st.sampled_from(["e1", "e2", ""]),
    st.sampled_from(["view", "cart", "buy", ""]),
    st.sampled_from(["2024-03-01 10:00:00", "2024-03-31 02:30:00", "2024-04-02", "soon", ""]),
    st.sampled_from(["c1", "c2", ""]),
    st.text(alphabet='ab,;"\n\r é漢', max_size=6),
]
ROWS = st.one_of(
    st.tuples(*FIELDS).map(list),
    # Mostly ragged; a delimiter too many at the end says nothing, so the last field says something.
    st.lists(st.sampled_from(["x", "", "y z"]), max_size=7).map(lambda fields: [*fields, "z"]),
)
FILES = st.lists(ROWS, max_size=12).flatmap(
    lambda rows: (
        st.lists(st.sampled_from(rows), max_size=6).map(lambda again: rows + again) if rows else st.just(rows)
    )
)


def kept(row: list[str]) -> bool:
    """Judge a row as the contract does, in plain Python."""
    if len(row) != len(COLUMNS):
        return False
    return row[1] in ("view", "cart") and row[2] == "2024-03-01 10:00:00" and row[3] != ""


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example lands a file: too slow to shrink
)
@given(rows=FILES)
def test_every_source_row_is_good_or_quarantined_or_a_repeat(rows, corner_at):
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv("SHOAL_DATA", str(folder / "data"))
        shop, paths = corner_at(folder, patch), ShopPaths("corner")
        text = io.StringIO(newline="")
        csv.writer(text).writerows([COLUMNS, *rows])
        path = folder / "events_2024-03-31.csv"
        path.write_text(text.getvalue(), encoding="utf-8", newline="")

        (file,) = receive(shop, path).landed

        first = {}
        for number, row in enumerate(rows, start=1):
            first.setdefault(tuple(row), number)
        good = {number for row, number in first.items() if kept(list(row))}
        assert file.rows_in == len(rows)
        assert file.rows_in == file.rows_good + file.rows_quarantined + file.rows_duplicate
        assert file.rows_duplicate == len(rows) - len(first)
        assert landed_rows(paths) == good
        assert quarantined_rows(paths, file.file_id) == set(first.values()) - good
        assert {row["row_number"] for row in quarantine.rows(paths)} == set(first.values()) - good


def landed_rows(paths: ShopPaths) -> set[int]:
    files = [str(path) for path in paths.landing.glob("events/*/*.parquet")]
    if not files:
        return set()
    found = duckdb.execute("select row_number from read_parquet($files)", {"files": files}).fetchall()
    assert len(found) == len(set(found))
    return {number for (number,) in found}


def quarantined_rows(paths: ShopPaths, file_id: str) -> set[int]:
    path = quarantine.path(paths, file_id)
    return (
        {json.loads(line)["row_number"] for line in path.read_text().splitlines()} if path.exists() else set()
    )
