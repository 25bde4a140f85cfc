"""Making tax codes and rates: the TaxService endpoint and the automated engine's own codes.

What lives here: ``POST taxservice/taxcode`` with its flat answer. What does not: computing tax (``tax``).
"""

from __future__ import annotations

from decimal import Decimal

from ps_qb_pipeline.sandbox.books import faults, schema
from ps_qb_pipeline.sandbox.books.clock import key
from ps_qb_pipeline.sandbox.books.codec import Json, decimal, dumps
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import ENTITIES
from ps_qb_pipeline.sandbox.books.store import Row


def insert(company: Company, entity: str, body: Json, number: int | None = None) -> Json:
    """Store an object that the API itself cannot make (tax codes, rates, the company) and return it."""
    if number is None:
        number = company.store.next(f"id:{entity}", 1)
    now = company.clock.now()
    meta = {"CreateTime": company.clock.company(now), "LastUpdatedTime": company.clock.company(now)}
    whole = body | {"domain": "QBO", "sparse": False, "Id": str(number), "SyncToken": "0", "MetaData": meta}
    row = Row(entity, number, 0, body.get("Active") is not False, False, key(now), key(now), dumps(whole))
    company.write(ENTITIES[entity], row, whole)
    return whole


def create(company: Company, body: Json) -> Json:
    """Carry out a TaxService request: one code over new or existing rates. The answer has no envelope."""
    checked = schema.check("TaxService", body, schema.Checked())
    name = str(checked.get("TaxCode", "")).strip()
    if not name:
        raise faults.required("TaxCode")
    if not checked.get("TaxRateDetails"):
        raise faults.required("TaxRateDetails")
    if company.named("TaxCode", name):
        raise faults.duplicate_name()
    rates = []
    answered = []
    for detail in checked["TaxRateDetails"]:
        rate = _rate(company, detail)
        applicable = detail.get("TaxApplicableOn", "Sales")
        rates.append((rate["Id"], applicable))
        answered.append(
            {
                "TaxRateName": rate["Name"],
                "TaxRateId": rate["Id"],
                "RateValue": rate["RateValue"],
                "TaxAgencyId": rate["AgencyRef"]["value"],
                "TaxApplicableOn": applicable,
            }
        )
    code = make_code(company, name, rates)
    return {"TaxCode": name, "TaxCodeId": code["Id"], "TaxRateDetails": answered}


def _rate(company: Company, detail: Json) -> Json:
    if detail.get("TaxRateId"):
        return company.require("TaxRate", str(detail["TaxRateId"]), "TaxRateId")
    for field in ("TaxRateName", "RateValue", "TaxAgencyId"):
        if field not in detail:
            raise faults.required(field)
    if company.named("TaxRate", detail["TaxRateName"]):
        raise faults.duplicate_name()
    agency = company.require("TaxAgency", str(detail["TaxAgencyId"]), "TaxAgencyId")
    return make_rate(company, detail["TaxRateName"], decimal(detail["RateValue"]) or Decimal(0), agency["Id"])


def make_rate(company: Company, name: str, percent: Decimal, agency: str) -> Json:
    """Store a tax rate, in percent, and return it."""
    since = company.clock.company()
    body = {
        "Name": name,
        "Description": name,
        "Active": True,
        "RateValue": percent,
        "AgencyRef": {"value": agency},
        "SpecialTaxType": "NONE",
        "DisplayType": "ReadOnly",
        "EffectiveTaxRate": [{"RateValue": percent, "EffectiveDate": since}],
    }
    return insert(company, "TaxRate", body)


def make_code(
    company: Company, name: str, rates: list[tuple[str, str]], *, description: str = "", taxable: bool = True
) -> Json:
    """Store a tax code over (rate id, "Sales" or "Purchase") and return it."""
    lists: dict[str, Json] = {}
    for kind in ("Sales", "Purchase"):
        chosen = [ident for ident, applicable in rates if applicable == kind]
        details = []
        for order, ident in enumerate(chosen):
            rate = company.find("TaxRate", ident) or {}
            details.append(
                {
                    "TaxRateRef": {"value": ident, "name": rate.get("Name", "")},
                    "TaxTypeApplicable": "TaxOnAmount",
                    "TaxOrder": order,
                }
            )
        lists[f"{kind}TaxRateList"] = {"TaxRateDetail": details}
    body = {
        "Name": name,
        "Description": description or name,
        "Active": True,
        "Hidden": False,
        "Taxable": taxable,
        "TaxGroup": bool(rates),
        **lists,
    }
    return insert(company, "TaxCode", body)


def pseudo_codes(company: Company) -> list[Json]:
    """Return the codes that only the US has: what a line may carry, and the mark of custom sales tax."""
    made = company.clock.company(company.clock.parse("2025-01-02T09:00:00Z"))
    meta = {"CreateTime": made, "LastUpdatedTime": made}
    rows = [
        ("NON", "Non-taxable sales", False),
        ("TAX", "Taxable sales", True),
        ("CustomSalesTax", "Custom sales tax", True),
    ]
    return [
        {
            "Name": name,
            "Description": text,
            "Active": True,
            "Hidden": name == "CustomSalesTax",
            "Taxable": taxable,
            "TaxGroup": False,
            "domain": "QBO",
            "sparse": False,
            "Id": name,
            "SyncToken": "0",
            "MetaData": meta,
        }
        for name, text, taxable in rows
    ]


def automated_code(company: Company, state: str, percent: Decimal) -> str:
    """Return the id of the automated engine's code for a US state."""
    agency = company.named("TaxAgency", f"{state} Department of Revenue")
    if agency is None:
        from ps_qb_pipeline.sandbox.books.objects import create as create_object

        agency = create_object(
            company, ENTITIES["TaxAgency"], {"DisplayName": f"{state} Department of Revenue"}
        )
    rate = make_rate(company, f"{state} State", percent, agency["Id"])
    return str(make_code(company, f"{state} Automated", [(rate["Id"], "Sales")])["Id"])
