"""The canary: a known-bad table that must fail for the right reason before any verdict counts.

It sings in four notes: a clean query passes, a regex finds exactly its two bad words, a
column expectation counts its one null (the adapter's trap loses exactly these rows), and
a broken query is told from a failure, without breaking the query after it.
"""

from __future__ import annotations

from typing import Any

import duckdb
from great_expectations.expectations.core.expect_column_values_to_not_be_null import (
    ExpectColumnValuesToNotBeNull,
)
from great_expectations.expectations.core.unexpected_rows_expectation import UnexpectedRowsExpectation

from expectations.adapter import Validator

TABLE = "canary"


class SilentCanaryError(Exception):
    """Great Expectations on DuckDB did not answer as known: none of its verdicts can be trusted."""


class ExpectCanaryToBeWell(UnexpectedRowsExpectation):
    """Passes."""

    unexpected_rows_query: str = "select word from {batch} where word = 'absent'"


class ExpectCanaryWithoutBadWords(UnexpectedRowsExpectation):
    """Fails on two rows."""

    unexpected_rows_query: str = "select word from {batch} where regexp_matches(word, '^bad-[0-9]+$')"


class ExpectCanaryToBreak(UnexpectedRowsExpectation):
    """Raises."""

    unexpected_rows_query: str = "select word::integer from {batch}"


class ExpectCanaryWithoutNulls(ExpectColumnValuesToNotBeNull):
    """Fails on one row."""

    column: Any = "word"


EXPECTED = {
    "expect_canary_to_be_well": (True, 0, False),
    "expect_canary_to_break": (False, None, True),
    "expect_canary_without_bad_words": (False, 2, False),
    "expect_canary_without_nulls": (False, 1, False),
}
"""Per expectation: success, unexpected rows, broken."""


def prove(on: Validator, connection: duckdb.DuckDBPyConnection) -> None:
    """Let the canary sing on the very connection that the border is judged on.

    Raises
    ------
    SilentCanaryError
        When any note differs: check the pinned versions of duckdb, duckdb-sqlalchemy and
        great-expectations.
    """
    connection.execute("create or replace temp table canary (word varchar)")
    connection.execute("insert into canary values ('good'), ('bad-1'), ('bad-22'), (null)")
    suite = [
        ExpectCanaryToBreak(),
        ExpectCanaryToBeWell(),
        ExpectCanaryWithoutBadWords(),
        ExpectCanaryWithoutNulls(),
    ]
    heard = {
        result.expectation_config.type: _note(result)
        for result in on.try_out(suite, TABLE).results
        if result.expectation_config
    }
    if heard != EXPECTED:
        differing = sorted(name for name in EXPECTED if heard.get(name) != EXPECTED[name])
        raise SilentCanaryError(
            f"the canary differs in {', '.join(differing)}: Great Expectations can't be trusted on this "
            "DuckDB; install the versions of requirements.lock"
        )


def _note(result: Any) -> tuple[bool, int | None, bool]:
    info = dict(result.exception_info or {})
    is_broken = info.get("raised_exception") is not False
    found = result.result.get("unexpected_count", result.result.get("observed_value"))
    return bool(result.success), found, is_broken
