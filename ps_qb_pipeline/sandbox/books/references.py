"""References from one object to another.

What lives here: which entity every ``...Ref`` points to, and the walk that checks them and fills in
names. What does not: references whose meaning depends on the country (tax codes of US lines).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ps_qb_pipeline.sandbox.books import faults
from ps_qb_pipeline.sandbox.books.codec import Json, ref
from ps_qb_pipeline.sandbox.books.company import Company

TARGETS = {
    "CustomerRef": "Customer",
    "VendorRef": "Vendor",
    "EmployeeRef": "Employee",
    "ItemRef": "Item",
    "GroupItemRef": "Item",
    "ClassRef": "Class",
    "DepartmentRef": "Department",
    "PaymentMethodRef": "PaymentMethod",
    "SalesTermRef": "Term",
    "TermRef": "Term",
    "TaxRateRef": "TaxRate",
    "TxnTaxCodeRef": "TaxCode",
    "TaxCodeRef": "TaxCode",
    "SalesTaxCodeRef": "TaxCode",
    "PurchaseTaxCodeRef": "TaxCode",
    "DefaultTaxCodeRef": "TaxCode",
    "PrefVendorRef": "Vendor",
    "AgencyRef": "TaxAgency",
    "BillableEntityRef": "Customer",
    "CustomerTypeRef": "CustomerType",
}
PSEUDO_ITEMS = {"SHIPPING_ITEM_ID", "GRATUITY_ITEM_ID"}
PSEUDO_CODES = {"TAX", "NON"}
UNCHECKED = frozenset(
    [
        "TemplateRef",
        "RecurDataRef",
        "ShipMethodRef",
        "SalesRepRef",
        "RemitToRef",
        "PriceLevelRef",
        "ProjectRef",
        "InventorySiteRef",
        "CreatedByRef",
        "LastModifiedByRef",
        "UOMSetRef",
        "TaxClassificationRef",
        "TaxExemptionRef",
        "JournalCodeRef",
        "TagRef",
        "RootCustomerRef",
        "TaxGroupCodeRef",
        "TaxReturnLineRef",
        "OriginalTaxRate",
        "SyncRef",
    ]
)


def target(owner: str, name: str) -> str:
    """Return the entity that the reference ``name`` of ``owner`` points to, or the empty string."""
    if name in UNCHECKED:
        return ""
    if name == "ParentRef":
        return owner
    if name.endswith("AccountRef"):
        return "Account"
    return TARGETS.get(name, "")


def resolve(company: Company, owner: str, body: Json, before: Json | None = None) -> None:
    """Check every reference in ``body`` and write the present name beside its id.

    What the stored version, ``before``, names already may have become inactive since.
    """
    _walk(company, owner, body, frozenset(_held(before or {})))


def _held(value: Any) -> Iterator[tuple[str, str]]:
    """Yield (name, id) of every reference inside a stored object."""
    if isinstance(value, list):
        for inner in value:
            yield from _held(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name.endswith("Ref") and isinstance(inner, dict) and "value" in inner:
                yield name, ref(inner)
            else:
                yield from _held(inner)


def _walk(company: Company, owner: str, value: Any, kept: frozenset[tuple[str, str]]) -> None:
    if isinstance(value, list):
        for inner in value:
            _walk(company, owner, inner, kept)
        return
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        if not isinstance(inner, dict | list):
            continue
        if name == "CurrencyRef":
            _currency(company, inner)
        elif name == "EntityRef" and isinstance(inner, dict):
            _entity(company, inner)
        elif name.endswith("Ref") and isinstance(inner, dict) and "value" in inner:
            _one(company, target(owner, name), name, inner, kept)
        else:
            _walk(company, owner, inner, kept)


def _one(company: Company, entity: str, name: str, value: Json, kept: frozenset[tuple[str, str]]) -> None:
    ident = ref(value)
    if (
        not entity
        or (entity == "Item" and ident in PSEUDO_ITEMS)
        or (entity == "TaxCode" and _pseudo(company, ident))
        or (name == "TaxCodeRef" and company.is_us)  # which codes a line may carry is a rule of its own: 6100
    ):
        return
    known = company.find(entity, ident) if (name, ident) in kept else None
    found = known or company.require(entity, ident, name)
    value["name"] = (
        found.get("FullyQualifiedName")
        or found.get("DisplayName")
        or found.get("Name")
        or value.get("name", "")
    )
    if not value["name"]:
        del value["name"]


def _pseudo(company: Company, ident: str) -> bool:
    return (
        ident in PSEUDO_CODES
        or (company.is_us and not ident.isdigit())
        or (company.is_us and ident == "CustomSalesTax")
    )


def _entity(company: Company, value: Json) -> None:
    ident = ref(value)
    if not ident:
        return
    kinds = (
        [value["type"].title()] if value.get("type", "").title() in {"Customer", "Vendor", "Employee"} else []
    )
    for kind in kinds or ("Customer", "Vendor", "Employee"):
        found = company.find(kind, ident)
        if found is not None:
            value["name"] = found.get("DisplayName", "")
            value.setdefault("type", kind)
            return
    if value.get("type", "").title() in {"Customer", "Vendor", "Employee", ""}:
        raise faults.invalid_reference("Names", ident, "EntityRef")


CURRENCY_NAMES = {
    "EUR": "Euro",
    "USD": "United States Dollar",
    "GBP": "British Pound Sterling",
    "CAD": "Canadian Dollar",
    "JPY": "Japanese Yen",
    "CHF": "Swiss Franc",
    "AUD": "Australian Dollar",
    "SEK": "Swedish Krona",
    "DKK": "Danish Krone",
    "NOK": "Norwegian Krone",
    "PLN": "Polish Zloty",
    "CZK": "Czech Koruna",
}


def _currency(company: Company, value: Any) -> None:
    code = ref(value).upper()
    if not isinstance(value, dict) or not code:
        return
    value["value"] = code
    value["name"] = CURRENCY_NAMES.get(code, code)
    if code != company.home and not company.multicurrency:
        raise faults.business("Multi Currency should be enabled to perform this operation.", "CurrencyRef")


def currency(company: Company, code: str) -> Json:
    """Return a reference to a currency."""
    value = {"value": code or company.home}
    _currency(company, value)
    return value
