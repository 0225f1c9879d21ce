"""What a model costs, in CPU-seconds and in memory: once to fit, and each day to score."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

COST_ORDER = ("rfm_rank", "rfm_logistic", "lightgbm", "bert")
"""The models that may serve, cheapest first: each step up must be earned."""

_highest_mb = 0.0
"""The most that was held before the count was last started anew."""
_earlier_seconds = 0.0
"""What others spent on the fits that this process went on from."""


@dataclass
class Spent:
    """What a piece of work took: CPU-seconds, and the most megabytes that the process held meanwhile."""

    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0


def cpu_seconds() -> float:
    """Return the CPU-seconds of this process, and of those before it whose fits it goes on from."""
    return time.process_time() + _earlier_seconds


def take_over(seconds: float) -> None:
    """Count CPU-seconds that an earlier process spent on the work at hand."""
    global _earlier_seconds
    _earlier_seconds += seconds


@contextmanager
def metered() -> Iterator[Spent]:
    """Measure the work of the block; all that the process holds anyway is in its peak.

    Where the system can't start its count of memory anew (Linux can), the peak is the process's so far.
    """
    global _highest_mb
    spent, started = Spent(), cpu_seconds()
    _highest_mb = peak_memory_mb()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    try:
        yield spent
    finally:
        spent.cpu_seconds = cpu_seconds() - started
        spent.peak_memory_mb = _counted_mb()


def peak_memory_mb() -> float:
    """Return the most memory that this process ever held, in megabytes."""
    return max(_highest_mb, _counted_mb())


def _counted_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(frozen=True)
class Cost:
    """What fitting a model took, and scoring some users with it."""

    fit: Spent
    score: Spent
    scored_users: int

    @property
    def cpu_seconds(self) -> float:
        """Return the CPU-seconds of both."""
        return self.fit.cpu_seconds + self.score.cpu_seconds

    @property
    def peak_memory_mb(self) -> float:
        """Return the most megabytes that the process held in either."""
        return max(self.fit.peak_memory_mb, self.score.peak_memory_mb)

    @property
    def per_1000_users(self) -> float:
        """Return the CPU-seconds of scoring a thousand users; fitting is left out.

        >>> Cost(fit=Spent(60.0), score=Spent(3.0), scored_users=1500).per_1000_users
        2.0
        """
        return 1000 * self.score.cpu_seconds / max(1, self.scored_users)
