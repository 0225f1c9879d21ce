"""Latent classes: habits are counted as said, and classes find who shares them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import adjusted_rand_score

from cli import ShoalError
from ml.configs import ClusterConfig, StabilityConfig
from ml.encoder.tokens import Sequences
from ml.segments import latent_classes, memory
from ml.segments.behaviour import fit_classes
from ml.segments.habits import DAYS, HOURS, PAUSES, PIECES, PRICES, VISIT_GAP_SECONDS, Habits
from ml.segments.latent_classes import LatentClasses
from ml.segments.stability import bootstrap_jaccard, labels_at
from tests.chinese import english_left
from warehouse import dbt

CONFIG = ClusterConfig(smallest_k=2, largest_k=4, seeds=(11, 12, 13))
USERS = 240


def sequences(*users: list[tuple[str, int, int, float, float]]) -> Sequences:
    """Return users from (kind, gap in seconds, hour of the week, amount, pieces) of each event."""
    flat = [event for user in users for event in user]
    kind, gap, hour, amount, quantity = (np.array(column) for column in zip(*flat, strict=True))
    return Sequences(
        offsets=np.cumsum([0, *map(len, users)]),
        texts=["mug"],
        text=np.zeros(len(flat), dtype=np.int64),
        event_type=kind.astype(object),
        channel=np.full(len(flat), "web", dtype=object),
        gap_seconds=gap,
        hour_of_week=hour,
        amount=amount.astype(float),
        quantity=quantity.astype(float),
    )


def people(random: np.random.Generator) -> tuple[Sequences, np.ndarray]:
    """Return users who do as much as each other and differ in what follows what, and how many events."""
    truth = random.integers(0, 2, USERS)
    steps = {0: ["search", "view", "cart"], 1: ["view", "search", "view"]}
    users = []
    for group in truth:
        visits = int(random.integers(2, 12))
        users.append(
            [
                (step, 60 if place else 90_000, int(random.integers(168)), 0.0, 0.0)
                for _ in range(visits)
                for place, step in enumerate(steps[int(group)])
            ]
        )
    return sequences(*users), truth


MOSTLY = 0.9
FOUR = ClusterConfig(smallest_k=2, largest_k=6)


def four_kinds(random: np.random.Generator) -> tuple[Sequences, np.ndarray]:
    """Return users of four groups, mostly told apart by what follows what and by who comes at night."""
    truth = random.integers(0, 4, 2 * USERS)
    steps = (["search", "view", "cart"], ["view", "search", "view"])
    users = []
    for group in truth.tolist():
        hours = (0, 1, 2, 3, 13) if group // 2 else (12, 13, 14, 15, 1)
        users.append(
            [
                (step, 60 if place else 90_000, 24 * int(random.integers(7)) + hour, 0.0, 0.0)
                for hour in random.choice(hours, int(random.integers(3, 9)))
                for place, step in enumerate(steps[(group if random.random() < MOSTLY else group + 1) % 2])
            ]
        )
    return sequences(*users), truth


@pytest.fixture
def planted() -> tuple[Habits, np.ndarray, np.ndarray]:
    told, truth = people(np.random.default_rng(3))
    habits = Habits.fit(told, 0.05)
    return habits, habits.of(told), truth


def test_habits_are_counted_question_by_question() -> None:
    # A visit on Tuesday at ten, two events; the next after a day, a purchase of four pieces for 20.
    user = [("view", 0, 34, 0.0, 0.0), ("cart", 70, 34, 0.0, 0.0), ("purchase", 86_400, 58, 20.0, 4.0)]
    habits = Habits.fit(sequences(user), 0.0)
    assert habits.kinds == ("", "cart", "purchase", "view")
    blocks = np.split(habits.of(sequences(user))[0], habits.sizes.cumsum()[:-1])
    follows, (opens, inside, between, hours, days, pieces, prices) = blocks[:4], blocks[4:]
    assert [block.sum() for block in follows] == [0, 0, 0, 1]
    assert follows[3][2 * 1 + 1] == 1  # a cart after a view, of the same words
    assert opens.tolist() == [0, 0, 1, 1]
    assert (inside.argmax(), inside.sum()) == (6, 1)  # 64 to 127 seconds
    assert (between.argmax(), between.sum()) == (16, 1)  # 65,536 to 131,071 seconds
    assert (len(inside), len(between)) == (PAUSES, PAUSES)
    assert hours[10] == 2 and hours.sum() == 2 and len(hours) == HOURS
    assert days[1] == 1 and days[2] == 1 and len(days) == DAYS
    assert pieces[2] == 1 and pieces.sum() == 1 and len(pieces) == PIECES
    assert prices[2 + 2] == 1 and prices.sum() == 1 and len(prices) == PRICES  # five a piece: 4 to 7.99


def test_a_visit_is_what_the_warehouse_calls_one() -> None:
    declared = yaml.safe_load((dbt.PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    assert declared["vars"]["session_gap_minutes"] * 60 == VISIT_GAP_SECONDS


def test_half_an_hour_is_one_visit_and_a_second_more_is_two() -> None:
    def visits(gap: int) -> float:
        told = sequences([("view", 0, 0, 0.0, 0.0), ("view", gap, 0, 0.0, 0.0)])
        habits = Habits.fit(told, 0.0)
        return float(np.split(habits.of(told)[0], habits.sizes.cumsum()[:-1])[len(habits.kinds)].sum())

    assert (visits(1800), visits(1801)) == (1, 2)


def test_much_of_the_same_counts_less_and_what_is_new_counts_as_other() -> None:
    often = sequences([("view", 90_000, 0, 0.0, 0.0)] * 100)
    few, many = Habits.fit(often, 0.05), Habits.fit(often, 0.0)
    assert many.of(often).max() == 100
    assert few.of(often).max() == pytest.approx(100 / (1 + 0.05 * 100))
    unknown = many.of(sequences([("zoom", 0, 0, 0.0, 0.0), ("a", 0, 0, 0.0, 0.0)]))
    assert unknown.shape[1] == many.of(often).shape[1]
    assert unknown[0, : 2 * 2].sum() == 1  # it follows another unknown one


def test_habits_are_kept_while_new_kinds_are_rare() -> None:
    usual = [("view", 0, 0, 0.0, 0.0)] * 99
    habits = Habits.fit(sequences(usual), 0.05)
    assert habits.cover(sequences([*usual, ("zoom", 0, 0, 0.0, 0.0)]), 0.05)
    assert not habits.cover(sequences([*usual, *[("zoom", 0, 0, 0.0, 0.0)] * 2]), 0.05)
    assert not habits.cover(sequences(usual), 0.1)


def test_nobody_without_events_is_lost() -> None:
    told = sequences([("view", 0, 0, 0.0, 0.0)], [])
    counts = Habits.fit(told, 0.05).of(told)
    assert counts.shape[0] == 2 and counts[1].sum() == 0


def test_classes_find_who_differs_in_order_alone(planted: tuple[Habits, np.ndarray, np.ndarray]) -> None:
    habits, counts, truth = planted
    found, trials = latent_classes.fit(habits, counts, CONFIG.model_copy(update={"largest_k": 2}))
    assert adjusted_rand_score(truth, found.labels(counts)) == 1.0
    assert [trial.k for trial in trials if trial.is_chosen] == [2]
    stable = bootstrap_jaccard(found, counts, CONFIG, _stability())
    assert min(stable.values()) == 1.0


def test_every_k_tells_how_it_does_on_users_that_it_was_not_fitted_on(
    planted: tuple[Habits, np.ndarray, np.ndarray],
) -> None:
    habits, counts, truth = planted
    features = pd.DataFrame({"order_count": truth})
    found, trials = latent_classes.fit(habits, counts, CONFIG, features=features)
    two = trials[0]
    assert (two.bootstrap, two.difference) == (1.0, pytest.approx(_plainest(truth)))
    # Nearly what classes say of the users that they were fitted on.
    assert two.held_out == pytest.approx(found.explains(counts), abs=0.02)
    one, _ = found.again(counts, 1, 0)
    assert two.gain == pytest.approx(found.explains(counts) - one.explains(counts), abs=0.02)
    # Whoever asks for one k compares nothing.
    _, (only,) = latent_classes.fit(habits, counts, CONFIG.model_copy(update={"largest_k": 2}))
    assert (only.bootstrap, only.held_out, only.gain, only.difference) == (None,) * 4


def _plainest(truth: np.ndarray) -> float:
    return float(min(abs(truth[truth == group].mean() - truth.mean()) / truth.std() for group in (0, 1)))


def test_what_is_explained_is_told_per_answer() -> None:
    habits = Habits(("", "view"), 0.0)
    columns = int(habits.sizes.sum())
    half = LatentClasses(habits, np.full((columns, 2), np.log(0.5)), np.log([0.5, 0.5]), ("left", "right"))
    counts = np.zeros((2, columns))
    counts[0, 0], counts[1, :2] = 3, 1
    assert half.explains(counts) == pytest.approx((3 * np.log(0.5) + 2 * np.log(0.5)) / (3 + 2))
    assert half.explains(np.zeros((2, columns))) == 0.0


def test_neither_order_of_users_nor_of_codes_moves_anybody(
    planted: tuple[Habits, np.ndarray, np.ndarray],
) -> None:
    habits, counts, _ = planted
    order = np.random.default_rng(0).permutation(len(counts))
    one, _ = latent_classes.fit(habits, counts, CONFIG)
    other, _ = latent_classes.fit(habits, counts[order], CONFIG)
    codes = tuple(f"code_{number}" for number in range(len(one.shares)))
    assert (one.named(codes).place(counts).code[order] == other.named(codes).place(counts[order]).code).all()
    turned = one.named(codes[::-1]).named(codes)
    assert set(turned.codes) == set(codes)
    renamed = one.named(codes[::-1]).place(counts).code
    assert dict(zip(one.named(codes).place(counts).code, renamed, strict=True)).keys() == set(renamed)


def test_new_keys_of_all_users_change_neither_k_nor_anybodys_segment() -> None:
    told, truth = four_kinds(np.random.default_rng(5))
    features = pd.DataFrame({"order_count": truth % 2, "night_share": truth // 2})
    classes, trials = fit_classes(told, FOUR, features)
    placed = classes.labels(memory.recalled(classes, told))
    # Users lie in the order of their keys, and that is all that keys decide.
    order = np.random.default_rng(6).permutation(len(told))
    others = told.only(order)
    again, tried = fit_classes(others, FOUR, features.iloc[order])
    assert (again.labels(memory.recalled(again, others)) == placed[order]).all()
    assert again.memory == classes.memory
    assert [replace(trial, difference=None) for trial in tried] == [
        replace(trial, difference=None) for trial in trials
    ]


def test_k_is_that_of_the_planted_groups_whoever_is_left_out() -> None:
    # Two groups can be made of the four in two ways that are as good: which one a start finds is luck.
    told, truth = four_kinds(np.random.default_rng(5))
    habits = Habits.fit(told, 0.05)
    counts = habits.of(told)
    for seed in range(4):
        kept = np.random.default_rng(seed).permutation(len(told))[: round(0.95 * len(told))]
        found, trials = latent_classes.fit(habits, counts[kept], FOUR)
        assert [trial.k for trial in trials if trial.is_chosen] == [4]
        assert adjusted_rand_score(truth, found.labels(counts)) > 0.9


def test_placement_tells_the_chance_of_being_wrong() -> None:
    habits = Habits(("", "view"), 0.0)
    half = LatentClasses(
        habits, np.zeros((int(habits.sizes.sum()), 2)), np.log([0.5, 0.5]), ("left", "right")
    )
    placed = half.placement(np.array([[0.0, 0.0], [0.0, np.log(3)], [0.0, 900.0]]))
    assert placed.code.tolist() == ["left", "right", "right"]
    assert placed.runner_up.tolist() == ["right", "left", "left"]
    assert placed.distance == pytest.approx([0.5, 0.25, 0.0])
    assert placed.margin == pytest.approx([0.0, 2 / 3, 1.0])


def test_reasons_are_what_was_done_that_speaks_for_the_class_and_against_the_next() -> None:
    habits = Habits(("", "cart", "view"), 0.0)
    words = habits.words()
    assert len(words) == habits.sizes.sum()
    begins, evening = words.index("begins with view"), words.index("comes at 21:00")
    weights = np.zeros((len(words), 3))
    weights[begins, 1], weights[evening, 1], weights[evening, 2] = 2.0, 1.0, 0.5
    classes = LatentClasses(habits, weights, np.log(np.full(3, 1 / 3)), ("a", "b", "c"))
    counts = np.zeros((3, len(words)))
    counts[0, [begins, evening]] = 1, 10  # ten evenings lead by 5 over c, one beginning by 2
    counts[1, evening] = 1
    told = classes.told(classes.reasons(counts, classes.scores(counts)))
    assert told["en"].tolist() == [
        ["comes at 21:00", "begins with view", ""],
        ["comes at 21:00", "", ""],
        ["", "", ""],
    ]
    assert told["zh"][0].tolist() == ["21点来访", "以查看商品开始访问", ""]


def test_every_habit_has_words_in_both_languages_and_a_shops_own_event_its_code() -> None:
    habits = Habits(("", "cart", "gift_card"), 0.0)
    english, chinese = habits.words("en"), habits.words("zh")
    assert len(english) == len(chinese)
    assert len(set(english)) == len(set(chinese)) == len(set(zip(english, chinese, strict=True)))
    assert [text for text in chinese if english_left(text)] == []
    assert "以gift_card开始访问" in chinese


def test_saved_classes_place_as_before(
    planted: tuple[Habits, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    habits, counts, _ = planted
    found, _ = latent_classes.fit(habits, counts, CONFIG)
    found.save(tmp_path)
    loaded = LatentClasses.load(tmp_path)
    assert loaded.digest == found.digest and loaded.codes == found.codes
    assert (loaded.scores(counts) == found.scores(counts)).all()


def test_what_another_release_placed_is_not_taken_for_ones_own(
    planted: tuple[Habits, np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    habits, counts, _ = planted
    found, _ = latent_classes.fit(habits, counts, CONFIG)
    (tmp_path / "memory.py").write_text("# otherwise")
    before = found.digest
    monkeypatch.setattr(latent_classes, "SHAPING", [*latent_classes.SHAPING[:-1], tmp_path / "memory.py"])
    assert found.digest != before


def test_other_numbers_of_classes_are_found_in_the_same_habits(
    planted: tuple[Habits, np.ndarray, np.ndarray],
) -> None:
    habits, counts, truth = planted
    found, _ = latent_classes.fit(habits, counts, CONFIG.model_copy(update={"smallest_k": 3, "largest_k": 3}))
    assert adjusted_rand_score(truth, labels_at(found, counts, 2, CONFIG)) == 1.0


def test_classes_go_on_from_those_before_and_start_anew_where_one_is_emptied(
    planted: tuple[Habits, np.ndarray, np.ndarray],
) -> None:
    habits, counts, truth = planted
    two = CONFIG.model_copy(update={"largest_k": 2})
    before, _ = latent_classes.fit(habits, counts[::2], two)
    before = before.named(("left", "right"))
    moved, trials = latent_classes.fit(habits, counts, CONFIG, before)
    assert [trial.k for trial in trials] == [2, 3, 4]
    assert [trial.k for trial in trials if trial.is_chosen] == [2]
    # Numbers go with those of before, too: nobody has to be matched.
    assert (moved.labels(counts) == before.labels(counts)).all()
    alone = counts[truth == 0]
    anew, trials = latent_classes.fit(habits, alone, two, before)
    assert np.bincount(anew.labels(alone), minlength=2).min() > 0


def test_too_few_users_are_refused() -> None:
    told = sequences(*[[("view", 0, 0, 0.0, 0.0)]] * 5)
    habits = Habits.fit(told, 0.05)
    with pytest.raises(ShoalError, match="5 users are too few for 2 clusters of 10"):
        latent_classes.fit(habits, habits.of(told), CONFIG)


def _stability() -> StabilityConfig:
    return StabilityConfig(resamples=4)
