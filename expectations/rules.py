"""What every expectation of Shoal is: a sentence, a query for whatever breaks it, and its subjects.

A rule asks for rows that must not exist. Each unexpected row has three columns:
``table_name``, ``file_id`` (null unless a landed file is to blame) and ``observed``, a
short text that never holds the value of an identifying column. The one-row relation
``batch`` carries what a query needs to know (the as_of_date, thresholds), so no value
is ever pasted into SQL. DuckDB does the counting in few passes; Great Expectations runs
the queries, tells a failure from a check that could not be made, and renders the result.
"""

from __future__ import annotations

from textwrap import dedent
from typing import ClassVar, Literal, Self

from great_expectations.expectations.core.unexpected_rows_expectation import UnexpectedRowsExpectation
from great_expectations.expectations.metadata_types import FailureSeverity

Severity = Literal["error", "warning"]

HEADER = "with batch as (select * from {batch})"


class BorderExpectation(UnexpectedRowsExpectation):
    """Fail when its query finds rows; subclass it with a name that says what is expected.

    Attributes
    ----------
    sentence
        What is expected, as a person says it.
    query
        Returns the unexpected rows: table_name, file_id, observed.
    tables
        The tables it speaks of, each of which gets its own outcome.
    subjects
        Instead of ``tables``: a query for table_name and reason. A table with a reason is
        not applicable, and the reason says why (no baseline yet, not delivered).
    level
        An ``error`` stops the chain, a ``warning`` is listed.
    """

    sentence: ClassVar[str] = ""
    query: ClassVar[str] = ""
    tables: ClassVar[tuple[str, ...]] = ()
    subjects: ClassVar[str] = ""
    column: ClassVar[str | None] = None
    level: ClassVar[Severity] = "error"

    @classmethod
    def full_query(cls) -> str:
        """Return the query with its header; Great Expectations fills in what ``{batch}`` is."""
        return f"{HEADER}\n{dedent(cls.query).strip()}"

    @classmethod
    def instance(cls) -> Self:
        """Return the expectation as Great Expectations wants it: sentence and query spelt out."""
        severity = FailureSeverity.CRITICAL if cls.level == "error" else FailureSeverity.WARNING
        return cls(unexpected_rows_query=cls.full_query(), description=cls.sentence, severity=severity)
