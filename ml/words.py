"""What is told to people, in English and in Chinese."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@dataclass(frozen=True)
class Words:
    """The same in both languages; on a machine's pages and in logs the English stands."""

    en: str
    zh: str

    def __str__(self) -> str:
        return self.en

    def then(self, *others: Words) -> Words:
        """Return these words and others, one after another.

        >>> first = Words("they hold", "分群稳定").then(Words("they stay", "继续使用"))
        >>> first.en, first.zh
        ('they hold; they stay', '分群稳定；继续使用')
        """
        told = (self, *others)
        return Words("; ".join(one.en for one in told), "；".join(one.zh for one in told))

    def as_record(self) -> dict[str, str]:
        """Return them as the journals in ``ops`` hold a decision."""
        return {"decision_reason": self.en, "decision_reason_zh": self.zh}
