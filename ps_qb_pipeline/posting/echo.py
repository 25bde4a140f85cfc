"""Comparing what QuickBooks stored with what we meant.

What lives here: the machine line of a private note, and the comparison that turns an answer into
"as meant" or a list of differences. What does not: what follows from a difference (``protocol``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from ps_qb_pipeline.posting.ports import Row
from ps_qb_pipeline.state.intents import Intent

_MACHINE_LINE = re.compile(r"ps:\{([^{}]*)\}")
_VOLATILE = frozenset({"h", "run"})
"""Parts of the machine line that do not say whose document it is."""

ONE_PER_SOURCE = frozenset({"sale", "payment", "refund"})
"""Roles of which a source has one document at most; of others it may have several, one a revision."""

NUMBER_FIELD = {"Payment": "PaymentRefNum"}
"""Where an entity keeps our number; DocNumber unless named here."""

CARDS = frozenset({"Customer", "Item"})
NO_NUMBER = CARDS | {"Transfer"}

MASKED = frozenset({"PrimaryTaxIdentifier"})
"""Fields that QuickBooks shows masked: nobody can tell whether a person changed them."""


def identity(note: object) -> tuple[tuple[str, str], ...]:
    """Whose document a private note says it is; empty when it has no machine line of ours.

    The revision does not count where a source has one document that is updated in place.
    """
    found = _MACHINE_LINE.findall(str(note or ""))
    if not found:
        return ()
    pairs = (part.partition(":") for part in found[-1].split(","))
    parts = {name.strip(): value.strip() for name, _, value in pairs}
    if parts.get("role") in ONE_PER_SOURCE:
        parts.pop("rev", None)
    return tuple(sorted((name, value) for name, value in parts.items() if name not in _VOLATILE))


def is_ours(intent: Intent, row: Row) -> bool:
    """Whether the object carries the key of this intent."""
    return _carries(_meant(intent), row)


def _carries(meant: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    key = identity(meant.get("PrivateNote"))
    return bool(key) and key == identity(row.get("PrivateNote"))


def number_of(entity: str, row: Mapping[str, Any]) -> str:
    """The number that an object shows."""
    return str(row.get(NUMBER_FIELD.get(entity, "DocNumber")) or "")


def differences(intent: Intent, row: Row) -> tuple[str, ...]:
    """What differs between a stored object and the intent, in words without personal data.

    Compared are number, total, tax, currency, date and key: what a 200 alone does not prove.
    """
    if intent.operation == "void":
        return () if is_void(row) or not amount(row.get("TotalAmt")) else ("a document that is not voided",)
    if intent.operation == "deactivate":
        return () if row.get("Active") is False else ("a card that is still active",)
    if intent.entity in CARDS:
        return ()
    meant = _meant(intent)
    found: list[str] = []
    if intent.entity not in NO_NUMBER and number_of(intent.entity, row) != number_of(intent.entity, meant):
        found.append("another number")
    total, wanted = amount(row.get("TotalAmt", row.get("Amount"))), intent.amount
    if intent.entity == "JournalEntry":
        # QuickBooks gives an entry no total of its own.
        total, wanted = _debits(row), _debits(meant)
    if total != wanted:
        found.append(f"total {_shown(total)} instead of {_shown(wanted)}")
    found.extend(_tax(meant, row))
    found.extend(_reference("currency", "CurrencyRef", meant, row))
    if meant.get("TxnDate") and str(row.get("TxnDate", "")) != str(meant["TxnDate"]):
        found.append(f"date {row.get('TxnDate')} instead of {meant['TxnDate']}")
    if identity(meant.get("PrivateNote")) and not _carries(meant, row):
        found.append("another key in the private note")
    return tuple(found)


def _debits(row: Mapping[str, Any]) -> Decimal:
    """The sum of one side of a journal entry."""
    details = [(line, line.get("JournalEntryLineDetail") or {}) for line in row.get("Line") or ()]
    amounts = [amount(line.get("Amount")) for line, detail in details if detail.get("PostingType") == "Debit"]
    return sum(filter(None, amounts), Decimal(0))


def _tax(meant: Mapping[str, Any], row: Row) -> list[str]:
    wanted = (meant.get("TxnTaxDetail") or {}).get("TotalTax")
    if wanted is None:
        return []
    tax = amount((row.get("TxnTaxDetail") or {}).get("TotalTax", 0))
    return [] if tax == amount(wanted) else [f"tax {_shown(tax)} instead of {_shown(amount(wanted))}"]


def _reference(word: str, field: str, meant: Mapping[str, Any], row: Row) -> list[str]:
    wanted = (meant.get(field) or {}).get("value")
    stored = (row.get(field) or {}).get("value")
    # A company with one currency may leave the reference out of its answers.
    if wanted is None or stored is None or str(wanted) == str(stored):
        return []
    return [f"{word} {stored} instead of {wanted}"]


def amount(value: Any) -> Decimal | None:
    """A number of QuickBooks as Decimal; None for what is no number."""
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None


def _shown(value: Decimal | None) -> str:
    return "nothing" if value is None else f"{value:f}"


def _meant(intent: Intent) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(intent.body, parse_float=Decimal)
    return body


def is_void(row: Row) -> bool:
    """Whether a document was voided: QuickBooks keeps it, with zero amounts and a mark in its note."""
    return str(row.get("PrivateNote") or "").lstrip().lower().startswith("void")


def matches(intent: Intent, row: Row) -> bool:
    """Whether an object holds what an update meant: every money field, line by line."""
    meant = _meant(intent)
    if differences(intent, row):
        return False
    stored, wanted = _content(row), _content(meant)
    wanted.pop("TotalAmt", None)
    wanted.pop("Tax", None)
    return all(stored.get(name) == value for name, value in wanted.items() if value not in ("", None))


def carries_fields(intent: Intent, row: Row) -> bool:
    """Whether a card holds every field that an update of it named."""
    named = json.loads(intent.body).items()
    return all(says(row.get(name), meant) for name, meant in named if name not in MASKED | _HEAD)


_HEAD = frozenset({"Id", "SyncToken", "sparse"})


def says(now: Any, meant: Any) -> bool:
    """Whether a stored field holds what was meant; QuickBooks adds parts of its own to addresses."""
    if isinstance(meant, dict):
        parts = now if isinstance(now, dict) else {}
        return all(says(parts.get(name), part) for name, part in meant.items())
    return (now or "") == (meant or "")


def content_sha(row: Mapping[str, Any]) -> str:
    """A hash over the money content of a stored object: what a person's edit would change.

    Stable against what QuickBooks changes by itself: ids of lines, sync token, balances, links, times.
    """
    text = json.dumps(_content(row), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


_FIELDS = ("DocNumber", "PaymentRefNum", "TxnDate", "GlobalTaxCalculation")
_AMOUNTS = ("TotalAmt", "Amount", "ExchangeRate")
_REFERENCES = ("CurrencyRef", "CustomerRef", "DepositToAccountRef", "FromAccountRef", "ToAccountRef")


def _content(row: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {name: str(row[name]) for name in _FIELDS if row.get(name) is not None}
    kept.update((name, _number(row[name])) for name in _AMOUNTS if row.get(name) is not None)
    kept.update((name, _id(row[name])) for name in _REFERENCES if row.get(name))
    kept["Line"] = [
        _line(line) for line in row.get("Line") or () if line.get("DetailType") != "SubTotalLineDetail"
    ]
    kept["Tax"] = _number((row.get("TxnTaxDetail") or {}).get("TotalTax") or 0)
    return kept


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(line.get("DetailType") or "")
    detail = line.get(kind) or {}
    return {
        "Amount": _number(line.get("Amount") or 0),
        "Item": _id(detail.get("ItemRef")),
        "Account": _id(detail.get("AccountRef")),
        "Side": str(detail.get("PostingType") or ""),
        "Tax": _id(detail.get("TaxCodeRef")),
        "Linked": sorted(str(link.get("TxnId")) for link in line.get("LinkedTxn") or ()),
    }


def _id(reference: Any) -> str:
    return str(reference.get("value") or "") if isinstance(reference, Mapping) else ""


def _number(value: Any) -> str:
    """A number in one spelling."""
    parsed = amount(value)
    return "" if parsed is None else f"{parsed.normalize():f}"
