"""What happens in the shop after the books were written, over the sandbox shop's own interfaces.

What lives here: one function a kind, with the exception that ``docs/exceptions.md`` promises for it.
What does not: the books. Posting is off while these are tried, so that nothing follows of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import httpx

from ps_qb_pipeline_tests.recon_truth.history import control
from ps_qb_pipeline_tests.recon_truth.injector import Injector, Target, is_sale


@dataclass(slots=True)
class Shopkeeper:
    """The shop's side of the test: where it answers, and what was known of it when the books were written."""

    url: str
    key: str
    currency: str
    prefix: str
    do: Injector
    known: Mapping[int, Mapping[str, Any]]
    """By order: its newest payment, slip, a line and its quantity, its state."""
    untold: str
    """A way of paying that no payout file tells of; empty when there is none."""
    vouchers: list[tuple[str, int, int, Decimal]]
    """Store credit that is used up: code, rule, order, amount."""

    def take(self, kind: str, **wanted: Any) -> Target | None:
        """A receipt whose order is as wanted and no part of a split cart: the money of one is the others' too."""
        return self.do.take(
            kind,
            lambda one: (
                is_sale(one)
                and self.alone(one)
                and all(self._is(one, name, value) for name, value in wanted.items())
            ),
        )

    def alone(self, target: Target) -> bool:
        """Whether the cart of this order became no other order."""
        return self.known.get(target.order_id, {}).get("parts") == [target.order_id]

    def payments_of(self, reference: str) -> list[int]:
        """The ids of an order's payment rows, over the web service."""
        asked = {"display": "[id]", "filter[order_reference]": f"[{reference}]", "output_format": "JSON"}
        answer = httpx.get(f"{self.url}/api/order_payments", params=asked, auth=(self.key, ""), timeout=60)
        return sorted(int(row["id"]) for row in answer.json()["order_payments"])

    def _is(self, target: Target, name: str, value: Any) -> bool:
        found = self.known.get(target.order_id, {}).get(name)
        return bool(found) == value if isinstance(value, bool) else found in value


def known_orders(con: duckdb.DuckDBPyConnection) -> dict[int, dict[str, Any]]:
    """What is needed to disturb an order."""
    rows = con.execute(
        """
        with details as (
            select id_order, min(id) as detail, arg_min(product_quantity, id) as quantity, count(*) as lines,
                list(id) as details
            from staging.prestashop_order_details group by all
        ),
        payments as (
            select order_reference, max(id) as payment, count(*) as payments
            from staging.prestashop_order_payments group by all
        ),
        slips as (select id_order, max(id) as slip, count(*) as slips from staging.prestashop_order_slip group by all)
        select orders.id, details.detail, details.quantity, details.lines, details.details, payments.payment, payments.payments,
            slips.slip, coalesce(slips.slips, 0) as slips, orders.current_state as state, orders.id_customer as customer,
            orders.payment as way, orders.total_discounts_tax_incl as discounts,
            currencies.iso_code not in ('JPY', 'KRW', 'CLP', 'VND', 'ISK') as cents,
            list(orders.id) over (partition by orders.reference order by orders.id rows between unbounded preceding
                and unbounded following) as parts
        from staging.prestashop_orders as orders
        inner join details on details.id_order = orders.id
        inner join staging.prestashop_currencies as currencies on orders.id_currency = currencies.id
        left join payments on payments.order_reference = orders.reference
        left join slips on slips.id_order = orders.id
        order by orders.id
        """
    )
    names = [column[0] for column in rows.description or ()]
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows.fetchall()}


def used_up(con: duckdb.DuckDBPyConnection) -> list[tuple[str, int, int, Decimal]]:
    """Store credit of which nothing is left."""
    return con.execute(
        """
        select vouchers.voucher, rules.id, vouchers.order_id, rules.reduction_amount
        from recon.vouchers as vouchers
        inner join staging.prestashop_cart_rules as rules on rules.code = vouchers.voucher
        where vouchers.used = vouchers.issued and vouchers.excess = 0 and vouchers.issued > 1
        order by 1
        """
    ).fetchall()


def missing(shop: Shopkeeper) -> None:
    """Two orders paid while posting is off."""
    for _ in range(2):
        order = control(shop.url, place_order={"way": "card", "customer": "new", "currency": shop.currency})
        total = Decimal(str(order["total_paid_tax_incl"]))
        shop.do.truth.add("missing", "MISSING_IN_QBO", str(order["order"]), total)


def twins(shop: Shopkeeper) -> None:
    """The same order twice by one customer: both are missing, and neither stands for the other."""
    first = control(
        shop.url, place_order={"way": "card", "currency": shop.currency, "shipping": 5, "seed": 1}
    )
    again = control(
        shop.url, place_order={"way": "card", "currency": shop.currency, "shipping": 5, "seed": 1}
    )
    for order in (first, again):
        total = Decimal(str(order["total_paid_tax_incl"]))
        shop.do.truth.add("twins in the shop", "MISSING_IN_QBO", str(order["order"]), total)


def refunded_later(shop: Shopkeeper) -> None:
    """A refund after the books were written."""
    if target := shop.take("refund not booked", slip=False, state=(2, 3, 4, 5), discounts=False):
        slip = control(
            shop.url,
            refund={"order": target.order_id, "lines": [{"detail": _detail(shop, target), "quantity": 1}]},
        )
        amount = Decimal(str(slip["total_products_tax_incl"])) + Decimal(str(slip["total_shipping_tax_incl"]))
        shop.do.truth.add("refund not booked", "MISSING_IN_QBO", str(target.order_id), amount)


def _detail(shop: Shopkeeper, target: Target) -> int:
    return int(shop.known[target.order_id]["detail"])


def payment_deleted(shop: Shopkeeper) -> None:
    """The payment row of a booked sale is gone."""
    if target := shop.take("payment row deleted", slip=False, payments=(1,)):
        control(shop.url, delete={"resource": "order_payments", "id": shop.known[target.order_id]["payment"]})
        shop.do.truth.add("payment row deleted", "EDIT_UNDERPAID", str(target.order_id), target.total)


_NOT_REFUNDED = {
    "product_quantity_refunded": 0,
    "product_quantity_return": 0,
    "product_quantity_reinjected": 0,
    "total_refunded_tax_incl": "0.000000",
    "total_refunded_tax_excl": "0.000000",
}


def slip_deleted(shop: Shopkeeper) -> None:
    """A booked refund is taken back in the shop: its credit slip is gone, nothing counts as refunded."""
    wanted = shop.do.take(
        "slip deleted",
        lambda one: (
            one.entity == "RefundReceipt"
            and shop.known.get(one.order_id, {}).get("slips") == 1
            and shop.known[one.order_id]["state"] in (2, 3, 4, 5)
        ),
    )
    if wanted:
        control(shop.url, delete={"resource": "order_slip", "id": shop.known[wanted.order_id]["slip"]})
        for detail in shop.known[wanted.order_id]["details"]:
            control(shop.url, row={"resource": "order_details", "id": detail, **_NOT_REFUNDED})
        shop.do.truth.add("slip deleted", "SOURCE_DELETED", wanted.books_id, wanted.total)


def order_deleted(shop: Shopkeeper) -> None:
    """An order that is booked is gone from the shop."""
    if target := shop.take("order deleted", slip=False, payments=(1,)):
        control(shop.url, delete={"resource": "orders", "id": target.order_id})
        shop.do.truth.add("order deleted", "SOURCE_DELETED", target.books_id, target.total)


def reissued(shop: Shopkeeper) -> None:
    """Store credit that was used up can be used again."""
    if not shop.vouchers:
        shop.do.skipped.append("voucher reissued")
        return
    code, rule, _, amount = shop.vouchers.pop()
    control(shop.url, row={"resource": "cart_rules", "id": rule, "quantity": 1, "active": "1"})
    shop.do.truth.add("voucher reissued", "VOUCHER_DIFF", code, amount)


def forged(shop: Shopkeeper) -> None:
    """A voucher that looks like the store credit of an order that was never refunded."""
    if target := shop.take("voucher forged", slip=False):
        number = 900_000 + shop.do.number
        shop.do.number += 1
        code = f"V{number}C1O{target.order_id}"
        control(
            shop.url,
            row={
                "resource": "cart_rules", "id": number, "code": code, "id_customer": 1, "quantity": 1,
                "reduction_amount": "35.000000", "reduction_currency": 1, "reduction_tax": "1", "active": "1",
                "partial_use": "1", "date_from": "2026-01-01 00:00:00", "date_to": "2035-01-01 00:00:00",
                "name": [{"id": 1, "value": "Credit"}],
            },
        )  # fmt: skip
        shop.do.truth.add("voucher forged", "VOUCHER_DIFF", code, Decimal(35))


def in_closed_period(shop: Shopkeeper, last_closed: date) -> None:
    """An order of a day that is closed in QuickBooks since."""
    if not shop.untold:
        shop.do.skipped.append("closed period")
        return
    control(shop.url, clock={"freeze": f"{last_closed} 10:00:00"})
    order = control(shop.url, place_order={"way": shop.untold, "customer": "new", "currency": shop.currency})
    control(shop.url, clock="real")
    total = Decimal(str(order["total_paid_tax_incl"]))
    shop.do.truth.add("closed period", "PERIOD_CLOSED", f"{shop.prefix}{order['order']}", total)


def _edited(shop: Shopkeeper, kind: str, entity: str) -> tuple[Target, Decimal] | None:
    """An order of such a document gets one fewer of a line: the order, and by how much less it is."""
    target = shop.do.take(
        kind,
        lambda one: (
            one.entity == entity
            and one.role == "sale"
            and shop.known[one.order_id]["slips"] == 0
            and shop.known[one.order_id]["state"] in (1, 2, 3, 10, 13)
            and shop.known[one.order_id]["quantity"] > 1
            and not shop.known[one.order_id]["discounts"]
        ),
    )
    if target is None:
        return None
    fewer = int(shop.known[target.order_id]["quantity"]) - 1
    change = {"order": target.order_id, "detail": _detail(shop, target), "quantity": fewer}
    after = Decimal(str(control(shop.url, edit=change)["total_paid_tax_incl"]))
    return target, target.total - after


def receipt_edited(shop: Shopkeeper) -> None:
    """A paid order becomes smaller: the money is more than it asks for."""
    if found := _edited(shop, "paid order edited", "SalesReceipt"):
        shop.do.truth.add("paid order edited", "PAY_OVER", str(found[0].order_id), found[1])


def invoice_edited(shop: Shopkeeper) -> None:
    """An order with an invoice becomes smaller: the document that carries the difference is missing."""
    if found := _edited(shop, "invoiced order edited", "Invoice"):
        shop.do.truth.add("invoiced order edited", "MISSING_IN_QBO", str(found[0].order_id), found[1])


def cancelled(shop: Shopkeeper) -> None:
    """A paid order is cancelled, and no credit slip says what became of the money."""
    if target := shop.take(
        "cancelled after payment", slip=False, state=(2, 3), payments=(1,), discounts=False
    ):
        control(shop.url, cancel={"order": target.order_id})
        shop.do.truth.add("cancelled after payment", "REFUND_NO_SLIP", str(target.order_id), target.total)


def paid_twice(shop: Shopkeeper) -> None:
    """A second payment row for an order that was paid in full."""
    if target := shop.take("paid twice", slip=False, state=(2, 3, 4, 5), payments=(1,), cents=True):
        paid = control(shop.url, pay={"order": target.order_id, "amount": "4.50"})
        newest = shop.payments_of(paid["reference"])[-1]
        shop.do.truth.add("paid twice", "PAY_OVER", str(target.order_id), Decimal("4.50"))
        # The second payment is not written while posting is off.
        shop.do.truth.add("paid twice", "PAYMENT_MISSING", f"{shop.prefix}P{newest}", Decimal("4.50"))


def invoice_payment_deleted(shop: Shopkeeper) -> None:
    """The payment row of an invoice is gone; the books hold the payment still."""
    target = shop.do.take(
        "invoice's payment row deleted",
        lambda one: (
            one.entity == "Payment"
            and one.total > 0
            and shop.alone(one)
            and shop.known[one.order_id]["payments"] == 1
            and shop.known[one.order_id]["slips"] == 0
        ),
    )
    if target:
        control(shop.url, delete={"resource": "order_payments", "id": shop.known[target.order_id]["payment"]})
        shop.do.truth.add("invoice's payment row deleted", "PAYMENT_EXTRA", target.books_id, target.total)


def _rewritten(shop: Shopkeeper, target: Target, **columns: str | int) -> None:
    """Other words in the order's own row, as the web service or a module writes them."""
    now = control(shop.url, status={})["now"]
    control(shop.url, row={"resource": "orders", "id": target.order_id, "date_upd": now, **columns})


def given_to_another(shop: Shopkeeper) -> None:
    """An order that is booked belongs to another customer now; no store credit of the first one was used for it."""
    target = shop.take("another customer in the shop", slip=False, payments=(1,), discounts=False)
    # Somebody who is known in the books: who buys for the same company for the first time is the same card there.
    booked = [
        shop.known[one.order_id] for one in shop.do.free if one.rate is None and one.order_id in shop.known
    ]
    other = next((one for one in booked if target and one["customer"] != _of(shop, target)), None)
    if target and other:
        _rewritten(shop, target, id_customer=other["customer"])
        shop.do.truth.add("another customer in the shop", "CUSTOMER_DIFF", target.doc_number, target.total)


def _of(shop: Shopkeeper, target: Target) -> int:
    return int(shop.known[target.order_id]["customer"])


def redated(shop: Shopkeeper) -> None:
    """An invoice that is booked gets another day of its month."""
    target = shop.do.take("another day in the shop", lambda one: is_sale(one) and one.txn_date.day < 27)
    if target:
        _rewritten(shop, target, invoice_date=f"{target.txn_date + timedelta(days=1)} 09:00:00")
        shop.do.truth.add("another day in the shop", "DATE_DIFF", target.doc_number, target.total)


def paid_in_parts(shop: Shopkeeper) -> None:
    """A part of the money of a receipt came by wire, as the shop says now."""
    target = shop.take("money by two ways", slip=False, payments=(1,), way=("Credit card", "PayPal"))
    if target and target.rate is None and target.total > 10:
        known = shop.known[target.order_id]
        rest = target.total - 3
        control(shop.url, row={"resource": "order_payments", "id": known["payment"], "amount": f"{rest:.6f}"})
        _rewritten(shop, target, total_paid_real=f"{rest:.6f}")
        control(shop.url, pay={"order": target.order_id, "amount": "3.00", "method": "Bank transfer"})
        shop.do.truth.add("money by two ways", "ACCOUNT_DIFF", str(target.order_id), Decimal(3))


def part_deleted(shop: Shopkeeper) -> None:
    """One order of a split cart is gone; nothing may be said of the others."""
    together = {number: one["parts"] for number, one in shop.known.items() if len(one["parts"]) > 1}
    target = shop.do.take(
        "part of a cart deleted",
        lambda one: is_sale(one) and not any(shop.known[n]["slips"] for n in together.get(one.order_id, [0]) if n)
        and one.order_id in together,
    )  # fmt: skip
    if target:
        shop.do.closed |= set(together[target.order_id])
        control(shop.url, delete={"resource": "orders", "id": target.order_id})
        shop.do.truth.add("part of a cart deleted", "SOURCE_DELETED", target.books_id, target.total)


KINDS = (
    part_deleted,  # first, while whole carts are left
    missing,
    twins,
    refunded_later,
    payment_deleted,
    slip_deleted,
    order_deleted,
    reissued,
    forged,
    receipt_edited,
    invoice_edited,
    cancelled,
    paid_twice,
    invoice_payment_deleted,
    given_to_another,
    redated,
    paid_in_parts,
)
