"""What name lists and the other non-posting objects compute and insist on.

What lives here: names and their uniqueness, parents and levels, accounts' classification, items' types,
opening balances, the balance shown on customers, vendors and accounts. What does not: transactions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from ps_qb_pipeline.sandbox.books import faults
from ps_qb_pipeline.sandbox.books.codec import Json, amount, cents, decimal, ref
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import ENTITIES, Entity
from ps_qb_pipeline.sandbox.books.references import CURRENCY_NAMES, currency
from ps_qb_pipeline.sandbox.books.store import Entry

BALANCED = frozenset({"Account", "Customer", "Vendor"})
DELETED_SUFFIX = " (deleted)"
NAME_PARTS = ("Title", "GivenName", "MiddleName", "FamilyName", "Suffix")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

CLASSIFICATION = {
    "Bank": "Asset",
    "Accounts Receivable": "Asset",
    "Other Current Asset": "Asset",
    "Fixed Asset": "Asset",
    "Other Asset": "Asset",
    "Accounts Payable": "Liability",
    "Credit Card": "Liability",
    "Other Current Liability": "Liability",
    "Long Term Liability": "Liability",
    "Equity": "Equity",
    "Income": "Revenue",
    "Other Income": "Revenue",
    "Cost of Goods Sold": "Expense",
    "Expense": "Expense",
    "Other Expense": "Expense",
}
USUAL_SUBTYPE = {
    "Bank": "Checking",
    "Accounts Receivable": "AccountsReceivable",
    "Other Current Asset": "OtherCurrentAssets",
    "Fixed Asset": "OtherFixedAssets",
    "Other Asset": "OtherLongTermAssets",
    "Accounts Payable": "AccountsPayable",
    "Credit Card": "CreditCard",
    "Other Current Liability": "OtherCurrentLiabilities",
    "Long Term Liability": "OtherLongTermLiabilities",
    "Equity": "OpeningBalanceEquity",
    "Income": "SalesOfProductIncome",
    "Other Income": "OtherMiscellaneousIncome",
    "Cost of Goods Sold": "SuppliesMaterialsCogs",
    "Expense": "OtherMiscellaneousServiceCost",
    "Other Expense": "OtherMiscellaneousExpense",
}
TYPE_OF_SUBTYPE = {sub: kind for kind, sub in USUAL_SUBTYPE.items()} | {
    "Savings": "Bank",
    "CashOnHand": "Bank",
    "UndepositedFunds": "Other Current Asset",
    "Inventory": "Other Current Asset",
    "PrepaidExpenses": "Other Current Asset",
    "ServiceFeeIncome": "Income",
    "DiscountsRefundsGiven": "Income",
    "OtherPrimaryIncome": "Income",
    "ExchangeGainOrLoss": "Other Expense",
    "BankCharges": "Expense",
    "GlobalTaxPayable": "Other Current Liability",
    "SalesTaxPayable": "Other Current Liability",
    "AdvertisingPromotional": "Expense",
    "OfficeGeneralAdministrativeExpenses": "Expense",
    "Travel": "Expense",
}


def refuse_feature(company: Company, entity: Entity) -> None:
    """Refuse an object of a feature that the company does not have."""
    if "multicurrency" in entity.features and not company.multicurrency:
        raise faults.business("Multi Currency should be enabled to perform this operation.")
    if "inventory_adjustment" in entity.features and not company.is_us:
        raise faults.feature_off("InventoryAdjustment")
    if entity.countries and company.country not in entity.countries:
        raise faults.feature_off(entity.name)


def prepare(company: Company, entity: Entity, number: int, body: Json, before: Json | None) -> None:
    """Fill in and check what ``entity`` computes, before ``body`` is stored."""
    special = _PREPARE.get(entity.name)
    if entity.kind == "names":
        _person(company, entity, body)
    elif special is not None:
        special(company, number, body, before)
    if entity.name_field:
        _lineage(company, entity, body)
        if company.switches.deleted_suffix == "on" and body.get("Active") is False:
            shown = str(body[entity.name_field])
            if not shown.endswith(DELETED_SUFFIX):
                body[entity.name_field] = shown + DELETED_SUFFIX
        _unique(company, entity, number, body)
    if entity.kind in {"names", "list"} and entity.name != "Tag":
        body.setdefault("Active", True)


def after(company: Company, entity: Entity, number: int, body: Json, before: Json | None) -> None:
    """Post what creating a list object implies: an opening balance, a tax agency's account."""
    if entity.name == "TaxAgency" and before is None:
        agency_account(company, number, body["DisplayName"])
    if before is None and entity.name in {"Customer", "Vendor", "Account", "Item"}:
        _opening(company, entity.name, number, body)


# Names ---------------------------------------------------------------------------------------------


def _person(company: Company, entity: Entity, body: Json) -> None:
    parts = [str(body[name]) for name in NAME_PARTS if body.get(name)]
    if not body.get("DisplayName"):
        if not parts:
            raise faults.no_name()
        body["DisplayName"] = " ".join(parts)
    for name in ("DisplayName", *NAME_PARTS, "PrintOnCheckName"):
        if re.search(r"[\t\n:]" if name != "DisplayName" else r"[\t\n]|:", str(body.get(name, ""))):
            raise faults.invalid_characters(name)
    address = body.get("PrimaryEmailAddr", {}).get("Address")
    if address and not all(EMAIL.fullmatch(part.strip()) for part in address.split(",")):
        raise faults.invalid_email(address)
    body.setdefault("PrintOnCheckName", body.get("CompanyName") or body["DisplayName"])
    if entity.name == "Employee":
        if body.get("SSN"):
            body["SSN"] = "XXX-XX-XXXX"
        body.setdefault("BillableTime", False)
        return
    if company.multicurrency or "CurrencyRef" in body:
        code = ref(body.get("CurrencyRef")) or company.home
        body["CurrencyRef"] = currency(company, code)
        _add_currency(company, code)
    else:
        body["CurrencyRef"] = currency(company, company.home)
    if entity.name == "Customer":
        body.setdefault("Taxable", company.is_us)
        body.setdefault("BillWithParent", False)
        body.setdefault("PreferredDeliveryMethod", "None")
        body["Job"] = bool(ref(body.get("ParentRef")))
        _number_addresses(company, body)
    else:
        body.setdefault("Vendor1099", False)


def _number_addresses(company: Company, body: Json) -> None:
    for name in ("BillAddr", "ShipAddr"):
        if body.get(name):
            body[name].setdefault("Id", str(company.store.next("id:address", 1)))


def _add_currency(company: Company, code: str) -> None:
    if code == company.home or company.store.by_name("CompanyCurrency", code):
        return
    from ps_qb_pipeline.sandbox.books.objects import create

    create(company, ENTITIES["CompanyCurrency"], {"Code": code, "Name": CURRENCY_NAMES.get(code, code)})


def _lineage(company: Company, entity: Entity, body: Json) -> None:
    name = str(body.get(entity.name_field, ""))
    if not name.strip():
        raise faults.required(entity.name_field)
    if entity.kind == "list" and entity.name in {"Account", "Item", "Class", "Department"}:
        forbidden = r'[":]' if entity.name == "Account" else r"[\t\n:]"
        if re.search(forbidden, name):
            raise faults.invalid_characters(entity.name_field)
    if entity.name not in {"Customer", "Account", "Item", "Class", "Department"}:
        return
    parent = ref(body.get("ParentRef"))
    flag = {
        "Account": "SubAccount",
        "Item": "SubItem",
        "Class": "SubClass",
        "Department": "SubDepartment",
    }.get(entity.name)
    if flag and body.get(flag) and not parent:
        raise faults.parent_required(flag)
    names = [name]
    while parent:
        above = company.require(entity.name, parent, "ParentRef")
        names.insert(0, str(above[entity.name_field]))
        parent = ref(above.get("ParentRef"))
        if len(names) > 5:
            raise faults.too_deep()
    if flag:
        body[flag] = len(names) > 1
    if entity.name in {"Customer", "Item"} and len(names) > 1:
        body["Level"] = len(names) - 1
    body["FullyQualifiedName"] = ":".join(names)


def _unique(company: Company, entity: Entity, number: int, body: Json) -> None:
    spaces = ("Customer", "Vendor", "Employee") if entity.space == "names" else (entity.name,)
    name = str(body[entity.name_field])
    for space in spaces:
        for row in company.store.select(space, "name=? and deleted=0", (name.lower(),)):
            other = row.json()
            same_parent = ref(other.get("ParentRef")) == ref(body.get("ParentRef"))
            if (space, row.id) != (entity.name, number) and (same_parent or entity.space == "names"):
                raise faults.duplicate_name(row.id)


# Accounts, items and the like ----------------------------------------------------------------------


def _account(company: Company, number: int, body: Json, before: Json | None) -> None:
    del number
    kind, sub = body.get("AccountType"), body.get("AccountSubType")
    if not kind:
        kind = TYPE_OF_SUBTYPE.get(str(sub), (before or {}).get("AccountType", "Expense"))
    if kind not in CLASSIFICATION:
        raise faults.invalid_enum("AccountType", kind)
    earlier = before or {}
    body["AccountType"] = kind
    kept = earlier.get("AccountSubType") if earlier.get("AccountType") == kind else None
    body["AccountSubType"] = sub or kept or USUAL_SUBTYPE[kind]
    if earlier.get("AccountSubType") == "RetainedEarnings" != body["AccountSubType"]:
        raise faults.business("The type of this account cannot be changed.", "AccountType")
    body["Classification"] = CLASSIFICATION[kind]
    body["CurrencyRef"] = currency(company, ref(body.get("CurrencyRef")) or company.home)
    body.setdefault("CurrentBalance", 0)
    body.setdefault("CurrentBalanceWithSubAccounts", 0)
    if ":" in str(body.get("AcctNum", "")):
        raise faults.invalid_characters("AcctNum")
    if (
        before is not None
        and body.get("Active") is False
        and company.store.setting(f"role-account:{before['Id']}")
    ):
        raise faults.business("This account is used by the system and cannot be made inactive.")


def _item(company: Company, number: int, body: Json, before: Json | None) -> None:
    del number
    kind = body.get("Type") or (before or {}).get("Type") or "NonInventory"
    if kind in {"Group", "Bundle"} and before is None:
        raise faults.unsupported("create Item of type Group")
    body["Type"] = kind
    for name in ("UnitPrice", "PurchaseCost"):
        if abs(decimal(body.get(name)) or Decimal(0)) > Decimal(99999999999):
            raise faults.invalid_number(name, body[name])
    if kind == "Category":
        for name in (
            "IncomeAccountRef",
            "ExpenseAccountRef",
            "AssetAccountRef",
            "UnitPrice",
            "TrackQtyOnHand",
        ):
            body.pop(name, None)
        above = ref(body.get("ParentRef"))
        if above and (company.find("Item", above) or {}).get("Type") != "Category":
            raise faults.business("The parent of a category must be a category.", "ParentRef")
        return
    parent = ref(body.get("ParentRef"))
    if parent and (company.find("Item", parent) or {}).get("Type") not in {"Category", kind}:
        raise faults.business("The parent of an item must be a category.", "ParentRef")
    body.setdefault("Taxable", False)
    body.setdefault("UnitPrice", 0)
    body.setdefault("PurchaseCost", 0)
    body.setdefault("TrackQtyOnHand", False)
    if kind == "Inventory" or body["TrackQtyOnHand"]:
        _inventory_item(body, before)
    elif not (ref(body.get("IncomeAccountRef")) or ref(body.get("ExpenseAccountRef"))):
        if kind == "Service":
            raise faults.required("IncomeAccountRef")
        raise faults.business("When you create or edit an item, specify an account for sales or purchases.")


def _inventory_item(body: Json, before: Json | None) -> None:
    body["Type"] = "Inventory"
    if before is not None and before.get("Type") == "Inventory" and not body["TrackQtyOnHand"]:
        raise faults.business("An inventory item cannot stop tracking its quantity.", "TrackQtyOnHand")
    if not body["TrackQtyOnHand"]:
        raise faults.required("TrackQtyOnHand")
    for name in ("IncomeAccountRef", "ExpenseAccountRef", "AssetAccountRef"):
        if not ref(body.get(name)):
            raise faults.required(name)
    if "InvStartDate" not in body:
        raise faults.required("InvStartDate")
    if before is not None:
        body["QtyOnHand"] = before.get("QtyOnHand", 0)
    elif "QtyOnHand" not in body:
        raise faults.required("QtyOnHand")


def _term(company: Company, number: int, body: Json, before: Json | None) -> None:
    del company, number, before
    body["Type"] = "DATE_DRIVEN" if body.get("DayOfMonthDue") is not None else "STANDARD"


def _currency_row(company: Company, number: int, body: Json, before: Json | None) -> None:
    del company, number, before
    body["Code"] = str(body["Code"]).upper()
    body.setdefault("Name", CURRENCY_NAMES.get(body["Code"], body["Code"]))


def _payment_method(company: Company, number: int, body: Json, before: Json | None) -> None:
    del company, number, before
    body.setdefault("Type", "NON_CREDIT_CARD")


def _tax_agency(company: Company, number: int, body: Json, before: Json | None) -> None:
    del company, number, before
    body.setdefault("TaxTrackedOnSales", True)
    body.setdefault("TaxTrackedOnPurchases", False)


def _time_activity(company: Company, number: int, body: Json, before: Json | None) -> None:
    del number, before
    kind = body.get("NameOf")
    owner = {"Employee": "EmployeeRef", "Vendor": "VendorRef", "Other": "OtherNameRef"}.get(
        str(kind), "EmployeeRef"
    )
    if not ref(body.get(owner)):
        raise faults.required(owner)
    if not body.get("StartTime") and body.get("Hours") is None and body.get("Minutes") is None:
        raise faults.required("Hours")
    if body.get("StartTime") and not body.get("EndTime"):
        raise faults.required("EndTime")
    body.setdefault("TxnDate", str(body.get("StartTime") or company.clock.today())[:10])
    body.setdefault("BillableStatus", "NotBillable")
    body.setdefault("Taxable", False)
    body.setdefault("HourlyRate", 0)


def _attachable(company: Company, number: int, body: Json, before: Json | None) -> None:
    for name in ("Size", "FileAccessUri", "TempDownloadUri", "ContentType"):
        if before is not None and name in before:
            body[name] = before[name]
    for link in body.get("AttachableRef", []):
        target = link.get("EntityRef") or {}
        kind = {name.lower(): name for name in ENTITIES}.get(str(target.get("type", "")).lower())
        if target.get("type") and kind is None:
            raise faults.unattachable(str(target["type"]))
        if kind is not None and company.find(kind, ref(target)) is None:
            raise faults.invalid_reference(kind, ref(target), "EntityRef")
    if len(str(body.get("Note", ""))) > 2000:
        raise faults.too_long("Note", 2000, len(body["Note"]))
    del number


_PREPARE: dict[str, Callable[[Company, int, Json, Json | None], None]] = {
    "Account": _account,
    "Item": _item,
    "Term": _term,
    "CompanyCurrency": _currency_row,
    "PaymentMethod": _payment_method,
    "TaxAgency": _tax_agency,
    "TimeActivity": _time_activity,
    "Attachable": _attachable,
}


# Balances ------------------------------------------------------------------------------------------


def agency_account(company: Company, number: int, name: str) -> int:
    """Return the id of the liability account of a tax agency; it is made if missing."""
    setting = f"agency-account:{number}"
    known = company.store.setting(setting)
    if known is not None:
        return int(known)
    from ps_qb_pipeline.sandbox.books.objects import create

    title = f"{name.replace(':', ' ')[:92]} Payable"
    found = company.named("Account", title)
    if found is None:
        sub = "SalesTaxPayable" if company.is_us else "GlobalTaxPayable"
        order = {"Name": title, "AccountType": "Other Current Liability", "AccountSubType": sub}
        found = create(company, ENTITIES["Account"], order)
    company.store.set(setting, int(found["Id"]))
    return int(found["Id"])


def with_balance(company: Company, entity: str, body: Json) -> Json:
    """Return ``body`` with the balance that the ledger gives it, in the object's own currency."""
    scope = {"Account": "A", "Customer": "C", "Vendor": "V"}[entity]
    home, own = company.store.balance(scope, int(body["Id"]))
    foreign = ref(body.get("CurrencyRef")) not in {"", company.home}
    value = Decimal(own if foreign else home).scaleb(-2)
    if entity == "Account":
        shown = value if body["Classification"] in {"Asset", "Expense"} else -value
        return body | {"CurrentBalance": shown, "CurrentBalanceWithSubAccounts": shown}
    if entity == "Vendor":
        return body | {"Balance": -value}
    return body | {"Balance": value, "BalanceWithJobs": value}


def _opening(company: Company, entity: str, number: int, body: Json) -> None:
    entries: list[Entry] = []
    equity = int(company.account("opening")["Id"]) if _opens(entity, body) else 0
    if not equity:
        return
    day = (
        body.get("OpenBalanceDate")
        or body.get("OpeningBalanceDate")
        or body.get("InvStartDate")
        or company.clock.today()
    )
    if entity == "Item":
        value = cents(
            amount((decimal(body.get("QtyOnHand")) or 0) * (decimal(body.get("PurchaseCost")) or 0))
        )
        entries = [
            Entry(int(ref(body["AssetAccountRef"])), value, value, company.home),
            Entry(equity, -value, -value, company.home),
        ]
    elif entity == "Account":
        value = cents(amount(body.get("OpeningBalance")))
        value = value if body["Classification"] in {"Asset", "Expense"} else -value
        entries = [Entry(number, value, value, company.home), Entry(equity, -value, -value, company.home)]
    else:
        code = ref(body.get("CurrencyRef")) or company.home
        scope, role, sign = ("C", "receivable", 1) if entity == "Customer" else ("V", "payable", -1)
        own = sign * cents(amount(body.get("Balance")))
        home = sign * cents(amount((decimal(body.get("Balance")) or 0) * company.rate(code, day)))
        control = int(company.account(role, code)["Id"])
        entries = [
            Entry(control, home, own, code, scope, number, control=True),
            Entry(equity, -home, -own, code),
        ]
    company.store.replace_entries(f"{entity}:opening", number, day, "", entries)


def _opens(entity: str, body: Json) -> bool:
    if entity == "Item":
        return (
            body.get("Type") == "Inventory"
            and bool(decimal(body.get("QtyOnHand")))
            and bool(decimal(body.get("PurchaseCost")))
        )
    field = "OpeningBalance" if entity == "Account" else "Balance"
    return bool(decimal(body.get(field)))
