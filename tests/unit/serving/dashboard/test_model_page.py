"""What the page of the models tells of past scores: what they expected beside what came."""

from __future__ import annotations

import duckdb
import pandas as pd

from serving.dashboard.view import View
from serving.dashboard.views import model


def test_scores_are_told_beside_what_came_of_all_and_of_the_best_tenth() -> None:
    with duckdb.connect() as connection:
        connection.execute("""
            create schema bi;
            create table bi.score_backtest (
                score_name varchar, scheme varchar, population varchar, as_of_date date, model_name varchar,
                model_version varchar, n bigint, n_positive bigint, auc double, auc_ci_low double,
                auc_ci_high double, rival_name varchar, rival_auc double, brier double,
                lift_top_decile double, calibration_error double
            );
            insert into bi.score_backtest by name
            select 'high_value' as score_name, 'all' as scheme, population, days.*
            from (values ('all'), ('untreated')) as populations (population), (values
                (date '2026-01-01', '3', 100, 20, 2.5, 0.04), (date '2026-01-08', '3', 100, null, null, null),
                (date '2026-01-15', '3', 99, 20, 2.5, 0.04)  -- whose best tenth is of nine users
            ) as days (as_of_date, model_version, n, n_positive, lift_top_decile, calibration_error);
            create table bi.user_score_daily as
            select date '2026-01-01' as as_of_date, 'u' || n as user_key, 'high_value' as score_name,
                '3' as model_version, n // 10 + 1 as decile, case when n < 10 then 0.6 else 0.2 end as score
            from range(100) as users (n)
            -- A later restatement by another model is not what was judged.
            union all select date '2026-01-08', 'u1', 'high_value', '4', 1, 0.9
            union all select date '2026-01-15', 'u' || n, 'high_value', '3', n // 10 + 1, 0.3
            from range(99) as users (n);
        """)
        rows = connection.execute(model.BACKTEST, {"k": 10}).df()
    told = ["expected_share", "realised_share", "expected_top_share", "realised_top_share"]
    rows = rows[told].astype(float).round(6)
    assert rows.iloc[0].tolist() == [(10 * 0.6 + 90 * 0.2) / 100, 20 / 100, 0.6, 2.5 * 20 / 100]
    assert rows.iloc[1].isna().all()
    assert rows.iloc[2].fillna(-1).tolist() == [0.3, round(20 / 99, 6), -1, -1]
    assert len(rows) == 3  # whoever was contacted counts, and nobody twice


def test_decisions_are_told_in_the_language_of_the_reader_where_they_are_told_in_it() -> None:
    """Also of a version that an earlier release published, in English alone."""
    told = {"decision_reason": ["they hold", "the first"], "decision_reason_zh": ["分群稳定", None]}
    english, chinese = (View(None, language, "") for language in ("en", "zh"))
    both = pd.DataFrame(told)
    assert (english.reason(both), chinese.reason(both)) == ("they hold", "分群稳定")
    for old in (both[1:], both[["decision_reason"]][1:]):
        assert english.reason(old) == chinese.reason(old) == "the first"
    assert chinese.reason(both[:0]) == ""
    columns = ["as_of_date", "model", "registered_model", "model_version", "metrics", "decision"]
    columns += ["decision_reason", "cpu_seconds", "cpu_seconds_per_1000_users", "mlflow_run_id"]
    columns += ["recorded_at"]
    with duckdb.connect() as connection:
        names = ", ".join(f"{name} varchar" for name in columns)
        connection.execute(f"create schema ops; create table ops.model_run ({names})")
        assert connection.execute(model.RUNS).df().columns.tolist() == columns


def test_hold_out_shows_the_models_of_a_training_and_the_champion_of_an_earlier_one() -> None:
    bins = '[{"users": 40, "mean_score": 0.2, "observed_share": 0.3, "share_low": 0.2, "share_high": 0.4}]'
    days = pd.to_datetime(["2026-03-08"] * 4 + ["2026-03-01"] * 2)
    runs = pd.DataFrame(
        {
            "as_of_date": days,
            # The newest first; of the eighth lightgbm was fitted twice, and segments are no chance.
            "model": ["bert", "lightgbm", "segments", "lightgbm", "bert", "lightgbm"],
            "registered_model": ["high_value", None, None, None, "high_value", None],
            "model_version": ["4", None, None, None, "3", None],
            "calibration": [bins, bins, float("nan"), "[]", bins, bins],
        }
    )
    found = model.calibrated(runs, days[0].date(), "3")
    told = list(zip(found["model"], found["day"], found["is_served"], strict=True))
    eighth, first = days[0].date(), days[4].date()
    assert told == [("bert", eighth, False), ("lightgbm", eighth, False), ("bert", first, True)]
    # A version that an earlier release published knows none.
    assert model.calibrated(runs.drop(columns="calibration"), eighth, "3").empty
