"""JSON as the books read and write it.

What lives here: parsing with exact decimals, writing decimals as JSON numbers. What does not: which
fields there are (``schema``).
"""

from __future__ import annotations

import json
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

Json = dict[str, Any]

CENT = Decimal("0.01")
WHOLE_CURRENCIES = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)


def loads(text: bytes | str) -> Any:
    """Parse JSON; every number with a fraction becomes a Decimal. Raises ValueError on anything else."""

    def refuse(word: str) -> Any:
        raise ValueError(word)

    return json.loads(text, parse_float=Decimal, parse_constant=refuse)


def _number(value: Any) -> Any:
    if not isinstance(value, Decimal):
        raise TypeError(type(value).__name__)
    return int(value) if value == value.to_integral_value() else float(value)


def dumps(value: Any) -> bytes:
    """Write compact UTF-8 JSON; a Decimal becomes a JSON number of the same value."""
    return json.dumps(value, default=_number, ensure_ascii=False, separators=(",", ":")).encode()


def decimal(value: Any) -> Decimal | None:
    """Return the number in ``value`` (a JSON number or a string of one), or None."""
    if value is None or isinstance(value, bool) or value == "":
        return None
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def amount(value: Any) -> Decimal:
    """Return ``value`` as money: two decimals, half up; nothing counts as zero."""
    number = decimal(value)
    return Decimal(0) if number is None else money(number)


def money(number: Decimal, currency: str = "") -> Decimal:
    """Round half up to the minor unit of a currency (the cent, if none is named), without a negative zero."""
    unit = Decimal(1) if currency in WHOLE_CURRENCIES else CENT
    return number.quantize(unit, rounding=ROUND_HALF_UP) + 0


def cents(number: Decimal) -> int:
    """Return an amount in hundredths, exact."""
    return int(number.scaleb(2).to_integral_value(rounding=ROUND_HALF_UP))


def ref(value: Any) -> str:
    """Return the id inside a reference, or the empty string."""
    if isinstance(value, dict):
        value = value.get("value")
    return "" if value is None else str(value).strip()
