"""One whole trial: a booked history, the edits of a seed, and what the reconciliation says of them.

What lives here: the order of things and the reading of exceptions. What does not: single edits.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from ps_qb_pipeline.accounting.payments import Methods
from ps_qb_pipeline.orchestration import deliveries, steps
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.sandbox.shop.life import PAYMENTS
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline_tests.recon_truth import in_books, in_documents, in_files, in_shop
from ps_qb_pipeline_tests.recon_truth.history import book, control, grow, place
from ps_qb_pipeline_tests.recon_truth.injector import Injector, Target
from ps_qb_pipeline_tests.recon_truth.judging import Found, Truth, compare

ROUND = 500
"""So many orders get one more difference of each kind."""


def run(shop: str, orders: int, seed: int, data: Path | None, *, armed: bool = False) -> dict[str, Any]:
    """The whole test; gives the figures of the last line."""
    with place(shop, orders, data) as (runtime, shop_url, books_url):
        if shop == "boutique":
            here = control(shop_url, status={})["rows"]["orders"]
            grow(shop_url, orders - here, seed)
        runtime.armed()
        steps.set_up(runtime, create=True)
        connections = Connections(runtime.engine)
        connections.arm(runtime.name, by="truth")
        book(runtime)
        before, truth = exceptions(runtime), Truth()
        chosen = targets(runtime)
        print(f"{len(chosen)} documents are booked and equal; {before.total()} exceptions before", flush=True)
        if not armed:
            connections.disarm(runtime.name, by="truth", reason="the test")
        with runtime.books() as books:
            do = Injector(books, chosen, random.Random(seed), truth)
            disturb(do, runtime, shop_url, books_url, rounds=max(1, orders // ROUND), armed=armed)
        book(runtime, search=True)
        return compare(truth, exceptions(runtime) - before, integrity(runtime), do.skipped)


def disturb(
    do: Injector, runtime: Runtime, shop_url: str, books_url: str, *, rounds: int, armed: bool
) -> None:
    """Everything that is done to the two sandboxes and the file that is delivered."""
    with runtime.warehouse("look at the shop", read_only=True) as con:
        known, vouchers = in_shop.known_orders(con), in_shop.used_up(con)
        method, money = _provider(con, runtime)
    # What a provider tells of is left alone in the shop: its file is made of what the shop holds now.
    told = {one.order_id for one in money}
    paid_out = [one for one in do.targets if one.order_id in told]
    if money:
        path = runtime.settings.home / "payout.csv"
        in_files.deliver(path, method, money, do)
        deliveries.deliver_payouts(runtime, path)
    do.targets = [one for one in do.targets if one.order_id not in told]
    last_closed = _early(do.targets)
    home = runtime.connection.accounting.home_currency
    prefix = next(one.doc_number.rpartition("-")[0] for one in do.targets if one.role == "sale") + "-"
    keeper = in_shop.Shopkeeper(
        shop_url, runtime.connection.shop.key, home, prefix, do, known, _untold(runtime, method), vouchers
    )
    if not armed:
        for _ in range(rounds):
            for kind in in_shop.KINDS:
                kind(keeper)
            in_shop.in_closed_period(keeper, last_closed)
    do.targets += [one for one in paid_out if one.entity != "Payment"]
    do.rng.shuffle(do.targets)
    for _ in range(rounds):
        for kind in (*in_documents.KINDS, *in_books.KINDS):
            kind(do)
    if not armed:
        closed = {"AccountingInfoPrefs": {"BookCloseDate": str(last_closed)}}
        control(books_url, preferences=closed)


def _early(targets: list[Target]) -> date:
    days = sorted(one.txn_date for one in targets)
    return days[len(days) // 3]


def _untold(runtime: Runtime, told: str) -> str:
    """A card-like way of paying in the sandbox shop whose provider delivers no file."""
    methods = Methods(runtime.connection.accounting)
    ways = {way: methods.of(PAYMENTS[way][1]) for way in ("card", "paypal")}
    return next((way for way, method in ways.items() if method is not None and method.name != told), "")


def _provider(con: Any, runtime: Runtime) -> tuple[str, list[in_files.Money]]:
    """The card-like method whose clearing account moved least of those with enough to tell: its file is delivered."""
    methods = runtime.connection.accounting.methods
    home = runtime.connection.accounting.home_currency
    found = []
    for name, method in methods.items():
        account = method.account.replace("{CUR}", home)
        money = in_files.money_of(con, account) if method.kind == "card" else []
        payments = Counter(one.kind for one in money)
        if payments["payment"] >= 12 and payments["refund"] >= 2 and all(one.transaction for one in money):
            found.append((len(money), name, money))
    _, name, money = min(found, default=(0, "", []))
    return name, money


def exceptions(runtime: Runtime) -> Found:
    """What reconciliation says: code, what it is about, amount."""
    with runtime.warehouse("read exceptions", read_only=True) as con:
        rows = con.execute(
            """
            select code, if(side = 'books', books_id, coalesce(nullif(doc_number, ''), cast(order_id as varchar))),
                amount, order_id
            from recon.exceptions
            """
        ).fetchall()
    found: Found = Counter()
    for code, about, amount, order in rows:
        found[code, str(order) if code == "MISSING_IN_QBO" else str(about), Decimal(amount)] += 1
    return found


def targets(runtime: Runtime) -> list[Target]:
    """Documents that are booked and equal, of orders without any exception."""
    with runtime.warehouse("choose documents", read_only=True) as con:
        rows = con.execute(
            """
            select pairs.key, pairs.books_entity, pairs.books_id, documents.doc_number, pairs.order_id,
                pairs.txn_date, pairs.currency, pairs.total, pairs.total_tax, documents.exchange_rate,
                documents.deposit_to, pairs.role
            from recon.pairs as pairs inner join ledger.documents as documents using (key)
            where pairs.class = 'matched' and pairs.role in ('sale', 'payment', 'refund')
                and pairs.order_id not in (select order_id from recon.exceptions where order_id is not null)
            order by pairs.key
            """
        ).fetchall()
    return [Target(*row) for row in rows]


def integrity(runtime: Runtime) -> str:
    """Money in no class, over all currencies."""
    with runtime.warehouse("read the proof", read_only=True) as con:
        row = con.execute("select coalesce(sum(unclassified), 0) from recon.tie_out").fetchone()
    return f"{row[0]:.2f}" if row else ""
