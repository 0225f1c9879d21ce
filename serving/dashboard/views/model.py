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
    from datetime import date

    import pandas as pd
    import plotly.graph_objects as go

RUNS = """
    select as_of_date, model, registered_model, model_version, metrics, decision,
        columns('^(decision_reason|calibration)'), cpu_seconds, cpu_seconds_per_1000_users, mlflow_run_id,
        recorded_at
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

CAME = (
    ("all_users", "expected_share", "realised_share"),
    ("best_tenth", "expected_top_share", "realised_top_share"),
)
"""What past scores expected and what came, by whom it is of."""

MEASURES = ("roc_auc", "pr_auc", "lift_top_decile", "brier")
LOWER_IS_BETTER = ("brier",)


def render(view: View) -> None:
    """Show the page."""
    runs = view.published.ask(RUNS)
    judged = _judged(runs)
    served = _serving(view)
    came = view.published.ask(BACKTEST, k=LEAST) if view.published.has("score_backtest") else None
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
        _hold_out(view, runs, day, served, came)
    _realised(view, came)
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


def _serving(view: View) -> str | None:
    """Show what scores today, and return its version."""
    rows = view.published.ask(SERVING)
    if rows.empty:
        nothing(view, view.say("no_scores"))
        return None
    served = rows.iloc[0]
    figures = {
        "serves_today": view.call("model", served["model_name"]),
        "model_version": str(served["model_version"]),
        "users_scored": looks.number(served["users"]),
        "looks_ahead": view.say("days", n=int(served["horizon_days"])),
    }
    with st.container(horizontal=True):
        for name, figure in figures.items():
            st.metric(view.say(name), figure, border=True, height="stretch")
    return str(served["model_version"])


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


def _hold_out(
    view: View, runs: pd.DataFrame, day: date, served: str | None, came: pd.DataFrame | None
) -> None:
    """Show how well a day's models, and the one that serves, were calibrated before anything was served."""
    st.subheader(view.say("hold_out"))
    bins = calibrated(runs, day, served)
    if bins.empty:
        nothing(view, view.say("no_hold_out", k=LEAST))
        return
    bins["name"] = [_called(view, one, day) for one in bins.itertuples()]
    told(view.say("hold_out_told", day=view.day(day), k=LEAST))
    chart(_reliability(view, bins, came), "hold_out")
    distances = [f"{escape(name)} {looks.percent(one)}" for name, one in distance(bins).items()]
    told(f"<b>{view.say('calibration_error')}</b> " + " · ".join(distances))
    with st.expander(view.say("hold_out_figures"), icon=":material/table:"):
        columns = {
            "name": (view.say("model"), "text"),
            "users": (view.say("users"), "number"),
            "mean_score": (view.say("expected"), "percent"),
            "observed_share": (view.say("realised"), "percent"),
            "share_low": (view.say("low"), "percent"),
            "share_high": (view.say("high"), "percent"),
        }
        table(view, bins, f"hold_out_{day}", columns)


def calibrated(runs: pd.DataFrame, day: date, served: str | None) -> pd.DataFrame:
    """Return one row per bin of users of similar scores, of a day's models and of the one that serves.

    A version of an earlier release knows none, and so do models that give no chance, such as a rank.

    Parameters
    ----------
    runs
        The newest first; of one model and day the first counts.
    """
    import pandas as pd

    of_day = runs["as_of_date"].dt.date == day
    is_served = (runs["registered_model"] == "high_value") & (runs["model_version"] == served)
    shown = runs.assign(is_served=is_served)[of_day | is_served]
    # Of a day that was trained twice the one that serves, else the newest.
    shown = shown.sort_values("is_served", ascending=False, kind="stable")
    shown = shown.drop_duplicates(["as_of_date", "model"]).sort_index()
    told = shown.dropna(subset=["calibration"]) if "calibration" in shown else shown.iloc[:0]
    rows = [
        {"model": run["model"], "day": run["as_of_date"].date(), "is_served": run["is_served"], **one}
        for run in told.to_dict("records")
        for one in json.loads(run["calibration"])
    ]
    return pd.DataFrame(rows)


def distance(bins: pd.DataFrame) -> dict[str, float]:
    """Return the mean distance between what each model expected and what came, weighted by users.

    Examples
    --------
    >>> import pandas
    >>> told = {"name": ["a", "a"], "users": [30, 10], "mean_score": [0.1, 0.5], "observed_share": [0.1, 0.9]}
    >>> distance(pandas.DataFrame(told))
    {'a': 0.1}
    """
    apart = (bins["mean_score"] - bins["observed_share"]).abs() * bins["users"]
    sums = bins.assign(apart=apart).groupby("name", sort=False)[["apart", "users"]].sum()
    return {name: float(row["apart"] / row["users"]) for name, row in sums.iterrows()}


def _called(view: View, one: Any, day: date) -> str:
    parts = [view.call("model", one.model)]
    if one.day != day:
        parts.append(view.day(one.day))
    if one.is_served:
        parts.append(view.say("serves"))
    return " · ".join(parts)


def _reliability(view: View, bins: pd.DataFrame, came: pd.DataFrame | None) -> go.Figure:
    import pandas as pd
    import plotly.graph_objects as go

    figure = go.Figure()
    top = float(bins[["mean_score", "share_high"]].max().max())
    hover = "%{x:.1%} → %{y:.1%}<br>%{customdata}<extra>%{fullData.name}</extra>"
    for at, (name, rows) in enumerate(bins.groupby("name", sort=False)):
        colour = looks.ACCENT if rows["is_served"].any() else looks.SHADES[1 + at % (len(looks.SHADES) - 1)]
        figure.add_scatter(
            x=rows["mean_score"],
            y=rows["observed_share"],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": rows["share_high"] - rows["observed_share"],
                "arrayminus": rows["observed_share"] - rows["share_low"],
                "thickness": 1,
                "width": 2,
            },
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 3 if rows["is_served"].any() else 1.5},
            customdata=[view.say("of_users", n=looks.number(users)) for users in rows["users"]],
            hovertemplate=hover,
        )
    past = view.say("past_scores_short")
    for key, expected, realised in CAME:
        rows = pd.DataFrame() if came is None else came.dropna(subset=[expected, realised])
        if rows.empty:
            continue
        top = max(top, float(rows[[expected, realised]].max().max()))
        figure.add_scatter(
            x=rows[expected],
            y=rows[realised],
            name=f"{past}: {view.say(key)}",
            mode="markers",
            marker={
                "symbol": "diamond",
                "size": 10,
                "color": looks.WARN if key == "all_users" else looks.INK,
            },
            customdata=[view.day(day) for day in rows["as_of_date"]],
            hovertemplate=hover,
        )
    figure.add_scatter(
        x=[0, top],
        y=[0, top],
        name=view.say("perfect"),
        mode="lines",
        line={"color": looks.MUTED, "dash": "dot", "width": 1.5},
        hoverinfo="skip",
    )
    looks.tidy(figure, 470)
    figure.update_xaxes(title=view.say("expected"), tickformat=".0%", showgrid=True)
    return figure.update_yaxes(title=view.say("realised"), tickformat=".0%", showgrid=True)


def _realised(view: View, rows: pd.DataFrame | None) -> None:
    st.subheader(view.say("past_scores"))
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
    looks.tidy(figure, height)
    # In figures: a month's name would be English in every language.
    return figure.update_xaxes(tickformat="%Y-%m-%d", nticks=3, ticklabelstandoff=8)
