"""`python -m ml judge-segments`: ways to cut users into segments, month by month, beside their rivals.

At the first of each month that has a closed horizon before and behind it, users are cut into as many segments
by each method. Half of them fit (encoder, scales, axes, centroids), the other half is asked, and then the
other way round. No label and no outcome after the cut has a part in a partition: the encoder learns from a
horizon that had closed, refunds included, when the month began.

    behaviour        latent classes of what users still do, with the k that they choose: the served way
    embeddings       k-means on BERT's embeddings
    log_rfm          recency, orders and revenue, logged
    features         all features
    features_order   features, and counts of transitions, pauses and hours
    taste            axes (SVD) of the shares of categories and products bought before
    score            LightGBM's foretold value, in as many equal groups
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import warehouse
from cli import ShoalError, console
from landing import ledger
from ml import reuse, tracking
from ml.configs import ClusterConfig, Config, with_changes
from ml.encoder.classifier import Classifier
from ml.encoder.features import Scaler, numeric
from ml.encoder.order import OrderFeatures
from ml.encoder.text_controls import text_source
from ml.encoder.tokens import Sequences
from ml.evaluation.rivals import RFM, GradientTrees
from ml.evaluation.segments import Ints, Later, Partition, intervals, place, stability
from ml.segments import clusters, memory, naming
from ml.segments.behaviour import TOLD_APART, fit_classes, narrowed
from ml.warehouse import Cut, Inputs
from settings import TrialPaths
from warehouse import trials
from warehouse.horizon import HORIZONS_DAYS, MIN_HISTORY_DAYS, Trial

Floats = NDArray[np.float64]

HORIZON_DAYS = min(HORIZONS_DAYS)
OF_SEQUENCES = ("behaviour", "embeddings")
RESAMPLED_FITS = 5
"""Of each partition, to see whether it comes out the same again."""
AXES = 16
KINDS = 20
"""So many kinds of goods are made of titles where a shop sends no categories."""


@dataclass(frozen=True)
class Row:
    """One method at one cut, as `python -m ml judge-segments` prints it."""

    cut: date
    method: str
    k: int
    users: int
    buyers: int
    stability: float
    """Mean adjusted Rand index of fits on resamples with the fit on all."""
    persistence: float
    """Adjusted Rand index of where the earlier and the later half of users' events lead; only of what is
    cut by sequences."""
    spend_r2: float
    """Share of the variance of log spend in the next 30 days that segment means foretell for others."""
    spend_low: float
    spend_high: float
    taste: float
    """Adjusted mutual information with categories bought in the next 30 days, less that of chance."""
    taste_low: float
    taste_high: float
    cpu_seconds: float


COLUMNS = tuple(field.name for field in fields(Row))


def judge_segments(shop: str, config: Config) -> list[Row]:
    """Compare all methods at every month of a shop, log the table to MLflow, and return it.

    Raises
    ------
    ShoalError
        When no month has a closed horizon before and behind it.
    """
    found = months(shop)
    if not found:
        raise ShoalError(
            f"no month of {shop} has {MIN_HISTORY_DAYS} days before a closed horizon of {HORIZON_DAYS} days, "
            "and one behind it: land more history"
        )
    tags = {"shop": shop, "stage": "judge", "git_sha": tracking.git_sha(), "code_digest": reuse.code_digest()}
    with tracking.run("segments", f"judge segments {shop}", tags, config.dotted()) as run:
        rows = [row for trial in found for row in _Month.read(shop, trial, config).rows()]
        run.log_table("judge_segments.csv", pd.DataFrame([astuple(row) for row in rows], columns=COLUMNS))
        for method, some in pd.DataFrame(rows).groupby("method"):
            means = some[["stability", "persistence", "spend_r2", "taste"]].mean().dropna()
            run.log_metrics({f"{name}/{method}": float(value) for name, value in means.items()})
    return rows


def months(shop: str) -> list[Trial]:
    """Return a trial for each first of a month that the data allow, oldest first."""
    first_day, last_day = ledger.first_day(shop), ledger.latest_complete_day(shop)
    if first_day is None or last_day is None:
        return []
    firsts = pd.date_range(first_day, last_day, freq="MS").date
    found = []
    for cut in firsts:
        try:
            trial = Trial.at(cut, HORIZON_DAYS, "choose", first_day, last_day, trials.refund_days())
        except ValueError:
            continue
        # Refunds are waited for: what the encoder learns from was closed when the month began.
        assert trial.train_cut is not None
        earlier = trial.train_cut - timedelta(days=trials.refund_days())
        found.append(replace(trial, train_cut=max(earlier, first_day)))
    return found


@dataclass(frozen=True)
class _Month:
    """The users of one cut, what they had done, and what they did next."""

    trial: Trial
    config: Config
    train: Cut
    cut: Cut
    bought: pd.DataFrame
    """One row per user and product bought before or after the cut: row of the user, is_later, category."""
    folder: Path

    @classmethod
    def read(cls, shop: str, trial: Trial, config: Config) -> _Month:
        paths = TrialPaths(shop)
        found = trials.build(shop, trial)
        inputs = Inputs(found.folder, found.manifest)
        assert trial.train_cut is not None and trial.test_cut is not None
        train = inputs.cut(trial.train_cut, with_outcomes=True)
        cut = inputs.cut(trial.test_cut, with_outcomes=True)
        bought = _bought(paths, trial)
        bought = bought.assign(row=pd.Index(cut.users).get_indexer(bought["user_key"]))
        bought = bought[bought["row"] >= 0]
        return cls(trial, config, train, cut, _categorised(bought, config, paths.models), paths.models)

    def rows(self) -> Iterator[Row]:
        """Yield a row per method, all with the k that the served way chooses."""
        random = np.random.default_rng(self.config.judge.seeds[0])
        fold = np.zeros(len(self.cut), dtype=bool)
        fold[random.permutation(len(self.cut))[: len(self.cut) // 2]] = True
        embedded = {inside: self._embeddings(np.flatnonzero(fold != inside)) for inside in (True, False)}
        long = np.diff(self.cut.sequences.offsets) >= TOLD_APART
        k = self._chosen(np.flatnonzero(~fold))
        for method, way in self._ways(embedded).items():
            started = time.process_time()
            row = self._row(method, k, way, fold, started)
            if method in OF_SEQUENCES:
                told = np.mean([_persistence(way(side, k), fold != side, long) for side in (True, False)])
                row = replace(row, persistence=float(told))
            yield row

    def _chosen(self, learners: Ints) -> int:
        """Return how many segments the served way makes of some users: no more than it has names for."""
        some, config, rules = self.cut.only(learners), self.config.clusters, naming.Rules.load()
        while True:
            classes, tried = fit_classes(some.sequences, config, some.features)
            k = next(one.k for one in tried if one.is_chosen)
            labels = classes.labels(memory.recalled(classes, some.sequences))
            profile, means = naming.profile(some.features, labels), naming.means(some.features, labels)
            try:
                naming.name_clusters(profile, means, rules)
            except naming.NamesRanOutError as short:
                config = narrowed(config, k, short)
            else:
                return k

    def _row(
        self,
        method: str,
        k: int,
        way: Callable[[bool, int], Partition],
        fold: NDArray[np.bool_],
        started: float,
    ) -> Row:
        gate, seed = self.config.gate, self.config.judge.seeds[0]
        placed = [place(way(inside, k), fold == inside, self.later) for inside in (True, False)]
        spend, taste = intervals(placed, self.later, gate.resamples, gate.confidence, seed)
        again = stability(way(True, k), np.flatnonzero(~fold), RESAMPLED_FITS, seed)
        row = Row(
            cut=self.trial.cut,
            method=method,
            k=k,
            users=len(self.cut),
            buyers=int((self.later.spend > 0).sum()),
            stability=again,
            persistence=float("nan"),
            spend_r2=spend.value,
            spend_low=spend.low,
            spend_high=spend.high,
            taste=taste.value,
            taste_low=taste.low,
            taste_high=taste.high,
            cpu_seconds=time.process_time() - started,
        )
        console.print(
            f"{row.cut} {method}: {k} segments, stability {again:.2f}, spend {spend}, taste {taste}"
        )
        return row

    @cached_property
    def later(self) -> Later:
        assert self.cut.outcomes is not None
        after = self.bought[self.bought["is_later"]].drop_duplicates(["row", "category"])
        return Later(
            self.cut.outcomes.net_revenue,
            after["row"].to_numpy(np.int64),
            pd.factorize(after["category"])[0].astype(np.int64),
        )

    def _embeddings(self, learners: Ints) -> Floats:
        """Return everybody's embeddings by an encoder that learned from some users only."""
        known = np.isin(self.train.users.astype("U"), self.cut.users[learners].astype("U"))
        some = self.train.only(np.flatnonzero(known))
        encoder, _ = Classifier.fit(
            some.users, some.sequences, some.features, some.outcomes, self.config, self.folder
        )
        return np.vstack([encoder.embed(told).vectors for told in self.told]).astype(np.float64)

    @cached_property
    def told(self) -> tuple[Sequences, Sequences, Sequences]:
        """What everybody did, whole and in halves: row n + i is the earlier half of row i."""
        return (self.cut.sequences, *self.cut.sequences.halves())

    def _ways(self, embedded: dict[bool, Floats]) -> dict[str, Callable[[bool, int], Partition]]:
        values = numeric(self.cut.features)
        order = OrderFeatures.fit(self.train.sequences).of(self.cut.sequences, self.cut.features.index)
        rfm = values[[name for name in RFM if name in values]]
        rfm = rfm.fillna(rfm.max()).fillna(0.0)  # whoever never ordered did so the longest ago
        tables = {
            "log_rfm": rfm,
            "features": values,
            "features_order": pd.concat([values, numeric(order)], axis=1),
        }
        ways: dict[str, Callable[[bool, int], Partition]] = {
            "behaviour": lambda inside, k: self._classed(k),
            "embeddings": lambda inside, k: self._clustered(lambda rows: embedded[inside], k),
        }
        for name, table in tables.items():
            ways[name] = lambda inside, k, table=table: self._clustered(  # type: ignore[misc]
                lambda rows: np.asarray(Scaler.fit(table.iloc[rows]).apply(table), dtype=np.float64), k
            )
        ways["taste"] = lambda inside, k: self._clustered(self._tastes, k)
        ways["score"] = lambda inside, k: self._scored(k)
        return ways

    def _of(self, k: int) -> ClusterConfig:
        return ClusterConfig(
            **self.config.clusters.model_dump() | {"smallest_k": k, "largest_k": k, "sample": 200}
        )

    def _classed(self, k: int) -> Partition:
        """Return latent classes of what users still do, in the served way."""

        def fit(rows: Ints) -> Callable[[Ints], Ints]:
            some = self.cut.only(rows)
            fitted, _ = fit_classes(some.sequences, self._of(k), some.features)
            labels = np.concatenate([fitted.labels(memory.recalled(fitted, told)) for told in self.told])
            return lambda others: labels[others]

        return fit

    def _clustered(self, points: Callable[[Ints], Floats], k: int) -> Partition:
        """Return k-means on points, in the served way; ``points`` are made from the rows that fit."""
        config = self._of(k)

        def fit(rows: Ints) -> Callable[[Ints], Ints]:
            everybody = points(np.unique(rows))
            fitted, _ = clusters.fit(everybody[rows], config)
            return lambda others: fitted.labels(everybody[others])

        return fit

    def _tastes(self, rows: Ints) -> Floats:
        """Return the axes of what was bought before: shares of categories and of products, turned."""
        from scipy.sparse import csr_matrix
        from sklearn.decomposition import TruncatedSVD

        before = self.bought[~self.bought["is_later"]]
        bought = pd.concat([before["category"].astype(str) + " (all)", before["product_id"].astype(str)])
        columns, names = pd.factorize(bought)
        places = (np.tile(before["row"].to_numpy(), 2), columns)
        counts = csr_matrix((np.ones(len(bought)), places), shape=(len(self.cut), len(names)))
        shares = counts.multiply(1 / np.maximum(counts.sum(axis=1), 1)).tocsr()
        axes = TruncatedSVD(AXES, random_state=self.config.judge.seeds[0]).fit(shares[rows])
        return np.asarray(axes.transform(shares), dtype=np.float64)

    def _scored(self, k: int) -> Partition:
        """Return equal groups of the value that LightGBM foretells, learned from the rows that fit."""

        def fit(rows: Ints) -> Callable[[Ints], Ints]:
            known = np.isin(self.train.users.astype("U"), self.cut.users[rows].astype("U"))
            some = self.train.only(np.flatnonzero(known))
            assert some.outcomes is not None
            rivals = with_changes(self.config, rivals={"seeds": (self.config.judge.seeds[0],)}).rivals
            trees = GradientTrees.fit(some.features, some.outcomes.is_high_value, rivals)
            scores = trees.score(self.cut.features)
            borders = np.quantile(scores[rows], np.arange(1, k) / k)
            return lambda others: np.searchsorted(borders, scores[others], side="right").astype(np.int64)

        return fit


def _persistence(partition: Partition, learners: NDArray[np.bool_], is_long: NDArray[np.bool_]) -> float:
    """Return whether the halves of what users did that a partition was not fitted on say the same of them."""
    from sklearn.metrics import adjusted_rand_score

    into, others = partition(np.flatnonzero(learners)), np.flatnonzero(~learners & is_long)
    first, second = (into(others + part * len(learners)) for part in (1, 2))
    return float(adjusted_rand_score(first, second))


def _bought(paths: TrialPaths, trial: Trial) -> pd.DataFrame:
    """Return what was bought before the cut and in the horizon after it, refunded or not."""
    assert trial.test_cut is not None
    ends_on = trial.test_cut + timedelta(days=HORIZON_DAYS)
    with warehouse.connect(paths, f"judge segments at {trial.cut}", read_only=True) as connection:
        return connection.execute(
            """
            select distinct
                coalesce(events.user_key, events.device_key) as user_key,
                events.product_id,
                events.event_date > $1 as is_later,
                products.title,
                products.category
            from core.fct_events as events
            inner join core.dim_products as products on events.product_id = products.product_id
            where events.event_type = 'purchase' and events.event_date <= $2 and products.is_product
            order by all
            """,
            [trial.test_cut, ends_on],
        ).df()


def _categorised(bought: pd.DataFrame, config: Config, folder: Path) -> pd.DataFrame:
    """Fill in the category: the shop's own, or else a kind of goods made from titles known at the cut."""
    if bought["category"].notna().any():
        return bought.assign(category=bought["category"].fillna("unknown"))
    from sklearn.cluster import KMeans

    titles = sorted(set(bought["title"].dropna()))
    known = sorted(set(bought.loc[~bought["is_later"], "title"].dropna()))
    if len(known) < KINDS:
        return bought.assign(category="all")
    source = text_source(config.text, folder, known)
    kinds = KMeans(KINDS, n_init=3, random_state=config.judge.seeds[0]).fit(source.vectors(known))
    of_title = dict(zip(titles, kinds.predict(source.vectors(titles)), strict=True))
    return bought.assign(category=bought["title"].map(of_title).fillna(-1).astype(int))
