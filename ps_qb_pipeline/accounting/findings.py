"""Findings: every deviation as a value with a code, and the one table of all codes.

What lives here: the shape of a finding and what each code means, whose it is and the way out; the
docs and the reports read this table. What does not: the rules that find them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

Severity = Literal["B", "W", "I"]
"""B blocks the close of a period, W warns, I informs."""
Owner = Literal["A", "M", "O", "D", "-"]
"""A accountant, M merchant, O operator, D developer, - nobody."""
Auto = Literal["yes", "no", "cond", "-"]
"""Whether the pipeline may resolve it alone: ``cond`` when a condition named in the action holds."""


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the code table."""

    code: str
    severity: Severity
    owner: Owner
    auto: Auto
    meaning: str
    action: str
    holds: bool = False
    """Whether the engine holds the source that this is found on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One deviation. ``amount`` is the money concerned, in ``currency``; evidence holds no personal data."""

    code: str
    source_type: str
    source_id: int
    order_id: int
    document_key: str = ""
    amount: Decimal = Decimal(0)
    currency: str = ""
    message: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """The severity that the code table gives this finding."""
        return CODES[self.code].severity

    @property
    def owner(self) -> Owner:
        """Whose task it is, by the code table."""
        return CODES[self.code].owner


# One row a code, grouped by who is surprised; the docs and the reports read it.
# fmt: off
_ROWS = (
    # --- the two systems disagree -------------------------------------------------------------
    Code("MISSING_IN_QBO", "B", "O", "yes", "A postable source has no document in QuickBooks.", "Post it."),
    Code("DUPLICATE_IN_QBO", "B", "A", "no", "More than one live document carries the same key.", "Choose which to void."),
    Code("ORPHAN_IN_QBO", "B", "A", "no", "A document carries our key, but the shop has no such source.", "Find out whether the source was deleted or the key copied."),
    Code("QBO_DELETED", "B", "A", "no", "A person deleted or voided a document that we posted.", "Accept it with a reason, or restore the document."),
    Code("QBO_EDITED", "B", "A", "no", "A person changed money in a document that we posted.", "Look at the difference, then accept or restore it."),
    Code("QBO_RECALCULATED", "B", "D", "no", "QuickBooks stored another tax or total than was sent.", "Void or hold by policy; report it."),
    Code("AMOUNT_NET_DIFF", "B", "A", "cond", "The net amount differs between shop and books.", "Repaired alone only when our own document is unchanged since posting."),
    Code("AMOUNT_TAX_DIFF", "B", "A", "cond", "The tax differs between shop and books.", "Repaired alone only when our own document is unchanged since posting."),
    Code("AMOUNT_SHIP_DIFF", "B", "A", "cond", "The shipping differs between shop and books.", "Repaired alone only when our own document is unchanged since posting."),
    Code("AMOUNT_DISC_DIFF", "B", "A", "cond", "The discount differs between shop and books.", "Repaired alone only when our own document is unchanged since posting."),
    Code("AMOUNT_GROSS_DIFF", "B", "A", "cond", "The total differs between shop and books.", "Repaired alone only when our own document is unchanged since posting."),
    Code("CUSTOMER_DIFF", "B", "A", "no", "The document names another customer.", "Accept it or restore the customer."),
    Code("ACCOUNT_DIFF", "B", "A", "no", "The document uses another account.", "Accept it or restore the account."),
    Code("DATE_DIFF", "B", "A", "no", "The document has another date of the same period.", "Accept it or restore the date."),
    Code("CURRENCY_DIFF", "B", "A", "no", "The document is in another currency.", "Void it and post it again."),
    Code("VOUCHER_DIFF", "B", "A", "no", "Store credit issued, used, expired and open do not agree.", "Compare the voucher's roll-forward with the shop's open vouchers."),
    Code("PAYMENT_MISSING", "B", "A", "cond", "A payment exists in the shop only.", "Post it, or exclude it with a reason."),
    Code("PAYMENT_EXTRA", "B", "A", "cond", "A payment exists in QuickBooks only.", "Find the order that it belongs to."),
    Code("CUTOFF_DIFF", "W", "A", "no", "The document lies in another period than its source.", "Confirm the period."),
    Code("QBO_FOREIGN_LINE", "W", "A", "no", "An entry made by hand stands on one of our accounts.", "Confirm or move it."),
    Code("EDIT_CONFLICT", "B", "A", "no", "Shop and books both changed since posting.", "Choose which change holds.", holds=True),
    Code("EDIT_AFTER_CLOSE", "W", "A", "yes", "The shop changed an order whose document may not be rewritten: closed period, issued invoice or bank deposit.", "The difference stands in an adjusting document of the open period."),
    Code("PERIOD_CLOSED", "W", "A", "yes", "The document's date lies in a closed period.", "Held or moved to the first open day, by policy."),
    # --- the order's own arithmetic -----------------------------------------------------------
    Code("PS_IDENTITY_BREAK", "B", "D", "no", "The order's stored totals do not add up within their bound.", "Look at the order in the shop; it may have been changed by SQL or a module.", holds=True),
    Code("PS_DISCOUNT_TAX_INVERTED", "B", "A", "no", "The discount without tax is larger than the discount with tax.", "Correct the order in the shop, or book it by hand.", holds=True),
    Code("SPLIT_SHIPPING_DERIVED", "I", "-", "yes", "The parts of a split order repeat the cart's shipping; each part's own was derived.", "Nothing to do."),
    Code("ECOTAX_LEFT_OUT", "I", "-", "-", "Lines carry an ecotax that the order's totals leave out; the totals hold.", "Nothing to do."),
    Code("ORDER_EDITED", "I", "-", "-", "The order changed after its checkout; the shop's hidden tax rows may be older than its totals, which hold.", "Nothing to do."),
    Code("ROW_TOTAL_DIFF", "I", "-", "-", "A line's total is not quantity times unit price; the line's total holds.", "Nothing to do."),
    Code("DISCOUNT_RULES_DIFF", "I", "-", "-", "The vouchers of the order do not sum to its discount; the order's header holds.", "Nothing to do."),
    Code("TAX_ROWS_STALE", "I", "-", "-", "The tax rows no longer match the order's header; the header's total tax holds.", "Nothing to do."),
    Code("TAX_AS_LINE", "I", "-", "-", "The company has sales tax switched off; the tax stands as a line.", "Nothing to do."),
    Code("ROUNDING_LINE_USED", "I", "-", "-", "A bounded rounding line closes the gap between the parts and the total.", "Nothing to do."),
    Code("TAX_FORM_ADJUSTED", "I", "-", "-", "Lines were given a form from which QuickBooks computes the shop's tax to the cent.", "Nothing to do."),
    Code("ROUNDING_EXCESS", "B", "D", "no", "The gap between the parts and the total is above the bound of rounding.", "Look at the order in the shop.", holds=True),
    Code("TAX_RESIDUE", "B", "D", "no", "The tax per rate does not close with the order's total tax.", "Look at the order's tax rows in the shop.", holds=True),
    Code("POISON_RECORD", "B", "D", "no", "A record cannot be understood.", "Look at the raw record.", holds=True),
    Code("SOURCE_DELETED", "B", "O", "no", "A source that was read before is gone from the shop.", "Find out who deleted it."),
    Code("SOURCE_LATE_UPDATE", "W", "O", "no", "A source changed after its period was closed.", "Look at the change."),
    # --- mappings -----------------------------------------------------------------------------
    Code("TAX_CODE_UNMAPPED", "B", "A", "no", "No tax code is set for this destination and rate.", "Add a row to the tax table, then run again.", holds=True),
    Code("ITEM_UNMAPPED", "B", "A", "no", "No item is set for this product.", "Map the product or allow items to be created.", holds=True),
    Code("METHOD_UNMAPPED", "B", "A", "no", "No payment method or account is set for this label and currency.", "Add the label to a payment method, then run again.", holds=True),
    Code("STATE_UNMAPPED", "B", "A", "no", "The order is in a state that the shop does not list.", "Look at the order's state in the shop; the states are read once a day.", holds=True),
    Code("TAX_ZERO_UNEXPLAINED", "B", "A", "no", "A line has no tax, and neither destination, VAT number nor exemption explains it.", "Correct the product's tax rule in the shop, or add a rule.", holds=True),
    Code("SKU_CLASH", "W", "M", "no", "Two products have the same SKU, or SKUs that differ by case only.", "Give each product its own SKU; until then each keeps an item of its own."),
    Code("SKU_EMPTY", "I", "M", "no", "A product has no SKU; its item is named by its number.", "Give the product a SKU."),
    Code("CUSTOMER_NAME_CLASH", "I", "-", "yes", "Two customers have the same name; one got a suffix.", "Nothing to do."),
    Code("CUSTOMER_CURRENCY_LOCK", "B", "A", "cond", "The customer exists in another currency, for ever.", "A card per currency is used; rename the old one if it blocks the name.", holds=True),
    Code("RULE_HOLD", "B", "A", "no", "A rule of the connection holds this order.", "Release it or change the rule.", holds=True),
    # --- vouchers -----------------------------------------------------------------------------
    Code("STORE_CREDIT_UNDECIDED", "B", "A", "no", "Store credit is used, and the connection does not say how it is booked.", "Set store_credit_policy to payment or discount.", holds=True),
    Code("STORE_CREDIT_ISSUED", "I", "-", "-", "A slip became store credit that counts as a discount when it is used.", "Nothing to do."),
    Code("TAX_STORE_CREDIT_GROSSUP", "W", "A", "yes", "Store credit used as payment: the tax differs from the printed invoice.", "Review the list; the tax is due on redemption."),
    # --- money --------------------------------------------------------------------------------
    Code("PAY_UNDER", "B", "M", "no", "Less was paid than the order's total.", "Collect the rest or credit it."),
    Code("PAY_OVER", "W", "M", "yes", "More was paid than the order's total; the rest stays unapplied.", "Refund it or keep it as credit."),
    Code("PAY_SYNTHETIC", "W", "M", "no", "A status change made this payment row; no money is proved.", "Match it with the bank."),
    Code("PAY_CURRENCY_DIFF", "W", "A", "no", "The payment is in another currency than its order.", "Confirm the amount received."),
    Code("PAY_ORPHAN", "W", "M", "no", "A payment row belongs to no order of the reference.", "Find out whose money it is."),
    Code("PAY_UNMATCHED_PSP", "B", "A", "no", "A payment has no line in any payout.", "Ask the payment provider."),
    Code("PSP_UNMATCHED", "B", "A", "no", "A line of a payout belongs to no order.", "Find the order."),
    Code("CLEARING_NOT_ZERO", "B", "A", "no", "A clearing account does not roll forward to the provider's balance.", "Look at the oldest open items."),
    Code("EDIT_UNDERPAID", "B", "M", "no", "The order was edited upwards after payment.", "Collect the difference or correct the order.", holds=True),
    # --- refunds ------------------------------------------------------------------------------
    Code("REFUND_NO_SLIP", "B", "M", "no", "Money or goods went back without a credit slip.", "Make the slip in the shop, or book the proposed reversal."),
    Code("REFUND_NOT_PAID_OUT", "W", "M", "no", "A credit slip has no refund at the payment provider.", "Pay it out."),
    Code("REFUND_EXCEEDS_PAID", "B", "A", "no", "The refund is larger than what was paid and not yet refunded.", "Correct the slip.", holds=True),
    Code("REFUND_IGNORES_DISCOUNT", "W", "A", "no", "The refund returns full prices of a discounted order.", "Confirm that this was intended."),
    Code("REFUND_ZERO", "I", "-", "-", "A credit slip of zero moves nothing.", "Nothing to do."),
    Code("SLIP_VOUCHER_RECOMPUTED", "I", "A", "yes", "The slip shows the shop's voucher mistake; its amounts were recomputed.", "Nothing to do."),
    Code("SLIP_LINES_DIFF", "I", "-", "-", "A slip's net total and its lines differ by rounding; the lines hold.", "Nothing to do."),
    Code("SLIP_AMOUNT_CHOSEN", "W", "A", "yes", "A person chose the refunded amount; the lines were restated to it.", "Nothing to do."),
    # --- currency -----------------------------------------------------------------------------
    Code("FX_RATE_DIFF", "W", "A", "cond", "The shop's rate is more than 1 % off the official one.", "Confirm the rate."),
    Code("FX_RATE_PRECISION", "W", "A", "cond", "The shop stored the rate with too few digits.", "The configured rate table is used when there is one."),
    Code("FX_RATE_MISSING", "B", "A", "no", "No usable exchange rate exists for this currency and day.", "Add it to the rate table.", holds=True),
    # --- dates --------------------------------------------------------------------------------
    Code("BEFORE_GO_LIVE", "I", "-", "-", "The order is older than the connection's start; it is counted, not posted.", "Nothing to do."),
    Code("DEFERRED_AT_PERIOD_END", "I", "A", "no", "The order is paid but not shipped, or shipped but not paid, at the end of a period.", "Consider the proposed deferral."),
)
# fmt: on

CODES: dict[str, Code] = {row.code: row for row in _ROWS}
"""Every code that any room may use."""
