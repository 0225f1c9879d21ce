"""A week in which people act as others do is told; a week like those before is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from ml.configs import ClusterConfig, DriftConfig
from ml.encoder.tokens import Sequences
from ml.segments import drift
from ml.warehouse import Cut

USERS, WEEKS, VISITS = 400, 8, 3
CLUSTERS = ClusterConfig(smallest_k=2, largest_k=2, seeds=(11, 12))
WAYS = np.array([["search", "view", "cart"], ["view", "search", "view"]], dtype=object)
DAY = 86_400


def shop(changed: float, users: int = USERS, louder: bool = False) -> Cut:
    """Return users of two ways, with some who go the other way in the newest week.

    Everybody comes three times a week and is seen last half a day before the cut; ``louder`` users come
    three times as often in the newest week.
    """
    random = np.random.default_rng(4)
    way = random.integers(0, 2, users)
    sizes, kinds, gaps, hours = [], [], [], []
    for user in range(users):
        turns = user < changed * users
        visits = [VISITS] * (WEEKS - 1) + [VISITS * (3 if louder else 1)]
        said = 0
        for week, count in enumerate(visits):
            now = way[user] ^ (turns and week == WEEKS - 1)
            for _ in range(count):
                # One visit in five is anybody's.
                shown = now if random.random() > 0.2 else random.integers(0, 2)
                kinds += WAYS[shown].tolist()
                gaps += [7 * DAY // count - 60, 30, 30]
                hours += [int(random.integers(168))] * 3
                said += 3
        sizes.append(said)
    count = len(kinds)
    sequences = Sequences(
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        texts=["mug"],
        text=np.zeros(count, dtype=np.int64),
        event_type=np.array(kinds, dtype=object),
        channel=np.full(count, "web", dtype=object),
        gap_seconds=np.array(gaps),
        hour_of_week=np.array(hours),
        amount=np.zeros(count),
        quantity=np.zeros(count),
    )
    features = pd.DataFrame({"recency_days": np.zeros(users)})
    names = np.array([f"user {number}" for number in range(users)], dtype=object)
    return Cut(date(2026, 6, 30), names, sequences, features, None)


def ask(cut: Cut) -> drift.Drift | None:
    return drift.ask(cut, 2, CLUSTERS, DriftConfig())


def test_quiet_weeks_announce_nothing() -> None:
    told = ask(shop(changed=0))
    assert told is not None and not told.is_announced
    assert told.users == USERS
    assert abs(told.share - told.usual) < 0.05
    assert told.more.low < 0 < told.more.high


def test_users_who_act_as_others_do_are_counted_and_announced() -> None:
    told = ask(shop(changed=0.3))
    assert told is not None and told.is_announced
    # A stranger is of either way, so half of the strangers do as the changed used to.
    assert told.more.value > 0.2
    assert f"of the {USERS} users seen in the last 7 days acted as others do" in told.words.en


def test_coming_more_often_is_no_change_of_ways() -> None:
    told = ask(shop(changed=0, louder=True))
    assert told is not None and not told.is_announced


def test_too_few_to_tell_are_told_nothing_of() -> None:
    assert ask(shop(changed=0.3, users=60)) is None
    seen_long_ago = shop(changed=0)
    quiet = replace(seen_long_ago, features=seen_long_ago.features.assign(recency_days=30))
    assert ask(quiet) is None


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_share_of_strangers_is_found_where_the_odds_are_clear(share: float) -> None:
    odds = np.where(np.arange(1000) < 1000 * share, 20.0, -20.0)
    assert drift.strangers(odds) == pytest.approx(share, abs=0.002)
