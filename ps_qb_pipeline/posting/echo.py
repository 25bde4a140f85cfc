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

NUMBER_FIELD = {"Payment": "PaymentRefNum"}
"""Where an entity keeps our number; DocNumber unless named here."""

NO_NUMBER = frozenset({"Customer", "Item", "Transfer"})
NO_TOTAL = frozenset({"Customer", "Item", "JournalEntry"})


def identity(note: object) -> tuple[tuple[str, str], ...]:
    """Whose document a private note says it is; empty when it has no machine line of ours."""
    found = _MACHINE_LINE.findall(str(note or ""))
    if not found:
        return ()
    pairs = (part.partition(":") for part in found[-1].split(","))
    return tuple(
        sorted((name.strip(), value.strip()) for name, _, value in pairs if name.strip() not in _VOLATILE)
    )


def is_ours(intent: Intent, row: Row) -> bool:
    """Whether the object carries the key of this intent."""
    meant = identity(_meant(intent).get("PrivateNote"))
    return bool(meant) and meant == identity(row.get("PrivateNote"))


def number_of(entity: str, row: Mapping[str, Any]) -> str:
    """The number that an object shows."""
    return str(row.get(NUMBER_FIELD.get(entity, "DocNumber")) or "")


def differences(intent: Intent, row: Row) -> tuple[str, ...]:
    """What differs between a stored object and the intent, in words without personal data.

    Compared are number, total, tax, currency, date and key: what a 200 alone does not prove.
    """
    meant = _meant(intent)
    found: list[str] = []
    if intent.entity in NO_TOTAL | {"Customer", "Item"}:
        return tuple(found)
    if intent.entity not in NO_NUMBER and number_of(intent.entity, row) != number_of(intent.entity, meant):
        found.append("another number")
    total = amount(row.get("TotalAmt", row.get("Amount")))
    if total != intent.amount:
        found.append(f"total {_shown(total)} instead of {_shown(intent.amount)}")
    found.extend(_tax(meant, row))
    found.extend(_reference("currency", "CurrencyRef", meant, row))
    if meant.get("TxnDate") and str(row.get("TxnDate", "")) != str(meant["TxnDate"]):
        found.append(f"date {row.get('TxnDate')} instead of {meant['TxnDate']}")
    if not is_ours(intent, row) and identity(meant.get("PrivateNote")):
        found.append("another key in the private note")
    return tuple(found)


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


def content_sha(row: Mapping[str, Any]) -> str:
    """A hash over the money content of a stored object: what a person's edit would change.

    Stable against what QuickBooks changes by itself: ids of lines, sync token, balances, links, times.
    """
    kept = {name: row.get(name) for name in _MONEY_FIELDS if row.get(name) is not None}
    kept["Line"] = [
        _line(line) for line in row.get("Line") or () if line.get("DetailType") != "SubTotalLineDetail"
    ]
    kept["Tax"] = str(amount((row.get("TxnTaxDetail") or {}).get("TotalTax")) or 0)
    text = json.dumps(_normal(kept), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


_MONEY_FIELDS = (
    "DocNumber",
    "PaymentRefNum",
    "TxnDate",
    "TotalAmt",
    "CurrencyRef",
    "ExchangeRate",
    "CustomerRef",
    "DepositToAccountRef",
    "GlobalTaxCalculation",
)


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    detail = line.get("SalesItemLineDetail") or {}
    return {
        "Amount": line.get("Amount"),
        "Item": (detail.get("ItemRef") or {}).get("value"),
        "Tax": (detail.get("TaxCodeRef") or {}).get("value"),
        "Linked": [str(link.get("TxnId")) for link in line.get("LinkedTxn") or ()],
    }


def _normal(value: Any) -> Any:
    """Numbers in one spelling, references by their value alone."""
    if isinstance(value, Mapping):
        return (
            str(value["value"]) if "value" in value else {key: _normal(entry) for key, entry in value.items()}
        )
    if isinstance(value, list):
        return [_normal(entry) for entry in value]
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return f"{Decimal(str(value)).normalize():f}"
    return value
