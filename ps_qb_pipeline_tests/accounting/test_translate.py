"""Groups to documents: forms of sale, money in and out, and one class for every source."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from ps_qb_pipeline.accounting import translate
from ps_qb_pipeline.accounting.documents import Document, Translation
from ps_qb_pipeline.accounting.policy import Condition, OfficialRate, Rule
from ps_qb_pipeline.accounting.shop import Order, Payment, Poison, SlipLine, StateChange
from ps_qb_pipeline_tests.accounting.factory import (
    AT,
    CANCELLED,
    ERROR,
    FRANCE,
    LONG_AGO,
    PAID,
    REFUNDED,
    SHIPPED,
    WAITING,
    ZERO,
    d,
    detail,
    group,
    order,
    pair,
    payment,
    policy,
    slip,
)

NEVER_INVOICED: dict[str, Any] = {"invoice_number": 0, "invoice_date": None, "invoices": ()}


def made_of(
    *orders: Order, paid: tuple[Payment, ...] = (), go_live: date = LONG_AGO, **changes: Any
) -> Translation:
    posted = changes.pop("posted", None)
    return translate.translate(
        group(*orders, payments=paid), policy(**changes), go_live=go_live, posted=posted
    )


def kinds(made: Translation) -> list[tuple[str, str, str]]:
    return [(document.type, document.doc_number, str(document.total)) for document in made.documents]


def codes(made: Translation) -> set[str]:
    return {finding.code for finding in made.findings}


def classes(made: Translation) -> dict[str, tuple[str, str]]:
    return {f"{source.type} {source.source_id}": (source.status, source.reason) for source in made.sources}


def only(made: Translation) -> Document:
    (document,) = made.documents
    return document


def test_a_card_order_paid_in_full_is_a_sales_receipt() -> None:
    """The money goes to the method's account of the currency, and the payment has no document of its own."""
    made = made_of(order(), paid=(payment("12.00"),))
    receipt = only(made)
    assert (receipt.type, receipt.deposit_to, receipt.payment_method) == (
        "SalesReceipt",
        "Clearing:Card EUR",
        "Credit card",
    )
    assert {source.document_key for source in made.sources} == {receipt.key}


def test_a_payment_of_another_month_needs_an_invoice() -> None:
    """Recognised in March, paid in April: the two dates stand apart."""
    made = made_of(order(), paid=(payment("12.00", date_add=AT + timedelta(days=31)),))
    assert [document.type for document in made.documents] == ["Invoice", "Payment"]
    assert [document.txn_date.month for document in made.documents] == [3, 4]


def test_a_row_made_by_a_status_change_is_no_cash() -> None:
    """It goes to the holding account of its method, with a warning."""
    synthetic = payment("12.00", transaction_id="", label="Wire")
    made = made_of(order(payment="Wire"), paid=(synthetic,))
    assert made.documents[1].deposit_to == "Clearing:Wire EUR"
    assert codes(made) == {"PAY_SYNTHETIC"}


@pytest.mark.parametrize(
    "proof", [{"id_employee": 3}, {"date_add": AT + timedelta(minutes=1)}, {"transaction_id": "X"}]
)
def test_a_row_that_a_person_or_a_module_made_is_money(proof: dict) -> None:
    """An employee, another second than the paid state, or a transaction id prove it."""
    row = payment("12.00", **{"transaction_id": "", "label": "Wire", **proof})
    made = made_of(order(payment="Wire"), paid=(row,))
    assert made.documents[1].deposit_to == "Bank:Main EUR"
    assert codes(made) == set()


def test_unproved_rows_may_wait_for_the_bank() -> None:
    """Under bank_line the row makes no payment until the bank shows it."""
    rules = policy()
    wire = replace(rules.methods["Wire"], offline_payments="bank_line")
    row = payment("12.00", transaction_id="", label="Wire")
    made = made_of(order(payment="Wire"), paid=(row,), methods={**rules.methods, "Wire": wire})
    assert [document.type for document in made.documents] == ["Invoice"]
    assert classes(made)["payment 1"] == ("not_postable", "waits_for_bank_line")


def test_cash_on_delivery_has_an_account_per_carrier() -> None:
    """Who collects the cash owes it."""
    shopping = order(module="ps_cashondelivery", payment="COD", carrier="Courier")
    row = payment("12.00", label="unknown words", date_add=AT + timedelta(days=3))
    made = made_of(shopping, paid=(row,))
    assert made.documents[1].deposit_to == "Clearing:Courier COD EUR"


def test_a_label_that_nobody_mapped_holds_the_order() -> None:
    """No account is ever guessed."""
    made = made_of(order(payment="Barter"), paid=(payment("12.00", label="Barter"),))
    assert made.documents == ()
    assert classes(made) == {"order 1": ("held", "METHOD_UNMAPPED"), "payment 1": ("held", "METHOD_UNMAPPED")}


def test_a_payment_in_another_currency_is_counted_in_the_orders() -> None:
    """10.80 dollars at 1.08 are the 12.00 euros less 2.00; the invoice says what lacks."""
    made = made_of(order(), paid=(payment("10.80", currency="USD", conversion_rate=d("1.08")),))
    assert kinds(made)[1] == ("Payment", "PS1-P1", "10.00")
    assert codes(made) == {"PAY_CURRENCY_DIFF", "PAY_UNDER"}


def test_a_free_order_keeps_its_lines() -> None:
    """A total of nothing is still a sales receipt, unless the policy skips it."""
    free = order(discounts=pair("10.00", "12.00"), payment="Free order")
    assert kinds(made_of(free)) == [("SalesReceipt", "PS1-1", "0.00")]
    assert classes(made_of(free, zero_total="skip")) == {"order 1": ("not_postable", "zero_total")}


def test_orders_before_the_start_are_counted_and_not_posted() -> None:
    """Order and payment are of their own class; nothing is posted."""
    made = made_of(order(), paid=(payment("12.00"),), go_live=date(2026, 6, 1))
    assert made.documents == ()
    assert {status for status, _ in classes(made).values()} == {"before_go_live"}


def test_a_refund_of_an_order_before_the_start_posts_without_its_sale() -> None:
    """It waits for no sale, so it names none."""
    old = order(slips=(slip(SlipLine(1, 1, pair("10.00", "12.00"))),))
    made = made_of(old, paid=(payment("12.00"),), go_live=date(2026, 3, 5))
    refund = only(made)
    assert (refund.type, refund.refund_of, refund.deposit_to) == ("RefundReceipt", "", "Clearing:Card EUR")


def test_an_unpaid_order_is_no_sale_and_its_early_money_waits() -> None:
    """A part payment before the sale has a class of its own."""
    waiting = order(state=WAITING, history=(StateChange(1, WAITING, AT),), **NEVER_INVOICED)
    made = made_of(waiting, paid=(payment("5.00", label="Wire"),))
    assert made.documents == ()
    assert classes(made) == {
        "order 1": ("not_postable", "unpaid"),
        "payment 1": ("not_postable", "before_sale"),
    }


def test_early_money_may_be_an_advance_with_tax_that_the_sale_reverses() -> None:
    """The advance is booked at the order's rates; the invoice takes it back by a credit memo."""
    waiting = order(state=WAITING, history=(StateChange(1, WAITING, AT),), **NEVER_INVOICED)
    row = payment("6.00", label="Wire", date_add=AT)
    advance = only(made_of(waiting, paid=(row,), prepayments="deposit_document"))
    assert (advance.role, advance.total, advance.total_tax) == ("deposit", d("6.00"), d("1.00"))
    later = made_of(
        order(payment="Wire"), paid=(row,), prepayments="deposit_document", posted={advance.key: AT.date()}
    )
    assert [(document.type, document.role) for document in later.documents] == [
        ("Invoice", "sale"),
        ("SalesReceipt", "deposit"),
        ("CreditMemo", "adjustment"),
        ("Payment", "credit"),
    ]
    assert later.documents[1] == advance
    assert later.documents[3].total == 0


def test_a_payment_error_with_money_waits_for_a_person() -> None:
    """Without money it is just unpaid."""
    broken = order(state=ERROR, history=(StateChange(1, ERROR, AT),), **NEVER_INVOICED)
    assert classes(made_of(broken, paid=(payment("5.00"),)))["order 1"] == ("held", "PAY_UNDER")
    assert classes(made_of(broken))["order 1"] == ("not_postable", "unpaid")


def test_a_cancelled_sale_proposes_its_reversal() -> None:
    """The sale is posted; without a slip its reversal is proposed with the full amount."""
    cancelled = order(
        state=CANCELLED, history=(StateChange(1, PAID, AT), StateChange(2, CANCELLED, AT + timedelta(1)))
    )
    made = made_of(cancelled, paid=(payment("12.00"),))
    assert kinds(made) == [("SalesReceipt", "PS1-1", "12.00")]
    (finding,) = [finding for finding in made.findings if finding.code == "REFUND_NO_SLIP"]
    assert finding.amount == d("12.00")


def test_a_refund_recorded_on_lines_only_is_proposed_too() -> None:
    """Lines with a refunded amount and no slip."""
    made = made_of(order(detail(refunded=pair("5.00", "6.00"))), paid=(payment("12.00"),))
    (finding,) = [finding for finding in made.findings if finding.code == "REFUND_NO_SLIP"]
    assert finding.amount == d("6.00")


def test_a_credit_on_an_unpaid_invoice_is_a_credit_memo_with_its_link() -> None:
    """Nothing was paid, so nothing is paid out: a payment of zero applies the memo."""
    unpaid = order(payment="Wire", slips=(slip(SlipLine(1, 1, pair("10.00", "12.00"))),))
    made = made_of(unpaid)
    assert [(document.type, str(document.total)) for document in made.documents] == [
        ("Invoice", "12.00"),
        ("CreditMemo", "12.00"),
        ("Payment", "0.00"),
    ]
    link = made.documents[2]
    assert [part.to_key for part in link.applied] == ["1|sale|1|0", "1|refund|31|0"]


def test_more_cash_is_never_given_back_than_came_in() -> None:
    """Half of the invoice was paid; a slip for most of it is held, and the sale stays."""
    half = order(
        detail(quantity=2, total=pair("20.00", "24.00")),
        payment="Wire",
        slips=(slip(SlipLine(1, 2, pair("15.00", "18.00"))),),
    )
    made = made_of(half, paid=(payment("12.00", label="Wire", date_add=AT + timedelta(1)),))
    assert classes(made)["slip 31"] == ("held", "REFUND_EXCEEDS_PAID")
    assert classes(made)["order 1"] == ("postable", "")


def test_a_refund_of_the_whole_order_mirrors_its_rounding_line() -> None:
    """The sale's rounding line comes back, so that the two documents cancel out."""
    lines = tuple(detail(n, unit=pair("4.995", "5.994"), total=pair("5.00", "5.99")) for n in (1, 2))
    rounded = order(
        *lines,
        round_type=2,
        paid=pair("9.99", "11.99"),
        total_paid=d("11.99"),
        slips=(slip(*(SlipLine(n, 1, pair("5.00", "5.99")) for n in (1, 2))),),
    )
    made = made_of(rounded, paid=(payment("11.99"),))
    sale, refund = made.documents
    assert [str(line.amount) for line in sale.lines if line.kind == "rounding"] == ["-0.01"]
    assert [str(line.amount) for line in refund.lines if line.kind == "rounding"] == ["-0.01"]


def test_split_orders_that_a_module_forgot_to_move_were_sold_together() -> None:
    """One part is paid, the other still waits, and the money covers both."""
    first = order(id=1)
    second = order(id=2, state=WAITING, history=(StateChange(9, WAITING, AT),), **NEVER_INVOICED)
    made = made_of(first, second, paid=(payment("24.00"),))
    assert kinds(made) == [("SalesReceipt", "PS1-1", "12.00"), ("SalesReceipt", "PS1-2", "12.00")]


def test_one_held_part_does_not_hold_the_other() -> None:
    """The receipt of the sound part is posted; the broken one waits."""
    broken = order(id=2, total_paid=d("99.00"))
    made = made_of(order(id=1), broken, paid=(payment("24.00"),))
    assert kinds(made) == [("SalesReceipt", "PS1-1", "12.00")]
    assert classes(made)["order 2"] == ("held", "PS_IDENTITY_BREAK")


def test_a_poisoned_line_holds_its_order_and_nothing_else() -> None:
    """The other order of the group is booked."""
    poisoned = group(order(id=1), order(id=2), payments=(payment("24.00"),))
    poisoned = replace(poisoned, poison=(Poison("detail", 77, 2, "amount is empty"),))
    made = translate.translate(poisoned, policy(), go_live=LONG_AGO)
    assert kinds(made) == [("SalesReceipt", "PS1-1", "12.00")]
    assert classes(made)["order 2"] == ("held", "POISON_RECORD")


def test_a_poisoned_order_is_still_a_source() -> None:
    """Nothing is dropped, even what cannot be read."""
    poisoned = replace(group(), poison=(Poison("order", 5, 5, "total is empty"), Poison("slip", 6, 5, "x")))
    made = translate.translate(poisoned, policy(), go_live=LONG_AGO)
    assert classes(made) == {"order 5": ("held", "POISON_RECORD"), "slip 6": ("held", "POISON_RECORD")}


def test_closed_periods_hold_or_move_what_is_not_posted_yet() -> None:
    """What is posted stays; what is not waits, or is dated on the first open day with a memo."""
    closed: dict[str, Any] = {"paid": (payment("12.00"),), "book_close_date": date(2026, 3, 31)}
    assert classes(made_of(order(), posted={}, **closed))["order 1"] == ("held", "PERIOD_CLOSED")
    moved = only(made_of(order(), posted={}, closed_period="first_open_day", **closed))
    assert moved.txn_date == date(2026, 4, 1)
    assert "2026-03-02" in moved.memo
    assert only(made_of(order(), posted={moved.key: AT.date()}, **closed)).txn_date == AT.date()
    assert only(made_of(order(), **closed)).txn_date == AT.date()


def test_rules_change_location_class_and_account_or_hold() -> None:
    """The accountant's exceptions apply where their condition holds."""
    french = Rule(
        "French", Condition(countries=("FR",)), income_account="Sales France", klass="Web", location="Lyon"
    )
    made = made_of(order(), paid=(payment("12.00"),), rules=(french,))
    assert (only(made).location, only(made).klass) == ("Lyon", "Web")
    assert made.items[0].income_account == "Sales France"
    big = Rule("big", Condition(total_at_least=d(10)), hold="more than ten")
    assert classes(made_of(order(), rules=(big,)))["order 1"] == ("held", "RULE_HOLD")


def test_tax_modes_shape_the_same_sale() -> None:
    """Inclusive lines carry gross; without sales tax the tax is a line; in the US lines are TAX or NON."""
    paid = (payment("12.00"),)
    inclusive = only(made_of(order(), paid=paid, tax_mode="GLOBAL_INCL"))
    assert (inclusive.global_tax, inclusive.lines[0].tax_inclusive_amount) == ("TaxInclusive", d("12.00"))
    untaxed = made_of(order(), paid=paid, tax_mode="NO_TAX")
    assert [(line.kind, str(line.amount)) for line in only(untaxed).lines] == [
        ("product", "10.00"),
        ("tax", "2.00"),
    ]
    assert codes(untaxed) == {"TAX_AS_LINE"}
    american = only(made_of(order(), paid=paid, tax_mode="US_AST"))
    assert (american.lines[0].tax_code, american.total_tax) == ("TAX", d("2.00"))


def test_numbers_may_be_the_shops_own() -> None:
    """Under numbering invoice the invoice's number is the document's; otherwise it is its memo."""
    paid = (payment("12.00"),)
    assert (only(made_of(order(), paid=paid)).doc_number, only(made_of(order(), paid=paid)).memo) == (
        "PS1-1",
        "#IN000007",
    )
    own = only(made_of(order(), paid=paid, numbering="invoice"))
    assert (own.doc_number, own.memo) == ("#IN000007", "")


def test_an_invoice_on_terms_is_not_underpaid_before_anything_is_due() -> None:
    """An issued invoice in a state that is not paid is open, not a deviation."""
    invoiced = replace(PAID, paid=False)
    open_ = order(payment="Wire", state=invoiced, history=(StateChange(1, invoiced, AT),))
    made = made_of(open_)
    assert kinds(made) == [("Invoice", "PS1-1", "12.00")]
    assert made.documents[0].due_date == AT.date() + timedelta(days=30)
    assert codes(made) == set()


def test_foreign_sales_carry_the_inverse_of_the_shops_rate() -> None:
    """The customer gets a card of that currency; the refund uses the sale's rate."""
    dollars = order(
        currency="USD", conversion_rate=d("1.08"), slips=(slip(SlipLine(1, 1, pair("10.00", "12.00"))),)
    )
    made = made_of(dollars, paid=(payment("12.00", currency="USD"),), customer_names="pseudonymous")
    assert {document.customer_name for document in made.documents} == {"PS C5 USD"}
    assert {str(document.exchange_rate) for document in made.documents} == {"0.925926"}
    assert made.documents[0].home_total == d("11.11")


def test_generic_items_need_no_catalogue() -> None:
    """Under missing_items generic every product is the one item of the policy."""
    made = made_of(order(), paid=(payment("12.00"),), missing_items="generic")
    assert only(made).lines[0].item == "PS Goods"
    assert made.items == ()


def test_a_refunded_state_without_slip_keeps_the_sale() -> None:
    """Refunded by status only: sale plus a proposed reversal."""
    back = order(
        state=REFUNDED, history=(StateChange(1, PAID, AT), StateChange(2, REFUNDED, AT + timedelta(2)))
    )
    assert codes(made_of(back, paid=(payment("12.00"),))) == {"REFUND_NO_SLIP"}


def test_wrapping_and_ecotax_have_lines_of_their_own() -> None:
    """Ecotax is taken out of the price; wrapping is a line."""
    shopping = order(
        detail(unit=pair("100", "120"), total=pair("100.00", "120.00"), ecotax=d(2), ecotax_tax_rate=d(20)),
        wrapping=pair("2.00", "2.40"),
        delivery_address=FRANCE,
    )
    sale = only(made_of(shopping, paid=(payment("122.40"),)))
    assert [(line.kind, str(line.amount)) for line in sale.lines] == [
        ("product", "98.00"),
        ("ecotax", "2.00"),
        ("wrapping", "2.00"),
    ]
    joined = only(made_of(shopping, paid=(payment("122.40"),), ecotax="included"))
    assert [line.kind for line in joined.lines] == ["product", "wrapping"]
    assert joined.total_tax == sale.total_tax


def test_shipped_before_paid_is_still_one_sale() -> None:
    """Cash on delivery: recognised by its invoice, paid later."""
    cod = order(
        module="ps_cashondelivery", payment="COD", state=SHIPPED, history=(StateChange(1, SHIPPED, AT),)
    )
    made = made_of(cod, paid=(payment("12.00", label="x", date_add=AT + timedelta(days=2)),))
    assert [document.type for document in made.documents] == ["Invoice", "Payment"]
    assert made.documents[1].deposit_to == "Clearing:COD EUR"


def test_a_zero_payment_row_moves_nothing() -> None:
    """Free orders leave rows of zero; they are a class of their own."""
    made = made_of(order(discounts=pair("10.00", "12.00")), paid=(payment("0.00", label="Free order"),))
    assert classes(made)["payment 1"] == ("not_postable", "zero_amount")
    assert made.documents[0].total == ZERO


def test_a_refund_may_take_the_rate_of_its_own_day() -> None:
    """Under refund_rate slip_date the official rate of the slip's day is used."""
    rates = (OfficialRate("USD", date(2026, 3, 10), d("0.90")),)
    dollars = order(
        currency="USD", conversion_rate=d("1.08"), slips=(slip(SlipLine(1, 1, pair("10.00", "12.00"))),)
    )
    made = made_of(dollars, paid=(payment("12.00", currency="USD"),), refund_rate="slip_date", fx_table=rates)
    assert [str(document.exchange_rate) for document in made.documents] == ["0.925926", "0.900000"]
    assert made.documents[1].home_total == d("10.80")


def test_an_order_in_a_state_that_the_shop_does_not_list_is_held() -> None:
    """Without its flags nothing is known of it."""
    assert classes(made_of(order(state=None), paid=(payment("12.00"),)))["order 1"] == (
        "held",
        "STATE_UNMAPPED",
    )


def test_a_row_that_gives_money_back_is_booked_once() -> None:
    """What a credit slip covers is the slip's; without a slip a person decides. The sale stays a cash sale."""
    shopping = order()
    rows = (payment("12.00"), payment("-5.00", id=2))
    alone = made_of(shopping, paid=rows)
    assert classes(alone)["payment 2"] == ("held", "REFUND_NO_SLIP")
    assert kinds(alone) == [("SalesReceipt", "PS1-1", "12.00")]
    slipped = made_of(
        order(slips=(slip(SlipLine(1, 1, pair("10.00", "12.00"))),)),
        paid=(payment("12.00"), payment("-12.00", id=2)),
    )
    assert classes(slipped)["payment 2"] == ("not_postable", "refund_of_slip")


def test_totals_with_more_decimals_than_the_currency_become_whole() -> None:
    """Old shops kept six decimals: lines, tax and total are whole minor units and still sum."""
    odd = order(shipping=pair("4.166667", "5.000000"), paid=pair("14.166667", "17.000000"))
    (document,) = made_of(odd, paid=(payment("17.00"),)).documents
    amounts = [line.amount for line in document.lines]
    assert all(amount == amount.quantize(d("0.01")) for amount in amounts)
    assert sum(amounts) + document.total_tax == document.total == d("17.00")
