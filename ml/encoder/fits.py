"""One recipe, fitted at a shop's train cut and tried at its test cut: what an experiment by hand needs.

Nothing is judged or registered here; `python -m ml judge` and `train` do that.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import settings
from cli import ShoalError
from ml import costs
from ml.configs import Config
from ml.encoder import processes, recipes
from ml.encoder.classifier import pretrain_on, settled
from ml.encoder.start import Pretrained
from ml.evaluation.judge import Interval, Verdict, judge
from ml.warehouse import Cut, Inputs

SCRATCH = "scratch"


@dataclass(frozen=True)
class Tried:
    """How a recipe did on the test cut."""

    recipe: str
    users: int
    positives: int
    roc_auc: float
    roc_auc_low: float
    roc_auc_high: float
    """Bootstrap over users and seeds, as the gate has it."""
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


def try_out(recipe: str, cuts: Cuts, config: Config, seeds: Sequence[int]) -> Tried:
    """Fit a recipe with each seed and measure the mean score."""
    scores, spent = _score(recipe, cuts, config, seeds)
    found = _judge(cuts, {recipe: scores}, config)
    auc = found.metrics[recipe]["roc_auc"]
    pr_auc = found.metrics[recipe]["pr_auc"].value
    return Tried(recipe, found.users, found.positives, auc.value, auc.low, auc.high, pr_auc, spent)


def _score(
    recipe: str,
    cuts: Cuts,
    config: Config,
    seeds: Sequence[int],
    folder: Path | None = None,
    pretrained: Pretrained | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Fit a recipe with each seed; return the scores of the test cut, (seeds, users), and CPU-seconds."""
    started = costs.cpu_seconds()
    models = [recipes.fit(recipe, cuts.train, config, seed, folder, pretrained) for seed in seeds]
    scores = np.stack([model.score(cuts.test) for model in models])
    return scores, costs.cpu_seconds() - started


def _judge(cuts: Cuts, scores: Mapping[str, NDArray[np.float64]], config: Config) -> Verdict:
    test, gate = cuts.test, config.gate
    assert test.outcomes is not None
    truth = test.outcomes.is_high_value
    return judge(test.users, truth, scores, gate.resamples, gate.confidence, config.training.seed)


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
    roc_auc: Interval
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
        auc = Interval(tried["roc_auc"], tried["roc_auc_low"], tried["roc_auc_high"])
        cpu_seconds, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6
        yield Checkpoint(checkpoint, recipe, auc, tried["pr_auc"], cpu_seconds, peak)


def as_json(tried: Tried) -> str:
    """Return one line for another program."""
    return json.dumps(asdict(tried))


@dataclass(frozen=True)
class Transferred:
    """Fine-tuning with few labels, from one start."""

    start: str
    learners: int
    roc_auc: Interval
    gap_to_scratch: Interval
    """In ROC-AUC, to as few users from scratch, paired over users and seeds."""
    pr_auc: float
    cpu_seconds: float
    """Of fine-tuning and scoring."""


def transfer(
    source: Cut, cuts: Cuts, config: Config, share: float, seeds: Sequence[int], folder: Path | None
) -> list[Transferred]:
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
    own, lent = cuts.train, (source.users, source.sequences, config, folder)
    tries = {
        SCRATCH: (few, None),
        "pretrained on the other shop": (few, pretrain_on(*lent)),
        "pretrained on its own events": (few, pretrain_on(own.users, own.sequences, config, folder)),
        "scratch, all users": (cuts, None),
    }
    found = {
        name: _score("bert", learned, config, seeds, folder, pretrained)
        for name, (learned, pretrained) in tries.items()
    }
    verdict = _judge(cuts, {name: scores for name, (scores, _) in found.items()}, config)
    return [
        Transferred(
            start=name,
            learners=len(tries[name][0].train),
            roc_auc=verdict.metrics[name]["roc_auc"],
            gap_to_scratch=Interval(0.0, 0.0, 0.0) if name == SCRATCH else verdict.gap(name, SCRATCH),
            pr_auc=verdict.metrics[name]["pr_auc"].value,
            cpu_seconds=spent,
        )
        for name, (_, spent) in found.items()
    ]
