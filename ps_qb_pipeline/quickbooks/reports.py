"""QuickBooks' own reports as rows: profit and loss, trial balance, general ledger.

What lives here: flattening the nested report, reading its three kinds, and asking again for shorter
periods where QuickBooks cuts a report off. What does not: our own reports (the ``reports`` room).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from ps_qb_pipeline.errors import BooksUnavailable

_CUT_OFF = "unable to display more data"
_PLAIN_TYPES = frozenset({"account", "money", "string", "numeric", "date", "quantity", "percent", ""})
_NOT_MONEY = re.compile(r"[,\s\u00a0]")
LEDGER_COLUMNS = "tx_date,txn_type,doc_num,name,memo,split_acc,subt_nat_amount,rbal_nat_amount"


class ReportBooks(Protocol):
    """What reading a report needs of the client."""

    def report(self, name: str, **params: str) -> dict[str, Any]:
        """One report."""
        ...


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text and, where it names an object, that object's Id."""

    text: str
    id: str = ""

    @property
    def amount(self) -> Decimal | None:
        """The cell as an amount; None for an empty cell or a text."""
        try:
            found = Decimal(_NOT_MONEY.sub("", self.text))
        except InvalidOperation:
            return None
        return found if found.is_finite() else None


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One row of a report. ``path`` names the sections around it, from the outside in, with their Ids.

    ``kind`` is ``data`` or ``summary``; ``group`` is QuickBooks' word for the innermost named section
    (``Income``, ``COGS``, ``NetIncome``).
    """

    path: tuple[Cell, ...]
    kind: str
    group: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class AccountAmount:
    """One account in a profit and loss report, in home currency: income and expenses both positive."""

    account_id: str
    account: str
    group: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """One account in a trial balance, in home currency."""

    account_id: str
    account: str
    debit: Decimal
    credit: Decimal


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One entry of the general ledger. ``amount`` is in the account's natural direction, home currency.

    ``type`` is QuickBooks' word in the report ("Sales Receipt"); ``txn_id`` the transaction's Id.
    """

    account_id: str
    account: str
    txn_date: date
    type: str
    txn_id: str
    doc_number: str
    name: str
    memo: str
    split: str
    amount: Decimal


def flatten(report: Mapping[str, Any]) -> Iterator[ReportRow]:
    """Every data and summary row of a report, in its order."""
    keys = [_key(column) for column in (report.get("Columns") or {}).get("Column") or ()]
    yield from _rows(report.get("Rows") or {}, keys, (), "")


def is_cut_off(report: Mapping[str, Any]) -> bool:
    """Whether QuickBooks left rows out because the report was too large (400,000 cells)."""
    texts = (cell.text for row in flatten(report) for cell in (*row.path, *row.cells.values()))
    options = ((report.get("Header") or {}).get("Option")) or ()
    said = (str(option.get("Value", "")) for option in options)
    return any(_CUT_OFF in text.lower() for text in (*texts, *said))


def profit_and_loss(report: Mapping[str, Any]) -> list[AccountAmount]:
    """The accounts of a profit and loss report over its whole period."""
    found = []
    for row in flatten(report):
        account = row.cells.get("account", Cell(""))
        amount = row.cells.get("total", Cell("")).amount
        # An account with sub-accounts is a section; what was booked on it directly is its header's amount.
        if row.kind == "data" and amount is not None and account.id:
            found.append(AccountAmount(account.id, account.text, row.group, amount))
    return found


def trial_balance(report: Mapping[str, Any]) -> list[AccountBalance]:
    """The accounts of a trial balance; debit and credit are zero where the report is empty."""
    zero = Decimal(0)
    return [
        AccountBalance(
            row.cells["account"].id,
            row.cells["account"].text,
            row.cells.get("debit", Cell("")).amount or zero,
            row.cells.get("credit", Cell("")).amount or zero,
        )
        for row in flatten(report)
        if row.kind == "data" and "account" in row.cells and row.cells["account"].id
    ]


def general_ledger(report: Mapping[str, Any]) -> list[LedgerLine]:
    """The entries of a general ledger report, without its opening balances."""
    lines = []
    for row in flatten(report):
        day = _day(row.cells.get("tx_date", Cell("")).text)
        amount = row.cells.get("subt_nat_amount", Cell("")).amount
        if row.kind != "data" or day is None or amount is None:
            continue
        account = next((cell for cell in reversed(row.path) if cell.id), Cell(""))
        text = {name: cell.text for name, cell in row.cells.items()}
        lines.append(
            LedgerLine(
                account.id,
                account.text,
                day,
                text.get("txn_type", ""),
                row.cells.get("txn_type", Cell("")).id,
                text.get("doc_num", ""),
                text.get("name", ""),
                text.get("memo", ""),
                text.get("split_acc", ""),
                amount,
            )
        )
    return lines


def read_general_ledger(books: ReportBooks, start: date, end: date, **params: str) -> list[LedgerLine]:
    """The entries from ``start`` to ``end``, both included; a report that was cut off is read in halves.

    Raises BooksUnavailable when even one day is cut off: nothing may be missing unnoticed.
    """
    report = books.report(
        "GeneralLedger",
        **{
            "start_date": start.isoformat(),
            "end_date": end.isoformat(),
            "columns": LEDGER_COLUMNS,
            **params,
        },
    )
    if not is_cut_off(report):
        return general_ledger(report)
    if start >= end:
        raise BooksUnavailable(
            f"QuickBooks cuts off the general ledger even of {start}; name fewer accounts (account=...)"
        )
    middle = start + (end - start) // 2
    return [
        *read_general_ledger(books, start, middle, **params),
        *read_general_ledger(books, middle + timedelta(days=1), end, **params),
    ]


def _key(column: Mapping[str, Any]) -> str:
    for fact in column.get("MetaData") or ():
        if fact.get("Name") == "ColKey" and fact.get("Value"):
            return str(fact["Value"])
    kind = str(column.get("ColType", "")).lower()
    if kind not in _PLAIN_TYPES:
        return kind
    return str(column.get("ColTitle", "")).strip().lower() or kind


def _rows(
    rows: Mapping[str, Any], keys: list[str], path: tuple[Cell, ...], group: str
) -> Iterator[ReportRow]:
    for row in rows.get("Row") or ():
        inner = str(row.get("group") or group)
        header = (row.get("Header") or {}).get("ColData")
        around = path
        if header:
            cells = _cells(header, keys)
            first = next(iter(cells.values()), Cell(""))
            around = (*path, first)
            if any(cell.text.strip() for cell in list(cells.values())[1:]):
                yield ReportRow(path, "data", inner, cells)
        if row.get("Rows"):
            yield from _rows(row["Rows"], keys, around, inner)
        if row.get("ColData"):
            yield ReportRow(path, "data", inner, _cells(row["ColData"], keys))
        if summary := (row.get("Summary") or {}).get("ColData"):
            yield ReportRow(around, "summary", inner, _cells(summary, keys))


def _cells(data: list[Mapping[str, Any]], keys: list[str]) -> dict[str, Cell]:
    return {
        key: Cell(str(cell.get("value") or ""), str(cell.get("id") or ""))
        for key, cell in zip(keys, data, strict=False)
    }


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
