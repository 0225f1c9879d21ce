"""rows_in = good + quarantined + repeated, whatever a csv holds; counted again by hand."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from landing import quarantine, readers
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


# Of more files than two per thread, DuckDB 2.0.0 drops all behind an open quote in silence.
MANY = 10
HEADER = ",".join(COLUMNS) + "\n"
OPEN = {
    "the first field": '"\n{good}',
    "a field of the first row": 'e0,view,2024-03-01 10:00:00,c1,"two\n{good}',
    "the last row": '{good}e0,view,2024-03-01 10:00:00,c1,"two\n',
    "a doubled quote": '{good}e0,view,2024-03-01 10:00:00,c1,"two""\n',
}


def good_rows(count: int) -> str:
    return "".join(f"e{number},view,2024-03-01 10:00:00,c1,\n" for number in range(1, count + 1))


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
@pytest.mark.parametrize("place", OPEN)
def test_a_quote_that_never_closes_costs_its_row_alone_among_many_files(land, drops, paths, place, ending):
    for number in range(1, MANY + 1):
        content = (HEADER + OPEN[place].format(good=good_rows(30 + number))).encode()
        path = drops / f"events_2024-03-{number:02}.{ending}"
        path.write_bytes(gzip.compress(content) if ending == "csv.gz" else content)
    counted = [(file.rows_in, file.rows_good, file.rows_quarantined) for file in land().landed]
    assert counted == [(31 + number, 30 + number, 1) for number in range(1, MANY + 1)]
    assert [row["reasons"] for row in quarantine.rows(paths)] == [["broken_quotes"]] * MANY


def test_rows_that_duckdb_loses_in_silence_are_read_again(land, drops, monkeypatch):
    scan = readers._scan

    def lose(connection, bundle):
        scan(connection, bundle)
        connection.execute("delete from raw where file_index = 1 and c0 = 'e2'")

    monkeypatch.setattr(readers, "_scan", lose)
    for day in (1, 2):
        text = HEADER + good_rows(3) + f'e{3 + day},view,2024-03-01 10:00:00,c1,"a\n\n""b"""\n'
        (drops / f"events_2024-03-0{day}.csv").write_text(text, encoding="utf-8")
    assert [(file.rows_in, file.rows_good) for file in land().landed] == [(4, 4)] * 2


@pytest.mark.parametrize("blank", ["\n", "\r\n"])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_blank_lines_send_no_file_the_slow_way(land, drops, monkeypatch, view, ending, blank):
    lines = [json.dumps(view)] * 2 if ending == "jsonl" else [",".join(view), ",".join(view.values())]
    text = f"{lines[0]}{blank}{blank}{lines[1]}{blank}{blank}{blank}"
    (drops / f"events_2024-03-01.{ending}").write_text(text, encoding="utf-8", newline="")
    monkeypatch.setattr(readers, "_read_slowly", lambda *_: pytest.fail("read slowly"))
    (file,) = land().landed
    assert file.rows_good == 1


@pytest.mark.parametrize("block_bytes", [1, 2, 7, 1 << 18])
@pytest.mark.parametrize(
    ("text", "quote", "expected"),
    [
        ("", '"', 0),
        ("a,b\n1,2\n", '"', 2),
        ("a,b\r\n1,2", '"', 2),
        ('a,b\n1,"2\n3"\n', '"', 2),
        ('a,b\n1,"2 ""\n"" 3"\n"4","5"', '"', 3),
        ('a,b\n1,"2\n3\n', '"', None),
        ("a,b\n1,'2\n\"'\n", "'", 2),
        ('{"a": 1}\n\n{"b": "\n', "", 2),
        ('\n\na,b\n\n1,"2\n\n3"\n\n\n4,"\n\n"\n\n', '"', 3),
        ('a,b\r\n\r\n1,"2\r\n\r\n3"\r\n\r\n\r\n', '"', 2),
        ("\r\n\r\n", '"', 0),
    ],
)
def test_the_rows_of_a_text_are_counted_by_its_line_ends_outside_quotes(
    tmp_path, monkeypatch, text, quote, expected, block_bytes
):
    monkeypatch.setattr(readers, "BLOCK_BYTES", block_bytes)
    path = tmp_path / "some.csv"
    path.write_text(text, "utf-8", newline="")
    assert readers.count_rows(path, quote) == expected


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
