"""The study of order tells a model that reads it from one that does not, and knows the planted groups."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from benchmarks import order_signal
from benchmarks.recovery import planted
from landing import simulate
from ml.configs import Config
from ml.evaluation.judge import Court
from ml.warehouse import Cut

RANDOM = np.random.default_rng(3)
USERS = 1500


def court(noise: dict[str, float]) -> Court:
    """Score users by the truth and so much noise; a model that is not named has 1."""
    truth = RANDOM.random(USERS) < 0.2
    scores = {
        name: (truth + RANDOM.normal(0, noise.get(name, 1.0), USERS))[None] for name in order_signal.MODELS
    }
    return Court(np.array([f"{RANDOM.random()}" for _ in truth], dtype=object), truth, scores)


def test_gap_and_choice_follow_who_reads_order() -> None:
    reads = [court({"bert_features": 0.4, "ceiling": 0.3}) for _ in range(2)]
    found = order_signal.gaps(reads, Config())
    assert found["bert_features", "order shuffled"].low > 0
    assert found["ceiling", "lightgbm_order"].value > found["bert_features", "lightgbm_order"].value
    assert order_signal.served(reads[0], Config()) == "bert"
    blind = [court({"lightgbm": 0.4, "lightgbm_order": 0.4}) for _ in range(2)]
    assert order_signal.gaps(blind, Config())["bert_features", "lightgbm"].high < 0
    assert order_signal.served(blind[0], Config()) == "lightgbm"


def test_users_are_told_their_planted_group(data_dir: Path) -> None:
    shop = order_signal.Shop(seed=5, order_signal=1.0, users=200, days=56)
    root = shop.paths.root
    simulate.simulate(simulate.Parameters(users=200, days=56, seed=5), root / "drops", root / "truth")
    root.joinpath("secrets").mkdir()
    key = root / "secrets" / "pseudonym.key"
    key.write_bytes(bytes(range(32)))
    groups = planted(root / "truth", key, after_drift=False)
    users = np.array([*groups.index[:150], "a device"], dtype=object)
    cut = cast(Cut, type("OfUsers", (), {"users": users}))
    assert shop.group(cut).tolist() == [*groups.iloc[:150], "unknown"]
    features = pd.DataFrame({"order_count": np.arange(len(users))}, index=users)
    told = order_signal._told(cast(Cut, type("Of", (), {"users": users, "features": features})), shop)
    assert (told.filter(like="group_").sum(axis=1) == 1).all()
    assert told["group_unknown"].tolist() == [0.0] * 150 + [1.0]
