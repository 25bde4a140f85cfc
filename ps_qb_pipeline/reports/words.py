"""Values as people read them.

What lives here: one function that turns a value into text, the same in every rendering, and the
removal of characters that no page may carry. What does not: layout.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Control and direction characters: they may hide or reorder what is printed."""

OWNERS = {"A": "accountant", "M": "merchant", "O": "operator", "D": "developer", "-": "nobody"}
"""Who settles an exception, by the letter of the code table."""

SEVERITIES = {"B": "blocks the close", "W": "warns", "I": "informs"}
"""What a severity letter means."""

LONGEST = 200
"""Longer texts are cut, with a mark, wherever a person reads them."""


def clean(text: str, longest: int = LONGEST) -> str:
    """``text`` on one line, without control characters, cut to ``longest`` characters."""
    plain = " ".join(_CONTROL.sub("", text).split())
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def show(value: Any, kind: str = "text") -> str:
    """A value as text: money with thousands separators and two places, dates as year-month-day."""
    if value is None:
        return ""
    if kind in _LETTERS:
        return _LETTERS[kind].get(value, clean(str(value)))
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}" + (" UTC" if value.utcoffset() is not None else "")
    if isinstance(value, date):
        return value.isoformat()[:7] if kind == "month" else value.isoformat()
    if kind in _NUMBERS and isinstance(value, int | Decimal | float):
        return _NUMBERS[kind](Decimal(str(value)))
    return clean(str(value))


_LETTERS: Mapping[str, Mapping[Any, str]] = {
    "flag": {True: "yes", False: "NO"},
    "owner": OWNERS,
    "severity": SEVERITIES,
}


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


_NUMBERS: Mapping[str, Callable[[Decimal], str]] = {
    "money": lambda value: f"{value:,.2f}",
    "integer": lambda value: f"{value:,.0f}",
    "id": lambda value: f"{value:f}",
    "quantity": _plain,
    "rate": _plain,
    "percent": lambda value: f"{value * 100:.1f} %",
}
