"""Exports as files: what a reader of each form finds, and what is logged."""

from __future__ import annotations

import csv
import stat
from datetime import date
from pathlib import Path

import openpyxl
import pytest
from pyarrow import parquet

import journal
from cli import ShoalError, UsageError
from serving import export as exports
from serving.export import export
from serving.publish import publish
from serving.versions import current_folder
from settings import ShopPaths
from tests.unit.serving.conftest import Warehouse

DAY = date(2026, 3, 1)
SPITEFUL = {"champions": "=1+1", "promising": "007", "not_bought": "@cmd"}


@pytest.fixture
def published(working: Warehouse) -> ShopPaths:
    """One version in which segments are named as a spreadsheet would like to run them."""
    working.build(DAY)
    for code, name in SPITEFUL.items():
        working.execute("update bi.dim_segment set segment_name_en = ? where segment_code = ?", [name, code])
    publish(working.paths, DAY)
    return working.paths


def names_in_csv(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row["segment_name_en"] for row in csv.DictReader(file) if row["scheme"] == "rfm"]


def test_csv_begins_as_excel_asks_and_runs_no_formula(published: ShopPaths, tmp_path: Path) -> None:
    out = tmp_path / "segments.csv"
    export(published, "csv", ["dim_segment"], out)
    assert out.read_bytes().startswith(b"\xef\xbb\xbfscheme,")
    assert "名" in out.read_text(encoding="utf-8-sig")
    assert sorted(names_in_csv(out)) == ["'=1+1", "'@cmd", "007"]


def test_texts_of_a_workbook_stay_texts_and_numbers_numbers(published: ShopPaths, tmp_path: Path) -> None:
    export(published, "xlsx", ["dim_segment", "user_score_daily"], tmp_path)
    sheet = openpyxl.load_workbook(tmp_path / "dim_segment.xlsx").active
    heading, *rows = sheet.iter_rows()
    column = [cell.value for cell in heading].index("segment_name_en")
    found = {(row[column].value, row[column].data_type) for row in rows if row[0].value == "rfm"}
    assert found == {("=1+1", "s"), ("007", "s"), ("@cmd", "s")}
    scores = openpyxl.load_workbook(tmp_path / "user_score_daily.xlsx").active
    named = dict(zip((cell.value for cell in scores[1]), scores[2], strict=True))
    assert (named["score"].value, named["score"].data_type) == (1, "n")
    assert (named["as_of_date"].value.date(), named["as_of_date"].is_date) == (DAY, True)


def test_a_sheet_takes_as_many_rows_as_it_has_under_its_heading(
    published: ShopPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "SHEET_ROWS", 7)
    export(
        published, "xlsx", ["user_segment_daily"], tmp_path
    )  # 3 users × 2 schemes = 6 rows, and the heading
    monkeypatch.setattr(exports, "SHEET_ROWS", 6)
    with pytest.raises(ShoalError, match=r"bi.user_segment_daily has 6 rows.*parquet or csv"):
        export(published, "xlsx", ["published_version", "user_segment_daily"], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_parquet_keeps_types_and_cents(published: ShopPaths, tmp_path: Path) -> None:
    export(published, "parquet", ["customer_cohort_monthly", "user_segment_current"], tmp_path)
    schema = parquet.read_schema(tmp_path / "customer_cohort_monthly.parquet")
    assert str(schema.field("net_revenue_amount").type) == "decimal128(18, 2)"
    assert parquet.read_table(tmp_path / "user_segment_current.parquet").num_rows == 3 * 2


def crowd(working: Warehouse, scheme: str, sizes: dict[str, int]) -> None:
    """Let the segments of one scheme have so many users."""
    for code, users in sizes.items():
        working.execute(
            "insert into bi.user_segment_daily "
            "select ?, 'x' || ? || i, ?, ?, ?, '名', 1, 1, false, '4', 'run-1' from range(?) as more (i)",
            [DAY, code, scheme, code, code.title(), users - 1],
        )
        working.execute(
            "update bi.segment_profile_daily set users = ? where scheme = ? and segment_code = ?",
            [users, scheme, code],
        )


def test_small_groups_are_left_out_and_the_log_says_so(working: Warehouse, tmp_path: Path) -> None:
    working.build(DAY)
    crowd(working, "rfm", {"champions": 40, "promising": 4, "not_bought": 300})
    crowd(working, "lifecycle", {"loyal": 40, "purchased": 10, "aware": 294})
    working.execute(
        "update bi.segment_profile_daily set segment_code = '_other' where segment_code = 'purchased'"
    )
    publish(working.paths, DAY)
    export(working.paths, "parquet", ["segment_profile_daily", "user_segment_daily"], tmp_path)
    rows = parquet.read_table(tmp_path / "segment_profile_daily.parquet").to_pylist()
    assert {row["segment_code"]: row["users"] for row in rows} == {
        **{"champions": 40, "not_bought": 300},
        **{"loyal": 40, "_other": 10, "aware": 294},
    }
    groups, whole = journal.read(working.paths.ops / "export_log.jsonl")
    assert (groups["row_count"], groups["folded_count"], groups["left_out_count"]) == (2 + 3, 1, 1)
    assert (whole["row_count"], whole["folded_count"], whole["has_user_keys"]) == (344 * 2, 0, True)
    assert groups["version"] == current_folder(working.paths).name
    assert groups["command"] == "serving export parquet"


def test_flows_of_a_shop_of_a_handful_are_not_exported(working: Warehouse, tmp_path: Path) -> None:
    working.build(DAY)
    row = "'2026-02-28', '2026-03-01', '_other', '_other', 'none'"
    working.execute(
        f"insert into bi.segment_migration values ('rfm', {row}, 3, 'r'), ('lifecycle', {row}, 12, 'r')"
    )
    publish(working.paths, DAY)
    export(working.paths, "parquet", ["segment_migration"], tmp_path)
    rows = parquet.read_table(tmp_path / "segment_migration.parquet").to_pylist()
    assert [(row["scheme"], row["users"]) for row in rows] == [("lifecycle", 12)]
    (logged,) = journal.read(working.paths.ops / "export_log.jsonl")
    assert (logged["row_count"], logged["folded_count"], logged["left_out_count"]) == (1, 1, 1)


def test_the_log_is_a_table_of_the_next_version(
    published: ShopPaths, working: Warehouse, tmp_path: Path
) -> None:
    from serving.query import connect

    export(published, "csv", ["dim_segment"], tmp_path)
    working.build(date(2026, 3, 2))
    publish(published, date(2026, 3, 2))
    with connect(published) as connection:
        rows = connection.execute("select table_name, row_count, form from ops.export_log").fetchall()
    assert rows == [("dim_segment", 6, "csv")]


def test_what_leaves_the_company_is_coarse_and_knows_no_user(working: Warehouse, tmp_path: Path) -> None:
    working.build(DAY)
    crowd(working, "rfm", {"champions": 43, "promising": 4, "not_bought": 301})
    crowd(working, "lifecycle", {"loyal": 43, "purchased": 4, "aware": 301})
    publish(working.paths, DAY)
    export(working.paths, "csv", out=tmp_path / "out", is_for_others=True)
    meaning, file = sorted((tmp_path / "out").iterdir())
    with meaning.open(encoding="utf-8-sig", newline="") as opened:
        means = {row["segment_code"]: row["description_zh"] for row in csv.DictReader(opened)}
    assert means.keys() == {"champions", "not_bought", "loyal", "aware"}
    assert means["loyal"] == "至少下过三单"
    with file.open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert file.name == "segment_weekly.csv"
    told = {row["segment_code"]: row["users"] for row in rows}
    assert told == {"champions": "45", "not_bought": "300", "loyal": "45", "aware": "300"}
    assert {row["week"] for row in rows} == {"2026-02-23"} and "user_key" not in rows[0]
    _, noted = journal.read(working.paths.ops / "export_log.jsonl")
    assert (noted["table"], noted["row_count"], noted["has_user_keys"]) == ("segment_weekly", 4, False)
    with pytest.raises(
        UsageError, match=r"no table bi.user_segment_daily: choose of segment_meaning, segment_weekly"
    ):
        export(working.paths, "csv", ["user_segment_daily"], tmp_path / "out", is_for_others=True)


def test_files_are_for_their_owner_only_and_whole(published: ShopPaths, tmp_path: Path) -> None:
    export(published, "csv", out=tmp_path / "out")
    files = list((tmp_path / "out").iterdir())
    assert {stat.filemode(file.stat().st_mode) for file in files} == {"-rw-------"}
    assert {file.suffix for file in files} == {".csv"}


def test_what_fails_leaves_the_file_of_before(
    published: ShopPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "segments.csv"
    out.write_text("before")
    monkeypatch.setattr(exports, "defused", lambda value: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(published, "csv", ["dim_segment"], out)
    assert [(file.name, file.read_text()) for file in tmp_path.glob("*segments*")] == [
        ("segments.csv", "before")
    ]


def test_a_table_that_does_not_exist_is_refused_by_name(published: ShopPaths, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no table bi.segments: choose of .*segment_profile_daily"):
        export(published, "csv", ["segments"], tmp_path)


def test_one_file_for_many_tables_is_refused(published: ShopPaths, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one file for 2 tables"):
        export(published, "csv", ["dim_segment", "user_score_daily"], tmp_path / "all.csv")


def test_nothing_published_is_said(paths: ShopPaths) -> None:
    with pytest.raises(ShoalError, match="nothing has been published"):
        export(paths, "csv")
