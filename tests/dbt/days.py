"""The world, day after day, through all but the models: both legs, planted predictions, publishing."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb
import pandas as pd

import warehouse
from ml.warehouse import write_predictions
from serving.content import content_hash
from serving.publish import Outcome, publish
from settings import ShopPaths
from tests import world
from tests.dbt.conftest import tables_of
from warehouse import dbt, snapshot
from warehouse.build import build_bi, build_core

FIVE_DAYS = [world.LAST_DAY - timedelta(days=number) for number in (12, 9, 6, 3, 0)]
"""Between them the teapot's order is corrected, refunds come, dora logs in and quinn reviews."""

WITHOUT_TESTS = ("--exclude-resource-type", "unit_test", "--exclude-resource-type", "test")

CODES = ("loyal_regulars", "window_shoppers", "searchers")


def run_only(paths: ShopPaths, leg: str, variables: dict, full_refresh: bool = False) -> None:
    """Stand in for ``dbt.build``: the models of a leg, without the data tests, which cost more than they."""
    full = ["--full-refresh"] if full_refresh else []
    dbt.invoke(paths, ["build", *dbt.LEG_SELECTORS[leg], *WITHOUT_TESTS, *full], variables)


def tell(paths: ShopPaths, day: date, run_id: str = "first") -> Outcome:
    """Build a day, predict it and publish it."""
    lay_out(paths, day, run_id)
    build_bi(paths, day)
    return publish(paths, day)


def lay_out(paths: ShopPaths, day: date, run_id: str = "first") -> None:
    """Build leg 1 of a day, and predict by planted rules what a model would."""
    build_core(paths, day)
    features = duckdb.execute(
        "select user_key, event_count from read_parquet(?) where as_of_date = ? order by user_key",
        [str(snapshot.read(paths, day).path("fct_user_features")), day],
    ).df()
    write_predictions(paths, day, run_id, predictions(features, day, run_id))


def predictions(features: pd.DataFrame, day: date, run_id: str) -> dict[str, pd.DataFrame]:
    """Place users by how much they do, so that they move while the days pass."""
    users = features.user_key
    stamp = {"as_of_date": day, "run_id": run_id, "model_version": "1"}
    stamp_of_rows = stamp | {"scored_at": datetime(2026, 6, 1, len(run_id))}
    codes = [CODES[int(count) % len(CODES)] for count in features.event_count]
    scores = features.event_count / (1 + features.event_count)
    return {
        "user_scores": frame(
            stamp_of_rows,
            user_key=users,
            score_name="high_value",
            score=scores,
            label="low",
            model_name="lightgbm",
            decile=1,
            percentile=0.5,
            expected_value=1.5,
            horizon_days=30,
            reason_1="a",
            reason_2="b",
            reason_3="c",
            reason_1_zh="甲",
            reason_2_zh="乙",
            reason_3_zh="丙",
        ),
        "user_segments": frame(
            stamp_of_rows,
            user_key=users,
            scheme="behaviour",
            segment_code=codes,
            score=0.9,
            distance=0.1,
            runner_up_code=CODES[0],
            margin=0.3,
            reason_1="a",
            reason_2="b",
            reason_3=None,
            reason_1_zh="甲",
            reason_2_zh="乙",
            reason_3_zh=None,
            code_by_previous_model=None,
        ),
        "segment_definitions": frame(
            stamp,
            scheme="behaviour",
            segment_code=list(CODES),
            kind="model",
            description_en="d",
            description_zh="述",
            event="born",
            parent_code=None,
        ),
    }


def frame(stamp: dict[str, object], **columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns).assign(**stamp)


def published(paths: ShopPaths) -> dict[tuple[date, str], str]:
    """Return the content hash of every table of every published day, as its files say it."""
    with duckdb.connect() as connection:
        return {
            (date.fromisoformat(file.parent.name), file.stem): content_hash(
                connection, "read_parquet(?)", parameters=[str(file)]
            )
            for file in (paths.history / "bi").glob("[0-9]*/*.parquet")
        }


def content(paths: ShopPaths, *schemas: str) -> dict[str, str]:
    """Return the content hash of every table and view of some schemas of the warehouse."""
    with warehouse.connect(paths, "a test", read_only=True) as connection:
        return {table: content_hash(connection, table) for table in tables_of(connection, schemas)}
