"""The questions of docs/queries.md, and how an answer is judged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import settings
from tests.chain import Chain

PAGE = settings.ROOT / "docs" / "queries.md"

EMPTY_WHEN = {
    "Empty while one day is published.": "select count(distinct as_of_date) < 2 from bi.user_segment_daily",
    "Empty for a shop that tells no carts.": "select sum(cart_users) = 0 from bi.funnel_daily",
}
"""What the page says of an empty answer → a query that tells whether it is so."""


@dataclass(frozen=True)
class Question:
    number: int
    text: str
    told: str
    sql: str


def questions() -> list[Question]:
    found = re.findall(
        r"^## (\d+)\. (.+\?)\n\n(.+)\n\n```sql\n([^`]+)\n```$", PAGE.read_text(encoding="utf-8"), re.M
    )
    return [Question(int(number), *rest) for number, *rest in found]


def answered(chain: Chain, question: Question) -> list[dict[str, Any]]:
    """Return the rows of an answer; only one that the page calls empty for this shop may have none."""
    rows = chain.query(question.sql)
    said = [query for text, query in EMPTY_WHEN.items() if text in question.told]
    if not rows:
        assert said, f"{question.text} has no answer, and the page does not say so"
        assert chain.value(said[0]) is True, question.text
    return rows
