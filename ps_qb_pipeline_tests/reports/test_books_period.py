"""QuickBooks' own reports of a month are landed whole, and our documents are compared with them by account."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ps_qb_pipeline.errors import BooksUnavailable
from ps_qb_pipeline.reports.books_period import Landed, fetch_period, land_period
from ps_qb_pipeline_tests.recon.world import CLEARING, World

MONTH = date(2026, 1, 1)


def _cells(*values: Any) -> dict[str, Any]:
    return {"ColData": [value if isinstance(value, dict) else {"value": str(value)} for value in values]}


def _columns(*keys: str) -> dict[str, Any]:
    return {
        "Column": [
            {"ColTitle": key, "ColType": key, "MetaData": [{"Name": "ColKey", "Value": key}]} for key in keys
        ]
    }


class Books:
    """A company whose three reports hold one sale of ours over 30.00 and an entry of others over 12.00."""

    def __init__(self, *, broken: str = "") -> None:
        self.broken = broken

    def report(self, name: str, **params: str) -> dict[str, Any]:
        """One report of January 2026."""
        assert (params["start_date"], params["end_date"]) == ("2026-01-01", "2026-01-31")
        if name == self.broken:
            raise BooksUnavailable("no answer")
        return getattr(self, f"_{name}")()

    def _GeneralLedger(self) -> dict[str, Any]:  # noqa: N802
        def section(account: str, name: str, *rows: dict[str, Any]) -> dict[str, Any]:
            return {"Header": _cells({"value": name, "id": account}), "Rows": {"Row": list(rows)}}

        def line(kind: str, number: str, amount: str) -> dict[str, Any]:
            return _cells("2026-01-15", {"value": kind, "id": number}, "", "", "", "", amount, "")

        return {
            "Columns": _columns(
                "tx_date",
                "txn_type",
                "doc_num",
                "name",
                "memo",
                "split_acc",
                "subt_nat_amount",
                "rbal_nat_amount",
            ),
            "Rows": {
                "Row": [
                    section(
                        "1",
                        CLEARING,
                        line("Sales Receipt", "101", "30.00"),
                        line("Journal Entry", "900", "12.00"),
                    ),
                    section("3", "Sales of goods", line("Sales Receipt", "101", "20.00")),
                ]
            },
        }

    def _ProfitAndLoss(self) -> dict[str, Any]:  # noqa: N802
        return {
            "Columns": _columns("account", "total"),
            "Rows": {"Row": [_cells({"value": "Sales of goods", "id": "3"}, "20.00")]},
        }

    def _TrialBalance(self) -> dict[str, Any]:  # noqa: N802
        return {
            "Columns": _columns("account", "debit", "credit"),
            "Rows": {"Row": [_cells({"value": CLEARING, "id": "1"}, "42.00", "")]},
        }


@pytest.fixture
def world() -> World:
    """One sale over 20.00 of goods, 5.00 shipping and 5.00 tax; its receipt has id 101."""
    world = World()
    world.con.execute(
        "update staging.quickbooks_accounts set classification = if(id in ('1', '2'), 'Asset', 'Revenue'),"
        " account_type = if(id in ('1', '2'), 'Bank', 'Income')"
    )
    world.sale(1001)
    return world


def test_ours_and_others_stand_apart_by_account(world: World) -> None:
    """The clearing account holds our 30.00 and 12.00 of others; a lacking posting is a difference."""
    assert land_period(world.con, fetch_period(Books(), "2026-01")) == Landed("2026-01", 3, 1, 1)
    world.run("recon")
    rows = world.all(
        "select account, expected, ours, others, profit_and_loss, trial_balance, difference, report_difference"
        " from recon.ledger_tie_out order by account"
    )
    assert rows == [
        (CLEARING, 30, 30, 12, None, 42, 0, 0),
        ("Sales of goods", 20, 20, 0, 20, None, 0, 0),
        ("Shipping income", 5, 0, 0, None, None, -5, 0),
        ("Tax", 5, 0, 0, None, None, -5, 0),
    ]


def test_landing_again_replaces_the_month_only(world: World) -> None:
    """The same month twice is there once, another month stays."""
    world.rows(
        "control.general_ledger", {"period": date(2025, 12, 1), "account_id": "1", "amount": Decimal(1)}
    )
    land_period(world.con, fetch_period(Books(), "2026-01"))
    land_period(world.con, fetch_period(Books(), "2026-01"))
    assert world.all(
        "select period, count(*) from control.general_ledger group by period order by period"
    ) == [
        (date(2025, 12, 1), 1),
        (MONTH, 3),
    ]


def test_a_report_that_cannot_be_read_changes_nothing(world: World) -> None:
    """What was landed before stays whole."""
    land_period(world.con, fetch_period(Books(), "2026-01"))
    with pytest.raises(BooksUnavailable):
        land_period(world.con, fetch_period(Books(broken="TrialBalance"), "2026-01"))
    assert world.all("select count(*) from control.general_ledger") == [(3,)]
