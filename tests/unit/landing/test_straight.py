"""A large csv without a fault lands in one pass, as it would have landed the careful way."""

from __future__ import annotations

from pathlib import Path

import pytest

from landing import ledger, quarantine, readers, straight
from landing.receive import receive
from landing.shops import CsvFormat

from .world import VIEW

DAY = "2024-03-09"
HEADER = ",".join(VIEW) + "\n"


def event(number: int, **changes: str) -> str:
    """One line of csv: an event that no other equals, on one of three days that come in turn."""
    at = f"2024-03-0{1 + number % 3} 10:00:{number:02}"
    row = VIEW | {"event_id": f"e{number}", "occurred_at": at, "device_id": f"d{number % 4}"} | changes
    return ",".join(row.values()) + "\n"


HONEST = "".join(
    [
        *(event(number) for number in range(10)),
        event(10, customer_id="", device_id=" d1 "),
        event(11, occurred_at="2024-03-02T10:00:00.5+08:00"),
        event(12, occurred_at="2024-03-01", event_type='"view"'),
        event(13, customer_id="  ", device_id='"d 1"'),
    ]
)

FAULTS = {
    "a bad row": HONEST + event(20, event_type="buy"),
    "a repeated row": HONEST + event(3),
    "a row too wide": HONEST + event(20).replace("\n", ",surplus\n"),
    "an open quote": HONEST + event(20, device_id='"d1'),
    "bytes of another encoding": HONEST + event(20, device_id="\udcff"),
    "no event at all": "",
}


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tell which way files went, all being large enough for the straight one."""
    gone: list[str] = []
    read, write = readers.read, straight.write

    def write_straight(*arguments: object) -> object:
        written = write(*arguments)
        gone.append("straight")
        return written

    def read_carefully(*arguments: object) -> None:
        gone.append("careful")
        read(*arguments)

    monkeypatch.setattr(straight, "LEAST_BYTES", 0)
    monkeypatch.setattr(straight, "write", write_straight)
    monkeypatch.setattr(readers, "read", read_carefully)
    return gone


@pytest.fixture
def outcome(drops, corner, paths, landed, monkeypatch):
    """Land one csv in a landing folder of its own; return its rows, its ledger line and its quarantine."""

    def act(text: str, folder: Path) -> tuple[object, ...]:
        monkeypatch.setenv("SHOAL_DATA", str(folder))
        (folder / "corner" / "secrets").mkdir(parents=True)
        (folder / "corner" / "secrets" / "pseudonym.key").write_bytes(bytes(32))
        (drops / f"events_{DAY}.csv").write_text(HEADER + text, "utf-8", "surrogateescape")
        receive(corner, drops)
        changing = {"landed_at", "decided_at"}
        files = [file.model_dump(exclude=changing) for file in ledger.files(paths.__class__("corner"))]
        return landed("events"), files, list(quarantine.rows(paths.__class__("corner")))

    return act


@pytest.mark.parametrize("rows_at_once", [2, straight.ROW_GROUP])
def test_a_file_without_a_fault_lands_straight_as_it_would_carefully(
    outcome, ways, tmp_path, monkeypatch, rows_at_once
):
    monkeypatch.setattr(straight, "ROW_GROUP", rows_at_once)
    monkeypatch.setattr(straight, "MOST_PENDING", rows_at_once)
    straightly = outcome(HONEST, tmp_path / "straight")
    monkeypatch.setattr(straight, "LEAST_BYTES", 1 << 40)
    assert outcome(HONEST, tmp_path / "careful") == straightly
    assert ways == ["straight", "careful"]
    assert len(straightly[0]) == 14


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_with_a_fault_lands_as_if_the_straight_way_were_not_there(
    outcome, ways, tmp_path, monkeypatch, fault
):
    after_all = outcome(FAULTS[fault], tmp_path / "straight")
    monkeypatch.setattr(straight, "LEAST_BYTES", 1 << 40)
    assert outcome(FAULTS[fault], tmp_path / "careful") == after_all
    assert ways == (["careful", "careful"] if FAULTS[fault] else ["straight", "careful"])


def test_a_file_of_more_days_than_files_may_be_open_is_landed_carefully(outcome, ways, tmp_path, monkeypatch):
    monkeypatch.setattr(straight, "MOST_DAYS", 2)
    rows, _, _ = outcome(HONEST, tmp_path / "data")
    assert (len(rows), ways) == (14, ["careful"])


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 1 << 18])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1 x,2  2\n", False),
        ("a,b\n1, 2\n", True),
        ("a,b\n1 ,2\n", True),
        ("a,b\n 1,2\n", True),
        ("a,b\n1,2 \r\n", True),
        ("a,b\n1,2 ", True),
        ('a,b\n1," 2"\n', True),
        ('a,b\n1,"2 "\n', True),
        (" 1,2\n", True),
        ("\ufeff 1,2\n", True),
        ("\ufeffa,b\n1,2\n", False),
        ("a,b\n1\u00a0,2\n", True),
        ("a,b\n1,\u30002\n", True),
        ("a,b\n1\t,2\n", True),
        ("a,b\n1,2\u200b", True),
    ],
)
def test_blanks_at_the_ends_of_fields_are_seen(tmp_path, monkeypatch, text, expected, block_bytes):
    monkeypatch.setattr(readers, "BLOCK_BYTES", block_bytes)
    path = tmp_path / "some.csv"
    path.write_text(text, "utf-8", newline="")
    bundle = readers.Bundle((path,), "csv", ("a", "b"), CsvFormat(), tmp_path)
    assert readers.has_blank_ends(bundle) is expected
