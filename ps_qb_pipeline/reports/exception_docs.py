"""What is generated from the table of codes: the SQL model ``recon.codes`` and the page of exceptions.

What lives here: two texts that a test compares with the files, so that the table in
``accounting.findings`` stays the only place where a code is described. What does not: the codes
themselves. ``python -m ps_qb_pipeline.reports.exception_docs`` writes both files anew.
"""

from __future__ import annotations

from pathlib import Path

from ps_qb_pipeline.accounting.findings import CODES, Code
from ps_qb_pipeline.reports.levels import LEVELS, Level
from ps_qb_pipeline.reports.words import OWNERS, SEVERITIES

_WHOLE = "the total of the document"
_BOOKS = "the total of the QuickBooks document"

AMOUNTS = {
    "MISSING_IN_QBO": _WHOLE,
    "PAYMENT_MISSING": _WHOLE,
    "QBO_DELETED": _WHOLE,
    "DUPLICATE_IN_QBO": _BOOKS + ", once for each surplus document",
    "ORPHAN_IN_QBO": _BOOKS,
    "PAYMENT_EXTRA": _BOOKS + ", or of the receipt whose payment is gone",
    "QBO_FOREIGN_LINE": _BOOKS,
    "QBO_EDITED": "the difference of the totals; of the nets or taxes where the totals agree; "
    "of a payment taken off its invoice, what the invoice no longer gets; else what moved between its lines",
    "EDIT_CONFLICT": "the difference of the totals",
    "QBO_RECALCULATED": "the difference of the totals; of the taxes where the totals agree",
    "AMOUNT_NET_DIFF": "the difference of the totals",
    "AMOUNT_TAX_DIFF": "the difference of the taxes; where no tax differs, what stands under another tax code",
    "AMOUNT_SHIP_DIFF": "the difference of the shipping",
    "AMOUNT_DISC_DIFF": "the difference of the discounts",
    "AMOUNT_GROSS_DIFF": "the difference of the totals",
    "FX_RATE_DIFF": "the difference of the totals in home currency",
    "CUSTOMER_DIFF": _WHOLE + ": this money stands with the wrong customer",
    "ACCOUNT_DIFF": _WHOLE + " when its deposit account differs, else its lines on other accounts",
    "DATE_DIFF": _WHOLE + ": this money stands on the wrong day",
    "CUTOFF_DIFF": _WHOLE + ": this money stands in the wrong period",
    "CURRENCY_DIFF": _WHOLE + ", in the currency of the shop",
    "SOURCE_DELETED": "what was booked for the source",
    "EDIT_AFTER_CLOSE": "the difference of the totals",
    "PERIOD_CLOSED": _WHOLE,
    "VOUCHER_DIFF": "used, expired and open beyond what was issued; else what another customer used",
    "PAY_UNMATCHED_PSP": "the payment in the shop",
    "PSP_UNMATCHED": "the line of the payout, before its fee",
    "REFUND_NOT_PAID_OUT": "the credit slip",
    "REFUND_NO_SLIP": "the refund of the payout line, or what was refunded without a slip",
    "CLEARING_NOT_ZERO": "the difference between provider and shop, or between a payout and its lines",
}
"""The money at stake in an exception, by code; other codes carry the gross of their source."""

KINDS = (
    ("a document that was never posted; each of twin orders by itself", "MISSING_IN_QBO"),
    ("a document that was never posted and whose date is closed in QuickBooks", "PERIOD_CLOSED"),
    ("a credit slip that was never posted", "MISSING_IN_QBO"),
    ("a payment that was never posted, or was deleted or voided", "PAYMENT_MISSING"),
    ("a document that a person deleted or voided, a refund included; its payment is not named again", "QBO_DELETED"),
    ("a document that was deleted and entered again by hand in parts", "QBO_DELETED, each part QBO_FOREIGN_LINE"),
    ("a second document with our key, note or number, a second refund included", "DUPLICATE_IN_QBO"),
    ("a document with our key or numbering for which the shop never had a source", "ORPHAN_IN_QBO"),
    ("a document made by hand on one of our income, clearing or tax accounts, of whatever kind", "QBO_FOREIGN_LINE"),
    ("a copy of a document of ours without our note and number", "QBO_FOREIGN_LINE"),
    ("a payment made by hand that settles one of our invoices, or on one of our clearing accounts", "PAYMENT_EXTRA"),
    ("a payment in the books whose row in the shop is gone", "PAYMENT_EXTRA"),
    ("a line, amount or total that a person edited, by a cent too", "QBO_EDITED"),
    ("a line moved to another item of the same account, or two lines changed against each other", "QBO_EDITED"),
    ("a payment that a person took off its invoice", "QBO_EDITED"),
    ("a tax that a person edited, the net untouched", "AMOUNT_TAX_DIFF"),
    ("a line under another tax code, at another rate or at the same", "AMOUNT_TAX_DIFF"),
    ("an amount that the shop changed after posting, the tax with it", "AMOUNT_GROSS_DIFF"),
    ("an amount that the shop changed after posting, the tax not", "AMOUNT_NET_DIFF"),
    ("shipping alone that the shop changed after posting", "AMOUNT_SHIP_DIFF"),
    ("discounts alone that the shop changed after posting", "AMOUNT_DISC_DIFF"),
    ("an amount that the shop changed after the period of its document was closed in QuickBooks", "EDIT_AFTER_CLOSE"),
    ("an amount that both sides changed", "EDIT_CONFLICT"),
    ("an amount that QuickBooks stored otherwise than sent", "QBO_RECALCULATED"),
    ("another date of the same month", "DATE_DIFF"),
    ("a date in another month, a receipt whose money came in another month", "CUTOFF_DIFF"),
    ("another currency; customer and account differ with it", "CURRENCY_DIFF, CUSTOMER_DIFF, ACCOUNT_DIFF"),
    ("another exchange rate", "FX_RATE_DIFF"),
    ("another customer", "CUSTOMER_DIFF"),
    ("another deposit account, a line moved to an item of another account, a receipt whose money came by another way",
     "ACCOUNT_DIFF"),
    ("an order or credit slip that is gone from the shop after it was booked", "SOURCE_DELETED"),
    ("store credit used, open or expired beyond what was issued, forged, or used by another customer", "VOUCHER_DIFF"),
    ("a payment between the first and the last line of its provider's files that none of them tells of, after five days",
     "PAY_UNMATCHED_PSP"),
    ("a line of a payout file whose transaction the shop does not know", "PSP_UNMATCHED"),
    ("a refund in a payout file for which the order has no credit slip", "REFUND_NO_SLIP"),
    ("a credit slip that none of them tells of, after seven days", "REFUND_NOT_PAID_OUT"),
    ("a payment or refund over another amount or in another currency at the provider, a payout that its lines do not make",
     "CLEARING_NOT_ZERO"),
    ("a record that breaks a rule", "the rule's code, or POISON_RECORD"),
)  # fmt: skip
"""Which code each kind of difference comes out as."""


def codes_sql() -> str:
    """The text of ``dbt_style_sql/recon/codes.sql``."""
    rows = ",\n".join(f"        ({_row(code)})" for code in CODES.values())
    return _CODES_SQL.replace("{rows}", rows)


_CODES_SQL = """-- The codes of exceptions, generated from the table in accounting/findings.py.
-- Grain: one row per code.
with

final as (
    select * from (values
{rows}
    ) as listed (code, severity, owner, auto, holds, meaning, action)
)

select * from final
"""


def _row(code: Code) -> str:
    texts = (code.code, code.severity, code.owner, code.auto)
    quoted = ", ".join(_quoted(text) for text in texts)
    return (
        f"{quoted}, {str(code.holds).lower()},\n"
        f"            {_quoted(code.meaning)},\n            {_quoted(code.action)}"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_INTRODUCTION = """# Exceptions

This page is generated from the table of codes; change the table, not the page.

Every order, payment and credit slip of the shop and every QuickBooks document is in exactly one class:
`matched`, one of the codes below, `not_postable:<reason>`, `before_go_live`, `voided` (by us, both sides agree),
`in_receipt` (a payment that a receipt in the books holds already) or `foreign` (made by others, and not on our accounts).

An exception is open until both sides agree again or a person settles it. Its amount is never negative, and the sum of
all amounts is the **open difference** of its currency: a surplus never cancels a lack. What merely deserves a look,
while the books hold what the shop meant, is a note: listed with its amount, and not part of the open difference.

## Which class wins

When a document differs in more than one way, each difference is an exception of its own. The class of the document is
the first that applies: another currency, money, a receipt where an invoice is meant, exchange rate, customer,
account, period, date.

A document belongs to a source when we recorded its QuickBooks id while posting it, else when the machine line of its
note carries the source's key, else when it has the source's document number. Of several live documents for one source
the one that we posted is compared, each other one is a duplicate. Amounts, names and dates never make a match.

The document of an order that is held back is compared with what was posted: what the order waits for and what
somebody changed in the books are two exceptions.

## Which difference comes out as which code
"""


WHERE = {
    "L0": "recon.conservation, rules on staging and raw",
    "L1": "recon.books_claims, recon.pairs, recon.objects",
    "L2": "recon.pairs, recon.line_pairs, recon.tax_pairs, recon.applied_pairs",
    "L3": "recon.pairs, recon.payout_matches",
    "L4": "recon.pairs, recon.payout_matches",
    "L5": "recon.accounts_rolled, recon.payout_exceptions",
    "L6": "recon.payouts, recon.payout_matches, recon.bank_matches",
    "L7": "recon.vouchers",
    "L8": "recon.ledger_tie_out, recon.tax_tie_out, marts.income_bridge",
    "L9": "recon.stock",
}
"""The relations that each level is proved by."""

_LEVELS = """
## The levels

Tolerance is zero but for amounts in home currency (one minor unit) and exchange rates (one in the sixth place). Age runs
from the event: 0-1, 2-3, 4-7, 8-14, 15-30, 31-60, 60+ days. An exception is due after two business days when it blocks
the close and after ten when it warns; a refund that was not paid out after seven days, and a wire or cheque that no bank
line has proved (`PAY_SYNTHETIC`) after fourteen. What is past its day is told to its owner; nothing is ever written off.

| level | compares | relations | codes |
|---|---|---|---|"""


def _level(level: Level) -> str:
    codes = ", ".join(f"`{code}`" for code in sorted(level.codes))
    return f"| {level.name} {level.title} | {level.compares} | {WHERE[level.name]} | {codes} |"


def exceptions_page() -> str:
    """The text of ``docs/exceptions.md``."""
    parts = [_INTRODUCTION, "| what happened | code |\n|---|---|"]
    parts.extend(f"| {kind} | {code} |" for kind, code in KINDS)
    parts.append(_LEVELS)
    parts.extend(_level(level) for level in LEVELS)
    parts.append("\n## The codes\n")
    parts.append(
        "| code | severity | owner | repaired alone | meaning | what to do | amount |\n|---|---|---|---|---|---|---|"
    )
    parts.extend(_line(code) for code in CODES.values())
    return "\n".join(parts) + "\n"


def _line(code: Code) -> str:
    alone = {"yes": "yes", "no": "no", "cond": "on a condition", "-": ""}[code.auto]
    amount = AMOUNTS.get(code.code, "the gross of the source" if code.holds else "as found")
    cells = (
        f"`{code.code}`",
        SEVERITIES[code.severity],
        OWNERS[code.owner],
        alone,
        code.meaning,
        code.action,
        amount,
    )
    return "| " + " | ".join(cells) + " |"


def write(root: Path) -> tuple[Path, Path]:
    """Writes both files below the repository's ``root`` and names them."""
    model, page = root / "dbt_style_sql" / "recon" / "codes.sql", root / "docs" / "exceptions.md"
    model.write_text(codes_sql())
    page.parent.mkdir(exist_ok=True)
    page.write_text(exceptions_page())
    return model, page


if __name__ == "__main__":
    write(Path(__file__).parents[2])
