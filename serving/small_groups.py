"""What a group-level table tells outside SQL: nothing of under ten users, nor of a row's few buyers.

The tables themselves fold small groups as they are built (``dbt_project/macros/fold_small.sql``). What is
left for exports and the dashboard is a shop of which too little is known to tell anything. What may leave
the company is coarser still: :mod:`serving.groups`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from serving.groups import LEAST, OTHER
from serving.tables import quoted

if TYPE_CHECKING:
    import pandas as pd

GROUP_TABLES = ("segment_profile_daily", "funnel_daily", "customer_cohort_monthly", "segment_migration")
"""The tables with a row per group of ``users``."""

STEPS = ("browse", "click", "cart", "checkout", "pay", "review")
PAIRS = tuple(pairwise(STEPS))
AMOUNTS = {"cart": "abandoned_amount", "pay": "net_revenue_amount"}
"""The funnel: its steps, those that follow one another, and the money that tells of a step."""

NOWHERE = ("NEW", "ABSENT", "IDENTIFIED", "ERASED")
"""Ends of users whom only one of two days knows, under that key at least."""
NEVER_ORDERED = ("not_bought", "aware", "interested")
"""Segments of those who have never ordered: how many these are is told by every scheme of rules."""

EVERY_SIDE = ("never ordered", "ordered", "both", "elsewhere")


def side_of(code: str) -> str:
    """Return on which side of what every scheme of rules tells a segment is, as ``fold_small.sql`` does.

    >>> [side_of(code) for code in ("aware", "loyal", "_other", "NEW")]
    ['never ordered', 'ordered', 'both', 'elsewhere']
    """
    if code in NEVER_ORDERED:
        return "never ordered"
    return "both" if code == OTHER else "elsewhere" if code in NOWHERE else "ordered"


def few(sizes: pd.Series, k: int = LEAST) -> pd.Series:
    """Return which groups to tell together: those of fewer than k users, with the next smallest if need be.

    Among those who have never ordered and among those who have, unless all of a side are few.

    Examples
    --------
    >>> import pandas
    >>> few(pandas.Series({"a": 100, "b": 20, "c": 5})).tolist()
    [False, True, True]
    >>> few(pandas.Series({"a": 100, "b": 20, "c": 5, "d": 5})).tolist()
    [False, False, True, True]
    >>> few(pandas.Series({"loyal": 100, "purchased": 50, "aware": 20, "interested": 5})).tolist()
    [False, False, True, True]
    """
    chosen = sizes < k
    for _, of_side in sizes.groupby(side_of):
        large = of_side[of_side >= k]
        if 0 < of_side[of_side < k].sum() < k and not large.empty:
            chosen[large.idxmin()] = True
    if chosen.any() and not chosen.all() and sizes[chosen].sum() < k:
        chosen[sizes[~chosen].idxmin()] = True
    return chosen


@dataclass(frozen=True)
class Part:
    """A count of some of a row's users, what else tells of them, and the money that they paid."""

    count: str
    shares: tuple[str, ...] = ()
    amounts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parts:
    """The parts of a table's rows.

    Parameters
    ----------
    beside
        Columns whose equals mark rows that add up to a total told elsewhere, such as by another scheme.
    of_others
        Whether a row tells as much of the users who are no such part.
    """

    parts: tuple[Part, ...]
    beside: tuple[str, ...] = ()
    of_others: bool = False


def _step(name: str) -> Part:
    shares = tuple(f"{first}_to_{then}_share" for first, then in PAIRS if name in (first, then))
    return Part(f"{name}_users", shares, tuple(AMOUNTS[step] for step in AMOUNTS if step == name))


HIDDEN = {
    "customer_cohort_monthly": Parts(
        (
            Part(
                "buyers",
                ("orders", "retention_share"),
                ("net_revenue_amount", "non_product_net_revenue_amount"),
            ),
        ),
        of_others=True,
    ),
    "funnel_daily": Parts(tuple(map(_step, STEPS)), beside=("date", "scheme", "channel")),
}
"""What is empty where a part is of one to nine users, or what is left of a total would be."""


def shown(table: str, columns: Iterable[str]) -> str:
    """Return a query for the rows and values of a group-level table that may be shown, in these columns."""
    told = ", ".join(f"{_value(table, name)} as {quoted(name)}" for name in columns)
    return f"select {told} {large(table)}"


def large(table: str) -> str:
    """Return what to select from for the rows of enough users, whatever is told of parts of them."""
    return f"from bi.{quoted(table)} where users >= {LEAST}"


def _value(table: str, name: str) -> str:
    of_table = HIDDEN.get(table, Parts(()))
    over = f"(partition by {', '.join(map(quoted, of_table.beside))})" if of_table.beside else "()"
    why = [
        _is_told_by_few(part, name, over, of_table.of_others)
        for part in of_table.parts
        if name in (part.count, *part.shares, *part.amounts)
    ]
    return f"case when {' or '.join(why)} then null else {quoted(name)} end" if why else quoted(name)


def _is_told_by_few(part: Part, name: str, over: str, of_others: bool) -> str:
    count = quoted(part.count)
    few = f"{count} between 1 and {LEAST - 1}"
    why = [
        few,
        # With the hidden ones of the same total the next smallest, if they are few together.
        f"(sum({count}) filter (where {few}) over {over} < {LEAST} "
        f"and {count} = min({count}) filter (where {count} >= {LEAST}) over {over})",
    ]
    if of_others:
        why.append(f"users - {count} between 1 and {LEAST - 1}")
    if name.startswith(f"{part.count.removesuffix('_users')}_to_"):
        why.append(f"round({quoted(name)} * {count}) between 1 and {LEAST - 1}")
    if name in part.amounts:  # what the day's few refunds were, where nobody paid
        why.append(f"({count} = 0 and {quoted(name)} <> 0)")
    return " or ".join(why)
