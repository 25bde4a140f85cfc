"""Payouts of payment providers: fees, the transfer to the bank, exchange differences, the roll-forward.

What lives here: the money side after the sale. What does not: reading payout files and matching their
lines to orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from ps_qb_pipeline.accounting import identity, items
from ps_qb_pipeline.accounting.currency import home_amount
from ps_qb_pipeline.accounting.documents import Document, DocumentType, Line, Role
from ps_qb_pipeline.accounting.findings import Finding
from ps_qb_pipeline.accounting.money import ZERO, to_minor
from ps_qb_pipeline.accounting.payments import Methods
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.tax_modes import GlobalTax


@dataclass(frozen=True, slots=True)
class Charge:
    """What a provider kept back or paid on its own account within a payout.

    A positive amount is a cost to the shop or money that is withheld, a negative one comes back.
    """

    kind: Literal["fee", "chargeback", "reserve", "exchange", "adjustment"]
    amount: Decimal
    description: str = ""


@dataclass(frozen=True, slots=True)
class Payout:
    """One payout of a provider, in ``currency``; ``received_home`` when the bank got home currency.

    ``charges``, where they are known line by line, take the place of ``fees`` and of documents for
    chargebacks: each is a line of the one purchase.
    """

    id: str
    currency: str
    day: date
    method: str
    gross: Decimal
    refunds: Decimal
    fees: Decimal
    net: Decimal
    received_home: Decimal | None = None
    chargebacks: Decimal = ZERO
    id_shop: int = 0
    charges: tuple[Charge, ...] = ()


class RollForward(NamedTuple):
    """A clearing account over a payout: what came in, what went out, and what is left."""

    account: str
    opening: Decimal
    receipts: Decimal
    refunds: Decimal
    chargebacks: Decimal
    fees: Decimal
    payouts: Decimal
    fx: Decimal
    closing: Decimal


class Settlement(NamedTuple):
    """What a payout becomes."""

    documents: tuple[Document, ...]
    roll_forward: RollForward
    findings: tuple[Finding, ...]


def settle(
    payout: Payout, policy: Policy, *, carrying_rate: Decimal | None = None, opening: Decimal = ZERO
) -> Settlement:
    """Fees as a purchase, the net as a transfer, and the clearing account rolled forward.

    A foreign payout that reached the bank in home currency becomes a journal entry instead of the
    transfer: the bank at what it received, the clearing account at ``carrying_rate`` (home units for
    one foreign unit, as its receipts were booked), the rest to exchange gain or loss.
    """
    method = Methods(policy).of(payout.method)
    if method is None or not method.setting.account:
        return Settlement((), _rolled("", payout, opening), (_unmapped(payout),))
    account = method.setting.account.replace("{CUR}", payout.currency)
    rate = carrying_rate if payout.currency != policy.home_currency else None
    fees = method.setting.fees_account or policy.accounts.fees
    documents = (
        [_charged(payout, policy, account, rate, fees)] if any(c.amount for c in payout.charges) else []
    )
    if payout.fees and not payout.charges:
        documents.append(
            _document(
                payout,
                policy,
                "Purchase",
                "fee",
                "PSF",
                payout.fees,
                rate,
                from_account=account,
                lines=(Line("account", "", payout.fees, policy.fees_tax_code, account=fees),),
            )
        )
    if payout.received_home is not None and rate is not None:
        documents.append(_exchange(payout, policy, account, rate, payout.received_home))
    elif payout.net:
        bank = policy.accounts.bank.replace("{CUR}", payout.currency)
        # A provider may take back more than it owes: then the money goes the other way.
        source, target = (account, bank) if payout.net > 0 else (bank, account)
        documents.append(
            _document(
                payout, policy, "Transfer", "payout", "PST", abs(payout.net), rate,
                from_account=source, to_account=target,
            )
        )  # fmt: skip
    rolled = _rolled(account, payout, opening)
    findings = () if not rolled.closing else (_not_zero(payout, rolled),)
    return Settlement(tuple(identity.with_note(document) for document in documents), rolled, findings)


def _charged(payout: Payout, policy: Policy, account: str, rate: Decimal | None, fees: str) -> Document:
    """Everything that the provider charged as one purchase, each kind on its account.

    QuickBooks takes no purchase below zero: when more came back than was charged it is a journal entry.
    """
    accounts = {
        "chargeback": policy.accounts.chargebacks,
        "reserve": policy.accounts.reserves.replace("{CUR}", payout.currency),
        "exchange": policy.accounts.exchange,
    }
    charges = [charge for charge in payout.charges if charge.amount]
    total = sum((charge.amount for charge in charges), ZERO)
    if total > 0:
        lines = tuple(
            Line(
                "account",
                "",
                charge.amount,
                policy.fees_tax_code,
                description=charge.description,
                account=accounts.get(charge.kind, fees),
            )
            for charge in charges
        )
        return _document(
            payout, policy, "Purchase", "fee", "PSF", total, rate, from_account=account, lines=lines
        )
    sides = [(accounts.get(charge.kind, fees), charge.amount, charge.description) for charge in charges]
    if total:
        sides.append((account, -total, "left on the account"))
    entries = tuple(
        Line(
            "account",
            "",
            abs(amount),
            description=words,
            account=name,
            posting="debit" if amount > 0 else "credit",
        )
        for name, amount, words in sides
    )
    debits = sum((line.amount for line in entries if line.posting == "debit"), ZERO)
    return _document(payout, policy, "JournalEntry", "fee", "PSF", debits, rate, lines=entries)


def _rolled(account: str, payout: Payout, opening: Decimal) -> RollForward:
    closing = opening + payout.gross - payout.refunds - payout.chargebacks - payout.fees - payout.net
    return RollForward(
        account,
        to_minor(opening, payout.currency),
        payout.gross,
        -payout.refunds,
        -payout.chargebacks,
        -payout.fees,
        -payout.net,
        to_minor(ZERO, payout.currency),
        to_minor(closing, payout.currency),
    )


def _document(
    payout: Payout,
    policy: Policy,
    kind: DocumentType,
    role: Role,
    prefix: str,
    total: Decimal,
    rate: Decimal | None,
    **more: Any,
) -> Document:
    currency = more.pop("currency", payout.currency)
    return Document(
        key=identity.document_key(policy, role, payout.id),
        type=kind,
        role=role,
        source_id=payout.id,
        revision=0,
        doc_number=identity.payout_number(prefix, payout.id),
        order_id=0,
        id_shop=payout.id_shop,
        reference="",
        txn_date=payout.day,
        currency=currency,
        total=total,
        exchange_rate=rate,
        home_total=home_amount(total, rate, policy.home_currency),
        location=policy.locations.get(payout.id_shop, ""),
        global_tax=_global_tax(policy) if kind == "Purchase" else "",
        memo=f"payout {payout.id}",
        **more,
    )


def _global_tax(policy: Policy) -> GlobalTax:
    """How tax stands in a purchase: outside the US every line has a code, or the document has no tax."""
    if not policy.tax_mode.startswith("GLOBAL"):
        return ""
    return "TaxExcluded" if policy.fees_tax_code else "NotApplicable"


def _exchange(payout: Payout, policy: Policy, account: str, rate: Decimal, received: Decimal) -> Document:
    """The journal entry of a payout that crossed currencies, in home currency."""
    home = policy.home_currency
    carried = to_minor(payout.net * rate, home)
    bank = policy.accounts.bank.replace("{CUR}", home)
    lines = [
        Line("account", "", received, account=bank, posting="debit"),
        Line("account", "", carried, account=account, posting="credit", foreign_amount=payout.net),
    ]
    difference = received - carried
    if difference:
        side: Literal["debit", "credit"] = "credit" if difference > 0 else "debit"
        lines.append(Line("account", "", abs(difference), account=policy.accounts.exchange, posting=side))
    return _document(
        payout,
        policy,
        "JournalEntry",
        "exchange",
        "PSX",
        max(received, carried),
        None,
        currency=home,
        lines=tuple(lines),
    )


def chargeback(
    policy: Policy, sale: Document, *, reference: str, day: date, amount: Decimal, fee: Decimal
) -> tuple[Document, ...]:
    """Money that a provider took back for a sale, and its fee; what becomes of the goods a person decides."""
    taken = Document(
        key=identity.document_key(policy, "chargeback", reference),
        type="RefundReceipt",
        role="chargeback",
        source_id=reference,
        revision=0,
        doc_number=identity.payout_number("PSB", reference),
        order_id=sale.order_id,
        id_shop=sale.id_shop,
        reference=sale.reference,
        txn_date=day,
        currency=sale.currency,
        total=amount,
        exchange_rate=sale.exchange_rate,
        home_total=home_amount(amount, sale.exchange_rate, policy.home_currency),
        customer_key=sale.customer_key,
        customer_name=sale.customer_name,
        location=sale.location,
        klass=sale.klass,
        global_tax=sale.global_tax,
        lines=(Line("chargeback", items.CHARGEBACKS, amount, policy.out_of_scope_code),),
        deposit_to=sale.deposit_to,
        refund_of=sale.doc_number,
    )
    documents = [taken]
    if fee:
        payout = Payout(reference, sale.currency, day, "", ZERO, ZERO, fee, -fee, id_shop=sale.id_shop)
        documents.append(
            _document(
                payout,
                policy,
                "Purchase",
                "fee",
                "PSF",
                fee,
                sale.exchange_rate,
                from_account=sale.deposit_to,
                lines=(Line("account", "", fee, policy.fees_tax_code, account=policy.accounts.fees),),
            )
        )
    return tuple(identity.with_note(document) for document in documents)


def _unmapped(payout: Payout) -> Finding:
    return Finding(
        "METHOD_UNMAPPED",
        "payout",
        0,
        0,
        amount=payout.net,
        currency=payout.currency,
        message=f"no account is set for payouts of {payout.method!r}",
    )


def _not_zero(payout: Payout, rolled: RollForward) -> Finding:
    return Finding(
        "CLEARING_NOT_ZERO",
        "payout",
        0,
        0,
        amount=rolled.closing,
        currency=payout.currency,
        message=f"{rolled.account} is left with {rolled.closing:f} after payout {payout.id}",
    )
