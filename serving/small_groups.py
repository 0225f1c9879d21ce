"""What a group-level table tells outside SQL: nothing of under ten users, nor of a month's few buyers.

The tables themselves fold small groups as they are built (``dbt_project/macros/fold_small.sql``). What is
left for exports and the dashboard is a shop of which too little is known to tell anything. What may leave
the company is coarser still: :mod:`serving.groups`.
"""

from __future__ import annotations

from collections.abc import Iterable

from serving.groups import LEAST
from serving.tables import quoted

GROUP_TABLES = ("segment_profile_daily", "funnel_daily", "customer_cohort_monthly", "segment_migration")
"""The tables with a row per group of ``users``."""

STEPS = ("browse", "click", "cart", "checkout", "pay", "review")

HIDDEN = {
    "customer_cohort_monthly": (
        "buyers",
        ("buyers", "orders", "net_revenue_amount", "non_product_net_revenue_amount", "retention_share"),
    )
}
"""A count of some of the users, and what tells of them: empty where they, or the others, are one to nine."""


def shown(table: str, columns: Iterable[str]) -> str:
    """Return a query for the rows and values of a group-level table that may be shown, in these columns."""
    told = ", ".join(f"{_value(table, name)} as {quoted(name)}" for name in columns)
    return f"select {told} from bi.{quoted(table)} where users >= {LEAST}"  # noqa: S608 - names of ours


def _value(table: str, name: str) -> str:
    count, hidden = HIDDEN.get(table, ("", ()))
    if name not in hidden:
        return quoted(name)
    few = " or ".join(
        f"{some} between 1 and {LEAST - 1}" for some in (quoted(count), f"users - {quoted(count)}")
    )
    return f"case when {few} then null else {quoted(name)} end"
