"""Today's segments: how large they are, what they bring, what sets them apart."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from serving.dashboard import apart, looks
from serving.dashboard.view import View, choose, nothing, table, told
from serving.groups import LEAST

if TYPE_CHECKING:
    import pandas as pd

CARDS_IN_A_ROW = 3


def render(view: View) -> None:
    """Show the page."""
    days, schemes = view.days(), view.schemes()
    if not days:
        nothing(view, view.say("no_segments"), f"python -m serving publish --shop {view.published.shop}")
        return
    left, right = st.columns(2)
    with left:
        scheme = choose("scheme", view.say("scheme"), schemes, lambda one: view.say(f"scheme_{one}"))
    with right:
        day = choose("day", view.say("day"), days, view.day)
    told(view.say(f"scheme_{scheme}_means"))
    profile = profile_of(view, scheme, day)
    earlier = [one for one in days if one < day]
    _figures(view, total_of(view, scheme, day), total_of(view, scheme, earlier[0]) if earlier else None)
    st.subheader(view.say("size_and_money"))
    st.html(bars(view, profile))
    st.subheader(view.say("what_sets_apart"))
    _cards(view, profile)
    with st.expander(view.say("all_figures"), icon=":material/table:"):
        table(view, profile, f"segments_{scheme}", columns(view))


def profile_of(view: View, scheme: str, day: Any) -> pd.DataFrame:
    """Return the segments of a day, the one that brings most first."""
    return view.published.ask(
        f"select * from {view.published.groups('segment_profile_daily')} "  # noqa: S608 - our own text
        "where scheme = $scheme and as_of_date = $day "
        "order by net_revenue_amount desc, users desc, segment_code",
        scheme=scheme,
        day=day,
    )


TOTALS = """
    with sum_segments as (
        select
            sum(users) as users,
            sum(active_last_7_days) as active,
            sum(buyers_last_30_days) as buyers,
            sum(net_revenue_amount) as net_revenue_amount,
            sum(net_revenue_last_90_days) as net_revenue_last_90_days
        from bi.segment_profile_daily
        where scheme = $scheme and as_of_date = $day and users >= $k
    )

    select
        users, net_revenue_amount, net_revenue_last_90_days,
        case when active = 0 or least(active, users - active) >= $k then active end as active_last_7_days,
        case when buyers = 0 or least(buyers, users - buyers) >= $k then buyers end as buyers_last_30_days
    from sum_segments
"""
"""Of all segments, also of those whose few active users or buyers are not told."""


def total_of(view: View, scheme: str, day: Any) -> pd.Series:
    """Return what all segments of a day come to."""
    return view.published.ask(TOTALS, scheme=scheme, day=day, k=LEAST).iloc[0]


def columns(view: View) -> dict[str, tuple[str, str]]:
    """Return what a table of segments shows."""
    kinds = {
        view.name: ("segment", "text"),
        "users": ("users", "number"),
        "user_share": ("share_of_users", "percent"),
        "net_revenue_amount": ("net_revenue", "money"),
        "revenue_share": ("share_of_revenue", "percent"),
        "net_revenue_last_90_days": ("net_revenue_90", "money"),
        "average_order_amount": ("measure_average_order_amount", "money"),
        "orders_last_90_days_avg": ("measure_orders_last_90_days_avg", "decimal"),
        "active_last_7_days": ("active_7", "number"),
        "buyers_last_30_days": ("buyers_30", "number"),
        "recency_days_median": ("measure_recency_days_median", "number"),
        "discount_share": ("measure_discount_share", "percent"),
        "refund_share": ("measure_refund_share", "percent"),
        "cart_abandon_share": ("measure_cart_abandon_share", "percent"),
        "review_score_avg": ("measure_review_score_avg", "decimal"),
        "top_category": ("top_category", "text"),
        "top_channel": ("top_channel", "text"),
    }
    return {column: (view.say(key), kind) for column, (key, kind) in kinds.items()}


def _figures(view: View, now: pd.Series, before: pd.Series | None) -> None:
    def change(column: str) -> str | None:
        return None if before is None else looks.signed(float(now[column]) - float(before[column]))

    def of_all(column: str) -> str:
        return looks.percent(float(now[column]) / (float(now["users"]) or 1))

    figures = (
        ("users", looks.number(now["users"]), change("users")),
        ("net_revenue", view.money(now["net_revenue_amount"]), change("net_revenue_amount")),
        ("net_revenue_90", view.money(now["net_revenue_last_90_days"]), change("net_revenue_last_90_days")),
        ("active_7", of_all("active_last_7_days"), change("active_last_7_days")),
        ("buyers_30", of_all("buyers_last_30_days"), change("buyers_last_30_days")),
    )
    with st.container(horizontal=True):
        for key, value, delta in figures:
            st.metric(view.say(key), value, delta, help=view.say(f"{key}_means"), border=True)


def bars(view: View, profile: pd.DataFrame) -> str:
    """Draw each segment's shares without a chart's script, which a first view would wait a second for."""
    shares = (("revenue_share", "share_of_revenue", "money"), ("user_share", "share_of_users", "users"))
    longest = float(profile[[column for column, _, _ in shares]].max().max())
    legend = "".join(f'<i class="{kind}"></i>{escape(view.say(key))}' for _, key, kind in shares)
    rows = []
    for segment in profile.to_dict("records"):
        drawn = "".join(
            f'<div><i class="{kind}" style="width:{looks.width(segment[column], longest):.1f}%"></i>'
            f"{looks.percent(segment[column], 0)}</div>"
            for column, _, kind in shares
        )
        rows.append(f"<dt>{escape(segment[view.name])}</dt><dd>{drawn}</dd>")
    return f'<p class="shoal-legend">{legend}</p><dl class="shoal-shares">{"".join(rows)}</dl>'


def _cards(view: View, profile: pd.DataFrame) -> None:
    why = apart.told(view, profile)
    segments = profile.to_dict("records")
    for start in range(0, len(segments), CARDS_IN_A_ROW):
        for place, segment in zip(st.columns(CARDS_IN_A_ROW), segments[start:], strict=False):
            with place.container(border=True, height="stretch"):
                _card(view, segment, why.get(segment["segment_code"], []))


def _card(view: View, segment: dict[str, Any], why: list[str]) -> None:
    from serving.dashboard.navigation import page

    if segment["is_folded"]:
        st.markdown(f"**{segment[view.name]}**")
    else:
        st.page_link(
            page("segment"),
            label=f"**{segment[view.name]}**",
            query_params={"scheme": segment["scheme"], "segment": segment["segment_code"]},
        )
    figures = view.say(
        "card_figures",
        users=looks.number(segment["users"]),
        share=looks.percent(segment["user_share"], 0),
        money=view.money(segment["net_revenue_amount"]),
    )
    lines = "<br>".join(map(escape, why)) or escape(view.say("like_the_average"))
    st.html(
        f'<p class="shoal-card-figures">{escape(figures)}</p>'
        f'<div class="shoal-bar"><i style="width:{looks.width(segment["user_share"]):.1f}%"></i></div>'
        f'<p class="shoal-card-why">{lines}</p>'
    )
