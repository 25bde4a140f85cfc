"""Money between provider, bank and books: payouts, what they are matched with, store credit, stock.

What lives here: these tables of the report as data. What does not: the figures (``dbt_style_sql/recon``).
"""

from __future__ import annotations

from ps_qb_pipeline.reports.section import Section, money
from ps_qb_pipeline.reports.table import CURRENCY, DOCUMENT, ORDER, REFERENCE, Column

_METHOD = Column("method", "Payment method")
_PAYOUT = Column("payout_id", "Payout")
_DAY = Column("day", "Day", "date")

PAYOUTS = Section(
    "payouts",
    "Payouts of payment providers",
    "What each payout is made of, and what reached the bank. The difference is the deposit less its lines; a payout "
    "that differs or has lines without an order cannot be approved, and nothing is posted of it.",
    """select payout_id, method, day, currency, payments, refunds, chargebacks, fees, reserves, exchange, adjustments,
        deposit, difference, unmatched_lines, state, approved_by
    from recon.payouts order by day, payout_id""",
    (
        _PAYOUT,
        _METHOD,
        _DAY,
        CURRENCY,
        money("payments", "Payments"),
        money("refunds", "Refunds"),
        money("chargebacks", "Chargebacks"),
        money("fees", "Fees"),
        money("reserves", "Reserves"),
        money("exchange", "Exchange"),
        money("adjustments", "Adjustments"),
        money("deposit", "Deposit"),
        money("difference", "Difference"),
        Column("unmatched_lines", "Lines without order", "integer"),
        Column("state", "State"),
        Column("approved_by", "Approved by"),
    ),
)

MATCHES = Section(
    "three_way",
    "Order, payment, payout and document",
    "Every payment, refund and chargeback of the delivered payout files beside the shop's row and the QuickBooks "
    "document that it stands in. Matched by the transaction's id; candidates are for a person and never posted.",
    """select matches.day, matches.kind, matches.transaction_id, matches.payout_id, matches.order_id,
        matches.reference, documents.doc_number, matches.currency, matches.amount, matches.shop_amount,
        matches.amount - matches.shop_amount as difference, matches.fee, matches.matched_by, matches.candidates
    from recon.payout_matches as matches
    left join ledger.documents as documents on matches.document_key = documents.key
    order by matches.matched_by <> 'transaction' desc, matches.day, matches.id""",
    (
        _DAY,
        Column("kind", "Kind"),
        Column("transaction_id", "Transaction"),
        _PAYOUT,
        ORDER,
        REFERENCE,
        DOCUMENT,
        CURRENCY,
        money("amount", "At the provider"),
        money("shop_amount", "In the shop"),
        money("difference", "Difference"),
        money("fee", "Fee"),
        Column("matched_by", "Matched by"),
        Column("candidates", "To look at"),
    ),
)

BANK = Section(
    "bank",
    "Bank statements against open invoices and payouts",
    "Every incoming booking and what it may pay. Sure is only one whose text names exactly one open invoice over its "
    "amount.",
    """select booked_on, amount, currency, rule, if(sure, 'yes', 'no') as sure, doc_number, payout_id, order_id, balance, candidates
    from recon.bank_matches order by booked_on, id""",
    (
        Column("booked_on", "Booked on", "date"),
        money("amount", "Amount"),
        CURRENCY,
        Column("rule", "Why"),
        Column("sure", "Sure"),
        DOCUMENT,
        _PAYOUT,
        ORDER,
        money("balance", "Open of the invoice"),
        Column("candidates", "To look at"),
    ),
)

VOUCHERS = Section(
    "vouchers",
    "Store credit rolled forward",
    "Per voucher of a credit slip: issued, used, expired and still open. Beyond what was issued, or used by another "
    "customer, it is an exception; what the shop no longer keeps is shown and is none.",
    """select voucher, order_id, customer_id, currency, issued_on, issued, used, expired, open, not_kept, excess,
        used_by_others
    from recon.vouchers order by currency, issued_on, voucher""",
    (
        Column("voucher", "Voucher"),
        ORDER,
        Column("customer_id", "Customer", "id"),
        CURRENCY,
        Column("issued_on", "Issued on", "date"),
        money("issued", "Issued"),
        money("used", "Used"),
        money("expired", "Expired"),
        money("open", "Open"),
        money("not_kept", "No longer kept"),
        money("excess", "Excess"),
        money("used_by_others", "Used by others"),
    ),
)

STOCK = Section(
    "stock",
    "Stock of shop and books",
    "Where QuickBooks keeps the stock of an item. Items that this pipeline makes keep none.",
    """select sku, name, shop_quantity, books_quantity, difference, value_difference from recon.stock order by sku""",
    (
        Column("sku", "SKU"),
        Column("name", "Item"),
        Column("shop_quantity", "In the shop", "quantity"),
        Column("books_quantity", "In QuickBooks", "quantity"),
        Column("difference", "Difference", "quantity"),
        money("value_difference", "At cost"),
    ),
)

MONEY_BETWEEN = (PAYOUTS, MATCHES, BANK, VOUCHERS, STOCK)
"""All of them, in their order."""
