"""The levels of the proof, L0 to L9: what each compares, and what is open on it.

What lives here: which exception belongs to which level, and the verdict of each level from tables that
the report holds already. What does not: finding exceptions (``dbt_style_sql/recon``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.reports.table import Column, Table
from ps_qb_pipeline.reports.words import show

AGREES, OPEN, NOTHING = "agrees", "open", "nothing to compare"


@dataclass(frozen=True, slots=True)
class Level:
    """One level: ``compares`` in words, and the codes of the exceptions that are open on it."""

    name: str
    title: str
    compares: str
    codes: frozenset[str]


def _level(name: str, title: str, compares: str, codes: str) -> Level:
    return Level(name, title, compares, frozenset(codes.split()))


LEVELS: tuple[Level, ...] = (
    _level(
        "L0", "Completeness", "Everything that the shop holds was read and understood.",
        "POISON_RECORD SOURCE_DELETED SOURCE_LATE_UPDATE PS_IDENTITY_BREAK PS_DISCOUNT_TAX_INVERTED ROUNDING_EXCESS "
        "TAX_RESIDUE",
    ),
    _level(
        "L1", "Existence", "Every order, payment and refund to be booked has exactly one document.",
        "MISSING_IN_QBO DUPLICATE_IN_QBO ORPHAN_IN_QBO QBO_DELETED TAX_CODE_UNMAPPED ITEM_UNMAPPED METHOD_UNMAPPED "
        "STATE_UNMAPPED TAX_ZERO_UNEXPLAINED SKU_CLASH CUSTOMER_CURRENCY_LOCK RULE_HOLD STORE_CREDIT_UNDECIDED "
        "FX_RATE_MISSING EDIT_UNDERPAID PERIOD_CLOSED",
    ),
    _level(
        "L2", "Amounts", "Net, tax, total, currency, rate, customer, date and account of each document.",
        "QBO_EDITED QBO_RECALCULATED AMOUNT_NET_DIFF AMOUNT_TAX_DIFF AMOUNT_SHIP_DIFF AMOUNT_DISC_DIFF "
        "AMOUNT_GROSS_DIFF CUSTOMER_DIFF ACCOUNT_DIFF DATE_DIFF CURRENCY_DIFF CUTOFF_DIFF EDIT_CONFLICT "
        "EDIT_AFTER_CLOSE FX_RATE_DIFF FX_RATE_PRECISION",
    ),
    _level(
        "L3", "Payments", "Money received by order and method, and the account that it went to.",
        "PAYMENT_MISSING PAYMENT_EXTRA PAY_UNDER PAY_OVER PAY_SYNTHETIC PAY_CURRENCY_DIFF PAY_ORPHAN",
    ),
    _level(
        "L4", "Refunds", "Credit slips and refunds of the shop against refunds and credit memos.",
        "REFUND_NO_SLIP REFUND_NOT_PAID_OUT REFUND_EXCEEDS_PAID REFUND_IGNORES_DISCOUNT SLIP_AMOUNT_CHOSEN",
    ),
    _level(
        "L5", "Clearing", "Clearing and bank accounts, rolled forward month by month.", "CLEARING_NOT_ZERO",
    ),
    _level(
        "L6", "Payouts", "Payouts of payment providers against orders and bank deposits.",
        "PAY_UNMATCHED_PSP PSP_UNMATCHED",
    ),
    _level(
        "L7", "Vouchers", "Store credit issued, used, expired and still owed.",
        "VOUCHER_DIFF TAX_STORE_CREDIT_GROSSUP",
    ),
    _level(
        "L8", "Period", "Our documents against QuickBooks' own general ledger, profit and loss and trial balance.",
        "QBO_FOREIGN_LINE",
    ),
    _level("L9", "Stock", "Stock values and cost of goods, where QuickBooks keeps the stock.", ""),
)  # fmt: skip
"""The levels in their order."""

LEVEL_OF: Mapping[str, str] = {code: level.name for level in LEVELS for code in level.codes}
"""The level of each code that may be open."""


def levels_table(tables: Mapping[str, Table]) -> Table:
    """One row a level: how much was compared, what is open, and the verdict."""
    open_by_level: dict[str, list[dict[str, Any]]] = {level.name: [] for level in LEVELS}
    for row in tables["exceptions_by_code"].records():
        open_by_level[LEVEL_OF.get(row["code"], "L1")].append(row)
    rows = []
    for level in LEVELS:
        found = open_by_level[level.name]
        compared, breaks = _COMPARED[level.name](tables)
        count = sum(row["count"] for row in found)
        verdict = OPEN if count or breaks else AGREES if compared else NOTHING
        rows.append(
            (level.name, level.title, level.compares, compared, count, breaks, _money(found), verdict)
        )
    return Table(
        "levels",
        "Levels of the proof",
        "From completeness to the period's own reports. A level is open while an exception stands on it or a "
        "row of its table differs; the tables below show which.",
        (
            Column("level", "Level"),
            Column("title", "Name"),
            Column("compares", "What is compared"),
            Column("compared", "Compared", "integer"),
            Column("open", "Exceptions", "integer"),
            Column("breaks", "Rows that differ", "integer"),
            Column("money", "Money in them"),
            Column("verdict", "Verdict"),
        ),
        tuple(rows),
    )


def _money(rows: list[dict[str, Any]]) -> str:
    sums: dict[str, Decimal] = {}
    for row in rows:
        sums[row["currency"]] = sums.get(row["currency"], Decimal(0)) + row["amount"]
    return ", ".join(f"{show(amount, 'money')} {currency}" for currency, amount in sorted(sums.items()))


_Compared = tuple[int, int]
"""How many rows a level compares, and how many of them differ by themselves."""


def _conserved(tables: Mapping[str, Table]) -> _Compared:
    rows = tables["conservation"].records()
    return sum(row["objects"] for row in rows), sum(not row["holds"] for row in rows)


def _of_class(*object_types: str) -> Callable[[Mapping[str, Table]], _Compared]:
    def count(tables: Mapping[str, Table]) -> _Compared:
        rows = tables["classes"].records()
        return sum(
            int(row["count"]) for row in rows if row["side"] == "shop" and row["object_type"] in object_types
        ), 0

    return count


def _documents(tables: Mapping[str, Table]) -> _Compared:
    table = tables["documents"]
    return len(table.rows) + table.left_out, 0


def _differing(name: str, *columns: str) -> Callable[[Mapping[str, Table]], _Compared]:
    def count(tables: Mapping[str, Table]) -> _Compared:
        rows = tables[name].records() if name in tables else []
        return len(rows), sum(any(row[column] for column in columns) for row in rows)

    return count


_COMPARED: Mapping[str, Callable[[Mapping[str, Table]], _Compared]] = {
    "L0": _conserved,
    "L1": _of_class("order", "payment", "slip"),
    "L2": _documents,
    "L3": _of_class("payment"),
    "L4": _of_class("slip"),
    "L5": _differing("accounts", "difference"),
    "L6": _differing("payouts", "difference", "unmatched_lines"),
    "L7": _differing("vouchers", "excess", "used_by_others"),
    "L8": _differing("ledger_tie_out", "difference", "report_difference"),
    "L9": _differing("stock", "difference"),
}
