"""Payout files become lines with an identity, an account and signed amounts; what cannot be read is named."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ps_qb_pipeline.accounting.policy import PaymentMethod, Policy
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.settings import FileFormat
from ps_qb_pipeline.statements import csv_files, payout_files
from ps_qb_pipeline.warehouse.raw import Landing

POLICY = Policy(
    methods={
        "Card": PaymentMethod(account="Clearing:Card {CUR}"),
        "PayPal": PaymentMethod(account="Clearing:PayPal {CUR}"),
        "Free": PaymentMethod(kind="free"),
    }
)
STRIPE = (
    "automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created,currency,gross,fee,net,"
    "reporting_category,source_id,description,charge_id,payment_intent_id\n"
    "po_1,2026-03-05 00:00:00,txn_1,2026-03-02 10:11:12,eur,120.00,1.94,118.06,charge,ch_1,Order,ch_1,pi_1\n"
    "po_1,2026-03-05 00:00:00,txn_2,2026-03-03 09:00:00,eur,-20.00,0.00,-20.00,refund,re_1,Refund,ch_1,pi_1\n"
    "po_1,2026-03-05 00:00:00,txn_3,2026-03-03 09:30:00,eur,-50.00,15.00,-65.00,dispute,dp_1,Dispute,ch_0,\n"
)
PAYPAL = (
    '"Date","Time","TimeZone","Name","Type","Status","Currency","Gross","Fee","Net","From Email Address",'
    '"Transaction ID","Reference Txn ID","Invoice Number"\n'
    '"03/02/2026","10:11:12","CET","Jo Doe","Express Checkout Payment","Completed","EUR","1,200.50","-23.45",'
    '"1,177.05","jo@example.test","AAA1","","XKBK"\n'
    '"03/04/2026","08:00:00","CET","","General Withdrawal","Completed","EUR","-1,177.05","0.00","-1,177.05","","WWW1","",""\n'
    '"03/04/2026","09:00:00","CET","Al","Express Checkout Payment","Pending","EUR","5.00","0","5.00","","AAA2","",""\n'
)


def read(text: str | bytes, **more: Any) -> list[Landing]:
    """The lines of a file that Card takes from Stripe and PayPal from PayPal."""
    content = text if isinstance(text, bytes) else text.encode()
    given: dict[str, Any] = {"methods": {"Card": "stripe", "PayPal": "paypal"}} | more
    formats = csv_files.packaged() | given.pop("formats", {})
    return payout_files.read(content, "file.csv", POLICY, formats, **given)


def test_stripe_is_recognised_by_its_header() -> None:
    """Kinds, ids of all sorts and the clearing account of the currency are told by the map."""
    charge, refund, dispute = (row.values for row in read(STRIPE))
    assert (charge["method"], charge["account"]) == ("Card", "Clearing:Card EUR")
    assert (charge["kind"], charge["amount"], charge["fee"]) == (
        "payment",
        Decimal("120.00"),
        Decimal("1.94"),
    )
    assert charge["payout_id"] == "po_1"
    assert charge["payout_date"] == date(2026, 3, 5)
    assert {"pi_1", "ch_1"} <= set(charge["ids"])
    assert (refund["kind"], refund["amount"]) == ("refund", Decimal("-20.00"))
    assert (dispute["kind"], dispute["net"]) == ("chargeback", Decimal("-65.00"))


def test_paypal_has_thousands_negative_fees_and_rows_that_do_not_count() -> None:
    """A fee is a cost whatever its sign, and what is not completed is left out."""
    rows = [row.values for row in read(PAYPAL)]
    assert [row["kind"] for row in rows] == ["payment", "payout"]
    assert (rows[0]["amount"], rows[0]["fee"]) == (Decimal("1200.50"), Decimal("23.45"))
    assert all(row["by_withdrawal"] for row in rows)


def test_nothing_of_the_payer_is_kept() -> None:
    """Only mapped columns land: no name and no address."""
    assert not any("Doe" in row.payload or "jo@" in row.payload for row in read(PAYPAL))


def test_the_same_line_in_another_file_is_the_same_line() -> None:
    """A line's identity is the provider's id, or what it says: neither file nor place is part of it."""
    again = STRIPE.splitlines(keepends=True)
    assert {row.id for row in read(STRIPE)} == {
        row.id for row in read(again[0] + again[2] + again[1] + again[3])
    }
    plain = "payout_id,type,transaction_id,amount,currency,date\nP,payment,T,5,EUR,2026-01-01\n"
    twice = plain + plain.splitlines(keepends=True)[1]
    one = read(plain, methods={"Card": "plain"})
    two = read(twice, methods={"Card": "plain"})
    assert [row.payload for row in two] == [one[0].payload] * 2
    assert [one[0].id, f"{one[0].id}|2"] == [row.id for row in two]


def test_a_connection_may_describe_its_own_format() -> None:
    """Semicolons, decimal commas and day-first dates of a provider that nobody packaged."""
    own = FileFormat(
        columns={"kind": "Art", "amount": "Betrag", "currency": "Waehrung", "happened_at": "Datum",
                 "transaction_id": "Nr", "payout_id": "Auszahlung"},
        recognise=["Auszahlung", "Betrag"],
        kinds={"Zahlung": "payment"},
        decimal_comma=True,
        dates="day_first",
    )  # fmt: skip
    text = "Auszahlung;Art;Nr;Betrag;Waehrung;Datum\nA1;Zahlung;T9;1.234,56;EUR;31.12.2026\n"
    (row,) = read(text.encode("cp1252"), formats={"own": own}, methods={"Card": "own"})
    assert row.values["amount"] == Decimal("1234.56")
    assert row.values["happened_at"].date() == date(2026, 12, 31)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "in no format that is known"),
        (
            "payout_id,type,transaction_id,amount,currency,date\nP,payment,T,5,EUR,2026-01-01\n",
            "say --method",
        ),
        (STRIPE.replace("120.00", "12O.00"), r"file.csv:2: amount is '12O.00'"),
        (STRIPE.replace("120.00", "NaN"), "no amount"),
        (STRIPE.replace("2026-03-02 10:11:12", "yesterday"), "which is no date"),
        (STRIPE.replace("gross", "brut"), "no column for amount"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, said: str) -> None:
    """File, line, field and value stand in the message; nothing lands of such a file."""
    with pytest.raises(SettingsError, match=said):
        read(text)
