"""What a model costs is its own: neither what came before it nor what came beside it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ml.costs import Cost, Spent, metered, peak_memory_mb

MEGABYTES = 300


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux starts its count of memory anew")
def test_peak_memory_is_that_of_the_block() -> None:
    held = np.ones(MEGABYTES * 2**17)
    del held
    before = peak_memory_mb()
    with metered() as little:
        pass
    with metered() as much:
        held = np.ones(MEGABYTES * 2**17)
        del held
    assert little.peak_memory_mb < before - MEGABYTES / 2
    assert much.peak_memory_mb > little.peak_memory_mb + 0.9 * MEGABYTES
    assert peak_memory_mb() >= before  # the process's own is not forgotten


def test_cost_of_a_model_is_its_larger_peak_and_both_times() -> None:
    cost = Cost(fit=Spent(2.0, 500.0), score=Spent(1.0, 700.0), scored_users=100)
    assert (cost.cpu_seconds, cost.peak_memory_mb) == (3.0, 700.0)
