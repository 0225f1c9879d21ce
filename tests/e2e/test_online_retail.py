"""A real shop, all the way: the facts of the public data set must come out at the other end."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.chain import Chain
from tests.questions import Question, answered, questions

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


def test_every_source_row_is_good_quarantined_or_repeated(online_retail: Chain) -> None:
    (counted,) = online_retail.query(
        "select count(*) as files, sum(rows_in)::bigint as rows_in, sum(rows_good)::bigint as good, "
        "sum(rows_quarantined)::bigint as quarantined, sum(rows_duplicate)::bigint as repeated "
        "from ops.landing_ledger"
    )
    assert counted == {
        "files": 219,
        "rows_in": 320_705,
        "good": 320_705 - 3 - 2_483,
        "quarantined": 3,
        "repeated": 2_483,
    }


def test_only_the_bad_debt_rows_are_quarantined(online_retail: Chain) -> None:
    reasons = online_retail.query("select reasons from ops.quarantine")
    assert len(reasons) == 3
    assert all("bad_debt_adjustment" in str(row["reasons"]) for row in reasons)


def test_cohorts_hold_the_net_revenue_of_known_customers_to_the_cent(online_retail: Chain) -> None:
    total = online_retail.value("select sum(net_revenue_amount)::varchar from bi.customer_cohort_monthly")
    assert Decimal(total) == Decimal("4907502.31")


def test_codes_that_are_no_goods_are_shown_apart(online_retail: Chain) -> None:
    apart = online_retail.value(
        "select sum(non_product_net_revenue_amount)::varchar from bi.customer_cohort_monthly"
    )
    # Postage and carriage bring money in; manual entries, discounts and samples take more out.
    assert Decimal(apart) != 0


def test_every_customer_has_one_row_per_scheme(online_retail: Chain) -> None:
    rows = online_retail.query(
        "select scheme, count(*) as n, count(distinct user_key) as users "
        "from bi.user_segment_current group by scheme order by scheme"
    )
    assert rows == [
        {"scheme": scheme, "n": 3_360, "users": 3_360}
        for scheme in ("behaviour", "lifecycle", "rfm", "value")
    ]


def test_every_segment_has_a_name_in_both_languages(online_retail: Chain) -> None:
    unnamed = online_retail.value(
        "select count(*) from bi.user_segment_current "
        "where segment_name_en is null or segment_name_zh is null or regexp_matches(segment_name_en, '[0-9]')"
    )
    assert unnamed == 0


def test_bert_and_both_rivals_are_judged_on_the_same_later_rows(online_retail: Chain) -> None:
    judged = {run["model"]: run for run in online_retail.records("model_run") if "roc_auc" in run["metrics"]}
    assert judged.keys() == {"bert", "rfm_logistic", "lightgbm"}
    assert len({run["data_digest"] for run in judged.values()}) == 1
    for run in judged.values():
        auc = run["metrics"]["roc_auc"]
        assert 0.5 < auc["low"] < auc["value"] < auc["high"] < 1


@pytest.mark.parametrize("question", questions(), ids=lambda question: f"question_{question.number}")
def test_a_question_of_the_analysts_page_is_answered(question: Question, online_retail: Chain) -> None:
    answered(online_retail, question)
