"""The room that reads behaviour: encode, score, group, judge, promote.

It reads Parquet snapshots of the contracted ``ml_inputs`` tables, never the warehouse, and
writes ``ml.*`` in one short transaction per as_of_date. Only :mod:`ml.warehouse` speaks SQL,
only :mod:`ml.tracking` speaks MLflow, and only :mod:`ml.promote` makes a champion.
"""
