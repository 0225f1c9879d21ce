"""The training loop: a budget in steps, early stopping on users never trained on, resumed after a kill.

A step's users and its dropout follow from the seed and the step's number alone. So a run that
was killed and goes on from its last checkpoint ends with the weights of an undisturbed one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cli import Progress, console
from ml import costs
from ml.configs import BudgetConfig
from ml.encoder import devices, processes
from ml.encoder.keys import code_of, digest_of
from ml.packages import load_tensors, save_tensors

POOL = 8  # batches that are sorted by length together
FITS_KEPT = timedelta(days=2)
"""A training that MLflow keeps waiting is tried for a day; what lies for longer is wanted by nobody."""


class Task(Protocol):
    """What a network learns from whom."""

    name: str
    lengths: NDArray[np.int64]
    """Per user; those of a batch are alike, so that little is padded."""
    learners: NDArray[np.int64]

    @property
    def network(self) -> nn.Module:
        """Return what learns."""

    def parameters(self) -> list[dict[str, object]]:
        """Return parameter groups; one without ``lr`` takes the budget's."""

    def loss(self, members: NDArray[np.int64]) -> Tensor:
        """Return what a step makes smaller."""

    def validation_loss(self) -> float:
        """Return what decides when to stop; infinite where nobody is held out."""


@dataclass(frozen=True)
class LearningPoint:
    """The learning curve at one step."""

    step: int
    train_loss: float
    validation_loss: float
    cpu_seconds: float = field(default=0.0, compare=False)
    """Spent up to here, by whoever was stopped before too."""


_FINISHED: ContextVar[list[Path] | None] = ContextVar("finished", default=None)


@contextmanager
def finished_fits_kept() -> Iterator[list[Path]]:
    """Leave the checkpoints of fits that end in this block, and tell which they are.

    Whoever repeats the block, because something after the fits failed, has them at once.
    """
    kept: list[Path] = []
    token = _FINISHED.set(kept)
    try:
        yield kept
    finally:
        _FINISHED.reset(token)


def held_out(users: NDArray[np.object_], share: float, seed: int) -> NDArray[np.bool_]:
    """Mark users held out of training, by hash: a user's side doesn't depend on who else is there.

    >>> held_out(np.array(["a", "b"], dtype=object), 1.0, 7).tolist()
    [True, True]
    """
    draws = np.array([int(digest_of(f"{seed}|{user}")[:8], 16) for user in users], dtype=np.float64)
    return np.asarray(draws / 16**8 < share)


def checkpoint_of(folder: Path | None, *depends_on: str | bytes | NDArray[Any]) -> Path | None:
    """Return where a fit keeps its checkpoint, named by all that the fit depends on; None keeps nothing.

    The code of this room is one of these: another release begins anew.
    """
    if folder is None:
        return None
    depends_on = (*depends_on, code_of(*sorted(file.stem for file in Path(__file__).parent.glob("*.py"))))
    parts = [digest_of(one.tobytes() if isinstance(one, np.ndarray) else one) for one in depends_on]
    return folder / "training" / f"{digest_of(b'|'.join(parts)).decode()}.safetensors"


def forget_old_fits(folder: Path) -> None:
    """Delete the checkpoints in ``folder`` that no fit has written to for :data:`FITS_KEPT`."""
    oldest = (datetime.now() - FITS_KEPT).timestamp()
    for checkpoint in (folder / "training").glob("*.safetensors"):
        if checkpoint.stat().st_mtime < oldest:
            checkpoint.unlink(missing_ok=True)


def be_repeatable(seed: int, threads: int) -> None:
    """Make what follows give the same numbers for the same seed and threads."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    # On a GPU some sums have no repeatable kernel: there the same seed gives the same within noise.
    torch.use_deterministic_algorithms(True, warn_only=devices.DEVICE.type == "cuda")


def learn(task: Task, budget: BudgetConfig, seed: int, checkpoint: Path | None = None) -> list[LearningPoint]:
    """Train a task's network, leave it with the weights of the best validation loss, and return the curve.

    Parameters
    ----------
    checkpoint
        File that a kill leaves behind and that the next run with the same inputs goes on from;
        its name must name those inputs. It is deleted at the end, outside of
        :func:`finished_fits_kept`. None keeps nothing.
    """
    task.network.to(devices.DEVICE)
    try:
        return _Loop(task, budget, seed, checkpoint).run()
    finally:
        task.network.cpu()


class _Loop:
    def __init__(self, task: Task, budget: BudgetConfig, seed: int, checkpoint: Path | None) -> None:
        self.task, self.budget, self.seed, self.checkpoint = task, budget, seed, checkpoint
        self.optimizer = torch.optim.AdamW(
            task.parameters(), lr=budget.learning_rate, weight_decay=budget.weight_decay, fused=True
        )
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.step, self.best = 0, math.inf
        self.best_weights = _learned(task.network)
        self.curve: list[LearningPoint] = []
        self.running: list[float] = []
        self.cpu_started = costs.cpu_seconds()

    def run(self) -> list[LearningPoint]:
        budget = self.budget
        self._resume()
        batches = batches_from(self.step, self.task, budget.batch_size, self.seed)
        what = self.task.name if processes.rank() == 0 else ""
        with Progress(what, budget.steps, "steps", done=self.step) as progress:
            while self.step < budget.steps and not is_stuck(self.curve, budget.patience):
                self.step += 1
                self.running.append(self._learn(next(batches)))
                progress.advance(1)
                if self.step % budget.evaluate_every == 0 or self.step == budget.steps:
                    self._evaluate()
        self._take(self.best_weights)
        if self.checkpoint is not None and processes.rank() == 0:
            if (finished := _FINISHED.get()) is None:
                self.checkpoint.unlink(missing_ok=True)
            else:
                finished.append(self.checkpoint)
        return self.curve

    def _take(self, weights: dict[str, Tensor]) -> None:
        """Put weights that were learned beside those that never are."""
        self.task.network.load_state_dict(self.task.network.state_dict() | weights)

    def _rate(self, step: int) -> float:
        warm = max(1, round(self.budget.warmup_share * self.budget.steps))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, self.budget.steps - warm))))

    def _learn(self, members: NDArray[np.int64]) -> float:
        self.task.network.train()
        torch.manual_seed(_draw(self.seed, self.step, processes.rank()))
        loss = self.task.loss(processes.share(members))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        processes.average(one.grad for one in self.task.network.parameters() if one.grad is not None)
        nn.utils.clip_grad_norm_(self.task.network.parameters(), 1.0)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * self._rate(self.step - 1)
        self.optimizer.step()
        return float(loss.detach())

    def _evaluate(self) -> None:
        self.task.network.eval()
        with torch.no_grad():
            found = self.task.validation_loss()
        spent = costs.cpu_seconds() - self.cpu_started
        self.curve.append(LearningPoint(self.step, float(np.mean(self.running)), found, spent))
        self.running = []
        if found <= self.best:  # without held-out users the last weights win: inf <= inf
            self.best, self.best_weights = found, _learned(self.task.network)
        if self.checkpoint is not None and processes.rank() == 0:
            save_tensors(self.checkpoint, self._as_arrays())

    def _as_arrays(self) -> dict[str, NDArray[np.generic]]:
        weights = {f"now/{name}": tensor for name, tensor in _learned(self.task.network).items()}
        best = {f"best/{name}": tensor for name, tensor in self.best_weights.items()}
        moments = {
            f"moment/{index}/{name}": tensor
            for index, state in self.optimizer.state_dict()["state"].items()
            for name, tensor in state.items()
        }
        arrays = {name: tensor.cpu().numpy() for name, tensor in (weights | best | moments).items()}
        curve = [list(asdict(point).values()) for point in self.curve]
        return arrays | {"curve": np.array(curve, dtype=np.float64), "best_loss": np.array([self.best])}

    def _resume(self) -> None:
        """Go on from the checkpoint, if a killed run left one."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        arrays = {name: torch.from_numpy(one) for name, one in load_tensors(self.checkpoint).items()}
        self._take(_under("now/", arrays))
        self.best_weights, self.best = _under("best/", arrays), float(arrays["best_loss"])
        self.curve = [LearningPoint(int(step), *losses) for step, *losses in arrays["curve"].tolist()]
        self.step = self.curve[-1].step
        costs.take_over(self.curve[-1].cpu_seconds)
        state = self.optimizer.state_dict()
        for name, tensor in _under("moment/", arrays).items():
            index, moment = name.split("/")
            state["state"].setdefault(int(index), {})[moment] = tensor
        self.optimizer.load_state_dict(state)
        console.print(f"{self.task.name}: going on after step {self.step} of a run that was stopped")


def batches_from(step: int, task: Task, size: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the batches after a step, for ever: shuffled, sorted by length within a pool, shuffled again."""
    epoch, passed = divmod(step, math.ceil(len(task.learners) / size))
    while True:
        yield from _epoch(task, size, np.random.default_rng([seed, epoch]))[passed:]
        epoch, passed = epoch + 1, 0


def _epoch(task: Task, size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    shuffled = rng.permutation(task.learners)
    batches = []
    for start in range(0, len(shuffled), POOL * size):
        pool = shuffled[start : start + POOL * size]
        pool = pool[np.argsort(task.lengths[pool], kind="stable")]
        parts = [pool[at : at + size] for at in range(0, len(pool), size)]
        batches += [parts[index] for index in rng.permutation(len(parts))]
    return batches


def is_stuck(curve: list[LearningPoint], patience: int) -> bool:
    """Tell whether the last ``patience`` evaluations brought no better validation loss."""
    losses = [point.validation_loss for point in curve]
    return len(losses) > patience and min(losses[-patience:]) > min(losses[:-patience])


def mean_over(
    members: NDArray[np.int64],
    lengths: NDArray[np.int64],
    loss: Callable[[NDArray[np.int64]], Tensor],
    size: int = 256,
) -> float:
    """Return the mean of a loss over users, in parts of similar length; infinite where there is nobody."""
    if len(members) == 0:
        return math.inf
    ordered = members[np.argsort(lengths[members], kind="stable")]
    parts = np.array_split(ordered, math.ceil(len(ordered) / size))
    return sum(float(loss(part)) * len(part) for part in parts) / len(members)


def _draw(*numbers: int) -> int:
    """Return a seed that follows from some numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _learned(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all but the weights that don't learn: of a text BERT these are most."""
    fixed = {name for name, one in network.named_parameters() if not one.requires_grad}
    return {name: tensor.clone() for name, tensor in network.state_dict().items() if name not in fixed}


def _under(prefix: str, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)}
