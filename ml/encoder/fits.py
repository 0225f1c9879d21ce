"""One recipe, fitted at a shop's train cut and tried at its test cut: what an experiment by hand needs.

Nothing is judged or registered here; `python -m ml judge` and `train` do that.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import settings
from cli import ShoalError
from ml.configs import Config
from ml.encoder import processes, recipes
from ml.encoder.classifier import pretrain_on, settled
from ml.encoder.start import Pretrained
from ml.evaluation.metrics import pr_auc, roc_auc
from ml.warehouse import Cut, Inputs


@dataclass(frozen=True)
class Tried:
    """How a recipe did on the test cut."""

    recipe: str
    users: int
    positives: int
    roc_auc: float
    pr_auc: float
    cpu_seconds: float
    """Of this process: fitting with all seeds, and scoring."""


@dataclass(frozen=True)
class Cuts:
    """The users to learn from and those to be tried on."""

    train: Cut
    test: Cut

    @classmethod
    def of(cls, inputs: Inputs) -> Cuts:
        """Read both cuts of a snapshot.

        Raises
        ------
        ShoalError
            When no horizon has closed twice yet.
        """
        train, test = inputs.cut_date("train"), inputs.cut_date("test")
        if train is None or test is None:
            raise ShoalError(f"snapshot {inputs.folder.name} has no two closed cuts: land more history first")
        return cls(inputs.cut(train, with_outcomes=True), inputs.cut(test, with_outcomes=True))


def try_out(
    recipe: str,
    cuts: Cuts,
    config: Config,
    seeds: Sequence[int],
    folder: Path | None = None,
    pretrained: Pretrained | None = None,
) -> Tried:
    """Fit a recipe with each seed and measure the mean score."""
    started = time.process_time()
    scores = recipes.fit_mean(recipe, cuts.train, config, seeds, folder, pretrained).score(cuts.test)
    spent = time.process_time() - started
    assert cuts.test.outcomes is not None
    truth = cuts.test.outcomes.is_high_value
    quality = float(roc_auc(truth, scores)[0]), float(pr_auc(truth, scores)[0])
    return Tried(recipe, len(truth), int(truth.sum()), *quality, spent)


def fit(inputs: Inputs, recipe: str, config: Config, seeds: Sequence[int]) -> Tried | None:
    """Try a recipe; under torchrun all processes train one network, and only the first has an answer."""
    processes.join()
    try:
        found = try_out(recipe, Cuts.of(inputs), config, seeds)
        return found if processes.rank() == 0 else None
    finally:
        processes.leave()


@dataclass(frozen=True)
class Checkpoint:
    """What a text checkpoint brings to a shop, and what it costs, start-up included."""

    checkpoint: str
    recipe: str
    roc_auc: float
    pr_auc: float
    cpu_seconds: float
    peak_gigabytes: float


def compare_checkpoints(
    shop: str, as_of: str, checkpoints: Sequence[str], recipe: str, seeds: Sequence[int]
) -> Iterator[Checkpoint]:
    """Fit a recipe with each checkpoint in a process of its own, whose time and memory are measured.

    Raises
    ------
    ShoalError
        When a fit fails; its own words are on the terminal.
    """
    for checkpoint in checkpoints:
        words = ["--shop", shop, "--as-of", as_of, "--recipe", recipe, "--checkpoint", checkpoint, "--json"]
        words += ["--seeds", *map(str, seeds)]
        read, write = os.pipe()
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "ml", "fit", *words],
            settings.environment(),
            file_actions=[(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read)],
        )
        os.close(write)
        with os.fdopen(read) as told:
            answer = told.read()
        _, status, used = os.wait4(pid, 0)
        if status:
            raise ShoalError(
                f"fitting {recipe} with checkpoint {checkpoint!r} failed: see what it said above"
            )
        tried = json.loads(answer)
        cpu_seconds, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6
        yield Checkpoint(checkpoint, recipe, tried["roc_auc"], tried["pr_auc"], cpu_seconds, peak)


def as_json(tried: Tried) -> str:
    """Return one line for another program."""
    return json.dumps(asdict(tried))


@dataclass(frozen=True)
class Transferred:
    """Fine-tuning with few labels, from one start."""

    start: str
    learners: int
    roc_auc: float
    pr_auc: float
    cpu_seconds: float
    """Of fine-tuning and scoring."""


def transfer(
    source: Cut, cuts: Cuts, config: Config, share: float, seeds: Sequence[int], folder: Path | None
) -> Iterator[Transferred]:
    """Pretrain on one shop's events, fine-tune on a share of another's users, beside other starts.

    Parameters
    ----------
    source
        Users of the shop that lends its events; its outcomes are not looked at.
    cuts
        Of the shop that has few labels: the test cut is scored by all of them.
    share
        Of the users of the train cut, drawn by a fixed seed.
    """
    rows = np.random.default_rng(0).permutation(len(cuts.train))[: max(1, round(share * len(cuts.train)))]
    few = replace(cuts, train=cuts.train.only(np.sort(rows)))
    # All starts read one kind of token, that of the shop that fine-tunes.
    config = settled(config, cuts.train.sequences, folder)
    starts = {
        "scratch": None,
        "pretrained on the other shop": pretrain_on(source.users, source.sequences, config, folder),
        "pretrained on its own events": pretrain_on(cuts.train.users, cuts.train.sequences, config, folder),
    }
    for name, pretrained in starts.items():
        tried = try_out("bert", few, config, seeds, folder, pretrained)
        yield Transferred(name, len(few.train), tried.roc_auc, tried.pr_auc, tried.cpu_seconds)
    tried = try_out("bert", cuts, config, seeds, folder)
    yield Transferred("scratch, all users", len(cuts.train), tried.roc_auc, tried.pr_auc, tried.cpu_seconds)
