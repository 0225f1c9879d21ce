"""The encoder's benchmark compares like with like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from benchmarks import encoder as benchmark
from ml.configs import TextConfig
from ml.encoder.texts import TextEncoder


def test_ours_and_the_plain_loop_give_the_same_vectors(tmp_path: Path) -> None:
    ours = TextEncoder(TextConfig(max_tokens=benchmark.MAXIMUM), None)
    tokenizer = AutoTokenizer.from_pretrained(ours.path)
    texts = benchmark.drawn_texts(6, benchmark.whole_words(tokenizer), np.random.default_rng(1))
    plain = benchmark.plain_loop(ours.bert(), tokenizer, texts)
    assert (ours._encode(texts).astype(np.float32) * plain).sum(1).min() > 0.9995
    assert max(len(pieces) for pieces in ours.pieces(texts, 512)) <= benchmark.MAXIMUM


def test_users_come_back_from_parquet_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "ROW_GROUP", 20)
    file = tmp_path / "sequences.parquet"
    benchmark.write_users(file, 50, lambda size, rng: rng.integers(1, 65, size))
    users = benchmark.stored(file)
    batches = [*users.batches(np.arange(50))]
    assert np.concatenate([rows for rows, _ in batches]).tolist() == list(range(50))
    assert max(len(some) for _, some in batches) <= 20
    together = benchmark.fresh_encoder(None).embed(users)
    (_, first), *_ = batches
    apart = benchmark.fresh_encoder(tmp_path).embed(first)
    assert (together.vectors[: len(first)] == apart.vectors).all()


def test_second_day_encodes_one_user_in_a_hundred(capsys: pytest.CaptureFixture[str]) -> None:
    table = benchmark.compare_days(200)
    assert [*table.columns[1].cells] == ["200", "2"]
    assert [*table.columns[2].cells] == ["0", "198"]
