"""After posting: update, void, adjust, hold or nothing; payouts; keys and notes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from ps_qb_pipeline.accounting import changes, identity, payouts, translate
from ps_qb_pipeline.accounting.changes import Facts, Posted, decide
from ps_qb_pipeline.accounting.documents import Document
from ps_qb_pipeline_tests.accounting.factory import (
    AT,
    LONG_AGO,
    d,
    detail,
    group,
    order,
    pair,
    payment,
    policy,
)

EDIT = policy(issued_invoices="edit")
KEEP = policy(issued_invoices="keep")


def sale(quantity: int = 1, method: str = "Card", paid: str = "") -> Document:
    shopping = order(
        detail(quantity=quantity, total=pair(str(10 * quantity), str(12 * quantity))), payment=method
    )
    row = payment(paid or str(12 * quantity), label=method)
    return translate.translate(group(shopping, payments=(row,)), EDIT, go_live=LONG_AGO).documents[0]


def posted(body: Document, **facts: Any) -> Posted:
    return Posted(body.type, body.doc_number, body.total, body.txn_date, "4", body.key, body, **facts)


def test_what_did_not_change_needs_nothing() -> None:
    """The same document, whatever its note and memo say."""
    body = sale()
    assert decide(replace(body, memo="other"), posted(body), EDIT, Facts(received=d(12))).action == "none"


def test_an_edit_in_an_open_period_is_an_update() -> None:
    """The whole new document under the posted one's version."""
    change = decide(sale(2), posted(sale(1)), EDIT, Facts(received=d(24)))
    assert (change.action, change.target.sync_token) == ("update", "4")
    assert change.document == sale(2)


@pytest.mark.parametrize(("received", "code"), [("12", "EDIT_UNDERPAID"), ("36", "PAY_OVER")])
def test_a_receipt_never_gets_a_total_that_was_not_received(received: str, code: str) -> None:
    """Less or more money than the new total waits for a person."""
    change = decide(sale(2), posted(sale(1)), EDIT, Facts(received=d(received)))
    assert (change.action, change.code) == ("hold", code)


def test_what_a_person_changed_is_never_overwritten() -> None:
    """Both sides changed: a conflict; only the books changed: that is said."""
    body = sale()
    both = decide(sale(2), posted(body, money_edited=True), EDIT, Facts(received=d(24)))
    assert (both.action, both.code) == ("hold", "EDIT_CONFLICT")
    theirs = decide(body, posted(body, money_edited=True), EDIT, Facts(received=d(12)))
    assert (theirs.action, theirs.code) == ("hold", "QBO_EDITED")


def test_what_a_person_deleted_is_not_made_again() -> None:
    """A deleted document stays deleted until someone decides."""
    body = sale()
    assert decide(body, posted(body, gone=True), EDIT, Facts()).code == "QBO_DELETED"


def test_a_closed_period_gets_an_adjustment_of_the_signed_difference() -> None:
    """Two units instead of one: a receipt for the second, in the open period."""
    rules = policy(issued_invoices="edit", book_close_date=date(2026, 3, 31))
    change = decide(sale(2), posted(sale(1)), rules, Facts(received=d(24), day=AT.date()))
    document = change.document
    assert document is not None
    assert (change.action, change.code, document.type) == ("adjust", "EDIT_AFTER_CLOSE", "SalesReceipt")
    assert (document.doc_number, document.txn_date, document.total) == (
        "PS1-1-A1",
        date(2026, 4, 1),
        d("12.00"),
    )
    assert [(line.kind, str(line.amount), line.tax_code) for line in document.lines] == [
        ("goods", "10.00", "FR20")
    ]
    back = decide(sale(1), posted(sale(2)), rules, Facts(received=d(24))).document
    assert back is not None
    assert (back.type, back.total, back.refund_of) == ("RefundReceipt", d("12.00"), "PS1-1")


def test_an_issued_invoice_is_adjusted_where_the_law_keeps_it() -> None:
    """Under issued_invoices keep even an open period's document is never rewritten."""
    facts = Facts(received=d(24), invoice_issued=True)
    assert decide(sale(2), posted(sale(1)), KEEP, facts).action == "adjust"
    assert decide(sale(2), posted(sale(1)), EDIT, facts).action == "update"


def test_a_locked_document_is_adjusted() -> None:
    """Deposited or reconciled documents cannot be rewritten."""
    assert decide(sale(2), posted(sale(1), locked=True), EDIT, Facts(received=d(24))).action == "adjust"


def test_a_cancelled_unpaid_invoice_is_voided_or_credited() -> None:
    """Void where it may be; a credit memo in full where the invoice must stay; nothing once money came."""
    body = sale(1, "Wire")
    assert decide(None, posted(body), EDIT, Facts(cancelled=True)).action == "void"
    kept = decide(None, posted(body), KEEP, Facts(cancelled=True, invoice_issued=True))
    assert kept.document is not None
    assert (kept.action, kept.document.type, kept.document.total) == ("adjust", "CreditMemo", d("12.00"))
    assert decide(None, posted(body), EDIT, Facts(cancelled=True, received=d(5))).action == "none"


def test_only_the_total_may_be_known() -> None:
    """Without the posted body the difference divides over the tax codes by their share."""
    rules = policy(issued_invoices="edit", book_close_date=date(2026, 3, 31))
    known = Posted("SalesReceipt", "PS1-1", d("36.00"), AT.date())
    document = decide(sale(2), known, rules, Facts(received=d(36))).document
    assert document is not None
    assert (document.type, document.total, document.total_tax) == ("RefundReceipt", d("12.00"), d("2.00"))


def test_a_receipt_that_became_an_invoice_is_a_conflict() -> None:
    """A document cannot change its kind."""
    unpaid = sale(1, "Wire")
    change = decide(unpaid, replace(posted(sale(1)), total=d("11.00")), EDIT, Facts(received=d(12)))
    assert (change.action, change.code) == ("hold", "EDIT_CONFLICT")
    assert isinstance(change, changes.Change)


# -- payouts ----------------------------------------------------------------------------------


def payout(**values: Any) -> payouts.Payout:
    base = {"gross": d("116.10"), "refunds": d("12.00"), "fees": d("1.84"), "net": d("102.26")}
    return payouts.Payout("po_1", "EUR", AT.date(), "Card", **{**base, **values})


def test_a_payout_rolls_its_clearing_account_to_zero() -> None:
    """Fees and transfer take out exactly what came in."""
    made = payouts.settle(payout(), policy())
    assert [(document.type, document.doc_number, str(document.total)) for document in made.documents] == [
        ("Purchase", "PSF-po_1", "1.84"),
        ("Transfer", "PST-po_1", "102.26"),
    ]
    assert made.roll_forward.closing == 0
    assert made.findings == ()


def test_a_payout_that_leaves_something_says_how_much() -> None:
    """One cent too little on the bank."""
    made = payouts.settle(payout(net=d("102.25")), policy())
    assert [(finding.code, finding.amount) for finding in made.findings] == [("CLEARING_NOT_ZERO", d("0.01"))]


def test_a_payout_of_an_unknown_method_makes_nothing() -> None:
    """No account is guessed."""
    made = payouts.settle(replace(payout(), method="Barter"), policy())
    assert made.documents == ()
    assert made.findings[0].code == "METHOD_UNMAPPED"


def test_an_exchanged_payout_books_gain_or_loss() -> None:
    """The bank got more than the clearing account carried: a gain."""
    dollars = replace(payout(), currency="USD", received_home=d("95.00"))
    journal = payouts.settle(dollars, policy(), carrying_rate=d("0.925926")).documents[1]
    entries = {line.account: (line.posting, str(line.amount)) for line in journal.lines}
    assert entries["Bank:Main EUR"] == ("debit", "95.00")
    assert entries["Clearing:Card USD"] == ("credit", "94.69")
    assert entries["Exchange gain or loss"] == ("credit", "0.31")


def test_a_chargeback_is_taken_from_the_sales_account() -> None:
    """The money leaves the clearing account under an item of its own, the fee apart."""
    taken, fee = payouts.chargeback(
        policy(), sale(), reference="cb_1", day=AT.date(), amount=d("12.00"), fee=d("15.00")
    )
    assert (taken.type, taken.lines[0].item, taken.deposit_to) == (
        "RefundReceipt",
        "PS Chargebacks",
        "Clearing:Card EUR",
    )
    assert (fee.type, fee.total, fee.from_account) == ("Purchase", d("15.00"), "Clearing:Card EUR")


# -- keys, numbers, notes ---------------------------------------------------------------------


def test_the_private_note_tells_the_key_and_no_person() -> None:
    """Key, order and reference stand in it, and a hash of the body."""
    document = sale()
    assert document.private_note.startswith("ps:{v:1,i:1,s:1,o:1,ref:ABCDEFGHI,rev:0,role:sale,id:1,h:")
    assert document.private_note.endswith(f"h:{identity.body_hash(document)}}}")


def test_the_hash_follows_the_body_not_the_note() -> None:
    """A changed amount changes the hash; a changed note does not."""
    document = sale()
    assert identity.body_hash(replace(document, private_note="x")) == identity.body_hash(document)
    assert identity.body_hash(replace(document, total=d("12.01"))) != identity.body_hash(document)


def test_numbers_never_exceed_what_quickbooks_takes() -> None:
    """Long payout ids are hashed; additions lose hyphens, never their number."""
    assert identity.payout_number("PSF", "po_1") == "PSF-po_1"
    long = identity.payout_number("PSF", "po_1N2b3c4D5e6F7g8H9i0J")
    assert len(long) == 21
    assert long == identity.payout_number("PSF", "po_1N2b3c4D5e6F7g8H9i0J")
    assert identity.adjustment_number("PSD1-260115-EUR-STR", 1) == "PSD1-260115-EUR-STRA1"
