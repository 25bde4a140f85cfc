"""QuickBooks' reports as rows."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from ps_qb_pipeline.errors import BooksUnavailable
from ps_qb_pipeline.quickbooks.reports import (
    AccountAmount,
    AccountBalance,
    flatten,
    general_ledger,
    is_cut_off,
    profit_and_loss,
    read_general_ledger,
    trial_balance,
)

D = Decimal


def cells(*values):
    return [{"value": value, **({"id": one} if one else {})} for value, one in values]


PROFIT_AND_LOSS = {
    "Header": {"ReportName": "ProfitAndLoss", "Currency": "EUR"},
    "Columns": {
        "Column": [
            {"ColTitle": "", "ColType": "Account", "MetaData": [{"Name": "ColKey", "Value": "account"}]},
            {"ColTitle": "Total", "ColType": "Money", "MetaData": [{"Name": "ColKey", "Value": "total"}]},
        ]
    },
    "Rows": {
        "Row": [
            {
                "type": "Section",
                "group": "Income",
                "Header": {"ColData": cells(("Income", ""), ("", ""))},
                "Rows": {
                    "Row": [
                        {"type": "Data", "ColData": cells(("Design", "82"), ("2250.00", ""))},
                        {
                            "type": "Section",
                            "Header": {"ColData": cells(("Landscaping", "45"), ("1,477.50", ""))},
                            "Rows": {
                                "Row": [{"type": "Data", "ColData": cells(("Plants", "49"), ("-131.25", ""))}]
                            },
                            "Summary": {"ColData": cells(("Total Landscaping", ""), ("1346.25", ""))},
                        },
                    ]
                },
                "Summary": {"ColData": cells(("Total Income", ""), ("3596.25", ""))},
            },
            {
                "type": "Section",
                "group": "NetIncome",
                "Summary": {"ColData": cells(("Net Income", ""), ("3596.25", ""))},
            },
        ]
    },
}


def test_profit_and_loss_lists_every_account_once():
    """Sums are not accounts, and what was booked on a parent directly is its own amount."""
    found = profit_and_loss(PROFIT_AND_LOSS)
    assert found == [
        AccountAmount("82", "Design", "Income", D("2250.00")),
        AccountAmount("45", "Landscaping", "Income", D("1477.50")),
        AccountAmount("49", "Plants", "Income", D("-131.25")),
    ]
    total = next(
        row for row in flatten(PROFIT_AND_LOSS) if row.kind == "summary" and row.group == "NetIncome"
    )
    assert sum(row.amount for row in found) == total.cells["total"].amount


def test_trial_balance_has_two_sides():
    """An empty cell is zero; the total row is not an account."""
    report = {
        "Columns": {"Column": [{"ColTitle": "", "ColType": "Account"}, {"ColTitle": "Debit", "ColType": "Money"},
                               {"ColTitle": "Credit", "ColType": "Money"}]},
        "Rows": {"Row": [
            {"ColData": cells(("Checking", "35"), ("1201.00", ""), ("", ""))},
            {"ColData": cells(("Sales", "1"), ("", ""), ("1201.00", ""))},
            {"type": "Section", "group": "GrandTotal", "Summary": {"ColData": cells(("TOTAL", ""), ("1201.00", ""), ("1201.00", ""))}},
        ]},
    }  # fmt: skip
    assert trial_balance(report) == [
        AccountBalance("35", "Checking", D("1201.00"), D(0)),
        AccountBalance("1", "Sales", D(0), D("1201.00")),
    ]


LEDGER_TYPES = (
    "tx_date",
    "txn_type",
    "doc_num",
    "name",
    "memo",
    "split_acc",
    "subt_nat_amount",
    "rbal_nat_amount",
)


def ledger(*entries, text=""):
    data = [
        {"type": "Data", "ColData": cells((day, ""), ("Sales Receipt", one), (f"PS1-{one}", ""), ("Ann", "2"), ("", ""),
                                          ("Sales", "1"), (amount, ""), ("", ""))}
        for day, one, amount in entries
    ]  # fmt: skip
    opening = {
        "type": "Data",
        "ColData": cells(
            ("Beginning Balance", ""),
            ("", ""),
            ("", ""),
            ("", ""),
            ("", ""),
            ("", ""),
            ("", ""),
            ("99.00", ""),
        ),
    }
    section = {
        "type": "Section",
        "Header": {"ColData": cells(("Stripe EUR", "74"), *[("", "")] * 7)},
        "Rows": {"Row": [opening, *data]},
        "Summary": {"ColData": cells(("Total for Stripe EUR", ""), *[("", "")] * 7)},
    }
    rows = [section] + ([{"type": "Data", "ColData": cells((text, ""))}] if text else [])
    return {
        "Columns": {"Column": [{"ColTitle": one, "ColType": one} for one in LEDGER_TYPES]},
        "Rows": {"Row": rows},
    }


def test_the_general_ledger_names_account_and_transaction():
    """Each entry carries the Ids of its account and its transaction; opening balances are no entries."""
    (line,) = general_ledger(ledger(("2026-01-15", "145", "30.00")))
    assert (line.account_id, line.account, line.txn_id, line.doc_number) == (
        "74",
        "Stripe EUR",
        "145",
        "PS1-145",
    )
    assert (line.txn_date, line.amount, line.type) == (date(2026, 1, 15), D("30.00"), "Sales Receipt")


CUT = "Unable to display more data. Please reduce the date range."


class Reports:
    """Cuts off whatever spans more than ``most`` days."""

    def __init__(self, most):
        self.most = most
        self.asked = []

    def report(self, name, **params):
        start, end = (date.fromisoformat(params[key]) for key in ("start_date", "end_date"))
        self.asked.append((start, end))
        days = [date.fromordinal(day) for day in range(start.toordinal(), end.toordinal() + 1)]
        cut = len(days) > self.most
        return ledger(
            *((day.isoformat(), str(day.day), "1.00") for day in days[: self.most]), text=CUT if cut else ""
        )


def test_a_ledger_that_was_cut_off_is_read_in_shorter_periods():
    """Nothing is missing and nothing is there twice."""
    books = Reports(4)
    lines = read_general_ledger(books, date(2026, 1, 1), date(2026, 1, 10))
    assert [line.txn_date.day for line in lines] == list(range(1, 11))
    assert is_cut_off(books.report("GeneralLedger", start_date="2026-01-01", end_date="2026-01-10"))


def test_a_day_that_does_not_fit_is_an_error():
    """Missing rows never go unnoticed."""
    with pytest.raises(BooksUnavailable, match="2026-01-01"):
        read_general_ledger(Reports(0), date(2026, 1, 1), date(2026, 1, 1))
