"""The dashboard's texts, in English and Chinese: from ``words.csv``, and names from dbt's seeds."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

import settings
from ml.words import Language

FILE = settings.ROOT / "serving" / "dashboard" / "words.csv"
SEEDS = {"feature": "segment_features", "act": "event_types"}
"""Kind of what is called something → the seed whose first column names it."""


@cache
def texts() -> dict[str, dict[str, str]]:
    """Return every text by its key and language."""
    found = {row["key"]: {"en": row["en"], "zh": row["zh"]} for row in _rows(FILE)}
    for kind, seed in SEEDS.items():
        for row in _rows(settings.ROOT / "dbt_project" / "seeds" / f"{seed}.csv"):
            name, called = next(iter(row.values())), row["name_en"]
            found[f"{kind}_{name}"] = {"en": called[0].upper() + called[1:], "zh": row["name_zh"]}
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def say(language: Language, key: str, **values: Any) -> str:
    """Return a text with its values filled in.

    Raises
    ------
    KeyError
        When words.csv has no such key.

    Examples
    --------
    >>> say("zh", "users")
    '用户'
    """
    return texts()[key][language].format(**values)
