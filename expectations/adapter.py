"""Great Expectations on DuckDB, through one connection that stays open.

Great Expectations closes its connection after each query unless it knows the dialect to
need a lasting one, and fetches afterwards; DuckDB's rows are gone by then and every
expectation fails with "list index out of range". It also opens a transaction, and in
DuckDB one broken query aborts all that follow in the same transaction. Here the
connection is handed in, kept, and commits by itself. That this still holds is proved
before every validation by a canary: a known-bad table that must fail for the right reason.

The remedies can go when Great Expectations lists DuckDB among its dialects with a
persisted connection (``sqlalchemy_execution_engine._PERSISTED_CONNECTION_DIALECTS``).
"""

from __future__ import annotations

import atexit
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import duckdb
import duckdb_sqlalchemy
import great_expectations as gx
import sqlalchemy
from great_expectations.core import ExpectationSuiteValidationResult, RunIdentifier
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.datasource.fluent.sql_datasource import SQLDatasource
from great_expectations.execution_engine.sqlalchemy_execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.expectation import Expectation
from sqlalchemy.pool import StaticPool

import settings

SINGLE_QUOTED = re.compile(r"'[^'\n]*'")


# Great Expectations and duckdb-sqlalchemy together keep DuckDB's types alive past the interpreter's end, and
# its bindings then report each of them, on stderr (https://nanobind.readthedocs.io/en/latest/refleaks.html).
# Nothing uses the module any more by then. Can go once `python -c "import great_expectations,
# duckdb_sqlalchemy"` ends quietly.
atexit.register(vars(duckdb_sqlalchemy).clear)


class BrokenQueryError(Exception):
    """A query could not run; the message names no value, because tracebacks reach Data Docs."""


class BorrowedConnection(duckdb_sqlalchemy.ConnectionWrapper):
    """A connection that its owner closes."""

    def close(self) -> None:
        """Do nothing: SQLAlchemy only borrowed it."""


class OneConnectionEngine(SqlAlchemyExecutionEngine):
    """Run every query of a validation on one connection, and strip values from its errors."""

    @contextmanager
    def get_connection(self) -> Generator[sqlalchemy.Connection, None, None]:
        """Yield the connection that stays open for the whole validation."""
        if self._connection is None:
            self._connection = self.engine.connect()
        yield self._connection

    def execute_query(self, query: Any) -> Any:
        """Run a query; DuckDB quotes offending values in its errors, so they are masked."""
        try:
            return super().execute_query(query)
        except sqlalchemy.exc.DBAPIError as error:
            raise BrokenQueryError(reason(error.orig or error)) from None


class DuckDBConnectionDatasource(SQLDatasource):
    """Name the open DuckDB connection as a datasource; ``connection_string`` is only a label."""

    type: Literal["duckdb_connection"] = "duckdb_connection"  # type: ignore[assignment]
    connection_string: str = "duckdb:///:memory:"

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take the connection that the caller opened and will close."""
        self._engine = sqlalchemy.create_engine(
            self.connection_string,
            creator=lambda: BorrowedConnection(connection),
            poolclass=StaticPool,
            isolation_level="AUTOCOMMIT",
        )
        self._execution_engine = OneConnectionEngine(engine=self._engine, create_temp_table=False)

    def detach(self) -> None:
        """Let go of the connection, so that its owner can close it."""
        self._execution_engine = None
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def test_connection(self, test_assets: bool = True) -> None:
        """Do nothing: Great Expectations asks before a connection can be attached."""

    def get_engine(self) -> sqlalchemy.Engine:
        """Return the engine around the attached connection."""
        assert self._engine is not None, "attach(connection) comes first"
        return self._engine

    def get_execution_engine(self) -> SqlAlchemyExecutionEngine:
        """Return the execution engine around the attached connection."""
        assert self._execution_engine is not None, "attach(connection) comes first"
        return self._execution_engine


def reason(error: BaseException) -> str:
    r"""Say in one line what broke, without the values that DuckDB puts into single quotes.

    The path of one of our own Parquet files stays: whoever repairs must know which of them is torn.

    >>> reason(ValueError("Could not convert string 'ann@example.org' to INT32\nLINE 1: select"))
    "ValueError: Could not convert string '…' to INT32"
    """
    first_line = str(error).strip().split("\n", 1)[0]
    masked = SINGLE_QUOTED.sub(_masked, first_line)
    return f"{type(error).__name__}: {masked}"


def _masked(found: re.Match[str]) -> str:
    path = Path(found[0].strip("'"))
    is_ours = path.suffix == ".parquet" and path.is_relative_to(settings.data_dir())
    return found[0] if is_ours else "'…'"


def _in_memory() -> DataContextConfig:
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )


class Validator:
    """Validate suites on one DuckDB connection; keep the results for the Data Docs.

    The result format is SUMMARY throughout: counts, never rows.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.context: EphemeralDataContext = gx.get_context(mode="ephemeral", project_config=_in_memory())
        self._datasource: DuckDBConnectionDatasource = self.context.data_sources.add_duckdb_connection(
            name="duckdb"
        )
        self._datasource.attach(connection)

    def validate(
        self, suite_name: str, expectations: Sequence[Expectation], batch_table: str, run_id: str
    ) -> ExpectationSuiteValidationResult:
        """Validate one suite; ``{batch}`` in its queries is ``batch_table``."""
        suite = self.context.suites.add(gx.ExpectationSuite(suite_name, expectations=list(expectations)))
        definition = gx.ValidationDefinition(name=suite_name, data=self._batch(batch_table), suite=suite)
        definition = self.context.validation_definitions.add(definition)
        return definition.run(result_format="SUMMARY", run_id=RunIdentifier(run_name=run_id))

    def try_out(
        self, expectations: Sequence[Expectation], batch_table: str
    ) -> ExpectationSuiteValidationResult:
        """Validate expectations without keeping suite or result."""
        suite = gx.ExpectationSuite("trial", expectations=list(expectations))
        return self._batch(batch_table).get_batch().validate(suite, result_format="SUMMARY")

    def _batch(self, table: str) -> BatchDefinition[Any]:
        return self._datasource.add_table_asset(table).add_batch_definition_whole_table("all")

    def close(self) -> None:
        """Let go of the connection; the results stay in the context."""
        self._datasource.detach()
