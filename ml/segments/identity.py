"""Who a new cluster is: a segment that was known before, part of one, several in one, or nobody yet.

New clusters and the champion's segments are compared on the same users of the same day. Pairs are
chosen by the assignment that shares most (Kuhn 1955) on the Jaccard index of members, with a little
for centroids that lie near each other. A kept segment keeps its code, and with it its name; the others
are named anew, and say where their users came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.configs import IdentityConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KEPT, BORN, SPLIT, MERGED = "kept", "born", "split", "merged"


@dataclass(frozen=True)
class Origin:
    """What a segment was before it was trained anew."""

    event: str = BORN
    parents: tuple[str, ...] = ()
    """The segments that a split or merged one came from, the largest part first."""

    @property
    def parent_code(self) -> str | None:
        """Return the parents as one text, None without any."""
        return ", ".join(self.parents) or None


@dataclass(frozen=True)
class Lineage:
    """Where the segments of a model come from, relative to the champion of the day that it was trained on."""

    origins: Mapping[str, Origin] = field(default_factory=dict)
    """By code."""
    retired: Mapping[str, date] = field(default_factory=dict)
    """Codes that no longer serve, and the day of the training that gave them up."""
    champion_version: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "origins": {
                code: {"event": one.event, "parents": list(one.parents)} for code, one in self.origins.items()
            },
            "retired": {code: day.isoformat() for code, day in self.retired.items()},
            "champion_version": self.champion_version,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Lineage:
        """Return what :meth:`as_json` wrote; a package of an earlier release tells nothing."""
        return cls(
            {
                code: Origin(one["event"], tuple(one["parents"]))
                for code, one in content.get("origins", {}).items()
            },
            {code: date.fromisoformat(day) for code, day in content.get("retired", {}).items()},
            content.get("champion_version"),
        )


@dataclass(frozen=True)
class Before:
    """The champion's segments, and where it puts the users that were clustered anew."""

    version: str
    codes: tuple[str, ...]
    placed: NDArray[np.object_]
    """(users,): the segment of each."""
    points: Floats
    """(users, components): in the champion's own space."""
    centroids: Floats
    """(segments, components)"""
    lineage: Lineage = Lineage()

    def shared(self, labels: Ints, k: int) -> Ints:
        """Return how many users each new cluster shares with each segment, (k, segments)."""
        return crossed(labels, self.numbers(), k, len(self.codes))

    def numbers(self) -> Ints:
        """Return the number of each user's segment."""
        number = {code: index for index, code in enumerate(self.codes)}
        return np.array([number[code] for code in self.placed], dtype=np.int64)

    def distances(self, labels: Ints, k: int) -> Floats:
        """Return how far each new cluster's users lie, on average, from each old centroid, (k, segments)."""
        middles = np.stack([self.points[labels == index].mean(axis=0) for index in range(k)])
        return np.asarray(np.linalg.norm(middles[:, None] - self.centroids[None], axis=2))


def crossed(first: Ints, second: Ints, k_first: int, k_second: int) -> Ints:
    """Return how many users each pair of clusters shares, (k_first, k_second)."""
    found = np.zeros((k_first, k_second), dtype=np.int64)
    np.add.at(found, (first, second), 1)
    return found


def jaccard(shared: Ints) -> Floats:
    """Return the Jaccard index of every new cluster with every old segment.

    >>> jaccard(np.array([[30, 0], [10, 20]])).round(3).tolist()
    [[0.75, 0.0], [0.167, 0.667]]
    """
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0, keepdims=True) - shared
    return np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0)


def match(shared: Ints, distances: Floats, codes: tuple[str, ...], config: IdentityConfig) -> list[Origin]:
    """Say of each new cluster what it was before; of a kept one the parent is the segment itself.

    Parameters
    ----------
    shared
        (new clusters, old segments): how many users both have.
    distances
        (new clusters, old segments): between their centres, in one space.
    codes
        Of the old segments.
    """
    from scipy.optimize import linear_sum_assignment

    index = jaccard(shared)
    nearness = 1 - distances / max(float(distances.max()), 1e-12)
    pairs = dict(
        zip(
            *(side.tolist() for side in linear_sum_assignment(-(index + config.centroid_weight * nearness))),
            strict=True,
        )
    )
    return [
        _origin(new, pairs.get(new), shared, index, distances, codes, config) for new in range(len(shared))
    ]


def _origin(
    new: int,
    old: int | None,
    shared: Ints,
    index: Floats,
    distances: Floats,
    codes: tuple[str, ...],
    config: IdentityConfig,
) -> Origin:
    if old is not None and index[new, old] > config.kept_jaccard:
        return Origin(KEPT, (codes[old],))
    sizes = np.maximum(shared.sum(axis=0), 1)
    given = shared[new] / sizes  # the share of itself that each old segment gives
    held = shared[new] / max(int(shared[new].sum()), 1)  # the share that it makes of the new cluster
    order = np.argsort(-shared[new], kind="stable")
    whole = [int(each) for each in order if given[each] >= config.parent_share]
    if len(whole) > 1 and held[whole].sum() >= config.parent_share and held[whole[1]] >= config.least_part:
        return Origin(MERGED, tuple(codes[each] for each in whole if held[each] >= config.least_part))
    if old is not None and index[new, old] >= config.near_jaccard and _are_nearest(distances, new, old):
        return Origin(KEPT, (codes[old],))
    if held[order[0]] >= config.parent_share:
        return Origin(SPLIT, (codes[order[0]],))
    return Origin(BORN)


def _are_nearest(distances: Floats, new: int, old: int) -> bool:
    return int(distances[new].argmin()) == old and int(distances[:, old].argmin()) == new


def lineage(origins: Mapping[str, Origin], before: Before, as_of: date, config: IdentityConfig) -> Lineage:
    """Return where named segments come from, and which codes no longer serve."""
    told = {
        code: Origin(KEPT) if origin.event == KEPT else origin for code, origin in sorted(origins.items())
    }
    forgotten = as_of - timedelta(days=config.remember_retired_days)
    known = {code: day for code, day in before.lineage.retired.items() if day > forgotten}
    gone = dict.fromkeys((code for code in before.codes if code not in told), as_of)
    return Lineage(
        told, {code: day for code, day in sorted((known | gone).items()) if code not in told}, before.version
    )
