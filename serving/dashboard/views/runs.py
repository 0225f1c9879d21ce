"""Runs and data quality: how fresh this is, what gates said, what waits for a person and how to repair it."""

from __future__ import annotations

import json
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from cli import ShoalError
from serving import status
from serving.dashboard import looks
from serving.dashboard.view import View, chart, nothing, table, told
from settings import ShopPaths

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

VERSIONS = """
    select version, as_of_date, published_at, user_count, is_pinned, degraded_because
    from bi.published_version order by published_at desc limit 30
"""

GATES = """
    select border, as_of_date, outcome, expectation, table_name, column_name, severity, observed, expected,
        checked_at
    from ops.data_quality
    qualify validation_id = first_value(validation_id) over (partition by border order by checked_at desc)
    order by border, outcome, expectation
"""

QUARANTINE = """
    select coalesce(table_name, $no_table) as table_name, status, reasons, count(*)::bigint as rows_count
    from ops.quarantine group by all
"""

FILES = """
    select status, count(*)::bigint as files, sum(rows_in)::bigint as rows_in,
        sum(rows_good)::bigint as rows_good, sum(rows_quarantined)::bigint as rows_quarantined,
        max(landed_at) as newest
    from ops.landing_ledger group by status order by files desc
"""

RUNS = """
    select stage, as_of_date, status, started_at, finished_at,
        round(epoch(finished_at - started_at), 1) as seconds, run_id
    from ops.run_manifest order by finished_at desc limit 30
"""

ON_CALL = {"last complete day": "last_complete_day", "version": "version"}
"""Lines of the on-call page that are always shown."""

RECORDED = {
    "border",
    "degraded_because",
    "expected",
    "observed",
    "reason",
    "severity",
    "stage",
    "status",
}
"""Columns of the journals that hold words; the others hold codes, names, figures and days."""

OUTCOMES = ("pass", "fail", "could_not_check", "not_applicable")


def render(view: View) -> None:
    """Show the page."""
    _freshness(view)
    st.subheader(view.say("now_on_call"))
    _on_call(view)
    st.subheader(view.say("gates"))
    _gates(view)
    st.subheader(view.say("quarantine"))
    _quarantine(view)
    st.subheader(view.say("deliveries"))
    columns = {
        "status": (view.say("state"), "text"),
        "files": (view.say("files"), "number"),
        "rows_in": (view.say("rows_in"), "number"),
        "rows_good": (view.say("rows_good"), "number"),
        "rows_quarantined": (view.say("rows_quarantined"), "number"),
        "newest": (view.say("newest"), "moment"),
    }
    table(view, _told(view, view.published.ask(FILES)), "deliveries", columns)
    st.subheader(view.say("versions"))
    columns = {
        "version": (view.say("version"), "text"),
        "as_of_date": (view.say("day"), "date"),
        "published_at": (view.say("published_at"), "moment"),
        "user_count": (view.say("users"), "number"),
        "degraded_because": (view.say("lacks"), "text"),
    }
    table(view, _told(view, view.published.ask(VERSIONS)), "versions", columns)
    with st.expander(view.say("runs"), icon=":material/play_circle:"):
        columns = {
            "stage": (view.say("stage"), "text"),
            "as_of_date": (view.say("day"), "date"),
            "finished_at": (view.say("finished_at"), "moment"),
            "seconds": (view.say("seconds"), "decimal"),
            "run_id": (view.say("run"), "text"),
        }
        table(view, _told(view, view.published.ask(RUNS)), "runs", columns)


def _told(view: View, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with what commands wrote down in the reader's language."""
    shown = rows.copy()
    for column in RECORDED & {*rows.columns}:
        shown[column] = rows[column].map(view.recorded, na_action="ignore")
    return shown


def _freshness(view: View) -> None:
    published = view.published
    with st.container(horizontal=True):
        st.metric(view.say("tells_of"), view.day(published.as_of_date), border=True)
        st.metric(view.say("published"), view.age(), border=True)
        st.metric(view.say("pinned"), view.say("yes" if published.is_pinned else "no"), border=True)
        lacks = view.say("nothing_lacks" if not published.degraded_because else "see_below")
        st.metric(view.say("lacks"), lacks, border=True)
    if published.degraded_because:
        st.warning(view.recorded(published.degraded_because), icon=":material/warning:")


def _on_call(view: View) -> None:
    """Show what the on-call page says at this moment; a version knows only what was so when it was made."""
    try:
        lines = status.lines(ShopPaths(view.published.shop))
    except (ShoalError, OSError) as error:
        st.warning(view.recorded(str(error)), icon=":material/warning:")
        return
    told(view.say("on_call_told"))
    # The next day's files can always be received, and what is in quarantine is told below.
    urgent = [
        line for line in lines if line.repair and line.subject not in ("last complete day", "quarantine")
    ]
    for line in lines:
        if line.subject in ON_CALL:
            told(f"<b>{view.say(ON_CALL[line.subject])}</b> {escape(view.recorded(line.state))}")
    if not urgent:
        st.success(view.say("all_is_well"), icon=":material/check_circle:")
    for line in urgent:
        with st.container(border=True):
            st.markdown(f":material/error: **{view.recorded(line.subject)}**")
            st.text(view.recorded(line.state))
            st.code(view.recorded(line.repair or ""), language=None, wrap_lines=True)


def _gates(view: View) -> None:
    rows = view.published.ask(GATES)
    if rows.empty:
        nothing(view, view.say("no_gates"), f"python -m expectations bi --shop {view.published.shop}")
        return
    chart(_outcomes(view, rows), "gates")
    columns = {
        "border": (view.say("border"), "text"),
        "outcome": (view.say("outcome"), "text"),
        "severity": (view.say("severity"), "text"),
        "expected": (view.say("expectation"), "text"),
        "table_name": (view.say("table"), "text"),
        "observed": (view.say("observed"), "text"),
        "expectation": (view.say("expectation_code"), "text"),
        "checked_at": (view.say("checked_at"), "moment"),
    }
    shown = _told(view, rows.assign(outcome=view.called("outcome", rows["outcome"])))
    bad = shown[rows["outcome"].isin(status.STOPPING)]
    if bad.empty:
        told(view.say("all_gates_passed"))
    else:
        told(view.say("gates_found", n=len(bad)))
        table(view, bad, "gates_found", columns)
    with st.expander(view.say("all_checks"), icon=":material/checklist:"):
        table(view, shown, "gates", columns)


def _outcomes(view: View, rows: pd.DataFrame) -> go.Figure:
    import plotly.graph_objects as go

    colours = dict(zip(OUTCOMES, (looks.ACCENT, looks.WARN, "#d9a441", looks.MUTED), strict=True))
    borders = sorted(rows["border"].unique(), reverse=True)
    figure = go.Figure()
    for outcome in OUTCOMES:
        counts = [
            int(((rows["border"] == border) & (rows["outcome"] == outcome)).sum()) for border in borders
        ]
        if any(counts):
            figure.add_bar(
                y=[view.recorded(border) for border in borders],
                x=counts,
                name=view.say(f"outcome_{outcome}"),
                orientation="h",
                marker={"color": colours[outcome]},
                text=[count or "" for count in counts],
                hovertemplate="%{y}: %{x}<extra>%{fullData.name}</extra>",
            )
    looks.tidy(figure, 80 + 42 * len(borders), barmode="stack", bargap=0.4)
    return figure.update_xaxes(visible=False)


def _quarantine(view: View) -> None:
    import pandas as pd

    rows = view.published.ask(QUARANTINE, no_table=view.say("no_table"))
    if rows.empty:
        nothing(view, view.say("no_quarantine"))
        return
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in rows.itertuples():
        for reason in _reasons(row.reasons):
            counts[reason, row.table_name, row.status] += row.rows_count
    by_reason = pd.DataFrame(
        [(*key, count) for key, count in counts.most_common()], columns=["reason", "table", "status", "rows"]
    )
    by_reason = _told(view, by_reason)
    told(view.say("quarantine_told", n=looks.number(rows["rows_count"].sum())))
    chart(_by_reason(by_reason), "quarantine")
    columns = {
        "reason": (view.say("reason"), "text"),
        "table": (view.say("table"), "text"),
        "status": (view.say("state"), "text"),
        "rows": (view.say("rows"), "number"),
    }
    with st.expander(view.say("all_figures"), icon=":material/table:"):
        table(view, by_reason, "quarantine", columns)
    told(view.say("quarantine_repair"))
    st.code(f"python -m landing quarantine --shop {view.published.shop}", language="bash", wrap_lines=True)


def _reasons(told_of: str) -> list[str]:
    try:
        found = json.loads(told_of)
    except ValueError:
        found = told_of
    return [str(reason) for reason in found] if isinstance(found, list) else [str(found)]


def _by_reason(rows: pd.DataFrame) -> go.Figure:
    import plotly.graph_objects as go

    shown = rows.groupby("reason", as_index=False)["rows"].sum().nlargest(12, "rows").iloc[::-1]
    figure = go.Figure(
        go.Bar(
            y=shown["reason"],
            x=shown["rows"],
            orientation="h",
            marker={"color": looks.ACCENT, "cornerradius": 3},
            text=[looks.number(count) for count in shown["rows"]],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:,.0f}<extra></extra>",
        )
    )
    looks.tidy(figure, 60 + 30 * len(shown), bargap=0.35)
    return figure.update_xaxes(visible=False, range=[0, 1.25 * float(shown["rows"].max())])
