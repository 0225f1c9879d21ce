"""One segment: what its users are like, how it grew, where its users stand elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from serving.dashboard import apart, looks
from serving.dashboard.folds import PLACED, cross, fold
from serving.dashboard.view import View, chart, choose, nothing, table, told
from serving.dashboard.views import segments
from serving.groups import LEAST, OTHER
from serving.small_groups import few

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

NOT_THERE = "none"

TOLD_BY_TENTHS = "value"
"""Its tiers are whole tenths on the day that a model comes into force: both would betray few users."""
NOT_BY_TENTHS = "lifecycle"
"""Like rfm it tells who has never ordered, so the tenths of both would."""

DECILES = f"""
    select segments.segment_code as from_code, coalesce(scores.decile::varchar, 'none') as to_code,
        count(*) as users
    from {PLACED} as segments
    left join bi.user_score_daily as scores
        on segments.user_key = scores.user_key and scores.as_of_date = $day
            and scores.score_name = 'high_value'
    where segments.scheme = $scheme and segments.as_of_date = $day
    group by all
    order by all
"""  # noqa: S608 - our own text
"""Of all segments: what is told of one is not to betray another."""

ELSEWHERE = f"""
    select segments.segment_code as from_code, coalesce(others.segment_code, 'none') as to_code,
        count(*) as users
    from {PLACED} as segments
    left join {PLACED} as others
        on segments.user_key = others.user_key and others.as_of_date = $day and others.scheme = $other
    where segments.scheme = $scheme and segments.as_of_date = $day
    group by all
    order by all
"""  # noqa: S608 - our own text

INDEX = """
    select feature, segment_value, population_value, index_100, effect_size, rank, {sentence} as sentence
    from bi.segment_feature_index
    where scheme = $scheme and segment_code = $code and as_of_date = $day
    order by rank
"""

STAYS = """
    with newest_stays as (
        select distinct on (user_key)
            case when valid_to <= $day then coalesce(exit_reason, 'absent') else 'still_there' end as reason,
            date_diff('day', valid_from, least(coalesce(valid_to, $day), $day)) as days
        from bi.user_segment_history
        where scheme = $scheme and segment_code = $code and valid_from <= $day
        order by user_key, valid_from desc
    )

    select reason, count(*) as users, median(days) as days_median
    from newest_stays
    group by reason
    order by users desc, reason
"""

JOURNEYS = """
    select rank, first_step, first_gap, middle_step, last_gap, last_step, users, user_share
    from bi.segment_journey
    where scheme = $scheme and segment_code = $code and as_of_date = $day and users >= $k
    order by rank
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
        ("favourites", favourites(segment), None),
    )
    with st.container(horizontal=True):
        for key, value, of_all in figures:
            told_of = view.say("of_all", share=of_all) if of_all else None
            st.metric(
                view.say(key),
                value,
                told_of,
                delta_color="off",
                delta_arrow="off",
                border=True,
                height="stretch",
            )


def favourites(segment: pd.Series) -> str:
    """Return what category and channel a segment's users prefer, where they have any."""
    return " · ".join(name for name in segment[["top_category", "top_channel"]] if not looks.is_missing(name))


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
    rows["feature"] = view.called("feature", rows["feature"])
    first = rows.head(10)
    told("<br>".join(map(escape, first["sentence"].dropna().head(5))))
    labels = [looks.wrapped(feature, 24) for feature in first["feature"]]
    chart(_index_bars(labels, first["index_100"].tolist(), [""] * len(first)), "index")
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
        figure.update_xaxes(tickformat="%Y-%m-%d", nticks=3, ticklabelstandoff=8)
        with place:
            told(view.say(key))
            chart(figure, f"history_{column}")


def _crossed(
    view: View, query: str, asked: dict[str, Any], tell: Callable[[pd.DataFrame], pd.DataFrame]
) -> dict[str, int]:
    """Return how many users of a segment stand where; nothing where no segment's users stand anywhere."""
    values = {name: value for name, value in asked.items() if name != "code"}
    cells = view.published.ask(query, **values)
    if (cells["to_code"] == NOT_THERE).all():
        return {}
    told_of = tell(cells)
    rows = told_of[told_of["from_code"] == asked["code"]].sort_values("users", ascending=False)
    return dict(zip(rows["to_code"], rows["users"], strict=True))


def _deciles(view: View, asked: dict[str, Any]) -> None:
    import plotly.graph_objects as go

    st.subheader(view.say("expected_value_tenths"))
    if asked["scheme"] == NOT_BY_TENTHS:
        nothing(view, view.say("tenths_elsewhere"))
        return
    users = _crossed(view, DECILES, asked, fold)
    if not users:
        nothing(view, view.say("no_scores"))
        return
    told(view.say("tenths_told", k=LEAST))
    names = {str(decile): str(decile) for decile in range(1, 11)}
    rest = {OTHER: view.say("untold"), NOT_THERE: view.say("no_score")}
    names |= {code: name for code, name in rest.items() if code in users}
    figure = go.Figure(
        go.Bar(
            x=list(names.values()),
            y=[users.get(code, 0) for code in names],
            marker={
                "color": [looks.ACCENT if code == "1" else looks.MUTED for code in names],
                "cornerradius": 3,
            },
            hovertemplate="%{x}: %{y:,.0f}<extra></extra>",
        )
    )
    looks.tidy(figure, 260, bargap=0.3)
    figure.update_yaxes(showgrid=True)
    figure.update_xaxes(type="category")
    chart(figure, "deciles")


def _elsewhere(view: View, asked: dict[str, Any]) -> None:
    import pandas as pd

    st.subheader(view.say("elsewhere"))
    if asked["scheme"] == TOLD_BY_TENTHS:
        nothing(view, view.say("elsewhere_by_tenths"))
        return
    told(view.say("elsewhere_told", k=LEAST))
    rows = []
    for other in view.schemes():
        if other in (asked["scheme"], TOLD_BY_TENTHS):
            continue
        profile = segments.profile_of(view, other, asked["day"])
        names = dict(zip(profile["segment_code"], profile[view.name], strict=True))
        names |= {OTHER: view.say("untold"), NOT_THERE: view.say("not_there")}
        tell = partial(cross, is_turned=asked["scheme"] > other)
        for code, users in _crossed(view, ELSEWHERE, asked | {"other": other}, tell).items():
            rows.append((view.say(f"scheme_{other}"), names.get(code, code), users, code))
    headings = {
        "scheme": (view.say("scheme"), "text"),
        "name": (view.say("segment"), "text"),
        "users": (view.say("users"), "number"),
    }
    table(view, pd.DataFrame(rows, columns=[*headings, "to_code"]), "elsewhere", headings)


def _stays(view: View, asked: dict[str, Any]) -> None:
    if not view.published.has("user_segment_history"):
        return
    st.subheader(view.say("stays"))
    told(view.say("stays_told", k=LEAST))
    rows = stays_told(view.published.ask(STAYS, **asked))
    if rows.empty:
        nothing(view, view.say("nobody_stayed", k=LEAST))
        return
    names = {OTHER: view.say("untold")}
    rows["is_folded"] = rows["reason"] == OTHER
    rows["reason"] = rows["reason"].map(lambda reason: names.get(reason) or view.say(f"exit_{reason}"))
    headings = {
        "reason": (view.say("reason"), "text"),
        "users": (view.say("users"), "number"),
        "days_median": (view.say("days_median"), "number"),
    }
    table(view, rows, "stays", headings)


def stays_told(rows: pd.DataFrame, k: int = LEAST) -> pd.DataFrame:
    """Return reasons with their users, those of few users told together, and of them no median."""
    sizes = rows.set_index("reason")["users"]
    is_few = few(sizes, k)
    shown = rows.set_index("reason")[~is_few]
    if sizes[is_few].sum() >= k:
        shown.loc[OTHER, "users"] = sizes[is_few].sum()
    return shown.astype({"users": "int64"}).reset_index()


def _journeys(view: View, asked: dict[str, Any]) -> None:
    st.subheader(view.say("journeys"))
    rows = view.published.ask(JOURNEYS, k=LEAST, **asked)
    if rows.empty:
        nothing(view, view.say("no_journeys", k=LEAST))
        return
    for column in ("first_step", "middle_step", "last_step"):
        rows[column] = rows[column].map(lambda step: _step(view, step))
    for column in ("first_gap", "last_gap"):
        rows[column] = view.called("gap", rows[column])
    headings = {
        "rank": (view.say("journey_rank"), "number"),
        "first_step": (view.say("journey_first_step"), "text"),
        "first_gap": (view.say("journey_gap"), "text"),
        "middle_step": (view.say("journey_middle_step"), "text"),
        "last_gap": (view.say("journey_gap"), "text"),
        "last_step": (view.say("journey_last_step"), "text"),
        "users": (view.say("users"), "number"),
        "user_share": (view.say("share_of_users"), "percent"),
    }
    table(view, rows, "journeys", headings)


def _step(view: View, step: str) -> str:
    event, _, category = step.partition(" ")
    act = view.call("act", event)
    return view.say("act_on", act=act, category=category) if category else act


def _meanings(view: View, meaning: pd.DataFrame, code: str) -> None:
    with st.expander(view.say("what_it_meant"), icon=":material/history:"):
        told(view.say("code_told", code=code))
        shown = meaning.assign(event=view.called("event", meaning["event"]))
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
