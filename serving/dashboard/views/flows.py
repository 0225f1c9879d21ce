"""Flows between two published days: who stayed, who moved, who came and who left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from serving.dashboard import looks
from serving.dashboard.view import View, chart, choose, nothing, table, told
from serving.groups import LEAST, OTHER

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

NEW, ABSENT = "NEW", "ABSENT"

MOVED = """
    select
        coalesce(earlier.segment_code, 'NEW') as from_code,
        coalesce(later.segment_code, 'ABSENT') as to_code,
        count(*) as users
    from (
        select user_key, segment_code from bi.user_segment_daily
        where as_of_date = $from_day and scheme = $scheme
    ) as earlier
    full join (
        select user_key, segment_code from bi.user_segment_daily
        where as_of_date = $to_day and scheme = $scheme
    ) as later on earlier.user_key = later.user_key
    group by all
    order by all
"""

PUBLISHED = """
    select from_code, to_code, sum(users)::bigint as users,
        coalesce(sum(users) filter (where cause = 'model'), 0)::bigint as by_model
    from bi.segment_migration
    where from_date = $from_day and to_date = $to_day and scheme = $scheme
    group by all
    order by all
"""

NAMES = """
    -- Not from the profiles: they tell small segments together.
    select segment_code, max_by({name}, as_of_date) as name
    from bi.user_segment_daily
    where scheme = $scheme and as_of_date in ($from_day, $to_day)
    group by segment_code
"""


def render(view: View) -> None:
    """Show the page."""
    days = view.days()
    if len(days) < 2:
        nothing(view, view.say("no_flows"), f"python -m serving status --shop {view.published.shop}")
        return
    left, middle, right = st.columns(3)
    with left:
        scheme = choose("scheme", view.say("scheme"), view.schemes(), lambda one: view.say(f"scheme_{one}"))
    with right:
        to_day = choose("to", view.say("to_day"), days[:-1], view.day)
    with middle:
        earlier = [day for day in days if day < to_day]
        from_day = choose("from", view.say("from_day"), earlier, view.day)
    moved = _flows(view, scheme, from_day, to_day)
    flows = fold(moved)
    if flows.empty:
        nothing(view, view.say("too_few_users", k=LEAST))
        return
    _figures(view, flows, moved)
    told(view.say("flows_told", k=LEAST))
    names = _names(view, scheme, from_day, to_day)
    chart(_sankey(view, flows, names), "flows")
    with st.expander(view.say("all_flows"), icon=":material/table:"):
        named = flows.assign(
            from_segment=flows["from_code"].map(names), to_segment=flows["to_code"].map(names)
        ).sort_values("users", ascending=False)
        headings = {
            "from_segment": (view.say("from_segment"), "text"),
            "to_segment": (view.say("to_segment"), "text"),
            "users": (view.say("users"), "number"),
        }
        table(view, named, f"flows_{scheme}_{from_day}_{to_day}", headings)


def fold(flows: pd.DataFrame, k: int = LEAST) -> pd.DataFrame:
    """Fold flows of fewer than k users into ``_other``, so that no sum gives one of them away.

    Of each segment's flows, out of it and into it, those that are hidden make none or at least k users: where
    they would make fewer, the next smallest is hidden too. What left a segment goes to ``_other`` then, and
    users still add up to those who were in it. What even so makes fewer than k users is left out.

    Parameters
    ----------
    flows
        from_code, to_code, users; one row per pair.
    """
    hidden = flows["users"] < k
    ends = ("from_code", "to_code")
    while True:
        more = set()
        for end in ends:
            for _, rows in flows.groupby(end):
                small = rows["users"][hidden[rows.index]]
                shown = rows["users"][~hidden[rows.index]]
                if 0 < small.sum() < k and not shown.empty:
                    more.add(shown.idxmin())
        if not more:
            break
        hidden[list(more)] = True
    folded = flows[hidden].groupby("from_code", as_index=False)["users"].sum().assign(to_code=OTHER)
    import pandas as pd

    told_of = pd.concat([flows[~hidden], folded[folded["users"] >= k]], ignore_index=True)
    return told_of[["from_code", "to_code", "users"]]


def _flows(view: View, scheme: str, from_day: Any, to_day: Any) -> pd.DataFrame:
    asked = {"scheme": scheme, "from_day": from_day, "to_day": to_day}
    if view.published.has("segment_migration"):
        flows = view.published.ask(PUBLISHED, **asked)
        if not flows.empty:
            return flows
    return view.published.ask(MOVED, **asked)


def _names(view: View, scheme: str, from_day: Any, to_day: Any) -> dict[str, str]:
    rows = view.published.ask(NAMES.format(name=view.name), scheme=scheme, from_day=from_day, to_day=to_day)
    special = {code: view.say(f"flow_{code.lower()}") for code in (NEW, ABSENT, "IDENTIFIED", "ERASED")}
    return {
        **dict(zip(rows["segment_code"], rows["name"], strict=True)),
        **special,
        OTHER: view.say("small_flows"),
    }


def _figures(view: View, flows: pd.DataFrame, moved: pd.DataFrame) -> None:
    came = flows.loc[flows["from_code"] == NEW, "users"].sum()
    left = flows.loc[flows["to_code"] == ABSENT, "users"].sum()
    both = flows[~flows["from_code"].isin([NEW]) & ~flows["to_code"].isin([ABSENT])]
    stayed = both.loc[both["from_code"] == both["to_code"], "users"].sum()
    known = max(int(both["users"].sum()), 1)
    with st.container(horizontal=True):
        st.metric(
            view.say("stayed"), looks.percent(stayed / known), help=view.say("stayed_means"), border=True
        )
        st.metric(view.say("moved"), looks.number(known - stayed), help=view.say("moved_means"), border=True)
        if "by_model" in moved:
            by_model = moved.loc[moved["from_code"] != moved["to_code"], "by_model"].sum()
            shown = looks.number(by_model) if by_model == 0 or by_model >= LEAST else f"< {LEAST}"
            st.metric(view.say("by_model"), shown, help=view.say("by_model_means"), border=True)
        st.metric(view.say("came"), looks.number(came), help=view.say("came_means"), border=True)
        st.metric(view.say("gone"), looks.number(left), help=view.say("gone_means"), border=True)


def _sankey(view: View, flows: pd.DataFrame, names: dict[str, str]) -> go.Figure:
    import plotly.graph_objects as go

    sources, targets = _by_size(flows, "from_code"), _by_size(flows, "to_code")
    place = {("from", code): at for at, code in enumerate(sources)}
    place |= {("to", code): at + len(sources) for at, code in enumerate(targets)}
    colours = {code: looks.SHADES[at % len(looks.SHADES)] for at, code in enumerate(sources)}
    labels = [names.get(code, code) for code in (*sources, *targets)]
    figure = go.Figure(
        go.Sankey(
            arrangement="snap",
            node={
                "label": labels,
                "color": [colours.get(code, looks.MUTED) for code in (*sources, *targets)],
                "pad": 14,
                "thickness": 14,
                "line": {"width": 0},
                "hovertemplate": "%{label}: %{value:,.0f}<extra></extra>",
            },
            link={
                "source": [place["from", code] for code in flows["from_code"]],
                "target": [place["to", code] for code in flows["to_code"]],
                "value": flows["users"].tolist(),
                "color": [
                    faded(looks.MUTED if one == other else colours[one], 0.35 if one == other else 0.5)
                    for one, other in zip(flows["from_code"], flows["to_code"], strict=True)
                ],
                "hovertemplate": "%{source.label} → %{target.label}<br>%{value:,.0f}<extra></extra>",
            },
        )
    )
    return looks.tidy(figure, 160 + 44 * max(len(sources), len(targets)))


def _by_size(flows: pd.DataFrame, end: str) -> list[str]:
    return list(flows.groupby(end)["users"].sum().sort_values(ascending=False).index)


def faded(colour: str, opacity: float) -> str:
    """Return a colour that lets what lies below shine through.

    Examples
    --------
    >>> faded("#0b7a75", 0.5)
    'rgba(11, 122, 117, 0.5)'
    """
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"
