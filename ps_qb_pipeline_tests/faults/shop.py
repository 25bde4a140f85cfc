"""Documents such as a shop's life makes, small and exact, and bodies as posting would freeze them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting.documents import Applied, Customer, Document, Item, Line, TaxLine
from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.posting.ports import Rendering
from ps_qb_pipeline.quickbooks.texts import canonical

DAY = date(2026, 3, 2)
RATE = Decimal("0.20")


class Names:
    """Names to ids, as posting teaches them."""

    def __init__(self) -> None:
        self.ids: dict[tuple[str, str], str] = {}
        self.documents: dict[str, tuple[str, str]] = {}

    def learn(self, kind: str, key: str, name: str, qbo_id: str) -> None:
        if kind in {"Customer", "Item"}:
            self.ids[kind, key] = qbo_id
        else:
            self.documents[key] = (kind, qbo_id)

    def need(self, kind: str, key: str) -> str:
        if (kind, key) not in self.ids:
            raise PipelineError(f"{kind} {key} is not in the company")
        return self.ids[kind, key]


def _note(document: Document) -> str:
    install, role, source, rev = document.key.split("|")
    return f"ps:{{v:1,i:{install},s:1,o:{document.order_id},rev:{rev},role:{role},id:{source}}}"


def render_document(document: Document, names: Names) -> bytes:
    body: dict[str, Any] = {
        "CurrencyRef": {"value": document.currency},
        "PrivateNote": _note(document),
        "TxnDate": document.txn_date.isoformat(),
        "CustomerRef": {"value": names.need("Customer", document.customer_key)},
    }
    body["PaymentRefNum" if document.type == "Payment" else "DocNumber"] = document.doc_number
    if document.type == "Payment":
        body["TotalAmt"] = document.total
        body["Line"] = [
            {
                "Amount": part.amount,
                "LinkedTxn": [
                    {"TxnId": names.documents[part.to_key][1], "TxnType": names.documents[part.to_key][0]}
                ],
            }
            for part in document.applied
        ]
    else:
        body["Line"] = [
            {
                "Amount": line.amount,
                "DetailType": "SalesItemLineDetail",
                "SalesItemLineDetail": {"ItemRef": {"value": names.need("Item", line.item)}},
            }
            for line in document.lines
        ]
        body["TxnTaxDetail"] = {"TotalTax": document.total_tax}
    return _bytes(body)


def render_customer(customer: Customer, _names: Names) -> bytes:
    body: dict[str, Any] = {"DisplayName": customer.display_name, "CurrencyRef": {"value": customer.currency}}
    if customer.email:
        body["PrimaryEmailAddr"] = {"Address": customer.email}
    return _bytes(body)


def render_item(item: Item, _names: Names) -> bytes:
    return _bytes({"Name": item.name, "Sku": item.sku, "Type": item.type})


def _bytes(body: dict[str, Any]) -> bytes:
    return canonical(body)


RENDERING = Rendering(render_document, render_customer, render_item)


def customer(number: int = 1, **changes: Any) -> Customer:
    made = Customer(
        key=f"c:{number}:EUR",
        display_name=f"Ada Byron {number}",
        email=f"ada{number}@example.org",
        currency="EUR",
        source_ids=(number,),
    )
    return replace(made, **changes)


def item(number: int = 1, **changes: Any) -> Item:
    return replace(Item(key=f"sku:MUG-{number}", sku=f"MUG-{number}", name=f"Mug {number}"), **changes)


def sale(
    order: int,
    net: str = "100.00",
    *,
    type: str = "SalesReceipt",  # noqa: A002
    revision: int = 0,
    who: int = 1,
    what: int = 1,
) -> Document:
    amount = Decimal(net)
    tax = (amount * RATE).quantize(Decimal("0.01"))
    return Document(
        key=f"1|sale|{order}|{revision}",
        type=type,  # type: ignore[arg-type]
        role="sale",
        source_id=str(order),
        revision=revision,
        doc_number=f"PS1-{order}",
        order_id=order,
        id_shop=1,
        reference=f"REF{order}",
        txn_date=DAY,
        currency="EUR",
        total=amount + tax,
        total_tax=tax,
        customer_key=f"c:{who}:EUR",
        customer_name=f"Ada Byron {who}",
        lines=(Line(kind="product", item=f"sku:MUG-{what}", amount=amount, tax_code="FR20"),),
        taxes=(TaxLine("FR20", Decimal(20), amount, tax),),
    )


def payment(number: int, of: Document, amount: str | None = None) -> Document:
    total = Decimal(amount) if amount else of.total
    return Document(
        key=f"1|payment|{number}|0",
        type="Payment",
        role="payment",
        source_id=str(number),
        revision=0,
        doc_number=f"PS1-P{number}",
        order_id=of.order_id,
        id_shop=1,
        reference=of.reference,
        txn_date=DAY,
        currency="EUR",
        total=total,
        customer_key=of.customer_key,
        applied=(Applied(of.key, of.doc_number, total),),
    )


def refund(number: int, of: Document, net: str) -> Document:
    amount = Decimal(net)
    tax = (amount * RATE).quantize(Decimal("0.01"))
    return replace(
        of,
        key=f"1|refund|{number}|0",
        type="RefundReceipt",
        role="refund",
        source_id=str(number),
        doc_number=f"PS1-R{number}",
        total=amount + tax,
        total_tax=tax,
        lines=(replace(of.lines[0], amount=amount),),
        taxes=(TaxLine("FR20", Decimal(20), amount, tax),),
        refund_of=of.doc_number,
    )
