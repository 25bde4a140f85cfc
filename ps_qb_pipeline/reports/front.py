"""What stands on the first screen: few figures and plain sentences for a shop owner.

What lives here: choosing and wording them. What does not: any rendering.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

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
    """The four figures in home currency; other currencies stand in a table below."""
    home = report.cover.home_currency
    row = next((row for row in by_currency(report) if row["currency"] == home), None)
    if row is None:
        return ()
    tiles = [
        Tile("Sold in the shop", f"{show(row['sold'], 'money')} {home}", "orders to be booked, tax included"),
        Tile("Of it in QuickBooks", f"{show(row['booked'], 'money')} {home}", "tax included"),
    ]
    if row["refunded"] or row["refunds_booked"]:
        said = f"{show(row['refunds_booked'], 'money')} {home} of refunds in QuickBooks"
        tiles.append(Tile("Refunded in the shop", f"{show(row['refunded'], 'money')} {home}", said))
    said = "shop and books agree"
    if row["open"]:
        said = "money in unresolved exceptions"
    if row["held"]:
        said = f"of it {show(row['held'], 'money')} {home} held back before booking"
    tiles.append(
        Tile("Open difference", f"{show(row['open'], 'money')} {home}", said, alarm=bool(row["open"]))
    )
    return tuple(tiles)


def by_currency(report: Report) -> list[dict[str, Any]]:
    """The figures of the first screen by currency, home currency first."""
    rows = {(row["currency"], row["measure"]): row for row in report.tables["tie_out"].records()}
    nothing = dict.fromkeys(("shop", "not_postable", "before_go_live", "actual", "restated"), Decimal(0))
    found = []
    for currency in dict.fromkeys(currency for currency, _ in rows):
        sales, refunds = rows.get((currency, "sales"), nothing), rows.get((currency, "refunds"), nothing)
        found.append(
            {
                "currency": currency,
                "sold": sales["shop"] - sales["not_postable"] - sales["before_go_live"],
                "booked": sales["actual"] + sales["restated"],
                "refunded": refunds["shop"] - refunds["not_postable"] - refunds["before_go_live"],
                "refunds_booked": refunds["actual"],
                "open": report.figures.open_difference.get(currency, Decimal(0)),
                "held": report.figures.open_held.get(currency, Decimal(0)),
            }
        )
    return found


def _tasks(report: Report) -> tuple[Task, ...]:
    """One task a cause, its money by currency, what blocks and what weighs most first."""
    causes: dict[str, list[dict[str, Any]]] = {}
    for row in report.tables["exceptions_by_code"].records():
        causes.setdefault(row["code"], []).append(row)
    return tuple(
        Task(
            code,
            show(rows[0]["owner"], "owner"),
            show(rows[0]["severity"], "severity"),
            sum(row["count"] for row in rows),
            ", ".join(f"{show(row['amount'], 'money')} {row['currency']}" for row in rows),
            rows[0]["meaning"] or "",
            rows[0]["action"] or "",
        )
        for code, rows in causes.items()
    )
