"""A small shop in Taobao's manner, from headerless files to segments, by its file in ``shops/`` alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests import taobao
from tests.chain import Chain

pytestmark = [pytest.mark.slow, pytest.mark.deep]

USERS, DAYS = 120, 120  # the scheme `value` needs two closed horizons of 30 days


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder: Path = tmp_path_factory.mktemp("taobao")
    taobao.write(folder / "drops", USERS, DAYS)
    chain = Chain("taobao", folder / "data")
    # Nobody judges the model here, so its training is short.
    assert chain.go(folder / "drops", "--steps", "30") == str(taobao.FIRST_DAY + timedelta(days=DAYS - 1))
    return chain


def test_every_line_counts(chain: Chain) -> None:
    lines = sum(len(taobao.lines_of(USERS, taobao.FIRST_DAY + timedelta(days=day))) for day in range(DAYS))
    counted = chain.query(
        "select sum(rows_in)::bigint as rows_in, sum(rows_good)::bigint as good from ops.landing_ledger"
    )
    assert counted == [{"rows_in": lines, "good": lines}]


def test_every_user_has_one_named_segment_in_every_scheme(chain: Chain) -> None:
    rows = chain.query(
        "select scheme, count(*) as n, count(distinct user_key) as users, count(segment_name_zh) as named "
        "from bi.user_segment_current group by scheme order by scheme"
    )
    assert rows == [
        {"scheme": scheme, "n": USERS, "users": USERS, "named": USERS}
        for scheme in ("behaviour", "lifecycle", "rfm", "value")
    ]


def test_who_only_looks_is_interested_and_who_buys_is_loyal(chain: Chain) -> None:
    found = chain.query(
        "select segment_code, count(*) as users from bi.user_segment_current "
        "where scheme = 'lifecycle' group by segment_code order by segment_code"
    )
    # Every third visitor never buys; the others buy every week or every month.
    assert found == [
        {"segment_code": "interested", "users": USERS // 3},
        {"segment_code": "loyal", "users": USERS - USERS // 3},
    ]


def test_without_prices_buyers_are_ranked_by_pieces_and_value_by_orders(chain: Chain) -> None:
    champions = chain.value(
        "select count(*) from bi.user_segment_current where scheme = 'rfm' and segment_code = 'champions'"
    )
    assert champions > 0
    assert chain.value("select sum(net_revenue_amount)::varchar from bi.segment_profile_daily") == "0.00"
    tiers = chain.query(
        "select segment_code from bi.user_segment_current where scheme = 'value' group by segment_code"
    )
    assert {row["segment_code"] for row in tiers} == {"high", "medium", "low"}
