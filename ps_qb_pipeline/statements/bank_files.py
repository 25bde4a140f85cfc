"""Bank statements as rows to land: CSV by a map of columns, OFX 1 and 2, CAMT.053.

What lives here: the three forms and what one booking holds. What does not: which invoice a booking pays
(``recon.bank_matches``). Files come from outside: XML with a document type or entities is refused.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.settings import FileFormat
from ps_qb_pipeline.statements import csv_files
from ps_qb_pipeline.warehouse.raw import Landing

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

TABLE = "raw.files_bank_lines"
COLUMNS: Mapping[str, str] = {
    "account": "text",
    "format": "text",
    "file": "text",
    "line_no": "int",
    "booked_on": "date",
    "amount": "decimal",
    "currency": "text",
    "counterparty": "text",
    "reference": "text",
    "description": "text",
}
_NEEDED = ("happened_at", "amount")
_FROM_THE_FILE_ONLY = ("file", "line_no")


def read(
    content: bytes, name: str, formats: Mapping[str, FileFormat], *, currency: str, form: str = ""
) -> list[Landing]:
    """The bookings of a statement; ``currency`` is the account's where the file does not say it.

    A booking that the bank numbers keeps that number; others are told apart by what they say, so that
    the same booking in two statements is one. SettingsError says what cannot be read.
    """
    text = csv_files.text_of(content, name)
    start = text.lstrip()[:400].upper()
    if "OFXHEADER" in start or "<OFX" in start:
        found = list(_ofx(text, name))
    elif start.startswith("<"):
        found = list(_camt(content, name))
    else:
        found = list(_csv(text, name, formats, form))
    seen: Counter[str] = Counter()
    landings = []
    for number, (own, values) in enumerate(found, start=1):
        values["currency"] = values.get("currency") or currency
        told = json.dumps(values, default=str, sort_keys=True)
        stem = f"{values['account']}|{own or hashlib.sha256(told.encode()).hexdigest()[:24]}"
        seen[stem] += 1
        identity = f"{stem}|{seen[stem]}" if seen[stem] > 1 else stem
        landings.append(Landing(identity, {**values, "file": name, "line_no": number}, told))
    return landings


_Booking = tuple[str, dict[str, Any]]


def _csv(text: str, name: str, formats: Mapping[str, FileFormat], form: str) -> Iterator[_Booking]:
    form = form or csv_files.recognised(text, formats)
    if form not in formats:
        raise SettingsError(
            f"{name} is neither OFX nor CAMT.053 nor a CSV in a format known here; "
            "describe its columns under file_formats in defs.yaml"
        )
    for _, line in csv_files.lines(text, formats[form], name, _NEEDED):
        yield (
            line.text("line_id"),
            {
                "account": line.text("account"),
                "format": form,
                "booked_on": line.day("happened_at"),
                "amount": line.amount("amount"),
                "currency": line.text("currency").upper(),
                "counterparty": line.text("counterparty"),
                "reference": line.text("reference"),
                "description": line.text("description"),
            },
        )


# -- OFX ---------------------------------------------------------------------------------------

_STATEMENT = re.compile(r"<STMTTRNRS>|<CCSTMTTRNRS>", re.IGNORECASE)
_TRANSACTION = re.compile(
    r"<STMTTRN>(.*?)(?=</STMTTRN>|<STMTTRN>|</BANKTRANLIST>)", re.IGNORECASE | re.DOTALL
)


def _tag(text: str, tag: str) -> str:
    """The value of a tag: in OFX 1 it ends with the line or the next tag, in OFX 2 with its end tag."""
    found = re.search(rf"<{tag}>([^<\r\n]*)", text, re.IGNORECASE)
    return html.unescape(found.group(1)).strip() if found else ""


def _ofx(text: str, name: str) -> Iterator[_Booking]:
    parts = _STATEMENT.split(text)
    for part in parts[1:] or parts:
        account, currency = _tag(part, "ACCTID"), _tag(part, "CURDEF").upper()
        for number, entry in enumerate(_TRANSACTION.findall(part), start=1):
            place = f"{name}, transaction {number}"
            yield (
                _tag(entry, "FITID"),
                {
                    "account": account,
                    "format": "ofx",
                    "booked_on": _compact_date(_tag(entry, "DTPOSTED"), place),
                    "amount": _number(_tag(entry, "TRNAMT"), place),
                    "currency": currency,
                    "counterparty": _tag(entry, "NAME"),
                    "reference": _tag(entry, "CHECKNUM") or _tag(entry, "REFNUM"),
                    "description": _tag(entry, "MEMO"),
                },
            )


def _compact_date(written: str, place: str) -> date:
    try:
        return date(int(written[:4]), int(written[4:6]), int(written[6:8]))
    except ValueError as error:
        raise SettingsError(f"{place}: {written!r:.40} is no date") from error


def _number(written: str, place: str) -> Decimal:
    plain = written.replace(",", ".") if written.count(",") == 1 and "." not in written else written
    try:
        number = Decimal(plain)
    except InvalidOperation as error:
        raise SettingsError(f"{place}: {written!r:.40} is no amount") from error
    if not number.is_finite():
        raise SettingsError(f"{place}: {written!r:.40} is no amount")
    return number


# -- CAMT.053 ----------------------------------------------------------------------------------


def _camt(content: bytes, name: str) -> Iterator[_Booking]:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException) as error:
        raise SettingsError(f"{name} cannot be read as XML: {type(error).__name__}") from error
    statements = list(root.iterfind(".//{*}BkToCstmrStmt/{*}Stmt"))
    if not statements:
        raise SettingsError(f"{name} is XML, and no CAMT.053 statement")
    for statement in statements:
        account = _first(statement, "{*}Acct/{*}Id/{*}IBAN", "{*}Acct/{*}Id/{*}Othr/{*}Id")
        for entry in statement.iterfind("{*}Ntry"):
            status = _first(entry, "{*}Sts/{*}Cd", "{*}Sts")
            if status in {"", "BOOK"}:
                yield from _entry(entry, account, name)


def _entry(entry: Element, account: str, name: str) -> Iterator[_Booking]:
    """One booking, or each of the payments that the bank booked together."""
    own = _first(entry, "{*}AcctSvcrRef", "{*}NtryRef")
    incoming = _first(entry, "{*}CdtDbtInd") == "CRDT"
    details = list(entry.iterfind("{*}NtryDtls/{*}TxDtls")) or [entry]
    whole = entry.find("{*}Amt")
    for number, detail in enumerate(details, start=1):
        stated = detail.find("{*}Amt")
        money = stated if stated is not None else detail.find("{*}AmtDtls/{*}TxAmt/{*}Amt")
        money = whole if money is None or len(details) == 1 else money
        if money is None:
            raise SettingsError(f"{name}: a booking has no amount")
        amount = _number(money.text or "", f"{name}, booking {own}")
        side = _first(detail, "{*}CdtDbtInd")
        credit = side == "CRDT" if side else incoming
        party = "Dbtr" if credit else "Cdtr"
        yield (
            f"{own}/{number}" if own and len(details) > 1 else own,
            {
                "account": account,
                "format": "camt.053",
                "booked_on": date.fromisoformat(_first(entry, "{*}BookgDt/{*}Dt", "{*}BookgDt/{*}DtTm")[:10]),
                "amount": amount if credit else -amount,
                "currency": money.get("Ccy", ""),
                "counterparty": _first(
                    detail,
                    f"{{*}}RltdPties/{{*}}{party}/{{*}}Nm",
                    f"{{*}}RltdPties/{{*}}{party}/{{*}}Pty/{{*}}Nm",
                ),
                "reference": _first(
                    detail, "{*}RmtInf/{*}Strd/{*}CdtrRefInf/{*}Ref", "{*}Refs/{*}EndToEndId"
                ),
                "description": " ".join(
                    (text.text or "").strip() for text in detail.iterfind("{*}RmtInf/{*}Ustrd")
                ),
            },
        )


def _first(node: Element, *paths: str) -> str:
    for path in paths:
        found = (node.findtext(path) or "").strip()
        if found:
            return found
    return ""
