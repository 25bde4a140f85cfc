"""QuickBooks' own reports of a month, landed for the period tie-out.

What lives here: fetching general ledger, profit and loss and trial balance, and putting their rows
into ``control.general_ledger`` and ``control.account_totals``. What does not: comparing them
(``dbt_style_sql/recon/ledger_tie_out.sql``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from ps_qb_pipeline.quickbooks.reports import (
    ReportBooks,
    profit_and_loss,
    read_general_ledger,
    trial_balance,
)
from ps_qb_pipeline.reports.scope import first_day, last_day
from ps_qb_pipeline.warehouse.tables import TABLES, create_tables

PROFIT, BALANCE = "ProfitAndLoss", "TrialBalance"


@dataclass(frozen=True, slots=True)
class Landed:
    """How many rows of each report were landed for the period."""

    period: str
    ledger_lines: int
    profit_accounts: int
    balance_accounts: int


@dataclass(frozen=True, slots=True)
class PeriodReports:
    """The rows of the three reports of one month, as they are landed."""

    period: str
    ledger: tuple[tuple[Any, ...], ...]
    totals: tuple[tuple[Any, ...], ...]


def fetch_period(books: ReportBooks, period: str) -> PeriodReports:
    """Reads the three reports of ``period`` (``2026-10``): at least three metered requests."""
    first, last = first_day(period), last_day(period)
    span = {"start_date": first.isoformat(), "end_date": last.isoformat()}
    ledger = tuple(
        (first, line.account_id, line.account, line.txn_date, line.type, line.txn_id, line.doc_number, line.amount)
        for line in read_general_ledger(books, first, last)
    )  # fmt: skip
    profit = profit_and_loss(books.report("ProfitAndLoss", **span))
    balance = trial_balance(books.report("TrialBalance", **span))
    totals = [(first, PROFIT, row.account_id, row.account, row.amount) for row in profit]
    totals += [(first, BALANCE, row.account_id, row.account, row.debit - row.credit) for row in balance]
    return PeriodReports(period, ledger, tuple(totals))


def land_period(con: duckdb.DuckDBPyConnection, reports: PeriodReports) -> Landed:
    """Replaces what was landed of the month before. ``con`` is the warehouse, opened for writing."""
    first = first_day(reports.period)
    create_tables(con, only="control")
    con.execute("begin")
    try:
        _replace(con, "control.general_ledger", first, reports.ledger)
        _replace(con, "control.account_totals", first, reports.totals)
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise
    profit = sum(row[1] == PROFIT for row in reports.totals)
    return Landed(reports.period, len(reports.ledger), profit, len(reports.totals) - profit)


def _replace(
    con: duckdb.DuckDBPyConnection, name: str, period: date, rows: Sequence[tuple[Any, ...]]
) -> None:
    import pyarrow as pa

    columns = TABLES[name]
    con.execute(f"delete from {name} where period = $period", {"period": period})  # noqa: S608 - a name of ours
    if not rows:
        return
    values = dict(zip(columns, zip(*rows, strict=True), strict=True))
    con.register("arriving_period", pa.table({column: list(content) for column, content in values.items()}))
    try:
        con.execute(f"insert into {name} by name select * from arriving_period")  # noqa: S608 - a name of ours
    finally:
        con.unregister("arriving_period")
