"""A payout file of a provider as it is delivered, with differences in it.

What lives here: writing the file from what the shop holds, and leaving out, adding or changing lines.
What does not: reading it (``statements``).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb

from ps_qb_pipeline_tests.recon_truth.injector import Injector
from ps_qb_pipeline_tests.recon_truth.judging import CENT

PAYOUT = "po_truth"
HEADER = [
    "payout_id",
    "payout_date",
    "payout_amount",
    "method",
    "type",
    "line_id",
    "transaction_id",
    "payment_transaction_id",
    "amount",
    "fee",
    "currency",
    "date",
]


@dataclass(frozen=True, slots=True)
class Money:
    """A payment or refund of the shop that its provider must tell of."""

    kind: str
    number: int
    order_id: int
    doc_number: str
    transaction: str
    amount: Decimal
    currency: str
    day: date


def money_of(con: duckdb.DuckDBPyConnection, account: str) -> list[Money]:
    """Every payment and refund that stands on one clearing account."""
    rows = con.execute(
        """
        with payments as (
            select order_reference, max(transaction_id) as transaction_id
            from staging.prestashop_order_payments where transaction_id <> '' group by all
        )
        select if(objects.source_type = 'slip', 'refund', 'payment'), objects.source_id, objects.order_id,
            documents.doc_number,
            coalesce(own.transaction_id, payments.transaction_id), objects.shop_amount, objects.currency,
            cast(objects.event_at as date)
        from recon.shop_objects as objects
        inner join ledger.documents as documents on documents.key = objects.document_key
        left join staging.prestashop_order_payments as own
            on objects.source_type = 'payment' and own.id = objects.source_id
        left join payments on payments.order_reference = objects.reference
        where documents.deposit_to = $account and objects.source_type in ('payment', 'slip')
            and objects.status = 'postable' and objects.shop_amount > 0
        order by objects.event_at, objects.source_id
        """,
        {"account": account},
    ).fetchall()
    return [Money(*row) for row in rows]


def deliver(path: Path, method: str, money: list[Money], do: Injector) -> None:
    """Write the file, with one difference of each kind for every thousand payments or part of it."""
    lines = list(money)
    quiet = {one.order_id for one in do.targets}
    # A payment may be on its way for some days before it must be told of.
    late = date.today() - timedelta(days=10)  # noqa: DTZ011 - the shop's days are plain days
    middle = [one for one in lines[1:-1] if one.order_id in quiet and one.transaction and one.day < late]
    payments = [one for one in middle if one.kind == "payment"]
    refunds = [one for one in middle if one.kind == "refund"]
    do.rng.shuffle(payments)
    do.rng.shuffle(refunds)
    for _ in range(1 + len(money) // 1000):
        _disturb(lines, payments, refunds, do)
    _write(path, method, lines, do)


def _disturb(lines: list[Money], payments: list[Money], refunds: list[Money], do: Injector) -> None:
    add = do.truth.add
    if len(payments) < 4 or not refunds:
        do.skipped.append("payout difference")
        return
    left_out, other, unknown, returned = (payments.pop() for _ in range(4))
    lines.remove(left_out)
    add("payment not paid out", "PAY_UNMATCHED_PSP", left_out.doc_number, left_out.amount)
    lines[lines.index(other)] = replace(other, amount=other.amount - Decimal("0.37"))
    add("paid out at another amount", "CLEARING_NOT_ZERO", other.transaction, Decimal("0.37"))
    do.number += 1
    stranger = f"TX-UNKNOWN-{do.number}"
    # As much as another payment: an amount alone makes no match.
    lines.append(replace(unknown, transaction=stranger))
    add("paid out for no order", "PSP_UNMATCHED", stranger, unknown.amount)
    lines.append(replace(returned, kind="refund", amount=Decimal("1.11")))
    add("refund without a slip", "REFUND_NO_SLIP", f"re-{returned.transaction}-1.11", Decimal("1.11"))
    # Of another order: two refunds of one order over other amounts would be one that was paid out otherwise.
    kept = next((one for one in reversed(refunds) if one.order_id != returned.order_id), None)
    if kept is None:
        do.skipped.append("refund not paid out")
        return
    refunds.remove(kept)
    lines.remove(kept)
    add("refund not paid out", "REFUND_NOT_PAID_OUT", kept.doc_number, kept.amount)


def _write(path: Path, method: str, lines: list[Money], do: Injector) -> None:
    rows = []
    for line in lines:
        fee = (line.amount * Decimal("0.014")).quantize(CENT) if line.kind == "payment" else Decimal(0)
        paid = line.kind == "payment"
        own = line.transaction if paid else f"re-{line.transaction}-{line.amount}"
        parent = "" if paid else line.transaction
        signed = line.amount if paid else -line.amount
        day = str(line.day)
        rows.append([PAYOUT, day, "", method, line.kind, "", own, parent, signed, fee, line.currency, day])
    whole = sum((row[8] - row[9] for row in rows), Decimal(0))
    short = Decimal("3.21")
    for row in rows:
        row[2] = whole - short
    do.truth.add("payout short", "CLEARING_NOT_ZERO", PAYOUT, short)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows)
