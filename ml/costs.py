"""What a model costs, in CPU-seconds: once to fit, and each day to score."""

from __future__ import annotations

from dataclasses import dataclass

COST_ORDER = ("rfm_rank", "rfm_logistic", "lightgbm", "bert")
"""The models that may serve, cheapest first: each step up must be earned."""


@dataclass(frozen=True)
class Cost:
    """CPU-seconds of fitting a model, and of scoring some users with it."""

    fit_cpu_seconds: float
    score_cpu_seconds: float
    scored_users: int

    @property
    def per_1000_users(self) -> float:
        """Return the CPU-seconds of scoring a thousand users; fitting is left out.

        >>> Cost(fit_cpu_seconds=60.0, score_cpu_seconds=3.0, scored_users=1500).per_1000_users
        2.0
        """
        return 1000 * self.score_cpu_seconds / max(1, self.scored_users)
