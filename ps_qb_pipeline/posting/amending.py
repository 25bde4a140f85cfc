"""What becomes of a document that is in the books when the shop says otherwise now.

What lives here: reading what was posted (and what was adjusted since) from the intents, and asking
``accounting.changes`` whether the document may be rewritten, needs an adjustment beside it, or waits for
a person. What does not: the rows of the ledger (``warehouse.amendments``) and the writing (``changing``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import Engine

from ps_qb_pipeline.accounting.changes import Facts, Posted, decide
from ps_qb_pipeline.accounting.documents import Document, from_json
from ps_qb_pipeline.accounting.findings import CODES, Finding
from ps_qb_pipeline.accounting.identity import adjustment_key
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.posting import plan
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.state.intents import CONFIRMED, IN_FLIGHT, Intent
from ps_qb_pipeline.warehouse.amendments import Answer, Case

_MONEY = frozenset({"SalesReceipt", "Invoice", "RefundReceipt", "CreditMemo"})
"""What is judged here; other types follow their sources by updates."""


@dataclass(frozen=True, slots=True)
class Amender:
    """Judges documents that one company's books hold. Called with cases, it gives the answer for all."""

    engine: Engine
    realm: str
    policy: Policy

    def __call__(self, cases: Sequence[Case]) -> Answer:
        """What becomes of each case; those that may simply be rewritten are in no list."""
        answer = Answer()
        history = self._history([case.key for case in cases])
        for case in cases:
            base = plan.standing(_own(case, history.get(plan.source_key(case.key), ()))).base
            if base is not None:
                self._judge(case, base, _adjustments(history.get(_adjusted(case.key), ())), answer)
        return answer

    def standing(self, keys: Sequence[str]) -> list[Document]:
        """What was posted under each key, with the adjustments that were made of it since."""
        history = self._history(keys)
        found = []
        for key in keys:
            base = plan.standing(history.get(plan.source_key(key), ())).base
            if base is not None:
                made = _adjustments(history.get(_adjusted(key), ()))
                found += [from_json(one.document) for one in (base, *made)]
        return found

    def _history(self, of: Sequence[str]) -> Mapping[str, Sequence[Intent]]:
        keys = [key for one in of for key in (plan.source_key(one), _adjusted(one))]
        with reading(self.engine) as tx:
            return intents.of_sources(tx, self.realm, keys)

    def _judge(self, case: Case, base: Intent, made: Sequence[Intent], answer: Answer) -> None:
        wanted = case.wanted
        if not made and wanted is not None and base.document_sha == plan.document_sha(wanted):
            return
        posted = from_json(base.document)
        if posted.type not in _MONEY:
            return
        adjustments = [from_json(one.document) for one in made]
        if wanted is not None and not case.reassigned:
            # Another e-mail address makes another card of the customer, and no other customer of the order.
            wanted = replace(wanted, customer_key=posted.customer_key, customer_name=posted.customer_name)
        if wanted is not None and _holds_all(wanted, posted, case):
            answer.keep += [posted, *adjustments]
            answer.now[posted.key] = wanted
            answer.inside |= dict.fromkeys(_companions(wanted, case), posted.key)
            return
        received = _received(wanted, case.payments)
        code, stake = _unlike(wanted, posted, case.payments)
        if wanted is not None and code:
            _hold(case, wanted, code, answer, stake)
            if code != "CURRENCY_DIFF":
                answer.now[posted.key] = wanted
            return
        standing = Posted(
            posted.type,
            posted.doc_number,
            _total(posted, adjustments),
            posted.txn_date,
            base.sync_token,
            posted.key,
            _with(posted, adjustments),
            locked=case.deposited or bool(adjustments) or posted.role == "summary",
        )
        facts = Facts(
            wanted is None,
            case.invoice_issued,
            received if wanted is not None else Decimal(0),
            case.day,
            max((document.revision for document in adjustments), default=0) + 1,
        )
        change = decide(wanted, standing, self.policy, facts)
        if change.action in {"update", "void"}:
            return
        answer.keep.append(posted)
        if wanted is not None:
            answer.now[posted.key] = wanted
            answer.keep += _payments_of(posted, case)
        answer.add += adjustments
        if change.action == "adjust" and change.document is not None:
            answer.add.append(change.document)
        if change.action == "hold":
            _hold(case, wanted or posted, change.code, answer, _moved(wanted, standing.total))
        elif adjustments or change.action == "adjust":
            moved = _moved(wanted, posted.total)
            answer.findings.append(_said(case, "EDIT_AFTER_CLOSE", posted, moved))


def _own(case: Case, history: Iterable[Intent]) -> list[Intent]:
    """The intents of this document: a day's later summaries have its source, and numbers of their own."""
    if case.wanted is None or case.wanted.role != "summary":
        return list(history)
    return [one for one in history if one.doc_number == plan.number_of(case.wanted)]


def _adjusted(key: str) -> str:
    """The source key under which the adjustments of a document stand."""
    _, role, source, _ = key.split("|")
    return plan.source_key(adjustment_key(key, role, source, 1))


def _adjustments(history: Iterable[Intent]) -> list[Intent]:
    """The adjustments that are in the books or on their way there, oldest first."""
    made = [one for one in history if one.state in {CONFIRMED, *IN_FLIGHT} and one.operation != "void"]
    newest = {one.doc_number: one for one in sorted(made, key=lambda one: one.revision)}
    return sorted(newest.values(), key=lambda one: one.revision)


def _received(wanted: Document | None, payments: Iterable[Document]) -> Decimal:
    """The money that came for a sale: all of a receipt, what payments give to an invoice."""
    if wanted is None:
        return Decimal(0)
    if wanted.type != "Invoice":
        return wanted.total
    payments = list(payments)
    # What is left over belongs to the order that the payment names: the first of a split cart.
    over = [one.unapplied for one in payments if one.order_id == wanted.order_id]
    return sum(over, _settled(wanted, payments))


def _unlike(wanted: Document | None, posted: Document, payments: Sequence[Document]) -> tuple[str, Decimal]:
    """Why another document would be needed, and the money that a person has to decide about first."""
    if wanted is None:
        return "", Decimal(0)
    if wanted.currency != posted.currency:
        return "CURRENCY_DIFF", wanted.total
    if wanted.type == posted.type:
        return "", Decimal(0)
    received = _received(wanted, payments)
    if posted.type == "SalesReceipt" and received != wanted.total:
        return "EDIT_UNDERPAID" if received < wanted.total else "PAY_OVER", abs(wanted.total - received)
    if posted.type == "SalesReceipt" and wanted.total == posted.total:
        elsewhere = _settled(wanted, (one for one in payments if one.deposit_to != posted.deposit_to))
        later = _settled(wanted, (one for one in payments if _month(one) != _month(posted)))
        # A receipt stands on one account and in one month.
        if elsewhere or later:
            return ("ACCOUNT_DIFF", elsewhere) if elsewhere else ("CUTOFF_DIFF", later)
    return "EDIT_CONFLICT", abs(wanted.total - posted.total)


_HOLDING = {("SalesReceipt", "Invoice"), ("RefundReceipt", "CreditMemo")}
"""What was posted, and what would be made today: the first holds the money's way too."""


def _holds_all(wanted: Document, posted: Document, case: Case) -> bool:
    """Whether what was posted says all that two documents would say today: nothing in the books is wrong then."""
    if (posted.type, wanted.type) not in _HOLDING or case.key != posted.key:
        return False
    if wanted.currency != posted.currency or _content(wanted) != _content(posted):
        return False
    if posted.role == "refund":
        return True
    elsewhere = any(
        one.deposit_to != posted.deposit_to or _month(one) != _month(posted) for one in case.payments
    )
    shared = len(_own_payments(case)) < len(case.payments)
    return not shared and not elsewhere and _received(wanted, case.payments) == wanted.total


def _content(document: Document) -> list[tuple[str, str, str, Decimal]]:
    lines = [(str(line.kind), line.item, line.tax_code, line.amount) for line in document.lines]
    return sorted([*lines, *(("", tax.code, str(tax.rate), tax.amount) for tax in document.taxes)])


def _own_payments(case: Case) -> list[Document]:
    """The payments that settle nothing else."""
    return [one for one in case.payments if all(part.to_key == case.key for part in one.applied)]


def _payments_of(posted: Document, case: Case) -> list[Document]:
    """Payments of an order that is its customer's still, for the card that its document names."""
    if case.reassigned:
        return []
    return [
        replace(one, customer_key=posted.customer_key, customer_name=posted.customer_name)
        for one in _own_payments(case)
        if one.customer_key != posted.customer_key
    ]


def _companions(wanted: Document, case: Case) -> list[str]:
    """The documents that would stand beside it today: payments, or the application of a credit."""
    if wanted.role == "refund":
        return [case.key.replace("|refund|", "|credit|")]
    return [one.key for one in case.payments]


def _month(document: Document) -> tuple[int, int]:
    return document.txn_date.year, document.txn_date.month


def _settled(wanted: Document, payments: Iterable[Document]) -> Decimal:
    """What the payments give to a sale."""
    applied = [part.amount for one in payments for part in one.applied if part.to_key == wanted.key]
    return sum(applied, Decimal(0))


def _moved(wanted: Document | None, total: Decimal) -> Decimal:
    """By how much a document is another than what is wanted now."""
    return abs((wanted.total if wanted is not None else Decimal(0)) - total)


def _hold(case: Case, wanted: Document, code: str, answer: Answer, amount: Decimal) -> None:
    """The document and the payments that came with it wait; what is in the books stays as it is."""
    answer.keep = [document for document in answer.keep if document.key != case.key]
    answer.held[case.key] = code
    for payment in case.payments:
        if wanted.type == "Invoice" and any(part.to_key == case.key for part in payment.applied):
            answer.held[payment.key] = code
    answer.findings.append(_said(case, code, wanted, amount))


def _said(case: Case, code: str, document: Document, amount: Decimal) -> Finding:
    """What a person is told; ``amount`` is the money at stake, not the whole of the document."""
    kind = "slip" if document.role == "refund" else "order"
    number = int(document.source_id) if document.source_id.isdigit() else 0
    return Finding(
        code, kind, number, document.order_id, case.key, amount, document.currency, CODES[code].meaning
    )


def _sign(document: Document) -> int:
    return -1 if document.type in {"CreditMemo", "RefundReceipt"} else 1


def _total(posted: Document, adjustments: Iterable[Document]) -> Decimal:
    own = _sign(posted)
    return posted.total + sum((own * _sign(one) * one.total for one in adjustments), Decimal(0))


def _with(posted: Document, adjustments: Sequence[Document]) -> Document:
    """The posted document as its adjustments have made it: all lines and taxes, signed."""
    if not adjustments:
        return posted
    lines, taxes = list(posted.lines), list(posted.taxes)
    for one in adjustments:
        sign = _sign(posted) * _sign(one)
        lines += [replace(line, amount=sign * line.amount) for line in one.lines]
        taxes += [replace(tax, base=sign * tax.base, amount=sign * tax.amount) for tax in one.taxes]
    tax_of = sum((tax.amount for tax in taxes), Decimal(0))
    return replace(
        posted,
        lines=tuple(lines),
        taxes=tuple(taxes),
        total=_total(posted, adjustments),
        total_tax=tax_of,
    )
