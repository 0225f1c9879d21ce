"""Long work says how far it is in plain lines where there is no terminal, as under Airflow."""

from __future__ import annotations

import io
from itertools import count

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import cli
from benchmarks.encoder import drawn_sequences, fresh_encoder
from ml.configs import BudgetConfig, TextConfig
from ml.encoder.texts import TextEncoder
from ml.encoder.training import learn


def let_pass(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the clock go on by so much each time that it is read."""
    readings = count(0, seconds)
    monkeypatch.setattr(cli, "monotonic", lambda: next(readings))


def count_to(total: int) -> None:
    with cli.Progress("reading", total, "files") as progress:
        for _ in range(total):
            progress.advance(1)


def test_lines_come_after_two_seconds_and_then_every_ten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    let_pass(monkeypatch, 0.5)
    count_to(45)  # 22.5 seconds: lines after 2, 12 and 22
    said = [f"reading: {2 * seconds} of 45 files" for seconds in (2, 12, 22)]
    assert capsys.readouterr().err.splitlines() == said


def test_work_under_two_seconds_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    let_pass(monkeypatch, 0.5)
    count_to(3)  # 1.5 seconds
    assert capsys.readouterr().err == ""


def test_terminal_has_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(cli, "_console", lambda stderr: terminal)
    let_pass(monkeypatch, 3)
    count_to(2)
    assert "━" in screen.getvalue()
    assert "of 2 files" not in screen.getvalue()


class LearningZero:
    """Two numbers that learn to be zero."""

    name = "learning zero"
    lengths = np.ones(4, dtype=np.int64)
    learners = np.arange(4)

    def __init__(self) -> None:
        self.network = nn.Linear(2, 1, bias=False)

    def parameters(self) -> list[dict[str, object]]:
        return [{"params": list(self.network.parameters())}]

    def loss(self, members: np.ndarray) -> Tensor:
        return self.network(torch.ones(len(members), 2)).square().mean()

    def validation_loss(self) -> float:
        return 0.0


def test_training_says_at_which_step_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    let_pass(monkeypatch, 11)
    learn(LearningZero(), BudgetConfig(steps=3, batch_size=4, evaluate_every=3), seed=7)
    assert capsys.readouterr().err.splitlines() == [f"learning zero: {step} of 3 steps" for step in (1, 2, 3)]


def test_encoding_texts_says_how_many_are_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    let_pass(monkeypatch, 11)
    TextEncoder(TextConfig(max_tokens=16), None)._encode(["oak bread board"] * 200)
    said = capsys.readouterr().err.splitlines()
    assert len(said) > 1
    assert all(line.startswith("encoding texts: ") for line in said)
    assert said[-1] == "encoding texts: 200 of 200"


def test_encoding_users_goes_on_counting_from_batch_to_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    users = drawn_sequences(np.full(300, 64), np.random.default_rng(1), titles=20)
    told = type(users).batches
    monkeypatch.setattr(type(users), "batches", lambda self, rows: told(self, rows, at_once=100))
    let_pass(monkeypatch, 11)
    fresh_encoder(None).embed(users)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("encoding users: ")]
    counts = [int(line.split()[2]) for line in said]
    assert counts == sorted(set(counts)) and len(counts) > 3
    assert said[-1] == "encoding users: 300 of 300"
