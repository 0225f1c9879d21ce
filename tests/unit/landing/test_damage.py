"""One folder with a file of each kind of damage: nothing is lost, and each is explained."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from pathlib import Path

import duckdb
import openpyxl
import pyarrow
import pyarrow.parquet
import pytest

import cli
from landing import ledger, quarantine
from landing.__main__ import parser
from serving.status import lines
from tests.faults.readers import asked, lay_published_version

from .world import CORNER, VIEW, make_shop

HEADER = "event_id,event_type,occurred_at,customer_id,price_amount\n"
REVIEWS = "review_id,reviewed_at,score\n"


def events(day: str, count: int = 20, **changes: str) -> str:
    row = {"event_type": "view", "at": f"{day} 10:00:00", "who": "c1", "price": "12.00"} | changes
    lines = (f"{day}-{n},{row['event_type']},{row['at']},{row['who']},{row['price']}\n" for n in range(count))
    return HEADER + "".join(lines)


def march(day: int) -> str:
    return f"2024-03-{day:02d}"


def workbook(day: str) -> bytes:
    book, content = openpyxl.Workbook(), io.BytesIO()
    for line in events(day).splitlines():
        book.active.append(line.split(","))
    book.save(content)
    return content.getvalue()


def parquet_bomb() -> bytes:
    content, same = io.BytesIO(), pyarrow.repeat(pyarrow.scalar(0, pyarrow.int8()), 11_000_000)
    pyarrow.parquet.write_table(pyarrow.table({"event_id": same}), content)
    return content.getvalue()


def json_lines(day: str) -> str:
    rows = (VIEW | {"event_id": f"{day}-{n}", "occurred_at": day} for n in range(20))
    return "".join(json.dumps(row) + "\n" for row in rows)


DAMAGE: dict[str, tuple[bytes, str, str]] = {
    # name: content, what becomes of it, and the word that explains it
    f"events_{march(1)}.csv": (events(march(1)).encode(), "accepted", ""),
    f"events_{march(2)}.csv": (b"\xef\xbb\xbf" + events(march(2)).encode(), "accepted", ""),
    f"events_{march(3)}.csv": (events(march(3)).encode("utf-16"), "accepted", ""),
    f"events_{march(4)}.csv.gz": (gzip.compress(events(march(4)).encode()), "accepted", ""),
    f"events_{march(5)}.csv": ((events(march(5), 30) + "x,view\n").encode(), "accepted", "ragged_row"),
    f"events_{march(6)}.csv": (
        (events(march(6)) + f"early,view,{march(7)} 10:00:00,c1,1\n").encode(),
        "accepted",
        "",  # its day comes with the next file
    ),
    f"events_{march(7)}.csv": (
        events(march(7)).replace("12.00", "¥12.00", 1).encode(),
        "accepted",
        "unreadable",
    ),
    f"events_{march(8)}.csv": (
        events(march(8), price='"1.234,56"').encode(),
        "held",
        "unreadable:price_amount 20",
    ),
    f"events_{march(9)}.csv": (
        events(march(9), event_type="buy").encode(),
        "held",
        "not_allowed:event_type 20",
    ),
    f"events_{march(10)}.csv": (
        events(march(10)).encode("gbk").replace(b"c1", b"\xb2\xe8"),
        "held",
        "unreadable",
    ),
    f"events_{march(11)}.csv": (events(march(11), at="1709283600").encode(), "refused", "another type"),
    f"events_{march(12)}.csv": (
        events(march(12)).replace("event_type", "kind", 1).encode(),
        "refused",
        "'event_type' is missing",
    ),
    f"events_{march(13)}.csv": (
        (",".join(f"c{n}" for n in range(100_000)) + "\n").encode(),
        "refused",
        "2,000",
    ),
    f"events_{march(14)}.csv.gz": (b"no gzip", "refused", "gzip"),
    f"events_{march(15)}.csv.gz": (gzip.compress(b"0" * (300 << 20), 9), "refused", "200 times"),
    f"events_{march(16)}.csv": (events(march(16))[:-3].encode(), "waiting", "last line"),
    f"events_{march(17)}.csv.gz": (gzip.compress(events(march(17)).encode())[:-9], "waiting", "gzip end"),
    f"events_{march(18)}.parquet": (b"PAR1" + bytes(100), "waiting", "footer"),
    f"events_{march(19)}.jsonl": (
        (json.dumps(VIEW | {"occurred_at": march(19)}) + '\n{"event_id": "e').encode(),
        "waiting",
        "not finished",
    ),
    f"events_{march(20)}.csv": (b"", "waiting", "empty"),
    f"events_[20]{march(20)}.csv": (events(march(20)).encode(), "refused", "rename"),
    f"reviews_{march(1)}.csv": (REVIEWS.replace("score", "stars").encode(), "accepted", ""),
    f"reviews_{march(2)}.csv": (b"review,when\n1,2\n", "refused", "'reviewed_at' is missing"),
    f"reviews_{march(3)}.csv": ((REVIEWS + f"r1,{march(3)},5\n").encode(), "waiting", ".done"),
    f"events_{march(24)}.csv": (  # beside more files than two per thread
        events(march(24)).replace(HEADER, f'{HEADER}q,view,{march(24)},"c1,1\n').encode(),
        "accepted",
        "broken_quotes",
    ),
    f"events_{march(25)}.csv.gz": (gzip.compress(events(march(25))[:-3].encode()), "waiting", "last line"),
    f"events_{march(26)}.xlsx": (workbook(march(26)), "accepted", ""),
    f"events_{march(27)}.xlsx": (workbook(march(27))[:-30], "waiting", "zip directory"),
    f"events_{march(27)}.parquet": (parquet_bomb(), "refused", "11,000,000 rows"),
    f"events_{march(28)}.csv": (
        (events(march(28)) + f"\0,view,{march(28)},c1,1\n").encode(),
        "accepted",
        "nul_character",
    ),
    f"events_{march(29)}.csv": (
        (events(march(29)) + f"{'x' * 3_000_000},view,{march(29)},c1,1\n").encode(),
        "accepted",
        "oversized_row",
    ),
    f"events_{march(30)}.jsonl": (
        (json_lines(march(30)) + "[" * 100_000 + "]" * 100_000 + "\n").encode(),
        "accepted",
        "invalid_json",
    ),
    f"events_{march(31)}.csv": (
        (events(march(31)) + f"never,view,{march(31)} 02:30:00,c1,1\n").encode(),
        "accepted",
        "skipped_hour",
    ),
    "events_today.csv": (events(march(21)).encode(), "refused", "--delivered-on"),
}
DUPLICATE, LINK, OTHER = f"events_{march(22)}.csv", f"events_{march(23)}.csv", "notes.txt"


@pytest.fixture
def folder(drops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sources = [dict(source) for source in CORNER["sources"]]
    next(source for source in sources if source["name"] == "reviews")["done_marker"] = True
    make_shop(tmp_path, monkeypatch, CORNER | {"sources": sources})
    monkeypatch.setenv("SHOAL_SHOPS", str(tmp_path / "shops"))
    for name, (content, _, _) in DAMAGE.items():
        (drops / name).write_bytes(content)
    for day in (1, 2):
        (drops / f"reviews_{march(day)}.csv.done").touch()
    (drops / DUPLICATE).write_bytes(DAMAGE[f"events_{march(1)}.csv"][0])
    (drops / LINK).symlink_to("/etc/passwd")
    (drops / OTHER).write_text("read me", encoding="utf-8")
    return drops


def test_each_kind_of_damage_is_told_and_nothing_is_lost(folder, paths, landed, tmp_path, capsys):
    lay_published_version(paths, tmp_path / "aside")
    published = asked(paths)
    assert published.startswith("as_of_date")
    assert cli.run(parser(), ["receive", str(folder), "--shop", "corner"]) == cli.GATE_STOPPED
    assert asked(paths) == published
    said = " ".join(capsys.readouterr().err.split())

    files = {file.file_name: file for file in ledger.files(paths)}
    reasons: dict[str, set[str]] = {name: set() for name in files}
    for row in quarantine.rows(paths):
        reasons[row["file_name"]] |= set(row["reasons"])
    for name, (_, status, word) in DAMAGE.items():
        assert files[name].status == status, (name, files[name].reasons)
        assert word in " ".join([*files[name].reasons, *reasons[name]]), name
        if status != "accepted":
            assert name in said or status == "refused"
    assert files[LINK].status == "refused" and "leads out" in files[LINK].reasons[0]
    assert set(files) == {*DAMAGE, LINK}
    assert f"already landed: 1 files ({DUPLICATE})" in said and OTHER in said
    assert "degraded" in said and f"reviews_{march(2)}.csv" in said
    assert f"reviews_{march(1)}.csv.done" not in said  # a marker is no file of its own

    for file in files.values():
        assert file.rows_in == file.rows_good + file.rows_quarantined + file.rows_duplicate
    counted = [file for file in files.values() if file.status == "accepted"]
    # Thirteen days of 20, ten more on the fifth, the early row of the sixth; not the bad one of the seventh.
    expected = 13 * 20 + 10 + 1 - 1
    assert len(landed("events")) == sum(file.rows_good for file in counted) == expected
    assert sum(day.rows_written for file in counted for day in file.tables) == expected

    assert ledger.complete_days("corner") == {
        file.delivered_on for file in counted if file.source == "events"
    }
    told = Counter(line.subject.split(" batch")[0] for line in lines(paths) if " batch" in line.subject)
    assert told.keys() == {"held", "refused", "waiting"}
    assert all(line.repair for line in lines(paths) if " batch" in line.subject)


def test_received_again_it_lands_nothing_twice(folder, paths, landed):
    seen = []
    for _ in range(2):
        assert cli.run(parser(), ["receive", str(folder), "--shop", "corner"]) == cli.GATE_STOPPED
        seen.append((paths.ledger.read_bytes(), len(landed("events"))))
    assert seen[0] == seen[1]


def test_whole_and_withdrawn_the_folder_goes_through(folder, paths):
    receive = ["receive", str(folder), "--shop", "corner"]
    cli.run(parser(), receive)
    for file in ledger.unsettled(paths):
        if file.status in ("held", "refused"):
            assert cli.run(parser(), ["withdraw", file.file_name, "--shop", "corner"]) == cli.DONE
    (folder / f"events_{march(16)}.csv").write_text(events(march(16)), encoding="utf-8")
    (folder / f"reviews_{march(3)}.csv.done").touch()
    duckdb.connect().read_csv(str(folder / f"events_{march(1)}.csv"), all_varchar=True).write_parquet(
        str(folder / f"events_{march(18)}.parquet")
    )
    assert cli.run(parser(), receive) == cli.DONE
    status = {file.file_name: file.status for file in ledger.files(paths)}
    assert {status[name] for name in (f"events_{march(16)}.csv", f"reviews_{march(3)}.csv")} == {"accepted"}
    assert status[f"events_{march(18)}.parquet"] == "accepted"
