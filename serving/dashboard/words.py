"""The dashboard's texts, in English and Chinese, from ``words.csv``."""

from __future__ import annotations

import csv
from functools import cache
from typing import Any, Literal

import settings

Language = Literal["en", "zh"]

FILE = settings.ROOT / "serving" / "dashboard" / "words.csv"


@cache
def texts() -> dict[str, dict[str, str]]:
    """Return every text by its key and language."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return {row["key"]: {"en": row["en"], "zh": row["zh"]} for row in csv.DictReader(file)}


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
