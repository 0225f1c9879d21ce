"""How much of the planted groups the published segments find: ``python -m benchmarks.recovery --seeds 7 19``.

For each seed a shop is simulated and taken through the whole chain, in a data folder of its own
that is kept (about five CPU-minutes a seed; what has published is not run again). Folders in which
a chain ran can also be named. Per seed and per partition of the users, agreement with the planted
groups: adjusted Rand index (with a bootstrap interval over users) and adjusted mutual information,
both 0 at chance and 1 for the same partition. The ceilings know the truth: a random forest trained
on true groups of four fifths of the users, scored on the others. This is the only reader of the
truth folder outside the tests, and nothing of it flows back.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.table import Table
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

import settings
from cli import ShoalError, answer, main
from tests.chain import Chain
from warehouse.snapshot import files

SCHEMES = ("behaviour", "rfm", "value")
SERVED = "scheme behaviour"
RFM = ("recency_days", "order_count", "net_revenue_amount")
RESAMPLES = 200  # the interval's ends are then good to about a hundredth
SEED = 11  # of forests, k-means and resamples; not one of the shop's seeds

# One row per user, value and kind of statistic; shares of transitions, hours and pauses.
ORDER_SQL = """
with events as (
    select user_key, position,
        event_types[position] as kind,
        event_types[position - 1] as kind_before,
        hours_of_week[position] as hour_of_week,
        gap_seconds[position] as gap
    from (select *, unnest(range(1, len(event_types) + 1)) as position from read_parquet($1)
          where as_of_date = $2)
),
statistics as (
    select user_key, 'after_' || kind_before || '_' || kind as name from events
    where position > 1 and gap < 1800
    union all
    select user_key, 'hour_' || hour_of_week % 24 from events
    union all
    select user_key, 'day_' || hour_of_week // 24 from events
    union all
    select user_key, 'pause_' || floor(ln(greatest(gap, 1)) * 2) from events where position > 1
)
select user_key, name,
    count(*) / sum(count(*)) over (partition by user_key, split_part(name, '_', 1)) as share
from statistics group by user_key, name
"""


@dataclass(frozen=True)
class Agreement:
    """How well one partition of the users agrees with the planted groups."""

    partition: str
    users: int
    segments: int
    ari: float
    ari_low: float
    ari_high: float
    ami: float
    resampled: npt.NDArray[np.float64] = field(repr=False)
    """The adjusted Rand index on resamples of users, which are the same for all partitions of a shop."""


@dataclass(frozen=True)
class Published:
    """What one shop published, and the truth about the same users."""

    seed: int
    order_signal: float
    as_of: date
    segments: pd.DataFrame  # index user_key, one column per scheme
    group: pd.Series  # index user_key, the planted group in force at as_of
    features: pd.DataFrame  # index user_key, fct_user_features as numbers
    order: pd.DataFrame  # index user_key, shares of transitions, hours, days and pauses


def read(root: Path) -> Published:
    """Read one shop's folder (``data/<shop>``) and join the truth by pseudonym.

    Raises
    ------
    ShoalError
        When nothing is published there, or the shop was not simulated.
    """
    database, truth = root / "serving" / "current" / "shoal.duckdb", root / "truth"
    for needed in (database, truth / "parameters.json"):
        if not needed.exists():
            raise ShoalError(
                f"{needed} is missing: simulate a shop and run its chain first, e.g. `make demo`"
            )
    parameters = json.loads((truth / "parameters.json").read_text(encoding="utf-8"))
    with duckdb.connect(str(database.resolve()), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        rows = connection.execute(
            "select user_key, scheme, segment_code, as_of_date from bi.user_segment_current"
        ).df()
    as_of = pd.Timestamp(rows["as_of_date"].max()).date()
    group = planted(
        truth, root / "secrets" / "pseudonym.key", as_of >= date.fromisoformat(parameters["drift_date"])
    )
    segments = rows.pivot(index="user_key", columns="scheme", values="segment_code")
    users = segments.index.intersection(group.index)
    features, order = _snapshot(root, as_of)
    return Published(
        seed=parameters["seed"],
        order_signal=parameters["order_signal"],
        as_of=as_of,
        segments=segments.loc[users],
        group=group.loc[users],
        features=features.reindex(users),
        order=order.reindex(users).fillna(0.0),
    )


def planted(truth: Path, key: Path, after_drift: bool) -> pd.Series:
    """Return the planted group of every customer, by pseudonym."""
    people = pd.read_parquet(truth / "users.parquet").dropna(subset=["customer_id"])
    secret = key.read_bytes()
    keys = [
        hmac.new(secret, f"customer:{each}".encode(), hashlib.sha256).hexdigest()
        for each in people["customer_id"]
    ]
    group = people["group_after" if after_drift else "group_before"]
    return pd.Series(group.to_numpy(), index=keys, name="group")


def _snapshot(root: Path, as_of: date) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = root / "snapshots" / f"latest-{as_of}"
    if not folder.exists():
        raise ShoalError(f"{folder} is missing: run `python -m warehouse build core --as-of {as_of}`")
    with duckdb.connect() as connection:
        features = connection.execute(
            "select * from read_parquet($1) where as_of_date = $2",
            [str(files(folder, "fct_user_features")), as_of],
        ).df()
        order = connection.execute(ORDER_SQL, [str(files(folder, "fct_user_sequences")), as_of]).df()
    features = features.set_index("user_key").drop(columns="as_of_date")
    categories = pd.get_dummies(features[["top_category"]].astype(str))
    numbers = features.select_dtypes(["number", "bool"]).astype(float)
    return numbers.join(categories.astype(float)), order.pivot(
        index="user_key", columns="name", values="share"
    )


def judge(published: Published) -> list[Agreement]:
    """Return the agreement of every scheme, of rivals with as many clusters, and of the ceilings."""
    group = published.group.to_numpy()
    both = published.features.join(published.order)
    clusters = published.segments["behaviour"].nunique() if "behaviour" in published.segments else 6
    partitions = {
        f"scheme {name}": published.segments[name].to_numpy()
        for name in SCHEMES
        if name in published.segments
    }
    partitions |= {
        "k-means on log RFM, same k": _clustered(published.features[list(RFM)], clusters),
        "k-means on all features, same k": _clustered(published.features, clusters),
        "k-means on features and order, same k": _clustered(both, clusters),
        "ceiling: forest on features": _foretold(published.features, group),
        "ceiling: forest on features and order": _foretold(both, group),
    }
    return [_agreement(name, labels, group) for name, labels in partitions.items()]


def _clustered(features: pd.DataFrame, clusters: int) -> npt.NDArray[np.int64]:
    numbers = features.fillna(0.0)
    logs = np.sign(numbers) * np.log1p(numbers.abs())
    means = KMeans(clusters, n_init=5, random_state=SEED)
    labels: npt.NDArray[np.int64] = means.fit_predict(StandardScaler().fit_transform(logs))
    return labels


def _foretold(features: pd.DataFrame, group: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Return each user's group as foretold by a forest that never saw this user."""
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=SEED)
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
    foretold: npt.NDArray[np.object_] = cross_val_predict(forest, features.to_numpy(), group, cv=folds)
    return foretold


def _agreement(name: str, labels: npt.ArrayLike, group: npt.NDArray[np.object_]) -> Agreement:
    codes, truth = pd.factorize(np.asarray(labels))[0], pd.factorize(group)[0]
    random = np.random.default_rng(SEED)
    drawn = [random.integers(0, len(truth), len(truth)) for _ in range(RESAMPLES)]
    resampled = np.array([adjusted_rand_score(truth[rows], codes[rows]) for rows in drawn])
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Agreement(
        partition=name,
        users=len(truth),
        segments=len(np.unique(codes)),
        ari=float(adjusted_rand_score(truth, codes)),
        ari_low=float(low),
        ari_high=float(high),
        ami=float(adjusted_mutual_info_score(truth, codes)),
        resampled=resampled,
    )


def closed(shops: Sequence[Sequence[Agreement]]) -> str:
    """Say how much of the gap from the best rival to the ceiling the behaviour scheme closes.

    Interval: paired bootstrap over users, and over shops where there are several.
    """
    told = {
        name: [one for shop in shops for one in shop if one.partition == name]
        for name in dict.fromkeys(one.partition for shop in shops for one in shop)
    }
    if len(told.get(SERVED, [])) < len(shops):
        return "a shop has no behaviour scheme"
    means = {name: float(np.mean([one.ari for one in found])) for name, found in told.items()}
    rival = max((name for name in told if name.startswith("k-means")), key=means.__getitem__)
    ceiling = max((name for name in told if name.startswith("ceiling")), key=means.__getitem__)
    random = np.random.default_rng(SEED)
    drawn = random.integers(0, len(shops), (RESAMPLES, len(shops)))
    ours, theirs, best = (
        np.array([one.resampled for one in told[name]])[drawn, np.arange(RESAMPLES)[:, None]].mean(axis=1)
        for name in (SERVED, rival, ceiling)
    )
    low, high = np.percentile((ours - theirs) / (best - theirs), [2.5, 97.5])
    share = (means[SERVED] - means[rival]) / (means[ceiling] - means[rival])
    return (
        f"of the gap from {rival} ({means[rival]:.3f}) to {ceiling} ({means[ceiling]:.3f}) the {SERVED} "
        f"({means[SERVED]:.3f}) closes {share:.0%} [{low:.0%}, {high:.0%}]"
    )


def _run_chain(seed: int, users: int, days: int) -> Path:
    """Take the shop of one seed through the chain, unless that was done; return its data folder."""
    folder = settings.data_dir() / "benchmarks" / f"recovery-{users}-users-{days}-days-seed-{seed}"
    if not (folder / "simulated" / "serving" / "current").exists():
        chain = Chain("simulated", folder)
        print(f"seed {seed}: simulating and running the chain in {folder}", file=sys.stderr, flush=True)
        chain.simulate(
            *("--users", str(users), "--days", str(days), "--seed", str(seed)), "--out", str(chain.drops)
        )
        chain.go(chain.drops)
    return folder


def act(arguments: argparse.Namespace) -> None:
    """Print one table over all seeds, and the means where there are several."""
    rows, shops = [], []
    made = [_run_chain(seed, arguments.users, arguments.days) for seed in arguments.seeds]
    arguments.folders = arguments.folders + made or [settings.data_dir()]
    for folder in arguments.folders:
        published = read(folder / arguments.shop)
        shops.append(judge(published))
        common = {"seed": str(published.seed), "order_signal": published.order_signal}
        rows += [common | vars(each) for each in shops[-1]]
    frame = pd.DataFrame(rows).drop(columns="resampled")
    if arguments.format == "csv":
        answer.print(frame.round(4).to_csv(index=False), end="", soft_wrap=True)
        return
    table = Table(
        "seed", "partition", "users", "k", "ARI", "95 %", "AMI", title="agreement with the planted groups"
    )
    for row in frame.itertuples():
        interval = f"{row.ari_low:.3f} to {row.ari_high:.3f}"
        table.add_row(
            row.seed,
            row.partition,
            f"{row.users:,}",
            str(row.segments),
            f"{row.ari:.3f}",
            interval,
            f"{row.ami:.3f}",
        )
    if len(arguments.folders) > 1:
        table.add_section()
        for name, mean in frame.groupby("partition", sort=False)[["ari", "ami"]].mean().iterrows():
            table.add_row("mean", str(name), "", "", f"{mean['ari']:.3f}", "", f"{mean['ami']:.3f}")
    answer.print(table, closed(shops), sep="\n")


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    result = argparse.ArgumentParser("python -m benchmarks.recovery", description=__doc__)
    result.add_argument(
        "folders",
        type=Path,
        nargs="*",
        help="data folders, one per seed (default: SHOAL_DATA, where no seeds are given)",
    )
    result.add_argument("--seeds", type=int, nargs="+", default=[], help="shops to simulate and run first")
    result.add_argument("--users", type=int, default=5000)
    result.add_argument("--days", type=int, default=240)
    result.add_argument("--shop", default="simulated")
    result.add_argument("--format", choices=("table", "csv"), default="table")
    result.set_defaults(act=act)
    return result


if __name__ == "__main__":
    main(parser())
