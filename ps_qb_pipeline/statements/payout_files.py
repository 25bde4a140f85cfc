"""Payout files of payment providers as rows to land.

What lives here: what one line of such a file holds, who it is, and where its money went. What does
not: what the line means for an order (``recon.payout_matches``). Only the columns that the map names are
kept: names and addresses of payers stay in the file.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.settings import FileFormat
from ps_qb_pipeline.statements import csv_files
from ps_qb_pipeline.warehouse.raw import Landing

TABLE = "raw.files_payout_lines"
COLUMNS: Mapping[str, str] = {
    "method": "text",
    "account": "text",
    "format": "text",
    "file": "text",
    "line_no": "int",
    "payout_id": "text",
    "payout_date": "date",
    "payout_amount": "decimal",
    "kind": "text",
    "said": "text",
    "transaction_id": "text",
    "ids": "json",
    "reference": "text",
    "amount": "decimal",
    "fee": "decimal",
    "net": "decimal",
    "currency": "text",
    "presented_amount": "decimal",
    "presented_currency": "text",
    "happened_at": "datetime",
    "description": "text",
    "by_withdrawal": "bool",
}
_NEEDED = ("kind", "amount", "currency", "happened_at")
_FROM_THE_FILE_ONLY = ("file", "line_no")


def read(
    content: bytes,
    name: str,
    policy: Policy,
    formats: Mapping[str, FileFormat],
    *,
    methods: Mapping[str, str],
    form: str = "",
    method: str = "",
) -> list[Landing]:
    """The lines of a payout file. ``methods`` maps payment methods to the formats of their providers.

    The format is found by the header unless ``form`` names it, the method by its format, by a column of
    the file, or by ``method``. SettingsError names the line and what is wrong with it.
    """
    text = csv_files.text_of(content, name)
    form = form or csv_files.recognised(text, formats)
    if form not in formats:
        known = ", ".join(sorted(formats))
        raise SettingsError(f"{name} is in no format that is known here; say --format, one of: {known}")
    using = [named for named, its in methods.items() if its == form]
    fallback = method or (using[0] if len(using) == 1 else "")
    seen: Counter[str] = Counter()
    found = []
    for number, line in csv_files.lines(text, formats[form], name, _NEEDED):
        values = _values(line, line.text("method") or fallback, policy)
        values |= {"format": form, "file": name, "line_no": number}
        stem = _identity(line, values)
        seen[stem] += 1
        payload = json.dumps(
            {key: value for key, value in values.items() if key not in _FROM_THE_FILE_ONLY},
            default=str,
            sort_keys=True,
        )
        found.append(Landing(f"{stem}|{seen[stem]}" if seen[stem] > 1 else stem, values, payload))
    return found


def _values(line: csv_files.Line, method: str, policy: Policy) -> dict[str, Any]:
    setting = policy.methods.get(method)
    if setting is None or not setting.account:
        known = ", ".join(name for name, one in policy.methods.items() if one.account)
        raise SettingsError(
            f"{line.place}: whose payout this is cannot be told; say --method, one of: {known}"
        )
    said = line.text("kind")
    kinds = {word.lower(): kind for word, kind in line.form.kinds.items()}
    currency = line.text("currency").upper()
    amount = line.amount("amount") or Decimal(0)
    fee = line.amount("fee") or Decimal(0)
    if line.form.fees_are_negative:
        fee = -fee
    net = line.amount("net")
    ids = [line.text("transaction_id"), *line.texts("transaction_id"), *line.texts("other_ids")]
    return {
        "method": method,
        "account": setting.account.replace("{CUR}", currency),
        "payout_id": line.text("payout_id"),
        "payout_date": line.day("payout_date") if line.text("payout_date") else None,
        "payout_amount": line.amount("payout_amount"),
        "kind": kinds.get(said.lower(), line.form.other_kind),
        "said": said,
        "transaction_id": line.text("transaction_id"),
        "ids": list(dict.fromkeys(one for one in ids if one)),
        "reference": line.text("reference"),
        "amount": amount,
        "fee": fee,
        "net": amount - fee if net is None else net,
        "currency": currency,
        "presented_amount": line.amount("presented_amount"),
        "presented_currency": line.text("presented_currency").upper(),
        "happened_at": line.moment("happened_at"),
        "description": line.text("description"),
        "by_withdrawal": line.form.by_withdrawal,
    }


def _identity(line: csv_files.Line, values: Mapping[str, Any]) -> str:
    """The provider's own id of the line, else a hash of what it says."""
    own = line.text("line_id")
    if own:
        return f"{values['method']}|{own}"
    told = {key: value for key, value in values.items() if key not in _FROM_THE_FILE_ONLY}
    text = json.dumps(told, default=str, sort_keys=True)
    return f"{values['method']}|{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def payouts_of(rows: list[Landing]) -> Iterator[str]:
    """The payouts that the lines of a file name, each once."""
    yield from dict.fromkeys(str(row.values["payout_id"]) for row in rows if row.values["payout_id"])
