"""Flows between two published days: who stayed, who moved, who came and who left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st

from serving.dashboard import looks
from serving.dashboard.folds import ENDS, PLACED, fold
from serving.dashboard.view import View, chart, choose, nothing, table, told
from serving.groups import LEAST, OTHER
from serving.small_groups import NOWHERE

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

NEW, ABSENT, *_ = NOWHERE

MOVED = f"""
    select
        coalesce(earlier.segment_code, 'NEW') as from_code,
        coalesce(later.segment_code, 'ABSENT') as to_code,
        count(*) as users
    from (
        select user_key, segment_code from {PLACED} as placed
        where as_of_date = $from_day and scheme = $scheme
    ) as earlier
    full join (
        select user_key, segment_code from {PLACED} as placed
        where as_of_date = $to_day and scheme = $scheme
    ) as later on earlier.user_key = later.user_key
    group by all
    order by all
"""  # noqa: S608 - our own text

WORTH = "net_revenue_amount"

PUBLISHED = """
    select from_code, to_code, sum(users)::bigint as users,
        coalesce(sum(users) filter (where cause = 'model'), 0)::bigint as by_model,
        sum(net_revenue_amount)::double as net_revenue_amount
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
    flows = worth(fold(moved), moved)
    if flows.empty:
        nothing(view, view.say("too_few_users", k=LEAST))
        return
    _figures(view, flows, moved)
    worth_told = view.say("flows_worth_told") if WORTH in flows else view.say("flows_worth_nowhere")
    told(view.say("flows_told", k=LEAST) + " " + worth_told)
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
            WORTH: (view.say("net_revenue"), "money"),
        }
        table(view, named, f"flows_{scheme}_{from_day}_{to_day}", headings)


def _flows(view: View, scheme: str, from_day: Any, to_day: Any) -> pd.DataFrame:
    asked = {"scheme": scheme, "from_day": from_day, "to_day": to_day}
    if view.published.has("segment_migration"):
        flows = view.published.ask(PUBLISHED, **asked)
        if not flows.empty:
            return flows
    return view.published.ask(MOVED, **asked)


def _names(view: View, scheme: str, from_day: Any, to_day: Any) -> dict[str, str]:
    rows = view.published.ask(NAMES.format(name=view.name), scheme=scheme, from_day=from_day, to_day=to_day)
    special = {code: view.say(f"flow_{code.lower()}") for code in NOWHERE}
    return {
        **dict(zip(rows["segment_code"], rows["name"], strict=True)),
        **special,
        OTHER: view.say("small_flows"),
    }


class Counts(NamedTuple):
    """Users by what is known of them."""

    stayed: int
    moved: int
    untold: int
    came: int
    gone: int


def count(flows: pd.DataFrame) -> Counts:
    """Count who stayed and who moved where both segments are told, and those of whom neither is known."""
    is_of_both = ~flows["from_code"].isin(NOWHERE) & ~flows["to_code"].isin(NOWHERE)
    is_untold = is_of_both & ((flows["from_code"] == OTHER) | (flows["to_code"] == OTHER))
    is_stay = flows["from_code"] == flows["to_code"]
    groups = (
        is_of_both & ~is_untold & is_stay,
        is_of_both & ~is_untold & ~is_stay,
        is_untold,
        flows["from_code"] == NEW,
        flows["to_code"] == ABSENT,
    )
    return Counts(*(int(flows.loc[group, "users"].sum()) for group in groups))


def by_model(flows: pd.DataFrame, moved: pd.DataFrame) -> int:
    """Count those whom the model moved of all that the flows, as they are told, count as moved."""
    caused = moved.groupby(ENDS, as_index=False)["by_model"].sum()
    told = flows.merge(caused, on=ENDS, how="left").fillna({"by_model": 0})
    return count(told.assign(users=told["by_model"])).moved


def worth(flows: pd.DataFrame, moved: pd.DataFrame) -> pd.DataFrame:
    """Add what the users of each flow brought, where that is published.

    ``bi.segment_migration`` is folded already, and tells no amount that betrays few users; of a flow with
    which this page tells others together nothing is told.
    """
    if WORTH not in moved:
        return flows
    return flows.merge(moved[[*ENDS, "users", WORTH]], on=[*ENDS, "users"], how="left")


def _beside(some: int, all_of_them: int) -> str:
    """Return a count of some users as it may stand beside that of all: never of few, nor of all but few.

    >>> [_beside(some, 100) for some in (0, 3, 40, 95, 100)]
    ['0', '< 10', '40', '> 90', '100']
    """
    if 0 < some < LEAST:
        return f"< {LEAST}"
    if 0 < all_of_them - some < LEAST:
        return f"> {looks.number(all_of_them - LEAST)}"
    return looks.number(some)


def _figures(view: View, flows: pd.DataFrame, moved: pd.DataFrame) -> None:
    counts = count(flows)
    known = counts.stayed + counts.moved
    figures = {
        "stayed": looks.percent(counts.stayed / known if known else None),
        "moved": looks.number(counts.moved),
    }
    if "by_model" in moved:
        figures["by_model"] = _beside(by_model(flows, moved), counts.moved)
    figures |= {name: looks.number(getattr(counts, name)) for name in ("untold", "came", "gone")}
    brought = _brought(view, flows)
    with st.container(horizontal=True):
        for name, figure in figures.items():
            st.metric(
                view.say(name),
                figure,
                brought.get(name),
                delta_color="off",
                delta_arrow="off",
                help=view.say(f"{name}_means"),
                border=True,
                height="stretch",
            )


def _brought(view: View, flows: pd.DataFrame) -> dict[str, str]:
    """Return what those who moved, came and went have brought, each in words."""
    if WORTH not in flows or flows[WORTH].isna().any():
        return {}
    amounts = count(flows.assign(users=flows[WORTH]))
    return {
        name: view.say("worth", money=view.money(getattr(amounts, name)))
        for name in ("moved", "came", "gone")
    }


def _sankey(view: View, flows: pd.DataFrame, names: dict[str, str]) -> go.Figure:
    import plotly.graph_objects as go

    sources, targets = _by_size(flows, "from_code"), _by_size(flows, "to_code")
    place = {("from", code): at for at, code in enumerate(sources)}
    place |= {("to", code): at + len(sources) for at, code in enumerate(targets)}
    colours = {code: looks.SHADES[at % len(looks.SHADES)] for at, code in enumerate(sources)}
    colours[OTHER] = looks.MUTED
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
                    faded(looks.MUTED, 0.35)
                    if one == other or OTHER in (one, other)
                    else faded(colours[one], 0.5)
                    for one, other in zip(flows["from_code"], flows["to_code"], strict=True)
                ],
                "customdata": _hovers(view, flows),
                "hovertemplate": "%{source.label} → %{target.label}<br>"
                "%{value:,.0f}%{customdata}<extra></extra>",
            },
        )
    )
    return looks.tidy(figure, 160 + 44 * max(len(sources), len(targets)))


def _hovers(view: View, flows: pd.DataFrame) -> list[str]:
    amounts = flows[WORTH] if WORTH in flows else [None] * len(flows)
    return ["" if looks.is_missing(amount) else f" · {view.money(amount)}" for amount in amounts]


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
