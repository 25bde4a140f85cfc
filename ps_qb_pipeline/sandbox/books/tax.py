"""Sales tax, VAT and GST of a transaction.

What lives here: tax per rate from the codes on lines (every country but the US), US sales tax by a group
code or by the automated engine, and what happens to amounts that the client sends. What does not: to
which account tax is posted (``postings``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from decimal import Decimal

from ps_qb_pipeline.sandbox.books import faults
from ps_qb_pipeline.sandbox.books.codec import Json, amount, decimal, money, ref
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.lines import ITEM_DETAILS, MOST_TAXED_LINES, leaves

EXCLUDED, INCLUSIVE, NOT_APPLICABLE = "TaxExcluded", "TaxInclusive", "NotApplicable"
HUNDRED = Decimal(100)

# Combined state rates of the automated engine, in percent; the sandbox knows states, not streets.
STATE_RATES = {
    "AK": "0", "AL": "4", "AR": "6.5", "AZ": "5.6", "CA": "8", "CO": "2.9", "CT": "6.35", "DC": "6", "DE": "0",
    "FL": "6", "GA": "4", "HI": "4", "IA": "6", "ID": "6", "IL": "6.25", "IN": "7", "KS": "6.5", "KY": "6",
    "LA": "4.45", "MA": "6.25", "MD": "6", "ME": "5.5", "MI": "6", "MN": "6.875", "MO": "4.225", "MS": "7",
    "MT": "0", "NC": "4.75", "ND": "5", "NE": "5.5", "NH": "0", "NJ": "6.625", "NM": "5.125", "NV": "6.85",
    "NY": "4", "OH": "5.75", "OK": "4.5", "OR": "0", "PA": "6", "RI": "7", "SC": "6", "SD": "4.5", "TN": "7",
    "TX": "6.25", "UT": "4.85", "VA": "5.3", "VT": "6", "WA": "6.5", "WI": "5", "WV": "6", "WY": "4",
}  # fmt: skip


@dataclass(slots=True)
class Rated:
    """What one rate taxes: its base, and for inclusive amounts the gross that holds base and tax."""

    ident: str
    percent: Decimal
    base: Decimal = Decimal(0)
    on_tax: bool = False
    tax: Decimal = Decimal(0)
    overridden: bool = field(default=False)


def rates_of(company: Company, code: str, *, purchase: bool) -> list[Rated]:
    """Return the rates of a tax code in their order."""
    found = company.require("TaxCode", code, "TaxCodeRef")
    listed = found.get("PurchaseTaxRateList" if purchase else "SalesTaxRateList", {}).get("TaxRateDetail", [])
    rates = []
    for detail in sorted(listed, key=lambda entry: entry.get("TaxOrder", 0)):
        rate = company.require("TaxRate", ref(detail["TaxRateRef"]), "TaxRateRef")
        on_tax = detail.get("TaxTypeApplicable") == "TaxOnAmountPlusTax"
        rates.append(Rated(rate["Id"], decimal(rate.get("RateValue")) or Decimal(0), on_tax=on_tax))
    return rates


def apply(company: Company, body: Json, discount: Decimal, *, purchase: bool) -> Decimal:
    """Complete the tax of ``body`` and return its sum."""
    if company.is_us:
        return Decimal(0) if purchase else _us(company, body, discount)
    return _global(company, body, discount, purchase=purchase)


# Everywhere but the US -----------------------------------------------------------------------------


def _global(company: Company, body: Json, discount: Decimal, *, purchase: bool) -> Decimal:
    mode = body.get("GlobalTaxCalculation") or (EXCLUDED if company.uses_tax else NOT_APPLICABLE)
    sent = body.pop("TxnTaxDetail", None) or {}
    if mode == NOT_APPLICABLE or not company.uses_tax:
        if mode == NOT_APPLICABLE and (sent.get("TaxLine") or decimal(sent.get("TotalTax"))):
            raise faults.tax_detail_not_applicable()
        body["GlobalTaxCalculation"] = NOT_APPLICABLE
        return Decimal(0)
    body["GlobalTaxCalculation"] = mode
    taxed = _coded(company, body)
    if mode == INCLUSIVE:
        _net_of_gross(company, taxed, purchase=purchase)
    code = ref(body.get("CurrencyRef"))
    rates = _bases(company, taxed, discount, purchase=purchase)
    for rate in rates.values():
        rate.tax = money(rate.base * rate.percent / HUNDRED, code)
    if company.switches.tax_rounding == "per_line":
        _by_line(company, taxed, discount, rates, purchase=purchase)
    if mode == INCLUSIVE:
        _tax_of_gross(company, taxed, rates, purchase=purchase)
    _override(company, rates, sent)
    return _write(body, rates.values(), sent)


def _coded(company: Company, body: Json) -> list[tuple[Json, Json, str]]:
    """Return (line, detail, code) of every line; refuse a line without a code."""
    found = []
    for line in leaves(body):
        detail = line.get(line["DetailType"]) or {}
        code = ref(detail.get("TaxCodeRef"))
        if not code and line["Amount"] != 0:
            raise faults.business(
                "Make sure all your transactions have a GST/VAT rate before you save.", "TaxCodeRef"
            )
        if code:
            found.append((line, detail, code))
    del company
    _refuse_too_many(found, body)
    return found


def _refuse_too_many(taxed: Sized, body: Json) -> None:
    if len(taxed) > MOST_TAXED_LINES and "DueDate" in body:
        raise faults.business(f"A taxable invoice may have at most {MOST_TAXED_LINES} lines.", "Line")


def _bases(
    company: Company, taxed: list[tuple[Json, Json, str]], discount: Decimal, *, purchase: bool
) -> dict[str, Rated]:
    total = sum((amount(line["Amount"]) for line, _, _ in taxed), Decimal(0))
    by_code: dict[str, Decimal] = {}
    for line, _, code in taxed:
        by_code[code] = by_code.get(code, Decimal(0)) + amount(line["Amount"])
    if discount and total:
        by_code = _less(by_code, discount, total)
    rates: dict[str, Rated] = {}
    for code, base in by_code.items():
        before = Decimal(0)
        for rate in rates_of(company, code, purchase=purchase):
            kept = rates.setdefault(rate.ident, rate)
            own = base + before if rate.on_tax else base
            kept.base += own
            before += money(own * rate.percent / HUNDRED)
    return rates


def _by_line(
    company: Company,
    taxed: list[tuple[Json, Json, str]],
    discount: Decimal,
    rates: dict[str, Rated],
    *,
    purchase: bool,
) -> None:
    """Make the tax of every rate the sum of what each line owes, rounded line by line."""
    total = sum((amount(line["Amount"]) for line, _, _ in taxed), Decimal(0))
    kept = (total - discount) / total if total else Decimal(1)
    for rate in rates.values():
        rate.tax = Decimal(0)
    for line, _, code in taxed:
        before = Decimal(0)
        for rate in rates_of(company, code, purchase=purchase):
            base = amount(line["Amount"]) * kept
            owed = money((base + before if rate.on_tax else base) * rate.percent / HUNDRED)
            rates[rate.ident].tax += owed
            before += owed


def _less(by_code: dict[str, Decimal], discount: Decimal, total: Decimal) -> dict[str, Decimal]:
    left = discount
    reduced = dict(by_code)
    for code in list(by_code)[:-1]:
        share = money(discount * by_code[code] / total)
        reduced[code] -= share
        left -= share
    reduced[list(by_code)[-1]] -= left
    return reduced


def _percent(company: Company, code: str, *, purchase: bool) -> Decimal:
    whole = Decimal(0)
    for rate in rates_of(company, code, purchase=purchase):
        whole += rate.percent * (1 + whole / HUNDRED) if rate.on_tax else rate.percent
    return whole


def _net_of_gross(company: Company, taxed: list[tuple[Json, Json, str]], *, purchase: bool) -> None:
    """Give every line its gross and net: the gross is what was sent, or the net sent plus its tax."""
    for line, detail, code in taxed:
        percent = _percent(company, code, purchase=purchase)
        gross = decimal(detail.get("TaxInclusiveAmt"))
        if gross is None:
            detail["TaxInclusiveAmt"] = money(amount(line["Amount"]) * (HUNDRED + percent) / HUNDRED)
        else:
            detail["TaxInclusiveAmt"] = money(gross)
            line["Amount"] = money(gross * HUNDRED / (HUNDRED + percent))
            if line["DetailType"] in ITEM_DETAILS and decimal(detail.get("Qty")):
                detail["UnitPrice"] = (line["Amount"] / (decimal(detail["Qty"]) or 1)).quantize(
                    Decimal("0.0000001")
                )


def _tax_of_gross(
    company: Company, taxed: list[tuple[Json, Json, str]], rates: dict[str, Rated], *, purchase: bool
) -> None:
    """Make net plus tax equal gross, code by code: the tax of a code is its gross less its net lines."""
    by_code: dict[str, Decimal] = {}
    for line, detail, code in taxed:
        by_code[code] = (
            by_code.get(code, Decimal(0)) + amount(detail["TaxInclusiveAmt"]) - amount(line["Amount"])
        )
    for rate in rates.values():
        rate.tax = Decimal(0)
    for code, held in by_code.items():
        own = rates_of(company, code, purchase=purchase)
        whole = sum((rate.percent for rate in own), Decimal(0))
        left = held
        for rate in own[:-1]:
            share = money(held * rate.percent / whole) if whole else Decimal(0)
            rates[rate.ident].tax += share
            left -= share
        if own:
            rates[own[-1].ident].tax += left


def _override(company: Company, rates: dict[str, Rated], sent: Json) -> None:
    lines = sent.get("TaxLine") or []
    for line in lines:
        ident = ref(line.get("TaxLineDetail", {}).get("TaxRateRef"))
        if ident and ident not in rates:
            raise faults.tax_rate_foreign(ident)
        if ident and company.switches.tax_override == "honoured" and "Amount" in line:
            rates[ident].tax = amount(line["Amount"])
            rates[ident].overridden = True
    total = decimal(sent.get("TotalTax"))
    if total is None or lines or not rates or company.switches.tax_override != "honoured":
        return
    _spread(list(rates.values()), money(total))


def _spread(rates: list[Rated], total: Decimal) -> None:
    """Share an explicit sum of tax over the rates in proportion to what they would be."""
    whole = sum((rate.tax for rate in rates), Decimal(0))
    left = total
    for rate in rates[:-1]:
        rate.tax = money(total * rate.tax / whole) if whole else Decimal(0)
        left -= rate.tax
    rates[-1].tax = left


def _write(body: Json, rates: Iterable[Rated], sent: Json) -> Decimal:
    listed = list(rates)
    total = sum((rate.tax for rate in listed), Decimal(0))
    detail: Json = {"TotalTax": total}
    if "TxnTaxCodeRef" in sent:
        detail["TxnTaxCodeRef"] = sent["TxnTaxCodeRef"]
    detail["TaxLine"] = [_tax_line(rate) for rate in listed]
    body["TxnTaxDetail"] = detail
    return total


def _tax_line(rate: Rated) -> Json:
    return {
        "Amount": rate.tax,
        "DetailType": "TaxLineDetail",
        "TaxLineDetail": {
            "TaxRateRef": {"value": rate.ident},
            "PercentBased": True,
            "TaxPercent": rate.percent,
            "NetAmountTaxable": rate.base,
        },
    }


# The US --------------------------------------------------------------------------------------------


def _us(company: Company, body: Json, discount: Decimal) -> Decimal:
    sent = body.pop("TxnTaxDetail", None) or {}
    body.pop("GlobalTaxCalculation", None)
    automated = bool(company.preference("TaxPrefs", "PartnerTaxEnabled", False))
    customer = (
        company.find("Customer", ref(body.get("CustomerRef"))) if ref(body.get("CustomerRef")) else None
    )
    exempt = customer is not None and customer.get("Taxable") is False
    base = Decimal(0)
    taxed = []
    for line in leaves(body):
        detail = line.get(line["DetailType"]) or {}
        code = ref(detail.get("TaxCodeRef")) or ("TAX" if automated else "NON")
        if code not in {"TAX", "NON"}:
            raise faults.us_tax_code(code)
        if line["DetailType"] == "SalesItemLineDetail":
            detail["TaxCodeRef"] = {"value": code}
        if code == "TAX":
            taxed.append(line)
        if code == "TAX" and not (automated and exempt):
            base += amount(line["Amount"])
    _refuse_too_many(taxed, body)
    body.setdefault("ApplyTaxAfterDiscount", False)
    if not company.uses_tax:
        return Decimal(0)
    if discount and body["ApplyTaxAfterDiscount"]:
        base = max(base - discount, Decimal(0))
    code = _automated_code(company, body) if automated else ref(sent.get("TxnTaxCodeRef"))
    rates = rates_of(company, code, purchase=False) if code else []
    for rate in rates:
        rate.base = base
        rate.tax = money(base * rate.percent / HUNDRED)
    computed = sum((rate.tax for rate in rates), Decimal(0))
    _us_override(company, rates, sent)
    total = _write(body, rates, {})
    if code:
        body["TxnTaxDetail"]["TxnTaxCodeRef"] = {"value": code}
    if automated and total != computed:
        body["TxnTaxDetail"]["TaxReviewStatus"] = "AST_TAX_OVERRIDE"
        for line in body["TxnTaxDetail"]["TaxLine"][:1]:
            line["TaxLineDetail"]["OverrideDeltaAmount"] = total - computed
    return total


def _us_override(company: Company, rates: list[Rated], sent: Json) -> None:
    if company.switches.tax_override != "honoured":
        return
    total = decimal(sent.get("TotalTax"))
    lines = [line for line in sent.get("TaxLine") or [] if "Amount" in line]
    if total is None and lines:
        total = sum((amount(line["Amount"]) for line in lines), Decimal(0))
    if total is None:
        return
    if rates:
        _spread(rates, money(total))
    elif total:
        raise faults.business("The tax amount needs a sales tax rate.", "TxnTaxDetail")


def _automated_code(company: Company, body: Json) -> str:
    """Return the tax code of the ship-to state (else bill-to, else the company's); it is made on first use."""
    home = (company.find("CompanyInfo", 1) or {}).get("CompanyAddr", {})
    state = ""
    for address in (body.get("ShipAddr"), body.get("BillAddr"), home):
        state = str((address or {}).get("CountrySubDivisionCode", "")).upper()
        if state in STATE_RATES:
            break
    if state not in STATE_RATES:
        state = "CA"
    known = company.store.setting(f"ast:{state}")
    if known is not None:
        return str(known)
    from ps_qb_pipeline.sandbox.books.taxservice import automated_code

    code = automated_code(company, state, Decimal(STATE_RATES[state]))
    company.store.set(f"ast:{state}", code)
    return code
