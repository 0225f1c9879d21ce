"""Torn, growing and unmarked files wait, are told with their since, and are taken when they are whole."""

from __future__ import annotations

import gzip
import io
import json
import os
import time
from datetime import datetime
from pathlib import Path

import duckdb
import openpyxl
import pytest

import cli
from landing import chunk, incoming, ledger, readers
from landing.__main__ import parser
from landing.receive import receive

DAY = "2024-03-01"
HEADER = "event_id,event_type,occurred_at,customer_id,price_amount\n"
ROW = "e1,view,2024-03-01 10:00:00,c1,100.00\n"


@pytest.fixture
def shoal(corner):
    return lambda *argv: cli.run(parser(), [*argv, "--shop", "corner"])


def parquet() -> bytes:
    path = Path(os.environ["SHOAL_DATA"]).parent / "whole.parquet"
    duckdb.execute(
        f"copy (select 'e' || range as event_id, 'view' as event_type, '{DAY}' as occurred_at, "
        f"'c1' as customer_id from range(1000)) to '{path}' (format parquet)"
    )
    return path.read_bytes()


def workbook() -> bytes:
    book, content = openpyxl.Workbook(), io.BytesIO()
    for fields in (HEADER, ROW):
        book.active.append(fields.strip().split(","))
    book.save(content)
    return content.getvalue()


def jsonl(page: str) -> str:
    row = dict(zip(HEADER.strip().split(","), ROW.strip().split(","), strict=True)) | {"page": page}
    return json.dumps(row, ensure_ascii=False)


TORN = {
    f"events_{DAY}.csv": lambda: ((HEADER + ROW).encode(), -4, "last line does not end"),  # 100. of 100.00
    f"events_{DAY}.csv.gz": lambda: (gzip.compress((HEADER + ROW).encode()), -3, "gzip end is missing"),
    f"events_{DAY}.jsonl": lambda: (
        json.dumps(dict(zip(HEADER.strip().split(","), ROW.strip().split(","), strict=True))).encode(),
        -1,
        "last line is not finished",
    ),
    f"events_{DAY}.parquet": lambda: (parquet(), -20, "Parquet footer is missing"),
    f"events_{DAY}.xlsx": lambda: (workbook(), -30, "zip directory is missing"),
}


@pytest.mark.parametrize("name", TORN)
def test_a_torn_file_waits_and_is_taken_once_it_is_whole(shoal, paths, drops, name, capsys):
    content, end, reason = TORN[name]()
    (drops / name).write_bytes(content[:end])
    for _ in range(2):
        assert shoal("receive", str(drops)) == cli.DONE
        (file,) = ledger.files(paths)
        assert file.status == "waiting" and reason in file.reasons[0]
        assert (
            f"waits since {datetime.fromisoformat(file.landed_at):%Y-%m-%d %H:%M}" in capsys.readouterr().err
        )
    assert len(paths.ledger.read_text().splitlines()) == 1  # since when it waits is written once
    (drops / name).write_bytes(content)
    assert shoal("receive", str(drops)) == cli.DONE
    (file,) = ledger.files(paths)
    assert (file.status, file.file_name) == ("accepted", name)
    assert file.rows_good == file.rows_in >= 1


@pytest.mark.parametrize(
    ("ending", "text", "reason"),
    [
        ("csv.gz", HEADER + ROW, "last line does not end"),  # 100. of 100.00
        ("jsonl.gz", jsonl("茶"), "last line is not finished"),
        ("jsonl.gz", jsonl("茶") + "\n" + jsonl("x" * 1_000_000), "last line is not finished"),
    ],
    ids=["csv", "jsonl", "a long line of jsonl"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_text_that_was_torn_before_it_was_packed_waits(land, drops, landed, ending, text, reason, encoding):
    path = drops / f"events_{DAY}.{ending}"
    path.write_bytes(gzip.compress(text[:-4].encode(encoding)))
    (waiting,) = land().waiting
    assert reason in waiting.reasons[0] and landed("events") == []
    path.write_bytes(gzip.compress(text.encode(encoding)))
    (file,) = land().landed
    assert file.rows_in == file.rows_good + file.rows_quarantined >= 1


def test_a_gzip_of_nothing_waits(land, drops):
    (drops / f"events_{DAY}.csv.gz").write_bytes(gzip.compress(b""))
    assert [file.reasons for file in land().waiting] == [("it is empty so far",)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig", "gbk"])
@pytest.mark.parametrize("lines", [1, 3])
def test_a_torn_line_of_json_waits_in_any_encoding(shop_with, drops, encoding, lines):
    source = {"name": "events", "files": ["events_*"], "tables": ["events"]}
    dialect = {} if encoding in ("utf-16", "utf-8-sig") else {"csv": {"encoding": encoding}}
    shop = shop_with(sources=[source | dialect])
    text = "\n".join([jsonl("手机, 茶杯")] * lines)
    path = drops / f"events_{DAY}.jsonl"
    for end in (-1, -2, -12):
        path.write_bytes(text[:end].encode(encoding))
        assert len(receive(shop, drops).waiting) == 1
    path.write_bytes(text.encode(encoding)[:-1])
    assert len(receive(shop, drops).waiting) == 1
    path.write_bytes(text.encode(encoding))
    (file,) = receive(shop, drops).landed
    assert file.rows_good == 1


@pytest.mark.parametrize("name", [f"events_{DAY}.{end}" for end in ("csv", "csv.gz", "parquet", "xlsx")])
def test_an_empty_file_waits(land, paths, drops, name):
    (drops / name).write_bytes(b"")
    assert [file.file_name for file in land().waiting] == [name]


def test_a_file_of_utf_16_ends_with_its_line_break(land, drops):
    (drops / f"events_{DAY}.csv").write_bytes((HEADER + ROW).encode("utf-16")[:-2])
    assert len(land().waiting) == 1
    (drops / f"events_{DAY}.csv").write_bytes((HEADER + ROW).encode("utf-16"))
    assert len(land().landed) == 1


def test_a_shop_may_state_that_its_last_line_never_ends(shop_with, drops, landed):
    (drops / f"events_{DAY}.csv").write_text((HEADER + ROW).rstrip("\n"), encoding="utf-8")
    source = {"name": "events", "files": ["events_*"], "tables": ["events"]}
    assert len(receive(shop_with(sources=[source]), drops).waiting) == 1
    receive(shop_with(sources=[source | {"csv": {"final_line_break": False}}]), drops)
    assert len(landed("events")) == 1


@pytest.mark.parametrize("marker", [f"events_{DAY}.csv.done", f"events_{DAY}.done"])
def test_a_file_waits_for_its_marker_where_the_shop_uses_one(shop_with, drops, marker):
    source = {"name": "events", "files": ["events_*"], "tables": ["events"], "done_marker": True}
    shop = shop_with(sources=[source])
    (drops / f"events_{DAY}.csv").write_text(HEADER + ROW, encoding="utf-8")
    (waiting,) = receive(shop, drops).waiting
    assert waiting.reasons == (f"no events_{DAY}.csv.done lies beside it yet",)
    (drops / marker).touch()
    report = receive(shop, drops)
    assert (len(report.landed), report.waiting, report.ignored) == (1, [], [])


def test_a_file_that_grows_while_it_is_read_waits(land, paths, drops, monkeypatch):
    path = drops / f"events_{DAY}.csv"
    path.write_text(HEADER + ROW, encoding="utf-8")

    def grow(*_: object) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(ROW.replace("e1", "e2"))

    with monkeypatch.context() as patch:
        patch.setattr(incoming, "let_settle", grow)
        (waiting,) = land().waiting
    assert waiting.reasons == ("it is being written",)
    (file,) = land().landed
    assert file.rows_in == 2


def test_a_file_that_is_replaced_while_it_is_landed_is_not_committed(land, landed, paths, drops, monkeypatch):
    path = drops / f"events_{DAY}.csv"
    path.write_text(HEADER + ROW, encoding="utf-8")
    count = chunk.Chunk._count

    def replace(*arguments: object) -> None:
        path.write_text(HEADER + ROW.replace("e1", "e2"), encoding="utf-8")
        count(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(chunk.Chunk, "_count", replace)
        assert [file.reasons for file in land().waiting] == [("it is being written",)]
    assert ledger.accepted(paths) == []
    land()
    assert [row["event_id"] for row in landed("events")] == ["e2"]


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_file_that_changes_while_it_is_refused_waits_instead(land, paths, drops, monkeypatch, is_gone):
    path = drops / f"events_{DAY}.csv"
    path.write_text(HEADER + ROW, encoding="utf-8")

    def change(*_: object) -> None:
        path.unlink() if is_gone else path.write_text("", encoding="utf-8")
        raise readers.UnreadableError("torn")

    monkeypatch.setattr(readers, "header", change)
    report = land()
    assert (report.refused, len(report.waiting)) == ([], 1)
    assert len(ledger.unsettled(paths)) == (0 if is_gone else 1)


@pytest.mark.parametrize(("age", "waited"), [(0.0, 0.2), (0.15, 0.05), (10.0, 0.0), (-3600.0, 0.2)])
def test_young_files_are_watched_for_the_quiet_time_and_no_longer(monkeypatch, age, waited):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    incoming.let_settle([(int((1_000_000 - age) * 1e9), 1, 1), None], 0.2)
    assert sum(slept) == pytest.approx(waited, abs=1e-3)


def test_nothing_is_waited_for_where_nothing_lies(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("slept"))
    incoming.let_settle([], 5)


def test_a_file_that_is_taken_away_waits_no_more(land, paths, drops):
    (drops / f"events_{DAY}.csv").write_text(HEADER + ROW[:-1], encoding="utf-8")
    land()
    assert [file.status for file in ledger.unsettled(paths)] == ["waiting"]
    (drops / f"events_{DAY}.csv").unlink()
    land()
    assert ledger.files(paths) == ledger.unsettled(paths) == []


def test_what_waits_can_not_be_withdrawn_or_accepted(shoal, drops, capsys):
    (drops / f"events_{DAY}.csv").write_text(HEADER + ROW[:-1], encoding="utf-8")
    shoal("receive", str(drops))
    capsys.readouterr()
    for verb in ("withdraw", "accept"):
        assert shoal(verb, f"events_{DAY}.csv") == cli.WRONG_USAGE
        assert "wait" in capsys.readouterr().err
