"""The tables that DAGs hand over.

Every event carries as its partition key the as_of_date and the shop, whose warehouse the next DAG works on:
two shops share one Airflow, have a run each and never mix. Its ``extra`` says which run all of the chain is.
"""

from __future__ import annotations

from airflow.sdk import Asset

LANDED_TABLES = Asset("landed_tables", group="landing")
"""Checked Parquet and the ledger that accepts it."""

ML_INPUTS = Asset("ml_inputs", group="warehouse")
"""The contracted models of ``ml_inputs``, and their Parquet snapshot."""

PREDICTIONS = Asset("predictions", group="ml")
"""``ml.user_scores``, ``ml.user_segments`` and ``ml.segment_definitions``."""

PUBLISHED_SEGMENTS = Asset("published_segments", group="serving")
"""The version of ``bi.*`` that readers see; whoever acts on segments may schedule on it."""
