"""K-means at scale, beside scikit-learn: ``python -m benchmarks.clustering`` (a million users by 384).

Drawn are users around many uneven kinds, more kinds than clusters are asked for, so that no division is
the obvious one. scikit-learn fits all of them from three seeds; ours starts on a sample and settles on
everybody. Printed are CPU-seconds and inertia, the latter beside scikit-learn's best; one thread.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from threadpoolctl import threadpool_limits

from cli import answer, main
from ml.segments import k_means

KINDS = 300
SEEDS = (11, 12, 13)


def draw(users: int, components: int) -> NDArray[np.float32]:
    """Return (users, components): kinds of uneven size and spread."""
    random = np.random.default_rng(5)
    shares = random.dirichlet(np.full(KINDS, 0.7))
    centres = random.normal(size=(KINDS, components)).astype(np.float32)
    spread = random.uniform(0.5, 2.0, KINDS).astype(np.float32)
    kinds = random.choice(KINDS, users, p=shares)
    points = random.standard_normal((users, components), dtype=np.float32)
    points *= spread[kinds][:, None]
    points += centres[kinds]
    return points


def act(arguments: argparse.Namespace) -> None:
    """Measure and print the table."""
    from sklearn.cluster import KMeans

    points = draw(arguments.users, arguments.components)
    rows: list[tuple[str, float, float]] = []
    with threadpool_limits(limits=1):
        for seed in SEEDS:
            began = time.process_time()
            inertia = float(KMeans(arguments.clusters, n_init=1, random_state=seed).fit(points).inertia_)
            rows.append((f"scikit-learn, seed {seed}", time.process_time() - began, inertia))
        for seed in SEEDS:
            began = time.process_time()
            inertia = k_means.fit(points, arguments.clusters, seed).inertia
            rows.append((f"ours, seed {seed}", time.process_time() - began, inertia))
    theirs, ours = rows[: len(SEEDS)], rows[len(SEEDS) :]
    best = min(inertia for _, _, inertia in theirs)
    table = Table("way", "CPU-seconds", "inertia / scikit-learn's best")
    for name, seconds, inertia in rows:
        table.add_row(name, f"{seconds:.1f}", f"{inertia / best:.5f}")
    mean = [float(np.mean([seconds for _, seconds, _ in group])) for group in (theirs, ours)]
    answer.print(table, f"ours costs {mean[1] / mean[0]:.3f} of one scikit-learn fit", sep="\n")


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    result = argparse.ArgumentParser(
        "python -m benchmarks.clustering",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--users", type=int, default=1_000_000)
    result.add_argument("--components", type=int, default=384)
    result.add_argument("--clusters", type=int, default=50)
    result.set_defaults(act=act)
    return result


if __name__ == "__main__":
    main(parser())
