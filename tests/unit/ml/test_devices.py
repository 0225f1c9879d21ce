"""All that a step multiplies lies on one device. No GPU is needed: `meta`, which computes nothing, is one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import transformers.masking_utils
from numpy.typing import NDArray

from ml.configs import Config, TextConfig
from ml.encoder import devices
from ml.encoder.features import Scaler, numeric
from ml.encoder.finetuning import Examples, FineTuning, sizes
from ml.encoder.network import BehaviourBert
from ml.encoder.pretraining import MaskedEvents
from ml.encoder.stories import ReadingStories, silence, tell, with_head
from ml.encoder.texts import TextEncoder
from ml.encoder.tokens import Vocabulary, tokenise
from ml.encoder.training import Task
from ml.warehouse import Cut, Inputs
from tests.unit.ml import synthetic
from tests.unit.ml.conftest import QUICK

ELSEWHERE = torch.device("meta")


@pytest.fixture
def cut(data: object) -> Cut:
    world = synthetic.write(users=40)
    return Inputs.of(world.paths, world.as_of).cut(world.train, with_outcomes=True)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    monkeypatch.setattr(devices, "DEVICE", ELSEWHERE)
    monkeypatch.setattr(devices, "bf16_is_fast", lambda: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it has no such device
    # It asks whether all of a mask is true, which no tensor on this device can tell.
    skips = "_ignore_bidirectional_mask_sdpa"
    monkeypatch.setattr(transformers.masking_utils, skips, lambda *_, **__: False)
    return ELSEWHERE


def _examples(cut: Cut, config: Config) -> tuple[Examples, Vocabulary, NDArray[np.float32]]:
    assert cut.outcomes is not None
    vocabulary, values = Vocabulary.of(cut.sequences, config.tokens), numeric(cut.features)
    profile = Scaler.fit(values).apply(values)
    examples = Examples(
        tokens=tokenise(cut.sequences, vocabulary, config.tokens),
        features=profile,
        profile=profile,
        targets=cut.outcomes.as_targets(),
        is_validation=np.arange(len(cut)) % 4 == 0,
    )
    table = np.random.default_rng(0).random((len(cut.sequences.texts), 384), np.float32)
    return examples, vocabulary, table


def _fine_tuning(cut: Cut) -> Task:
    examples, vocabulary, table = _examples(cut, QUICK)
    network = BehaviourBert(sizes(examples, table, vocabulary, QUICK), QUICK.network)
    return FineTuning(network, examples, table, QUICK)


def _pretraining(cut: Cut) -> Task:
    examples, vocabulary, table = _examples(cut, QUICK)
    network = BehaviourBert(sizes(examples, table, vocabulary, QUICK), QUICK.network)
    return MaskedEvents(network, examples.tokens, table, examples.is_validation, QUICK)


def _reading(cut: Cut) -> Task:
    assert cut.outcomes is not None
    text = TextEncoder(TextConfig(), None)
    pieces = text.pieces(tell(cut.sequences, silence(cut.features)), 32)
    is_validation = np.arange(len(cut)) % 4 == 0
    return ReadingStories(with_head(text, 3), pieces, cut.outcomes.is_high_value, is_validation)


@pytest.mark.parametrize("make", [_fine_tuning, _pretraining, _reading])
def test_step_keeps_to_the_device(make: Callable[[Cut], Task], cut: Cut, elsewhere: torch.device) -> None:
    task = make(cut)
    task.network.to(elsewhere)
    loss = task.loss(task.learners[:8])
    assert loss.device == elsewhere
    loss.backward()
    gradients = [one.grad for one in task.network.parameters() if one.grad is not None]
    assert gradients and all(one.device == elsewhere for one in gradients)


def test_mixture_of_devices_is_noticed(cut: Cut, elsewhere: torch.device) -> None:
    task = _fine_tuning(cut)
    assert isinstance(task, FineTuning)
    task.network.to(elsewhere)
    task.targets = torch.zeros(len(cut), 3)  # left behind
    with pytest.raises(RuntimeError, match="device"):
        task.loss(task.learners[:8])
