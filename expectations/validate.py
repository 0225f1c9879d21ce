"""Judge a border: four outcomes, one record per expectation and table, and a gate that stops.

A rule passes, fails, could not be checked (its query broke; Great Expectations calls that a
failure too, and only ``exception_info`` tells), or is not applicable (no baseline yet, table
not delivered). Failing and could-not-check at severity ``error`` stop the chain; warnings
and what is not applicable are listed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

import duckdb
from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult

import journal
import settings
from expectations.adapter import Validator, reason
from expectations.canary import prove
from expectations.rules import BorderExpectation, Severity
from settings import ShopPaths

BATCH = "border"
"""The one-row table behind ``{batch}``: what a border's queries need to know."""

SHOWN_ROWS = 3
"""Unexpected rows quoted in a finding; the count says how many there are."""


class Outcome(StrEnum):
    """What can become of an expectation."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    COULD_NOT_CHECK = "could_not_check"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True)
class Finding:
    """What became of one expectation for one table."""

    expectation: str
    table: str
    column: str | None
    outcome: Outcome
    severity: Severity
    observed: str
    expected: str
    unexpected_count: int = 0
    file_ids: tuple[str, ...] = ()

    @property
    def stops(self) -> bool:
        """Whether the chain may not go on."""
        return self.severity == "error" and self.outcome in (Outcome.FAIL, Outcome.COULD_NOT_CHECK)


@dataclass(frozen=True)
class Verdict:
    """All findings of one validation."""

    border: str
    run_id: str
    as_of_date: date | None
    findings: tuple[Finding, ...]
    batch_ids: tuple[str, ...] = ()
    validation_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    @property
    def stops(self) -> list[Finding]:
        """The findings that stop the chain."""
        return [finding for finding in self.findings if finding.stops]

    @property
    def file_ids(self) -> list[str]:
        """The landed files at fault."""
        return sorted({file_id for finding in self.stops for file_id in finding.file_ids})

    def records(self) -> Iterator[journal.Record]:
        """Yield the rows of ``ops.data_quality``."""
        checked_at = journal.now()
        for finding in self.findings:
            yield {
                "run_id": self.run_id,
                "border": self.border,
                "as_of_date": self.as_of_date,
                "suite": self.border,
                "expectation": finding.expectation,
                "table": finding.table,
                "column": finding.column,
                "outcome": finding.outcome.value,
                "severity": finding.severity,
                "observed": finding.observed,
                "expected": finding.expected,
                "unexpected_count": finding.unexpected_count,
                "checked_at": checked_at,
                "batch_ids": list(self.batch_ids),
                "validation_id": self.validation_id,
            }


def new_run_id() -> str:
    """Return the id of the run that this process belongs to, else a fresh one."""
    return settings.run_id() or f"manual-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"


def record(paths: ShopPaths, verdict: Verdict) -> None:
    """Append a verdict to ``ops.data_quality``."""
    journal.append(paths.ops / "data_quality.jsonl", verdict.records())


@contextmanager
def validator(connection: duckdb.DuckDBPyConnection) -> Iterator[Validator]:
    """Open a validator on a connection, and let go of the connection at the end."""
    opened = Validator(connection)
    try:
        yield opened
    finally:
        opened.close()


def judge(
    on: Validator,
    connection: duckdb.DuckDBPyConnection,
    suite: str,
    expectations: Sequence[type[BorderExpectation]],
    prepare: Callable[[], None],
    run_id: str,
) -> list[Finding]:
    """Prove the adapter, lay out the facts and judge every expectation by them.

    Whatever breaks before the first query leaves every expectation unchecked: a border that
    can't see is closed.
    """
    try:
        prove(on, connection)
        prepare()
    except Exception as error:
        return [_unchecked(expectation, table, reason(error)) for expectation, table in _named(expectations)]
    result = on.validate(suite, [expectation.instance() for expectation in expectations], BATCH, run_id)
    by_type = _results(result)
    return [
        finding
        for expectation in expectations
        for finding in _findings(connection, expectation, by_type.get(expectation.expectation_type))
    ]


def _results(result: ExpectationSuiteValidationResult) -> dict[str, ExpectationValidationResult]:
    return {one.expectation_config.type: one for one in result.results if one.expectation_config}


def _findings(
    connection: duckdb.DuckDBPyConnection,
    expectation: type[BorderExpectation],
    result: ExpectationValidationResult | None,
) -> list[Finding]:
    if result is None:
        return [_unchecked(expectation, "", "Great Expectations returned no result for it")]
    if why := _exception(result):
        return [_unchecked(expectation, table, why) for table in expectation.tables or ("",)]
    try:
        subjects = _subjects(connection, expectation)
        rows = [] if result.success else unexpected_rows(connection, expectation)
    except duckdb.Error as error:
        return [_unchecked(expectation, table, reason(error)) for table in expectation.tables or ("",)]
    for table, _, _ in rows:
        subjects.setdefault(table, None)
    found = [_finding(expectation, table, why, rows) for table, why in sorted(subjects.items())]
    if not result.success and not rows:
        found.append(
            _unchecked(expectation, "", "it failed, but its unexpected rows could not be found again")
        )
    return found


def _subjects(
    connection: duckdb.DuckDBPyConnection, expectation: type[BorderExpectation]
) -> dict[str, str | None]:
    if not expectation.subjects:
        return dict.fromkeys(expectation.tables)
    return dict(connection.execute(expectation.subjects).fetchall())


def unexpected_rows(
    connection: duckdb.DuckDBPyConnection, expectation: type[BorderExpectation]
) -> list[tuple[str, str | None, str]]:
    """Run an expectation's query beside Great Expectations, for what SUMMARY does not tell: which rows."""
    query = expectation.full_query().format(batch=BATCH)
    # execute(), not sql(): Great Expectations leaves results half fetched, and only execute() discards them.
    return connection.execute(
        "select table_name, file_id, coalesce(observed, 'a value that is absent') as observed "  # noqa: S608
        f"from ({query}) order by all"
    ).fetchall()


def _finding(
    expectation: type[BorderExpectation],
    table: str,
    not_applicable: str | None,
    all_rows: list[tuple[str, str | None, str]],
) -> Finding:
    rows = [row for row in all_rows if row[0] == table]
    if rows:
        outcome, observed = Outcome.FAIL, _quoted([observed for _, _, observed in rows])
    elif not_applicable:
        outcome, observed = Outcome.NOT_APPLICABLE, not_applicable
    else:
        outcome, observed = Outcome.PASS, "as expected"
    return Finding(
        expectation=expectation.expectation_type,
        table=table,
        column=expectation.column,
        outcome=outcome,
        severity=expectation.level,
        observed=observed,
        expected=expectation.sentence,
        unexpected_count=len(rows),
        file_ids=tuple(sorted({file_id for _, file_id, _ in rows if file_id})),
    )


def _quoted(observed: list[str]) -> str:
    distinct = list(dict.fromkeys(observed))
    more = len(distinct) - SHOWN_ROWS
    return "; ".join(distinct[:SHOWN_ROWS]) + (f"; and {more} more" if more > 0 else "")


def _named(expectations: Sequence[type[BorderExpectation]]) -> Iterator[tuple[type[BorderExpectation], str]]:
    for expectation in expectations:
        for table in expectation.tables or ("",):
            yield expectation, table


def _unchecked(expectation: type[BorderExpectation], table: str, why: str) -> Finding:
    return Finding(
        expectation=expectation.expectation_type,
        table=table,
        column=expectation.column,
        outcome=Outcome.COULD_NOT_CHECK,
        severity=expectation.level,
        observed=why,
        expected=expectation.sentence,
    )


def _exception(result: ExpectationValidationResult) -> str | None:
    """Return what broke: one flat record, or one per metric."""
    info: dict[str, Any] = dict(result.exception_info or {})
    for one in [info] if "raised_exception" in info else info.values():
        if one.get("raised_exception"):
            return str(one.get("exception_message") or "an exception without a message").split("\n", 1)[0]
    return None
