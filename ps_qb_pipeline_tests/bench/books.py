"""QuickBooks at its real limits: documents a minute, requests a document, metered reads.

What lives here: 3,000 sales receipts through the whole of posting, a plain python-quickbooks loop
beside it, the metered reads of 1,000 orders, and the token torture. What does not: the limits
themselves (the sandbox enforces them in a process of its own). Run: python -m ps_qb_pipeline_tests.bench.books
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests

from ps_qb_pipeline.accounting.documents import Document, Line, TaxLine
from ps_qb_pipeline.accounting.policy import PaymentMethod, Policy, TaxCode, TaxRate
from ps_qb_pipeline.errors import BooksThrottled
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.posting.protocol import post
from ps_qb_pipeline.quickbooks import mirror, provision
from ps_qb_pipeline.quickbooks.client import Books
from ps_qb_pipeline.quickbooks.limiter import UNLIMITED, Budget, Limits, SharedBudget
from ps_qb_pipeline.quickbooks.oauth import App
from ps_qb_pipeline.quickbooks.references import NEEDED, References
from ps_qb_pipeline.quickbooks.renewal import TokenSource
from ps_qb_pipeline.quickbooks.texts import canonical
from ps_qb_pipeline.state.budget import BudgetStore
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.database import open_control_plane
from ps_qb_pipeline.state.tokens import TokenStore
from ps_qb_pipeline_tests.quickbooks.torture import torture

REALM = "9130000000000001"
LIMIT_DOCUMENTS = 40 * 30
CUSTOMERS = 50
ITEMS = 20
CENT = Decimal("0.01")

POLICY = Policy(
    tax_codes={"FR20": TaxCode((TaxRate("French VAT 20", Decimal(20)),))},
    methods={"stripe": PaymentMethod(account="Clearing:Stripe {CUR}", books_name="Stripe")},
)


@dataclass
class Company:
    """A sandbox company in its own process, and our way to it."""

    url: str
    folder: Path

    def control(self, **document: Any) -> dict[str, Any]:
        answer = requests.put(f"{self.url}/_control", json=document, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def engine(self) -> Any:
        return open_control_plane(f"sqlite:///{self.folder / 'control.sqlite'}")

    def books(self, limits: Limits) -> tuple[Books, Budget]:
        engine = self.engine()
        discovery = f"{self.url}/.well-known/openid_sandbox_configuration/"
        app = App("sandbox-client", "sandbox-secret", "http://localhost:8765/callback", discovery)
        tokens = TokenSource(
            TokenStore(engine, bytes(32)),
            app,
            connection="bench",
            realm=REALM,
            first_refresh_token="sandbox-refresh-token",
        )
        budget = SharedBudget(BudgetStore(engine), limits)
        return Books(base_url=self.url, realm=REALM, tokens=tokens, budget=budget), budget


@contextmanager
def company(country: str = "ie") -> Iterator[Company]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [
            sys.executable,
            "-m",
            "ps_qb_pipeline_tests.bench.serve_books",
            country,
            str(folder / "books.sqlite"),
        ]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            assert process.stdout is not None
            yield Company(process.stdout.readline().strip(), folder)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def prepare(there: Company) -> tuple[list[str], list[str], References]:
    """Set the company up, with customers and items present; limits are off meanwhile."""
    books, _ = there.books(UNLIMITED)
    names = References.read(books)
    provision.carry_out(provision.plan(POLICY, names), books, names)
    income = {"value": names.account("Sales of goods")}
    customers = [f"Customer {number}" for number in range(CUSTOMERS)]
    items = [f"SKU-{number}" for number in range(ITEMS)]
    for name in customers:
        books.create("Customer", canonical({"DisplayName": name}), f"c-{name}")
    for name in items:
        body = {"Name": name, "Sku": name, "Type": "NonInventory", "IncomeAccountRef": income}
        books.create("Item", canonical(body), f"i-{name}")
    return customers, items, References.read(books)


def documents(count: int, customers: list[str], items: list[str], *, first: int = 1) -> list[Document]:
    """Sales receipts of two lines at 20 %."""
    made = []
    for number in range(first, first + count):
        price = Decimal(500 + number % 4500) * CENT
        net = price * 2 + Decimal("5.00")
        tax = (net * 20 / 100).quantize(CENT)
        made.append(
            Document(
                key=f"1|sale|{number}|0",
                type="SalesReceipt",
                role="sale",
                source_id=str(number),
                revision=0,
                doc_number=f"PS1-{number}",
                order_id=number,
                id_shop=1,
                reference=f"R{number}",
                txn_date=date(2026, 1, 1 + number % 28),
                currency="EUR",
                total=net + tax,
                customer_name=customers[number % len(customers)],
                global_tax="TaxExcluded",
                lines=(
                    Line(
                        "product", f"sku:{items[number % len(items)]}", price * 2, "FR20", Decimal(2), price
                    ),
                    Line("shipping", "PS Shipping", Decimal("5.00"), "FR20"),
                ),
                taxes=(TaxLine("FR20", Decimal(20), net, tax),),
                total_tax=tax,
                deposit_to="Clearing:Stripe EUR",
                payment_method="Stripe",
                private_note=f"ps:{{v:1,i:1,s:1,o:{number},ref:R{number},rev:0,role:sale,id:{number}}}",
            )
        )
    return made


class Watched:
    """Books that note when a batch came back, and how many documents it held."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.done: list[tuple[float, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._books, name)

    def batch(self, items: Any, requestid: str, **options: Any) -> Any:
        outcome = self._books.batch(items, requestid, **options)
        self.done.append((time.monotonic(), len(outcome)))
        return outcome


def per_whole_minute(done: list[tuple[float, int]], start: float, end: float) -> list[int]:
    """Documents of each whole minute, counted from the start."""
    minutes = int((end - start) // 60)
    return [
        sum(count for at, count in done if start + 60 * minute <= at < start + 60 * (minute + 1))
        for minute in range(minutes)
    ]


def throughput(count: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Post ``count`` receipts at the real limits; then a plain loop in the same company, hasty and paced."""
    with company() as there:
        customers, items, names = prepare(there)
        books, budget = there.books(Limits())
        there.control(limits={"on": True}, counts="reset")
        engine = there.engine()
        connections = Connections(engine)
        connections.register("bench", realm=REALM, go_live=date(2020, 1, 1))
        connections.arm("bench", by="bench")
        watched = Watched(books)
        wanted = documents(count, customers, items)
        before = budget.month(REALM)
        start = time.monotonic()
        result = post(
            wanted, [], [], books=watched, names=names, store=engine, run_id="bench", connection="bench",
            pace=Pace(patience=3600.0),
        )  # fmt: skip
        end = time.monotonic()
        state = there.control()
        minutes = per_whole_minute(watched.done, start, end)
        month = budget.month(REALM)
        calls = month.writes + month.metered - before.writes - before.metered
        after_first = minutes[1:]
        figures = {
            "documents": len(result.created),
            "seconds": round(end - start, 1),
            "per whole minute": minutes,
            "share of 1,200 after the first minute": [round(one / LIMIT_DOCUMENTS, 3) for one in after_first],
            "429s": state["limits"]["refused"],
            "requests per document": round(calls / max(1, len(result.created)), 4),
            "counts": {name: number for name, number in result.counts().items() if number},
        }
        say(f"posting: {figures}")
        there.control(counts="reset")
        time.sleep(61)
        hasty = plain_loop(there, customers, items, seconds=60, pause=0.0)
        say(f"plain python-quickbooks loop: {hasty}")
        time.sleep(61)
        paced = plain_loop(there, customers, items, seconds=120, pause=0.125)
        say(f"the same loop, pausing 1/8 second before each request: {paced}")
        return {"posting": figures, "plain": hasty, "paced": paced}


def plain_loop(
    there: Company, customers: list[str], items: list[str], *, seconds: float, pause: float
) -> dict[str, Any]:
    """What a script does: find the customer, find the item, create; on a 429 wait a minute as Intuit says."""
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    from intuitlib.client import AuthClient
    from quickbooks import QuickBooks
    from quickbooks.exceptions import QuickbooksException
    from quickbooks.objects.base import Ref
    from quickbooks.objects.customer import Customer
    from quickbooks.objects.detailline import SalesItemLine, SalesItemLineDetail
    from quickbooks.objects.item import Item
    from quickbooks.objects.salesreceipt import SalesReceipt

    auth = AuthClient(
        "sandbox-client",
        "sandbox-secret",
        "http://localhost:8765/callback",
        environment=f"{there.url}/.well-known/openid_sandbox_configuration/",
        refresh_token="sandbox-refresh-token",
    )

    class Counting(QuickBooks):
        calls = 0

        def process_request(self, *args: Any, **options: Any) -> Any:
            Counting.calls += 1
            time.sleep(pause)
            return super().process_request(*args, **options)

    Counting.api_url_v3 = f"{there.url}/v3"
    client = Counting(
        auth_client=auth, refresh_token="sandbox-refresh-token", company_id=REALM, minorversion=75
    )
    code = next(
        row
        for row in client.query("select * from TaxCode")["QueryResponse"]["TaxCode"]
        if row["Name"] == "FR20"
    )
    start = time.monotonic()
    made = throttled = 0
    number = 1_000_000 if pause else 2_000_000
    while time.monotonic() - start < seconds:
        number += 1
        try:
            customer = Customer.filter(DisplayName=customers[number % len(customers)], qb=client)[0]
            item = Item.filter(Name=items[number % len(items)], qb=client)[0]
            detail = SalesItemLineDetail()
            detail.ItemRef = item.to_ref()
            detail.TaxCodeRef = Ref()
            detail.TaxCodeRef.value = code["Id"]
            line = SalesItemLine()
            line.Amount = 10
            line.SalesItemLineDetail = detail
            receipt = SalesReceipt()
            receipt.CustomerRef = customer.to_ref()
            receipt.DocNumber = f"PL-{number}"
            receipt.GlobalTaxCalculation = "TaxExcluded"
            receipt.CurrencyRef = Ref()
            receipt.CurrencyRef.value = "EUR"
            receipt.Line.append(line)
            receipt.save(qb=client)
            made += 1
        except QuickbooksException as error:
            if getattr(error, "error_code", 0) not in {3001, 10000}:
                raise
            throttled += 1
            time.sleep(60)
    passed = time.monotonic() - start
    return {
        "documents": made,
        "per minute": round(made * 60 / passed),
        "requests per document": round(Counting.calls / max(1, made), 2),
        "429s": throttled,
    }


def metered(orders: int, say: Callable[[str], None]) -> dict[str, Any]:
    """A day of ``orders`` orders: mirror ticks every five minutes, posting in runs; limits off, calls counted."""
    with company() as there:
        customers, items, _ = prepare(there)
        engine = there.engine()
        books, budget = there.books(UNLIMITED)
        connections = Connections(engine)
        connections.register("bench", realm=REALM, go_live=date(2020, 1, 1))
        connections.arm("bench", by="bench")
        landed: dict[str, dict[str, Any]] = {}

        def land(table: str, columns: Any, rows: Any) -> Any:
            kept = landed.setdefault(table, {})
            for row in rows:
                kept[row.id] = row
            return type("Landed", (), {"inserted": len(rows)})()

        cursors = Cursors(engine)

        class Bound:
            def get(self, resource: str) -> Any:
                return cursors.get("bench", resource)

            def commit(self, resource: str, value: Any) -> None:
                cursors.commit("bench", resource, value)

        def tables() -> dict[str, list[dict[str, Any]]]:
            return {
                table: [{"id": row.id, **row.values} for row in landed[table].values() if not row.deleted]
                for table in NEEDED
            }

        def alive(table: str) -> Any:
            return [one for one, row in landed.get(table, {}).items() if not row.deleted]

        mirror.pull(books, land, Bound(), alive=alive)
        there.control(counts="reset")
        first = budget.month(REALM)
        ticks = 288
        now = datetime.now(UTC)
        todo = documents(orders, customers, items)
        share = -(-len(todo) // ticks)
        for tick in range(ticks):
            # Both clocks go on by five minutes: the company's and ours.
            there.control(clock={"advance": 300})
            now += timedelta(minutes=5)
            mirror.pull(books, land, Bound(), alive=alive, now=now)
            due = todo[tick * share : (tick + 1) * share]
            if due:
                post(due, [], [], books=books, names=References(tables()), store=engine, run_id=f"t{tick}",
                     connection="bench", pace=Pace(patience=60.0))  # fmt: skip
        mirror.pull(books, land, Bound(), alive=alive, sweep=True, now=now)
        month = budget.month(REALM)
        # Only the company's clock was set forward, so that it refuses tokens which we hold for good.
        repeated = there.control()["counts"].get("status:401", 0)
        figures = {
            "orders": orders,
            "receipts mirrored": len(alive("sales_receipts")),
            "reads of the first load": first.reads,
            "reads of the day": month.reads - first.reads,
            "reads per 1,000 orders": round((month.reads - first.reads) * 1000 / orders, 1),
            "cdc calls of the day": month.cdc - first.cdc - repeated,
            "repeated after a 401 of the simulated clock": repeated,
        }
        say(f"metered: {figures}")
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["throughput", "metered", "torture"])
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--refreshes", type=int, default=1000)
    chosen = parser.parse_args()

    def say(text: str) -> None:
        print(text, flush=True)

    if "throughput" in chosen.what:
        throughput(chosen.documents, say)
    if "metered" in chosen.what:
        metered(chosen.orders, say)
    if "torture" in chosen.what:
        say(f"tokens: {torture(chosen.refreshes, workers=8, seed=1)}")


if __name__ == "__main__":
    try:
        main()
    except BooksThrottled as error:
        sys.exit(str(error))
