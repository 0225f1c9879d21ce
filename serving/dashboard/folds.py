"""What pages count of users, told so that neither a row nor what is left of a sum is about a few of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

from serving.groups import LEAST, OTHER
from serving.small_groups import EVERY_SIDE, few, side_of

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


def cross(cells: pd.DataFrame, is_turned: bool, k: int = LEAST) -> pd.DataFrame:
    """Fold users by where they are in two schemes on one day, as :func:`fold` does flows.

    Whoever has all pages of a day sees each table twice, once turned, and beside those of other schemes: so a
    cell is hidden in both or in neither, and the rectangle of a small one stays on one side of
    :func:`side_of` in both schemes; where it can't, nothing is told of where users are.

    Parameters
    ----------
    cells
        from_code, to_code, users; one row per pair.
    is_turned
        Whether the schemes stand in the other order than in that which decides what is hidden.
    """
    return _told(_joined(cells, k), k, is_turned, is_crossed=True)


def fold(flows: pd.DataFrame, k: int = LEAST) -> pd.DataFrame:
    """Fold flows of fewer than k users into ``_other``, so that no sum gives one of them away.

    Segments that fewer than k users left or reached are ``_other`` first. Then, as in ``hide_moves.sql``, a
    small flow from a to b is hidden with another from a, to some c, with another to b, from some d, and with
    that from d to c: users of the second and third may as well be of the first and fourth. That holds
    whatever another scheme tells if b and c, or a and d, are on one side of :func:`side_of`; where neither
    can be, all flows of those who have never ordered are hidden. What left a segment goes to ``_other``, so
    that users add up to those who were in it; of fewer than k users in all nothing is told.

    Parameters
    ----------
    flows
        from_code, to_code, users; one row per pair.
    """
    return _told(_joined(flows, k), k)


ENDS = ["from_code", "to_code"]


def _joined(flows: pd.DataFrame, k: int) -> dict[Flow, int]:
    for end in ENDS:
        small = few(flows.groupby(end)["users"].sum(), k)
        flows = flows.replace({end: dict.fromkeys(small.index[small], OTHER)})
    return flows.groupby(ENDS)["users"].sum().to_dict()


def _told(users: dict[Flow, int], k: int, is_turned: bool = False, is_crossed: bool = False) -> pd.DataFrame:
    import pandas as pd

    if is_turned:
        hidden = {
            _turned(flow) for flow in _hidden({_turned(flow): users[flow] for flow in users}, k, is_crossed)
        }
    else:
        hidden = _hidden(users, k, is_crossed)
    told: Counter[Flow] = Counter()
    for (start, end), count in users.items():
        told[start, OTHER if (start, end) in hidden else end] += count
    return pd.DataFrame([(*flow, told[flow]) for flow in told if told[flow] >= k], columns=[*ENDS, "users"])


def _turned(flow: Flow) -> Flow:
    return flow[1], flow[0]


def _hidden(users: dict[Flow, int], k: int, is_crossed: bool = False) -> set[Flow]:
    hidden = {flow for flow in users if users[flow] < k or flow[1] == OTHER}

    def ranked(flows: list[Flow], end: int, sides: Collection[str]) -> list[Flow]:
        """Put first what betrays least across the border, then what is hidden already; last who stays."""

        def worth(flow: Flow) -> tuple[object, ...]:
            side = side_of(flow[end])
            crosses = (users[flow] < k, side not in sides, side == "elsewhere")
            return (*crosses, flow not in hidden, flow[0] == flow[1], users[flow], flow)

        return sorted(flows, key=worth)

    def enough(flows: list[Flow]) -> list[Flow]:
        """Return the first; all, where each is small."""
        return flows[:1] if flows and users[flows[0]] >= k else flows

    for small in sorted((flow for flow in users if users[flow] < k), key=lambda flow: (users[flow], flow)):
        start, end = map(side_of, small)
        row = [flow for flow in users if flow[0] == small[0] and flow != small]
        column = [flow for flow in users if flow[1] == small[1] and flow != small]
        from_one_side = ranked(column, 0, {start})
        is_from_one_side = bool(from_one_side) and side_of(from_one_side[0][0]) == start
        is_safe = is_from_one_side and not is_crossed
        for beside in enough(ranked(row, 1, EVERY_SIDE if is_safe else {end})):
            is_on_one_side = side_of(beside[1]) == end
            is_free = is_on_one_side and not is_crossed
            above = enough(ranked(column, 0, EVERY_SIDE) if is_free else from_one_side)
            hidden |= {beside, *above, *({(flow[0], beside[1]) for flow in above} & users.keys())}
            if is_crossed and above and not (is_from_one_side and is_on_one_side):
                hidden |= users.keys()
            elif above and not (is_safe or is_free):
                hidden |= {flow for flow in users if start == "both" or "never ordered" in map(side_of, flow)}
    return hidden
