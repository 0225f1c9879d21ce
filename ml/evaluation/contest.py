"""Every recipe at every trial: settings chosen at the choosing cuts, then fitted, calibrated, compared.

All get the same rows, cuts, seeds and number of settings to try. What was fitted is kept beside the
trials by a hash of all that it depends on, so a killed comparison goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cli import console
from ml import costs, packages
from ml.configs import Config, with_changes
from ml.encoder.checkpoints import checkpoint_hash, checkpoint_path
from ml.evaluation.calibration import Calibration, ValueRange, score_apart
from ml.evaluation.judge import Court
from ml.evaluation.metrics import roc_auc
from ml.evaluation.recipes import Blend, Changes, Recipe
from ml.warehouse import Cut, Inputs
from settings import TrialPaths
from warehouse.horizon import Trial

Floats = NDArray[np.float64]
MARGIN = 0.001
"""ROC-AUC by which a change must beat ml/configs as it stands: seeds differ by more."""
SHAPING = ("buy_till_die", "calibration", "recipes", "rivals")
"""The modules of this room that shape a fit: whoever changes how it is told need not fit again."""

Fit = dict[str, Floats]
"""What is kept of one fit: scores of ``test`` and perhaps of ``train`` users, and its cost."""


@dataclass(frozen=True)
class Arena:
    """One trial's users, to learn from and to be tested on."""

    trial: Trial
    digest: str
    train: Cut
    test: Cut
    short: tuple[Cut, Cut] | None = None
    """The train cut, and the newest cut whose short horizon had closed by the test cut, with its outcomes."""

    @classmethod
    def read(cls, trial: Trial, inputs: Inputs, newest: Inputs | None = None) -> Arena:
        """Read the cuts of a trial's snapshot, and of its newest short horizon."""
        train, test = _both_cuts(trial, inputs)
        short = trial.newest()
        if newest is None or short is None:
            return cls(trial, inputs.digest, train, test)
        return cls(trial, f"{inputs.digest} {newest.digest}", train, test, _both_cuts(short, newest))

    @property
    def truth(self) -> NDArray[np.bool_]:
        """Return who of the test users came to be of high value."""
        assert self.test.outcomes is not None
        return self.test.outcomes.is_high_value

    def positives(self) -> tuple[int, int]:
        """Return how many are of high value to learn from, and to test on."""
        assert self.train.outcomes is not None
        return int(self.train.outcomes.is_high_value.sum()), int(self.truth.sum())


def _both_cuts(trial: Trial, inputs: Inputs) -> tuple[Cut, Cut]:
    assert trial.train_cut is not None and trial.test_cut is not None
    return (
        inputs.cut(trial.train_cut, with_outcomes=True),
        inputs.cut(trial.test_cut, with_outcomes=True),
    )


@dataclass(frozen=True)
class Apart:
    """Scores of users by models that did not learn from them, and who they are."""

    scores: Floats
    rows: NDArray[np.int64]

    def beside(self, cut: Cut) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the scores with the outcomes of a cut."""
        assert cut.outcomes is not None
        return self.scores, cut.outcomes.is_high_value[self.rows]


@dataclass(frozen=True)
class Result:
    """One model at one cut: what each seed scored, the calibrated probability, the cost."""

    scores: Floats
    """(seeds, users)"""
    probabilities: Floats
    """(users,)"""
    spend: tuple[Floats, Floats]
    """Between what and what a user will spend, (users,) each."""
    cpu_seconds: float


@dataclass
class Contest:
    """The comparison of some recipes, with what has been fitted so far."""

    paths: TrialPaths
    config: Config
    recipes: Sequence[Recipe | Blend]
    chosen: dict[str, Changes] = field(default_factory=dict)
    """By model: the settings that did best at the choosing cuts."""
    tried: dict[str, int] = field(default_factory=dict)
    """By model: how many settings were tried."""

    def digest(self) -> str:
        """Return a hash of the models and of the settings that each competes with."""
        said = [self.config.digest(), [recipe.name for recipe in self.recipes], self.chosen]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def choose(self, arenas: Sequence[Arena]) -> None:
        """Choose each recipe's settings by its mean ROC-AUC at the choosing cuts, with the first seed."""
        for recipe in self._fitted():
            candidates = recipe.trials[: self.config.judge.budget if arenas else 1]
            means = [
                float(np.mean([self._auc(recipe, changes, arena) for arena in arenas])) if arenas else 0.0
                for changes in candidates
            ]
            best = int(np.argmax([*means[:1], *(mean - MARGIN for mean in means[1:])]))
            self.chosen[recipe.name], self.tried[recipe.name] = candidates[best], len(candidates)
            console.print(
                f"{recipe.name}: {len(candidates)} settings tried, taken {candidates[best] or 'as they are'}"
                + (f" (mean ROC-AUC {means[best]:.4f})" if arenas else "")
            )
        for blend in self._blends():
            self.chosen[blend.name] = {}
            self.tried[blend.name] = sum(self.tried[name] for name in blend.of)

    def fight(self, arena: Arena) -> dict[str, Result]:
        """Fit every recipe with its settings and all seeds at one trial; in the order of the recipes."""
        results = {recipe.name: self._result(recipe, arena) for recipe in self._fitted()}
        for blend in self._blends():
            results[blend.name] = _blended([results[name] for name in blend.of])
        return {recipe.name: results[recipe.name] for recipe in self.recipes}

    def court(self, arena: Arena, results: dict[str, Result]) -> Court:
        """Return what the bootstrap takes."""
        assert arena.test.outcomes is not None
        scores = {name: result.scores for name, result in results.items()}
        return Court(arena.test.users, arena.truth, scores, arena.test.outcomes.is_treated)

    def _fitted(self) -> Iterator[Recipe]:
        yield from (recipe for recipe in self.recipes if isinstance(recipe, Recipe))

    def _blends(self) -> Iterator[Blend]:
        yield from (recipe for recipe in self.recipes if isinstance(recipe, Blend))

    def _auc(self, recipe: Recipe, changes: Changes, arena: Arena) -> float:
        scores = self._fit(recipe, changes, arena, self.config.judge.seeds[0])["test"]
        return float(roc_auc(arena.truth, scores)[0])

    def _result(self, recipe: Recipe, arena: Arena) -> Result:
        changes = self.chosen[recipe.name]
        seeds = self.config.judge.seeds[: recipe.seeds]
        fits = [self._fit(recipe, changes, arena, seed) for seed in seeds]
        scores = np.stack([fit["test"] for fit in fits])
        apart = self._apart(recipe, changes, arena, seeds, fits)
        calibration = Calibration.fit(*apart[0].beside(arena.train))
        assert arena.train.outcomes is not None
        spend = ValueRange.fit(
            calibration.of(apart[0].scores), arena.train.outcomes.net_revenue[apart[0].rows]
        )
        tenths = calibration.of(scores).mean(axis=0)
        if arena.short is not None and self.config.judge.moves_intercept:
            then, newest = arena.short
            calibration = calibration.moved(apart[0].beside(then), apart[1].beside(newest))
        probabilities = calibration.of(scores).mean(axis=0)
        cpu_seconds = float(sum(fit["cpu_seconds"][0] for fit in fits))
        console.print(f"{arena.trial.cut} {recipe.name}: {len(seeds)} seeds, {cpu_seconds:.1f} CPU-seconds")
        return Result(scores, probabilities, spend.of(tenths), cpu_seconds)

    def _fit(self, recipe: Recipe, changes: Changes, arena: Arena, seed: int) -> Fit:
        """Return one seed's scores of the test users; of the training users too, if some were held out."""
        config = with_changes(self.config, **changes)

        def make() -> Fit:
            started = costs.cpu_seconds()
            model = recipe.fit(arena.train, config, seed, self.paths.models)
            made = {"test": model.score(arena.test)}
            made["cpu_seconds"] = np.array([costs.cpu_seconds() - started])
            if recipe.held_out is not None:
                made |= {f"apart {at}": model.score(cut) for at, cut in enumerate(_calibrating(arena))}
            return made

        return self._kept(make, recipe.name, config, arena.digest, seed)

    def _apart(
        self, recipe: Recipe, changes: Changes, arena: Arena, seeds: Sequence[int], fits: list[Fit]
    ) -> list[Apart]:
        """Score users of the train cut, and of the newest short one, by models that met none of them."""
        config, cuts = with_changes(self.config, **changes), _calibrating(arena)
        if recipe.held_out is not None:
            return [_left_out(recipe.held_out, cut, config, seeds, fits, at) for at, cut in enumerate(cuts)]

        def make() -> Fit:
            def fit(cut: Cut) -> Callable[[Cut], Floats]:
                return recipe.fit(cut, config, seeds[0], self.paths.models).score

            found = score_apart(fit, cuts[0], config.judge.folds, seeds[0], *cuts[1:])
            return {f"apart {at}": scores for at, scores in enumerate(found)}

        found = self._kept(make, f"{recipe.name} by folds", config, arena.digest, seeds[0])
        return [Apart(found[f"apart {at}"], np.arange(len(cut))) for at, cut in enumerate(cuts)]

    def _kept(self, make: Callable[[], Fit], *depends_on: object) -> Fit:
        said = [part.digest() if isinstance(part, Config) else part for part in depends_on]
        words = checkpoint_hash(checkpoint_path(self.config.text.checkpoint))
        key = hashlib.sha256(json.dumps([*said, words, _code()]).encode()).hexdigest()[:16]
        file = self.paths.ops.parent / "fits" / f"{key}.safetensors"
        if not file.exists():
            packages.save_tensors(file, make())
        return packages.load_tensors(file)


@cache
def _code() -> str:
    room = Path(__file__).parent
    files = [room / f"{name}.py" for name in SHAPING]
    return packages.digest_of([*files, *sorted((room.parent / "encoder").glob("*.py"))])


def _calibrating(arena: Arena) -> list[Cut]:
    return [arena.train] if arena.short is None else [arena.train, arena.short[1]]


def _left_out(
    held_out: Callable[[Cut, Config, int], NDArray[np.bool_]],
    cut: Cut,
    config: Config,
    seeds: Sequence[int],
    fits: list[Fit],
    at: int,
) -> Apart:
    """Return, for all seeds, what each says of the users that it left out."""
    rows = [np.flatnonzero(held_out(cut, config, seed)) for seed in seeds]
    scores = [fit[f"apart {at}"][some] for fit, some in zip(fits, rows, strict=True)]
    return Apart(np.concatenate(scores), np.concatenate(rows))


def _blended(results: list[Result]) -> Result:
    """Return the mean of some results; one without seeds counts with every seed of the others."""
    seeds = max(len(result.scores) for result in results)
    scores = np.mean([np.broadcast_to(one.scores, (seeds, one.scores.shape[1])) for one in results], axis=0)
    probabilities = np.mean([one.probabilities for one in results], axis=0)
    low, high = (np.mean([one.spend[end] for one in results], axis=0) for end in (0, 1))
    return Result(scores, probabilities, (low, high), sum(one.cpu_seconds for one in results))
