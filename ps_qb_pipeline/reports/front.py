"""What stands on the first screen: few figures and plain sentences for a shop owner.

What lives here: choosing and wording them. What does not: any rendering.
"""

from __future__ import annotations

from dataclasses import dataclass

from ps_qb_pipeline.reports.model import Report
from ps_qb_pipeline.reports.words import show

MOST_TASKS = 6


@dataclass(frozen=True, slots=True)
class Tile:
    """One large figure with what it means."""

    title: str
    figure: str
    said: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do: for whom, how much, why."""

    code: str
    owner: str
    urgency: str
    count: int
    amount: str
    meaning: str
    action: str


@dataclass(frozen=True, slots=True)
class Front:
    """The first screen."""

    headline: str
    proof: str
    tiles: tuple[Tile, ...]
    tasks: tuple[Task, ...]
    more_tasks: int


def front(report: Report) -> Front:
    """The first screen of the report."""
    tasks = _tasks(report)
    return Front(
        _headline(report), _proof(report), _tiles(report), tasks[:MOST_TASKS], len(tasks[MOST_TASKS:])
    )


def _headline(report: Report) -> str:
    figures = report.figures
    to_book = figures.postable + figures.held_orders
    if not figures.orders:
        return "The shop has no orders yet."
    told = f"{figures.orders_confirmed:,} of {to_book:,} orders to be booked are in QuickBooks."
    count = sum(figures.exceptions.values()) + sum(figures.held.values())
    if not count:
        return f"{told} Nothing is open."
    return f"{told} {count:,} {'matter needs' if count == 1 else 'matters need'} somebody."


def _proof(report: Report) -> str:
    if report.whole:
        return (
            "Proof: every order, payment, refund and document is in exactly one class, and every cent is explained "
            "(unexplained: 0.00)."
        )
    return (
        "The proof does not hold: money or rows are in no class. This is a mistake of this program, not of the shop; "
        "do not rely on the figures and report it."
    )


def _tiles(report: Report) -> tuple[Tile, ...]:
    tiles: list[Tile] = []
    rows = {(row["currency"], row["measure"]): row for row in report.tables["tie_out"].records()}
    opened = report.figures.open_difference
    currencies = list(dict.fromkeys(currency for currency, _ in rows)) or [report.cover.home_currency]
    for currency in currencies:
        sales, refunds = rows.get((currency, "sales")), rows.get((currency, "refunds"))
        if sales is not None:
            sold = sales["shop"] - sales["not_postable"] - sales["before_go_live"]
            tiles.append(
                Tile(
                    "Sold in the shop",
                    f"{show(sold, 'money')} {currency}",
                    "orders to be booked, tax included",
                )
            )
            tiles.append(
                Tile(
                    "In QuickBooks",
                    f"{show(sales['actual'], 'money')} {currency}",
                    "sales documents, tax included",
                )
            )
        if refunds is not None and (refunds["shop"] or refunds["actual"]):
            said = f"{show(refunds['actual'], 'money')} {currency} of it in QuickBooks"
            tiles.append(Tile("Refunded", f"{show(refunds['shop'], 'money')} {currency}", said))
        amount = opened.get(currency)
        if amount is not None:
            held = report.figures.open_held.get(currency)
            said = f"of it {show(held, 'money')} held back before booking" if held else "shop and books agree"
            if amount and not held:
                said = "money in unresolved exceptions"
            tiles.append(
                Tile("Open difference", f"{show(amount, 'money')} {currency}", said, alarm=bool(amount))
            )
    return tuple(tiles)


def _tasks(report: Report) -> tuple[Task, ...]:
    return tuple(
        Task(
            row["code"],
            show(row["owner"], "owner"),
            show(row["severity"], "severity"),
            row["count"],
            f"{show(row['amount'], 'money')} {row['currency']}",
            row["meaning"] or "",
            row["action"] or "",
        )
        for row in report.tables["exceptions_by_code"].records()
    )
