"""An approved payout becomes one purchase and one transfer, once; what does not add up cannot be approved."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import pytest

from ps_qb_pipeline.accounting.policy import PaymentMethod, Policy
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.statements import approvals
from ps_qb_pipeline.warehouse import raw
from ps_qb_pipeline.warehouse.tables import create_tables

POLICY = Policy(methods={"Stripe": PaymentMethod(account="Clearing:Stripe {CUR}")})
NOW = datetime(2026, 3, 6, 9, tzinfo=UTC)


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    """A warehouse that knows three payouts: one good, one with a stranger, one whose lines fall short."""
    con = duckdb.connect()
    create_tables(con)
    raw.create_table(con, approvals.TABLE, approvals.COLUMNS)
    con.execute("create schema recon; create schema staging")
    con.execute(
        """
        create table recon.payouts as
        select 'Stripe' as method, 'EUR' as currency, id as payout_id, date '2026-03-05' as day, false as by_withdrawal,
            4::bigint as lines, 150.00::decimal(18,2) as payments, -20.00::decimal(18,2) as refunds,
            -15.00::decimal(18,2) as chargebacks, -3.30::decimal(18,2) as fees, -10.00::decimal(18,2) as reserves,
            0.00::decimal(18,2) as exchange, 0.00::decimal(18,2) as adjustments, deposit::decimal(18,2) as deposit,
            difference::decimal(18,2) as difference, strangers::bigint as unmatched_lines,
            7.00::decimal(18,2) as unmatched_amount, state
        from (values ('po_1', 101.70, 0.00, 0, 'ready'), ('po_2', 101.70, 0.00, 1, 'unmatched lines'),
            ('po_3', 100.00, -1.70, 0, 'lines do not make the deposit')) as t (id, deposit, difference, strangers, state)
        """
    )
    con.execute(
        """
        create table staging.files_payout_lines as
        select 'Stripe' as method, 'EUR' as currency, 'po_1' as payout_id, * from (values
            ('chargeback', -15.00::decimal(18,2), 'dispute', 'dp_1', timestamp '2026-03-03', 'c'),
            ('reserve', -10.00::decimal(18,2), 'hold', 'rs_1', timestamp '2026-03-04', 'd'))
            as t (kind, amount, said, transaction_id, happened_at, id)
        """
    )
    con.execute(
        "create table recon.payout_matches (method varchar, currency varchar, payout_id varchar, kind varchar,"
        " document_key varchar)"
    )
    return con


def test_fees_chargebacks_and_reserves_are_lines_of_one_purchase_and_the_deposit_is_one_transfer(
    con: duckdb.DuckDBPyConnection,
) -> None:
    """Together they take exactly what payments less refunds brought to the clearing account."""
    done = approvals.approve(con, "po_1", POLICY, connection="test", by="Ann", now=NOW)
    purchase, transfer = done.documents
    assert (purchase.type, purchase.from_account) == ("Purchase", "Clearing:Stripe EUR")
    assert [(line.account, line.amount) for line in purchase.lines] == [
        ("Payment processing fees", Decimal("3.30")),
        ("Chargebacks", Decimal("15.00")),
        ("Clearing:Reserves EUR", Decimal("10.00")),
    ]
    assert (transfer.type, transfer.total, transfer.to_account) == (
        "Transfer",
        Decimal("101.70"),
        "Bank:Main EUR",
    )
    assert Decimal(150) - Decimal(20) - purchase.total - transfer.total == 0


def test_an_approval_stands_once_in_the_ledger_however_often_it_is_booked(
    con: duckdb.DuckDBPyConnection,
) -> None:
    """What was approved is approved: a second word changes neither documents nor name."""
    approvals.approve(con, "po_1", POLICY, connection="test", by="Ann", now=NOW)
    con.execute("update recon.payouts set state = 'approved' where payout_id = 'po_1'")
    again = approvals.approve(con, "po_1", POLICY, connection="test", by="Bob", now=NOW)
    assert approvals.book(con) == approvals.book(con) == len(again.documents) == 2
    assert con.execute("select key, role, total from ledger.documents order by key").fetchall() == [
        ("1|fee|po_1|0", "fee", Decimal("28.30")),
        ("1|payout|po_1|0", "payout", Decimal("101.70")),
    ]
    assert con.execute(f"select approved_by from {approvals.TABLE}").fetchall() == [("Ann",)]
    assert con.execute("select count(*) from ledger.lines").fetchall() == [(3,)]


@pytest.mark.parametrize(
    ("payout", "said"),
    [
        ("po_2", "1 line.* over 7.00 EUR that no order is known for"),
        ("po_3", "make 101.70 EUR and 100.00 was paid out"),
        ("po_9", "is not in any file"),
    ],
)
def test_what_does_not_add_up_cannot_be_approved(
    con: duckdb.DuckDBPyConnection, payout: str, said: str
) -> None:
    """The message says what is open, and nothing is landed."""
    with pytest.raises(SettingsError, match=said):
        approvals.approve(con, payout, POLICY, connection="test", by="Ann", now=NOW)
    assert con.execute(f"select count(*) from {approvals.TABLE}").fetchall() == [(0,)]


def test_a_payout_id_that_no_key_may_hold_is_spelt_otherwise(con: duckdb.DuckDBPyConnection) -> None:
    """Bars, commas and braces would break the machine line of the note."""
    for table in ("recon.payouts", "staging.files_payout_lines"):
        con.execute(f"update {table} set payout_id = 'a|b,{{c}}' where payout_id = 'po_1'")
    done = approvals.approve(con, "a|b,{c}", POLICY, connection="test", by="Ann", now=NOW)
    assert {document.key for document in done.documents} == {"1|fee|a-b--c-|0", "1|payout|a-b--c-|0"}
