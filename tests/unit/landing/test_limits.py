"""Names that lead away, bombs, and fields beyond all measure meet a limit, and their neighbours do not."""

from __future__ import annotations

import errno
import gzip
import json
import os
import zipfile

import duckdb
import openpyxl
import pytest

import cli
from cli import UsageError
from landing import incoming, ledger, quarantine, readers, whole
from landing.__main__ import parser
from landing.receive import receive

from .world import VIEW

DAY = "2024-03-01"
HEADER = "event_id,event_type,occurred_at,customer_id\n"


def row(event_id: str) -> str:
    return f"{event_id},view,{DAY},c1\n"


@pytest.fixture
def shoal(corner):
    return lambda *argv: cli.run(parser(), [*argv, "--shop", "corner"])


def refusal(report) -> str:
    (file,) = report.refused
    return file.reasons[0]


# --- names


@pytest.mark.parametrize("place", ["outside.csv", "nowhere.csv"])
def test_a_link_that_leads_out_is_refused_unopened(shoal, paths, drops, tmp_path, monkeypatch, place):
    (tmp_path / "outside.csv").write_text(HEADER + row("e1"), encoding="utf-8")
    (drops / f"events_{DAY}.csv").symlink_to(tmp_path / place)
    monkeypatch.setattr(incoming, "fingerprint", lambda *_: pytest.fail("opened"))
    for target in (drops, drops / f"events_{DAY}.csv"):
        assert shoal("receive", str(target)) == cli.GATE_STOPPED
    (file,) = ledger.files(paths)
    assert (file.status, file.content_hash) == ("refused", "") and "leads out of its folder" in file.reasons[
        0
    ]
    assert shoal("withdraw", file.file_name) == cli.DONE
    assert shoal("receive", str(drops)) == cli.DONE


def test_a_link_within_the_folder_is_ignored_and_a_linked_folder_not_entered(land, drops, tmp_path):
    (drops / f"events_{DAY}.csv").write_text(HEADER + row("e1"), encoding="utf-8")
    (drops / "events_2024-03-02.csv").symlink_to(drops / f"events_{DAY}.csv")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "events_2024-03-03.csv").write_text(HEADER + row("e2"), encoding="utf-8")
    (drops / "folder").symlink_to(tmp_path / "elsewhere")
    report = land()
    assert [file.file_name for file in report.landed] == [f"events_{DAY}.csv"]
    assert sorted(path.name for path in report.ignored) == ["events_2024-03-02.csv", "folder"]


@pytest.mark.parametrize("name", [f"events_*{DAY}.csv", f"events_[x]{DAY}.csv", f"events_\x1b[31m{DAY}.csv"])
def test_a_name_that_is_a_pattern_is_refused_and_reads_no_other_file(land, landed, drops, name):
    (drops / f"events_x{DAY}.csv").write_text(HEADER + row("e1"), encoding="utf-8")
    (drops / name).write_text(HEADER + row("e2"), encoding="utf-8")
    assert "rename it" in refusal(land())
    assert [found["event_id"] for found in landed("events")] == ["e1"]


@pytest.mark.parametrize("pattern", ["../events_*", "/etc/*", "..\\events_*"])
def test_a_shop_file_names_no_folders(shop_with, pattern):
    with pytest.raises(UsageError, match="name folders"):
        shop_with(sources=[{"name": "events", "files": [pattern], "tables": ["events"]}])


# --- texts


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_oversized_fields_and_nul_bytes_cost_their_rows_alone(land, landed, paths, drops, ending):
    monster = "x" * 3_000_000
    rows = [row("e1"), row(monster), row("e\0"), f'"{monster}', "\n", row("e2"), row(monster)]
    data = (HEADER + "".join(rows)).encode()
    (drops / f"events_{DAY}.{ending}").write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    (file,) = land().landed
    assert [found["event_id"] for found in landed("events")] == ["e1", "e2"]
    found = [(bad["row_number"], bad["reasons"]) for bad in quarantine.rows(paths)]
    oversized = ["oversized_row"]
    assert found == [(2, oversized), (3, ["nul_character"]), (4, oversized), (6, oversized)]
    assert file.rows_in == 6
    assert max(path.stat().st_size for path in paths.quarantine.iterdir()) < 10_000


def test_a_line_of_many_megabytes_is_never_held_in_memory(tmp_path):
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        for _ in range(20):
            file.write("x" * 1_000_000)
        file.write("\nshort\n")
    with path.open() as file:
        assert [len(line) for line in readers._bounded(file)] == [
            readers.MAX_ROW_CHARACTERS + 3,
            len("short\n"),
        ]


def test_ten_thousand_quotes_that_never_close_cost_their_lines_alone(land, landed, drops):
    broken = 'b,"x\n' * 2_000
    (drops / f"events_{DAY}.csv").write_text(HEADER + row("e1") + broken + row("e2"), encoding="utf-8")
    land()
    assert [found["event_id"] for found in landed("events")] == ["e1", "e2"]


def test_wide_rows_of_chinese_are_read_up_to_the_limit(land, landed, drops):
    title = "茶" * 900_000  # 2.7 MB of UTF-8
    text = f"product_id,title\np1,{title}\n" + "p2,a,b\n"  # the ragged row sends the file the slow way
    (drops / f"products_{DAY}.csv").write_text(text, encoding="utf-8")
    land()
    assert [len(found["title"]) for found in landed("products")] == [900_000]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_hundred_thousand_columns_are_refused(land, drops, ending):
    names = [f"c{number}" for number in range(100_000)]
    path = drops / f"events_{DAY}.{ending}"
    if ending == "csv":
        path.write_text(",".join(names) + "\n", encoding="utf-8")
    elif ending == "jsonl":
        path.write_text(json.dumps(dict.fromkeys(names, 1)) + "\n", encoding="utf-8")
    else:
        import pyarrow as pa
        import pyarrow.parquet

        pyarrow.parquet.write_table(pa.table({name: [1] for name in names[:3_000]}), path)
    said = refusal(land())
    assert "columns, more than 2,000" in said and len(said) < 200


def test_deep_json_is_a_value_like_any_other(land, landed, paths, drops):
    deep = "[" * 100_000 + "]" * 100_000
    lines = [json.dumps(VIEW)[:-1] + f', "more": {deep}}}', f'{{"event_type": {deep}}}', deep]
    lines.append(json.dumps(VIEW | {"event_id": "e\0"}))
    (drops / f"events_{DAY}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    land()
    assert [found["event_id"] for found in landed("events")] == ["e1"]
    reasons = {bad["row_number"]: bad["reasons"] for bad in quarantine.rows(paths)}
    assert reasons[3] == ["invalid_json"] and reasons[4] == ["nul_character"]
    assert "not_allowed:event_type" in reasons[2]


# --- bombs


@pytest.fixture
def small_limits(monkeypatch):
    """Weigh from a megabyte and ten thousand rows on, so that a test unpacks little."""
    monkeypatch.setattr(whole, "UNPACKED_BYTES", 1 << 20)
    monkeypatch.setattr(whole, "UNPACKED_ROWS", 10_000)


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(land, drops, small_limits):
    bomb = gzip.compress(HEADER.encode() + b"0" * (8 << 20))
    (drops / f"events_{DAY}.csv.gz").write_bytes(bomb)
    assert "over 200 times as much" in refusal(land())


def test_a_file_that_shrinks_honestly_is_no_bomb(land, drops, small_limits):
    text = HEADER + "".join(row(f"e{number}") for number in range(60_000))
    (drops / f"events_{DAY}.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert len(text) > 1 << 20
    assert land().landed[0].rows_good == 60_000


def test_a_flipped_bit_in_a_gzip_is_refused(land, drops):
    text = HEADER + "".join(row(f"e{number}") for number in range(20_000))
    data = bytearray(gzip.compress(text.encode()))
    data[len(data) // 2] ^= 0xFF  # DuckDB may read on in silence, and lose rows
    (drops / f"events_{DAY}.csv.gz").write_bytes(data)
    assert "not what was packed" in refusal(land())


def test_a_parquet_bomb_is_refused_by_its_rows(land, drops, small_limits):
    columns = "'e' as event_id, 'view' as event_type, 'c' as customer_id, 'd' as occurred_at"
    query = f"select {columns} from range(1000000)"
    duckdb.execute(f"copy ({query}) to '{drops / f'events_{DAY}.parquet'}' (format parquet)")
    assert "1,000,000 rows" in refusal(land())


def test_oversized_and_nul_values_of_parquet_cost_their_rows_alone(land, landed, paths, drops):
    values = "(values ('e1'), (repeat('x', 1000001)), ('e' || chr(0)), ('e2')) as rows(event_id)"
    query = (
        f"select event_id, 'view' as event_type, '{DAY}' as occurred_at, 'c1' as customer_id from {values}"
    )
    duckdb.execute(f"copy ({query}) to '{drops / f'events_{DAY}.parquet'}' (format parquet)")
    (file,) = land().landed
    assert [found["event_id"] for found in landed("events")] == ["e1", "e2"]
    assert [bad["reasons"] for bad in quarantine.rows(paths)] == [["oversized_row"], ["nul_character"]]
    assert (file.rows_in, file.rows_good, file.rows_quarantined) == (4, 2, 2)


def sheet(drops, xml: str) -> None:
    """Write a workbook whose one sheet is this XML."""
    path = drops / f"events_{DAY}.xlsx"
    openpyxl.Workbook().save(path)
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    members["xl/worksheets/sheet1.xml"] = xml.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            new.writestr(name, content)


SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    '<dimension ref="A1:XFD1048576"/><sheetData>{}</sheetData></worksheet>'
)
CELL = '<c r="{}" t="inlineStr"><is><t>{}</t></is></c>'


def test_a_workbook_that_claims_any_size_is_read_as_large_as_it_is(land, drops):
    cells = "".join(
        CELL.format(f"{place}1", name) for place, name in zip("ABCD", HEADER.strip().split(","), strict=True)
    )
    far = '<row r="900000">' + CELL.format("A900000", "e1") + "</row>"
    sheet(drops, SHEET.format(f'<row r="1">{cells}</row>{far}'))
    (file,) = land().landed
    assert (file.rows_in, file.rows_quarantined) == (1, 1)


def test_a_workbook_with_a_row_that_no_worksheet_has_is_refused(land, drops, monkeypatch):
    monkeypatch.setattr(readers, "MAX_WORKBOOK_ROWS", 1_000)
    cells = "".join(
        CELL.format(f"{place}1", name) for place, name in zip("ABCD", HEADER.strip().split(","), strict=True)
    )
    sheet(drops, SHEET.format(f'<row r="1">{cells}</row><row r="99999999999">{CELL.format("A9", "x")}</row>'))
    assert "cannot be read as xlsx" in refusal(land())


def test_a_workbook_bomb_is_refused(land, drops, small_limits):
    sheet(drops, SHEET.format(" " * (8 << 20)))
    assert "over 200 times as much" in refusal(land())


def test_a_workbook_whose_entities_explode_is_refused(land, drops):
    entities = '<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">'
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    cells = "".join(
        CELL.format(f"{place}1", name) for place, name in zip("ABCD", HEADER.strip().split(","), strict=True)
    )
    body = f'<row r="1">{cells}</row><row r="2">{CELL.format("A2", "&i;")}</row>'
    sheet(drops, f"<!DOCTYPE worksheet [{entities}]>" + SHEET.format(body))
    assert "cannot be read as xlsx" in refusal(land())


# --- encodings


def test_what_encoding_a_file_has_is_detected_by_its_mark_else_stated(shop_with, drops, landed, paths):
    title = "茶杯, “blue” 100"
    text = f'product_id,title\np1,"{title}"\n'
    contents = {
        "2024-03-01": (text.encode(), {}),
        "2024-03-02": (b"\xef\xbb\xbf" + text.encode(), {}),
        "2024-03-03": (text.encode("utf-16"), {}),
        "2024-03-04": (b"\xfe\xff" + text.encode("utf-16-be"), {}),
        "2024-03-05": (text.encode("gbk"), {"encoding": "gbk"}),
        "2024-03-06": (text.encode("utf-16-le"), {"encoding": "utf-16-le"}),
        "2024-03-07": (b"\xef\xbb\xbf" + text.encode(), {"encoding": "gbk"}),  # the mark is believed
    }
    for day, (content, dialect) in contents.items():
        (drops / f"products_{day}.csv").write_bytes(content)
        source = {"name": "products", "files": ["products_*"], "tables": ["products"], "csv": dialect}
        events = {"name": "events", "files": ["events_*"], "tables": ["events"]}
        report = receive(shop_with(sources=[source, events]), drops / f"products_{day}.csv")
        assert [file.status for file in report.landed] == ["accepted"], (day, report.refused)
    assert {found["title"] for found in landed("products")} == {title}
    assert len(landed("products")) == len(contents)


@pytest.mark.parametrize("encoding", ["gbk", "utf-16-le", "latin-1"])
def test_an_encoding_that_nobody_stated_is_never_guessed(land, landed, paths, drops, encoding):
    (drops / f"products_{DAY}.csv").write_bytes(
        "product_id,title\np1,Zoë 杯\n".replace("杯", "" if encoding == "latin-1" else "杯")
        .replace("ë", "e" if encoding == "gbk" else "ë")
        .encode(encoding)
    )
    land()
    assert landed("products") == []
    (file,) = ledger.files(paths)
    assert file.status in ("held", "refused", "waiting")


CHINESE = "手机, 中文商品: 茶杯 红色"


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl"])
@pytest.mark.parametrize("stated", ["gbk", "big5", "gb18030", "latin-1", "cp1252"])
def test_utf_8_where_another_encoding_is_stated_is_refused(shop_with, drops, landed, ending, stated):
    text = f'product_id,title\np1,"{CHINESE}"\n'
    if ending == "jsonl":
        text = json.dumps({"product_id": "p1", "title": CHINESE}, ensure_ascii=False) + "\n"
    content = text.encode()
    path = drops / f"products_{DAY}.{ending}"
    path.write_bytes(gzip.compress(content) if ending == "csv.gz" else content)
    assert f"its text is UTF-8, and {stated} is stated" in refusal(receive(stating(shop_with, stated), drops))
    assert landed("products") == []


@pytest.mark.parametrize(
    ("stated", "title"),
    [
        ("gbk", CHINESE),
        ("gbk", "女"),  # C5 AE is an Ů as well, and so is each of these a letter of UTF-8
        ("gbk", "女女女女"),
        ("gbk", "女屁暖努"),
        ("latin-1", "Zoë"),
        ("cp1252", "“blue” – €"),
        ("gbk", "plain"),
    ],
)
def test_what_may_be_as_stated_is_read_as_stated(shop_with, drops, landed, stated, title):
    (drops / f"products_{DAY}.csv").write_bytes(f'product_id,title\np1,"{title}"\n'.encode(stated))
    receive(stating(shop_with, stated), drops)
    assert [found["title"] for found in landed("products")] == [title]


def stating(shop_with, encoding: str):
    source = {"name": "products", "files": ["products_*"], "tables": ["products"]}
    events = {"name": "events", "files": ["events_*"], "tables": ["events"]}
    return shop_with(sources=[source | {"csv": {"encoding": encoding}}, events])


def test_an_unreadable_last_character_costs_its_row(shop_with, drops, landed, paths):
    source = {"name": "events", "files": ["events_*"], "tables": ["events"], "csv": {"encoding": "gbk"}}
    data = (HEADER + row("e1")).encode("gbk") + b"e2,view,2024-03-01,\xff\xff\n"
    (drops / f"events_{DAY}.csv").write_bytes(data)
    receive(shop_with(sources=[source]), drops)
    assert [found["event_id"] for found in landed("events")] == ["e1"]
    assert [bad["reasons"] for bad in quarantine.rows(paths)] == [["unreadable_characters"]]


# --- what this user may not read


def test_a_file_that_may_not_be_read_is_refused_and_its_neighbours_are_not(land, drops, landed, monkeypatch):
    for name in ("closed", "open"):
        (drops / f"events_{DAY}_{name}.csv").write_text(HEADER + row(name), encoding="utf-8")
    read = incoming.fingerprint

    def forbidden(path, source):
        if "closed" in path.name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path, source)

    monkeypatch.setattr(incoming, "fingerprint", forbidden)
    report = land()
    assert refusal(report) == f"user {os.geteuid()} may not read it: give the right to"
    assert [event["event_id"] for event in landed("events")] == ["open"]
    monkeypatch.undo()


def test_a_folder_that_may_not_be_read_is_no_empty_folder(land, drops, monkeypatch):
    (drops / "inner").mkdir()
    closed = drops / "inner"
    monkeypatch.setattr(os, "access", lambda path, _: path != closed)
    with pytest.raises(PermissionError, match="inner"):
        land()
