"""The ledger is the commit point: later lines win, torn lines never were."""

from __future__ import annotations

import json
import resource
from datetime import date

import pytest

import journal
from cli import UsageError
from landing import ledger, quarantine


@pytest.fixture
def three_days(write_csv, land, view):
    for day in (1, 2, 3):
        write_csv(
            f"events_2024-03-0{day}.csv", [view | {"event_id": f"e{day}", "occurred_at": f"2024-03-0{day}"}]
        )
    return [file.file_id for file in land().landed]


def test_a_line_carries_the_files_days(three_days, paths):
    line = json.loads(paths.ledger.read_text(encoding="utf-8").splitlines()[0])
    assert line["tables"] == [{"table": "events", "event_date": "2024-03-01", "rows_written": 1, "part": 0}]
    assert {
        "file_id",
        "batch_id",
        "shop",
        "file_name",
        "content_hash",
        "status",
        "rows_in",
        "rows_good",
    } < line.keys()
    assert {
        "rows_quarantined",
        "rows_duplicate",
        "delivered_on",
        "landed_at",
        "contract_version",
    } < line.keys()


def test_files_of_one_call_share_a_batch_whose_name_only_they_decide(three_days, paths, land, data_folder):
    (batch,) = {file.batch_id for file in ledger.files(paths)}
    paths.ledger.unlink()
    land()
    assert {file.batch_id for file in ledger.files(paths)} == {batch}


def test_latest_complete_day_is_the_last_with_every_daily_table(three_days, shop_with, write_csv, land):
    assert ledger.latest_complete_day("corner") == date(2024, 3, 3)
    assert ledger.first_day("corner") == date(2024, 3, 1)
    shop = shop_with(daily=["events", "orders"])
    assert ledger.latest_complete_day("corner") is None
    write_csv(
        "orders_2024-03-02.csv", [{"order_id": "o", "ordered_at": "2024-03-01"}]
    )  # it happened the day before
    land(shop)
    assert ledger.complete_days("corner") == {date(2024, 3, 2)}


def test_a_held_file_does_not_count_until_it_is_accepted_again(three_days, paths):
    ledger.set_status(paths, three_days[2:], "held", ["volume halved"])
    assert ledger.latest_complete_day("corner") == date(2024, 3, 2)
    assert len(ledger.accepted(paths)) == 2
    (held,) = [file for file in ledger.files(paths) if file.status == "held"]
    assert (held.file_id, held.reasons, held.rows_in) == (three_days[2], ("volume halved",), 1)
    ledger.set_status(paths, three_days[2:], "accepted", ["looked at"])
    assert ledger.latest_complete_day("corner") == date(2024, 3, 3)
    assert len(ledger.files(paths)) == 3


@pytest.mark.parametrize("status", ["held", "withdrawn"])
def test_a_held_or_withdrawn_file_is_not_landed_again(three_days, paths, land, landed, status):
    ledger.set_status(paths, three_days[:1], status, ["not ours"])
    report = land()
    assert report.landed == []
    assert len(ledger.accepted(paths)) == 2
    assert len(landed("events")) == 3  # truth is kept; the ledger says what counts


def test_status_of_an_unknown_file_is_refused_and_changes_nothing(three_days, paths):
    before = paths.ledger.read_bytes()
    with pytest.raises(UsageError, match="no file feedfacefeedface"):
        ledger.set_status(paths, [three_days[0], "feedfacefeedface"], "held", [])
    assert paths.ledger.read_bytes() == before


def test_a_commit_that_a_full_disk_takes_in_part_was_none(tmp_path):
    """As if ten of a check's results were there, all of them good, and the bad one was not."""
    path = tmp_path / "journal.jsonl"
    journal.append(path, [{"number": 0}])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.append(path, [{"number": number} for number in range(1, 11)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(journal.read(path)) == [{"number": 0}]
    journal.append(path, [{"number": 1}, {"number": 2}])
    assert [record["number"] for record in journal.read(path)] == [0, 1, 2]


def test_a_torn_last_line_was_never_committed(three_days, paths, write_csv, land, view):
    whole = paths.ledger.read_bytes()
    lines = whole.splitlines(keepends=True)
    paths.ledger.write_bytes(b"".join(lines[:2]) + lines[2][:-20])
    assert [file.file_name for file in ledger.files(paths)] == [
        "events_2024-03-01.csv",
        "events_2024-03-02.csv",
    ]
    assert [file.file_name for file in land().landed] == ["events_2024-03-03.csv"]
    assert len(ledger.files(paths)) == 3
    assert all(json.loads(line) for line in paths.ledger.read_text(encoding="utf-8").splitlines())
    assert list(journal.read(paths.ledger))


def test_quarantine_of_a_withdrawn_file_is_not_shown(write_csv, land, paths, view):
    write_csv("events_2024-03-01.csv", [view | {"event_type": "buy"}])
    (file,) = land().landed
    (row,) = quarantine.rows(paths)
    assert set(row) == {"file_id", "file_name", "table", "row_number", "reasons", "status", "columns"}
    ledger.set_status(paths, [file.file_id], "withdrawn", ["wrong shop"])
    assert list(quarantine.rows(paths)) == []


def test_a_row_that_is_only_early_waits(write_csv, land, paths, view):
    early = view | {"occurred_at": "2024-03-02 00:00:00"}
    write_csv("events_2024-03-01.csv", [early, early | {"event_type": "buy"}])
    land()
    assert [row["status"] for row in quarantine.rows(paths)] == ["waiting", "open"]
