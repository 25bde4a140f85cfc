"""How the figures come about, in the words that every rendering prints last.

What lives here: the method's text. What does not: the rules themselves (``dbt_style_sql/recon``).
"""

from __future__ import annotations

METHOD = (
    (
        "Matching. A QuickBooks document belongs to an order, payment or credit slip when we recorded its id while "
        "posting it, else when the note of the document carries the source's key, else when it has the source's document "
        "number. Amounts, names and dates never make a match."
    ),
    (
        "Classes. Every order, payment and slip of the shop and every document in QuickBooks is in exactly one class: "
        "matched, an exception with its code, not to be booked with its reason, older than the start, or made by others. "
        "Rows read and rows classed are counted and summed independently of each other; the remainder is printed and must "
        "be nothing."
    ),
    (
        "Tolerance. None for totals, tax, payments and clearing accounts. Amounts in home currency may differ by one minor "
        "unit from rounding the exchange. A tolerance never clears an item: what it covers is listed under its own name."
    ),
    (
        "Open difference. The sum of the amounts of all unresolved exceptions, by currency. A surplus never cancels a lack. "
        "A period is closed only when it is 0.00, or when each item carries a reason and an approver."
    ),
    "Ages are counted in days from the event in the shop. What blocks the close is due in 2 days, what warns in 10.",
    (
        "Profit. Without tax, at the document's exchange rate, by order line after vouchers. The cost is the shop's own at "
        "the time of the order, else the product's cost today; a cost of zero means unknown, and revenue without a cost is "
        "shown as such and in no margin. Refunds take their cost back only for goods that returned to stock."
    ),
    "Not covered: stock values and costs that QuickBooks posts itself, and costs of carriers.",
)
"""Paragraph by paragraph."""
