"""What the engine says on its way: notes of deviations, and the hold that stops an order.

What lives here: two small shapes that every step uses. What does not: the code table (``findings``).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

from ps_qb_pipeline.accounting.money import ZERO


class Note(NamedTuple):
    """A deviation found on the way; it becomes a finding of the order, payment or slip."""

    code: str
    amount: Decimal
    message: str
    evidence: Mapping[str, Any] = MappingProxyType({})


class Hold(Exception):
    """The order or slip cannot be booked; the note says why."""

    def __init__(self, code: str, message: str, amount: Decimal = ZERO, **evidence: Any) -> None:
        super().__init__(message)
        self.note = Note(code, amount, message, evidence)
