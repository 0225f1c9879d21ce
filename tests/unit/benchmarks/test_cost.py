"""Costs are those of the command alone."""

from __future__ import annotations

import pytest

from benchmarks import cost
from cli import ShoalError


def test_failing_command_is_told_with_what_it_said() -> None:
    with pytest.raises(ShoalError, match=r"`-m landing nonsense` failed(?s:.*)invalid choice"):
        cost.run("landing", "nonsense")


def test_memory_of_who_measures_is_not_counted() -> None:
    big = bytearray(700_000_000)
    for place in range(0, len(big), 4096):
        big[place] = 1
    del big
    said = cost.run("landing", "--help")
    assert 0 < said.cpu_seconds < 60
    assert 0 < said.peak_gigabytes < 0.5
