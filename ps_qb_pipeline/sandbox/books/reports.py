"""The reports endpoint, and the statements that come from the ledger alone.

What lives here: which report a name means, its columns, profit and loss, balance sheet, trial balance,
cash flow. What does not: ledgers and lists of transactions (``listings``), dates (``periods``), layout (``layout``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from ps_qb_pipeline.sandbox.books import faults, groupings, ledger, periods
from ps_qb_pipeline.sandbox.books.codec import Json
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.layout import (
    Column,
    Frame,
    Wanted,
    cell,
    data,
    money,
    report,
    section,
    total,
)

LABEL = Column("", "Account", "account")
Sums = list[dict[int, int]]


def run(company: Company, name: str, query: dict[str, str]) -> Json:
    """Return the report called ``name``; refuse names and dates that there are not."""
    from ps_qb_pipeline.sandbox.books import listings

    makers = _MAKERS | listings.MAKERS
    known = {title.lower(): title for title in makers}
    title = known.get(name.lower())
    if title is None:
        raise faults.unknown_object(f"reports/{name}")
    first, last, macro = periods.period(company, query)
    asked = query.get("accounting_method") or company.preference("ReportPrefs", "ReportBasis", "Accrual")
    basis = str(asked).title()
    if basis not in {"Cash", "Accrual"}:
        raise faults.invalid_enum("accounting_method", asked)
    by = query.get("summarize_column_by") or "Total"
    return makers[title](company, Wanted(Frame(title, first, last, basis, by, macro), query))


# Columns -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figures:
    """The money columns of a statement, and the sums by account that stand in each."""

    columns: list[Column]
    sums: Sums


def _columns(company: Company, wanted: Wanted) -> list[Column]:
    """Return the money columns of a statement over time: one a day, week, month, quarter or year, and the total."""
    frame = wanted.frame
    whole = replace(Column("Total", key="total"), first=frame.first, last=frame.last)
    parts = periods.split(company, frame.first, frame.last, frame.by) or []
    return [*(Column(title, key=title, first=first, last=last) for title, first, last in parts), whole]


def _figures(company: Company, wanted: Wanted) -> Figures:
    """Return what profit and loss shows by column: periods, or customers, vendors, locations, classes, items."""
    frame, cash = wanted.frame, wanted.frame.basis == "Cash"
    listed = groupings.sums_by(company, frame.first, frame.last, frame.by)
    if listed is None:
        columns = _columns(company, wanted)
        summed = ledger.cash_sums if cash else ledger.sums
        party = _party(wanted)
        return Figures(columns, [summed(company, each.first, each.last, party=party) for each in columns])
    whole: dict[int, int] = defaultdict(int)
    for _, _, found in listed:
        for account, value in found.items():
            whole[account] += value
    columns = [Column(title, key=ident or title) for ident, title, _ in listed]
    total_column = replace(Column("TOTAL", key="total"), first=frame.first, last=frame.last)
    return Figures([*columns, total_column], [*(found for _, _, found in listed), whole])


# Statements ----------------------------------------------------------------------------------------


def _tree(
    known: dict[int, ledger.Account], figures: Sums, types: tuple[str, ...], sign: int
) -> tuple[list[Json], list[int]]:
    """Return the rows of all accounts of some types, children under parents, and their sums by column."""
    children: dict[int, list[ledger.Account]] = {}
    for account in known.values():
        if account.type in types:
            children.setdefault(account.parent if account.parent in known else 0, []).append(account)

    def build(account: ledger.Account) -> tuple[Json | None, list[int]]:
        own = [sign * column.get(account.id, 0) for column in figures]
        rows, sums = _below(account.id)
        if not rows:
            row = data(
                [cell(account.name, account.id), *[cell(money(value) if value else "") for value in own]]
            )
            return (row if any(own) else None), own
        whole = [a + b for a, b in zip(own, sums, strict=True)]
        made = section(
            account.name, rows, [cell(f"Total {account.name}"), *[cell(money(value)) for value in whole]],
            ident=account.id, width=len(own) + 1,
        )  # fmt: skip
        made["Header"]["ColData"][1:] = [cell(money(value) if value else "") for value in own]
        return made, whole

    def _below(parent: int) -> tuple[list[Json], list[int]]:
        rows, sums = [], [0] * len(figures)
        for account in sorted(children.get(parent, []), key=lambda entry: entry.name.lower()):
            row, whole = build(account)
            if row is not None:
                rows.append(row)
                sums = [a + b for a, b in zip(sums, whole, strict=True)]
        return rows, sums

    return _below(0)


def _summary(label: str, values: list[int]) -> list[Json]:
    return [cell(label), *[cell(money(value)) for value in values]]


def _party(wanted: Wanted) -> tuple[str, int] | None:
    for name, scope in (("customer", "C"), ("vendor", "V")):
        for value in wanted.values(name)[:1]:
            return (scope, int(value[:18])) if value.isascii() and value.isdigit() else None
    return None


def profit_and_loss(company: Company, wanted: Wanted) -> Json:
    """Income, cost, expenses and what is left, over a period."""
    known = ledger.accounts(company)
    shown = _figures(company, wanted)
    columns, figures = shown.columns, shown.sums
    width = len(columns) + 1
    rows: list[Json] = []

    def part(title: str, group: str, kind: str, sign: int) -> list[int]:
        inner, sums = _tree(known, figures, (kind,), sign)
        if inner:
            rows.append(section(title, inner, _summary(f"Total {title}", sums), group=group, width=width))
        return sums

    income = part("Income", "Income", "Income", -1)
    cost = part("Cost of Goods Sold", "COGS", "Cost of Goods Sold", 1)
    gross = [a - b for a, b in zip(income, cost, strict=True)]
    rows.append(total(_summary("Gross Profit", gross), "GrossProfit"))
    spent = part("Expenses", "Expenses", "Expense", 1)
    operating = [a - b for a, b in zip(gross, spent, strict=True)]
    rows.append(total(_summary("Net Operating Income", operating), "NetOperatingIncome"))
    other = part("Other Income", "OtherIncome", "Other Income", -1)
    lost = part("Other Expenses", "OtherExpenses", "Other Expense", 1)
    rest = [a - b for a, b in zip(other, lost, strict=True)]
    rows.append(total(_summary("Net Other Income", rest), "NetOtherIncome"))
    net = [a + b for a, b in zip(operating, rest, strict=True)]
    rows.append(total(_summary("Net Income", net), "NetIncome"))
    if not any(any(column.values()) for column in figures):
        rows = []
    options = [{"Name": "AccountingStandard", "Value": "GAAP"}]
    return report(company, wanted.frame, [LABEL, *columns], rows, options=options)


def _position(company: Company, last: str) -> tuple[dict[int, int], int]:
    """Return the balances of balance sheet accounts on a day, and the net income of its fiscal year."""
    known = ledger.accounts(company)
    balance = ledger.trial_balance(company, last)
    net = -sum(value for account, value in balance.items() if known[account].is_profit)
    return {account: value for account, value in balance.items() if not known[account].is_profit}, net


_ASSETS = (
    ("Bank Accounts", "BankAccounts", ("Bank",)),
    ("Accounts Receivable", "AR", ("Accounts Receivable",)),
    ("Other Current Assets", "OtherCurrentAssets", ("Other Current Asset",)),
)
_OWED = (
    ("Accounts Payable", "AP", ("Accounts Payable",)),
    ("Credit Cards", "CreditCards", ("Credit Card",)),
    ("Other Current Liabilities", "OtherCurrentLiabilities", ("Other Current Liability",)),
)


def balance_sheet(company: Company, wanted: Wanted) -> Json:
    """Assets against liabilities and equity on the last day of each column."""
    known = ledger.accounts(company)
    columns = _columns(company, wanted)
    if len(columns) > 1:
        columns = columns[:-1]
    positions = [_position(company, column.last) for column in columns]
    figures = [balance for balance, _ in positions]
    width = len(columns) + 1

    def group(parts: tuple[tuple[str, str, tuple[str, ...]], ...], sign: int) -> tuple[list[Json], list[int]]:
        rows, sums = [], [0] * len(columns)
        for title, name, types in parts:
            inner, values = _tree(known, figures, types, sign)
            if inner:
                rows.append(
                    section(title, inner, _summary(f"Total {title}", values), group=name, width=width)
                )
                sums = [a + b for a, b in zip(sums, values, strict=True)]
        return rows, sums

    def fold(
        title: str, name: str, parts: list[tuple[list[Json], list[int]]]
    ) -> tuple[list[Json], list[int]]:
        rows = [row for inner, _ in parts for row in inner]
        sums = [sum(values) for values in zip(*[values for _, values in parts], strict=True)]
        made = section(title, rows, _summary(f"Total {title}", sums), group=name, width=width)
        return ([made] if rows else []), sums

    current = fold("Current Assets", "CurrentAssets", [group(_ASSETS, 1)])
    fixed = group((("Fixed Assets", "FixedAssets", ("Fixed Asset",)),), 1)
    others = group((("Other Assets", "OtherAssets", ("Other Asset",)),), 1)
    assets, sums = fold("Assets", "TotalAssets", [current, fixed, others])
    owed = fold("Current Liabilities", "CurrentLiabilities", [group(_OWED, -1)])
    long = group((("Long-Term Liabilities", "LongTermLiabilities", ("Long Term Liability",)),), -1)
    liabilities = fold("Liabilities", "Liabilities", [owed, long])
    equity_rows, equity = _tree(known, figures, ("Equity",), -1)
    net = [value for _, value in positions]
    equity_rows.append(data(_summary("Net Income", net)) | {"group": "NetIncome"})
    equity = [a + b for a, b in zip(equity, net, strict=True)]
    own = [section("Equity", equity_rows, _summary("Total Equity", equity), group="Equity", width=width)]
    both, both_sums = fold(
        "Liabilities and Equity", "TotalLiabilitiesAndEquity", [liabilities, (own, equity)]
    )
    rows = [*assets, *both]
    titles = {
        "TotalAssets": ("ASSETS", sums),
        "TotalLiabilitiesAndEquity": ("LIABILITIES AND EQUITY", both_sums),
    }
    for row in rows:
        label, values = titles[row["group"]]
        row["Header"]["ColData"][0] = cell(label)
        row["Summary"]["ColData"] = _summary(f"TOTAL {label}", values)
    if not any(figures):
        rows = []
    options = [{"Name": "AccountingStandard", "Value": "GAAP"}]
    return report(company, wanted.frame, [LABEL, *columns], rows, options=options)


def trial_balance(company: Company, wanted: Wanted) -> Json:
    """Every account's balance as debit or credit; both sides add up to the same."""
    known = ledger.accounts(company)
    balance = ledger.trial_balance(company, wanted.frame.last)
    order = {kind: n for n, kind in enumerate(_ORDER)}
    rows: list[Json] = []
    debit = credit = 0
    for ident in sorted(
        balance, key=lambda entry: (order.get(known[entry].type, 99), known[entry].name.lower())
    ):
        value = balance[ident]
        name = _full_name(known, ident)
        rows.append(
            data(
                [
                    cell(name, ident),
                    cell(money(value) if value > 0 else ""),
                    cell(money(-value) if value < 0 else ""),
                ]
            )
        )
        debit, credit = debit + max(value, 0), credit + max(-value, 0)
    if rows:
        rows.append(total([cell("TOTAL"), cell(money(debit)), cell(money(credit))], "GrandTotal"))
    columns = [LABEL, Column("Debit", key="debit"), Column("Credit", key="credit")]
    return report(company, wanted.frame, columns, rows)


_ORDER = (
    "Bank", "Accounts Receivable", "Other Current Asset", "Fixed Asset", "Other Asset", "Accounts Payable",
    "Credit Card", "Other Current Liability", "Long Term Liability", "Equity", "Income", "Cost of Goods Sold",
    "Expense", "Other Income", "Other Expense",
)  # fmt: skip


def _full_name(known: dict[int, ledger.Account], ident: int) -> str:
    names: list[str] = []
    while ident in known:
        names.insert(0, known[ident].name)
        ident = known[ident].parent
    return ":".join(names)


def cash_flow(company: Company, wanted: Wanted) -> Json:
    """Where cash came from over a period: net income, and changes of everything that is not cash."""
    known = ledger.accounts(company)
    moved = ledger.sums(company, wanted.frame.first, wanted.frame.last)
    net = -sum(value for account, value in moved.items() if known[account].is_profit)
    kinds = (
        ("OPERATING ACTIVITIES", "OperatingActivities", ("Accounts Receivable", "Other Current Asset", "Accounts Payable", "Credit Card", "Other Current Liability")),
        ("INVESTING ACTIVITIES", "InvestingActivities", ("Fixed Asset", "Other Asset")),
        ("FINANCING ACTIVITIES", "FinancingActivities", ("Long Term Liability", "Equity")),
    )  # fmt: skip
    rows: list[Json] = []
    increase = 0
    for title, group, types in kinds:
        inner, sums = _tree(known, [moved], types, -1)
        if group == "OperatingActivities":
            inner.insert(0, data([cell("Net Income"), cell(money(net))]) | {"group": "NetIncome"})
            sums = [sums[0] + net]
        if inner:
            rows.append(
                section(title, inner, _summary(f"Net cash provided by {title.lower()}", sums), group=group)
            )
        increase += sums[0]
    rows.append(total(_summary("NET CASH INCREASE FOR PERIOD", [increase]), "CashIncrease"))
    before = ledger.sums(company, ledger.BEGINNING, ledger.day_before(wanted.frame.first))
    opening = sum(value for account, value in before.items() if known[account].type == "Bank")
    rows.append(
        data([cell("Cash at beginning of period"), cell(money(opening))]) | {"group": "BeginningCash"}
    )
    rows.append(total(_summary("CASH AT END OF PERIOD", [opening + increase]), "EndingCash"))
    return report(company, wanted.frame, [LABEL, Column("Total", key="total")], rows if moved else [])


_MAKERS: dict[str, Callable[[Company, Wanted], Json]] = {
    "ProfitAndLoss": profit_and_loss,
    "BalanceSheet": balance_sheet,
    "TrialBalance": trial_balance,
    "CashFlow": cash_flow,
}
