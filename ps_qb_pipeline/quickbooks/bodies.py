"""Documents, customers and items as the bytes that QuickBooks receives.

What lives here: the layout of each entity's request body. What does not: amounts (``accounting``
has decided them all), ids (``references``) and sending (``client``). The same document with the same
names always gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting.documents import Customer, Document, Item, Line, PostalAddress
from ps_qb_pipeline.quickbooks import texts
from ps_qb_pipeline.quickbooks.references import References, UnknownName

Body = dict[str, Any]


def body(document: Document, names: References) -> bytes:
    """The frozen bytes that create this document.

    Raises UnknownName when the company lacks something that the document names.
    """
    return texts.canonical(layout(document, names))


def layout(document: Document, names: References) -> Body:
    """The same as a mapping; amounts are Decimal."""
    return _LAYOUTS[document.type](document, names)


def customer_body(customer: Customer, names: References) -> bytes:
    """The frozen bytes that create this customer; what QuickBooks' fields cannot hold goes to its notes."""
    notes: list[str] = []

    def fitting(field: str, value: str, limit: int) -> str:
        if not value:
            return ""
        cleaned = texts.name_text(value, limit)
        if cleaned != value.strip():
            notes.append(f"{field}: {value.strip()}")
        return cleaned

    email = texts.email_text(customer.email)
    if customer.email and not email:
        notes.append(f"E-mail: {customer.email}")
    phone = texts.line_text(customer.phone, texts.NOTES_LENGTH)
    if len(phone) > texts.PHONE_LENGTH:
        notes.append(f"Phone: {phone}")
        phone = ""
    content = {
        "DisplayName": fitting("Name", customer.display_name, texts.DISPLAY_NAME_LENGTH),
        "GivenName": fitting("Given name", customer.given_name, texts.NAME_LENGTH),
        "FamilyName": fitting("Family name", customer.family_name, texts.NAME_LENGTH),
        "CompanyName": fitting("Company", customer.company, texts.NAME_LENGTH),
        "PrimaryEmailAddr": {"Address": email} if email else None,
        "PrimaryPhone": {"FreeFormNumber": phone} if phone else None,
        "PrimaryTaxIdentifier": texts.line_text(customer.vat_number, texts.REFERENCE_LENGTH),
        "CurrencyRef": _currency(customer.currency, names),
        "BillAddr": _address(customer.billing),
        "ShipAddr": _address(customer.shipping),
        "Notes": texts.free_text("\n".join(notes), texts.NOTES_LENGTH),
    }
    return texts.canonical(_filled(content))


def item_name(item: Item) -> str:
    """The name under which an item is kept in QuickBooks."""
    return texts.name_text(item.name or item.sku or item.key, texts.NAME_LENGTH, forbidden=':"')


def item_body(item: Item, names: References) -> bytes:
    """The frozen bytes that create this item; a name or SKU that had to be cut stands in its description."""
    name = item_name(item)
    sku = texts.name_text(item.sku, texts.NAME_LENGTH, forbidden="") if item.sku else ""
    kept = [value for value, cut in ((item.name, name), (item.sku, sku)) if value and value.strip() != cut]
    content = {
        "Name": name,
        "Sku": sku,
        "Type": item.type,
        "IncomeAccountRef": _ref(names.account(item.income_account)),
        "Description": texts.free_text("\n".join(kept), texts.DESCRIPTION_LENGTH),
    }
    return texts.canonical(_filled(content))


# -- entities ----------------------------------------------------------------------------------


def _common(document: Document, names: References) -> Body:
    return {
        "DocNumber": document.doc_number[: texts.DOC_NUMBER_LENGTH],
        "TxnDate": _day(document.txn_date),
        "CurrencyRef": _currency(document.currency, names),
        "ExchangeRate": document.exchange_rate if document.currency != names.home_currency else None,
        "PrivateNote": texts.free_text(document.private_note, texts.PRIVATE_NOTE_LENGTH),
        "DepartmentRef": _ref(names.department(document.location)) if document.location else None,
    }


def _sale(document: Document, names: References) -> Body:
    """SalesReceipt, Invoice, RefundReceipt and CreditMemo."""
    method = names.payment_method(document.payment_method) if document.payment_method else None
    deposits = document.type in {"SalesReceipt", "RefundReceipt"}
    content = {
        **_common(document, names),
        "CustomerRef": _ref(names.customer(document.customer_key, document.customer_name)),
        "CustomerMemo": _memo(document.memo),
        "GlobalTaxCalculation": document.global_tax,
        "ClassRef": _class(document, names, per_line=False),
        "Line": [_item_line(line, document, names) for line in document.lines],
        "TxnTaxDetail": _tax(document, names),
        "DueDate": _day(document.due_date) if document.due_date and document.type == "Invoice" else None,
        "DepositToAccountRef": _account(document.deposit_to, names) if deposits else None,
        "PaymentMethodRef": _ref(method) if deposits and method else None,
    }
    return _filled(content)


def _payment(document: Document, names: References) -> Body:
    method = names.payment_method(document.payment_method) if document.payment_method else None
    content = {
        **_common(document, names),
        "DocNumber": None,
        "PaymentRefNum": document.doc_number[: texts.REFERENCE_LENGTH],
        "CustomerRef": _ref(names.customer(document.customer_key, document.customer_name)),
        "TotalAmt": document.total,
        "PaymentMethodRef": _ref(method) if method else None,
        "DepositToAccountRef": _account(document.deposit_to, names),
        "Line": [_link(part.to_key, part.amount, names) for part in document.applied],
    }
    return _filled(content)


def _journal(document: Document, names: References) -> Body:
    content = {
        **_common(document, names),
        "DepartmentRef": None,
        "Line": [_journal_line(line, document, names) for line in document.lines],
    }
    return _filled(content)


def _purchase(document: Document, names: References) -> Body:
    account = document.from_account or document.deposit_to
    kind = "CreditCard" if names.account_type(account) == "Credit Card" else "Cash"
    content = {
        **_common(document, names),
        "AccountRef": _account(account, names),
        "PaymentType": kind,
        "GlobalTaxCalculation": document.global_tax,
        "Line": [_expense_line(line, names) for line in document.lines],
        "TxnTaxDetail": _tax(document, names),
    }
    return _filled(content)


def _transfer(document: Document, names: References) -> Body:
    content = {
        **_common(document, names),
        "FromAccountRef": _account(document.from_account, names),
        "ToAccountRef": _account(document.to_account or document.deposit_to, names),
        "Amount": document.total,
    }
    return _filled(content)


def _deposit(document: Document, names: References) -> Body:
    content = {
        **_common(document, names),
        "DepositToAccountRef": _account(document.deposit_to or document.to_account, names),
        "Line": [
            {
                "Amount": line.amount,
                "Description": texts.free_text(line.description, texts.DESCRIPTION_LENGTH),
                "DetailType": "DepositLineDetail",
                "DepositLineDetail": {"AccountRef": _account(line.account, names)},
            }
            for line in document.lines
        ],
    }
    return _filled(content)


_LAYOUTS: dict[str, Callable[[Document, References], Body]] = {
    "SalesReceipt": _sale,
    "Invoice": _sale,
    "RefundReceipt": _sale,
    "CreditMemo": _sale,
    "Payment": _payment,
    "JournalEntry": _journal,
    "Purchase": _purchase,
    "Transfer": _transfer,
    "Deposit": _deposit,
}


# -- lines and tax -----------------------------------------------------------------------------


def _item_line(line: Line, document: Document, names: References) -> Body:
    detail = {
        "ItemRef": _ref(names.item(line.item)),
        "TaxCodeRef": _ref(names.tax_code(line.tax_code)) if line.tax_code else None,
        "ClassRef": _class(document, names, per_line=True),
        "TaxInclusiveAmt": line.tax_inclusive_amount,
    }
    # Both or neither: QuickBooks refuses an amount that is not their product.
    if line.quantity is not None and line.unit_price is not None:
        detail |= {"Qty": line.quantity, "UnitPrice": line.unit_price}
    return {
        "Amount": line.amount,
        "Description": texts.free_text(line.description or line.product_name, texts.DESCRIPTION_LENGTH),
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": detail,
    }


def _expense_line(line: Line, names: References) -> Body:
    return {
        "Amount": line.amount,
        "Description": texts.free_text(line.description, texts.DESCRIPTION_LENGTH),
        "DetailType": "AccountBasedExpenseLineDetail",
        "AccountBasedExpenseLineDetail": {
            "AccountRef": _account(line.account, names),
            "TaxCodeRef": _ref(names.tax_code(line.tax_code)) if line.tax_code else None,
        },
    }


def _journal_line(line: Line, document: Document, names: References) -> Body:
    detail: Body = {
        "PostingType": "Credit" if line.posting == "credit" else "Debit",
        "AccountRef": _account(line.account, names),
        "ClassRef": _ref(names.klass(document.klass)) if document.klass else None,
        "DepartmentRef": _ref(names.department(document.location)) if document.location else None,
    }
    if names.account_type(line.account) == "Accounts Receivable":
        customer = names.customer(document.customer_key, document.customer_name)
        detail["Entity"] = {"Type": "Customer", "EntityRef": _ref(customer)}
    return {
        "Amount": line.amount,
        "Description": texts.free_text(line.description, texts.DESCRIPTION_LENGTH),
        "DetailType": "JournalEntryLineDetail",
        "JournalEntryLineDetail": detail,
    }


def _link(to_key: str, amount: Decimal, names: References) -> Body:
    kind, qbo_id = names.document(to_key)
    return {"Amount": amount, "LinkedTxn": [{"TxnId": qbo_id, "TxnType": kind}]}


def _tax(document: Document, names: References) -> Body | None:
    """Our tax: a line for each rate in global companies, the total alone where QuickBooks knows the rates."""
    if document.global_tax == "NotApplicable":
        return None
    if not document.global_tax:
        return {"TotalTax": document.total_tax} if document.taxes or document.total_tax else None
    # QuickBooks keeps one amount a rate, and two codes may have a rate in common.
    sums: dict[str, tuple[Decimal, Decimal, Decimal]] = {}
    for tax in document.taxes:
        rate = names.tax_rate(tax.code, tax.rate, purchase=document.type == "Purchase")
        if rate is not None:
            _, base, amount = sums.get(rate, (tax.rate, Decimal(0), Decimal(0)))
            sums[rate] = (tax.rate, base + tax.base, amount + tax.amount)
    lines = [
        {
            "Amount": amount,
            "DetailType": "TaxLineDetail",
            "TaxLineDetail": {
                "TaxRateRef": _ref(rate),
                "PercentBased": True,
                "TaxPercent": percent,
                "NetAmountTaxable": base,
            },
        }
        for rate, (percent, base, amount) in sums.items()
    ]
    return {"TotalTax": document.total_tax, "TaxLine": lines}


# -- parts -------------------------------------------------------------------------------------


def _ref(qbo_id: str) -> Body:
    return {"value": qbo_id}


def _account(name: str, names: References) -> Body | None:
    return _ref(names.account(name)) if name else None


def _class(document: Document, names: References, *, per_line: bool) -> Body | None:
    wanted = document.klass and names.class_per_line is per_line
    return _ref(names.klass(document.klass)) if wanted else None


def _currency(currency: str, names: References) -> Body | None:
    if names.multi_currency:
        return _ref(currency) if currency else None
    if currency and names.home_currency and currency != names.home_currency:
        raise UnknownName("CompanyCurrency", currency, hint=f" ({names.home_currency} alone)")
    return None


def _memo(text: str) -> Body | None:
    memo = texts.free_text(text, texts.MEMO_LENGTH)
    return {"value": memo} if memo else None


def _day(value: date) -> str:
    return value.isoformat()


def _address(address: PostalAddress | None) -> Body | None:
    if address is None:
        return None
    content = {
        "Line1": texts.line_text(address.line1, texts.ADDRESS_LINE_LENGTH),
        "Line2": texts.line_text(address.line2, texts.ADDRESS_LINE_LENGTH),
        "Line3": texts.line_text(address.line3, texts.ADDRESS_LINE_LENGTH),
        "City": texts.line_text(address.city, texts.ADDRESS_PART_LENGTH),
        "PostalCode": texts.line_text(address.postal_code, texts.POSTAL_CODE_LENGTH),
        "CountrySubDivisionCode": texts.line_text(address.subdivision, texts.ADDRESS_PART_LENGTH),
        "Country": texts.line_text(address.country, texts.ADDRESS_PART_LENGTH),
    }
    return _filled(content) or None


def _filled(content: Mapping[str, Any]) -> Body:
    """The content without what is absent: no field is sent that has nothing to say."""
    return {
        name: _cleared(value)
        for name, value in content.items()
        if value is not None and value not in ("", {})
    }


def _cleared(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _filled(value)
    if isinstance(value, list):
        return [_cleared(entry) for entry in value]
    return value
