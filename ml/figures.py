"""The pictures of a run page: reliability, lift, the map of embeddings.

Each draws a table that its own function makes, so that what is seen can be checked. A picture
holds counts and positions, never a key. matplotlib is imported where it draws: it costs half
a second, and scoring a day needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.evaluation.metrics import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAPPED_USERS = 3000
"""More dots than these hide each other."""

FEWEST = 10
"""Users of either outcome in a bin that is published: ``smallest_group`` in dbt_project.yml."""


def reliability_table(truth: NDArray[np.bool_], scores: Floats, bins: int = 10) -> pd.DataFrame:
    """Return how often users of similar scores were of high value, in bins of equally many users.

    Returns
    -------
    DataFrame
        ``users, mean_score, observed_share, share_low, share_high``, by rising score; the last
        two are Wilson's 95 % interval (Wilson 1927). Users with equal scores share a bin.

    Examples
    --------
    Four users in two bins; of the lower two one came true, of the upper two both.

    >>> table = reliability_table(np.array([0, 1, 1, 1], bool), np.array([0.1, 0.3, 0.8, 0.9]), bins=2)
    >>> table["mean_score"].round(2).tolist(), table["observed_share"].tolist()
    ([0.2, 0.85], [0.5, 1.0])
    """
    return _by_bin(_equal_bins(scores, bins), truth, scores)


def calibration_told(
    truth: NDArray[np.bool_], scores: Floats, fewest: int = FEWEST
) -> list[dict[str, float]]:
    """Return the reliability table as it is published: no bin tells of few users.

    From the highest scores down, neighbouring bins are told together until ``fewest`` of their users were of
    high value and as many were not; what is left at the low end goes to the last. Empty where there are not
    as many at all.

    Returns
    -------
    list
        By falling score, ``users, mean_score, observed_share, share_low, share_high`` of each bin.

    Examples
    --------
    Six users; those of the two lower bins are told together, since in the lowest nobody was of high value.

    >>> truth = np.array([0, 0, 0, 1, 0, 1], bool)
    >>> table = calibration_told(truth, np.array([0.1, 0.1, 0.2, 0.3, 0.8, 0.9]), fewest=1)
    >>> [(bin["users"], round(bin["mean_score"], 3), bin["observed_share"]) for bin in table]
    [(2, 0.85, 0.5), (4, 0.175, 0.25)]
    """
    bins = _joined(-_equal_bins(scores, 10), truth, fewest)
    return [] if bins.max() < 0 else _by_bin(bins, truth, scores).to_dict("records")


def _equal_bins(scores: Floats, bins: int) -> NDArray[np.int64]:
    ranks = pd.Series(scores).rank(method="average").to_numpy()
    return np.minimum(np.ceil(ranks * bins / len(scores)), bins).astype(np.int64)


def _joined(bins: NDArray[np.int64], truth: NDArray[np.bool_], fewest: int) -> NDArray[np.int64]:
    """Join neighbouring bins until each has enough of either outcome, and number them; -1 where none has."""
    places, at, held = np.empty_like(bins), 0, np.zeros(2)
    for one in np.unique(bins):
        if held.min() >= fewest:
            at, held = at + 1, np.zeros(2)
        is_here = bins == one
        places[is_here] = at
        held += [(is_here & truth).sum(), (is_here & ~truth).sum()]
    return np.minimum(places, at if held.min() >= fewest else at - 1)


def _by_bin(bins: NDArray[np.int64], truth: NDArray[np.bool_], scores: Floats) -> pd.DataFrame:
    frame = pd.DataFrame({"bin": bins, "score": scores, "truth": truth.astype(np.float64)})
    table = frame.groupby("bin").agg(
        users=("score", "size"), mean_score=("score", "mean"), observed_share=("truth", "mean")
    )
    low, high = wilson(table["observed_share"].to_numpy(), table["users"].to_numpy())
    return table.assign(share_low=low, share_high=high).reset_index(drop=True)


def wilson(share: Floats, count: NDArray[np.int64], z: float = 1.96) -> tuple[Floats, Floats]:
    """Return Wilson's interval of a share of ``count`` users.

    >>> low, high = wilson(np.array([0.5]), np.array([100]))
    >>> float(low[0].round(3)), float(high[0].round(3))
    (0.404, 0.596)
    """
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    # Of nobody, or of all, an end is the share itself, but for the last digit.
    return np.clip(middle - half, 0, share), np.clip(middle + half, share, 1)


def gain_table(truth: NDArray[np.bool_], scores: Floats, points: int = 100) -> pd.DataFrame:
    """Return which share of the users of high value the best-scored share of all users holds.

    Users with equal scores come in proportion, so a constant score gains nothing.

    >>> gain_table(np.array([1, 0, 0, 1], bool), np.array([0.9, 0.2, 0.1, 0.8]), points=2).values.tolist()
    [[0.0, 0.0], [0.5, 1.0], [1.0, 1.0]]
    >>> gain_table(np.array([1, 0], bool), np.zeros(2), points=2)["found_share"].tolist()
    [0.0, 0.5, 1.0]
    """
    grouped = pd.DataFrame({"score": scores, "truth": truth}).groupby("score")["truth"].agg(["size", "sum"])
    best_first = grouped[::-1]
    reached = np.concatenate([[0.0], np.cumsum(best_first["size"]) / len(scores)])
    found = np.concatenate([[0.0], np.cumsum(best_first["sum"]) / max(1, int(truth.sum()))])
    asked = np.linspace(0, 1, points + 1)
    return pd.DataFrame({"user_share": asked, "found_share": np.interp(asked, reached, found)})


def embedding_table(vectors: NDArray[np.float32], codes: NDArray[np.object_], seed: int) -> pd.DataFrame:
    """Return the first two principal components of at most ``MAPPED_USERS`` users, ``x, y, segment``."""
    drawn = np.random.default_rng(seed).permutation(len(vectors))[:MAPPED_USERS]
    centred = vectors[drawn] - vectors[drawn].mean(axis=0)
    *_, axes = np.linalg.svd(centred, full_matrices=False)
    x, y = (centred @ axes[:2].T).T
    return pd.DataFrame({"x": x, "y": y, "segment": codes[drawn]})


def reliability(truth: NDArray[np.bool_], scores: Mapping[str, Floats]) -> Figure:
    """Draw how often scores came true, one line per model; on the diagonal they mean what they say."""
    figure, axes = _blank("Reliability: how often a score came true", "mean score", "share of high value")
    top = 0.0
    for name, values in scores.items():
        table = reliability_table(truth, values)
        share = table["observed_share"]
        spread = [share - table["share_low"], table["share_high"] - share]
        axes.errorbar(table["mean_score"], share, yerr=spread, marker="o", ms=4, capsize=2, lw=1, label=name)
        top = max(top, float(table["mean_score"].max()), float(table["share_high"].max()))
    axes.plot([0, top], [0, top], color="0.6", lw=1, ls="--", label="perfect")
    axes.legend()
    return figure


def lift(truth: NDArray[np.bool_], scores: Mapping[str, Floats]) -> Figure:
    """Draw whom a list of the best-scored finds, one line per model; the diagonal is chance."""
    figure, axes = _blank(
        "Lift: whom the best-scored users hold", "share of users, best first", "share of those of high value"
    )
    for name, values in scores.items():
        table = gain_table(truth, values)
        axes.plot(table["user_share"], table["found_share"], lw=1.5, label=name)
    axes.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="chance")
    axes.legend(loc="lower right")
    return figure


def embedding_map(vectors: NDArray[np.float32], codes: NDArray[np.object_], seed: int) -> Figure:
    """Draw the embeddings on their first two principal components, coloured by segment."""
    table = embedding_table(vectors, codes, seed)
    figure, axes = _blank(
        f"Embeddings of {len(table)} users", "first principal component", "second principal component"
    )
    for name, users in table.groupby("segment"):
        axes.scatter(users["x"], users["y"], s=5, alpha=0.6, label=f"{name} ({len(users)})")
    axes.legend(markerscale=3, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _blank(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes
