"""Whom a run was judged on, and what it said of them: kept beside the shop, one small file per run.

    models/judged/<MLflow run>.parquet      user_key, is_high_value, score

MLflow keeps no user_key, pseudonymous or not: its artefacts go where its server is. So the
rows lie with the shop's other personal data, and the run's id leads to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cli import UsageError
from ml.evaluation.judge import rows_digest
from ml.evaluation.metrics import Floats
from settings import ShopPaths

KEPT_RUNS = 200
"""The newest; a training keeps about four, some 15 bytes a user each."""


@dataclass(frozen=True)
class Judged:
    """The test rows of one run, in order of user_key."""

    cut: date
    horizon_days: int
    users: NDArray[np.object_]
    is_high_value: NDArray[np.bool_]
    scores: Floats

    @property
    def digest(self) -> str:
        """Return the hash of who was judged and what happened."""
        return rows_digest(self.users, self.is_high_value)

    def save(self, paths: ShopPaths, run_id: str) -> None:
        """Keep the rows of a run, whole or not at all; the oldest runs beyond ``KEPT_RUNS`` go."""
        file = _file(paths, run_id)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        rows = pa.table(
            {"user_key": self.users, "is_high_value": self.is_high_value, "score": self.scores}
        ).replace_schema_metadata({"cut": self.cut.isoformat(), "horizon_days": str(self.horizon_days)})
        aside = file.with_suffix(".tmp")
        pq.write_table(rows, aside, compression="zstd")
        aside.replace(file)
        for old in sorted(file.parent.glob("*.parquet"), key=_written, reverse=True)[KEPT_RUNS:]:
            old.unlink(missing_ok=True)

    @classmethod
    def load(cls, paths: ShopPaths, run_id: str) -> Judged:
        """Read the rows of a run.

        Raises
        ------
        UsageError
            When none are kept: the run judged nothing, is of another installation, or is too old.
        """
        file = _file(paths, run_id)
        if not file.exists():
            raise UsageError(
                f"no test rows of run {run_id} are kept in {file.parent}: name a run of one model "
                "(python -m ml runs), or train again with FORCE=1"
            )
        rows = pq.read_table(file)
        said = {name.decode(): value.decode() for name, value in rows.schema.metadata.items()}
        return cls(
            cut=date.fromisoformat(said["cut"]),
            horizon_days=int(said["horizon_days"]),
            users=np.array(rows["user_key"].to_pylist(), dtype=object),
            is_high_value=rows["is_high_value"].to_numpy(),
            scores=rows["score"].to_numpy(),
        )

    def as_frame(self) -> pd.DataFrame:
        """Return the rows by user_key."""
        return pd.DataFrame(
            {"is_high_value": self.is_high_value, "score": self.scores}, index=pd.Index(self.users)
        )


def _file(paths: ShopPaths, run_id: str) -> Path:
    return paths.models / "judged" / f"{run_id}.parquet"


def _written(file: Path) -> int:
    return file.stat().st_mtime_ns
