"""Cohorts: customers by the month of their first purchase, whether they come back, and what they bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from serving.dashboard import looks
from serving.dashboard.view import View, chart, nothing, table, told
from serving.groups import LEAST

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MONTHS_SHOWN = 24


def render(view: View) -> None:
    """Show the page."""
    cohorts = view.published.ask(
        f"select * from {view.published.groups('customer_cohort_monthly')} "  # noqa: S608 - our own text
        "order by cohort_month, month_number"
    )
    if cohorts.empty:
        nothing(view, view.say("no_cohorts", k=LEAST))
        return
    newest = cohorts["cohort_month"].max()
    recent = cohorts[cohorts["cohort_month"] > newest - _months(MONTHS_SHOWN)]
    _figures(view, recent)
    st.subheader(view.say("do_they_return"))
    told(view.say("cohorts_told", k=LEAST, k_less=LEAST - 1))
    chart(_heat(view, recent), "retention")
    st.subheader(view.say("brought_so_far"))
    told(view.say("brought_told"))
    chart(_lines(recent), "brought")
    with st.expander(view.say("all_figures"), icon=":material/table:"):
        columns = {
            "cohort_month": (view.say("first_month"), "date"),
            "month_number": (view.say("months_since"), "number"),
            "users": (view.say("customers"), "number"),
            "buyers": (view.say("buyers"), "number"),
            "orders": (view.say("orders"), "number"),
            "net_revenue_amount": (view.say("net_revenue"), "money"),
            "retention_share": (view.say("retention"), "percent"),
        }
        table(view, cohorts, "cohorts", columns)


def _months(count: int) -> pd.DateOffset:
    import pandas as pd

    return pd.DateOffset(months=count)


def _figures(view: View, cohorts: pd.DataFrame) -> None:
    first = cohorts[cohorts["month_number"] == 0]
    with st.container(horizontal=True):
        st.metric(view.say("customers"), looks.number(first["users"].sum()), border=True)
        for month in (1, 3):
            later = cohorts[(cohorts["month_number"] == month) & cohorts["retention_share"].notna()]
            # The month that has just begun says nothing of who will have returned by its end.
            whole = later[later["cohort_month"] + _months(month + 1) <= _end(cohorts)]
            users = whole["users"].sum()
            share = (whole["retention_share"] * whole["users"]).sum() / users if users else None
            st.metric(
                view.say("returned_after", months=month),
                looks.percent(share),
                help=view.say("returned_means"),
                border=True,
            )


def _end(cohorts: pd.DataFrame) -> pd.Timestamp:
    """Return the first day of the newest month."""
    return max(
        month + _months(int(number))
        for month, number in zip(cohorts["cohort_month"], cohorts["month_number"], strict=True)
    )


def _heat(view: View, cohorts: pd.DataFrame) -> go.Figure:
    import plotly.graph_objects as go

    grid = cohorts.pivot(index="cohort_month", columns="month_number", values="retention_share")
    grid = grid.drop(columns=0, errors="ignore")
    sizes = cohorts[cohorts["month_number"] == 0].set_index("cohort_month")["users"]
    labels = [f"{month:%Y-%m} · {looks.number(sizes.get(month))}" for month in grid.index]
    texts = [[looks.percent(share, 0) if share == share else "" for share in row] for row in grid.values]
    figure = go.Figure(
        go.Heatmap(
            z=grid.values,
            x=[f"+{month}" for month in grid.columns],
            y=labels,
            text=texts,
            texttemplate="%{text}",
            colorscale=looks.SCALE,
            zmin=0,
            zmax=float(grid.max().max()) if grid.size else 1,
            xgap=3,
            ygap=3,
            showscale=False,
            hoverongaps=False,
            hovertemplate="%{y}<br>%{x}: %{text}<extra></extra>",
        )
    )
    looks.tidy(figure, 90 + 40 * len(grid))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(side="top", showgrid=False, type="category")


def _lines(cohorts: pd.DataFrame) -> go.Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    groups = list(cohorts.groupby("cohort_month"))
    for at, (month, rows) in enumerate(groups):
        # A month that is not shown leaves a sum that would be too low.
        amounts = (rows["net_revenue_amount"].cumsum(skipna=False) / rows["users"]).where(
            rows["net_revenue_amount"].notna().cummin()
        )
        newest = at == len(groups) - 1
        figure.add_scatter(
            x=rows["month_number"],
            y=amounts,
            name=f"{month:%Y-%m}",
            mode="lines+markers",
            line={"width": 2.5, "color": looks.SHADES[at % len(looks.SHADES)]},
            marker={"size": 8 if newest else 5},
            hovertemplate="%{fullData.name} +%{x}: %{y:,.2f}<extra></extra>",
        )
    looks.tidy(figure, 330)
    figure.update_xaxes(dtick=1, tickprefix="+")
    return figure.update_yaxes(rangemode="tozero", tickformat=",.0f", showgrid=True)
