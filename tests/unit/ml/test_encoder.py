"""The behaviour BERT: memorises, repeats itself, and encodes nobody twice."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from transformers import BertConfig, BertModel

from cli import ShoalError
from ml import packages
from ml.configs import Config, NetworkConfig, TextConfig, TrainingConfig
from ml.encoder import kept, keys, texts
from ml.encoder.checkpoints import checkpoint_path
from ml.encoder.classifier import Classifier
from ml.encoder.encoder import Encoder
from ml.encoder.features import Scaler, numeric
from ml.encoder.order import OrderFeatures
from ml.encoder.outcomes import Outcomes
from ml.encoder.texts import TextEncoder
from ml.evaluation.metrics import roc_auc
from ml.warehouse import Cut, Inputs, StoredSequences
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK


@pytest.fixture
def cut(data: Path) -> Cut:
    world = synthetic.write(users=150)
    return Inputs.of(world.paths, world.as_of).cut(world.train, with_outcomes=True)


def _fit(cut: Cut, config: Config, folder: Path, outcomes: Outcomes | None = None) -> Classifier:
    return Classifier.fit(cut.users, cut.sequences, cut.features, outcomes or cut.outcomes, config, folder)[0]


def test_network_memorises_32_sequences(data: Path) -> None:
    world = synthetic.write(users=32, digest="few")
    small = Inputs.of(world.paths, world.as_of).cut(world.train)
    coin = np.random.default_rng(5).random(32) < 0.5  # nothing in the features tells it
    blind = small.features[[]].assign(order_count=np.arange(32) % 2)
    config = Config(
        network=NetworkConfig(hidden_size=64, intermediate_size=128, dropout=0.0),
        training=TrainingConfig(
            steps=200,
            batch_size=32,
            validation_share=0.0,
            profile_weight=0.0,
            weight_decay=0.0,
            evaluate_every=200,
        ),
    )
    outcomes = Outcomes(coin, coin, coin.astype(float), ~coin)
    fitted, _ = Classifier.fit(small.users, small.sequences, blind, outcomes, config, data)
    assert roc_auc(coin, fitted.score(fitted.embed(small.sequences).vectors, blind))[0] == 1.0


def test_training_twice_gives_the_same_weights(cut: Cut, data: Path) -> None:
    first, second = _fit(cut, QUICK, data / "a"), _fit(cut, QUICK, data / "b")
    assert first.encoder.weights_hash == second.encoder.weights_hash
    other = QUICK.model_copy(update={"training": QUICK.training.model_copy(update={"seed": 8})})
    assert _fit(cut, other, data / "a").encoder.weights_hash != first.encoder.weights_hash


def test_embedding_does_not_depend_on_who_is_beside(cut: Cut, data: Path) -> None:
    encoder = _fit(cut, QUICK, data).encoder
    tokens = encoder.tokens(cut.sequences)
    everybody = encoder._encode(tokens, cut.sequences.texts, np.arange(len(cut)))
    some = np.array([3, 17, 140])
    assert (encoder._encode(tokens, cut.sequences.texts, some) == everybody[some]).all()


def test_unchanged_users_are_not_encoded_again(cut: Cut, data: Path) -> None:
    fitted = _fit(cut, QUICK, data)
    first = fitted.embed(cut.sequences)
    assert (first.encoded, first.reused) == (len(cut), 0)
    hours, keys = cut.sequences.hour_of_week.copy(), cut.sequences.keys
    assert keys is not None
    hours[-1] = (hours[-1] + 1) % 168  # the last user did one thing an hour later
    second = fitted.embed(replace(cut.sequences, hour_of_week=hours, keys=np.append(keys[:-1], b"another")))
    assert (second.encoded, second.reused) == (1, len(cut) - 1)
    assert (second.vectors[:-1] == first.vectors[:-1]).all()
    assert (second.vectors[-1] != first.vectors[-1]).any()


def test_another_release_encodes_users_and_texts_anew(
    cut: Cut, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = _fit(cut, QUICK, data)
    fitted.embed(cut.sequences)
    fitted.save(data / "package")
    for module in ("encoder", "texts"):
        with monkeypatch.context() as release:
            release.setattr(f"ml.encoder.{module}.code_of", lambda *modules: f"other {modules}")
            found = Classifier.load(data / "package", data)
            assert found.embed(cut.sequences).reused == 0
            assert (found.encoder.source.encoded > 0) == (module == "texts")
    again = Classifier.load(data / "package", data).embed(cut.sequences)
    assert (again.encoded, again.reused) == (0, len(cut))


def test_code_is_told_by_every_byte_of_the_modules_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "__file__", str(tmp_path / "keys.py"))
    told = []
    for content in ("a = 1", "a = 2"):
        (tmp_path / "tokens.py").write_text(content)
        keys.code_of.cache_clear()
        told.append(keys.code_of("tokens"))
    keys.code_of.cache_clear()
    assert told[0] != told[1]


def test_changed_sequences_find_nothing_that_was_kept(cut: Cut, data: Path) -> None:
    fitted = _fit(cut, QUICK, data)
    before = fitted.embed(cut.sequences)
    silent = cut.sequences.changed(amount=np.zeros_like(cut.sequences.amount))
    after = fitted.embed(silent)
    assert (after.encoded, after.reused) == (len(cut), 0)
    assert (after.vectors != before.vectors).any()
    assert (fitted.embed(cut.sequences).vectors == before.vectors).all()


def test_day_is_embedded_as_the_cut_and_reads_only_who_is_new(cut: Cut, data: Path) -> None:
    world = synthetic.write(users=150)
    day = Inputs.of(world.paths, world.as_of).day(world.train)
    fitted = _fit(cut, QUICK, data)
    assert list(day.users) == list(cut.users)
    half = np.arange(0, len(cut), 2)
    fitted.embed(cut.only(half).sequences)
    stored = day.sequences
    assert isinstance(stored, StoredSequences)
    read = [row for rows, _ in stored.batches(np.arange(1, len(cut), 2)) for row in rows]
    assert sorted(read) == list(range(1, len(cut), 2))
    found = fitted.embed(stored)
    assert (found.encoded, found.reused) == (len(cut) - len(half), len(half))
    assert (found.vectors == fitted.embed(cut.sequences).vectors).all()


def test_day_reads_the_row_groups_of_those_asked_for(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = synthetic.write(users=150)
    inputs = Inputs.of(world.paths, world.as_of)
    everybody = inputs.day(world.train).sequences
    [(_, whole)] = everybody.batches(np.arange(len(everybody), dtype=np.int64))
    file = inputs.folder / "fct_user_sequences.parquet"
    pq.write_table(pq.read_table(file).sort_by("last_event_at"), file, row_group_size=20)
    stored = inputs.day(world.train).sequences
    assert (stored.keys == everybody.keys).all()
    wanted, read, really = np.arange(3, len(stored), 70), [], pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda *told, **how: read.append(told[1]) or really(*told, **how)
    )
    for rows, some in stored.batches(wanted):
        assert (some.keys == whole.keys[rows]).all()
        assert (some.amount == whole.only(rows).amount).all()
    assert len(set(read)) == len(read) <= len(wanted)


def test_silent_user_decays_without_being_encoded_again(cut: Cut, data: Path) -> None:
    was_here = (cut.features["recency_days"] < cut.features["recency_days"].median()).to_numpy()
    fitted = _fit(cut, QUICK, data, Outcomes(was_here, was_here, was_here.astype(float), ~was_here))
    today = fitted.score(fitted.embed(cut.sequences).vectors, cut.features)
    again = fitted.embed(cut.sequences)
    later = fitted.score(again.vectors, cut.features.assign(recency_days=cut.features["recency_days"] + 60))
    assert (again.encoded, again.reused) == (0, len(cut))
    assert (later <= today).all()
    assert later[was_here].mean() < 0.8 * today[was_here].mean()


def test_saved_classifier_scores_as_before(cut: Cut, data: Path) -> None:
    fitted = _fit(cut, QUICK, data)
    fitted.save(data / "package")
    loaded = Classifier.load(data / "package", data)
    assert loaded.encoder.weights_hash == fitted.encoder.weights_hash
    vectors = fitted.embed(cut.sequences).vectors
    assert (loaded.score(vectors, cut.features) == fitted.score(vectors, cut.features)).all()


def test_texts_are_encoded_once_and_silence_is_zero(data: Path) -> None:
    encoder = TextEncoder(TextConfig(), data)
    first = encoder.vectors(["", "red tea pot", "running shoes"])
    assert encoder.encoded == 2
    again = encoder.vectors(["running shoes", "a crimson tea kettle", ""])
    assert encoder.encoded == 1
    assert (again[0] == first[2]).all()
    assert not first[0].any()
    assert again[1] @ first[1] > again[1] @ first[2]


def test_text_vector_does_not_depend_on_who_is_beside(data: Path) -> None:
    many = [f"gift number {index}" for index in range(40)]
    together = TextEncoder(TextConfig(), None).vectors(many)
    alone = TextEncoder(TextConfig(), None).vectors([many[17]])
    assert (alone[0] == together[17]).all()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small BERT with the embedded one's tokenizer, its weights in two files."""
    folder, lent = tmp_path / "checkpoint", Path(checkpoint_path(TextConfig().checkpoint))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(**sizes), add_pooling_layer=False).save_pretrained(folder, max_shard_size="1MB")
    assert len([*folder.glob("*.safetensors")]) > 1
    for name in ("vocab.txt", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json"):
        (folder / name).write_bytes((lent / name).read_bytes())
    return folder


def test_of_more_texts_than_are_kept_those_stay_that_were_asked_for_last(
    checkpoint: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "TEXTS", 3)

    def encoded(*titles: str) -> int:
        encoder = TextEncoder(TextConfig(checkpoint=str(checkpoint)), data)
        encoder.vectors(titles)
        return encoder.encoded

    assert encoded("a", "b", "c") == 3
    assert encoded("a", "d") == 1
    assert encoded("a", "c", "d") == 0
    assert encoded("b") == 1
    assert (
        encoded("a", "b", "c", "d", "") == 1
    )  # one of them had to go, and the others were asked for together
    assert encoded("a", "b", "c", "d") == 0


def test_texts_that_are_read_are_not_forgotten(checkpoint: Path, data: Path) -> None:
    long_ago = (datetime.now() - kept.UNUSED - timedelta(hours=1)).timestamp()
    for is_read in (True, False):
        encoder = TextEncoder(TextConfig(checkpoint=str(checkpoint)), data)
        encoder.vectors(["tea"])
        (vectors,) = (data / kept.TEXT_VECTORS).iterdir()
        os.utime(vectors, (long_ago, long_ago))
        if is_read:
            TextEncoder(TextConfig(checkpoint=str(checkpoint)), data).vectors(["tea"])
        kept.forget_unused(data)
        assert vectors.exists() == is_read


def test_text_weights_hash_tells_every_file_that_shapes_a_vector(checkpoint: Path) -> None:
    def hashed() -> str:
        return TextEncoder(TextConfig(checkpoint=str(checkpoint)), None).weights_hash

    seen = [hashed()]
    shard = sorted(checkpoint.glob("*.safetensors"))[-1]
    for name in (shard.name, "vocab.txt", "tokenizer.json", "config.json"):
        content = bytearray((checkpoint / name).read_bytes())
        content[-2] ^= 1
        (checkpoint / name).write_bytes(content)
        seen.append(hashed())
    assert len(set(seen)) == len(seen)
    (checkpoint / "README.md").write_text("a nice model")
    assert hashed() == seen[-1]
    moved = checkpoint.rename(checkpoint.with_name("moved"))
    assert TextEncoder(TextConfig(checkpoint=str(moved)), None).weights_hash == seen[-1]


def test_hub_id_is_read_from_the_local_cache(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = checkpoint.parent / "hub" / "models--some--bert"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("c0ffee")
    shutil.copytree(checkpoint, cache / "snapshots" / "c0ffee")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache.parent))
    text, plain = (TextEncoder(TextConfig(checkpoint=name), None) for name in ("some/bert", str(checkpoint)))
    assert text.weights_hash == plain.weights_hash
    assert (text.vectors(["tea"]) == plain.vectors(["tea"])).all()
    unknown = (TextEncoder(TextConfig(checkpoint=name), None) for name in ("some/other", "no/such/folder"))
    assert len({one.weights_hash for one in unknown}) == 2


def test_checkpoint_is_read_once_per_process_for_its_hash(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TextConfig(checkpoint=str(checkpoint))
    before = TextEncoder(config, None).weights_hash
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert TextEncoder(config, None).weights_hash == before


def test_served_encoder_is_refused_beside_another_checkpoint(cut: Cut, data: Path, checkpoint: Path) -> None:
    fitted = _fit(cut, QUICK.model_copy(update={"text": TextConfig(checkpoint=str(checkpoint))}), data)
    fitted.save(data / "package")
    Encoder.load(data / "package", None)
    with (checkpoint / "vocab.txt").open("a") as words:
        words.write("teapot\n")
    with pytest.raises(ShoalError, match=r"was trained with [0-9a-f]{16}: put that checkpoint back"):
        Encoder.load(data / "package", None)
    # A model of before this was written down still loads.
    content = packages.read_json(data / "package" / "encoder.json")
    del content["checkpoint_hash"]
    packages.write_json(data / "package" / "encoder.json", content)
    Encoder.load(data / "package", None)


def test_unknown_checkpoint_is_refused_with_remedy(data: Path) -> None:
    with pytest.raises(Exception, match=r"text.checkpoint 'no-such-bert' can't be loaded: name a folder"):
        TextEncoder(TextConfig(checkpoint="no-such-bert"), data).vectors(["tea"])


def test_scaler_shows_missing_as_missing_and_refuses_absent_columns() -> None:
    frame = pd.DataFrame(
        {"order_count": [0.0, 1.0, None], "refund_share": [0.0, 0.5, 1.0], "country": ["a", "b", "c"]}
    )
    scaler = Scaler.fit(numeric(frame))
    assert scaler.names == ["order_count", "refund_share", "order_count is missing"]
    assert scaler.apply(numeric(frame))[2].tolist()[0] == 0.0
    assert scaler.apply(numeric(frame))[:, 2].tolist() == [0.0, 0.0, 1.0]
    with pytest.raises(ValueError, match="fct_user_features lacks refund_share"):
        scaler.apply(numeric(frame[["order_count"]]))


def test_embedding_tells_order_where_the_profile_asks_for_it(data: Path) -> None:
    world = synthetic.write(users=600)
    cut = Inputs.of(world.paths, world.as_of).cut(world.train, with_outcomes=True)
    order = OrderFeatures.fit(cut.sequences).of(cut.sequences, cut.features.index)
    wanted = np.log1p(order.filter(like="transition_count").to_numpy())
    explained = {}
    for profile_order in (True, False):
        training = QUICK.training.model_copy(update={"profile_order": profile_order, "steps": 150})
        fitted = _fit(cut, QUICK.model_copy(update={"training": training}), data)
        vectors = np.column_stack([fitted.embed(cut.sequences).vectors, np.ones(len(cut))])
        weights = np.linalg.lstsq(vectors[::2], wanted[::2], rcond=1e-2)[0]
        misses = ((vectors[1::2] @ weights - wanted[1::2]) ** 2).mean(axis=0)
        explained[profile_order] = (1 - misses / wanted[1::2].var(axis=0)).mean()
    assert explained[True] > explained[False] + 0.03, explained
