"""One process imports Great Expectations once; every test judges on its own DuckDB connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from expectations import validate
from expectations.rules import BorderExpectation
from expectations.validate import Finding
from settings import ShopPaths

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
        expectations: tuple[type[BorderExpectation], ...], prepare: Callable[[], None]
    ) -> dict[str, list[Finding]]:
        with validate.validator(connection) as on:
            findings = validate.judge(on, connection, "suite", expectations, prepare, "run-1")
        told: dict[str, list[Finding]] = {}
        for finding in findings:
            if finding.outcome is not validate.Outcome.PASS:
                told.setdefault(finding.expectation, []).append(finding)
        return told

    return run
