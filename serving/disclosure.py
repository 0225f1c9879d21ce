"""Audit of a release: whether all that its tables tell of groups together betrays few users.

The audit of suppressed cells in statistical disclosure control: an unknown per hidden count, an equation per
sum that is told, or that several tables tell alike, and two linear programs per part of one to nine, for
the least and the most that it may be. A part is betrayed where it is known to be of one to nine.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from serving.groups import LEAST

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_array

Terms = Mapping[Hashable, float]
"""A sum of unknowns: how often each of them counts."""

ENDLESS = 1e9
"""More than any count: what an unknown without a bound is at most, as programs have to end."""

HALF = 0.5
"""Programs are solved in floating point; users are whole."""


@dataclass(frozen=True)
class Sensitive:
    """Some users of a group: unknowns that count them, beside those who are known."""

    name: Any
    terms: Terms
    known: float = 0


@dataclass
class Audit:
    """What is known of unknown counts: how large each can be, and sums of them.

    Examples
    --------
    Three paid, in one of two segments; whoever knows that it was not the other one knows where.

    >>> audit = Audit()
    >>> audit.know({"loyal paid": 1, "new paid": 1}, 3)
    >>> loyal = Sensitive("loyal", {"loyal paid": 1})
    >>> audit.betrayed([loyal])
    {}
    >>> audit.bound("new paid", 0)
    >>> audit.betrayed([loyal])
    {'loyal': (3, 3)}
    """

    places: dict[Hashable, int] = field(default_factory=dict)
    most: list[float] = field(default_factory=list)
    sums: list[tuple[dict[int, float], float, float]] = field(default_factory=list)

    def bound(self, unknown: Hashable, most: float) -> None:
        """Take in that a count is so much at most."""
        self.most[self._place(unknown)] = most

    def know(self, terms: Terms, least: float, most: float | None = None) -> None:
        """Take in that a sum is so much, or between two numbers."""
        self.sums.append((self._placed(terms), least, least if most is None else most))

    def betrayed(self, parts: Iterable[Sensitive], k: int = LEAST) -> dict[Any, tuple[int, int]]:
        """Return the parts that are known to be of one to k - 1 users, and how many they may be.

        Raises
        ------
        ValueError
            When no counts can be as they are said to be.
        """
        asked = [*parts]
        if not asked:
            return {}
        goals = [self._placed(part.terms) for part in asked]
        found: dict[Any, tuple[int, int]] = {}
        for block, at in self._blocks(goals):
            found |= block.betrayed([asked[place] for place in at], k)
        return found

    def _blocks(self, goals: list[dict[int, float]]) -> Iterator[tuple[_Program, np.ndarray]]:
        """Yield a program per group of unknowns that depend on each other, and which goals are its."""
        import numpy as np
        from scipy.sparse import block_array
        from scipy.sparse.csgraph import connected_components

        matrix = _matrix([*(terms for terms, *_ in self.sums), *goals], len(self.most))
        ends = np.array([ends for _, *ends in self.sums], dtype=float).reshape(-1, 2)
        bounds, sums = np.array(self.most), len(self.sums)
        _, labels = connected_components(block_array([[None, matrix], [matrix.T, None]]))
        order = np.argsort(labels, kind="stable")
        for block in np.unique(labels[sums : matrix.shape[0]]):
            inside = order[slice(*np.searchsorted(labels, [block, block + 1], sorter=order))]
            places = inside[inside >= matrix.shape[0]] - matrix.shape[0]
            known, asked = inside[inside < sums], inside[(inside >= sums) & (inside < matrix.shape[0])]
            of_block = matrix[:, places]
            yield (
                _Program(
                    of_block[known], ends[known, 0], ends[known, 1], bounds[places], of_block[asked].toarray()
                ),
                asked - sums,
            )

    def _placed(self, terms: Terms) -> dict[int, float]:
        return {self._place(unknown): times for unknown, times in terms.items()}

    def _place(self, unknown: Hashable) -> int:
        place = self.places.setdefault(unknown, len(self.places))
        if place == len(self.most):
            self.most.append(float("inf"))
        return place


def _matrix(rows: list[dict[int, float]], width: int) -> csr_array:
    import numpy as np
    from scipy import sparse

    entries = [(row, at, times) for row, terms in enumerate(rows) for at, times in terms.items()]
    row, column, times = np.array(entries, dtype=float).reshape(-1, 3).T
    return sparse.csr_array((times, (row.astype(int), column.astype(int))), shape=(len(rows), width))


@dataclass(frozen=True)
class _Program:
    """Programs over the same sums: ``least <= matrix @ counts <= most`` and ``0 <= counts <= bounds``."""

    matrix: csr_array
    least: np.ndarray
    most: np.ndarray
    bounds: np.ndarray
    goals: np.ndarray
    """(parts, unknowns)"""

    def betrayed(self, parts: list[Sensitive], k: int) -> dict[Any, tuple[int, int]]:
        import numpy as np

        known = np.array([part.known for part in parts])
        doubtful = np.ones(len(parts), dtype=bool)

        def ends(goal: np.ndarray) -> list[np.ndarray]:
            """Return all parts where some are the least that they may be, and where they are the most."""
            found = [known + self.goals @ self._counts(sign * goal) for sign in (1, -1)]
            for users in found:
                doubtful[:] &= (users > HALF) & (users < k - HALF)
            return found

        # Answers in which many parts are none, or large, clear these; who is left is asked for one by one.
        left = len(parts) + 1
        while 0 < doubtful.sum() < left:
            left = doubtful.sum()
            ends(self.goals[doubtful].sum(axis=0))
        betrayed = {}
        for at in np.flatnonzero(doubtful):
            if doubtful[at]:
                least, most = (users[at] for users in ends(self.goals[at]))
                if doubtful[at]:
                    betrayed[parts[at].name] = (round(least), round(most))
        return betrayed

    def _counts(self, goal: np.ndarray) -> np.ndarray:
        import numpy as np
        from scipy.optimize import Bounds, LinearConstraint, milp

        constraints = [LinearConstraint(self.matrix, self.least, self.most)] if len(self.least) else []
        found = milp(goal, constraints=constraints, bounds=Bounds(0, np.minimum(self.bounds, ENDLESS)))
        if found.x is None:
            raise ValueError(f"what is told can't be: {found.message}")
        return np.asarray(found.x)
