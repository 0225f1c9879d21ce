"""What the sequence brings beside the features: ``python -m benchmarks.ablations --shop <shop>``.

One table and one MLflow parent run with a nested run per row. All rows learn from the same users,
with the same seeds and settings, and are tried on the same later cut:

    lightgbm               the rival, on features alone
    features only          BERT's head with the sequences taken away, trained as the others are
    sequence only          the sequence, and how long it has been silent
    both                   what is served
    order shuffled         each user's events in random order; gaps and hours stay where they were
    no order, no rhythm    the same, with gaps and hours of anybody's events
    gaps removed           every gap between orders counts as one day
    titles: random         a vector per title that says nothing but which title it is
    titles: TF-IDF + SVD   words without a pretrained model

Printed as Markdown. Intervals are of 95 %, over users and seeds, the gap's paired; CPU-s are those of all
seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cli
from cli import console
from ml import tracking
from ml.configs import Config, with_changes
from ml.costs import Spent, metered
from ml.encoder import recipes
from ml.encoder.fits import Cuts
from ml.encoder.tokens import Sequences
from ml.evaluation.judge import Verdict, judge
from ml.evaluation.rivals import GradientTrees
from ml.warehouse import Cut, Inputs, latest_as_of
from settings import ShopPaths

Floats = NDArray[np.float64]
DAY = 86400
RIVAL, WHOLE = "lightgbm", "both"


def unchanged(sequences: Sequences) -> Sequences:
    return sequences


def nothing(sequences: Sequences) -> Sequences:
    """Take all events away."""
    nobody = sequences.only(np.zeros(0, dtype=np.int64))
    return nobody.changed(offsets=np.zeros(len(sequences) + 1, dtype=np.int64))


def shuffled(sequences: Sequences) -> Sequences:
    """Put each user's events in random order; gaps and hours stay in their places."""
    user = sequences.user
    order = np.lexsort((np.random.default_rng(0).random(len(user)), user))
    what = ("text", "event_type", "channel", "amount", "quantity")
    return sequences.changed(**{name: getattr(sequences, name)[order] for name in what})


def without_rhythm(sequences: Sequences) -> Sequences:
    """Put each user's events in random order, with gaps and hours of anybody's events."""
    rng = np.random.default_rng(1)
    order = rng.permutation(len(sequences.text))
    what = ("gap_seconds", "hour_of_week")
    return shuffled(sequences).changed(**{name: getattr(sequences, name)[order] for name in what})


def without_gaps(sequences: Sequences) -> Sequences:
    """Count every gap as one day; what happened at one moment still did."""
    return sequences.changed(gap_seconds=np.where(sequences.gap_seconds > 0, DAY, 0))


@dataclass(frozen=True)
class Ablation:
    """One row: a recipe, what is done to the sequences, and settings that differ."""

    name: str
    recipe: str = "bert_features"
    change: Callable[[Sequences], Sequences] = unchanged
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def config(self, config: Config) -> Config:
        """Return the settings of this row."""
        return with_changes(
            with_changes(config, **self.settings), network={"joins": recipes.JOINS[self.recipe]}
        )

    def on(self, cut: Cut) -> Cut:
        """Return a cut as this row sees it."""
        return replace(cut, sequences=self.change(cut.sequences))


ABLATIONS = (
    Ablation("features only", change=nothing),
    Ablation("sequence only", recipe="bert"),
    Ablation(WHOLE),
    Ablation("order shuffled", change=shuffled),
    Ablation("no order, no rhythm", change=without_rhythm),
    Ablation("gaps removed", change=without_gaps),
    Ablation("titles: random", settings={"text": {"source": "random"}}),
    Ablation("titles: TF-IDF + SVD", settings={"text": {"source": "tfidf"}}),
)


def score(ablation: Ablation, cuts: Cuts, config: Config, seeds: list[int], folder: Path) -> Floats:
    """Fit one row with each seed and return the scores of the test cut, (seeds, users)."""
    train, test = ablation.on(cuts.train), ablation.on(cuts.test)
    config = ablation.config(config)
    return np.stack([recipes.fit(ablation.recipe, train, config, seed, folder).score(test) for seed in seeds])


def score_rival(cuts: Cuts, config: Config) -> Floats:
    """Fit LightGBM with each of its seeds and return the scores of the test cut, (seeds, users)."""
    assert cuts.train.outcomes is not None
    truth = cuts.train.outcomes.is_high_value
    seeds = (config.rivals.model_copy(update={"seeds": (seed,)}) for seed in config.rivals.seeds)
    return np.stack(
        [GradientTrees.fit(cuts.train.features, truth, one).score(cuts.test.features) for one in seeds]
    )


def compare(inputs: Inputs, shop: str, config: Config, seeds: list[int], folder: Path) -> str:
    """Fit all rows, log them to MLflow, and return the table."""
    cuts = Cuts.of(inputs)
    assert cuts.test.outcomes is not None
    tags: dict[str, object] = {
        "shop": shop,
        "data_digest": inputs.digest,
        "seeds": seeds,
        "git_sha": tracking.git_sha(),
    }
    tags |= {"train_cut": cuts.train.as_of_date, "test_cut": cuts.test.as_of_date}
    with tracking.run("encoder", f"ablations {shop}", tags | {"stage": "table"}, config.dotted()) as parent:
        configs = {RIVAL: config} | {one.name: one.config(config) for one in ABLATIONS}
        fits = {RIVAL: partial(score_rival, cuts, config)}
        fits |= {one.name: partial(score, one, cuts, config, seeds, folder) for one in ABLATIONS}
        scores: dict[str, Floats] = {}
        spent: dict[str, Spent] = {}
        for name, fit in fits.items():
            with metered() as spent[name]:
                scores[name] = fit()
            console.print(f"  {name}: {spent[name].cpu_seconds:.0f} CPU-s")
        truth = cuts.test.outcomes.is_high_value
        verdict = judge(cuts.test.users, truth, scores, config.gate.resamples, config.gate.confidence, 0)
        for name in scores:
            told = (tags | {"stage": "ablation"}, configs[name].dotted(), parent, spent[name])
            with tracking.run("encoder", name, *told) as run:
                run.log_metrics(_metrics(verdict, name))
        console.print(f"{shop}: {len(truth)} users, {int(truth.sum())} of high value")
        return _table(verdict, spent)


def _metrics(verdict: Verdict, name: str) -> dict[str, float]:
    found = {f"test/{metric}": one for metric, one in verdict.metrics[name].items()}
    found |= {f"gap/{other}/roc_auc": verdict.gap(name, other) for other in (RIVAL, WHOLE) if other != name}
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {f"{key}{end}": getattr(one, part) for key, one in found.items() for end, part in ends.items()}


def _table(verdict: Verdict, spent: dict[str, Spent]) -> str:
    """Return the README's table."""
    rows = [["what BERT is given", "ROC-AUC", "PR-AUC", f"gap to {WHOLE}", "CPU-s"]]
    for name, metrics in verdict.metrics.items():
        gap = "" if name == WHOLE else str(verdict.gap(name, WHOLE))
        pr_auc = f"{metrics['pr_auc'].value:.3f}"
        rows.append([name, str(metrics["roc_auc"]), pr_auc, gap, f"{spent[name].cpu_seconds:.0f}"])
    return cli.as_markdown(rows)


def run(arguments: argparse.Namespace) -> None:
    """Compare, on a shop's snapshot or on a simulated one."""
    with tempfile.TemporaryDirectory() as folder:
        config = with_changes(Config(), training={"threads": 1})
        paths = ShopPaths(arguments.shop)
        as_of: date = arguments.as_of or latest_as_of(paths)
        print(compare(Inputs.of(paths, as_of), paths.shop, config, arguments.seeds, Path(folder)))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cli.add_shop(parser)
    cli.add_as_of(parser)
    seeds = list(Config().judge.seeds)
    parser.add_argument("--seeds", type=int, nargs="+", default=seeds, help="default: %(default)s")
    parser.set_defaults(act=run)
    cli.main(parser)


if __name__ == "__main__":
    main()
