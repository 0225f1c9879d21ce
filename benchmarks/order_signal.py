"""Does the encoder read order? ``python -m benchmarks.order_signal --seeds 5001 5002 5003 5004 5005``.

The simulated shop has a dial, ``order_signal``: how much its groups differ in order and rhythm while all
totals, orders and amounts stay as they are. For each seed and each place of the dial a shop is simulated
(without drift), landed and built in a data folder of its own. On the same users of a later cut:

    rfm_logistic, lightgbm, lightgbm_order    the rivals; the last has counts of transitions, gaps and hours
    bert_features                             the encoder with features
    order shuffled                            the same, fitted and tried on events in random order
    no order, no rhythm                       the same, with gaps and hours of anybody's events too
    group alone                               the share of each true group that was of high value
    ceiling                                   LightGBM that is also told the true group

The last two know the truth, and nothing of it flows back. Differences have 95 % intervals, paired over the
users of all shops. At 0 the encoder must not win: what it then wins is no order. What a shop scored is kept
below ``benchmarks/`` in the data folder by code and settings, so a killed study goes on.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.table import Table

import settings
from benchmarks.ablations import shuffled, without_rhythm
from benchmarks.behaviour_log import ScratchPaths
from benchmarks.recovery import planted
from cli import answer, main
from ml import packages, promote, reuse
from ml.configs import Config, with_changes
from ml.encoder.fits import Cuts
from ml.evaluation.judge import Court, Interval, Verdict, gap_over_cuts, judge
from ml.evaluation.metrics import roc_auc
from ml.evaluation.recipes import RECIPES, Recipe
from ml.evaluation.rivals import GradientTrees
from ml.warehouse import Cut, Inputs
from tests.chain import Chain

Floats = npt.NDArray[np.float64]

SHOP = "simulated"
FITTED = ("rfm_logistic", "lightgbm", "lightgbm_order", "bert_features")
ENCODER, CEILING, GROUP = "bert_features", "ceiling", "group alone"
TAKEN_AWAY = {"order shuffled": shuffled, "no order, no rhythm": without_rhythm}
MODELS = (*FITTED, *TAKEN_AWAY, GROUP, CEILING)
GAPS = (
    *((ENCODER, other) for other in ("lightgbm", "lightgbm_order", *TAKEN_AWAY)),
    ("no order, no rhythm", "lightgbm"),
    (CEILING, "lightgbm_order"),
)
COURT_SEED = 0


@dataclass(frozen=True)
class Shop:
    """One simulated shop: what is drawn, and how its groups are told apart."""

    seed: int
    order_signal: float
    users: int
    days: int

    @property
    def folder(self) -> Path:
        name = f"order-signal-{self.order_signal:g}-{self.users}-users-{self.days}-days-seed-{self.seed}"
        return settings.data_dir() / "benchmarks" / name

    @property
    def paths(self) -> ScratchPaths:
        return ScratchPaths(SHOP, self.folder)

    def build(self) -> Inputs:
        """Simulate, land and build the shop; what lies there is taken."""
        chain = Chain(SHOP, self.folder)
        noted = self.folder / "day"
        if not noted.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            options = {"users": self.users, "days": self.days, "seed": self.seed, "drift-share": 0}
            words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
            chain.simulate(*words, "--order-signal", f"{self.order_signal:g}", "--out", str(chain.drops))
            chain.run("landing", "receive", str(chain.drops))
            day = chain.run("landing", "latest-day").strip()
            chain.run("warehouse", "build", "core", "--as-of", day)
            for made in (chain.drops, self.paths.landing, self.paths.quarantine):
                shutil.rmtree(made, ignore_errors=True)
            self.paths.warehouse.unlink()
            noted.write_text(day)
        return Inputs.of(self.paths, pd.Timestamp(noted.read_text()).date())

    def group(self, cut: Cut) -> npt.NDArray[np.object_]:
        """Return each user's planted group, (users,); ``unknown`` for whoever never opened an account."""
        known = planted(self.paths.root / "truth", self.paths.secrets / "pseudonym.key", False)
        return known.reindex(cut.users).fillna("unknown").to_numpy()


def hear(shop: Shop, config: Config, seeds: Sequence[int]) -> Court:
    """Fit every model on a shop's train cut and score its test cut, unless that was done."""
    key = reuse.digest_of([Path(__file__), *sorted(settings.ROOT.glob("ml/**/*.py"))])
    file = shop.folder / f"scores-{key}-{config.digest()}-{'-'.join(map(str, seeds))}.safetensors"
    if not file.exists():
        cuts = Cuts.of(shop.build())
        scores = {name: _scores(name, cuts, shop, config, seeds) for name in MODELS}
        assert cuts.test.outcomes is not None
        packages.save_tensors(file, {**scores, "truth": cuts.test.outcomes.is_high_value})
    found = packages.load_tensors(file)
    truth = found.pop("truth").astype(bool)
    users = np.array([f"{shop.seed}-{row}" for row in range(len(truth))], dtype=object)
    return Court(users, truth, {name: found[name] for name in MODELS})


def _scores(name: str, cuts: Cuts, shop: Shop, config: Config, seeds: Sequence[int]) -> Floats:
    train, test = cuts.train, cuts.test
    assert train.outcomes is not None
    print(f"  order_signal {shop.order_signal:g}, seed {shop.seed}: {name}", file=sys.stderr, flush=True)
    if name == GROUP:
        shares = pd.Series(train.outcomes.is_high_value).groupby(shop.group(train)).mean()
        return pd.Series(shop.group(test)).map(shares).fillna(shares.mean()).to_numpy()[None]
    if name == CEILING:
        trees = GradientTrees.fit(_told(train, shop), train.outcomes.is_high_value, config.rivals)
        return trees.score(_told(test, shop))[None]
    if name in TAKEN_AWAY:
        change, name = TAKEN_AWAY[name], ENCODER
        train, test = (replace(cut, sequences=change(cut.sequences)) for cut in (train, test))
    (recipe,) = (one for one in RECIPES if one.name == name)
    assert isinstance(recipe, Recipe)
    vectors = settings.data_dir() / "benchmarks" / "vectors"
    return np.stack([recipe.fit(train, config, seed, vectors).score(test) for seed in seeds[: recipe.seeds]])


def _told(cut: Cut, shop: Shop) -> pd.DataFrame:
    """Return the features with a column per true group."""
    groups = pd.get_dummies(pd.Series(shop.group(cut)), prefix="group").astype(float)
    return pd.concat([cut.features.reset_index(drop=True), groups], axis=1)


def served(court: Court, config: Config) -> str:
    """Return which model the gate lets serve, had these three stood for election in one training."""
    named = {"rfm_logistic": "rfm_logistic", "lightgbm": "lightgbm", ENCODER: "bert"}
    scores = {short: court.scores[name] for name, short in named.items()}
    gate = config.gate
    verdict: Verdict = judge(court.users, court.truth, scores, gate.resamples, gate.confidence, COURT_SEED)
    return promote.choose(verdict).choice


def rows(signal: float, courts: Sequence[Court]) -> list[dict[str, object]]:
    """Return one row per model: mean ROC-AUC over the shops, each shop's, and the gaps of :data:`GAPS`."""
    made = []
    for name in MODELS:
        aucs = [float(roc_auc(one.truth, one.scores[name].mean(axis=0))[0]) for one in courts]
        made.append({"order_signal": signal, "model": name, "mean": float(np.mean(aucs)), "shops": aucs})
    return made


def gaps(courts: Sequence[Court], config: Config) -> dict[tuple[str, str], Interval]:
    """Return the mean paired gap over all shops of each pair of :data:`GAPS`."""
    gate = config.gate
    return {
        (one, other): gap_over_cuts(courts, one, other, gate.resamples, gate.confidence, COURT_SEED)
        for one, other in GAPS
    }


def act(arguments: argparse.Namespace) -> None:
    """Hear every shop, print both tables."""
    config = with_changes(Config(), training={"threads": 1})
    quality = Table("order_signal", "model", "ROC-AUC", "each shop", title="who will be of high value")
    differences = Table("order_signal", "gap", "ROC-AUC [95 %]", title="paired, all shops together")
    told = []
    for signal in arguments.signals:
        shops = [Shop(seed, signal, arguments.users, arguments.days) for seed in arguments.seeds]
        courts = [hear(shop, config, arguments.model_seeds) for shop in shops]
        for row in rows(signal, courts):
            told.append(row)
            each = " ".join(f"{auc:.3f}" for auc in row["shops"])
            quality.add_row(f"{signal:g}", str(row["model"]), f"{row['mean']:.4f}", each)
        found = gaps(courts, config)
        for (one, other), gap in found.items():
            interval = f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
            differences.add_row(f"{signal:g}", f"{one} − {other}", interval)
        room = found[CEILING, "lightgbm_order"].value
        closed = found[ENCODER, "lightgbm_order"].value / room if room > 0 else float("nan")
        differences.add_row(f"{signal:g}", "share of the gap to the ceiling that is closed", f"{closed:+.0%}")
        serving = ", ".join(served(court, config) for court in courts)
        differences.add_row(f"{signal:g}", "the gate lets serve", serving)
    if arguments.format == "csv":
        answer.print(pd.DataFrame(told).explode("shops").to_csv(index=False), end="", soft_wrap=True)
        return
    answer.print(quality)
    answer.print(differences)


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    result = argparse.ArgumentParser(
        "python -m benchmarks.order_signal",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--seeds", type=int, nargs="+", required=True, help="of the shops")
    result.add_argument("--signals", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    result.add_argument("--users", type=int, default=20_000)
    result.add_argument("--days", type=int, default=240)
    seeds = list(Config().judge.seeds)
    result.add_argument("--model-seeds", type=int, nargs="+", default=seeds, help="default: %(default)s")
    result.add_argument("--format", choices=("table", "csv"), default="table")
    result.set_defaults(act=act)
    return result


if __name__ == "__main__":
    main(parser())
