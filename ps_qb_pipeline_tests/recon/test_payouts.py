"""Payout lines, bank bookings and store credit against the shop: matched by id, never by an amount alone."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from ps_qb_pipeline_tests.recon.world import CLEARING, World

PAID = datetime(2026, 1, 15, 12, 0)  # noqa: DTZ001 - the file keeps wall time


def line(
    kind: str, transaction: str, amount: str, *, of: str = "", fee: str = "0.00", **more: Any
) -> dict[str, Any]:
    """A line of payout po_1."""
    signed = Decimal(amount)
    return {
        "connection": "test",
        "id": f"Stripe|{transaction}|{amount}",
        "method": "Stripe",
        "account": CLEARING,
        "payout_id": "po_1",
        "kind": kind,
        "said": kind,
        "transaction_id": transaction,
        "ids": [transaction, of] if of else [transaction],
        "amount": signed,
        "fee": Decimal(fee),
        "net": signed - Decimal(fee),
        "currency": "EUR",
        "happened_at": PAID,
        "by_withdrawal": False,
    } | more  # fmt: skip


@pytest.fixture(scope="module")
def told() -> World:
    """Nine card sales of 30.00 and a refund of 12.00, and a payout file that tells most of them otherwise."""
    world = World()
    for order in (*range(1001, 1007), 1007, 1008, 1009):
        world.sale(order)
        world.con.execute(
            f"update staging.prestashop_order_payments set transaction_id = 'TX{order}' where id = {order + 5000}"
        )
    world.refund(1, 1001)
    world.sale(1010, document="Invoice", customer=13)
    world.con.execute("update staging.quickbooks_documents set balance = total where doc_number = 'PS1-1010'")
    world.rows(
        "staging.files_payout_lines",
        line("payment", "TX1001", "30.00", fee="0.60", id="first", happened_at=datetime(2026, 1, 10, 9)),  # noqa: DTZ001
        line("payment", "TX1002", "29.50"),
        line("payment", "TX1003", "20.00"),
        line("payment", "TX1003", "10.00"),
        line("payment", "STRANGER", "30.00"),
        line("refund", "RE1", "-4.00", of="TX1005"),
        line("refund", "RE2", "-1.00", of="TX1004"),
        line("payment", "TX1005", "30.00"),
        line("payment", "TX1006", "30.00"),
        # In another currency, without and with a word of what the customer paid.
        line("payment", "TX1007", "30.00", currency="USD", payout_id=""),
        line(
            "payment",
            "TX1008",
            "33.00",
            currency="USD",
            payout_id="",
            presented_amount=Decimal(30),
            presented_currency="EUR",
        ),
        line(
            "payment",
            "TX1009",
            "33.00",
            currency="USD",
            payout_id="",
            presented_amount=Decimal(29),
            presented_currency="EUR",
        ),
        line("reserve", "hold", "-10.00"),
        line("payout", "po_1", "-150.00", id="last", happened_at=datetime(2026, 1, 30, 9)),  # noqa: DTZ001
        line("payment", "TX-LATE", "1.00", payout_id="", id="late", happened_at=datetime(2026, 1, 30, 9)),  # noqa: DTZ001
    )
    world.rows(
        "staging.files_bank_lines",
        {"connection": "test", "id": "b1", "booked_on": date(2026, 1, 20), "amount": Decimal(30), "currency": "EUR",
         "reference": "", "description": "invoice PS1-1010 thanks"},
        {"connection": "test", "id": "b2", "booked_on": date(2026, 1, 20), "amount": Decimal(30), "currency": "EUR",
         "reference": "", "description": "thank you", "counterparty": "somebody"},
        {"connection": "test", "id": "b3", "booked_on": date(2026, 1, 20), "amount": Decimal(25), "currency": "EUR",
         "reference": "PS1-1010", "description": ""},
        {"connection": "test", "id": "b4", "booked_on": date(2026, 1, 31), "amount": Decimal(150), "currency": "EUR",
         "reference": "", "description": "STRIPE PAYOUT"},
    )  # fmt: skip
    world.rows(
        "staging.prestashop_cart_rules",
        {"id": 7, "code": "V7C12O1001", "reduction_amount": Decimal(12), "reduction_currency": 1, "quantity": 0,
         "active": True, "reduction_tax": True},
        {"id": 8, "code": "V7C12O1001-2", "reduction_amount": Decimal(9), "reduction_currency": 1, "quantity": 1,
         "active": True, "reduction_tax": True},
        {"id": 9, "code": "V9C12O1002", "reduction_amount": Decimal(50), "reduction_currency": 1, "quantity": 1,
         "active": True, "reduction_tax": True},
    )  # fmt: skip
    world.rows(
        "staging.prestashop_order_cart_rules",
        {"id": 1, "id_order": 1003, "id_cart_rule": 7, "value": Decimal(5), "value_tax_excl": Decimal(4), "deleted": False},
    )  # fmt: skip
    world.run("recon")
    return world


def exceptions(world: World, code: str) -> set[tuple[str, Decimal]]:
    """What is said under a code: the thing and the money."""
    rows = world.all(f"select doc_number, amount from recon.exceptions where code = '{code}'")
    return {(str(number), amount) for number, amount in rows}


def test_a_payment_that_no_line_tells_of_is_named(told: World) -> None:
    """Neither a stranger over the same amount nor a refund of it stands for it."""
    assert exceptions(told, "PAY_UNMATCHED_PSP") == {("PS1-1004", Decimal("30.00"))}


def test_a_line_of_no_order_is_named_with_what_it_might_be(told: World) -> None:
    """The amount alone makes candidates, and no match."""
    assert exceptions(told, "PSP_UNMATCHED") == {("STRANGER", Decimal("30.00")), ("TX-LATE", Decimal("1.00"))}
    ((candidates,),) = told.all(
        "select candidates from recon.payout_matches where transaction_id = 'STRANGER'"
    )
    assert "REF1004" in candidates


def test_refunds_are_compared_with_credit_slips(told: World) -> None:
    """Money back without a slip, and a slip whose money did not go back."""
    assert exceptions(told, "REFUND_NO_SLIP") == {("RE1", Decimal("4.00")), ("RE2", Decimal("1.00"))}
    assert exceptions(told, "REFUND_NOT_PAID_OUT") == {("PS1-R1", Decimal("12.00"))}


def test_amounts_that_differ_and_a_payout_that_its_lines_do_not_make(told: World) -> None:
    """A payment captured in two parts agrees; one captured short or in other money and a short payout do not."""
    assert exceptions(told, "CLEARING_NOT_ZERO") == {
        ("TX1002", Decimal("0.50")),
        ("TX1007", Decimal("30.00")),
        ("TX1009", Decimal("1.00")),
        ("po_1", Decimal("13.90")),
    }
    assert told.all("select deposit, difference, unmatched_lines, state from recon.payouts") == [
        (Decimal("150.00"), Decimal("-13.90"), 3, "unmatched lines")
    ]


def test_store_credit_beyond_what_was_issued_and_without_a_refund(told: World) -> None:
    """Issued 12, used 5 and still open 9 is 2 too much; an order without a slip issued nothing."""
    assert exceptions(told, "VOUCHER_DIFF") == {
        ("V7C12O1001", Decimal("2.00")),
        ("V9C12O1002", Decimal("50.00")),
    }


def test_only_a_booking_that_names_one_open_invoice_over_its_amount_is_sure(told: World) -> None:
    """The same amount without a name, and the name with another amount, are for a person."""
    assert told.all("select id, rule, sure, doc_number, payout_id from recon.bank_matches order by id") == [
        ("b1", "names the invoice", True, "PS1-1010", ""),
        ("b2", "amount alone", False, "PS1-1010", ""),
        ("b3", "names the invoice, another amount", False, "PS1-1010", ""),
        ("b4", "payout", False, None, "po_1"),
    ]


def test_what_blocks_the_close_is_due_after_two_business_days_and_a_warning_after_ten(told: World) -> None:
    """A weekend is no business day; a refund has seven days of its own."""
    due = dict(told.all("select code, min(due_on - event_date) from recon.exceptions group by code"))
    assert due["PAY_UNMATCHED_PSP"] == 4  # Thursday to Monday
    assert due["REFUND_NOT_PAID_OUT"] == 7
    assert told.all("select count(*) from recon.exceptions where severity = 'B' and isodow(due_on) > 5") == [
        (0,)
    ]
