"""Time travel: what was published about a past day, as it was published then.

The answer is read from ``history/``, so neither later deliveries nor later models change it; after a
restatement what was said before it is there too.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb

from cli import UsageError
from serving import facts, query
from settings import ShopPaths

SEGMENTS = """
select profile.scheme, segment_code, profile.segment_name_en, profile.segment_name_zh, users, user_share,
    net_revenue_amount
from read_parquet($file, union_by_name = true) as profile
where $scheme is null or scheme = $scheme
order by scheme, users desc, segment_code
"""

ONE_USER = """
select scheme, segment_code, segment_name_en, segment_name_zh, days_in_segment, model_version, run_id
from read_parquet($file, union_by_name = true)
where user_key = $user and ($scheme is null or scheme = $scheme)
order by scheme
"""


def answer(
    paths: ShopPaths,
    as_of: date,
    scheme: str | None = None,
    user: str | None = None,
    before: str | None = None,
    form: str = "table",
) -> int:
    """Print the segments of a published day, or one user's, and return how many rows there were.

    Parameters
    ----------
    before
        A version that restated the day: what was said before it.

    Raises
    ------
    UsageError
        When the day was never published, or not restated by that version.
    """
    table, sql = ("segment_profile_daily", SEGMENTS) if user is None else ("user_segment_daily", ONE_USER)
    file = _folder(paths, as_of, before) / f"{table}.parquet"
    values = {"file": str(file), "scheme": scheme} | ({} if user is None else {"user": user})
    with duckdb.connect() as connection:
        cursor = connection.execute(sql, values)
        columns, rows = [column[0] for column in cursor.description or []], cursor.fetchall()
    query.write(columns, rows, form)
    return len(rows)


def restated_by(paths: ShopPaths, as_of: date) -> list[tuple[str, str]]:
    """Return the versions that told a day anew and why, oldest first."""
    return [
        (str(note["version"]), str(note["reason"]))
        for note in facts.restatements(paths)
        if note["as_of_date"] == as_of.isoformat()
    ]


def _folder(paths: ShopPaths, as_of: date, before: str | None) -> Path:
    folder = facts.folder(paths, as_of)
    if not folder.exists():
        days = facts.days(paths)
        known = f"published are {len(days)} days from {days[0]} to {days[-1]}" if days else "nothing is"
        raise UsageError(f"{as_of} of {paths.shop} was never published: {known}")
    if before is None:
        return folder
    found = facts.earlier_folder(paths, as_of, before)
    if not found.exists():
        versions = ", ".join(version for version, _ in restated_by(paths, as_of)) or "none did"
        raise UsageError(f"version {before!r} did not restate {as_of}: {versions}")
    return found
