from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import date
from decimal import Decimal

import duckdb
import pytest

import settings
from cli import ShoalError, UsageError
from serving.__main__ import parser
from serving.publish import publish
from serving.query import _WRITERS, answer, connect
from settings import ShopPaths
from tests.unit.serving.conftest import Warehouse

FIRST = date(2026, 3, 1)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """One version for all queries: they can't change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("data")))
        paths = ShopPaths("simulated")
        Warehouse(paths).build(FIRST)
        publish(paths, FIRST)
        yield paths


def said(paths, sql: str, form: str) -> str:
    out = io.StringIO()
    answer(paths, sql, form, out)
    return out.getvalue()


def test_query_before_the_first_publish_says_what_to_run(paths):
    with pytest.raises(ShoalError, match=r"nothing has been published .* python -m serving publish"):
        answer(paths, "select 1")


def test_table_aligns_numbers_right_and_chinese_by_width(published):
    text = said(published, "select '名' as n, 1.5 as x union all select 'abc', null order by 1", "table")
    assert text.splitlines() == [
        "n      x",
        "───  ───",
        "abc    ∅",
        "名   1.5",
        "(2 rows)",
    ]


def test_csv_follows_rfc_4180(published):
    text = said(published, """select 'a,"b"' as t, null as n, 'x' || chr(10) || 'y' as u""", "csv")
    assert text == 't,n,u\r\n"a,""b""",,"x\ny"\r\n'
    assert list(csv.reader(io.StringIO(text)))[1] == ['a,"b"', "", "x\ny"]


@pytest.mark.parametrize(
    "formula", ["=1+1", "+cmd|' /C calc'!A0", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "＝1+1"]
)
def test_csv_runs_nothing_in_a_spreadsheet(published, formula):
    with connect(published) as connection:
        text = connection.execute("select ?", [formula]).fetchall()
    out = io.StringIO()
    _WRITERS["csv"](["=name"], [*text, (-1.5,), (Decimal("-2.50"),), ("-3",), ("+4930",)], out)
    rows = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert rows == [["'=name"], [f"'{formula}"], ["-1.5"], ["-2.50"], ["-3"], ["+4930"]]


def test_json_keeps_dates_and_cents_and_knows_no_nan(published):
    text = said(
        published, "select date '2026-03-01' as d, 20.50::decimal(18, 2) as m, 'nan'::double as x", "json"
    )
    assert json.loads(text) == [{"d": "2026-03-01", "m": 20.5, "x": None}]


def test_bi_is_the_default_schema_and_ops_within_reach(published):
    assert "champions" in said(published, "from segment_profile_daily", "csv")
    assert "serving publish" in said(published, "select stage from ops.run_manifest", "csv")


@pytest.mark.parametrize("sql", ["", " \n", "-- nothing", ";"])
def test_a_query_of_nothing_is_wrong_usage(published, sql):
    with pytest.raises(UsageError, match="the query is empty"):
        answer(published, sql)


def test_an_error_is_one_line(published):
    with pytest.raises(UsageError, match=r"query failed: .*nowhere") as error:
        answer(published, "select *\nfrom nowhere")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "sql",
    [
        "drop table dim_segment",
        "insert into dim_segment from dim_segment",
        "create table bi.mine as select 1",
        "from read_csv('/etc/hosts')",
        "copy dim_segment to 'stolen.csv'",
        "attach 'other.duckdb'",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "install httpfs",
    ],
)
def test_a_query_can_neither_write_nor_leave_the_file(published, sql, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    with connect(published) as connection, pytest.raises(duckdb.Error):
        connection.execute(sql).fetchall()
    assert set(tmp_path.rglob("*")) == before


def test_query_imports_nothing_slow():
    script = (
        "import sys; from serving.__main__ import parser; import serving.query; "
        "print(sorted({'rich', 'pydantic', 'yaml', 'pandas', 'numpy', 'dbt', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=settings.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_verb_has_a_manual(capsys):
    for verb in ("publish", "restate", "rollback", "release", "versions", "status", "query"):
        with pytest.raises(SystemExit) as stopped:
            parser().parse_args([verb, "-h"])
        assert stopped.value.code == 0
        assert "--shop" in capsys.readouterr().out


def test_json_loses_no_column_of_a_shared_name(published: ShopPaths) -> None:
    with pytest.raises(UsageError, match="several columns are called users"):
        answer(published, "select 1 as users, 2 as users, 3 as day", "json", io.StringIO())
    out = io.StringIO()
    answer(published, "select 1 as users, 2 as users", "csv", out)
    assert out.getvalue() == "users,users\r\n1,2\r\n"
