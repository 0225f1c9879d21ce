"""The world's answers: each definition of leg 1 at the place where it turns."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from settings import ShopPaths
from tests import world
from tests.dbt.conftest import Query
from warehouse import dbt
from warehouse.build import choose_split, variables

LAST, TEST, TRAIN = world.LAST_DAY, world.TEST_CUT, world.TRAIN_CUT


def features(ask: Query, user: str, as_of: date, *names: str) -> tuple[Any, ...] | None:
    rows = ask(
        f"select {', '.join(names)} from ml_inputs.fct_user_features where user_key = ? and as_of_date = ?",
        user,
        as_of,
    )
    return rows[0] if rows else None


def label(ask: Query, user: str, as_of: date, *names: str) -> tuple[Any, ...]:
    return ask(
        f"select {', '.join(names)} from ml_inputs.fct_user_labels where user_key = ? and as_of_date = ?",
        user,
        as_of,
    )[0]


def segment(ask: Query, user: str, scheme: str, as_of: date = LAST) -> str:
    query = """
        select segment_code from intermediate.int_user_rule_segments
        where user_key = ? and scheme = ? and as_of_date = ?
    """
    return ask(query, user, scheme, as_of)[0][0]


def test_everybody_with_a_trace_is_eligible_once(ask: Query) -> None:
    found = ask("select user_key from ml_inputs.fct_user_features where as_of_date = ?", LAST)
    assert sorted(user for (user,) in found) == sorted(world.USERS_AS_OF_LAST_DAY)


def test_the_three_tables_name_the_same_users(ask: Query) -> None:
    keys = [
        ask(f"select as_of_date, user_key from ml_inputs.{table} order by all")
        for table in ("fct_user_sequences", "fct_user_features", "fct_user_labels")
    ]
    assert keys[0] == keys[1] == keys[2] != []


def test_exactly_the_gap_is_one_visit_and_a_second_more_is_two(ask: Query) -> None:
    found = ask(
        "select event_count, duration_seconds from core.fct_sessions where user_key = 'ben' "
        "order by session_started_at"
    )
    assert found == [(2, 30 * 60), (1, 0)]
    assert features(ask, "ben", LAST, "session_count_last_30_days") == (2,)


def test_cleo_buys_in_a_second_visit_half_of_her_cart(ask: Query) -> None:
    found = ask(
        "select cart_count, has_purchase from core.fct_sessions where user_key = 'cleo' "
        "order by session_started_at"
    )
    assert found == [(2, False), (0, True)]
    assert features(ask, "cleo", LAST, "cart_abandon_share") == (1 / 2,)


def test_a_device_becomes_its_customer_when_the_link_is_delivered(ask: Query) -> None:
    assert features(ask, "d-dora", TEST, "event_count", "is_identified") == (2, False)
    assert features(ask, "dora", TEST, "event_count") is None
    assert features(ask, "dora", LAST, "event_count", "is_identified") == (2, True)
    assert features(ask, "d-dora", LAST, "event_count") is None


def test_a_shared_device_belongs_to_its_holder_and_first_to_the_first(ask: Query) -> None:
    """The tablet's views and the sofa's: there emil came back on the day on which fay had it."""
    assert features(ask, "emil", LAST, "event_count") == (2 + 3,)
    assert features(ask, "fay", LAST, "event_count") == (1 + 1,)


def test_a_device_of_three_customers_is_a_user_of_its_own(ask: Query) -> None:
    assert features(ask, "d-kiosk", LAST, "event_count", "is_identified") == (1, False)
    assert ask("select count(*) from intermediate.int_devices_stitched where device_key = 'd-kiosk'") == [
        (0,)
    ]


def test_facts_never_carry_a_stitched_user(ask: Query) -> None:
    assert ask("select distinct user_key from core.fct_events where device_key in ('d-dora', 'd-kiosk')") == [
        (None,)
    ]


def test_a_cancelled_order_was_a_sale_until_it_was_cancelled(ask: Query) -> None:
    assert features(ask, "jon", TEST, "order_count", "net_revenue_amount") == (1, 80)
    assert features(ask, "jon", LAST, "order_count", "net_revenue_amount") == (0, 0)
    assert segment(ask, "jon", "rfm", TEST) != "not_bought"
    assert segment(ask, "jon", "rfm") == "not_bought"
    assert ask("select is_sale, net_amount from core.fct_orders where order_id = 'j1'") == [(False, 0)]


def test_a_corrected_order_replaces_all_its_lines(ask: Query) -> None:
    assert features(ask, "kim", LAST, "net_revenue_amount", "item_count") == (40, 1)
    versions = ask(
        "select product_id, delivered_on, superseded_on from intermediate.int_order_lines_deduplicated "
        "where order_id = 'm1' order by all"
    )
    corrected = date(2026, 4, 17)
    assert versions == [
        ("mug", date(2026, 4, 10), corrected),
        ("teapot", date(2026, 4, 10), corrected),
        ("teapot", corrected, None),
    ]


def test_a_deleted_order_is_known_until_its_deletion_and_never_after(ask: Query) -> None:
    for table in ("orders", "order_lines"):
        versions = f"intermediate.int_{table}_deduplicated"
        assert ask(f"select delivered_on, superseded_on from {versions} where order_id = 'r1'") == [
            (date(2026, 3, 5), date(2026, 3, 6))
        ]
    assert ask("select order_id from core.fct_orders where order_id = 'r1'") == []
    assert ask("select event_key from core.fct_events where order_id = 'r1'") == []


def test_a_refund_without_an_order_makes_a_user_who_has_not_bought(ask: Query) -> None:
    assert features(ask, "lea", LAST, "net_revenue_amount", "order_count", "refund_share") == (-25, 0, None)
    assert segment(ask, "lea", "rfm") == "not_bought"
    assert segment(ask, "lea", "lifecycle") == "aware"


def test_gifts_and_stock_adjustments_are_no_sales(ask: Query) -> None:
    assert features(ask, "mo", LAST, "event_count", "order_count", "net_revenue_amount") == (2, 0, 0)
    assert ask("select is_sale, line_count, gross_amount from core.fct_orders where order_id = 'o1'") == [
        (False, 2, 0)
    ]


def test_a_repeated_event_counts_once_and_keeps_its_first_delivery(ask: Query) -> None:
    found = ask(
        "select delivered_on, superseded_on from intermediate.int_events_deduplicated where event_id = 'p1'"
    )
    assert found == [(date(2026, 4, 1), None)]


def test_a_late_event_is_unknown_to_the_days_before_its_delivery(ask: Query) -> None:
    assert features(ask, "pat", TEST, "event_count") is None
    assert features(ask, "pat", LAST, "event_count", "tenure_days") == (2, (LAST - TRAIN).days)


def test_consent_is_known_as_of(ask: Query) -> None:
    as_of = """
        select has_marketing_consent from intermediate.int_customers_deduplicated
        where user_key = 'ana' and delivered_on <= ? and (superseded_on is null or superseded_on > ?)
    """
    assert ask(as_of, TRAIN, TRAIN) == [(True,)]
    assert ask(as_of, TEST, TEST) == [(False,)]
    assert ask("select has_marketing_consent from core.dim_users where user_key = 'ana'") == [(False,)]


def test_the_catalogue_is_read_as_of(ask: Query) -> None:
    titles = "select title from intermediate.int_products_known where product_id = ? and as_of_date = ?"
    assert ask(titles, "lamp", TEST) == [("Desk lamp",)]
    assert ask(titles, "lamp", LAST) == [("Desk lamp, warm white",)]
    # The teapot left the catalogue; whoever bought it still bought an iron teapot.
    assert ask(titles, "teapot", LAST) == [("Iron teapot",)]
    assert ask(
        "select is_listed, is_product from core.dim_products "
        "where product_id in ('POST', 'teapot') order by 1"
    ) == [
        (False, True),
        (True, False),
    ]


def test_customers_are_read_as_of(ask: Query) -> None:
    assert [features(ask, "ana", day, "country") for day in (TRAIN, TEST, LAST)] == [
        ("Germany",),
        ("Austria",),
        ("Austria",),
    ]


def test_a_month_of_orders_makes_ana_loyal(ask: Query) -> None:
    assert features(ask, "ana", LAST, "order_count", "days_between_orders_avg", "average_order_amount") == (
        4,
        (date(2026, 4, 20) - date(2026, 1, 5)).days / 3,
        (4 * 100) / 4,
    )
    assert segment(ask, "ana", "lifecycle", TRAIN) == "purchased"
    assert segment(ask, "ana", "lifecycle") == "loyal"
    assert segment(ask, "ana", "rfm") == "champions"


@pytest.mark.parametrize(
    ("unknown", "big"),
    [
        (("gross_revenue_amount",), ["ana", "nina", "oto"]),  # 4 pieces each, and ana ever more
        (("gross_revenue_amount", "item_count"), ["ana"]),  # who alone orders again
    ],
)
def test_a_shop_without_prices_ranks_by_pieces_and_without_lines_by_orders(
    ask: Query, world_paths: ShopPaths, unknown: tuple[str, ...], big: list[str]
) -> None:
    # Of all dates: a build that came after the first one may have left out those that stand.
    said = variables(world_paths, choose_split(world_paths, None))
    dbt.invoke(world_paths, ["compile", "--full-refresh", "--select", "int_user_rule_segments"], said)
    compiled = world_paths.ops / "dbt/target/compiled/shoal/models/intermediate/int_user_rule_segments.sql"
    measures = '"warehouse"."intermediate"."int_users_measured"'
    lacking = f"(select * replace ({', '.join(f'0 as {name}' for name in unknown)}) from {measures})"
    model = compiled.read_text(encoding="utf-8").replace(measures, lacking)
    assert lacking in model
    found = ask(
        f"select distinct user_key from ({model}) "
        "where segment_code in ('champions', 'promising_big_spenders', 'big_spenders_to_keep') order by all"
    )
    assert [user for (user,) in found] == big


@pytest.mark.parametrize(
    ("user", "scheme", "english", "chinese"),
    [
        (
            "nina",
            "rfm",
            ("days since the last order 31", "number of orders 1", "net revenue 0.00"),
            ("距上次下单天数 31", "订单数 1", "净收入 0.00"),
        ),
        ("dora", "rfm", ("no order yet", None, None), ("尚未下单", None, None)),
        (
            "nina",
            "lifecycle",
            ("number of orders 1", "interest in the last 90 days 1.0", None),
            ("订单数 1", "近90天兴趣度 1.0", None),
        ),
    ],
)
def test_a_rule_tells_what_it_asked(
    ask: Query, user: str, scheme: str, english: tuple[str | None, ...], chinese: tuple[str | None, ...]
) -> None:
    query = """
        select reason_1, reason_2, reason_3, reason_1_zh, reason_2_zh, reason_3_zh
        from intermediate.int_user_rule_segments
        where user_key = ? and scheme = ? and as_of_date = ?
    """
    assert ask(query, user, scheme, LAST) == [english + chinese]


def test_rfm_names_the_segment_across_the_nearest_border(ask: Query) -> None:
    """Told again from the ranks: of which one must change least to be of another segment."""
    told = ask(
        """
        with ranks as (
            select
                user_key,
                percent_rank() over (order by last_order_date) as recency,
                percent_rank() over (order by order_count) as frequency,
                percent_rank() over (order by net_revenue_amount) as money
            from intermediate.int_users_measured
            where as_of_date = $1 and order_count > 0
                and user_key in (select user_key from intermediate.int_users_eligible where as_of_date = $1)
        )

        select recency, frequency, money, segment_code, distance, runner_up_code, margin
        from intermediate.int_user_rule_segments inner join ranks using (user_key)
        where scheme = 'rfm' and as_of_date = $1
        """,
        LAST,
    )
    assert len(told) > 5
    codes = {row[3]: tuple(rank >= 0.5 for rank in row[:3]) for row in told}
    for *ranks, code, distance, runner_up, margin in told:
        is_high = [rank >= 0.5 for rank in ranks]
        borders = [abs(rank - 0.5) for rank in ranks]
        assert margin == pytest.approx(min(borders), abs=1e-6)
        assert distance == pytest.approx(
            sum(abs(rank - high) for rank, high in zip(ranks, is_high, strict=True)) / 3, abs=1e-6
        )
        assert runner_up != code
        if runner_up in codes:
            changed = [one != other for one, other in zip(codes[runner_up], is_high, strict=True)]
            assert changed == [place == borders.index(min(borders)) for place in range(3)]


def test_rules_without_a_border_in_rank_tell_no_runner_up(ask: Query) -> None:
    query = """
        select count(*), count(coalesce(distance, margin)), count(runner_up_code)
        from intermediate.int_user_rule_segments
        where (scheme = 'lifecycle' or segment_code = 'not_bought') and as_of_date = ?
    """
    ((users, *told),) = ask(query, LAST)
    assert users > 0 and told == [0, 0]


def test_windows_end_where_they_say(ask: Query) -> None:
    """As of 30 April the last 30 days begin on 1 April: dora's search of 25 March is outside."""
    assert features(ask, "dora", LAST, "search_count_last_30_days", "event_count_last_90_days") == (0, 2)
    assert features(ask, "ben", LAST, "view_count_last_30_days") == (3,)


def test_the_threshold_is_known_on_the_cut(ask: Query) -> None:
    """In the 30 days up to 31 March five users bought: 10, 80, 100, 200, 200; the 80th percentile is 200.

    In those up to 1 March it was ana alone, with 100.
    """
    assert label(ask, "ana", TEST, "threshold_amount", "threshold_basis") == (Decimal(200), "net_revenue")
    assert label(ask, "ana", TRAIN, "threshold_amount") == (Decimal(100),)


def test_a_refund_counts_until_fourteen_days_after_the_horizon(ask: Query) -> None:
    assert label(
        ask, "nina", TRAIN, "net_revenue_amount", "is_high_value", "is_buyer", "closes_on", "is_closed"
    ) == (
        200 - 200,
        False,
        True,
        date(2026, 4, 14),
        True,
    )
    assert label(ask, "oto", TRAIN, "net_revenue_amount", "is_high_value") == (200, True)


def test_a_horizon_ends_with_its_last_day(ask: Query) -> None:
    """Ana's order of 20 March lies in (1 March, 31 March], that of 20 April in (31 March, 30 April]."""
    assert label(ask, "ana", TRAIN, "net_revenue_amount", "order_count", "is_high_value") == (100, 1, True)
    assert label(ask, "ana", TEST, "net_revenue_amount", "order_count", "is_closed") == (100, 1, False)


def test_a_horizon_that_lies_ahead_has_no_label(ask: Query) -> None:
    rows = ask(
        "select distinct is_high_value, is_buyer, net_revenue_amount, is_closed "
        "from ml_inputs.fct_user_labels where as_of_date = ?",
        LAST,
    )
    assert rows == [(None, None, None, False)]


def test_a_sequence_tells_the_story_in_order(ask: Query) -> None:
    [(types, texts, gaps, hours, amounts)] = ask(
        "select event_types, texts, gap_seconds, hours_of_week, amounts from ml_inputs.fct_user_sequences "
        "where user_key = 'cleo' and as_of_date = ?",
        LAST,
    )
    assert types == ["cart", "cart", "purchase"]
    assert texts == ["Blue mug", "Iron teapot", "Blue mug"]
    assert gaps == [0, 0, 31 * 60]
    # 10 March 2026 is a Tuesday; 18:00 UTC is 19:00 in Berlin.
    assert hours == [24 + 19] * 3
    assert amounts == [0, 0, 10]


def test_equal_lists_have_one_key_and_others_another(ask: Query) -> None:
    """What was computed from a user's lists is found again by this key: it must tell apart what differs."""
    lists = "event_types, texts, product_ids, categories, channels, gap_seconds, hours_of_week, amounts"
    [(rows, users, told, keys, pairs)] = ask(
        "select count(*), count(distinct user_key), count(distinct said), count(distinct content_key), "
        "count(distinct (said, content_key)) "
        f"from (select *, ({lists}, quantities) as said from ml_inputs.fct_user_sequences)"
    )
    assert rows > told > users  # some say the same on several dates, and not everybody does
    assert told == keys == pairs


def test_a_review_in_the_last_minutes_of_the_business_day_is_seen(ask: Query) -> None:
    """21:30 UTC on 30 April is 23:30 in Berlin."""
    assert features(ask, "quinn", LAST, "review_count", "review_score_avg", "recency_days") == (1, 4, 0)


def test_an_order_discount_is_part_of_net_revenue(ask: Query) -> None:
    assert features(ask, "quinn", LAST, "gross_revenue_amount", "net_revenue_amount", "discount_share") == (
        30,
        27,
        3 / 30,
    )
    assert ask(
        "select gross_amount, discount_amount, net_amount, paid_amount "
        "from core.fct_orders where order_id = 'q1'"
    ) == [(30, 3, 27, 27)]


def test_an_order_of_nobody_is_kept_and_belongs_to_nobody(ask: Query) -> None:
    assert ask("select user_key, net_amount from core.fct_orders where order_id = 'z2'") == [(None, 5)]
    assert ask("select count(*) from intermediate.int_events_stitched where order_id = 'z2'") == [(0,)]


def test_net_revenue_agrees_between_orders_events_and_users(ask: Query) -> None:
    [(events,)] = ask("select sum(net_amount) from core.fct_events")
    [(orders,)] = ask("select sum(net_amount) from core.fct_orders")
    [(unbound,)] = ask("select sum(refund_amount) from core.fct_events where order_id is null")
    [(users,)] = ask("select sum(net_revenue_amount) from core.dim_users")
    [(nobody,)] = ask(
        "select sum(net_amount) from core.fct_events where coalesce(user_key, device_key) is null"
    )
    assert events == orders - unbound == users + nobody


def test_every_good_row_is_found_again(ask: Query) -> None:
    """No key of staging is missing downstream, and no row is new."""
    for table, key in [
        ("events", "event_id"),
        ("orders", "order_id"),
        ("order_lines", "order_id"),
        ("payments", "payment_id"),
        ("refunds", "refund_id"),
        ("reviews", "review_id"),
        ("products", "product_id"),
        ("customers", "user_key"),
        ("device_links", "device_key"),
    ]:
        landed, kept = f"staging.stg_shop__{table}", f"intermediate.int_{table}_deduplicated"
        assert ask(f"select distinct {key} from {landed} order by 1") == ask(
            f"select distinct {key} from {kept} order by 1"
        )
        assert (
            ask(f"select file_id, row_number from {kept} except select file_id, row_number from {landed}")
            == []
        )


@pytest.mark.parametrize("schema", ["staging", "intermediate", "core", "ml_inputs"])
def test_every_table_is_there(ask: Query, schema: str) -> None:
    assert ask("select count(*) from information_schema.tables where table_schema = ?", schema)[0][0] >= 3
