"""The one module of ml that speaks SQL: contracted tables in, predictions out.

Reading takes a Parquet snapshot and needs no lock. Writing takes the warehouse's lock once,
for one short transaction that replaces an as_of_date.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

import warehouse
from cli import ShoalError
from ml.encoder.features import numeric_columns
from ml.encoder.outcomes import Outcomes
from ml.encoder.tokens import LISTS, Sequences, Told, stored_keys
from settings import ShopPaths
from warehouse import snapshot, steps
from warehouse.snapshot import CONTENT_KEY

SLACK = timedelta(hours=36)
"""as_of_date is a business day somewhere on earth, times are UTC: its last moment lies within this."""

TABLES: dict[str, dict[str, str]] = {
    "user_scores": {
        "as_of_date": "DATE",
        "user_key": "VARCHAR",
        "score_name": "VARCHAR",
        "score": "DOUBLE",
        "label": "VARCHAR",
        "model_name": "VARCHAR",
        "model_version": "VARCHAR",
        "decile": "INTEGER",
        "percentile": "DOUBLE",
        "expected_value": "DECIMAL(18,4)",
        "horizon_days": "INTEGER",
        "reason_1": "VARCHAR",
        "reason_2": "VARCHAR",
        "reason_3": "VARCHAR",
        "reason_1_zh": "VARCHAR",
        "reason_2_zh": "VARCHAR",
        "reason_3_zh": "VARCHAR",
        "scored_at": "TIMESTAMP",
        "run_id": "VARCHAR",
    },
    "user_segments": {
        "as_of_date": "DATE",
        "user_key": "VARCHAR",
        "scheme": "VARCHAR",
        "segment_code": "VARCHAR",
        "score": "DOUBLE",
        "distance": "DOUBLE",
        "runner_up_code": "VARCHAR",
        "margin": "DOUBLE",
        "reason_1": "VARCHAR",
        "reason_2": "VARCHAR",
        "reason_3": "VARCHAR",
        "reason_1_zh": "VARCHAR",
        "reason_2_zh": "VARCHAR",
        "reason_3_zh": "VARCHAR",
        "code_by_previous_model": "VARCHAR",
        "model_version": "VARCHAR",
        "scored_at": "TIMESTAMP",
        "run_id": "VARCHAR",
    },
    "segment_definitions": {
        "as_of_date": "DATE",
        "scheme": "VARCHAR",
        "segment_code": "VARCHAR",
        "kind": "VARCHAR",
        "model_version": "VARCHAR",
        "description_en": "VARCHAR",
        "description_zh": "VARCHAR",
        "event": "VARCHAR",
        "parent_code": "VARCHAR",
        "run_id": "VARCHAR",
    },
}
"""What ml writes, as the dbt source ``ml`` declares it."""


@dataclass(frozen=True)
class StoredSequences:
    """The sequences of an as_of_date in a file: of those asked for, memory holds a row group at a time."""

    file: str
    places: NDArray[np.int64]
    """Each user's row in the file."""
    keys: NDArray[np.bytes_]

    @classmethod
    def of(cls, file: str, told: pa.Table) -> StoredSequences:
        """Find users by the columns ``file_row_number`` and ``content_key`` of ``told``."""
        keys = stored_keys(told)
        assert keys is not None
        return cls(file, told["file_row_number"].to_numpy(), keys)

    def __len__(self) -> int:
        return len(self.keys)

    def batches(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Sequences]]:
        """Yield some of the users, and which they are; row groups without any of them are not read."""
        with pq.ParquetFile(self.file) as stored:
            sizes = [stored.metadata.row_group(group).num_rows for group in range(stored.num_row_groups)]
            ends = np.cumsum(sizes)
            groups = np.searchsorted(ends, self.places[rows], side="right")
            for group in np.unique(groups):
                members = rows[groups == group]
                table = stored.read_row_group(group, columns=[CONTENT_KEY, *LISTS], use_threads=False)
                wanted = self.places[members] - (ends[group] - sizes[group])
                yield members, Sequences.from_arrow(table.take(pa.array(wanted)))


@dataclass(frozen=True)
class Day:
    """The eligible users at one as_of_date, in order of user_key, as scoring takes them."""

    as_of_date: date
    users: NDArray[np.object_]
    sequences: Told
    features: pd.DataFrame

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Cut(Day):
    """The users at one as_of_date as training takes them: all in memory, with labels if they are due."""

    sequences: Sequences
    outcomes: Outcomes | None
    horizon_days: int | None = None
    """How far the outcomes look ahead."""

    def only(self, rows: NDArray[np.int64]) -> Cut:
        """Return some of the users."""
        return replace(
            self,
            users=self.users[rows],
            sequences=self.sequences.only(rows),
            features=self.features.iloc[rows],
            outcomes=None if self.outcomes is None else self.outcomes.only(rows),
        )


@dataclass(frozen=True)
class Inputs:
    """One snapshot of ``ml_inputs``."""

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def of(cls, paths: ShopPaths, as_of: date) -> Inputs:
        """Find the snapshot of an as_of_date."""
        found = snapshot.read(paths, as_of)
        return cls(found.folder, found.manifest)

    @property
    def digest(self) -> str:
        """Return the content hash of the snapshot's rows."""
        return str(self.manifest["digest"])

    @property
    def horizon_days(self) -> int | None:
        """Return how far labels look ahead, or None where the history is too short for any."""
        horizon = self.manifest.get("horizon_days")
        return None if not horizon else int(horizon)

    def cut_date(self, name: str) -> date | None:
        """Return the date of the cut ``train``, ``test`` or ``score``."""
        value = (self.manifest.get("cuts") or {}).get(name)
        return date.fromisoformat(str(value)) if value else None

    def cut(self, as_of: date, with_outcomes: bool = False) -> Cut:
        """Read the users of one as_of_date.

        Raises
        ------
        ShoalError
            When tables disagree about who is eligible, when a sequence knows an event after
            its as_of_date, or when nobody is there.
        """
        sequences = self._rows("fct_user_sequences", as_of)
        users, features = self._users(sequences, as_of)
        return Cut(
            as_of_date=as_of,
            users=users,
            sequences=Sequences.from_arrow(sequences),
            features=features,
            outcomes=self._outcomes(as_of, users) if with_outcomes else None,
            horizon_days=self.horizon_days,
        )

    def day(self, as_of: date) -> Day:
        """Read the users of one as_of_date; their sequences are read where a model asks for them.

        Raises
        ------
        ShoalError
            As :meth:`cut` does, and for a snapshot of an earlier release, which has no keys.
        """
        file = self._file("fct_user_sequences", as_of)
        if CONTENT_KEY not in pq.read_schema(file).names:
            raise ShoalError(
                f"snapshot {self.folder.name} has no {CONTENT_KEY}, an earlier release wrote it: "
                f"run python -m warehouse build core --as-of {as_of} first"
            )
        told = self._rows(
            "fct_user_sequences", as_of, f"user_key, last_event_at, {CONTENT_KEY}, file_row_number"
        )
        users, features = self._users(told, as_of)
        return Day(as_of, users, StoredSequences.of(file, told), features)

    def _users(self, sequences: pa.Table, as_of: date) -> tuple[NDArray[np.object_], pd.DataFrame]:
        """Return who the users of a date are, and their features."""
        features = self._rows("fct_user_features", as_of).to_pandas().drop(columns="as_of_date")
        users = np.array(sequences["user_key"].to_pylist(), dtype=object)
        if len(users) == 0:
            raise ShoalError(
                f"snapshot {self.folder.name} has no user on {as_of}: build core for that date first"
            )
        self._check_same_users("fct_user_features", users, features["user_key"], as_of)
        _check_nothing_later(sequences, as_of)
        return users, features.set_index("user_key")

    def example(self, as_of: date, rows: int = 3) -> pd.DataFrame:
        """Return a few users' sequences and features as a served model takes them, without their keys."""
        # Python lists, not arrays of small integers: MLflow infers a signature from the former only.
        lists = self._rows("fct_user_sequences", as_of).slice(0, rows).select(LISTS).to_pydict()
        features = numeric_columns(self._rows("fct_user_features", as_of).slice(0, rows).to_pandas())
        return pd.concat([pd.DataFrame(lists), features], axis=1)

    def closes_on(self, as_of: date) -> date | None:
        """Return the last day that the labels of a cut look at."""
        with _reader() as connection:
            found = connection.execute(
                "select max(closes_on) from read_parquet(?) where as_of_date = ?",
                [self._file("fct_user_labels", as_of), as_of],
            ).fetchone()
        return found[0] if found else None

    def _outcomes(self, as_of: date, users: NDArray[np.object_]) -> Outcomes:
        labels = self._rows("fct_user_labels", as_of).to_pandas()
        self._check_same_users("fct_user_labels", users, labels["user_key"], as_of)
        if "is_treated" not in labels:  # a snapshot of an earlier release does not tell
            labels["is_treated"] = False
        return Outcomes(
            # No threshold was known at the cut (nobody bought before it): nobody is of high value.
            is_high_value=labels["is_high_value"].fillna(False).to_numpy(dtype=bool),
            is_buyer=labels["is_buyer"].fillna(False).to_numpy(dtype=bool),
            net_revenue=labels["net_revenue_amount"].astype("float64").fillna(0.0).to_numpy(),
            is_treated=labels["is_treated"].fillna(False).to_numpy(dtype=bool),
        )

    def _rows(self, table: str, as_of: date, columns: str = "*") -> pa.Table:
        with _reader() as connection:
            return connection.sql(
                f"select {columns} from read_parquet(?) where as_of_date = ? order by user_key",  # noqa: S608 - our own names
                params=[self._file(table, as_of), as_of],
            ).to_arrow_table()

    def _file(self, table: str, as_of: date) -> str:
        file = snapshot.file(self.folder, table, as_of)
        if not file.exists():
            raise ShoalError(
                f"snapshot {self.folder.name} has no {table} of {as_of}: build core for that date first"
            )
        return str(file)

    def _check_same_users(
        self, table: str, users: NDArray[np.object_], others: pd.Series[Any], as_of: date
    ) -> None:
        if list(users) != list(others):
            raise ShoalError(
                f"{table} and fct_user_sequences name different users on {as_of} in snapshot "
                f"{self.folder.name}: both have one row per eligible user; "
                "rebuild with python -m warehouse build core --full-refresh"
            )


def latest_as_of(paths: ShopPaths) -> date:
    """Return the newest as_of_date that has a snapshot."""
    dates = [link.name.removeprefix("latest-") for link in paths.snapshots.glob("latest-*")]
    if not dates:
        raise ShoalError(
            f"shop {paths.shop} has no snapshot: run python -m warehouse build core --shop {paths.shop} first"
        )
    return date.fromisoformat(max(dates))


def version_before(paths: ShopPaths, scheme: str, as_of: date) -> str | None:
    """Return the model version that scored the newest earlier as_of_date of a scheme, None where none did."""
    history = paths.history / "ml" / "user_segments"
    earlier = sorted(folder for folder in history.glob("[0-9]*") if folder.name < as_of.isoformat())
    with _reader() as connection:
        for folder in reversed(earlier):
            found = connection.execute(
                "select model_version from read_parquet(?, union_by_name = true) where scheme = ? "
                "order by scored_at desc, run_id desc limit 1",
                [[str(file) for file in sorted(folder.glob("*.parquet"))], scheme],
            ).fetchone()
            if found:
                return str(found[0])
    return None


def write_predictions(
    paths: ShopPaths, as_of: date, run_id: str, predictions: Mapping[str, pd.DataFrame]
) -> dict[str, int]:
    """Replace an as_of_date in ``ml.*`` in one transaction, and keep the rows in history.

    History is written first, aside and by run, so that a kill in between leaves a file that
    nobody reads yet, never a table without its history.

    Returns
    -------
    dict
        Rows by table.
    """
    tables = {name: _typed(predictions[name], columns) for name, columns in TABLES.items()}
    for name, rows in tables.items():
        _keep(paths.history / "ml" / name / as_of.isoformat() / f"{run_id}.parquet", rows)
    with warehouse.connect(paths, f"ml score {as_of}") as connection:
        connection.execute("begin")
        try:
            for name, rows in tables.items():
                _replace(connection, name, as_of, rows)
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise
        steps.note(connection, paths, "score", as_of)
    return {name: rows.num_rows for name, rows in tables.items()}


def _replace(connection: duckdb.DuckDBPyConnection, name: str, as_of: date, rows: pa.Table) -> None:
    columns = TABLES[name]
    declared = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
    names = ", ".join(f'"{column}"' for column in columns)
    connection.execute('create schema if not exists "ml"')
    connection.execute(f'create table if not exists "ml"."{name}" ({declared})')
    for column, kind in columns.items():  # of a warehouse that an earlier release made
        connection.execute(f'alter table "ml"."{name}" add column if not exists "{column}" {kind}')
    connection.execute(f'delete from "ml"."{name}" where as_of_date = ?', [as_of])  # noqa: S608 - names from TABLES
    connection.register("incoming_predictions", rows)
    connection.execute(
        f'insert into "ml"."{name}" ({names}) select {names} from incoming_predictions'  # noqa: S608 - names from TABLES
    )
    connection.unregister("incoming_predictions")


def _typed(frame: pd.DataFrame, columns: Mapping[str, str]) -> pa.Table:
    """Return a frame with exactly the declared columns and types."""
    with _reader() as connection:
        connection.register("predictions", frame)
        selected = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, kind in columns.items())
        return connection.sql(f"select {selected} from predictions").to_arrow_table()  # noqa: S608 - names from TABLES


def _keep(file: Path, rows: pa.Table) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".tmp")
    pq.write_table(rows, aside, compression="zstd")
    aside.replace(file)


def _reader() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    return connection


def _check_nothing_later(sequences: pa.Table, as_of: date) -> None:
    last = pc.max(sequences["last_event_at"]).as_py()
    if last is not None and last.replace(tzinfo=None) > datetime.combine(as_of, datetime.min.time()) + SLACK:
        raise ShoalError(
            f"fct_user_sequences of {as_of} holds an event of {last:%F %T}, after its as_of_date: a model "
            "trained on it would know the future; repair the table in dbt_project before training"
        )
