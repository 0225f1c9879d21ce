"""The recovery benchmark joins the truth by pseudonym and tells a found partition from an empty one."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from benchmarks import recovery
from cli import ShoalError
from landing import simulate

SECRET = bytes(range(32))
AS_OF = date(2025, 3, 25)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish the planted groups themselves as ``behaviour`` and one group for all as ``value``."""
    root = tmp_path_factory.mktemp("data") / "simulated"
    parameters = simulate.Parameters(users=300, days=84, order_signal=1.0)
    simulate.simulate(parameters, root / "drops", root / "truth")
    people = pd.read_parquet(root / "truth" / "users.parquet").dropna(subset=["customer_id"])
    people["user_key"] = [
        hmac.new(SECRET, f"customer:{each}".encode(), hashlib.sha256).hexdigest()
        for each in people["customer_id"]
    ]
    for folder in ("secrets", "serving/current", f"snapshots/latest-{AS_OF}"):
        (root / folder).mkdir(parents=True)
    (root / "secrets" / "pseudonym.key").write_bytes(SECRET)
    _publish(people, root / "serving" / "current" / "shoal.duckdb")
    _snapshot(people, root / "snapshots" / f"latest-{AS_OF}")
    return root


def _publish(people: pd.DataFrame, path: Path) -> None:
    schemes = {"behaviour": people["group_after"], "value": "medium", "rfm": people["language"]}
    rows = pd.concat(
        [
            pd.DataFrame(
                {"user_key": people["user_key"], "scheme": name, "segment_code": codes, "as_of_date": AS_OF}
            )
            for name, codes in schemes.items()
        ]
    )
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema bi")
        connection.register("rows", rows)
        connection.execute("create table bi.user_segment_current as select * from rows")


def _snapshot(people: pd.DataFrame, folder: Path) -> None:
    """Features that know nothing, and sequences in which researchers search before they view."""
    random = np.random.default_rng(1)
    features = pd.DataFrame({"user_key": people["user_key"], "as_of_date": AS_OF, "top_category": "home"})
    for name in recovery.RFM:
        features[name] = random.random(len(people))
    features.to_parquet(folder / "fct_user_features.parquet", index=False)
    first = np.where(people["group_after"] == "researchers", "search", "view")
    sequences = pd.DataFrame(
        {
            "user_key": people["user_key"],
            "as_of_date": AS_OF,
            "event_types": [[each, "cart", each] for each in first],
            "hours_of_week": [[9, 9, 9]] * len(people),
            "gap_seconds": [[0, 60, 60]] * len(people),
        }
    )
    sequences.to_parquet(folder / "fct_user_sequences.parquet", index=False)


def test_found_groups_score_one_and_others_nothing(root: Path) -> None:
    scores = {each.partition: each for each in recovery.judge(recovery.read(root))}
    assert scores["scheme behaviour"].ari == 1.0
    assert scores["scheme value"].ari == 0.0
    assert abs(scores["scheme rfm"].ari) < 0.1
    assert abs(scores["ceiling: forest on features"].ari) < 0.1
    by_order = scores["ceiling: forest on features and order"]
    assert by_order.ari > 0.1
    assert by_order.ari_low <= by_order.ari <= by_order.ari_high


def test_share_of_the_gap_is_paired_over_users_and_shops() -> None:
    def agreed(name: str, value: float) -> recovery.Agreement:
        wobble = np.linspace(-0.05, 0.05, recovery.RESAMPLES)
        return recovery.Agreement(name, 100, 4, value, 0.0, 1.0, 0.0, value + wobble)

    def shop(ours: float) -> list[recovery.Agreement]:
        return [
            agreed(recovery.SERVED, ours),
            agreed("k-means on one thing", 0.1),
            agreed("k-means on another", 0.05),
            agreed("ceiling: told", 0.5),
        ]

    # Users move all of them alike, so that they don't move the gaps.
    assert "from k-means on one thing (0.100) to ceiling: told (0.500)" in recovery.closed([shop(0.3)])
    assert recovery.closed([shop(0.3)]).endswith("closes 50% [50%, 50%]")
    assert recovery.closed([shop(0.2), shop(0.4)]).endswith("closes 50% [25%, 75%]")
    assert recovery.closed([shop(0.3)[1:]]) == "a shop has no behaviour scheme"


def test_order_shares_of_each_kind_sum_to_one(root: Path) -> None:
    order = recovery.read(root).order
    assert np.isclose(order.filter(like="after_").sum(axis=1), 1).all()
    assert np.isclose(order.filter(like="hour_").sum(axis=1), 1).all()


def test_group_in_force_changes_with_the_drift(root: Path) -> None:
    people = pd.read_parquet(root / "truth" / "users.parquet").dropna(subset=["customer_id"])
    key = root / "secrets" / "pseudonym.key"
    before, after = (recovery.planted(root / "truth", key, drifted) for drifted in (False, True))
    assert (before != after).sum() == people["drifts"].sum() > 0


def test_folder_without_a_published_version_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShoalError, match=r"shoal\.duckdb is missing"):
        recovery.read(tmp_path / "simulated")
