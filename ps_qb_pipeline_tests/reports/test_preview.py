"""The preview shows the double entry of what is not posted yet, and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ps_qb_pipeline.accounting.policy import Policy, TaxCode, TaxRate
from ps_qb_pipeline.reports.preview import Preview, preview, preview_text
from ps_qb_pipeline_tests.recon.world import BANK, CLEARING, World

POLICY = Policy(tax_codes={"FR20": TaxCode(rates=(TaxRate("FR 20", Decimal(20)),), agency="DGFiP")})


@dataclass(frozen=True)
class Balance:
    """A row of a trial balance."""

    account: str
    debit: Decimal
    credit: Decimal


@pytest.fixture
def world() -> World:
    """One card sale in the books; a card sale, a wire sale and a refund that wait; one of them in February."""
    world = World()
    world.con.execute("""update ledger.items set body = '{"income_account":"Sales of goods"}'""")
    world.sale(1001)
    world.sale(1002, booked=False, discount="3.00")
    world.sale(1003, booked=False, document="Invoice")
    world.sale(1004, booked=False, day=date(2026, 2, 3))
    world.refund(1, 1001, booked=False)
    world.run("recon")
    return world


def changes(shown: Preview) -> dict[str, Decimal]:
    """Account to change."""
    return {row["account"]: row["change"] for row in shown.balances.records() if row["change"]}


def test_debits_equal_credits_by_account(world: World) -> None:
    """Money, receivables, income, discount, shipping and tax of January's three documents and a payment."""
    shown = preview(world.con, POLICY, period="2026-01")
    assert changes(shown) == {
        CLEARING: Decimal(30) - Decimal(12),
        BANK: Decimal(30),
        "Sales of goods": -(Decimal(23) + Decimal(20) - Decimal(10)),
        "Discounts given": Decimal(3),
        "Shipping income": Decimal(-10),
        "DGFiP Payable": -(Decimal(5) + Decimal(5) - Decimal(2)),
    }
    assert sum(changes(shown).values()) == 0


def test_profit_before_and_after_follows_from_the_accounts(world: World) -> None:
    """Income is what its accounts change by, discounts taken off; nothing of it is tax or money."""
    today = [Balance("Sales of goods", Decimal(0), Decimal(100)), Balance("Rent", Decimal(40), Decimal(0))]
    world.con.execute("update staging.quickbooks_accounts set classification = 'Expense' where name = 'Rent'")
    shown = preview(world.con, POLICY, period="2026-01", today=today)
    rows = {row["what"]: (row["today"], row["change"], row["after"]) for row in shown.profit.records()}
    assert rows == {"Income": (100, 40, 140), "Expenses": (40, 0, 40), "Profit": (60, 40, 100)}


def test_an_unpaid_invoice_stands_with_the_receivables(world: World) -> None:
    """Without its payment the invoice is owed."""
    world.con.execute("delete from ledger.documents where type = 'Payment'")
    world.run("recon")
    assert changes(preview(world.con, POLICY, period="2026-01"))["Accounts receivable"] == 30


def test_without_a_period_everything_that_waits_is_shown(world: World) -> None:
    """February's sale as well."""
    assert changes(preview(world.con, POLICY))[CLEARING] == 48


def test_today_is_the_trial_balance_when_it_is_given(world: World) -> None:
    """After is today and the change."""
    shown = preview(world.con, POLICY, period="2026-01", today=[Balance(CLEARING, Decimal(100), Decimal(0))])
    row = next(row for row in shown.balances.records() if row["account"] == CLEARING)
    assert (row["today"], row["change"], row["after"]) == (100, 18, 118)


def test_exchange_leaves_no_side_open() -> None:
    """Cents from exchanging line by line stand with exchange gain or loss."""
    world = World()
    world.sale(1001, booked=False, currency="USD", rate="0.913", net="25.37", tax="5.07")
    world.run("recon")
    shown = changes(preview(world.con, POLICY))
    assert shown[CLEARING] == Decimal("27.79")
    assert sum(shown.values()) == 0


def test_a_read_only_warehouse_is_enough(world: World, tmp_path: Path) -> None:
    """Nothing is written, so nothing needs to be writable."""
    path = tmp_path / "copy.duckdb"
    world.con.execute(f"attach '{path}' as copy")
    world.con.execute("copy from database memory to copy")
    world.con.execute("detach copy")
    with duckdb.connect(str(path), read_only=True) as con:
        text = preview_text(preview(con, POLICY, period="2026-01"))
    assert "nothing was written" in text
    assert "DGFiP" in text
