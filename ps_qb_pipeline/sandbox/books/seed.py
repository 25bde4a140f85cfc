"""A new company as Intuit gives one to a developer: accounts, names, items, taxes.

What lives here: filling an empty store from ``data/companies.json``. What does not: documents; a new
company's books are empty but for the stock that its inventory items open with.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from ps_qb_pipeline.sandbox.books import objects, taxservice
from ps_qb_pipeline.sandbox.books.clock import Clock
from ps_qb_pipeline.sandbox.books.codec import Json
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import ENTITIES
from ps_qb_pipeline.sandbox.books.references import CURRENCY_NAMES
from ps_qb_pipeline.sandbox.books.store import Store
from ps_qb_pipeline.sandbox.books.switches import Switches

COMPANIES = ("us", "gb", "ca", "ie")
BORN = datetime(2025, 1, 2, 9, 0, tzinfo=UTC)
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
    _currencies(company, facts)
    _names(company, facts, common)
    for name, kind, account, text, price, stock in common["items"]:
        _item(company, accounts, (name, kind, account, text, price, stock))
    for name in ("Retail", "Trade"):
        taxservice.insert(company, "CustomerType", {"Name": name, "Active": True})


def _settings(company: Company, facts: Json) -> None:
    address = facts["address"]
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
            "AllowShipping": company.is_us,
            "AutoApplyCredit": False,
            "AutoApplyPayments": False,
            "DefaultTerms": {"value": "4"},
            "IPNSupportEnabled": False,
            "ETransactionPaymentEnabled": False,
            "ETransactionAttachPDF": False,
            "EmailCopyToCompany": False,
        },
        "EmailMessagesPrefs": {
            "InvoiceMessage": {"Subject": "Invoice from the sandbox", "Message": "Your invoice is attached."},
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


def _accounts(company: Company, table: list[list[str]]) -> dict[str, str]:
    made: dict[str, str] = {}
    for full, kind, sub in table:
        parent, _, name = full.rpartition(":")
        body: Json = {"Name": name, "AccountType": kind, "AccountSubType": sub}
        if parent:
            body |= {"SubAccount": True, "ParentRef": {"value": made[parent]}}
        made[full] = objects.create(company, ENTITIES["Account"], body)["Id"]
    return made


def _taxes(company: Company, facts: Json) -> None:
    agencies = [
        objects.create(company, ENTITIES["TaxAgency"], {"DisplayName": name})["Id"]
        for name in facts["agencies"]
    ]
    if company.is_us:
        return
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


def _currencies(company: Company, facts: Json) -> None:
    for code, name in CURRENCY_NAMES.items():
        taxservice.insert(company, "Currency", {"Code": code, "Name": name, "Active": True})
    if not facts["multicurrency"]:
        return
    from ps_qb_pipeline.sandbox.books import extras

    for code, rate in facts.get("rates", {}).items():
        extras.SAVE["ExchangeRate"](
            company, {"SourceCurrencyCode": code, "Rate": Decimal(rate), "AsOfDate": "2025-01-01"}
        )


def _names(company: Company, facts: Json, common: Json) -> None:
    address: dict[str, Any] = {name: value for name, value in facts["address"].items() if name != "Id"}
    for title, given, family in facts["customers"]:
        body: Json = {
            "DisplayName": title,
            "CompanyName": title,
            "GivenName": given,
            "FamilyName": family,
            "PrimaryEmailAddr": {"Address": f"{given.lower()}@example.com"},
            "PrimaryPhone": {"FreeFormNumber": "555-0100"},
            "BillAddr": dict(address),
            "Taxable": True,
        }
        objects.create(company, ENTITIES["Customer"], body)
    for (title,) in facts["vendors"]:
        objects.create(
            company,
            ENTITIES["Vendor"],
            {"DisplayName": title, "CompanyName": title, "BillAddr": dict(address)},
        )
    for given, family in common["employees"]:
        objects.create(company, ENTITIES["Employee"], {"GivenName": given, "FamilyName": family})


def _item(
    company: Company, accounts: dict[str, str], row: tuple[str, str, str, str, float, list[float] | None]
) -> None:
    name, kind, account, text, price, stock = row
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
    objects.create(company, ENTITIES["Item"], body)
