"""One process imports Great Expectations once; every test judges on its own DuckDB connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import pytest

from expectations import validate
from expectations.rules import BorderExpectation
from expectations.validate import Finding, Outcome
from serving.recorded import in_chinese
from settings import ShopPaths
from tests.chinese import english_left

Judge = Callable[..., dict[str, list[Finding]]]


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShopPaths:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("SHOAL_RUN_ID", raising=False)
    return ShopPaths("simulated")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("set TimeZone = 'UTC'")
        yield opened


@pytest.fixture
def judge(connection: duckdb.DuckDBPyConnection) -> Judge:
    """Judge a suite and return the findings that are no pass, by expectation."""

    def run(
        expectations: Sequence[type[BorderExpectation]], prepare: Callable[[], None]
    ) -> dict[str, list[Finding]]:
        with validate.validator(connection) as on:
            findings = validate.judge(on, connection, "suite", expectations, prepare, "run-1")
        told: dict[str, list[Finding]] = {}
        for finding in findings:
            if finding.outcome is not Outcome.PASS:
                told.setdefault(finding.expectation, []).append(finding)
        return told

    return run


@pytest.fixture
def assert_alone_red(connection: duckdb.DuckDBPyConnection, judge: Judge) -> Callable[..., None]:
    """Assert that one expectation of a suite fails, and the queries of all others find nothing."""

    def check(
        red: type[BorderExpectation],
        suite: Sequence[type[BorderExpectation]],
        prepare: Callable[[], None],
        also_red: Sequence[type[BorderExpectation]] = (),
    ) -> None:
        told = judge([red], prepare)
        outcomes = {finding.outcome for finding in told.get(red.expectation_type, [])}
        assert Outcome.FAIL in outcomes and Outcome.COULD_NOT_CHECK not in outcomes, told
        for finding in told[red.expectation_type]:
            assert english_left(in_chinese(finding.observed)) == [], finding.observed
        others = {one.__name__: validate.unexpected_rows(connection, one) for one in suite if one is not red}
        assert {name for name, rows in others.items() if rows} == {one.__name__ for one in also_red}, others

    return check
