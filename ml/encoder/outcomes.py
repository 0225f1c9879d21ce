"""What came true: the labels of a cut, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Outcomes:
    """What users did in the horizon after a cut: (users,) arrays."""

    is_high_value: NDArray[np.bool_]
    is_buyer: NDArray[np.bool_]
    net_revenue: NDArray[np.float64]
    is_treated: NDArray[np.bool_]
    """Contacted by a campaign in the horizon: what they did they may have done because of it."""

    def only(self, rows: NDArray[np.int64]) -> Outcomes:
        """Return what some of the users did."""
        return Outcomes(
            self.is_high_value[rows], self.is_buyer[rows], self.net_revenue[rows], self.is_treated[rows]
        )

    def as_targets(self) -> Floats:
        """Return (users, 3): high value, buys, log net revenue in standard units (below 0 counts as 0)."""
        revenue = np.log1p(np.maximum(self.net_revenue, 0.0))
        standard = (revenue - revenue.mean()) / max(float(revenue.std()), 1e-9)
        return np.stack([self.is_high_value, self.is_buyer, standard], axis=1).astype(np.float32)
