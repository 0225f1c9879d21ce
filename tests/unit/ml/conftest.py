"""A small world for ml: a snapshot with planted groups, a config that trains in seconds, no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml import tracking
from ml.configs import ClusterConfig, Config, GateConfig, NetworkConfig, TrainingConfig

QUICK = Config(
    network=NetworkConfig(hidden_size=32, heads=2, intermediate_size=64, join_size=16),
    training=TrainingConfig(steps=40, evaluate_every=10, threads=1),
    clusters=ClusterConfig(smallest_k=2, largest_k=4, seeds=(11, 12), sample=300),
    gate=GateConfig(resamples=500),
)


@contextmanager
def fresh_tracking() -> Iterator[None]:
    """Forget the store of the test before."""
    for remembered in (tracking.client, tracking._experiment):
        remembered.cache_clear()
    yield
    for remembered in (tracking.client, tracking._experiment):
        remembered.cache_clear()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a test its own data folder and its own MLflow store."""
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("FORCE", raising=False)
    with fresh_tracking():
        yield tmp_path
