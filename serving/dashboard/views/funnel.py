"""The funnel by segment: how far users of each go on a day, and what was carted and not bought."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from serving.dashboard import looks
from serving.dashboard.view import View, chart, choose, nothing, table, told
from serving.groups import LEAST, OTHER
from serving.small_groups import AMOUNTS, PAIRS, STEPS, WINDOWS, counted, in_tens, large

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

ALL = "all"

KEY = ("date", "scheme", "segment_code", "channel")
COLUMNS = {
    **{step: f"{step}_users" for step in STEPS},
    **{f"{first}_{then}": f"{first}_to_{then}_share" for first, then in PAIRS},
    **{amount: amount for amount in AMOUNTS.values()},
}
"""What is shown of a window, and the column of a day that tells it."""
PARTS, FUNNEL = counted("funnel_daily", [*KEY, *COLUMNS.values()])


def _sum(name: str, column: str) -> str:
    """Return how many took a step in a window, or what as many brought."""
    at = next(at for at, part in enumerate(PARTS) if part.columns[0] == column)
    if PARTS[at].known_by != "money":
        return f"{in_tens(at)} as {name}"
    return (
        f"(sum({column}) * nullif({in_tens(at)}, 0) / nullif(sum(users_{at}), 0))::decimal(18, 2) as {name}"
    )


SUMMED = f"""
    select
        segment_code,
        max({{name}}) as name,
        sum(users)::bigint as user_days,
        {", ".join(_sum(*shown) for shown in COLUMNS.items())}
    {FUNNEL}
    where scheme = $scheme
        and date > (select max(date) from bi.funnel_daily) - to_days($window)
        and ($channel = 'all' or channel = $channel)
    group by segment_code
    order by user_days desc, segment_code
"""  # noqa: S608 - our own text
"""A window's days that tell a step, and in tens those on which few took it."""

CHANNELS = f"""
    select distinct channel {large("funnel_daily")}
        and scheme = $scheme and date > (select max(date) from bi.funnel_daily) - to_days($window)
    order by channel
"""  # noqa: S608 - our own text


def render(view: View) -> None:
    """Show the page."""
    schemes = view.schemes()
    if not schemes:
        nothing(view, view.say("no_segments"), f"python -m serving publish --shop {view.published.shop}")
        return
    left, middle, right = st.columns(3)
    with left:
        scheme = choose("scheme", view.say("scheme"), schemes, lambda one: view.say(f"scheme_{one}"))
    with middle:
        window = choose("window", view.say("window"), WINDOWS, lambda n: view.say("last_days", n=n), 28)
    found = view.published.ask(CHANNELS, scheme=scheme, window=window)
    channels = found["channel"].tolist()
    names = {ALL: view.say("all"), OTHER: view.say("small_channels"), "unknown": view.say("unknown")}
    with right:
        channel = choose(
            "channel",
            view.say("channel"),
            [ALL, *channels],
            lambda one: names.get(one, one),
        )
    query = SUMMED.format(name=view.name)
    rows = view.published.ask(query, scheme=scheme, window=window, channel=channel)
    if rows.empty:
        nothing(view, view.say("too_few_users", k=LEAST))
        return
    _figures(view, rows)
    st.subheader(view.say("how_far"))
    told(view.say("funnel_told", k=LEAST))
    chart(_steps(view, rows), "steps")
    st.subheader(view.say("by_segment"))
    told(view.say("by_segment_told"))
    chart(_conversion(view, rows), "conversion")
    with st.expander(view.say("all_figures"), icon=":material/table:"):
        columns = {"name": (view.say("segment"), "text"), "user_days": (view.say("user_days"), "number")}
        columns |= {step: (view.say(f"step_{step}"), "number") for step in STEPS}
        columns |= {
            "net_revenue_amount": (view.say("net_revenue"), "money"),
            "abandoned_amount": (view.say("left_in_carts"), "money"),
        }
        table(view, rows.assign(channel=channel), f"funnel_{scheme}_{window}_{channel}", columns)


def _figures(view: View, rows: pd.DataFrame) -> None:
    total = rows[[*STEPS, *(f"{first}_{then}" for first, then in PAIRS)]].sum()
    with st.container(horizontal=True):
        st.metric(view.say("user_days"), looks.number(rows["user_days"].sum()), border=True)
        for first, then in PAIRS[1:4]:
            share = looks.percent(_share(total[f"{first}_{then}"], total[first]))
            st.metric(view.say(f"{first}_to_{then}"), share, border=True)
        for key, amount in (("net_revenue", "net_revenue_amount"), ("left_in_carts", "abandoned_amount")):
            st.metric(view.say(key), view.money(rows[amount].sum(min_count=1)), border=True)


def _share(part: float, whole: float) -> float | None:
    """Return a share; who took two steps may be rounded to more than who took the first."""
    return None if looks.is_missing(part) or not whole else min(float(part) / float(whole), 1.0)


def _steps(view: View, rows: pd.DataFrame) -> go.Figure:
    import plotly.graph_objects as go

    totals = [float(rows[step].sum()) for step in STEPS]
    most = max(totals) or 1
    figure = go.Figure(
        go.Bar(
            x=[view.say(f"step_{step}").replace(" ", "<br>") for step in STEPS],
            y=totals,
            marker={"color": looks.ACCENT, "cornerradius": 4},
            text=[f"{looks.number(total)}<br>{looks.percent(total / most, 0)}" for total in totals],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{x}: %{y:,.0f}<extra></extra>",
        )
    )
    looks.tidy(figure, 300, bargap=0.35)
    return figure.update_yaxes(visible=False, range=[0, most * 1.2])


def _conversion(view: View, rows: pd.DataFrame) -> go.Figure:
    import plotly.graph_objects as go

    shares = [
        [_share(row[f"{first}_{then}"], row[first]) for first, then in PAIRS]
        for row in rows.to_dict("records")
    ]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=[_pair(view, first, then) for first, then in PAIRS],
            y=[looks.wrapped(str(name)) for name in rows["name"]],
            text=[[looks.percent(share, 0) for share in row] for row in shares],
            texttemplate="%{text}",
            colorscale=looks.SCALE,
            zmin=0,
            zmax=1,
            xgap=3,
            ygap=3,
            showscale=False,
            hovertemplate="%{y}<br>%{x}: %{text}<extra></extra>",
        )
    )
    looks.tidy(figure, 110 + 44 * len(rows))
    figure.update_yaxes(autorange="reversed", ticks="")
    return figure.update_xaxes(side="top", tickangle=0, ticks="", tickfont={"size": 11})


def _pair(view: View, first: str, then: str) -> str:
    return "<br>".join((view.say(f"step_{first}"), "→", view.say(f"step_{then}"))).replace(" ", "<br>")
