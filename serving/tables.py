"""What BI may read, and what tells one row of each table from another."""

from __future__ import annotations

import re
from dataclasses import dataclass

FACTS = "fact"
INTERVALS = "intervals"
CURRENT = "current"
LATEST = "latest"
VERSIONS = "versions"


@dataclass(frozen=True)
class Table:
    """Name a published table, its key and how it remembers.

    ``kind`` is *fact* (one snapshot per as_of_date, never rewritten), *intervals* (valid_from
    to valid_to), *current* (the newest snapshot of a fact), *latest* (as known at the newest
    snapshot) or *versions* (the log of what was published).
    """

    name: str
    key: tuple[str, ...]
    kind: str
    computed_by: str | None = None
    """The dbt model that computes a fact's rows before those already published take precedence."""


BI_TABLES = (
    Table("dim_segment", ("scheme", "segment_code", "valid_from"), INTERVALS),
    Table("user_segment_daily", ("as_of_date", "user_key", "scheme"), FACTS, "int_user_segments_assigned"),
    Table("user_segment_current", ("user_key", "scheme"), CURRENT),
    Table(
        "segment_profile_daily",
        ("as_of_date", "scheme", "segment_code"),
        FACTS,
        "int_segment_profiles_summed",
    ),
    Table("user_score_daily", ("as_of_date", "user_key", "score_name"), FACTS, "int_user_scores_received"),
    Table(
        "segment_feature_index",
        ("as_of_date", "scheme", "segment_code", "feature"),
        FACTS,
        "int_segment_features_indexed",
    ),
    Table("segment_journey", ("scheme", "segment_code", "rank"), LATEST),
    Table("customer_cohort_monthly", ("cohort_month", "month_number"), LATEST),
    Table("funnel_daily", ("date", "scheme", "segment_code", "channel"), LATEST),
    Table("user_segment_history", ("user_key", "scheme", "valid_from"), INTERVALS),
    Table("segment_membership_event", ("user_key", "scheme", "segment_code", "event_at", "event"), INTERVALS),
    Table("segment_migration", ("scheme", "from_date", "to_date", "from_code", "to_code", "cause"), LATEST),
    Table("segment_stability", ("run_id", "scheme", "segment_code"), LATEST),
    Table(
        "score_backtest",
        ("score_name", "model_name", "model_version", "as_of_date", "scheme", "segment_code", "population"),
        LATEST,
    ),
    Table("published_version", ("version",), VERSIONS),
)
FACT_TABLES = tuple(table for table in BI_TABLES if table.kind == FACTS)

PROVENANCE = ("run_id", "scored_at", "published_at")
"""Columns that say who wrote a row and when; two runs that say the same differ in nothing else."""

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")


def quoted(identifier: str) -> str:
    """Return an identifier of ours in double quotes, ready for SQL.

    Raises
    ------
    ValueError
        When it is not lower-case snake case, so nothing from outside can pass as one.

    Examples
    --------
    >>> quoted("user_key")
    '"user_key"'
    """
    if not _IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"{identifier!r} is no identifier of ours: use lower-case letters, digits and _")
    return f'"{identifier}"'
