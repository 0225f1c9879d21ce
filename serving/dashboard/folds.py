"""What pages count of users, told so that neither a row nor what is left of a sum is about a few of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from serving.groups import LEAST, OTHER

if TYPE_CHECKING:
    import pandas as pd

Flow = tuple[str, str]
"""From one segment to another."""

PLACED = """(
    select
        users.as_of_date, users.scheme, users.user_key,
        coalesce(told.segment_code, '_other') as segment_code
    from bi.user_segment_daily as users
    left join bi.segment_profile_daily as told
        on users.as_of_date = told.as_of_date and users.scheme = told.scheme
            and users.segment_code = told.segment_code
)"""
"""Where each user stands, small segments folded as in their profiles."""


def few(sizes: pd.Series, k: int = LEAST) -> pd.Series:
    """Return which groups to tell together: those of fewer than k users, with the next smallest if need be.

    Examples
    --------
    >>> import pandas
    >>> few(pandas.Series({"a": 100, "b": 20, "c": 5})).tolist()
    [False, True, True]
    >>> few(pandas.Series({"a": 100, "b": 20, "c": 5, "d": 5})).tolist()
    [False, False, True, True]
    """
    chosen = (sizes < k) | (sizes.index == OTHER)
    if chosen.any() and not chosen.all() and sizes[chosen].sum() < k:
        chosen[sizes[~chosen].idxmin()] = True
    return chosen


def fold(flows: pd.DataFrame, k: int = LEAST) -> pd.DataFrame:
    """Fold flows of fewer than k users into ``_other``, so that no sum gives one of them away.

    Segments that fewer than k users left or reached are ``_other`` first. Then, as in ``hide_moves.sql``, a
    small flow from a to b is hidden with another from a, to some c, with another to b, from some d, and with
    that from d to c: users of the second and third may as well be of the first and fourth. What left a
    segment goes to ``_other``, so that users add up to those who were in it; of fewer than k users in all
    nothing is told.

    Parameters
    ----------
    flows
        from_code, to_code, users; one row per pair.
    """
    import pandas as pd

    ends = ["from_code", "to_code"]
    for end in ends:
        small = few(flows.groupby(end)["users"].sum(), k)
        flows = flows.replace({end: dict.fromkeys(small.index[small], OTHER)})
    users: dict[Flow, int] = flows.groupby(ends)["users"].sum().to_dict()
    hidden = _hidden(users, k)
    told: Counter[Flow] = Counter()
    for (start, end), count in users.items():
        told[start, OTHER if (start, end) in hidden else end] += count
    return pd.DataFrame([(*flow, told[flow]) for flow in told if told[flow] >= k], columns=[*ends, "users"])


def _hidden(users: dict[Flow, int], k: int) -> set[Flow]:
    hidden = {flow for flow in users if users[flow] < k or flow[1] == OTHER}

    def enough(flows: list[Flow]) -> list[Flow]:
        """Choose what hides most already, and who stays last; all, where each is small."""
        large = [flow for flow in flows if users[flow] >= k]
        by_worth = {flow: (flow not in hidden, flow[0] == flow[1], users[flow], flow) for flow in large}
        return [min(large, key=by_worth.__getitem__)] if large else flows

    for small in sorted((flow for flow in users if users[flow] < k), key=lambda flow: (users[flow], flow)):
        beside = enough([flow for flow in users if flow[0] == small[0] and flow != small])
        above = enough([flow for flow in users if flow[1] == small[1] and flow != small])
        crossed = {(start, end) for start, _ in above for _, end in beside} & users.keys()
        hidden |= {*beside, *above, *crossed}
    return hidden
