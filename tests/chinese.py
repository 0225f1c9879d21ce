"""What of a Chinese text is still English: two words of it, or a number and what it counts.

Commands and quoted code are none.
"""

from __future__ import annotations

import re

COMMAND = re.compile(r"python -m [^，；。\n]*")
QUOTED = re.compile(r"`[^`]*`|'[^']*'|\([^)]*\)")
WORDS = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}(?: [A-Za-z]{2,})*|\d [A-Za-z]{3,}")
NAMES = re.compile(r"Great Expectations|ROC AUC|PR AUC|UTC|SGD")


def english_left(text: str) -> list[str]:
    """Return the English in a Chinese text.

    >>> english_left("修复后 python -m ml train --shop x，或 run it again")
    ['run it again']
    >>> english_left("user_segment_daily 40 行，expect_no_small_group")
    []
    """
    for part in (COMMAND, QUOTED, NAMES):
        text = part.sub("", text)
    return WORDS.findall(text)
