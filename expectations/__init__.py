"""The borders: what may come in, what may be learned from, what BI may see.

Three suites, one per border: ``incoming`` (landed files before dbt reads them),
``ml_inputs`` (the snapshot before a model reads it) and ``bi`` (the segment tables
before they are published). dbt tests guard what we wrote; expectations guard what comes
in and what goes out. A rule lives in one of them.
"""

import settings  # noqa: F401 - switches telemetry off before Great Expectations is imported
