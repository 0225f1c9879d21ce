"""The four outcomes, the canary, and what never reaches a record or a page."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import pytest

import journal
import settings
from cli import GATE_STOPPED, GateStoppedError
from expectations import __main__ as command
from expectations import canary, data_docs, deliveries, gates, incoming, incoming_facts, validate
from expectations.adapter import OneConnectionEngine, reason
from expectations.rules import BorderExpectation
from expectations.validate import Finding, Outcome, Verdict
from settings import ShopPaths
from tests.unit.expectations.conftest import Judge
from tests.unit.expectations.shop_feed import TODAY, Feed, rows


class ExpectNoOddNumber(BorderExpectation):
    """Fails on odd numbers."""

    sentence = "there is no odd number"
    query = """
        select 'numbers' as table_name, null as file_id, n::varchar as observed
        from batch, numbers where n % 2 = 1"""
    tables = ("numbers",)


class ExpectWhatBreaks(BorderExpectation):
    """Raises, and its message would quote a value."""

    sentence = "this query runs"
    query = """
        select 'numbers' as table_name, null as file_id, word::integer::varchar as observed
        from batch, words"""
    tables = ("numbers",)


class ExpectNoUnknownNumber(ExpectNoOddNumber):
    """Fails, with nothing to quote: a text that is joined with an absent value is absent."""

    query = """
        select 'numbers' as table_name, null as file_id, null::varchar || ': unknown' as observed
        from batch"""


class ExpectMerelyAWarning(ExpectWhatBreaks):
    """Raises at severity warning."""

    level = "warning"


class ExpectOnlyWhereThereIsABaseline(ExpectNoOddNumber):
    """Not applicable."""

    query = ExpectNoOddNumber.query + " and false"
    tables = ()
    subjects = "select 'numbers' as table_name, 'no baseline yet' as reason"


@pytest.fixture
def lay_out(connection: duckdb.DuckDBPyConnection):
    def create() -> None:
        connection.execute("create temp table border as select date '2026-05-31' as as_of_date")
        connection.execute("create temp table numbers as select unnest([1, 2, 3]) as n")
        connection.execute("create temp table words as select 'ann@example.org' as word")

    return create


def test_duckdb_is_the_version_that_everything_was_measured_on():
    # duckdb-sqlalchemy 1.5.6.5 silently takes it down to 1.5.
    assert duckdb.__version__ == "2.0.0"


def test_each_outcome_is_told_from_the_others(judge: Judge, lay_out):
    suite = (ExpectWhatBreaks, ExpectNoOddNumber, ExpectMerelyAWarning, ExpectOnlyWhereThereIsABaseline)
    told = {name: findings[0] for name, findings in judge(suite, lay_out).items()}
    assert {name: finding.outcome for name, finding in told.items()} == {
        "expect_what_breaks": Outcome.COULD_NOT_CHECK,
        "expect_no_odd_number": Outcome.FAIL,
        "expect_merely_a_warning": Outcome.COULD_NOT_CHECK,
        "expect_only_where_there_is_a_baseline": Outcome.NOT_APPLICABLE,
    }
    assert [name for name, finding in told.items() if finding.stops] == [
        "expect_what_breaks",
        "expect_no_odd_number",
    ]
    assert told["expect_no_odd_number"].unexpected_count == 2
    assert told["expect_no_odd_number"].observed == "1; 3"


def test_a_failure_that_can_quote_nothing_is_a_failure(judge: Judge, lay_out):
    [finding] = judge([ExpectNoUnknownNumber], lay_out)["expect_no_unknown_number"]
    assert (finding.outcome, finding.observed) == (Outcome.FAIL, "a value that is absent")


def test_a_query_that_breaks_does_not_break_the_one_after_it(judge: Judge, lay_out):
    told = judge((ExpectWhatBreaks, ExpectOnlyWhereThereIsABaseline), lay_out)
    assert told["expect_only_where_there_is_a_baseline"][0].outcome is Outcome.NOT_APPLICABLE


def test_what_broke_is_said_without_the_value_that_broke_it(judge: Judge, lay_out):
    [finding] = judge((ExpectWhatBreaks,), lay_out)["expect_what_breaks"]
    assert "Could not convert string" in finding.observed
    assert "ann@" not in finding.observed
    assert reason(ValueError("no 'secret' here\nLINE 1")) == "ValueError: no '…' here"


def test_what_broke_names_the_torn_parquet_file_of_ours_and_no_other(paths: ShopPaths, tmp_path):
    torn = paths.landing / "events" / "2024-03-01" / "f1.parquet"
    for file in (torn, tmp_path / "ann@example.org.parquet"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"PAR1 and no more of it")
        with pytest.raises(duckdb.Error) as broke:
            duckdb.execute("from read_parquet(?)", [str(file)])
        assert (f"'{torn}'" in reason(broke.value)) == (file == torn)
        assert "ann@" not in reason(broke.value)


def test_a_border_that_cannot_see_is_closed(judge: Judge):
    def break_down() -> None:
        raise OSError("disk is gone")

    told = judge((ExpectNoOddNumber, ExpectOnlyWhereThereIsABaseline), break_down)
    assert {finding.outcome for found in told.values() for finding in found} == {Outcome.COULD_NOT_CHECK}


def test_canary_sings_on_the_pinned_versions(connection: duckdb.DuckDBPyConnection):
    with validate.validator(connection) as on:
        canary.prove(on, connection)


def test_canary_falls_silent_when_the_connection_is_not_kept(judge: Judge, lay_out, monkeypatch):
    """Great Expectations' own way: fetch after the connection went back to its pool."""
    monkeypatch.delattr(OneConnectionEngine, "get_connection")
    told = judge((ExpectOnlyWhereThereIsABaseline,), lay_out)
    [finding] = told["expect_only_where_there_is_a_baseline"]
    assert finding.outcome is Outcome.COULD_NOT_CHECK
    assert "the canary differs" in finding.observed


def test_canary_falls_silent_when_a_note_changes(judge: Judge, lay_out, monkeypatch):
    monkeypatch.setitem(canary.EXPECTED, "expect_canary_without_bad_words", (False, 3, False))
    [finding] = judge((ExpectOnlyWhereThereIsABaseline,), lay_out)["expect_only_where_there_is_a_baseline"]
    assert "the canary differs in expect_canary_without_bad_words" in finding.observed


def test_a_raising_expectation_stops_the_gate_with_code_3_and_holds_no_file(
    paths: ShopPaths, monkeypatch, capsys
):
    Feed(paths).quiet_days(1)
    monkeypatch.setattr(incoming, "EXPECTATIONS", (incoming.ExpectSourceRowsToBeConserved, ExpectWhatBreaks))
    assert run_command("incoming", paths) == GATE_STOPPED
    records = list(journal.read(paths.ops / "data_quality.jsonl"))
    assert {line["expectation"]: line["outcome"] for line in records} == {
        "expect_source_rows_to_be_conserved": "pass",
        "expect_what_breaks": "could_not_check",
    }
    assert all(file.status == "accepted" for file in deliveries.ledger_files(paths))
    assert "expect_what_breaks" in capsys.readouterr().err


def run_command(border: str, paths: ShopPaths) -> int:
    import cli

    return cli.run(command.parser(), [border, "--shop", paths.shop])


def test_a_record_says_everything_but_whom(paths: ShopPaths):
    finding = Finding(
        "expect_x", "events", "query", Outcome.FAIL, "error", "query: 1 rows", "no address", 1, ("f1",)
    )
    validate.record(paths, Verdict("incoming", "run-1", TODAY, (finding,), ("b1",)))
    [line] = journal.read(paths.ops / "data_quality.jsonl")
    assert line.pop("checked_at") and line.pop("validation_id")
    assert line == {
        "run_id": "run-1",
        "border": "incoming",
        "as_of_date": str(TODAY),
        "suite": "incoming",
        "expectation": "expect_x",
        "table": "events",
        "column": "query",
        "outcome": "fail",
        "severity": "error",
        "observed": "query: 1 rows",
        "expected": "no address",
        "unexpected_count": 1,
        "batch_ids": ["b1"],
    }


def test_data_docs_show_rules_and_counts_but_no_value_and_ask_no_other_host(paths: ShopPaths):
    feed = Feed(paths)
    feed.quiet_days(1)
    spoiled = rows("events", TODAY, query="ann@example.org", user_key="customer-17")
    feed.file("events", TODAY, "b-past", spoiled)
    with pytest.raises(GateStoppedError):
        gates.incoming(paths, None)
    site = paths.ops / "data_docs" / "incoming"
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.*") if page.is_file()}
    assert site / "index.html" in pages
    told = "".join(pages.values())
    assert incoming.ExpectNoContactDetailsInText.sentence in told
    assert "ann@example" not in told and "customer-17" not in told and "a" * 64 not in told
    for asks_another_host in ('src="http', 'srcset="http', "url('http", "@import"):
        assert asks_another_host not in told
    assert '<link rel="stylesheet" href="http' not in told
    recorded = (paths.ops / "data_quality.jsonl").read_text(encoding="utf-8")
    assert "ann@example" not in recorded and "customer-17" not in recorded


def test_data_docs_that_cannot_be_drawn_change_no_verdict(paths: ShopPaths, monkeypatch):
    Feed(paths).quiet_days(1)

    def break_down(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(data_docs, "build", break_down)
    assert gates.incoming(paths, None) == 0


def test_facts_of_missing_parquet_are_zero_rows_not_an_error(paths: ShopPaths, connection):
    feed = Feed(paths)
    feed.quiet_days(1)
    for parquet in (paths.landing / "events").glob("*/*.parquet"):
        parquet.unlink()
    incoming_facts.prepare(connection, paths, deliveries.find(paths))
    found = validate.unexpected_rows(connection, incoming.ExpectLandedRowsToEqualTheLedger)
    assert [(table, observed.split(": ")[1]) for table, _, observed in found] == [
        ("events", "ledger 100 rows, Parquet 0")
    ]


def test_help_is_told_without_importing_great_expectations():
    code = (
        "import sys; from expectations.__main__ import parser; parser(); "
        "print('great_expectations' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "False"


def test_wrong_usage_is_code_2(paths: ShopPaths):
    with pytest.raises(SystemExit) as ended:
        command.parser().parse_args(["nowhere"])
    assert ended.value.code == 2
