"""The models: BERT beside its rivals, how sure the comparison is, and what past scores came to."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from serving.dashboard import looks
from serving.dashboard.view import View, chart, choose, nothing, table, told
from serving.groups import LEAST

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

RUNS = """
    select as_of_date, model, registered_model, model_version, metrics, decision,
        columns('^decision_reason'), cpu_seconds, cpu_seconds_per_1000_users, mlflow_run_id, recorded_at
    from ops.model_run
    order by recorded_at desc
"""

SERVING = """
    select model_name, model_version, horizon_days, count(*) as users
    from bi.user_score_daily
    where as_of_date = (select max(as_of_date) from bi.user_score_daily) and score_name = 'high_value'
    group by all
    order by users desc
    limit 1
"""

BACKTEST = """
    with expected_shares as (
        select as_of_date, model_version, avg(score) as expected_share,
            avg(score) filter (where decile = 1) as expected_top_share
        from bi.user_score_daily
        where score_name = 'high_value'
        group by as_of_date, model_version
    )

    select as_of_date, model_name, n, n_positive, auc, auc_ci_low, auc_ci_high, rival_name, rival_auc, brier,
        lift_top_decile, calibration_error, expected_share, n_positive / n as realised_share,
        case when n >= 10 * $k then expected_top_share end as expected_top_share,
        case when n >= 10 * $k then lift_top_decile * n_positive / n end as realised_top_share
    from bi.score_backtest
    left join expected_shares using (as_of_date, model_version)
    where score_name = 'high_value' and scheme = 'all' and population = 'all'
    order by as_of_date
"""

STABILITY = """
    select scheme, coalesce({name}, segment_code) as name, model_version, event, jaccard, bootstrap_jaccard,
        moved_share, psi, gate, columns('^decision_reason'), recorded_at
    from bi.segment_stability
    where recorded_at = (select max(recorded_at) from bi.segment_stability)
    order by scheme, segment_code
"""

MEASURES = ("roc_auc", "pr_auc", "lift_top_decile", "brier")
LOWER_IS_BETTER = ("brier",)


def render(view: View) -> None:
    """Show the page."""
    runs = view.published.ask(RUNS)
    judged = _judged(runs)
    _serving(view)
    st.subheader(view.say("beside_rivals"))
    if judged.empty:
        nothing(view, view.say("no_models"), f"python -m ml train --shop {view.published.shop}")
    else:
        days = sorted(judged["day"].unique(), reverse=True)
        left, right = st.columns(2)
        with left:
            day = choose("trained", view.say("trained_as_of"), days, view.day)
        with right:
            measures = [name for name in MEASURES if name in set(judged["measure"])]
            measure = choose("measure", view.say("measure"), measures, lambda one: view.say(f"metric_{one}"))
        shown = judged[(judged["day"] == day) & (judged["measure"] == measure)]
        told(view.say(f"metric_{measure}_means") + " " + view.say("intervals_told"))
        chart(_intervals(view, shown), "intervals")
        _decided(view, shown)
        with st.expander(view.say("all_figures"), icon=":material/table:"):
            columns = {
                "model": (view.say("model"), "text"),
                "measure": (view.say("measure"), "text"),
                "value": (view.say("value"), "decimal"),
                "low": (view.say("low"), "decimal"),
                "high": (view.say("high"), "decimal"),
                "decision": (view.say("decision"), "text"),
                "cpu_seconds_per_1000_users": (view.say("cpu_per_1000"), "decimal"),
                "mlflow_run_id": (view.say("mlflow_run"), "text"),
            }
            named = judged[judged["day"] == day].assign(
                **{
                    column: view.called(kind, judged[column])
                    for column, kind in (("model", "model"), ("measure", "metric"), ("decision", "decision"))
                }
            )
            table(view, named, f"models_{day}", columns)
    _realised(view)
    if view.published.has("segment_stability"):
        _stability(view)


def _judged(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model, day and measure taken with an interval; of repeated runs the newest."""
    import pandas as pd

    parts = ("value", "low", "high")
    rows: list[dict[str, Any]] = []
    for run in runs.drop_duplicates(["as_of_date", "model"]).to_dict("records"):
        for measure, value in json.loads(run["metrics"] or "{}").items():
            if isinstance(value, dict) and all(value.get(part) is not None for part in parts):
                told_of = {**run, "day": run["as_of_date"].date(), "measure": measure}
                rows.append(told_of | {part: value[part] for part in parts})
    return pd.DataFrame(rows, columns=[*runs.columns, "day", "measure", *parts])


def _serving(view: View) -> None:
    rows = view.published.ask(SERVING)
    if rows.empty:
        nothing(view, view.say("no_scores"))
        return
    served = rows.iloc[0]
    with st.container(horizontal=True):
        st.metric(view.say("serves_today"), view.call("model", served["model_name"]), border=True)
        st.metric(view.say("model_version"), str(served["model_version"]), border=True)
        st.metric(view.say("users_scored"), looks.number(served["users"]), border=True)
        st.metric(view.say("looks_ahead"), view.say("days", n=int(served["horizon_days"])), border=True)


def _intervals(view: View, rows: pd.DataFrame) -> go.Figure:
    import plotly.graph_objects as go

    measure = rows["measure"].iloc[0]
    shown = rows.sort_values("value", ascending=measure not in LOWER_IS_BETTER)
    figure = go.Figure(
        go.Scatter(
            x=shown["value"],
            y=[view.call("model", model) for model in shown["model"]],
            mode="markers+text",
            text=[f"{value:.3f}" for value in shown["value"]],
            textposition="top center",
            marker={
                "size": 13,
                "color": [looks.ACCENT if model == "bert" else looks.QUIET for model in shown["model"]],
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": shown["high"] - shown["value"],
                "arrayminus": shown["value"] - shown["low"],
                "color": looks.MUTED,
                "thickness": 3,
                "width": 0,
            },
            customdata=shown[["low", "high"]].to_numpy(),
            hovertemplate="%{y}: %{x:.3f} (%{customdata[0]:.3f} – %{customdata[1]:.3f})<extra></extra>",
        )
    )
    looks.tidy(figure, 90 + 62 * len(shown))
    figure.update_xaxes(showgrid=True, tickformat=".2f")
    return figure.update_yaxes(range=[-0.6, len(shown) - 0.2])


def _stability(view: View) -> None:
    """Show whether the newest clusters hold, and whether they are those in force."""
    st.subheader(view.say("stability"))
    rows = view.published.ask(STABILITY.format(name=view.name))
    if rows.empty:
        nothing(view, view.say("no_models"))
        return
    told(view.say("stability_told"))
    _decided(view, rows)
    for column in ("scheme", "event", "gate"):
        rows[column] = view.called(column, rows[column])
    columns = {
        "scheme": (view.say("scheme"), "text"),
        "name": (view.say("segment"), "text"),
        "event": (view.say("event"), "text"),
        "bootstrap_jaccard": (view.say("bootstrap_jaccard"), "decimal"),
        "jaccard": (view.say("jaccard"), "decimal"),
        "moved_share": (view.say("moved_share"), "percent"),
        "gate": (view.say("gate"), "text"),
    }
    table(view, rows, "stability", columns)


def _decided(view: View, rows: pd.DataFrame) -> None:
    if reason := view.reason(rows):
        told(f"<b>{view.say('decision')}</b> {escape(reason)}")


def _realised(view: View) -> None:
    st.subheader(view.say("past_scores"))
    rows = view.published.ask(BACKTEST, k=LEAST) if view.published.has("score_backtest") else None
    if rows is None or rows.empty:
        nothing(view, view.say("no_backtest"))
        return
    lines = {"auc": view.say("what_was_served"), "rival_auc": view.say("simple_rival")}
    chart(_through_time(rows, lines, 280), "realised")
    st.subheader(view.say("calibration"))
    told(view.say("calibration_told"))
    _calibration(view, rows)
    for column in ("model_name", "rival_name"):
        rows[column] = view.called("model", rows[column])
    headings = {
        "as_of_date": (view.say("day"), "date"),
        "model_name": (view.say("model"), "text"),
        "n": (view.say("users_scored"), "number"),
        "n_positive": (view.say("high_value_came"), "number"),
        "auc": (view.say("metric_roc_auc"), "decimal"),
        "auc_ci_low": (view.say("low"), "decimal"),
        "auc_ci_high": (view.say("high"), "decimal"),
        "rival_name": (view.say("simple_rival"), "text"),
        "rival_auc": (view.say("rival_auc"), "decimal"),
        "lift_top_decile": (view.say("metric_lift_top_decile"), "decimal"),
        "brier": (view.say("metric_brier"), "decimal"),
        "calibration_error": (view.say("calibration_error"), "percent"),
        "expected_share": (view.say("expected_share"), "percent"),
        "realised_share": (view.say("realised_share"), "percent"),
        "expected_top_share": (view.say("expected_top_share"), "percent"),
        "realised_top_share": (view.say("realised_top_share"), "percent"),
    }
    table(view, rows, "backtest", headings)


def _calibration(view: View, rows: pd.DataFrame) -> None:
    """Show what scores expected beside what came: of all, of the best tenth, and how far off by tenths."""
    expected, came = view.say("expected"), view.say("realised")
    panels = (
        ("all_users", {"expected_share": expected, "realised_share": came}),
        ("best_tenth", {"expected_top_share": expected, "realised_top_share": came}),
        ("calibration_error", {"calibration_error": view.say("calibration_error")}),
    )
    for place, (key, lines) in zip(st.columns(3), panels, strict=True):
        figure = _through_time(rows, lines, 250)
        figure.update_yaxes(rangemode="tozero", tickformat=".1%", showgrid=True)
        figure.update_xaxes(tickformat="%Y-%m-%d", nticks=3, ticklabelstandoff=8)
        with place:
            told(f"<b>{view.say(key)}</b>")
            chart(figure, f"calibration_{key}")


def _through_time(rows: pd.DataFrame, lines: dict[str, str], height: int) -> go.Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    for (column, name), colour in zip(lines.items(), (looks.ACCENT, looks.MUTED), strict=False):
        figure.add_scatter(
            x=rows["as_of_date"],
            y=rows[column],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
        )
    return looks.tidy(figure, height)
