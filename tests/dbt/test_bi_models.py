"""Leg 2 over a hand-made leg 1: two customers, one device, two days, amounts with half cents.

- u1 buys for 100.005 in February and for 50 in March: a champion, with both models a loyal regular.
- u2 gets 20 back on the first of March, before any sale that we know of, and buys for 30 plus 5 postage on
  the 20th: promising on the first day, a champion on the second.
- d3, a device, looks and puts 2 pieces at 9.99 into the cart.
- u4 is first seen on the second day.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import duckdb
import pandas as pd
import pytest
from dbt.cli.main import dbtRunner

import settings
from serving.publish import publish
from settings import ShopPaths
from warehouse import dbt as runner
from warehouse import ops

DAY_0, DAY_1, DAY_2 = date(2026, 3, 30), date(2026, 3, 31), date(2026, 4, 1)

RULES = {
    DAY_0: {"u1": "champions", "u2": "champions", "d3": "not_bought"},
    DAY_1: {"u1": "champions", "u2": "promising_big_spenders", "d3": "not_bought"},
    DAY_2: {"u1": "champions", "u2": "champions", "d3": "not_bought", "u4": "not_bought"},
}
MODEL_VERSIONS = {DAY_0: "1", DAY_1: "1", DAY_2: "2"}
DEFINED = {
    "1": {"loyal_regulars": ("born", None), "bargain_hunters": ("born", None)},
    "2": {"loyal_regulars": ("kept", None), "searchers": ("split", "loyal_regulars")},
}
"""Which segments each model has, and where it says that they come from."""

# user, identified, day, type, order, product, channel, quantity, price, gross, refund
EVENTS = [
    ("u1", True, date(2026, 2, 10), "purchase", "o1", "p1", "web", 1, "100.005", "100.005", "0"),
    ("u1", True, date(2026, 3, 5), "purchase", "o2", "p1", "web", 1, "50", "50", "0"),
    ("u2", True, date(2026, 3, 1), "refund", None, "p2", None, 1, None, "0", "20"),
    ("u2", True, date(2026, 3, 20), "purchase", "o3", "p2", "app", 1, "30", "30", "0"),
    ("u2", True, date(2026, 3, 20), "purchase", "o3", "POST", "app", 1, "5", "5", "0"),
    ("d3", False, date(2026, 3, 20), "view", None, "p1", "web", None, "9.99", "0", "0"),
    ("d3", False, date(2026, 3, 20), "cart", None, "p1", "web", 2, "9.99", "0", "0"),
    ("d3", False, date(2026, 3, 20), "cart", None, "p3", "web", 2, None, "0", "0"),
    ("u4", True, date(2026, 4, 1), "browse", None, None, "web", None, None, "0", "0"),
]

CATALOGUE_PRICE = {DAY_0: "5", DAY_1: "5", DAY_2: "8"}
"""Of p3, whose events show no price."""

LEG_1 = """
create schema staging; create schema intermediate; create schema core; create schema ml_inputs;
create table staging.stg_shop__campaign_contacts
    (user_key varchar, arm varchar, event_date date, delivered_on date);
create table intermediate.int_user_rule_segments
    (as_of_date date, user_key varchar, scheme varchar, segment_code varchar, score double,
    distance double, runner_up_code varchar, margin double,
    reason_1 varchar, reason_2 varchar, reason_3 varchar,
    reason_1_zh varchar, reason_2_zh varchar, reason_3_zh varchar);
create table intermediate.int_users_eligible (as_of_date date, user_key varchar);
create table intermediate.int_products_known (
    as_of_date date, product_id varchar, is_product boolean, price_amount decimal(18, 4), category varchar
);
create table intermediate.int_events_stitched (
    as_of_date date, event_key varchar, user_key varchar, is_identified boolean, event_date date,
    occurred_at timestamp, event_type varchar, order_id varchar, product_id varchar, channel varchar,
    quantity decimal(18, 4), net_amount decimal(18, 4), row_number bigint
);
create table intermediate.int_events_merged (
    event_key varchar, price_amount decimal(18, 4), delivered_on date, superseded_on date,
    source_table varchar, event_type varchar, event_date date, occurred_at timestamp, user_key varchar,
    device_key varchar, order_id varchar, net_amount decimal(18, 4)
);
create table intermediate.int_devices_stitched
    (as_of_date date, device_key varchar, user_key varchar, valid_from timestamp, valid_to timestamp);
create table intermediate.int_identities
    (device_key varchar, user_key varchar, event_date date, delivered_on date, superseded_on date);
create table core.fct_events (event_key varchar, net_amount decimal(18, 4), delivered_on date);
create table ml_inputs.fct_user_features (
    as_of_date date, user_key varchar, recency_days integer, order_count bigint,
    order_count_last_30_days bigint, order_count_last_90_days bigint,
    event_count_last_7_days bigint, net_revenue_amount double,
    net_revenue_amount_last_90_days double, gross_revenue_amount double, average_order_amount double,
    refund_share double, discount_share double, cart_abandon_share double, review_count bigint,
    review_score_avg double, top_category varchar, top_channel varchar
);
""" + "".join(
    f"alter table ml_inputs.fct_user_features add column if not exists {feature} double;"
    for feature in pd.read_csv(runner.PROJECT / "seeds" / "segment_features.csv")["feature"]
)

FEATURES = {  # recency, orders, gross, net, abandoned, category
    "u1": (26, 2, 150.005, 150.005, None, "cards"),
    "u2": (11, 1, 35.0, 15.0, None, "bags"),
    "d3": (11, 0, 0.0, 0.0, 1.0, "cards"),
    "u4": (0, 0, 0.0, 0.0, None, None),
}


LEG_2 = ("build", "--select", "source:ml+", "--exclude-resource-type", "unit_test")


class Chain:
    """Play the neighbours of leg 2, and build it."""

    def __init__(self, paths: ShopPaths, smallest_group: int = 10) -> None:
        self.paths = paths
        self.smallest_group = smallest_group
        self.manifest = None
        with duckdb.connect(str(paths.warehouse)) as connection:
            connection.execute(LEG_1)
            ops.create(connection)

    def run(self, *arguments: str, day: date = DAY_1, is_restating: bool = False) -> bool:
        """Run dbt; parse only once, since every day differs in nothing but variables."""
        settings.hand_to_dbt(self.paths)
        variables = {"as_of_date": str(day), "run_id": f"run-{day}", "landing_dir": str(self.paths.landing)}
        variables |= {"smallest_group": self.smallest_group, "is_restating": is_restating}
        project = str(runner.PROJECT)
        common = ["--project-dir", project, "--profiles-dir", project, "--vars", json.dumps(variables)]
        common += [
            "--log-path",
            str(self.paths.root / "logs"),
            "--target-path",
            str(self.paths.root / "target"),
        ]
        if self.manifest is None:
            self.manifest = dbtRunner().invoke(["--quiet", "parse", *common]).result
        result = dbtRunner(manifest=self.manifest).invoke(["--quiet", *arguments, *common])
        runner._close_connections()
        assert result.exception is None, result.exception
        self.results = result.result
        return result.success

    def build(self, day: date) -> bool:
        self.lay_out(day)
        with duckdb.connect(str(self.paths.warehouse)) as connection:
            ops.load_journals(connection, self.paths)
        return self.run(*LEG_2, day=day)

    def lay_out(self, day: date) -> None:
        """Write what leg 1 and the models would have written for a day."""
        with duckdb.connect(str(self.paths.warehouse)) as connection:
            for table in ("int_user_rule_segments", "int_users_eligible", "int_products_known"):
                connection.execute(f"delete from intermediate.{table} where as_of_date = ?", [day])
            connection.execute("delete from ml_inputs.fct_user_features where as_of_date = ?", [day])
            connection.execute("delete from intermediate.int_events_stitched")
            connection.execute("delete from core.fct_events")
            connection.execute("delete from intermediate.int_events_merged")
            connection.execute(
                "insert into intermediate.int_products_known "
                "values (?, 'POST', false, null, null), (?, 'p3', true, ?, 'home')",
                [day, day, CATALOGUE_PRICE[day]],
            )
            for number, event in enumerate(EVENTS):
                self._write_event(connection, day, f"e{number}", event)
            for user, code in RULES[day].items():
                self._write_user(connection, day, user, code)
            self._write_definitions(connection, day)

    def _write_event(self, connection, day, key, event) -> None:
        user, identified, event_day, kind, order, product, channel, quantity, price, gross, refund = event
        if event_day > day:
            return
        net = Decimal(gross) - Decimal(refund)
        connection.execute(
            "insert into intermediate.int_events_stitched values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            [day, key, user, identified, event_day, event_day, kind, order, product, channel, quantity, net],
        )
        connection.execute(
            "insert into intermediate.int_events_merged (event_key, price_amount, delivered_on) "
            "values (?, ?, ?)",
            [key, price, event_day],
        )
        connection.execute("insert into core.fct_events values (?, ?, ?)", [key, net, event_day])

    def _write_user(self, connection, day, user, code) -> None:
        connection.execute("insert into intermediate.int_users_eligible values (?, ?)", [day, user])
        connection.execute(
            "insert into intermediate.int_user_rule_segments values "
            "(?, ?, 'rfm', ?, 0.5, 0.2, null, 0.1, 'a', 'b', null, '甲', '乙', null)",
            [day, user, code],
        )
        recency, orders, gross, net, abandoned, category = FEATURES[user]
        connection.execute(
            "insert into ml_inputs.fct_user_features (as_of_date, user_key, recency_days, order_count, "
            "order_count_last_30_days, order_count_last_90_days, event_count_last_7_days, "
            "net_revenue_amount, net_revenue_amount_last_90_days, gross_revenue_amount, "
            "average_order_amount, refund_share, discount_share, cart_abandon_share, review_count, "
            "review_score_avg, top_category, top_channel) values "
            "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, 0, null, ?, 'web')",
            [
                day,
                user,
                recency,
                orders,
                orders,
                orders,
                1,
                net,
                net,
                gross,
                gross / orders if orders else None,
                abandoned,
                category,
            ],
        )
        for table, values in {
            "user_segments": [
                day,
                user,
                "behaviour",
                "loyal_regulars",
                0.9,
                0.1,
                "searchers",
                0.3,
                *("begins with search", "", ""),
                *("以搜索开始访问", "", ""),
                None,
                MODEL_VERSIONS[day],
                day,
                "ml-run",
            ],
            "user_scores": [
                day,
                user,
                "high_value",
                0.25,
                "low",
                "bert",
                MODEL_VERSIONS[day],
                1,
                0.5,
                "1.5",
                30,
                "a",
                "b",
                "c",
                *("甲", "乙", "丙"),
                day,
                "ml-run",
            ],
        }.items():
            columns = self._columns(connection, table)
            connection.execute(f"delete from ml.{table} where as_of_date = ? and user_key = ?", [day, user])
            marks = ", ".join("?" * len(columns))
            connection.execute(f"insert into ml.{table} values ({marks})", values)

    def _write_definitions(self, connection, day) -> None:
        connection.execute("delete from ml.segment_definitions where as_of_date = ?", [day])
        connection.executemany(
            "insert into ml.segment_definitions values (?, 'behaviour', ?, 'model', ?, 'd', '述', ?, ?, 'r')",
            [
                (day, code, MODEL_VERSIONS[day], event, parent)
                for code, (event, parent) in DEFINED[MODEL_VERSIONS[day]].items()
            ],
        )

    def _columns(self, connection, table):
        return connection.execute(f"describe ml.{table}").fetchall()

    def execute(self, sql: str) -> None:
        with duckdb.connect(str(self.paths.warehouse)) as connection:
            connection.execute(sql)

    def ask(self, sql: str):
        with duckdb.connect(str(self.paths.warehouse), read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Build both days, the first one published before the second is built."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_DATA", str(tmp_path_factory.mktemp("data")))
        paths = ShopPaths("simulated")
        paths.landing.mkdir(parents=True)
        chain = Chain(paths, smallest_group=1)
        assert chain.run("run-operation", "create_source_tables", "--args", "{source_name: ml}")
        assert chain.run("seed", "--select", "segment_names", "segment_features", "event_types")
        assert chain.build(DAY_1)
        publish(paths, DAY_1)
        assert chain.build(DAY_2)
        yield chain


def test_every_scheme_holds_every_eligible_user_once(chain):
    rows = chain.ask(
        "select as_of_date, scheme, count(*) from bi.user_segment_daily group by all order by all"
    )
    assert rows == [(DAY_1, "behaviour", 3), (DAY_1, "rfm", 3), (DAY_2, "behaviour", 4), (DAY_2, "rfm", 4)]


def test_days_in_segment_count_on_while_a_user_stays(chain):
    rows = chain.ask("""
        select user_key, days_in_segment, is_new_user from bi.user_segment_daily
        where as_of_date = '2026-04-01' and scheme = 'rfm' order by user_key
    """)
    # u2 moved, u4 is new.
    assert rows == [("d3", 2, False), ("u1", 2, False), ("u2", 1, False), ("u4", 1, True)]


def test_nobody_is_new_in_the_first_snapshot(chain):
    assert chain.ask(
        "select distinct is_new_user from bi.user_segment_daily where as_of_date = '2026-03-31'"
    ) == [(False,)]


def test_current_is_the_newest_snapshot_with_names(chain):
    rows = chain.ask(
        "select user_key, segment_name_en, segment_name_zh "
        "from bi.user_segment_current where scheme = 'rfm' order by 1"
    )
    assert rows[1:3] == [("u1", "Champions", "重要价值客户"), ("u2", "Champions", "重要价值客户")]
    assert len(rows) == 4


def test_why_a_user_is_in_a_segment_is_told_in_both_languages(chain):
    rows = chain.ask("""
        select scheme, reason_1, reason_1_zh, reason_2, reason_2_zh, distance, margin
        from bi.user_segment_current where user_key = 'u1' order by scheme
    """)
    assert rows == [
        ("behaviour", "begins with search", "以搜索开始访问", "", "", 0.1, 0.3),
        ("rfm", "a", "甲", "b", "乙", 0.2, 0.1),
    ]
    score = "select reason_3, reason_3_zh from bi.user_score_daily where user_key = 'u1' limit 1"
    assert chain.ask(score) == [("c", "丙")]


def test_a_segment_under_a_new_model_version_is_kept_from_that_day(chain):
    rows = chain.ask("""
        select valid_from, valid_to, event, model_version from bi.dim_segment
        where segment_code = 'loyal_regulars' order by valid_from
    """)
    assert rows == [(DAY_1, DAY_2, "born", "1"), (DAY_2, None, "kept", "2")]


def test_a_split_segment_names_its_parent_and_a_retired_one_holds_on_no_day(chain):
    rows = chain.ask("""
        select segment_code, valid_from, valid_to, event, parent_code from bi.dim_segment
        where segment_code in ('searchers', 'bargain_hunters') order by all
    """)
    assert rows == [
        ("bargain_hunters", DAY_1, DAY_2, "born", None),
        ("bargain_hunters", DAY_2, DAY_2, "retired", None),
        ("searchers", DAY_2, None, "split", "loyal_regulars"),
    ]


def test_a_name_that_a_person_gave_holds_from_its_day_and_leaves_published_days_alone(chain):
    before = chain.paths.warehouse.read_bytes()
    word = ("behaviour", "loyal_regulars", "Old friends", "老朋友", DAY_1, "asked for")
    columns = "scheme, segment_code, segment_name_en, segment_name_zh, valid_from, reason"
    insert = f"insert into ops.segment_rename (renamed_at, {columns})"
    try:
        chain.execute(f"{insert} values ('2026-04-02', {', '.join(repr(str(part)) for part in word)})")
        chain.execute(f"{insert} values ('2026-04-03', 'rfm', 'champions', 'Late', '晚', '2026-04-02', '')")
        assert chain.run(*LEG_2, day=DAY_2)
        rows = chain.ask("""
            select as_of_date, scheme, max(segment_name_en) from bi.user_segment_daily
            where segment_code in ('loyal_regulars', 'champions') group by all order by all
        """)
        assert rows == [
            (DAY_1, "behaviour", "Loyal regulars"),
            (DAY_1, "rfm", "Champions"),
            (DAY_2, "behaviour", "Old friends"),
            (DAY_2, "rfm", "Champions"),
        ]
    finally:
        chain.paths.warehouse.write_bytes(before)


def test_a_name_that_a_person_gave_dies_with_its_segment(chain):
    """Both were named on the first day; searchers is another segment since the second, of the same code."""
    before = chain.paths.warehouse.read_bytes()
    columns = "renamed_at, scheme, segment_code, segment_name_en, segment_name_zh, valid_from"
    try:
        for code in ("loyal_regulars", "searchers"):
            chain.execute(
                f"insert into ops.segment_rename ({columns}) "
                f"values ('2026-03-31', 'behaviour', '{code}', 'Old {code}', '老', '{DAY_1}')"
            )
        assert chain.run(*LEG_2, day=DAY_2)
        names = chain.ask(f"""
            select segment_code, segment_name_en from intermediate.int_segment_definitions_gathered
            where scheme = 'behaviour' and as_of_date = '{DAY_2}' order by all
        """)
        assert names == [("loyal_regulars", "Old loyal_regulars"), ("searchers", "Searchers")]
    finally:
        chain.paths.warehouse.write_bytes(before)


def test_a_rule_segment_is_defined_once_even_without_users(chain):
    rows = chain.ask(
        "select segment_code, valid_from, valid_to, event from bi.dim_segment where scheme = 'rfm'"
    )
    assert len(rows) == 9
    assert {row[1:] for row in rows} == {(DAY_1, None, "born")}


def test_profiles_measure_the_users_of_the_segment(chain):
    [row] = chain.ask("""
        select users, user_share, net_revenue_amount, revenue_share, average_order_amount,
            recency_days_median, top_category, cart_abandon_share
        from bi.segment_profile_daily where as_of_date = '2026-04-01' and segment_code = 'champions'
    """)
    assert row == (
        2, 2 / 4, Decimal("165.01"), 1.0, Decimal("61.67"), (26 + 11) / 2, "bags", None
    )  # fmt: skip
    assert Decimal("61.67") == round(Decimal("185.005") / 3, 2)


def test_cohorts_tell_every_month_and_add_up_to_the_cent(chain):
    rows = chain.ask("""
        select cohort_month, month_number, users, buyers, orders, net_revenue_amount,
            non_product_net_revenue_amount
        from bi.customer_cohort_monthly order by all
    """)
    february, march = date(2026, 2, 1), date(2026, 3, 1)
    cents = Decimal
    assert rows == [
        (february, 0, 1, 1, 1, cents("100.01"), 0),
        (february, 1, 1, 1, 1, cents("50.00"), 0),
        (february, 2, 1, 0, 0, 0, 0),
        # A refund began u2's cohort; postage is no product.
        (march, 0, 1, 1, 1, cents("15.00"), cents("5.00")),
        (march, 1, 1, 0, 0, 0, 0),
    ]
    # 100.005 + 50 - 20 + 30 + 5 = 165.005; half a cent is rounded away from zero, once.
    assert sum(row[5] for row in rows) == Decimal("165.01")


def test_funnel_counts_users_by_step_and_values_left_carts(chain):
    [row] = chain.ask("""
        select users, click_users, cart_users, pay_users, click_to_cart_share, cart_to_checkout_share,
            checkout_to_pay_share, net_revenue_amount, abandoned_amount
        from bi.funnel_daily where scheme = 'rfm' and date = '2026-03-20' and channel = 'web'
    """)
    assert row == (1, 1, 1, 0, 1.0, 0.0, None, 0, Decimal("35.98")), (
        "2 × 9.99 and, at the price known as of the last as_of_date, 2 × 8"
    )


def test_funnel_tells_a_day_in_the_segments_of_the_snapshot_that_first_saw_it(chain):
    rows = chain.ask("""
        select segment_code, net_revenue_amount from bi.funnel_daily
        where scheme = 'rfm' and date = '2026-03-20' and channel = 'app'
    """)
    # u2 was promising on the day after, and a champion only later.
    assert rows == [("promising_big_spenders", Decimal("35.00"))]


def test_a_refund_without_a_channel_is_told_as_unknown(chain):
    rows = chain.ask(
        "select net_revenue_amount from bi.funnel_daily where scheme = 'rfm' and channel = 'unknown'"
    )
    assert rows == [(Decimal("-20.00"),)]


def test_published_version_tells_of_the_version_before(chain):
    assert chain.ask("select as_of_date, user_count from bi.published_version") == [(DAY_1, 3)]


def test_what_a_training_said_of_its_segments_is_told_once_per_segment(chain):
    before = chain.paths.warehouse.read_bytes()
    try:
        chain.execute("""
            insert into ops.segment_stability by name
            select 'm1' as run_id, 'behaviour' as scheme, code as segment_code, 'kept' as event,
                0.8 as jaccard, 'renewed' as gate, 'they agree' as decision_reason,
                '新旧一致' as decision_reason_zh
            from (values ('searchers'), ('newcomers')) as codes (code)
        """)
        assert chain.run("build", "--select", "segment_stability", day=DAY_2)
        rows = chain.ask("""
            select segment_name_en, jaccard, gate, decision_reason_zh from bi.segment_stability order by 1
        """)
        told = (0.8, "renewed", "新旧一致")
        assert rows == [("Newcomers", *told), ("Searchers", *told)]
        chain.execute("insert into ops.segment_stability select * from ops.segment_stability")
        assert not chain.run("build", "--select", "segment_stability", day=DAY_2)
    finally:
        chain.paths.warehouse.write_bytes(before)


def test_what_the_scores_of_a_restated_day_came_to_is_told_anew(chain):
    before = chain.paths.warehouse.read_bytes()
    try:
        chain.execute(f"""
            insert into bi.score_backtest by name
            select unnest([date '{DAY_1}', date '{DAY_2}']) as as_of_date, 'high_value' as score_name,
                'rfm' as model_name, 'all' as scheme, 'all' as segment_code, 'all' as population, 50 as n
        """)
        assert chain.run("build", "--select", "score_backtest", day=DAY_1, is_restating=True)
        assert chain.ask("select as_of_date from bi.score_backtest") == [(DAY_2,)]
        assert chain.run("build", "--select", "score_backtest", day=DAY_2)
        assert chain.ask("select as_of_date from bi.score_backtest") == [(DAY_2,)]
    finally:
        chain.paths.warehouse.write_bytes(before)


def test_what_few_users_did_is_told_together_and_still_adds_up(chain):
    before = chain.paths.warehouse.read_bytes()
    folded = ("segment_profile_daily", "funnel_daily", "customer_cohort_monthly", "segment_migration")
    folded = ("build", "--select", "int_segment_profiles_summed", *folded, "assert_no_group_is_small")
    try:
        chain.smallest_group = 3
        assert chain.run(*folded, day=DAY_2)
        profiles = chain.ask("""
            select segment_code, segment_name_en, users, user_share, net_revenue_amount, recency_days_median,
                is_folded
            from bi.segment_profile_daily where as_of_date = '2026-04-01' and scheme = 'rfm'
        """)
        assert profiles == [("_other", "Other small groups", 2 + 2, 1.0, Decimal("165.01"), 11.0, True)]
        chain.smallest_group = 2
        assert chain.run(*folded, day=DAY_2)
        funnel = chain.ask("""
            select date, segment_code, segment_name_en, channel, users, pay_users, net_revenue_amount,
                abandoned_amount
            from bi.funnel_daily where scheme = 'rfm' order by segment_code
        """)
        # Only on the 20th there were two; the app and the unknown channel had one, and took the web along.
        day = date(2026, 3, 20)
        assert funnel == [
            (day, "_other", "Other small groups", "_other", 2, 2, Decimal("165.01"), 0),
            (day, "not_bought", "Not bought yet", "_other", 2, 0, 0, Decimal("35.98")),
        ]
        cohorts = chain.ask("""
            select cohort_month, month_number, users, buyers, orders, net_revenue_amount, retention_share
            from bi.customer_cohort_monthly order by all
        """)
        # One began in February, one in March: what the first brought before counts in March.
        march = date(2026, 3, 1)
        assert cohorts == [(march, 0, 2, 2, 3, Decimal("165.01"), 1.0), (march, 1, 2, 0, 0, 0, 0.0)]
    finally:
        chain.smallest_group = 1
        chain.paths.warehouse.write_bytes(before)


# Each of our data tests, seen red: one spoiled thing for each.
SPOILED = {
    "assert_every_eligible_user_has_one_segment_per_scheme": (
        "update ml_inputs.fct_user_features set user_key = 'u9' where user_key = 'u4'"
    ),
    "assert_profiles_sum_to_users_and_shares_to_one": (
        "update intermediate.int_segment_profiles_summed set users = users + 1"
    ),
    "assert_profile_revenue_agrees_with_core": (
        "update core.fct_events set net_amount = 51 where event_key = 'e1'"
    ),
    "assert_cohort_revenue_agrees_with_core": (
        "update bi.customer_cohort_monthly set net_revenue_amount = 50.01 where net_revenue_amount = 50"
    ),
    "assert_funnel_revenue_agrees_with_the_log": (
        "delete from bi.funnel_daily where scheme = 'rfm' and channel = 'unknown'"
    ),
    "assert_no_group_is_small": "update bi.funnel_daily set users = 0 where channel = 'app'",
    "assert_every_segment_is_defined_on_its_date": (
        "delete from bi.dim_segment where segment_code = 'not_bought'"
    ),
    "assert_segment_intervals_do_not_overlap": "update bi.dim_segment set valid_to = null",
    "assert_best_decile_has_the_best_scores": (
        "update intermediate.int_user_scores_received set decile = 2, score = 0.9 where user_key = 'u1'"
    ),
}


def test_each_of_our_data_tests_goes_red_when_spoiled(chain):
    before = chain.paths.warehouse.read_bytes()
    try:
        for spoil in SPOILED.values():
            chain.execute(spoil)
        assert not chain.run("test", "--select", *SPOILED, day=DAY_2)
        assert {node.node.name for node in chain.results if str(node.status) == "fail"} == set(SPOILED)
    finally:
        chain.paths.warehouse.write_bytes(before)


def test_every_data_test_of_ours_has_been_seen_red():
    from tests.dbt import test_segment_history

    seen = {*SPOILED, *test_segment_history.SPOILED}
    assert {path.stem for path in (runner.PROJECT / "tests" / "bi").glob("*.sql")} == seen


def test_a_published_day_is_not_computed_again_and_a_lost_warehouse_remembers_it(chain):
    before = chain.paths.warehouse.read_bytes()
    published = chain.ask("from bi.user_segment_daily where as_of_date = '2026-03-31' order by all")
    try:
        chain.lay_out(DAY_1)
        # A late delivery would now put u1 elsewhere.
        chain.execute("update intermediate.int_user_rule_segments set segment_code = 'not_bought'")
        chain.execute("drop schema bi cascade; drop view intermediate.int_segment_definitions_kept")
        assert chain.run(*LEG_2, day=DAY_1)
        assert (
            chain.ask("from bi.user_segment_daily where as_of_date = '2026-03-31' order by all") == published
        )
        outcome = publish(chain.paths, DAY_1)
        assert outcome.kept_as_published == [
            *("user_segment_daily", "segment_profile_daily", "segment_feature_index")
        ]
    finally:
        chain.paths.warehouse.write_bytes(before)


@pytest.mark.parametrize("is_leg_1_ahead", [False, True])
def test_a_backfill_leaves_current_cohorts_and_funnel_alone(chain, is_leg_1_ahead):
    before = chain.paths.warehouse.read_bytes()
    publish(chain.paths, DAY_2)
    tables = ("user_segment_current", "customer_cohort_monthly", "funnel_daily")
    shown = [chain.ask(f"from bi.{table} order by all") for table in tables]
    try:
        chain.lay_out(DAY_0)
        if is_leg_1_ahead:
            chain.execute("delete from intermediate.int_events_stitched")
            chain.execute("delete from intermediate.int_users_eligible")
        assert chain.run(*LEG_2, day=DAY_0)
        assert [chain.ask(f"from bi.{table} order by all") for table in tables] == shown
        rows = chain.ask("select min(valid_from) from bi.dim_segment")
        assert rows == [(DAY_0,)]
    finally:
        chain.paths.warehouse.write_bytes(before)


def test_a_lost_warehouse_still_knows_what_a_segment_was_split_from(chain):
    before = chain.paths.warehouse.read_bytes()
    publish(chain.paths, DAY_2)
    told = chain.ask("from bi.dim_segment order by all")
    try:
        chain.execute("drop schema bi cascade; delete from ml.segment_definitions")
        assert chain.run(*LEG_2, day=DAY_2)
        assert chain.ask("from bi.dim_segment order by all") == told
    finally:
        chain.paths.warehouse.write_bytes(before)
