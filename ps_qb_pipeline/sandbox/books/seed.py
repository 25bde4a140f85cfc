"""A new company as Intuit gives one to a developer: accounts, names, items, taxes.

What lives here: filling an empty store from ``data/companies.json``. What does not: documents; a new
company's books are empty but for the stock that its inventory items open with.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from ps_qb_pipeline.sandbox.books import extras, objects, taxservice
from ps_qb_pipeline.sandbox.books.clock import Clock
from ps_qb_pipeline.sandbox.books.codec import Json
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import ENTITIES
from ps_qb_pipeline.sandbox.books.references import CURRENCY_NAMES
from ps_qb_pipeline.sandbox.books.store import Store
from ps_qb_pipeline.sandbox.books.switches import Switches

COMPANIES = ("us", "gb", "ca", "ie")
BORN = datetime(2025, 1, 2, 9, 0, tzinfo=UTC)
ISO3 = {"US": "USA", "GB": "GBR", "CA": "CAN", "IE": "IRL"}
STOCK_DATE = "2025-01-01"


@cache
def _facts() -> Json:
    text = files("ps_qb_pipeline.sandbox.books").joinpath("data/companies.json").read_text(encoding="utf-8")
    facts: Json = json.loads(text)
    return facts


def open_company(store: Store, country: str, realm: str) -> Company:
    """Return the company in ``store``; an empty store is filled with a new one of ``country`` first.

    Raises ValueError for a country that the sandbox does not have, or another one than the store holds.
    """
    if country not in COMPANIES:
        raise ValueError(f"{country} is no company of the sandbox; there are {', '.join(COMPANIES)}")
    held = store.setting("country")
    if held not in {None, country}:
        raise ValueError(f"the file holds a company of {held}, not of {country}")
    facts = _facts()["companies"][country]
    clock = Clock(facts["zone"], offset=store.setting("clock_offset", 0.0))
    company = Company(store, clock, realm, country, facts["home"])
    switches = Switches()
    switches.change(store.setting("switches", {}))
    company.switches = switches
    if held is None:
        clock.frozen = BORN
        with store.transaction():
            _fill(company, facts, _facts()["common"])
            store.set("country", country)
        clock.frozen = None
        company.events.clear()
    return company


def _fill(company: Company, facts: Json, common: Json) -> None:
    _settings(company, facts)
    accounts = _accounts(company, common["accounts"])
    for name, days in common["terms"]:
        objects.create(company, ENTITIES["Term"], {"Name": name, "DueDays": days})
    for name, kind in common["payment_methods"]:
        objects.create(company, ENTITIES["PaymentMethod"], {"Name": name, "Type": kind})
    _taxes(company, facts)
    _point_settings(company)
    _currencies(company, facts)
    _names(company, facts, common)
    for row in common["items"]:
        _item(company, accounts, row)
    for name in ("Retail", "Trade"):
        taxservice.insert(company, "CustomerType", {"Name": name, "Active": True})
    if facts["sample_documents"]:
        made: dict[str, list[str]] = {}
        for row in common["documents"]:
            _document(company, accounts, made, row)


def _settings(company: Company, facts: Json) -> None:
    # Since October 2025 the company's own addresses name their country in three letters.
    address = facts["address"] | {"Country": ISO3[facts["country"]]}
    info: Json = {
        "CompanyName": facts["name"],
        "LegalName": facts["name"],
        "CompanyAddr": address,
        "CustomerCommunicationAddr": address,
        "LegalAddr": address,
        "CustomerCommunicationEmailAddr": {"Address": "noreply@example.com"},
        "Email": {"Address": "noreply@example.com"},
        "PrimaryPhone": {},
        "CompanyStartDate": "2025-01-01",
        "FiscalYearStartMonth": "January",
        "Country": facts["country"],
        "WebAddr": {},
        "SupportedLanguages": "en",
        "DefaultTimeZone": facts["zone"],
        "NameValue": [
            {"Name": "NeoEnabled", "Value": "true"},
            {"Name": "IndustryType", "Value": "Retail"},
            {"Name": "CompanyType", "Value": "Sole Proprietor"},
            {"Name": "SubscriptionStatus", "Value": "SUBSCRIBED"},
            {"Name": "OfferingSku", "Value": "QuickBooks Online Plus"},
            {"Name": "PayrollFeature", "Value": "false"},
            {"Name": "ItemCategoriesFeature", "Value": "true"},
        ],
    }
    taxservice.insert(company, "CompanyInfo", info, 1)
    taxservice.insert(company, "Preferences", _preferences(company, facts), 1)


def _preferences(company: Company, facts: Json) -> Json:
    tax: Json = {"UsingSalesTax": True}
    if company.is_us:
        tax |= {"PartnerTaxEnabled": True}
    home = {"value": company.home, "name": CURRENCY_NAMES[company.home]}
    return {
        "AccountingInfoPrefs": {
            "UseAccountNumbers": False,
            "TrackDepartments": True,
            "ClassTrackingPerTxn": False,
            "ClassTrackingPerTxnLine": True,
            "FirstMonthOfFiscalYear": "January",
            "TaxYearMonth": "January",
            "TaxForm": "6",
            "CustomerTerminology": "Customers",
            "DepartmentTerminology": "Location",
        },
        "ProductAndServicesPrefs": {
            "ForSales": True,
            "ForPurchase": True,
            "QuantityWithPriceAndRate": True,
            "QuantityOnHand": True,
        },
        "SalesFormsPrefs": {
            "CustomField": [],
            "CustomTxnNumbers": bool(facts["custom_numbers"]),
            "AllowDeposit": True,
            "AllowDiscount": True,
            "AllowEstimates": True,
            "AllowServiceDate": False,
            "AllowShipping": True,
            "AutoApplyCredit": False,
            "AutoApplyPayments": False,
            "DefaultTerms": {"value": "4"},
            "IPNSupportEnabled": False,
            "ETransactionPaymentEnabled": False,
            "ETransactionAttachPDF": False,
            "EmailCopyToCompany": False,
        },
        "EmailMessagesPrefs": {
            f"{form}Message": {"Subject": f"{form} from the sandbox", "Message": "Your document is attached."}
            for form in ("Invoice", "Estimate", "SalesReceipt", "Statement")
        },
        "VendorAndPurchasesPrefs": {
            "TrackingByCustomer": True,
            "BillableExpenseTracking": True,
            "POCustomField": [],
        },
        "TimeTrackingPrefs": {
            "UseServices": True,
            "BillCustomers": True,
            "ShowBillRateToAll": False,
            "WorkWeekStartDate": "Monday",
        },
        "TaxPrefs": tax,
        "CurrencyPrefs": {"MultiCurrencyEnabled": bool(facts["multicurrency"]), "HomeCurrency": home},
        "ReportPrefs": {"ReportBasis": "Accrual", "CalcAgingReportFromTxnDate": False},
        "OtherPrefs": {
            "NameValue": [
                {"Name": "SalesFormsPrefs.DefaultCustomerMessage", "Value": "Thank you for your business."}
            ]
        },
    }


def _accounts(company: Company, table: list[list[Any]]) -> dict[str, str]:
    made: dict[str, str] = {}
    for number, full, kind, sub in table:
        parent, _, name = full.rpartition(":")
        body: Json = {"Name": name, "AccountType": kind, "AccountSubType": sub}
        if parent:
            body |= {"SubAccount": True, "ParentRef": {"value": made[parent]}}
        made[full] = objects.create(company, ENTITIES["Account"], body, number=number)["Id"]
    return made


def _taxes(company: Company, facts: Json) -> None:
    agencies = [
        objects.create(company, ENTITIES["TaxAgency"], {"DisplayName": name})["Id"]
        for name in facts["agencies"]
    ]
    rates: dict[str, str] = {}
    for name, details in facts["codes"]:
        chosen = []
        for title, applicable, *rest in details:
            if title.startswith("@"):
                chosen.append((rates[title[1:]], applicable))
                continue
            agency = agencies[rest[1] if len(rest) > 1 else 0]
            rates[title] = taxservice.make_rate(company, title, Decimal(str(rest[0])), agency)["Id"]
            chosen.append((rates[title], applicable))
        taxservice.make_code(company, name, chosen)


def _point_settings(company: Company) -> None:
    """Let the settings name the accounts and the tax code that exist only now."""
    settings = dict(company.preferences())
    settings["SalesFormsPrefs"] = settings["SalesFormsPrefs"] | {
        "DefaultDiscountAccount": company.account("discount")["Id"],
        "DefaultShippingAccount": company.account("shipping")["Id"],
    }
    group = company.find("TaxCode", 1)
    if company.is_us and group is not None:
        settings["TaxPrefs"] = settings["TaxPrefs"] | {"TaxGroupCodeRef": {"value": group["Id"]}}
    company.patch("Preferences", 1, settings, touched=False)


def _currencies(company: Company, facts: Json) -> None:
    for code, name in CURRENCY_NAMES.items():
        taxservice.insert(company, "Currency", {"Code": code, "Name": name, "Active": True})
    if not facts["multicurrency"]:
        return
    for code in facts["currencies"]:
        objects.create(company, ENTITIES["CompanyCurrency"], {"Code": code, "Name": CURRENCY_NAMES[code]})
    for code, rate in facts.get("rates", {}).items():
        extras.SAVE["ExchangeRate"](
            company, {"SourceCurrencyCode": code, "Rate": Decimal(rate), "AsOfDate": "2025-01-01"}
        )


def _names(company: Company, facts: Json, common: Json) -> None:
    address: dict[str, Any] = {name: value for name, value in facts["address"].items() if name != "Id"}
    for position, (title, given, family) in enumerate(facts["customers"], start=1):
        body: Json = {
            "DisplayName": title,
            "CompanyName": title,
            "GivenName": given,
            "FamilyName": family,
            "PrimaryEmailAddr": {"Address": f"{given.lower()}@example.com"},
            "PrimaryPhone": {"FreeFormNumber": "555-0100"},
            "BillAddr": dict(address),
            "Taxable": position not in facts["exempt_customers"],
        }
        objects.create(company, ENTITIES["Customer"], body)
    for title in facts["vendors"]:
        objects.create(
            company,
            ENTITIES["Vendor"],
            {"DisplayName": title, "CompanyName": title, "BillAddr": dict(address)},
        )
    for given, family in common["employees"]:
        objects.create(company, ENTITIES["Employee"], {"GivenName": given, "FamilyName": family})


def _item(company: Company, accounts: dict[str, str], row: list[Any]) -> None:
    number, name, kind, account, text, price, stock = row
    body: Json = {
        "Name": name,
        "Type": kind,
        "Description": text,
        "UnitPrice": Decimal(str(price)),
        "IncomeAccountRef": {"value": accounts[account]},
        "Taxable": kind != "Service",
    }
    if stock is not None:
        cost, quantity = stock
        body |= {
            "TrackQtyOnHand": True,
            "QtyOnHand": Decimal(str(quantity)),
            "PurchaseCost": Decimal(str(cost)),
            "InvStartDate": STOCK_DATE,
            "ExpenseAccountRef": {"value": accounts["Cost of Goods Sold"]},
            "AssetAccountRef": {"value": accounts["Inventory Asset"]},
        }
    objects.create(company, ENTITIES["Item"], body, number=number)


# Sample documents ----------------------------------------------------------------------------------


def _document(company: Company, accounts: dict[str, str], made: dict[str, list[str]], row: list[Any]) -> None:
    """Make one sample document; ``made`` holds the ids of those before it, so that payments find them."""
    kind, day, party, about, value = row
    body = _SAMPLES[kind](accounts, made, str(party), about, value) | {"TxnDate": day}
    made.setdefault(kind, []).append(objects.create(company, ENTITIES[kind], body)["Id"])


def _sold(accounts: dict[str, str], made: dict[str, list[str]], party: str, item: int, value: int) -> Json:
    del accounts, made
    detail = {"ItemRef": {"value": str(item)}, "TaxCodeRef": {"value": "NON"}}
    line = {"Amount": value, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": detail}
    return {"CustomerRef": {"value": party}, "Line": [line]}


def _paid(accounts: dict[str, str], made: dict[str, list[str]], party: str, invoice: int, value: int) -> Json:
    del accounts
    link = {"TxnId": made["Invoice"][invoice - 1], "TxnType": "Invoice"}
    return {
        "CustomerRef": {"value": party},
        "TotalAmt": value,
        "Line": [{"Amount": value, "LinkedTxn": [link]}],
    }


def _spent(account: str, value: int) -> list[Json]:
    detail = {"AccountRef": {"value": account}}
    return [
        {
            "Amount": value,
            "DetailType": "AccountBasedExpenseLineDetail",
            "AccountBasedExpenseLineDetail": detail,
        }
    ]


def _billed(
    accounts: dict[str, str], made: dict[str, list[str]], party: str, account: str, value: int
) -> Json:
    del made
    return {"VendorRef": {"value": _vendor(party)}, "Line": _spent(accounts[account], value)}


def _vendor(position: str) -> str:
    return str(int(position) + 12)


def _bill_paid(
    accounts: dict[str, str], made: dict[str, list[str]], party: str, bill: int, value: int
) -> Json:
    link = {"TxnId": made["Bill"][bill - 1], "TxnType": "Bill"}
    return {
        "VendorRef": {"value": _vendor(party)},
        "PayType": "Check",
        "CheckPayment": {"BankAccountRef": {"value": accounts["Checking"]}},
        "TotalAmt": value,
        "Line": [{"Amount": value, "LinkedTxn": [link]}],
    }


def _bought(
    accounts: dict[str, str], made: dict[str, list[str]], party: str, account: str, value: int
) -> Json:
    del made
    return {
        "PaymentType": "Cash",
        "AccountRef": {"value": accounts["Checking"]},
        "EntityRef": {"value": _vendor(party), "type": "Vendor"},
        "Line": _spent(accounts[account], value),
    }


def _written_off(
    accounts: dict[str, str], made: dict[str, list[str]], party: str, account: str, value: int
) -> Json:
    del made, party
    sides = [("Debit", accounts[account]), ("Credit", accounts["Truck:Depreciation"])]
    lines = [
        {
            "Amount": value,
            "DetailType": "JournalEntryLineDetail",
            "JournalEntryLineDetail": {"PostingType": side, "AccountRef": {"value": ident}},
        }
        for side, ident in sides
    ]
    return {"Line": lines}


def _moved(accounts: dict[str, str], made: dict[str, list[str]], party: str, about: str, value: int) -> Json:
    del made, party, about
    return {
        "FromAccountRef": {"value": accounts["Checking"]},
        "ToAccountRef": {"value": accounts["Savings"]},
        "Amount": value,
    }


_SAMPLES: dict[str, Callable[[dict[str, str], dict[str, list[str]], str, Any, int], Json]] = {
    "Invoice": _sold,
    "SalesReceipt": _sold,
    "Estimate": _sold,
    "CreditMemo": _sold,
    "Payment": _paid,
    "Bill": _billed,
    "BillPayment": _bill_paid,
    "Purchase": _bought,
    "JournalEntry": _written_off,
    "Transfer": _moved,
}
