"""Text vectors in int8: close to those in float32, kept, and refused by name where OpenVINO is not there."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

import cli
from benchmarks import encoder as benchmark
from cli import ShoalError
from ml.configs import TextConfig
from ml.encoder.texts import TextEncoder

needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason="OpenVINO comes with `make setup-cluster`"
)
INT8 = TextConfig(precision="int8", threads=1)


@needs_openvino
def test_vectors_in_int8_are_those_in_float32_but_for_their_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = TextEncoder(INT8, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(ours.path)
    texts = benchmark.drawn_texts(48, benchmark.whole_words(tokenizer), np.random.default_rng(3))
    short = [" ".join(text.split()[:30]) for text in texts]  # 32 pieces: as many as a head is wide
    vectors = ours.vectors(short)
    cosine = (vectors * benchmark.plain_loop(ours.bert(), tokenizer, short)).sum(1)
    assert 0.995 < cosine.mean() < 0.9999  # below one: these are not the vectors of float32
    assert cosine.min() > 0.98
    assert ours.weights_hash != TextEncoder(TextConfig(), None).weights_hash

    again = TextEncoder(INT8, tmp_path)
    for name in ("PATIENCE_SECONDS", "LINE_EVERY_SECONDS"):
        monkeypatch.setattr(cli, name, 0.0)
    assert (again._encode(short[:7]) == vectors[:7].astype(np.float16)).all()  # by the model that was kept
    assert "encoding texts: 7 of 7" in capsys.readouterr().err
    assert not [name for name in tmp_path.rglob("*") if name.suffix in (".pkl", ".pickle", ".pt")]

    (weights,) = tmp_path.rglob("*.bin")
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ShoalError, match=r"model\.bin is not what was sealed"):
        TextEncoder(INT8, tmp_path)._encode(short[:1])


def test_absence_of_openvino_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ShoalError, match=r"text.precision 'int8' needs (nncf|openvino).*make setup-cluster"):
        TextEncoder(INT8, None).vectors(["a cup"])
