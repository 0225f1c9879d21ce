"""Names that people give to segments: facts with a date, kept in ``ops/segment_rename.jsonl``.

The code stays, so a name sticks through retrains until somebody gives another. What was published
keeps the name that it had.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

import journal
import settings
from cli import UsageError
from ml.segments import NAMES
from ml.warehouse import latest_as_of
from settings import ShopPaths
from warehouse import dbt


@dataclass(frozen=True)
class Name:
    """What a segment is called."""

    scheme: str
    code: str
    english: str
    chinese: str


def rename(paths: ShopPaths, name: Name, reason: str, valid_from: date | None = None) -> date:
    """Give a segment another name, and return the first as_of_date that bears it.

    Parameters
    ----------
    valid_from
        By default the day after the last published one, or the newest snapshot where nothing is published.

    Raises
    ------
    UsageError
        When the segment is unknown, when the name is empty, a number or, on that day or a later one,
        another segment's, or when the day is published.
    """
    published = paths.last_published
    day = valid_from or (latest_as_of(paths) if published is None else published + timedelta(days=1))
    if published is not None and day <= published:
        raise UsageError(
            f"{day} is published, and keeps the names that it has: choose a day after {published} for --from"
        )
    name = Name(name.scheme, name.code, name.english.strip(), name.chinese.strip())
    told = [record for record in journal.read(_journal(paths)) if record["scheme"] == name.scheme]
    changes = {date.fromisoformat(record["valid_from"]) for record in told}
    for when in sorted({day, *(change for change in changes if change > day)}):
        _check(name, in_force(paths, name.scheme, when), when)
    record = {
        "renamed_at": journal.now(),
        "run_id": settings.run_id(),
        "scheme": name.scheme,
        "segment_code": name.code,
        "segment_name_en": name.english,
        "segment_name_zh": name.chinese,
        "valid_from": day,
        "reason": reason,
    }
    journal.append(_journal(paths), [record])
    return day


def in_force(paths: ShopPaths, scheme: str, day: date) -> dict[str, Name]:
    """Return the name of every segment of a scheme on a day, by code: of those that hold the last given."""
    words = pd.read_csv(NAMES)
    words = words[words["scheme"] == scheme]
    names = {
        row.segment_code: Name(scheme, row.segment_code, row.name_en, row.name_zh)
        for row in words.itertuples(index=False)
    }
    for record in journal.read(_journal(paths)):
        if record["scheme"] == scheme and date.fromisoformat(record["valid_from"]) <= day:
            code = record["segment_code"]
            names[code] = Name(scheme, code, record["segment_name_en"], record["segment_name_zh"])
    return names


def _check(name: Name, known: dict[str, Name], day: date) -> None:
    if name.code not in known:
        raise UsageError(
            f"scheme {name.scheme} has no segment {name.code!r}: known are {', '.join(known) or 'none'}"
        )
    for said in (name.english, name.chinese):
        if not any(letter.isalpha() for letter in said):
            raise UsageError(f"{said!r} is no name that a team could act on: use words")
    taken = {f"{other.code} is": other for other in known.values() if other.code != name.code}
    taken["small segments together are"] = _folded(name.scheme)
    for who, other in taken.items():
        if name.english.casefold() == other.english.casefold() or name.chinese == other.chinese:
            raise UsageError(
                f"{who} called {other.english} ({other.chinese}) on {day}: two segments of one name can't be "
                "told apart, choose another"
            )


def _folded(scheme: str) -> Name:
    """Return what the tables call segments of too few users to tell by themselves."""
    names = dbt.declared("other_names")
    return Name(scheme, "_other", names["en"], names["zh"])


def _journal(paths: ShopPaths) -> Path:
    return paths.ops / "segment_rename.jsonl"
