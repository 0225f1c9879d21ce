"""What commands say and write down in English, told in Chinese.

Landing, the gates, publishing and the on-call page say why something stopped in one sentence, and what they
wrote down in ``ops`` stays as it was said. ``recorded.csv`` holds each such sentence with its holes, in both
languages. What is not among them, such as the message of a database, is quoted as it is.
"""

from __future__ import annotations

import csv
import re
from functools import cache, lru_cache
from pathlib import Path

FILE = Path(__file__).with_suffix(".csv")

HOLE = re.compile(r"\{(\w+)\}")
TOLD = "told"
"""A hole of which the name begins so holds several words, and sentences among them are told in turn; any
other holds one word that stays as it is: a code, a day."""
NUMBER = re.compile(r"n\d*")
"""A hole of such a name holds a number, a share or nothing that could be read."""
BETWEEN = {"; ": "；", ", ": "，"}


@cache
def sentences() -> list[tuple[str, str]]:
    """Return every sentence in English and Chinese, the one with most words of its own first."""
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = [(row["en"], row["zh"]) for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: -len(HOLE.sub("", row[0])))


@lru_cache(maxsize=4096)
def in_chinese(text: str) -> str:
    """Return in Chinese what was said in English.

    >>> in_chinese("pinned to v2; 3 newer built and not shown")
    '锁定在 v2；另有 3 个更新的版本已生成但未展示'
    >>> in_chinese("rfm: 3 users doubled; and 2 more")
    'rfm：3 个用户重复；另有 2 项'
    >>> in_chinese("Binder Error: no such column")
    'Binder Error: no such column'
    """
    if (found := _matched(text)) is not None:
        return found
    for mark, chinese in BETWEEN.items():
        parts = text.split(mark)
        told = [in_chinese(part) for part in parts] if len(parts) > 1 else parts
        if told != parts:
            return chinese.join(told)
    return text


def _matched(text: str) -> str | None:
    for pattern, chinese in _patterns():
        if found := pattern.fullmatch(text):
            holes = found.groupdict()
            told = {name: in_chinese(said) for name, said in holes.items() if name.startswith(TOLD)}
            return chinese.format(**{**holes, **told})
    return None


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    return [(_pattern(english), chinese) for english, chinese in sentences()]


def _pattern(english: str) -> re.Pattern[str]:
    parts = HOLE.split(english)  # words and the names of holes take turns
    told = [_hole(part) if place % 2 else re.escape(part) for place, part in enumerate(parts)]
    return re.compile("".join(told), re.DOTALL)


def _hole(name: str) -> str:
    if NUMBER.fullmatch(name):
        return rf"(?P<{name}>-?[\d.,]+%?|nan)"
    return f"(?P<{name}>.+?)" if name.startswith(TOLD) else rf"(?P<{name}>\S+?)"
