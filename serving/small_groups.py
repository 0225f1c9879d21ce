"""What a group-level table tells outside SQL: nothing of under ten users, nor of a row's few buyers.

The tables themselves fold small groups as they are built (``dbt_project/macros/fold_small.sql``). What is
left for exports and the dashboard is a shop of which too little is known to tell anything. What may leave
the company is coarser still: :mod:`serving.groups`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

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

WINDOWS = (7, 28, 90)
"""Days that the page of the funnel adds up; fixed, lest two windows differ by one day of a few users."""
TENS = 10
"""What a window tells of days that hide a count: so many tens of users."""

NOWHERE = ("NEW", "ABSENT", "IDENTIFIED", "ERASED")
"""Ends of users whom only one of two days knows, under that key at least."""
RULES = {"rfm": ("not_bought",), "lifecycle": ("aware", "interested")}
"""The schemes of rules, and their segments of those who have never ordered: each tells how many these are."""
NEVER_ORDERED = tuple(code for codes in RULES.values() for code in codes)

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


Total = tuple[object, ...]
"""Values of the columns that the rows of one total share."""

EMPTY: Mapping[str, Collection[Total]] = {}

SQL = ("and", "case", "else", "end", "round", "then", "when")


@dataclass(frozen=True)
class Part:
    """Some of a row's users: how many they are, in SQL, and the columns that tell of them."""

    users: str
    columns: tuple[str, ...]
    known_by: Literal["users", "orders", "money"] = "users"
    """By what they are counted: a row can have more orders than users; money says how many at least."""

    def is_in(self, columns: Iterable[str]) -> bool:
        """Return whether a table with these columns has what the part is counted by."""
        return {*re.findall(r"[a-z]\w*", self.users)} <= {*columns, *SQL}


@dataclass(frozen=True)
class Parts:
    """The parts of a table's rows.

    Parameters
    ----------
    within
        Columns whose equals mark rows that add up to a total told elsewhere, such as by another scheme.
    """

    parts: tuple[Part, ...]
    within: tuple[str, ...] = ()


def _some(users: str, *columns: str) -> tuple[Part, Part]:
    """Return some users of a row and all others, of whom the same columns tell."""
    return Part(users, columns), Part(f"users - {users}", columns)


def _money(users: str, amount: str) -> Part:
    """Return those of whom money tells: where nobody paid, at least one whom something was refunded."""
    return Part(f"case when {users} = 0 and {amount} <> 0 then 1 else {users} end", (amount,), "money")


def _step(name: str) -> tuple[Part, ...]:
    users = f"{name}_users"
    shares = (f"{first}_to_{then}_share" for first, then in PAIRS if name in (first, then))
    money = (_money(users, AMOUNTS[name]),) if name in AMOUNTS else ()
    return (Part(users, (users, *shares)), *money)


def pair(first: str, then: str) -> Part:
    """Return those who took two steps of the funnel that follow one another."""
    share = f"{first}_to_{then}_share"
    return Part(f"round({share} * {first}_users)", (share,))


ORDERS = "round(orders_last_90_days_avg * users)"
COHORT_AMOUNTS = ("net_revenue_amount", "non_product_net_revenue_amount")

HIDDEN = {
    "segment_profile_daily": Parts(
        (
            *_some("active_last_7_days", "active_last_7_days"),
            *_some("buyers_last_30_days", "buyers_last_30_days"),
            # Nine orders are of nine users at most.
            Part(ORDERS, ("orders_last_90_days_avg",), "orders"),
            _money(ORDERS, "net_revenue_last_90_days"),
        ),
        within=("as_of_date", "scheme"),
    ),
    "customer_cohort_monthly": Parts(
        (
            *_some("buyers", "buyers", "orders", "retention_share", *COHORT_AMOUNTS),
            *(_money("buyers", amount) for amount in COHORT_AMOUNTS),
        )
    ),
    "funnel_daily": Parts(
        (*(part for step in STEPS for part in _step(step)), *(pair(*steps) for steps in PAIRS)),
        within=("date", "channel", "scheme"),
    ),
}
"""What is empty where a part is of one to nine users, or what is left of a total would be."""

ALL_TOLD = " ".join(f"when '{scheme}' then {len(codes)}" for scheme, codes in RULES.items())
SIDE = f"""case
    when segment_code in {NEVER_ORDERED} and scheme in {tuple(RULES)} then 'never ordered'
    when segment_code = '{OTHER}' and count(*) filter (where segment_code in {NEVER_ORDERED}) over {{total}}
        < case scheme {ALL_TOLD} else 1 end then 'both'
    else 'ordered'
end"""
"""In SQL what :func:`side_of` tells; _other is of those who ordered where all others are told beside it."""


def shown(
    table: str, columns: Iterable[str], schema: str = "bi", withheld: Mapping[str, Collection[Total]] = EMPTY
) -> str:
    """Return a query for the rows and values of a group-level table that may be shown, in these columns.

    Parameters
    ----------
    withheld
        By what counts a part, the totals of which none is shown: what :mod:`serving.release` found.
    """
    names = [*columns]
    parts, query = _hiding(table, names, schema, withheld)
    told = ", ".join(_value(name, _why_not(name, parts)) for name in names)
    return f"select {told} {query}"


def counted(
    table: str, columns: Iterable[str], schema: str = "bi", withheld: Mapping[str, Collection[Total]] = EMPTY
) -> tuple[tuple[Part, ...], str]:
    """Return a table's parts, and what to select from for how many of a row they are, told or not.

    Part ``n`` is of ``users_n``; ``is_told_n`` where :func:`shown` tells it.
    """
    parts, query = _hiding(table, columns, schema, withheld)
    told = (f"not ({' or '.join(_why_not(part.columns[0], parts))})" for part in parts)
    is_told = ", ".join(["*", *(f"{one} as is_told_{at}" for at, one in enumerate(told))])
    return parts, f"from (select {is_told} {query})"


def in_tens(at: int) -> str:
    """Return how many a part of several rows together are: those that are not told, in tens.

    A day's few are not what a window of days tells beside all other days.
    """
    hidden = f"coalesce(sum(users_{at}) filter (where not is_told_{at}), 0)"
    return f"coalesce(sum(users_{at}) filter (where is_told_{at}), 0) + {TENS} * round({hidden} / {TENS})"


def _hiding(
    table: str, columns: Iterable[str], schema: str, withheld: Mapping[str, Collection[Total]]
) -> tuple[tuple[Part, ...], str]:
    """Return the parts, and a query for a row's ``users_n`` of part n and whether it ``is_hidden_n``."""
    hiding, names = HIDDEN.get(table, Parts(())), [*columns]
    parts = tuple(part for part in hiding.parts if part.is_in(names))
    within = ", ".join(map(quoted, hiding.within))
    total = f"(partition by {within})" if within else "()"
    side = f"(partition by {within}, side)" if within else total
    sides = [f"{SIDE.format(total=total)} as side"] if within and parts else []
    steps = [
        [*sides, *(f"{part.users} as users_{at}" for at, part in enumerate(parts))],
        [f"users_{at} between 1 and {LEAST - 1} as is_few_{at}" for at, _ in enumerate(parts)],
        [f"{_with_next(at, 'is_few', side)} as is_of_side_{at}" for at, _ in enumerate(parts)],
        [f"{_with_next(at, 'is_of_side', total)} as is_small_{at}" for at, _ in enumerate(parts)],
        [
            f"is_small_{at}{_is_among(within, withheld.get(part.users))} as is_hidden_{at}"
            for at, part in enumerate(parts)
        ],
    ]
    query = large(table, schema)
    for step in steps:
        query = f"from (select {', '.join(['*', *step])} {query})"
    return parts, query


def _why_not(name: str, parts: Iterable[Part]) -> list[str]:
    return [f"is_hidden_{at}" for at, part in enumerate(parts) if name in part.columns]


def large(table: str, schema: str = "bi") -> str:
    """Return what to select from for the rows of enough users, whatever is told of parts of them."""
    return f"from {schema}.{quoted(table)} where users >= {LEAST}"


def _with_next(at: int, few: str, over: str) -> str:
    """Return whether a row's part is one of these few or, where they are few together, the next smallest."""
    users, is_few = f"users_{at}", f"{few}_{at}"
    return (
        f"coalesce({is_few} or (sum({users}) filter (where {is_few}) over {over} < {LEAST} and {users} = "
        f"min({users}) filter (where {users} >= {LEAST} and not {is_few}) over {over}), false)"
    )


def _value(name: str, why_not: list[str]) -> str:
    if not why_not:
        return quoted(name)
    return f"case when not ({' or '.join(why_not)}) then {quoted(name)} end as {quoted(name)}"


def _is_among(within: str, totals: Collection[Total] | None) -> str:
    if not totals:
        return ""
    listed = ", ".join(f"({', '.join(map(_literal, total))})" for total in totals)
    return f" or ({within}) in ({listed})"


def _literal(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
