"""What the books would look like: the documents of a period that are not posted yet, as if they were.

What lives here: the double entry of those documents by account, beside today's balances. What does
not: posting anything. Amounts are in home currency; debits are positive, credits negative.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import duckdb

from ps_qb_pipeline.accounting import items
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.reports.grid import grid
from ps_qb_pipeline.reports.scope import first_day, last_day
from ps_qb_pipeline.reports.table import Column, Table

ZERO = Decimal(0)
RECEIVABLE = "Accounts receivable"


class Balance(Protocol):
    """One account of QuickBooks' trial balance, in home currency."""

    @property
    def account(self) -> str:
        """Full name of the account."""
        ...

    @property
    def debit(self) -> Decimal:
        """What stands on the debit side."""
        ...

    @property
    def credit(self) -> Decimal:
        """What stands on the credit side."""
        ...


@dataclass(frozen=True, slots=True)
class Preview:
    """The effect of posting a period: ``documents`` by type, balances, profit and tax."""

    period: str
    documents: Table
    balances: Table
    profit: Table
    tax: Table

    @property
    def tables(self) -> tuple[Table, ...]:
        """All of it, in reading order."""
        return self.documents, self.balances, self.profit, self.tax


def preview(
    con: duckdb.DuckDBPyConnection,
    policy: Policy,
    *,
    period: str = "",
    today: Sequence[Balance] = (),
) -> Preview:
    """What posting the expected documents of ``period`` (all, when empty) that are not in the books would do.

    ``today`` is QuickBooks' trial balance; without it the balances that the accounts show are used.
    Nothing is written anywhere.
    """
    con.execute("create or replace temp table waiting as " + _waiting(period))
    try:
        entries = _entries(con, policy)
        balances = _balances(con, entries, today)
        return Preview(period, _documents(con), balances, _profit(con, policy, balances), _tax(con, policy))
    finally:
        con.execute("drop table waiting")


def preview_text(shown: Preview) -> str:
    """The preview for a terminal."""
    parts = [f"Posting {shown.period or 'everything that waits'} would do this; nothing was written."]
    for table in shown.tables:
        parts += [f"\n{table.title}", *(grid(table) if table.rows else ("   None.",))]
    return "\n".join(parts) + "\n"


def _waiting(period: str) -> str:
    within = (
        f"and pairs.txn_date between date '{first_day(period)}' and date '{last_day(period)}'"
        if period
        else ""
    )
    return f"""
        select documents.key, documents.type, documents.total, documents.total_tax, documents.deposit_to,
            coalesce(documents.exchange_rate, 1) as rate,
            coalesce(documents.home_total, documents.total) as home_total,
            if(documents.type in ('RefundReceipt', 'CreditMemo'), -1, 1) as sign
        from recon.pairs as pairs inner join ledger.documents as documents using (key)
        where not pairs.live and not pairs.held and pairs.class <> 'QBO_DELETED' {within}
    """  # noqa: S608 - our own words and dates


def _entries(con: duckdb.DuckDBPyConnection, policy: Policy) -> dict[str, Decimal]:
    entries: dict[str, Decimal] = {}

    def add(account: str, amount: Decimal) -> None:
        entries[account] = entries.get(account, ZERO) + amount

    for account, amount in _money_side(con):
        add(account or RECEIVABLE, amount)
    accounts = _special_accounts(policy)
    lines = con.execute(
        """select coalesce(json_extract_string(items.body, '$.income_account'), lines.item) as item,
            items.key is not null as is_product,
            -sum(round(waiting.sign * lines.amount * waiting.rate, 2))
        from ledger.lines as lines inner join waiting on lines.document_key = waiting.key
        left join ledger.items as items on lines.item = items.key
        group by all"""
    ).fetchall()
    for item, is_product, amount in lines:
        known = item if is_product else accounts.get(item, policy.accounts.income)
        add(
            known if known and not known.startswith(("sku:", "ps:")) else policy.accounts.income,
            Decimal(amount),
        )
    for code, amount in con.execute(
        """select taxes.code, -sum(round(waiting.sign * taxes.amount * waiting.rate, 2))
        from ledger.taxes as taxes inner join waiting on taxes.document_key = waiting.key group by all"""
    ).fetchall():
        add(_tax_account(policy, code), Decimal(amount))
    exchange = -sum(entries.values(), ZERO)
    if exchange:
        add(policy.accounts.exchange, exchange)
    return entries


def _money_side(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, Decimal]]:
    rows = con.execute(
        """select if(type in ('Invoice', 'CreditMemo'), '', deposit_to) as account, sum(sign * home_total)
        from waiting where type in ('SalesReceipt', 'Invoice', 'RefundReceipt', 'CreditMemo', 'Payment') group by all
        union all
        select '' as account, -sum(home_total) from waiting where type = 'Payment' having count(*) > 0"""
    ).fetchall()
    yield from ((account, Decimal(amount)) for account, amount in rows)


def _special_accounts(policy: Policy) -> Mapping[str, str]:
    accounts = policy.accounts
    return {
        items.SHIPPING: accounts.shipping,
        items.DISCOUNT: accounts.discount,
        items.WRAPPING: accounts.wrapping,
        items.ECOTAX: accounts.ecotax,
        items.ROUNDING: accounts.rounding,
        items.RESTOCKING: accounts.restocking,
        items.GOODS: accounts.income,
        items.STORE_CREDIT: accounts.store_credit,
        items.GIFT_CARD: accounts.gift_card,
        items.DEPOSITS: accounts.customer_deposits,
        items.CHARGEBACKS: accounts.chargebacks,
        items.SALES_TAX: accounts.tax_liability,
    }


def _tax_account(policy: Policy, code: str) -> str:
    known = policy.tax_codes.get(code)
    return f"{known.agency} Payable" if known else policy.accounts.tax_liability


def _documents(con: duckdb.DuckDBPyConnection) -> Table:
    rows = con.execute(
        """select type, count(*), sum(home_total) from waiting group by type order by type"""
    ).fetchall()
    return Table(
        "documents",
        "Documents that would be posted",
        "",
        (Column("type", "Type"), Column("count", "Count", "integer"), Column("amount", "Amount", "money")),
        tuple((kind, count, Decimal(amount)) for kind, count, amount in rows),
    )


def _balances(
    con: duckdb.DuckDBPyConnection, entries: Mapping[str, Decimal], today: Sequence[Balance]
) -> Table:
    if today:
        now = {row.account: row.debit - row.credit for row in today}
    else:
        now = {
            name: Decimal(balance)
            for name, balance in con.execute(
                """select fully_qualified_name,
                    if(classification in ('Asset', 'Expense'), 1, -1) * coalesce(current_balance, 0)
                from staging.quickbooks_accounts where account_type not in ('Income', 'Other Income', 'Expense',
                    'Other Expense', 'Cost of Goods Sold')"""
            ).fetchall()
        }
    names = sorted(name for name in entries.keys() | now.keys() if entries.get(name) or now.get(name))
    rows = [
        (name, now.get(name), entries.get(name, ZERO), now.get(name, ZERO) + entries.get(name, ZERO))
        for name in names
    ]
    return Table(
        "balances",
        "Trial balance, before and after (debits positive, credits negative)",
        "",
        (
            Column("account", "Account"),
            Column("today", "Today", "money"),
            Column("change", "Change", "money", summed=True),
            Column("after", "After", "money"),
        ),
        tuple(rows),
    )


def _profit(con: duckdb.DuckDBPyConnection, policy: Policy, balances: Table) -> Table:
    """Income less expenses, before and after; credits are positive here, as in a profit and loss."""
    ours = policy.accounts
    kinds = dict.fromkeys(
        (ours.income, ours.shipping, ours.wrapping, ours.ecotax, ours.discount, ours.rounding, ours.restocking,
         *ours.income_by_category.values()), "Revenue",
    ) | dict.fromkeys((ours.fees, ours.chargebacks, ours.exchange), "Expense")  # fmt: skip
    kinds |= dict(
        con.execute(
            """select fully_qualified_name, classification from staging.quickbooks_accounts
            where classification in ('Revenue', 'Expense')"""
        ).fetchall()
    )
    sums: dict[str, list[Decimal]] = {}
    for kind, sign in (("Revenue", -1), ("Expense", 1)):
        found = [row for row in balances.records() if kinds.get(row["account"]) == kind]
        sums[kind] = [
            sign * sum((row[name] or ZERO for row in found), ZERO) for name in ("today", "change", "after")
        ]
    profit = [income - spent for income, spent in zip(sums["Revenue"], sums["Expense"], strict=True)]
    rows = (("Income", *sums["Revenue"]), ("Expenses", *sums["Expense"]), ("Profit", *profit))
    return Table(
        "profit",
        "Profit and loss, before and after",
        "",
        (
            Column("what", ""),
            Column("today", "Today", "money"),
            Column("change", "Change", "money"),
            Column("after", "After", "money"),
        ),
        rows,
    )


def _tax(con: duckdb.DuckDBPyConnection, policy: Policy) -> Table:
    rows = con.execute(
        """select taxes.code, taxes.rate, sum(round(waiting.sign * taxes.base * waiting.rate, 2)),
            sum(round(waiting.sign * taxes.amount * waiting.rate, 2))
        from ledger.taxes as taxes inner join waiting on taxes.document_key = waiting.key
        group by taxes.code, taxes.rate order by taxes.code, taxes.rate desc"""
    ).fetchall()
    return Table(
        "tax",
        "Tax that would be added",
        "",
        (
            Column("code", "Tax code"),
            Column("agency", "Agency"),
            Column("rate", "Rate, %", "rate"),
            Column("base", "Base", "money"),
            Column("tax", "Tax", "money", summed=True),
        ),
        tuple(
            (
                code,
                policy.tax_codes[code].agency if code in policy.tax_codes else "",
                rate,
                Decimal(base),
                Decimal(tax),
            )
            for code, rate, base, tax in rows
        ),
    )
