"""When a training is not done again."""

from __future__ import annotations

from pathlib import Path

from ml import reuse
from ml.configs import Config, with_changes


def test_another_checkpoint_under_the_same_name_is_another_training(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    words = tmp_path / "vocab.txt"
    words.write_text("a\nb\n")
    config = with_changes(Config(), text={"checkpoint": str(tmp_path)})
    before = reuse.fingerprint("data", config)
    assert reuse.fingerprint("data", config) == before
    words.write_text("a\nb\nc\n")
    assert reuse.fingerprint("data", config) != before
