"""Who changes is placed by what came after, who does not by all: visits of two ways, some users turning."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from ml.configs import ClusterConfig, Config
from ml.encoder.tokens import Sequences
from ml.packages import read_json, write_json
from ml.segment_trials import _Month
from ml.segments import latent_classes, memory
from ml.segments.behaviour import BehaviourSegments
from ml.segments.habits import Habits
from ml.segments.latent_classes import LatentClasses, Memory
from ml.segments.memory import EVEN, Visits
from ml.warehouse import Cut, Day
from warehouse.horizon import Trial

CONFIG = ClusterConfig(smallest_k=2, largest_k=2, seeds=(11, 12), false_breaks=0.02)
USERS, VISITS, SINCE, TURNED = 300, 9, 4, 30
"""Of 300 users who come nine times, the first 30 go the other way in their last four visits."""
WAYS = (["search", "view", "cart"], ["view", "search", "view"])


def sequences(*users: list[int]) -> Sequences:
    """Return users of whom each visit goes a way: 0 searches first, 1 views first; three events a visit."""
    kinds = [kind for user in users for way in user for kind in WAYS[way]]
    count = len(kinds)
    return Sequences(
        offsets=np.cumsum([0, *(3 * len(user) for user in users)]),
        texts=["mug"],
        text=np.zeros(count, dtype=np.int64),
        event_type=np.array(kinds, dtype=object),
        channel=np.full(count, "web", dtype=object),
        gap_seconds=np.tile([90_000, 60, 60], count // 3),
        hour_of_week=np.repeat(np.random.default_rng(1).integers(0, 168, count // 3), 3),
        amount=np.zeros(count),
        quantity=np.zeros(count),
        keys=np.array([f"{number:032}" for number in range(len(users))], dtype="S32"),
    )


@pytest.fixture
def shop() -> tuple[LatentClasses, Sequences, np.ndarray]:
    """Return classes that learned when to forget, everybody's events, and how everybody began."""
    random = np.random.default_rng(5)
    way = random.integers(0, 2, USERS)
    goes = np.repeat(way[:, None], VISITS, axis=1)
    goes[:TURNED, -SINCE:] = 1 - way[:TURNED, None]
    goes ^= random.random(goes.shape) < 0.1  # one visit in ten goes the other way
    told = sequences(*goes.tolist())
    habits = Habits.fit(told, CONFIG.evidence)
    classes, _ = latent_classes.fit(habits, habits.of(told), CONFIG)
    return replace(classes, memory=memory.learned(classes, told, CONFIG)), told, way


def _visits_remembered(classes: LatentClasses, told: Sequences) -> np.ndarray:
    """Return with how many visits each user is placed: the times that a visit began on some day."""
    plain = replace(classes, habits=Habits(classes.habits.kinds, 0.0))
    days = classes.habits.words().index("comes on Mondays")
    return memory.recalled(plain, told)[:, days : days + 7].sum(axis=1)


def test_who_turned_is_placed_by_what_came_after_and_who_did_not_by_all(
    shop: tuple[LatentClasses, Sequences, np.ndarray],
) -> None:
    classes, told, way = shop
    now = np.where(np.arange(USERS) < TURNED, 1 - way, way)
    forgetful = classes.labels(memory.recalled(classes, told))
    whole = classes.labels(classes.habits.of(told))
    side = classes.labels(classes.habits.of(sequences([0] * 9)))[0]  # the class of those who search first
    is_right, was_right = (labels == np.where(now == 0, side, 1 - side) for labels in (forgetful, whole))
    assert was_right[:TURNED].mean() < 0.4
    assert is_right[:TURNED].mean() > 0.7
    assert was_right[TURNED:].mean() - is_right[TURNED:].mean() <= 2 * CONFIG.false_breaks


def test_a_break_is_found_at_the_visit_where_it_was(
    shop: tuple[LatentClasses, Sequences, np.ndarray],
) -> None:
    classes, _, _ = shop
    turned, steady, once = [0] * 5 + [1] * 4, [0] * 9, [1]
    assert _visits_remembered(classes, sequences(turned, steady, once)).tolist() == [4, 9, 1]
    assert _visits_remembered(replace(classes, memory=Memory()), sequences(turned)).tolist() == [9]


def test_what_is_remembered_is_counted_as_any_history_is(
    shop: tuple[LatentClasses, Sequences, np.ndarray],
) -> None:
    classes, _, _ = shop
    counts = memory.recalled(classes, sequences([0] * 5 + [1] * 4))[0]
    # Four pauses before visits, each of the same length: n / (1 + evidence n), not their part in nine.
    pauses = [word.startswith("comes back") for word in classes.habits.words()]
    assert counts[pauses].sum() == pytest.approx(4 / (1 + CONFIG.evidence * 4))


def test_parts_are_split_at_visits_with_enough_events_behind() -> None:
    told = sequences([0, 1, 1], [1, 0])
    visits = Visits.of(Habits.fit(told, 0.05), told)
    assert visits.events.tolist() == [3] * 5
    assert visits.may_split(3).tolist() == [False, True, True, False, True]
    assert visits.may_split(4).tolist() == [False, True, False, False, False]
    assert (visits.newer + visits.older == visits.newer[visits.first][visits.owner]).all()
    assert (visits.newer[[2, 4]] == visits.counts[[2, 4]]).all()
    assert not visits.older[visits.first].any()


def test_shuffled_visits_stay_with_their_users_and_move_within() -> None:
    told = sequences([0] * 6 + [1] * 6, [0] * 12)
    visits = Visits.of(Habits.fit(told, 0.05), told)
    shuffled = visits.shuffled(1)
    assert (shuffled.newer[shuffled.first] == visits.newer[visits.first]).all()
    assert (shuffled.counts[:12] != visits.counts[:12]).any()


def test_chance_makes_no_more_users_forget_than_are_allowed(
    shop: tuple[LatentClasses, Sequences, np.ndarray],
) -> None:
    classes, told, _ = shop
    visits = Visits.of(classes.habits, told)
    for share in (0.0, 0.02, 0.04):
        odds = memory.learned(classes, told, CONFIG.model_copy(update={"false_breaks": share})).odds
        forgets = [
            memory._needed(classes, visits.shuffled(seed), CONFIG.newer_events)[0] < odds
            for seed in range(memory.SHUFFLES)
        ]
        assert share / 2 <= np.mean(forgets) <= share  # users who did the like need the same odds


def test_where_no_shuffle_breaks_a_change_is_at_most_as_likely_as_none(
    shop: tuple[LatentClasses, Sequences, np.ndarray],
) -> None:
    classes, _, _ = shop
    for told in (sequences([0], [1]), sequences([0] * 9, [1] * 9)):
        assert memory.learned(classes, told, CONFIG) == Memory(EVEN, CONFIG.newer_events)


def test_neither_other_users_nor_their_order_nor_threads_change_what_one_remembers(
    shop: tuple[LatentClasses, Sequences, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    classes, told, _ = shop
    counts = memory.recalled(classes, told)
    assert (counts != classes.habits.of(told)).any()
    order = np.random.default_rng(0).permutation(USERS)
    monkeypatch.setattr(memory, "AT_ONCE", 7)
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            assert (memory.recalled(classes, told.only(order)) == counts[order]).all()
            assert (memory.recalled(classes, told.only(order[:11])) == counts[order[:11]]).all()
            assert memory.learned(classes, told.only(order), CONFIG) == classes.memory


def test_users_without_events_remember_nothing(shop: tuple[LatentClasses, Sequences, np.ndarray]) -> None:
    classes, _, _ = shop
    assert memory.recalled(classes, sequences([], [0] * 5 + [1] * 4, [])).any(axis=1).tolist() == [
        False,
        True,
        False,
    ]


def test_memory_is_saved_with_the_classes_and_makes_them_others(
    shop: tuple[LatentClasses, Sequences, np.ndarray], tmp_path: Path
) -> None:
    classes, _, _ = shop
    classes.save(tmp_path)
    assert LatentClasses.load(tmp_path).memory == classes.memory != Memory()
    assert classes.named(("a", "b")).memory == classes.memory
    assert replace(classes, memory=Memory()).digest != classes.digest
    # A package of an earlier release.
    told = read_json(tmp_path / "classes.json")
    del told["memory"]
    write_json(tmp_path / "classes.json", told)
    assert LatentClasses.load(tmp_path).memory == Memory()


def test_a_user_who_forgot_is_scored_and_explained_by_the_newer_part_and_found_again(
    shop: tuple[LatentClasses, Sequences, np.ndarray], tmp_path: Path
) -> None:
    classes, told, _ = shop
    classifier = SimpleNamespace(encoder=SimpleNamespace(folder=tmp_path))
    made = BehaviourSegments(classifier, classes.named(("a", "b")), {}, date(2026, 3, 1))
    placed = made._placed(made.clusters, told)
    by_points = made.clusters.place(made.vectors(Day(date(2026, 3, 1), np.arange(USERS), told, None)))
    assert (placed.code == by_points.code).all() and (placed.distance == by_points.distance).all()
    counts = memory.recalled(classes, told)
    assert all(
        counts[user, reason] > 0 for user, row in enumerate(placed.reasons) for reason in row[row >= 0]
    )
    told_why = made.told(placed)
    assert [language for language in told_why if told_why[language].shape == (USERS, 3)] == ["en", "zh"]
    assert ((told_why["en"] == "") == (placed.reasons < 0)).all()
    again = made._placed(made.clusters, told)
    assert (again.code == placed.code).all() and (again.reasons == placed.reasons).all()


def _month(told: Sequences, features: pd.DataFrame, config: ClusterConfig) -> _Month:
    """Return a month of which nothing is known but what users did before it."""
    day = date(2026, 3, 1)
    cut = Cut(day, np.arange(len(told)).astype(object), told, features, None)
    settings = Config(clusters=config)
    return _Month(Trial(day, 30, day, day, "choose"), settings, cut, cut, pd.DataFrame(), Path())


def test_segments_are_judged_by_what_users_still_do(
    shop: tuple[LatentClasses, Sequences, np.ndarray],
) -> None:
    classes, told, way = shop
    month = _month(told, pd.DataFrame({"order_count": way}), CONFIG)
    everybody = np.arange(USERS)
    judged = month._classed(2)(everybody)(np.arange(3 * USERS))
    served = [classes.labels(memory.recalled(classes, part)) for part in (told, *told.halves())]
    assert (judged == np.concatenate(served)).all()
    assert (judged[:TURNED] != classes.labels(classes.habits.of(told))[:TURNED]).mean() > 0.3


def test_as_many_segments_are_judged_as_can_be_told_apart() -> None:
    """Who goes either way in turn lies between the others in what sets them apart; the rest lends names."""
    told = sequences(*[[0] * 9] * 100, *[[1] * 9] * 100, *[[0, 1] * 4] * 100)
    features = pd.DataFrame({"order_count": np.repeat([0.0, 2.0, 1.0], 100)})
    drawn = np.random.default_rng(7).random((300, 2))
    features = features.assign(night_share=drawn[:, 0], weekend_share=drawn[:, 1])
    for least, k in ((0.1, 3), (0.3, 2)):
        how = {"largest_k": 3, "stability_slack": 1.0, "min_difference": least}
        assert _month(told, features, CONFIG.model_copy(update=how))._chosen(np.arange(300)) == k
