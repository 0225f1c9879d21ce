"""One segment: what its users are like, how it grew, where its users stand elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from serving.dashboard import apart, looks
from serving.dashboard.view import View, chart, choose, nothing, table, told
from serving.dashboard.views import segments
from serving.groups import LEAST

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MEANING = """
    select {name} as name, {description} as description, valid_from, valid_to, event, kind, model_version,
        parent_code
    from bi.dim_segment
    where scheme = $scheme and segment_code = $code
    order by valid_from desc
"""

DECILES = """
    select scores.decile, count(*) as users
    from bi.user_segment_daily as segments
    inner join bi.user_score_daily as scores
        on segments.user_key = scores.user_key and segments.as_of_date = scores.as_of_date
    where segments.scheme = $scheme and segments.segment_code = $code and segments.as_of_date = $day
        and scores.score_name = 'high_value'
    group by scores.decile
    order by scores.decile
"""

ELSEWHERE = """
    select others.scheme, others.segment_code, max(others.{name}) as name, count(*) as users
    from bi.user_segment_daily as segments
    inner join bi.user_segment_daily as others
        on segments.user_key = others.user_key and segments.as_of_date = others.as_of_date
    where segments.scheme = $scheme and segments.segment_code = $code and segments.as_of_date = $day
        and others.scheme <> $scheme
    group by others.scheme, others.segment_code
    having count(*) >= $k
    order by others.scheme, users desc
"""

INDEX = """
    select feature, segment_value, population_value, index_100, effect_size, rank, {sentence} as sentence
    from bi.segment_feature_index
    where scheme = $scheme and segment_code = $code and as_of_date = $day
    order by rank
"""

STAYS = """
    select coalesce(exit_reason, 'still_there') as reason, count(*) as users,
        median(date_diff('day', valid_from, coalesce(valid_to, $day))) as days_median
    from bi.user_segment_history
    where scheme = $scheme and segment_code = $code and valid_from <= $day
    group by 1
    having count(*) >= $k
    order by users desc
"""

JOURNEYS = """
    select * from bi.segment_journey
    where scheme = $scheme and segment_code = $code and as_of_date = $day and users >= $k
    order by users desc
    limit 20
"""


def render(view: View) -> None:
    """Show the page."""
    days = view.days()
    if not days:
        nothing(view, view.say("no_segments"), f"python -m serving publish --shop {view.published.shop}")
        return
    left, middle, right = st.columns(3)
    with left:
        scheme = choose("scheme", view.say("scheme"), view.schemes(), lambda one: view.say(f"scheme_{one}"))
    with right:
        day = choose("day", view.say("day"), days, view.day)
    profile = segments.profile_of(view, scheme, day)
    named = profile[~profile["is_folded"]]
    if named.empty:
        nothing(view, view.say("too_few_users", k=LEAST))
        return
    names = dict(zip(named["segment_code"], named[view.name], strict=True))
    with middle:
        code = choose("segment", view.say("segment"), list(names), lambda one: names[one])
    asked = {"scheme": scheme, "code": code, "day": day}
    meaning = _meaning(view, scheme, code)
    st.subheader(names[code])
    if not meaning.empty and meaning["description"].iloc[0]:
        told(escape(meaning["description"].iloc[0]))
    _figures(view, named[named["segment_code"] == code].iloc[0])
    st.subheader(view.say("beside_the_average"))
    _beside_the_average(view, profile, asked)
    _history(view, scheme, code)
    one, other = st.columns(2)
    with one:
        _deciles(view, asked)
    with other:
        _elsewhere(view, asked)
    _stays(view, asked)
    _journeys(view, asked)
    _meanings(view, meaning, code)


def _meaning(view: View, scheme: str, code: str) -> pd.DataFrame:
    query = MEANING.format(name=view.name, description=f"description_{view.language}")
    return view.published.ask(query, scheme=scheme, code=code)


def _figures(view: View, segment: pd.Series) -> None:
    figures = (
        ("users", looks.number(segment["users"]), looks.percent(segment["user_share"])),
        ("net_revenue", view.money(segment["net_revenue_amount"]), looks.percent(segment["revenue_share"])),
        ("measure_average_order_amount", view.money(segment["average_order_amount"]), None),
        ("measure_recency_days_median", looks.number(segment["recency_days_median"], 0), None),
        ("favourites", " · ".join(filter(None, (segment["top_category"], segment["top_channel"]))), None),
    )
    with st.container(horizontal=True):
        for key, value, of_all in figures:
            told_of = view.say("of_all", share=of_all) if of_all else None
            st.metric(view.say(key), value, told_of, delta_color="off", delta_arrow="off", border=True)


def _beside_the_average(view: View, profile: pd.DataFrame, asked: dict[str, Any]) -> None:
    if view.published.has("segment_feature_index"):
        rows = view.published.ask(INDEX.format(sentence=f"sentence_{view.language}"), **asked)
        if not rows.empty:
            _index_told(view, rows)
            return
    rows = apart.measured(profile)
    rows = rows[rows["segment_code"] == asked["code"]]
    labels = [view.say(f"measure_{measure}") for measure in rows["measure"]]
    texts = [
        f"{apart.written(view, row.measure, row.value)} · {view.say('average')} "
        f"{apart.written(view, row.measure, row.average)}"
        for row in rows.itertuples()
    ]
    told(view.say("index_told"))
    chart(_index_bars(labels, rows["index_100"].tolist(), texts), "index")


def _index_told(view: View, rows: pd.DataFrame) -> None:
    first = rows.head(10)
    told("<br>".join(map(escape, first["sentence"].dropna().head(5))))
    chart(_index_bars(first["feature"].tolist(), first["index_100"].tolist(), [""] * len(first)), "index")
    with st.expander(view.say("all_features"), icon=":material/table:"):
        columns = {
            "feature": (view.say("feature"), "text"),
            "segment_value": (view.say("segment"), "decimal"),
            "population_value": (view.say("average"), "decimal"),
            "index_100": (view.say("index"), "number"),
            "effect_size": (view.say("effect_size"), "decimal"),
            "sentence": (view.say("in_words"), "text"),
        }
        table(view, rows, "feature_index", columns)


def _index_bars(labels: list[str], indexes: list[float], texts: list[str]) -> go.Figure:
    import plotly.graph_objects as go

    # Bars begin at the average; what is far beyond it would flatten all the others.
    lengths = [max(-100.0, min(300.0, index - 100)) for index in indexes]
    figure = go.Figure(
        go.Bar(
            y=labels[::-1],
            x=lengths[::-1],
            base=100,
            orientation="h",
            marker={
                "color": [looks.ACCENT if length >= 0 else looks.MUTED for length in lengths[::-1]],
                "cornerradius": 3,
            },
            customdata=[[looks.number(index), text] for index, text in zip(indexes, texts, strict=True)][
                ::-1
            ],
            text=[looks.number(index) for index in indexes[::-1]],
            textposition="auto",
            insidetextanchor="end",
            hovertemplate="%{y}: %{customdata[0]}<br>%{customdata[1]}<extra></extra>",
        )
    )
    figure.add_vline(100, line={"color": looks.INK, "width": 1})
    looks.tidy(figure, 60 + 34 * len(labels), bargap=0.35)
    return figure.update_xaxes(range=[-5, max(220, 110 + max(lengths, default=0))])


def _history(view: View, scheme: str, code: str) -> None:
    import plotly.graph_objects as go

    rows = view.published.ask(
        "select as_of_date, users, net_revenue_last_90_days "  # noqa: S608 - our own text
        f"from {view.published.groups('segment_profile_daily')} "
        "where scheme = $scheme and segment_code = $code order by as_of_date",
        scheme=scheme,
        code=code,
    )
    st.subheader(view.say("through_time"))
    if len(rows) < 2:
        nothing(view, view.say("one_day_only"))
        return
    left, right = st.columns(2)
    for place, column, key in (
        (left, "users", "users"),
        (right, "net_revenue_last_90_days", "net_revenue_90"),
    ):
        figure = go.Figure(
            go.Scatter(
                x=rows["as_of_date"],
                y=rows[column],
                mode="lines+markers",
                line={"color": looks.ACCENT, "width": 2.5},
                marker={"size": 6},
                hovertemplate="%{x|%Y-%m-%d}: %{y:,.0f}<extra></extra>",
            )
        )
        looks.tidy(figure, 230)
        figure.update_yaxes(rangemode="tozero", tickformat=",.0f", showgrid=True)
        figure.update_xaxes(tickformat="%Y-%m-%d", nticks=4)
        with place:
            told(view.say(key))
            chart(figure, f"history_{column}")


def _deciles(view: View, asked: dict[str, Any]) -> None:
    import plotly.graph_objects as go

    st.subheader(view.say("expected_value_tenths"))
    rows = view.published.ask(DECILES, **asked)
    shown = rows[rows["users"] >= LEAST]
    if shown.empty:
        nothing(view, view.say("no_scores"))
        return
    told(view.say("tenths_told", k=LEAST))
    figure = go.Figure(
        go.Bar(
            x=shown["decile"],
            y=shown["users"],
            marker={
                "color": [looks.ACCENT if decile == 1 else looks.MUTED for decile in shown["decile"]],
                "cornerradius": 3,
            },
            hovertemplate="%{x}: %{y:,.0f}<extra></extra>",
        )
    )
    looks.tidy(figure, 260, bargap=0.3)
    figure.update_yaxes(showgrid=True)
    figure.update_xaxes(tickmode="array", tickvals=list(range(1, 11)), range=[0.4, 10.6])
    chart(figure, "deciles")


def _elsewhere(view: View, asked: dict[str, Any]) -> None:
    st.subheader(view.say("elsewhere"))
    told(view.say("elsewhere_told", k=LEAST))
    rows = view.published.ask(ELSEWHERE.format(name=view.name), k=LEAST, **asked)
    rows["scheme"] = rows["scheme"].map(lambda scheme: view.say(f"scheme_{scheme}"))
    headings = {
        "scheme": (view.say("scheme"), "text"),
        "name": (view.say("segment"), "text"),
        "users": (view.say("users"), "number"),
    }
    table(view, rows, "elsewhere", headings, 230)


def _stays(view: View, asked: dict[str, Any]) -> None:
    if not view.published.has("user_segment_history"):
        return
    st.subheader(view.say("stays"))
    told(view.say("elsewhere_told", k=LEAST))
    rows = view.published.ask(STAYS, k=LEAST, **asked)
    rows["reason"] = rows["reason"].map(lambda reason: view.say(f"exit_{reason}"))
    headings = {
        "reason": (view.say("reason"), "text"),
        "users": (view.say("stays_counted"), "number"),
        "days_median": (view.say("days_median"), "number"),
    }
    table(view, rows, "stays", headings)


def _journeys(view: View, asked: dict[str, Any]) -> None:
    st.subheader(view.say("journeys"))
    if not view.published.has("segment_journey"):
        nothing(view, view.say("no_journeys"))
        return
    rows = view.published.ask(JOURNEYS, k=LEAST, **asked)
    hidden = {"scheme", "segment_code", "as_of_date", "run_id", "segment_name_en", "segment_name_zh"}
    kinds = {"users": "number", "user_share": "percent", "share": "percent"}
    headings = {
        column: (column.replace("_", " "), kinds.get(column, "text"))
        for column in rows
        if column not in hidden
    }
    table(view, rows, "journeys", headings)


def _meanings(view: View, meaning: pd.DataFrame, code: str) -> None:
    with st.expander(view.say("what_it_meant"), icon=":material/history:"):
        told(view.say("code_told", code=code))
        shown = meaning.assign(event=meaning["event"].map(lambda event: view.say(f"event_{event}")))
        columns = {
            "name": (view.say("segment"), "text"),
            "event": (view.say("event"), "text"),
            "valid_from": (view.say("valid_from"), "date"),
            "valid_to": (view.say("valid_to"), "date"),
            "model_version": (view.say("model_version"), "text"),
            "parent_code": (view.say("parent"), "text"),
            "description": (view.say("description"), "text"),
        }
        table(view, shown, "definitions", columns)
