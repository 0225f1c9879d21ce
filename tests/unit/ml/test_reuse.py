"""When a training is not done again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import cli
from ml import __main__ as command
from ml import reuse
from ml.configs import Config, with_changes
from settings import ShopPaths


def test_another_checkpoint_under_the_same_name_is_another_training(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    words = tmp_path / "vocab.txt"
    words.write_text("a\nb\n")
    config = with_changes(Config(), text={"checkpoint": str(tmp_path)})
    before = reuse.fingerprint("data", config)
    assert reuse.fingerprint("data", config) == before
    words.write_text("a\nb\nc\n")
    assert reuse.fingerprint("data", config) != before


def test_training_waits_for_another_of_the_shop_and_takes_what_that_one_made(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person types the command while Airflow trains: begun at once, it would delete what that registers."""
    registered: list[str] = []
    found: list[list[str]] = []
    began, may_end = threading.Event(), threading.Event()

    def trains() -> None:
        with reuse.alone(ShopPaths("tiny")):
            began.set()
            may_end.wait(30)
            registered.append("by the first")

    first = threading.Thread(target=trains)
    first.start()
    assert began.wait(30)
    monkeypatch.setattr(command, "_train_or_reuse", lambda *_: found.append([*registered]))
    # Whatever the second says, that it waits or that it is done, lets the first end.
    monkeypatch.setattr(cli.console, "print", lambda *_, **__: may_end.set())
    words = ["train", "--shop", "tiny", "--as-of", "2026-06-30"]
    assert cli.run(command._parser(), words) == cli.DONE
    first.join()
    assert found == [["by the first"]]
