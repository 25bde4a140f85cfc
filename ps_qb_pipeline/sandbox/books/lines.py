"""The lines of a transaction.

What lives here: detail types, ids, quantity times price, bundles, discount, the subtotal line. What
does not: tax (``tax``), which account a line posts to (``postings``).
"""

from __future__ import annotations

from decimal import Decimal

from ps_qb_pipeline.sandbox.books import faults
from ps_qb_pipeline.sandbox.books.codec import Json, amount, decimal, money, ref
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.references import PSEUDO_ITEMS

MOST_LINES = 10_000
MOST_TAXED_LINES = 750
SALE_DETAILS = frozenset(
    {"SalesItemLineDetail", "GroupLineDetail", "DescriptionOnly", "DiscountLineDetail", "SubTotalLineDetail"}
)
PURCHASE_DETAILS = frozenset(
    {"ItemBasedExpenseLineDetail", "AccountBasedExpenseLineDetail", "DescriptionOnly", "TaxLineDetail"}
)
AMOUNT_DETAILS = frozenset(
    {
        "SalesItemLineDetail",
        "ItemBasedExpenseLineDetail",
        "AccountBasedExpenseLineDetail",
        "ReimburseLineDetail",
    }
)
ITEM_DETAILS = ("SalesItemLineDetail", "ItemBasedExpenseLineDetail")
CENT = Decimal("0.01")


def prepare(company: Company, body: Json, details: frozenset[str], before: Json | None) -> Json:
    """Check and complete ``body["Line"]``; return the discount line if there is one, else an empty object."""
    given = [line for line in body.get("Line", []) if line.get("DetailType") != "SubTotalLineDetail"]
    if not given and details is SALE_DETAILS:
        raise faults.required("Line")
    if len(given) > MOST_LINES:
        raise faults.business(f"A transaction may have at most {MOST_LINES} lines.", "Line")
    known = {str(line.get("Id")) for line in (before or {}).get("Line", []) if line.get("Id")}
    highest = max([int(ident) for ident in known if ident.isdigit()] or [0])
    discount: Json = {}
    code = ref(body.get("CurrencyRef"))
    for position, line in enumerate(given, start=1):
        _check(company, line, details, code)
        if line["DetailType"] == "DiscountLineDetail":
            if discount:
                raise faults.business("A transaction may have one discount line.", "Line")
            discount = line
        if str(line.get("Id", "")) not in known:
            highest += 1
            line["Id"] = str(highest)
        line.setdefault("LineNum", position)
    body["Line"] = given
    return discount


def _check(company: Company, line: Json, details: frozenset[str], code: str) -> None:
    kind = line.get("DetailType")
    if not kind:
        raise faults.required("Line.DetailType")
    if kind not in details:
        raise faults.business(
            f"Line.DetailType {kind} is not allowed in this transaction.", "Line.DetailType"
        )
    if kind == "DescriptionOnly":
        line.pop("Amount", None)
        return
    if kind not in {"DiscountLineDetail", "GroupLineDetail"} and kind not in line:
        line[kind] = {}
    if kind == "GroupLineDetail":
        _bundle(company, line, code)
        return
    if kind == "DiscountLineDetail":
        return
    detail = line[kind]
    if kind in ITEM_DETAILS:
        _price(company, line, detail, code)
    if "Amount" not in line:
        raise faults.required("Line.Amount")
    line["Amount"] = amount(line["Amount"])
    if kind == "SalesItemLineDetail":
        _sold(company, line, detail)


def _price(company: Company, line: Json, detail: Json, code: str) -> None:
    quantity, price = decimal(detail.get("Qty")), decimal(detail.get("UnitPrice"))
    if "Amount" not in line and price is not None:
        line["Amount"] = money((1 if quantity is None else quantity) * price, code)
    if quantity is None or price is None or (not quantity and not price and line["Amount"]):
        return  # clients send zeros for what they do not use, and the service takes them for absent
    product = money(quantity * price)
    if amount(line["Amount"]) == money(quantity * price, code):
        return
    allowed = CENT if company.switches.amount_tolerance == "cent" else Decimal(0)
    if abs(product - amount(line["Amount"])) > allowed:
        raise faults.wrong_product(line["Amount"])


def _sold(company: Company, line: Json, detail: Json) -> None:
    item = ref(detail.get("ItemRef"))
    if item in PSEUDO_ITEMS:
        flag = "AllowShipping" if item == "SHIPPING_ITEM_ID" else "AllowEstimates"
        if item == "SHIPPING_ITEM_ID" and not company.preference("SalesFormsPrefs", flag, False):
            raise faults.business("Shipping is not enabled for this company.", "ItemRef")
        return
    if not item:
        if company.switches.line_without_item == "documentation":
            line["Amount"] = Decimal(0)
        else:
            usual = company.named("Item", "Services") or company.named("Item", "Sales")
            if usual is not None:
                detail["ItemRef"] = {"value": usual["Id"], "name": usual["Name"]}
    elif (company.find("Item", item) or {}).get("Type") == "Category":
        raise faults.business("A category cannot be sold.", "ItemRef")
    if line["Amount"] < 0 and company.switches.negative_lines == "refused":
        raise faults.negative("Line.Amount")


def _bundle(company: Company, line: Json, code: str) -> None:
    detail = line.get("GroupLineDetail") or {}
    item = company.require("Item", ref(detail.get("GroupItemRef")), "GroupItemRef")
    quantity = decimal(detail.get("Quantity")) or Decimal(1)
    if not detail.get("Line"):
        parts = item.get("ItemGroupDetail", {}).get("ItemGroupLine", [])
        detail["Line"] = [_part(company, part, quantity) for part in parts]
    for inner in detail["Line"]:
        _check(company, inner, frozenset({"SalesItemLineDetail", "DescriptionOnly"}), code)
    detail["Quantity"] = quantity
    line["GroupLineDetail"] = detail
    line["Amount"] = sum((amount(inner.get("Amount")) for inner in detail["Line"]), Decimal(0))


def _part(company: Company, part: Json, quantity: Decimal) -> Json:
    item = company.require("Item", ref(part.get("ItemRef")), "ItemRef")
    count = quantity * (decimal(part.get("Qty")) or Decimal(1))
    price = decimal(item.get("UnitPrice")) or Decimal(0)
    code = "TAX" if item.get("Taxable") else "NON"
    detail = {"ItemRef": {"value": item["Id"], "name": item["Name"]}, "Qty": count, "UnitPrice": price}
    if company.is_us:
        detail["TaxCodeRef"] = {"value": code}
    return {
        "DetailType": "SalesItemLineDetail",
        "Amount": money(count * price),
        "SalesItemLineDetail": detail,
    }


def leaves(body: Json) -> list[Json]:
    """Return all lines that carry an amount of their own; a bundle's parts instead of the bundle."""
    found: list[Json] = []
    for line in body.get("Line", []):
        kind = line.get("DetailType")
        if kind == "GroupLineDetail":
            found.extend(inner for inner in line["GroupLineDetail"]["Line"] if "Amount" in inner)
        elif kind in AMOUNT_DETAILS and "Amount" in line:
            found.append(line)
    return found


def subtotal(body: Json) -> Decimal:
    """Return the sum of all lines before discount and tax."""
    return sum((amount(line["Amount"]) for line in leaves(body)), Decimal(0))


def apply_discount(company: Company, discount: Json, total: Decimal) -> Decimal:
    """Complete the discount line and return its amount, positive."""
    if not discount:
        return Decimal(0)
    if not company.preference("SalesFormsPrefs", "AllowDiscount", True):
        raise faults.business("Discounts are not enabled for this company.", "Line")
    detail = discount.setdefault("DiscountLineDetail", {})
    percent = decimal(detail.get("DiscountPercent"))
    if detail.get("PercentBased") and percent is not None:
        discount["Amount"] = money(total * percent / 100)
    elif "Amount" not in discount:
        raise faults.discount_incomplete()
    discount["Amount"] = amount(discount["Amount"])
    if not ref(detail.get("DiscountAccountRef")):
        usual = company.preference("SalesFormsPrefs", "DefaultDiscountAccount")
        account = company.find("Account", usual) if usual else None
        account = account or company.account("discount")
        detail["DiscountAccountRef"] = {"value": account["Id"], "name": account["Name"]}
    return amount(discount["Amount"])


def add_subtotal(body: Json, total: Decimal) -> None:
    """Append the read-only subtotal line, which has no id, after the item lines."""
    line = {"Amount": total, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}
    items = [entry for entry in body["Line"] if entry.get("DetailType") != "DiscountLineDetail"]
    discounts = [entry for entry in body["Line"] if entry.get("DetailType") == "DiscountLineDetail"]
    body["Line"] = [*items, line, *discounts]
