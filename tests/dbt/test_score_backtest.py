"""What past scores came to, beside scikit-learn's reading of the same users."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from settings import ShopPaths
from warehouse import dbt
from warehouse.build import choose_split, variables

SCORED, HORIZON, REFUNDS = date(2026, 3, 1), 30, 14
CLOSES = SCORED + timedelta(days=HORIZON + REFUNDS)
USERS = 400

TABLES = """
create schema bi; create schema intermediate; create schema staging;
create table staging.stg_shop__campaign_contacts
    (user_key varchar, arm varchar, event_date date, delivered_on date);
create table bi.user_score_daily (
    as_of_date date, user_key varchar, score_name varchar, score double, model_name varchar,
    model_version varchar, horizon_days integer
);
create table bi.user_segment_daily (
    as_of_date date, user_key varchar, scheme varchar, segment_code varchar, segment_name_en varchar,
    segment_name_zh varchar
);
create table intermediate.int_devices_stitched
    (as_of_date date, device_key varchar, user_key varchar, valid_from timestamp, valid_to timestamp);
create table intermediate.int_events_merged (
    source_table varchar, event_type varchar, event_date date, occurred_at timestamp, user_key varchar,
    device_key varchar, order_id varchar, net_amount decimal(18, 4), delivered_on date, superseded_on date
);
"""


def compiled(paths: ShopPaths, as_of: date) -> str:
    said = variables(paths, choose_split(paths, None)) | {"as_of_date": str(as_of)}
    results = dbt.invoke(paths, ["compile", "--full-refresh", "--select", "score_backtest"], said).result
    (node,) = (found.node for found in results.results if found.node.name == "score_backtest")
    return str(node.compiled_code)


@pytest.fixture(scope="module")
def shop(world_paths: ShopPaths) -> tuple[pd.DataFrame, list[dict]]:
    """Draw scores, and money before and after; half of the users are customers known by a device alone."""
    random = np.random.default_rng(7)
    users = pd.DataFrame({"user_key": [f"u{number:03}" for number in range(USERS)]})
    users["score"] = np.round(random.beta(1, 4, USERS), 2)  # with ties
    users["past"] = np.where(random.random(USERS) < 0.5, np.round(random.gamma(2, 40, USERS), 2), 0)
    buys = random.random(USERS) < 0.1 + 0.6 * users["score"]
    users["later"] = np.where(buys, np.round(random.gamma(2, 60, USERS), 2), 0)
    users["segment"] = np.where(users["past"] > 0, "buyers", "others")
    users.loc[:6, "segment"] = "rare"
    with duckdb.connect() as connection:
        connection.execute(f"attach ':memory:' as warehouse; use warehouse; {TABLES}")
        for user in users.itertuples():
            connection.execute(
                "insert into bi.user_score_daily values (?, ?, 'high_value', ?, 'bert', '3', ?)",
                [SCORED, user.user_key, user.score, HORIZON],
            )
            connection.execute(
                "insert into bi.user_segment_daily values (?, ?, 'rfm', ?, 'Name', '名')",
                [SCORED, user.user_key, user.segment],
            )
            for amount, day in (
                (user.past, SCORED - timedelta(days=29)),
                (user.later, SCORED + timedelta(days=30)),
            ):
                if amount:
                    tell(connection, user.user_key, day, amount)
        # Of those contacted, some were held out, some contacted outside of the horizon, or told of too late.
        for user in range(200):
            arm = "control" if user >= 160 else "treatment"
            contact(connection, f"u{user:03}", arm, SCORED + timedelta(days=1 + user % HORIZON))
        contact(connection, "u300", "treatment", SCORED + timedelta(days=HORIZON + 1))
        contact(connection, "u301", "treatment", SCORED)
        contact(connection, "u302", "treatment", SCORED + timedelta(days=9), CLOSES + timedelta(days=1))
        # Neither too old, nor after the horizon, nor delivered after the label closed.
        tell(connection, "u000", SCORED - timedelta(days=30), 9999)
        tell(connection, "u001", SCORED + timedelta(days=31), 9999)
        tell(connection, "u002", SCORED + timedelta(days=1), 9999, CLOSES + timedelta(days=1))
        early = connection.sql(compiled(world_paths, CLOSES - timedelta(days=1))).fetchall()
        assert early == [], "told before the label had closed"
        rows = connection.sql(compiled(world_paths, CLOSES)).df().to_dict("records")
    return users, rows


def tell(
    connection: duckdb.DuckDBPyConnection, user: str, day: date, amount: float, told: date | None = None
) -> None:
    """Let a user buy; every second one is known by their device."""
    moment = datetime(day.year, day.month, day.day, 12)
    is_device = int(user[1:]) % 2 == 0
    connection.execute(
        "insert into intermediate.int_events_merged values "
        "('order_lines', 'purchase', ?, ?, ?, ?, ?, ?, ?, null)",
        [
            *(day, moment, None if is_device else user, f"d-{user}" if is_device else None),
            *(f"o-{user}-{day}", amount, told or day),
        ],
    )
    if is_device:
        connection.execute(
            "insert into intermediate.int_devices_stitched select date '9999-12-31', $device, $user, "
            "timestamp '0001-01-01', timestamp '9999-12-31' where not exists "
            "(from intermediate.int_devices_stitched where device_key = $device)",
            {"device": f"d-{user}", "user": user},
        )


def contact(
    connection: duckdb.DuckDBPyConnection, user: str, arm: str, day: date, told: date | None = None
) -> None:
    connection.execute(
        "insert into staging.stg_shop__campaign_contacts values (?, ?, ?, ?)", [user, arm, day, told or day]
    )


def judged(users: pd.DataFrame) -> pd.DataFrame:
    threshold = np.percentile(users["past"][users["past"] > 0], 80)
    return users.assign(label=users["later"] >= threshold)


def test_measures_are_those_of_scikit_learn(shop: tuple[pd.DataFrame, list[dict]]) -> None:
    users, rows = judged(shop[0]), shop[1]
    (row,) = (row for row in rows if (row["scheme"], row["population"]) == ("all", "all"))
    labels, scores = users["label"], users["score"]
    assert (row["n"], row["n_positive"]) == (USERS, labels.sum())
    assert row["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-4)
    assert row["rival_auc"] == pytest.approx(roc_auc_score(labels, users["past"]), abs=1e-4)
    assert row["pr_auc"] == pytest.approx(average_precision_score(labels, scores), abs=1e-4)
    assert row["brier"] == pytest.approx(brier_score_loss(labels, scores), abs=1e-4)
    tenths = users.sort_values(["score", "user_key"], ascending=[False, True]).reset_index(drop=True)
    groups = tenths.groupby(tenths.index // (USERS // 10))
    distance = (groups["score"].sum() - groups["label"].sum()).abs().sum() / USERS
    assert row["calibration_error"] == pytest.approx(distance, abs=1e-4)
    assert row["lift_top_decile"] == pytest.approx(tenths["label"][:40].mean() / labels.mean(), abs=1e-4)
    assert (row["model_name"], row["model_version"], row["closes_on"].date()) == ("bert", "3", CLOSES)


def test_interval_is_as_wide_as_that_of_resampled_users(shop: tuple[pd.DataFrame, list[dict]]) -> None:
    users, rows = judged(shop[0]), shop[1]
    (row,) = (row for row in rows if (row["scheme"], row["population"]) == ("all", "all"))
    random = np.random.default_rng(1)
    labels, scores = users["label"].to_numpy(), users["score"].to_numpy()
    drawn = []
    for _ in range(2000):
        at = random.integers(0, USERS, USERS)
        drawn.append(roc_auc_score(labels[at], scores[at]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert row["auc_ci_low"] == pytest.approx(low, abs=0.015)
    assert row["auc_ci_high"] == pytest.approx(high, abs=0.015)


def test_segments_are_told_where_enough_of_them_did_and_did_not(
    shop: tuple[pd.DataFrame, list[dict]],
) -> None:
    users, rows = judged(shop[0]), shop[1]
    told = {row["segment_code"]: row for row in rows if row["scheme"] == "rfm"}
    assert told.keys() == {"_other", "buyers"}, "seven users are folded with the next smallest"
    users["folded"] = np.where(users["segment"] == "buyers", "buyers", "_other")
    for code, row in told.items():
        its = users[users["folded"] == code]
        assert row["n"] == len(its)
        assert row["auc"] == pytest.approx(roc_auc_score(its["label"], its["score"]), abs=1e-4)


def test_who_was_treated_within_the_horizon_is_also_left_out(shop: tuple[pd.DataFrame, list[dict]]) -> None:
    users, rows = judged(shop[0]), shop[1]
    (row,) = (row for row in rows if row["population"] == "untreated")
    its = users[users.index >= 160]
    assert (row["scheme"], row["n"], row["n_positive"]) == ("all", len(its), its["label"].sum())
    assert row["auc"] == pytest.approx(roc_auc_score(its["label"], its["score"]), abs=1e-4)


def test_outcomes_of_few_are_told_neither_by_their_row_nor_by_what_is_left_over(
    world_paths: ShopPaths,
) -> None:
    """Of the 60 of one segment three did it: their number is missing, and so is that of the next."""
    told = told_of(world_paths, {"few": (60, 3), "some": (60, 15), "many": (240, 120)})
    assert told["n"].to_dict() == {"all": 360, "few": 60, "some": 60, "many": 240}
    assert told["n_positive"].dropna().to_dict() == {"all": 3 + 15 + 120, "many": 120}
    assert told["auc"].notna().to_dict() == {"all": True, "few": False, "some": False, "many": True}


def test_few_who_did_not_are_no_more_told_than_few_who_did(world_paths: ShopPaths) -> None:
    """Of two segments four and five did not do it: nine, if what is left of all were told."""
    told = told_of(world_paths, {"most": (30, 26), "nearly": (40, 35), "some": (60, 15), "many": (240, 120)})
    assert told["n_positive"].dropna().to_dict() == {"all": 26 + 35 + 15 + 120, "many": 120}


def told_of(world_paths: ShopPaths, segments: dict[str, tuple[int, int]]) -> pd.DataFrame:
    """Return what is told of segments, of so many users of whom the first so many did it."""
    users = [(code, number < did) for code, (n, did) in segments.items() for number in range(n)]
    with duckdb.connect() as connection:
        connection.execute(f"attach ':memory:' as warehouse; use warehouse; {TABLES}")
        for number, (code, does) in enumerate(users):
            user = f"u{number:03}"
            connection.execute(
                "insert into bi.user_score_daily values (?, ?, 'high_value', ?, 'bert', '3', ?)",
                [SCORED, user, number % 100 / 100, HORIZON],
            )
            connection.execute(
                "insert into bi.user_segment_daily values (?, ?, 'rfm', ?, 'Name', '名')",
                [SCORED, user, code],
            )
            tell(connection, user, SCORED - timedelta(days=9), 100)
            tell(connection, user, SCORED + timedelta(days=9), 200 if does else 10)
        rows = connection.sql(compiled(world_paths, CLOSES)).df()
    return rows.set_index("segment_code")[["n", "n_positive", "auc"]]
