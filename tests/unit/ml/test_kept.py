"""What is computed once is found again, and files do not heap up."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ml.encoder import kept
from ml.encoder.kept import Kept


def _keys(*numbers: int) -> np.ndarray:
    return np.array([f"{number:032}" for number in numbers], dtype="S32")


def _open(folder: Path | None) -> Kept:
    return Kept(folder, "embeddings", "model", 2, np.float16)


def test_what_was_added_is_found_by_whoever_opens_it_next(tmp_path: Path) -> None:
    _open(tmp_path).add(_keys(3, 1), np.array([[3, 3], [1, 1]], np.float16))
    _open(tmp_path).add(_keys(2), np.array([[2, 2]], np.float16))
    vectors, is_known = _open(tmp_path).find(_keys(1, 2, 3, 4), 4)
    assert is_known.tolist() == [True, True, True, False]
    assert vectors[:, 0].tolist() == [1, 2, 3, 0]
    assert vectors.dtype == np.float16


def test_of_what_was_added_twice_the_newest_is_found(tmp_path: Path) -> None:
    for value in (1, 2):
        _open(tmp_path).add(_keys(5), np.full((1, 2), value, np.float16))
    assert _open(tmp_path).find(_keys(5, 5), 2)[0][:, 0].tolist() == [2, 2]


def test_a_day_writes_what_is_new_and_many_days_are_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "PARTS", 3)
    files = []
    for day in range(5):
        _open(tmp_path).add(_keys(day), np.full((1, 2), day, np.float16))
        files.append(len(list((tmp_path / "embeddings" / "model").iterdir())))
    assert files == [1, 2, 3, 1, 2]
    vectors, is_known = _open(tmp_path).find(_keys(*range(5)), 5)
    assert is_known.all() and vectors[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_the_oldest_go_where_more_are_known_than_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "USERS", 3)
    for key in range(5):
        _open(tmp_path).add(_keys(key), np.full((1, 2), key, np.float16))
    _, is_known = _open(tmp_path).find(_keys(*range(5)), 5)
    assert is_known.tolist() == [False, False, True, True, True]


def test_of_more_users_than_are_kept_those_who_changed_alone_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five users, of whom one a day does something new; the oldest vectors are those of the silent."""
    monkeypatch.setattr(kept, "USERS", 4)
    told, made = list(range(5)), []
    for day in range(12):
        told[day % 2] = 100 + day
        keys, opened = _keys(*told), _open(tmp_path)
        _, is_known = opened.find(keys, 5)
        opened.add(keys[~is_known], np.ones((int((~is_known).sum()), 2), np.float16))
        made.append(int((~is_known).sum()))
    assert made == [5] + 11 * [1]
    assert len(_open(tmp_path)._keys) == 5


def test_what_a_model_said_goes_when_it_has_served_no_more_for_long(tmp_path: Path) -> None:
    long_ago = (datetime.now() - kept.UNUSED - timedelta(hours=1)).timestamp()
    for kind in (kept.EMBEDDINGS, kept.PLACED):
        for model in ("gone", "serving"):
            Kept(tmp_path, kind, model, 2, np.float16).add(_keys(1), np.zeros((1, 2), np.float16))
            os.utime(tmp_path / kind / model, (long_ago, long_ago))
        Kept(tmp_path, kind, "serving", 2, np.float16).add(_keys(2), np.zeros((1, 2), np.float16))
    texts = tmp_path / kept.TEXT_VECTORS
    for checkpoint in ("gone", "read"):
        (texts / checkpoint).mkdir(parents=True)  # in int8
        (texts / f"{checkpoint}.safetensors").touch()
    for gone in texts.glob("gone*"):
        os.utime(gone, (long_ago, long_ago))
    kept.forget_unused(tmp_path)
    assert sorted(str(one.relative_to(tmp_path)) for one in tmp_path.glob("*/*")) == [
        "embeddings/serving",
        "placed/serving",
        "text_vectors/read",
        "text_vectors/read.safetensors",
    ]
    kept.forget_unused(tmp_path / "nothing yet")


def test_nothing_is_kept_without_a_folder_or_a_key(tmp_path: Path) -> None:
    _open(None).add(_keys(1), np.ones((1, 2), np.float16))
    assert not _open(None).find(_keys(1), 1)[1].any()
    assert not _open(tmp_path).find(None, 2)[1].any()
