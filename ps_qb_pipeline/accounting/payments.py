"""Payment rows to money: which are proved, whose they are, and which form of sale they make.

What lives here: methods, synthetic rows, allocation over the orders of a reference. What does not:
the documents themselves (``translate``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from ps_qb_pipeline.accounting.currency import in_order_currency
from ps_qb_pipeline.accounting.money import ZERO, to_minor
from ps_qb_pipeline.accounting.policy import MethodKind, PaymentMethod, Policy
from ps_qb_pipeline.accounting.shop import Order, Payment, Shop

_TERMS: frozenset[MethodKind] = frozenset(("wire", "cheque", "terms"))
_DEFAULT_TERMS = 30


class Method(NamedTuple):
    """A payment method of the policy with its name."""

    name: str
    setting: PaymentMethod


class Methods:
    """Methods by PrestaShop's label, then by module."""

    def __init__(self, policy: Policy) -> None:
        self._by_label: dict[str, Method] = {}
        self._by_module: dict[str, Method] = {}
        for name, setting in policy.methods.items():
            method = Method(name, setting)
            for label in (name, *setting.labels):
                self._by_label.setdefault(label.strip().lower(), method)
            for module in setting.modules:
                self._by_module.setdefault(module.lower(), method)

    def of(self, label: str, module: str = "") -> Method | None:
        """The method of a label; the module decides only when the label is unknown."""
        return self._by_label.get(label.strip().lower()) or self._by_module.get(module.lower())


def account(method: Method, currency: str, policy: Policy, *, carrier: str = "", proved: bool = True) -> str:
    """The account that takes a payment: the method's, or its holding account for unproved rows."""
    setting = method.setting
    if proved:
        name = setting.carrier_accounts.get(carrier) or setting.account
    else:
        name = setting.holding_account or policy.accounts.holding
    return name.replace("{CUR}", currency)


def due_days(method: Method | None) -> int:
    """The days that a method gives to pay: as set, else 30 for wire, cheque and terms, else none."""
    if method is None:
        return 0
    if method.setting.terms_days is not None:
        return method.setting.terms_days
    return _DEFAULT_TERMS if method.setting.kind in _TERMS else 0


def is_synthetic(payment: Payment, orders: Iterable[Order], method: Method | None) -> bool:
    """Whether only a status change made the row, so that it proves no money.

    Such a row has no transaction id, no employee entered it, and it bears the second of a paid state
    of one of its orders. Free orders and zero amounts prove nothing and need no proof.
    """
    if payment.transaction_id or payment.id_employee or not payment.amount:
        return False
    if method is not None and method.setting.kind == "free":
        return False
    return any(
        change.state.paid and change.date_add == payment.date_add
        for order in orders
        for change in order.history
    )


@dataclass(slots=True)
class Receipt:
    """One payment row as money: ``amount`` in the orders' currency, and how it settles them."""

    payment: Payment
    method: Method | None
    proved: bool
    amount: Decimal
    parts: list[tuple[int, Decimal]] = field(default_factory=list)
    """Order ids and the part of each that this row pays."""

    @property
    def unapplied(self) -> Decimal:
        """What no order needed."""
        return self.amount - sum((part for _, part in self.parts), ZERO)

    @property
    def day(self) -> date:
        """The shop-local day of the payment."""
        return self.payment.date_add.date()


def receive(
    payments: Sequence[Payment],
    orders: Sequence[Order],
    methods: Methods,
    shop: Shop,
    *,
    totals: Mapping[int, Decimal],
) -> list[Receipt]:
    """The payments of a reference by time, allocated to its orders by id until each total is met.

    ``totals`` holds what each order that can take money owes.
    """
    if not orders:
        return []
    open_ = dict(totals)
    receipts = []
    for payment in sorted(payments, key=lambda row: (row.date_add, row.id)):
        rest = sum(open_.values(), ZERO)
        method = methods.of(payment.label, orders[-1].module)
        receipt = Receipt(
            payment,
            method,
            not is_synthetic(payment, orders, method),
            in_order_currency(payment, orders[0], shop, rest),
        )
        left = receipt.amount
        for number, needed in open_.items():
            part = min(left, needed)
            if part > 0:
                receipt.parts.append((number, part))
                open_[number] = needed - part
                left -= part
        receipts.append(receipt)
    return receipts


def paid(receipts: Iterable[Receipt], order: int) -> Decimal:
    """What the rows pay of one order."""
    return sum((part for receipt in receipts for number, part in receipt.parts if number == order), ZERO)


def is_cash_sale(order: Order, receipts: Sequence[Receipt], total: Decimal, recognised: date) -> bool:
    """Whether an order becomes a sales receipt: paid in full by proved rows of one card-like method.

    The money must have come in the month in which the sale is recognised, and nothing may be left over.
    """
    own = [receipt for receipt in receipts if any(number == order.id for number, _ in receipt.parts)]
    if not total:
        return not any(receipt.amount for receipt in receipts)
    if paid(own, order.id) != total:
        return False
    names = {receipt.method.name if receipt.method else "" for receipt in own}
    return (
        len(names) == 1
        and all(receipt.proved and not receipt.unapplied for receipt in receipts)
        and all(receipt.method is not None and receipt.method.setting.kind == "card" for receipt in own)
        and all(
            (receipt.day.year, receipt.day.month) == (recognised.year, recognised.month) for receipt in own
        )
    )


def rounded(amount: Decimal, currency: str) -> Decimal:
    """An amount of the shop in whole minor units."""
    return to_minor(amount, currency)
