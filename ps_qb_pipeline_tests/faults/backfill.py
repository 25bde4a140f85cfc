"""``python -m ps_qb_pipeline_tests.faults.backfill --orders 20000 --kills 5``: real processes, real sockets.

The sandbox company serves on loopback; a posting process books a backlog and is killed with SIGKILL at random
moments, each time to be started again; then everything is undone. Printed are duplicates, what was sent twice,
the time each kill cost, and whether the trial balance is as it was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ps_qb_pipeline.accounting.documents import Customer, Document, Item, Line, TaxLine
from ps_qb_pipeline.accounting.identity import with_note
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.posting.protocol import post
from ps_qb_pipeline.posting.undo import undo
from ps_qb_pipeline.quickbooks.client import Books
from ps_qb_pipeline.quickbooks.limiter import UNLIMITED, MemoryStore, SharedBudget
from ps_qb_pipeline.quickbooks.oauth import App
from ps_qb_pipeline.quickbooks.references import References
from ps_qb_pipeline.quickbooks.renewal import TokenSource
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import open_control_plane, reading
from ps_qb_pipeline.state.tokens import TokenStore

REALM = "9130000000000001"
CONNECTION = "backfill"
INCOME, MONEY = "Landscaping Services:Job Materials", "Checking"
TAXES = (("Standard 23%", Decimal(23)), ("Reduced 13.5%", Decimal("13.5")), ("Zero 0%", Decimal(0)))
CENT = Decimal("0.01")
RUNS = tuple(f"backfill-{number}" for number in range(100))


def customers(orders: int) -> list[Customer]:
    """One in eight orders is a new customer's."""
    return [
        Customer(
            key=f"c:{number}:EUR",
            display_name=f"Customer {number:05d}",
            email=f"c{number}@example.org",
            currency="EUR",
            source_ids=(number,),
        )
        for number in range(1, max(2, orders // 8) + 1)
    ]


def items(orders: int) -> list[Item]:
    """A catalogue of some hundred products."""
    return [
        Item(
            key=f"sku:P{number:04d}",
            sku=f"P{number:04d}",
            name=f"Product {number:04d}",
            income_account=INCOME,
        )
        for number in range(1, min(300, max(5, orders // 20)) + 1)
    ]


def documents(orders: int) -> list[Document]:
    """A year of receipts, the same every time."""
    rng = random.Random(7)
    people, goods = len(customers(orders)), len(items(orders))
    return [_receipt(number, rng, people, goods) for number in range(1, orders + 1)]


def _receipt(number: int, rng: random.Random, people: int, goods: int) -> Document:
    code, rate = rng.choice(TAXES)
    lines = tuple(
        Line(
            kind="product",
            item=f"sku:P{rng.randint(1, goods):04d}",
            amount=Decimal(rng.randint(50, 20000)) / 100,
            tax_code=code,
        )
        for _ in range(rng.randint(1, 4))
    )
    net = sum((line.amount for line in lines), Decimal(0))
    tax = (net * rate / 100).quantize(CENT)
    who = rng.randint(1, people)
    return with_note(
        Document(
            key=f"1|sale|{number}|0",
            type="SalesReceipt",
            role="sale",
            source_id=str(number),
            revision=0,
            doc_number=f"PS1-{number}",
            order_id=number,
            id_shop=1,
            reference=f"R{number:08d}",
            txn_date=date(2025, 1, 1) + timedelta(days=number % 365),
            currency="EUR",
            total=net + tax,
            total_tax=tax,
            customer_key=f"c:{who}:EUR",
            customer_name=f"Customer {who:05d}",
            global_tax="TaxExcluded",
            lines=lines,
            taxes=(TaxLine(code, rate, net, tax),),
            deposit_to=MONEY,
        )
    )


# -- the processes -----------------------------------------------------------------------------


def serve(port: int) -> None:
    """The company."""
    import uvicorn

    from ps_qb_pipeline.sandbox.books.app import create_app
    from ps_qb_pipeline.sandbox.books.service import BooksOptions

    uvicorn.run(create_app(BooksOptions(company="ie", realm=REALM)), port=port, log_level="error")


def books_at(url: str, state: Path) -> tuple[Books, Any]:
    """The real client with the real token store."""
    store = open_control_plane(f"sqlite:///{state}")
    app = App(
        "sandbox-client",
        "sandbox-secret",
        "http://localhost/callback",
        f"{url}/.well-known/openid_sandbox_configuration/",
    )
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    tokens = TokenSource(
        TokenStore(store, b"k" * 32),
        app,
        connection=CONNECTION,
        realm=REALM,
        first_refresh_token="sandbox-refresh-token",
    )
    books = Books(base_url=url, realm=REALM, tokens=tokens, budget=SharedBudget(MemoryStore(), UNLIMITED))
    return books, store


def work(url: str, state: Path, run_id: str, orders: int, settle: float, *, take_back: bool) -> None:
    """One posting process; what it did is one line of JSON at its end."""
    began = time.monotonic()
    books, store = books_at(url, state)
    first: list[float] = []

    def step(name: str) -> None:
        if name == "before.send" and not first:
            first.append(time.monotonic() - began)
            print(json.dumps({"first_request": round(first[0], 2)}), flush=True)

    pace = Pace(settle=settle, server_limit=0.0, patience=20 * settle)
    names = References.read(books)
    if take_back:
        done = undo(
            store,
            CONNECTION,
            books=books,
            names=names,
            run_id=run_id,
            by="backfill",
            runs=_runs(store),
            pace=pace,
            step=step,
        )
        print(
            json.dumps(
                {
                    "undo": {
                        name: len(value)
                        for name, value in asdict(done).items()
                        if isinstance(value, list | dict)
                    }
                }
            )
        )
        return
    result = post(
        documents(orders),
        customers(orders),
        items(orders),
        books=books,
        names=names,
        store=store,
        run_id=run_id,
        connection=CONNECTION,
        pace=pace,
        step=step,
    )
    print(
        json.dumps({"result": result.counts(), "waited": round(result.waited, 1), "stopped": result.stopped})
    )


def _runs(store: Any) -> list[str]:
    with reading(store) as tx:
        found = {one.run_id for one in intents.in_states(tx, REALM, intents.EDGES)}
    return sorted(run for run in found if run in RUNS)


# -- the experiment ----------------------------------------------------------------------------


@dataclass
class Outcome:
    """The figures of one experiment."""

    orders: int
    kills: int = 0
    booked: int = 0
    duplicates: int = 0
    missing: int = 0
    written: int = 0
    sent_again: int = 0
    seconds: float = 0.0
    seconds_waited: float = 0.0
    seconds_to_first_request: list[float] = field(default_factory=list)
    trial_balance_restored: bool | None = None
    undone: dict[str, int] = field(default_factory=dict)

    @property
    def sent_again_share(self) -> float:
        return self.sent_again / max(1, self.written)


class Bench:
    """The company's process and the folder of the control plane."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="psqb-backfill-"))
        self.state = self.folder / "control.sqlite"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        module = "ps_qb_pipeline_tests.faults.backfill"
        self.command = [sys.executable, "-m", module]
        self.server = subprocess.Popen([*self.command, "serve", "--port", str(self.port)])
        self._wait()
        store = open_control_plane(f"sqlite:///{self.state}")
        Connections(store).register(CONNECTION, realm=REALM)
        Connections(store).arm(CONNECTION, by="backfill")
        store.dispose()

    def _wait(self) -> None:
        for _ in range(200):
            try:
                self.control()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError("the sandbox did not start")

    def control(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/_control", timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def start(
        self, run: str, orders: int, settle: float, *, take_back: bool = False
    ) -> subprocess.Popen[str]:
        arguments = ["work", "--url", self.url, "--state", str(self.state), "--run", run]
        arguments += ["--orders", str(orders), "--settle", str(settle)]
        if take_back:
            arguments.append("--undo")
        return subprocess.Popen([*self.command, *arguments], stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        self.server.kill()
        self.server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def experiment(
    orders: int, kills: int, *, settle: float = 2.0, seed: int = 1, take_back: bool = True
) -> Outcome:
    """Book the backlog with that many kills, judge it, and take it back."""
    bench = Bench()
    rng = random.Random(seed)
    outcome = Outcome(orders)
    try:
        books, store = books_at(bench.url, bench.state)
        before = _trial_balance(books)
        began = time.monotonic()
        for attempt in range(60):
            process = bench.start(RUNS[attempt], orders, settle)
            if outcome.kills < kills and _kill_later(process, bench, rng, orders // (kills + 1)):
                outcome.kills += 1
                continue
            _read(process, outcome)
            if _left(store) == 0:
                break
            time.sleep(settle)
        outcome.seconds = time.monotonic() - began
        _judge(books, store, outcome)
        if take_back:
            for attempt in range(5):
                _read(bench.start(f"undo-{attempt}", orders, settle, take_back=True), outcome)
                if _trial_balance(books) == before:
                    break
            outcome.trial_balance_restored = _trial_balance(books) == before
    finally:
        bench.close()
    return outcome


def _kill_later(process: subprocess.Popen[str], bench: Bench, rng: random.Random, share: int) -> bool:
    """Kill when the process has booked about its share; False when it ended first."""
    target = _objects(bench) + max(1, int(share * rng.uniform(0.3, 1.0)))
    while process.poll() is None:
        if _objects(bench) >= target:
            time.sleep(rng.uniform(0.0, 0.3))
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.05)
    return False


def _objects(bench: Bench) -> int:
    with reading(open_state(bench.state)) as tx:
        query = "select count(*) from intents where state = 'CONFIRMED'"
        return int(tx.exec_driver_sql(query).scalar_one())


_STATES: dict[Path, Any] = {}


def open_state(path: Path) -> Any:
    if path not in _STATES:
        _STATES[path] = open_control_plane(f"sqlite:///{path}")
    return _STATES[path]


def _read(process: subprocess.Popen[str], outcome: Outcome) -> None:
    out, _ = process.communicate()
    for line in out.splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        if "first_request" in said:
            outcome.seconds_to_first_request.append(said["first_request"])
        if "waited" in said:
            outcome.seconds_waited += said["waited"]
        outcome.undone.update(said.get("undo", {}))


def _left(store: Any) -> int:
    with reading(store) as tx:
        query = "select count(*) from intents where state in ('PLANNED', 'SENT', 'UNKNOWN')"
        return int(tx.exec_driver_sql(query).scalar_one())


def _judge(books: Books, store: Any, outcome: Outcome) -> None:
    rows = list(books.query_all("SalesReceipt"))
    numbers = Counter(str(row.get("DocNumber")) for row in rows)
    outcome.booked = len(rows)
    outcome.duplicates = sum(count - 1 for count in numbers.values())
    outcome.missing = outcome.orders - sum(
        f"PS1-{number}" in numbers for number in range(1, outcome.orders + 1)
    )
    names = Counter(str(row["DisplayName"]) for row in books.query_all("Customer"))
    outcome.duplicates += sum(count - 1 for count in names.values())
    with reading(store) as tx:
        found = intents.in_states(tx, REALM, intents.EDGES)
    outcome.written = len(found)
    outcome.sent_again = sum(one.attempts - 1 for one in found if one.attempts > 1)


def _trial_balance(books: Books) -> str:
    report = books.report("TrialBalance", start_date="2000-01-01", end_date="2100-12-31")
    return json.dumps(report.get("Rows"), sort_keys=True, default=str)


def show(outcome: Outcome) -> None:
    print(
        f"{outcome.orders:,} orders, {outcome.kills} kills: {outcome.booked:,} booked, {outcome.missing} missing"
    )
    print(
        f"  duplicates {outcome.duplicates}, sent again {outcome.sent_again:,} of {outcome.written:,} ({outcome.sent_again_share:.2%})"
    )
    print(f"  {outcome.seconds:.1f} s, of which {outcome.seconds_waited:.1f} s settling")
    print(f"  seconds from each start to its first request: {outcome.seconds_to_first_request}")
    print(f"  undo: {outcome.undone}, trial balance as before: {outcome.trial_balance_restored}")
    print(json.dumps(asdict(outcome)))


def main() -> int:
    """The experiment, or one of its processes."""
    parser = argparse.ArgumentParser(prog="backfill")
    parser.add_argument("what", nargs="?", default="experiment", choices=("experiment", "serve", "work"))
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--settle", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--url", default="")
    parser.add_argument("--state", type=Path, default=Path())
    parser.add_argument("--run", default="")
    parser.add_argument("--undo", action="store_true")
    chosen = parser.parse_args()
    if chosen.what == "serve":
        serve(chosen.port)
        return 0
    if chosen.what == "work":
        work(chosen.url, chosen.state, chosen.run, chosen.orders, chosen.settle, take_back=chosen.undo)
        return 0
    outcome = experiment(chosen.orders, chosen.kills, settle=chosen.settle, seed=chosen.seed)
    show(outcome)
    held = outcome.duplicates == 0 and outcome.missing == 0 and outcome.sent_again_share < 0.02
    return 0 if held and outcome.trial_balance_restored else 1


if __name__ == "__main__":
    sys.exit(main())
