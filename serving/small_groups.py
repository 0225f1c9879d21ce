"""Groups of fewer than ten users are folded into ``_other``, so that totals still add up.

If those folded are fewer than ten users together, the next smallest group joins them. What is fewer than ten
users even so is left out, and counted by whoever asks. What may leave the company is coarser still:
:mod:`serving.groups`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from serving.groups import LEAST, OTHER, OTHER_NAMES
from serving.tables import quoted

NAMES = {
    "segment_code": OTHER,
    "segment_name_en": OTHER_NAMES[0],
    "segment_name_zh": OTHER_NAMES[1],
    "channel": OTHER,
}
"""What a folded row says in the columns that name its group; any other is empty."""


@dataclass(frozen=True)
class Fold:
    """Say how rows of a group-level table become one.

    ``within`` are the columns over whose groups ``totals`` add up, ``averages`` are weighted by a
    column of their own. A column named in neither is empty in a folded row.
    """

    table: str
    within: tuple[str, ...]
    size: str
    order: tuple[str, ...]
    totals: tuple[str, ...]
    averages: tuple[tuple[str, str], ...] = ()
    hidden_below_k: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """A count of users → the columns that tell of them, empty where they are 1 to 9."""


STEPS = ("browse", "click", "cart", "checkout", "pay", "review")

FOLDS = {
    fold.table: fold
    for fold in (
        Fold(
            "segment_profile_daily",
            within=("as_of_date", "scheme"),
            size="users",
            order=("segment_code",),
            totals=(
                *("users", "user_share", "net_revenue_amount", "active_last_7_days", "buyers_last_30_days"),
                *("net_revenue_last_90_days", "revenue_share"),
            ),
            averages=(("orders_last_90_days_avg", "users"),),
        ),
        Fold(
            "funnel_daily",
            within=("date", "scheme"),
            size="users",
            order=("segment_code", "channel"),
            totals=(
                *("users", *(f"{step}_users" for step in STEPS)),
                *("net_revenue_amount", "abandoned_amount"),
            ),
            # Of those who took the first step, the share who also took the next.
            averages=tuple((f"{first}_to_{then}_share", f"{first}_users") for first, then in pairwise(STEPS)),
        ),
        Fold(
            "customer_cohort_monthly",
            within=("month_number",),
            size="users",
            order=("cohort_month",),
            totals=(*("users", "buyers", "orders", "net_revenue_amount", "non_product_net_revenue_amount"),),
            averages=(("retention_share", "users"),),
            hidden_below_k=(
                (
                    "buyers",
                    (
                        *("buyers", "orders", "net_revenue_amount", "non_product_net_revenue_amount"),
                        "retention_share",
                    ),
                ),
            ),
        ),
    )
}
"""Group-level tables by name; a published table that is not here has no groups to fold, or folds its own."""


def folded(fold: Fold, columns: Mapping[str, str], source: str | None = None) -> str:
    """Return a query for a table whose small groups are folded.

    It has the table's columns, and two more: ``folded_count``, how many groups a row stands for (0 where it
    is one as published), and ``is_left_out``, true for a row that tells of fewer than ten users even so.

    Parameters
    ----------
    columns
        The columns that the table has, with their types, in their order.
    source
        What to read in place of ``bi.<table>``.
    """
    within = ", ".join(map(quoted, fold.within))
    order = ", ".join(map(quoted, fold.order))
    size = quoted(fold.size)
    kept = ", ".join(_kept(fold, name) for name in columns)
    merged = ", ".join(_merged(fold, name, data_type) for name, data_type in columns.items())
    return f"""
        with ranked as (
            select *,
                row_number() over (partition by {within} order by {size}, {order}) as _rank,
                count(*) filter (where {size} < {LEAST}) over (partition by {within}) as _small,
                coalesce(sum({size}) filter (where {size} < {LEAST}) over (partition by {within}), 0)
                    as _small_users
            from {source or f"bi.{quoted(fold.table)}"}
        ),

        marked as (
            select *,
                {size} < {LEAST}
                or (_small_users between 1 and {LEAST - 1} and _rank = _small + 1) as _is_folded
            from ranked
        )

        select {kept}, 0 as folded_count, false as is_left_out from marked where not _is_folded
        union all by name
        select {merged}, count(*) as folded_count, sum({size}) < {LEAST} as is_left_out
        from marked where _is_folded group by {within}
    """  # noqa: S608 - identifiers of ours


def _kept(fold: Fold, name: str) -> str:
    return f"{_hidden(fold, name, quoted(name), '{}')} as {quoted(name)}"


def _merged(fold: Fold, name: str, data_type: str) -> str:
    value = _hidden(fold, name, _value(fold, name), "sum({})")
    return f"cast({value} as {data_type}) as {quoted(name)}"


def _hidden(fold: Fold, name: str, value: str, counted: str) -> str:
    """Return a value that is empty where it tells of one to nine users."""
    for count, columns in fold.hidden_below_k:
        if name in columns:
            users = counted.format(quoted(count))
            return f"case when {users} between 1 and {LEAST - 1} then null else {value} end"
    return value


def _value(fold: Fold, name: str) -> str:
    column = quoted(name)
    if name in fold.within:
        return column
    if name in NAMES:
        return f"'{NAMES[name]}'"
    if name == "is_folded":
        return "true"
    if name == "run_id":
        return f"min({column})"
    if name in fold.totals:
        return f"sum({column})"
    if weight := dict(fold.averages).get(name):
        known = f"nullif(sum({quoted(weight)}) filter (where {column} is not null), 0)"
        return f"sum({column} * {quoted(weight)}) / {known}"
    return "null"
