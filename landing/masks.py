r"""What e-mail addresses and phone numbers look like in free text, and what stands there afterwards.

Patterns are written for RE2 (in DuckDB) and Python alike; both read ``\b`` as an ASCII border,
so that a number between Chinese characters is found.
"""

from __future__ import annotations

import re

MASKS = {
    "[email]": r"[A-Za-z0-9À-ÿ._%+-]+@[A-Za-z0-9À-ÿ-]+(\.[A-Za-z0-9À-ÿ-]+)+",
    "[phone]": (
        r"(\+|\b00)\d[\d ()./-]{6,}\d"  # international
        r"|\b1[3-9]\d[ -]?\d{4}[ -]?\d{4}\b"  # Chinese mobile
        r"|\(\d{2,5}\)[ -]?\d[\d -]{4,}\d"  # (area) number
        r"|\b\d{3}[ .-]\d{3}[ .-]\d{4}\b"  # North American
        r"|\b0\d[\d ()./-]{6,}\d\b"  # national with trunk zero
        r"|\b\d{10,15}\b"  # bare: rather an order number too many than a phone too few
    ),
}


def mask(text: str) -> str:
    """Mask a text in Python, as the SQL of landing does.

    Examples
    --------
    >>> mask("write to ann@example.com or 13812345678")
    'write to [email] or [phone]'
    """
    for instead, pattern in MASKS.items():
        text = re.sub(pattern, instead, text, flags=re.ASCII)
    return text
