"""The code behind every registered model: MLflow runs this file and calls ``predict``.

It lies in the model's folder beside a sealed package, so the model answers in a process
that has never seen this checkout. MLflow unpickles nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class Served(PythonModel):
    """One row per user in (lists of events and plain features), one row per user out."""

    def load_context(self, context: Any) -> None:
        """Check the seal of the package and read it."""
        from ml.high_value import HighValue
        from ml.segments.behaviour import BehaviourSegments

        folder = Path(context.artifacts["package"])
        kind = BehaviourSegments if (folder / "behaviour.json").is_file() else HighValue
        self.model = kind.load(folder, None)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return ``score`` and ``tier``, or ``segment_code`` and ``distance``."""
        from ml.encoder.tokens import LISTS, Sequences
        from ml.high_value import HighValue
        from ml.warehouse import Cut

        cut = Cut(
            as_of_date=self.model.known_through,
            users=model_input.index.astype(str).to_numpy(dtype=object),
            sequences=Sequences.from_arrow(
                pa.Table.from_pandas(model_input[list(LISTS)], preserve_index=False)
            ),
            features=model_input.drop(columns=list(LISTS)),
            outcomes=None,
        )
        if isinstance(self.model, HighValue):
            scores = self.model.probabilities(cut)
            return pd.DataFrame({"score": scores, "tier": self.model.tiers.of(scores)})
        placed, _, _ = self.model.place(cut)
        return pd.DataFrame({"segment_code": placed.code, "distance": placed.distance})


set_model(Served())
