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
        history = self._history(cases)
        for case in cases:
            base = plan.standing(_own(case, history.get(plan.source_key(case.key), ()))).base
            if base is not None:
                self._judge(case, base, _adjustments(history.get(_adjusted(case.key), ())), answer)
        return answer

    def _history(self, cases: Sequence[Case]) -> Mapping[str, Sequence[Intent]]:
        keys = [key for case in cases for key in (plan.source_key(case.key), _adjusted(case.key))]
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
        received = _received(wanted, case.payments)
        code, stake = _unlike(wanted, posted, case.payments)
        if wanted is not None and code:
            _hold(case, wanted, code, answer, stake)
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
    applied = [part.amount for one in payments for part in one.applied if part.to_key == wanted.key]
    # What is left over belongs to the order that the payment names: the first of a split cart.
    over = [one.unapplied for one in payments if one.order_id == wanted.order_id]
    return sum([*applied, *over], Decimal(0))


def _unlike(wanted: Document | None, posted: Document, payments: Iterable[Document]) -> tuple[str, Decimal]:
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
    # A receipt whose money came by several ways stands on the account of one of them.
    elsewhere = [
        part.amount
        for one in payments
        for part in one.applied
        if part.to_key == wanted.key and one.deposit_to != posted.deposit_to
    ]
    if posted.type == "SalesReceipt" and wanted.total == posted.total and elsewhere:
        return "ACCOUNT_DIFF", sum(elsewhere, Decimal(0))
    return "EDIT_CONFLICT", abs(wanted.total - posted.total)


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
