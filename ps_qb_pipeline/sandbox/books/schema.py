"""Which fields every type has: the field facts of Intuit's schema, and the check of a body against them.

What lives here: reading ``data/schema.json.gz`` (types, fields, lengths, enumerations) and the walk
over a request body. What does not: which fields an entity requires or computes (``entities``).
"""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from ps_qb_pipeline.sandbox.books import faults
from ps_qb_pipeline.sandbox.books.codec import Json, decimal

NUMBERS = frozenset({"decimal", "int", "long", "positiveInteger"})
TEXT_LIMITS = {
    # What the reference says where the schema says nothing or an older length.
    "Address.Address": 100,
    "Customer.DisplayName": 500,
    "Customer.GivenName": 100,
    "Customer.MiddleName": 100,
    "Customer.FamilyName": 100,
    "Customer.CompanyName": 100,
    "Customer.Title": 16,
    "Customer.Suffix": 16,
    "Customer.Notes": 2000,
    "Customer.PrintOnCheckName": 110,
    "Customer.FullyQualifiedName": 0,
    "Vendor.DisplayName": 500,
    "Vendor.GivenName": 100,
    "Vendor.MiddleName": 100,
    "Vendor.FamilyName": 100,
    "Vendor.CompanyName": 100,
    "Vendor.Title": 16,
    "Vendor.Suffix": 16,
    "Vendor.FullyQualifiedName": 0,
    "Employee.DisplayName": 500,
    "Employee.GivenName": 100,
    "Employee.MiddleName": 100,
    "Employee.FamilyName": 100,
    "Employee.Title": 16,
    "Employee.Suffix": 16,
    "Account.Name": 100,
    "Item.FullyQualifiedName": 0,
    "Item.PurchaseDesc": 1000,
    "Class.Name": 100,
    "Department.Name": 100,
    "PaymentMethod.Name": 31,
    "Term.Name": 31,
    "TaxCode.Name": 0,
    "EmailAddress.Address": 100,
    "TelephoneNumber.FreeFormNumber": 30,
    "MemoRef.value": 1000,
}
EVERY_TYPE_LIMITS = {"PrivateNote": 4000, "PaymentRefNum": 21, "DocNumber": 21}
LARGEST = 10**12
REFERENCE_KEYS = frozenset({"value", "name", "type"})
ENVELOPE_KEYS = frozenset({"domain", "sparse", "status"})

# Types that Intuit's schema file leaves open but whose objects its service knows.
ADDITIONS: dict[str, Json] = {
    "CreditCardPaymentTxn": {
        "entity": True,
        "fields": {
            "Id": ["id", "f"],
            "SyncToken": ["string"],
            "MetaData": ["ModificationMetaData", "r"],
            "TxnDate": ["date", "fs"],
            "Amount": ["decimal", "f"],
            "PrivateNote": ["string"],
            "Memo": ["string"],
            "PrintStatus": ["PrintStatusEnum"],
            "CheckNum": ["string"],
            "DocNumber": ["string"],
            "BankAccountRef": ["ReferenceType"],
            "CreditCardAccountRef": ["ReferenceType"],
            "VendorRef": ["ReferenceType"],
            "CurrencyRef": ["ReferenceType"],
            "ExchangeRate": ["decimal"],
            "LinkedTxn": ["LinkedTxn", "*"],
            "CustomField": ["CustomField", "*"],
            "AttachableRef": ["AttachableRef", "*"],
        },
    },
    "JournalCode": {
        "entity": True,
        "fields": {
            "Id": ["id", "f"],
            "SyncToken": ["string"],
            "MetaData": ["ModificationMetaData", "r"],
            "Name": ["string", "f"],
            "Type": ["string", "f"],
            "Description": ["string"],
            "Active": ["boolean", "f"],
        },
    },
    "ReimburseCharge": {
        "entity": True,
        "fields": {
            "Id": ["id", "f"],
            "SyncToken": ["string"],
            "MetaData": ["ModificationMetaData", "r"],
            "TxnDate": ["date", "f"],
            "Amount": ["decimal", "f"],
            "CustomerRef": ["ReferenceType"],
            "HasBeenInvoiced": ["boolean", "f"],
            "Line": ["Line", "*"],
            "LinkedTxn": ["LinkedTxn", "*"],
            "CurrencyRef": ["ReferenceType"],
            "ExchangeRate": ["decimal"],
            "PrivateNote": ["string"],
            "HomeTotalAmt": ["decimal", "r"],
        },
    },
    "TelephoneNumber": {"fields": {"FreeFormNumber": ["string", "", 30]}},
    "EmailAddress": {"fields": {"Address": ["string", "", 100]}},
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a type. ``many`` means a JSON array; ``limit`` is in characters, 0 for none."""

    name: str
    type: str
    many: bool
    read_only: bool
    filterable: bool
    limit: int


@dataclass(frozen=True, slots=True)
class Type:
    """One type of the schema. ``is_text`` marks types whose content is their ``value`` (references)."""

    name: str
    fields: dict[str, Field]
    is_entity: bool
    is_text: bool


@dataclass(slots=True)
class Checked:
    """What the walk over a body noticed and accepted."""

    text_numbers: int = 0
    """Numbers that came as JSON strings."""


@cache
def _facts() -> Json:
    packed = files("ps_qb_pipeline.sandbox.books").joinpath("data/schema.json.gz").read_bytes()
    facts: Json = json.loads(gzip.decompress(packed))
    for name, addition in ADDITIONS.items():
        known = facts["types"].setdefault(
            name, {"fields": {}, "attributes": [], "entity": False, "text": False}
        )
        known["entity"] = known["entity"] or addition.get("entity", False)
        known["fields"].update(addition["fields"])
    return facts


@cache
def enum(name: str) -> frozenset[str] | None:
    """Return the values of an enumeration, or None if ``name`` is none."""
    values = _facts()["enums"].get(name)
    return None if values is None else frozenset(values)


@cache
def type_of(name: str) -> Type | None:
    """Return the type called ``name``, or None."""
    facts = _facts()["types"].get(name)
    if facts is None:
        return None
    fields = {}
    for field, (kind, *rest) in facts["fields"].items():
        flags = rest[0] if rest else ""
        limit = rest[1] if len(rest) > 1 else EVERY_TYPE_LIMITS.get(field, 0)
        limit = TEXT_LIMITS.get(f"{name}.{field}", limit)
        fields[field] = Field(field, kind, "*" in flags, "r" in flags, "f" in flags, limit)
    return Type(name, fields, facts["entity"], facts["text"])


def check(name: str, body: Json, seen: Checked, path: str = "") -> Json:
    """Return ``body`` without empty values and with plain types; raise Refusal at the first misfit.

    Empty strings and nulls count as absent, as clients send them for every field they know.
    """
    kind = type_of(name)
    if kind is None:
        return body
    if kind.is_text:
        return _reference(body, seen, path)
    clean: Json = {}
    for key, value in body.items():
        where = f"{path}.{key}" if path else key
        field = kind.fields.get(key)
        if field is None:
            if key in ENVELOPE_KEYS and kind.is_entity:
                clean[key] = value
                continue
            raise faults.unknown_property(where)
        if value is None or value == "":
            continue
        made = _many(field, value, seen, where) if field.many else _one(field, value, seen, where)
        if field.many or not _nobody(field, made):
            clean[key] = made
    return clean


def _nobody(field: Field, value: Any) -> bool:
    """Whether a reference names nobody: only its ``value`` counts."""
    kind = type_of(field.type)
    return kind is not None and kind.is_text and "value" not in value


def _many(field: Field, value: Any, seen: Checked, where: str) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [_one(field, entry, seen, where) for entry in values if entry is not None]


def _reference(body: Json, seen: Checked, path: str) -> Json:
    del seen
    clean: Json = {}
    for key, value in body.items():
        if key not in REFERENCE_KEYS and key != "id":
            raise faults.unknown_property(f"{path}.{key}")
        if value is not None and value != "":
            clean[key] = str(value)
    return clean


def _one(field: Field, value: Any, seen: Checked, where: str) -> Any:
    kind = field.type
    if type_of(kind) is not None:
        if not isinstance(value, dict):
            raise faults.unknown_property(where)
        clean = check(kind, value, seen, where)
        if field.limit and len(str(clean.get("value", ""))) > field.limit:
            raise faults.too_long(where, field.limit, len(clean["value"]))
        return clean
    if kind in NUMBERS:
        return _number(value, seen, where)
    if kind == "boolean":
        return _boolean(value, where)
    if isinstance(value, dict | list):
        raise faults.unknown_property(where)
    text = str(value)
    values = enum(kind)
    if values is not None and text not in values:
        raise faults.invalid_enum(where, text)
    if kind == "date":
        return _date(text, where)
    if field.limit and len(text) > field.limit:
        raise faults.too_long(where, field.limit, len(text))
    return text


def _number(value: Any, seen: Checked, where: str) -> Any:
    number = decimal(value)
    if number is None or abs(number) >= LARGEST:
        raise faults.invalid_number(where, value)
    if isinstance(value, str):
        seen.text_numbers += 1
        return number
    return value


def _boolean(value: Any, where: str) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"true", "false"}:
        return str(value).lower() == "true"
    raise faults.unknown_property(where)


def _date(text: str, where: str) -> str:
    for part in (text[:10], text):
        with suppress(ValueError):
            return datetime.fromisoformat(part).date().isoformat()
    raise faults.invalid_date(where, text)
