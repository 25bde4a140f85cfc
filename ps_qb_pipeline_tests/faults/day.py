"""One simulated shop-day: a seed decides everything, the real code does the work, the checker judges.

What is real: posting, the control plane on SQLite, the token store and its renewal, cursors, the inbox and
the QuickBooks client down to its HTTP answers. What is modelled: the company, the network, the shop, people.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import stamina
from sqlalchemy import text

from ps_qb_pipeline.errors import BooksUnavailable, PipelineError, ReconnectNeeded, ShopUnavailable
from ps_qb_pipeline.posting.dead_letters import replay
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.posting.protocol import PostingResult, post
from ps_qb_pipeline.quickbooks import renewal
from ps_qb_pipeline.quickbooks.oauth import App, Tokens
from ps_qb_pipeline.quickbooks.renewal import TokenSource
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.database import open_control_plane, reading
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline.state.tokens import TokenStore
from ps_qb_pipeline_tests.faults import wire
from ps_qb_pipeline_tests.faults.books import Company, Row
from ps_qb_pipeline_tests.faults.climate import Climate
from ps_qb_pipeline_tests.faults.clock import World
from ps_qb_pipeline_tests.faults.life import Hands, Order, Shop
from ps_qb_pipeline_tests.faults.mail import Mail
from ps_qb_pipeline_tests.faults.process import Killed, Process, ProcessClock, Scheduler, engine_for
from ps_qb_pipeline_tests.faults.shop import RENDERING, Names
from ps_qb_pipeline_tests.faults.tokens import APP, LIFE, NoLimits, TokenServer, Vault

REALM = "4620816365"
CONNECTION = "boutique"
SHOP_FAULTS = ("timeout", "error_500", "maintenance_200", "truncated", "malformed", "changed_meanwhile")
SHOP_ATTEMPTS = 3
LEAVING = {f"http.{kind}.out" for kind in ("create", "update", "void", "batch")}
"""Between the last look at the lease and the first byte nobody is stopped, by a pause or while another one sleeps: no
protocol survives being stopped there for longer than its window, when request ids are ignored as well."""
REFRESH_FAULTS = ("timeout_before", "error_500", "timeout_after", "refused")


@dataclass
class Verdict:
    """What the checker says about a day."""

    seed: int
    orders: int = 0
    documents: int = 0
    matched: int = 0
    with_person: int = 0
    by_people: int = 0
    duplicates: int = 0
    lost: int = 0
    double_refunds: int = 0
    overwritten: int = 0
    tokens_lost: int = 0
    inbox_doubles: int = 0
    unclassified: Decimal = Decimal(0)
    broken: list[str] = field(default_factory=list)
    trace: str = ""
    rounds: int = 0

    @property
    def good(self) -> bool:
        bad = (
            self.duplicates
            + self.lost
            + self.double_refunds
            + self.overwritten
            + self.tokens_lost
            + self.inbox_doubles
        )
        return not bad and not self.unclassified and not self.broken


class Day:
    """Everything of one seed."""

    def __init__(
        self, seed: int, *, orders: int = 100, climate: Climate | None = None, template: Path | None = None
    ) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.climate = climate or Climate.draw(self.rng)
        self.target = orders
        self.world = World()
        self.lag = self.rng.choice((0.0, 0.0, 20.0, 60.0))
        self.company = Company(
            self.world,
            honour_requestid=self.rng.random() < 0.5,
            enforce_numbers=self.rng.random() < 0.4,
            query_lag=self.lag,
            cdc_lag=self.rng.choice((0.0, self.lag)),
        )
        self.company.recalculate = self._recalculate
        self.server = wire.Server(self.company)
        self.tokens = TokenServer(self.world, self.server)
        self.shop = Shop(self.rng)
        self.hands = Hands(self.rng, self.company)
        self.landed: dict[int, Order] = {}
        self.faults: Counter[str] = Counter()
        self.hooks: Counter[str] = Counter()
        self.hasher = hashlib.sha256()
        self.calm = False
        self.kill_at: int | None = None
        self.kill_only: str | None = None
        self.reached = 0
        self.excused_tokens = 0
        self.tokens_lost = 0
        self.mail = Mail(CONNECTION, self.rng, self.faults)
        self.runs = 0
        self.last_held: dict[str, str] = {}
        self.volatile_tokens = False
        self.failures: list[str] = []
        self.settle = True
        self.folder = Path(tempfile.mkdtemp(prefix="psqb-day-", dir=_fast_folder()))
        self.path = self.folder / "control.sqlite"
        if template is None:
            open_control_plane(f"sqlite:///{self.path}").dispose()
        else:
            shutil.copy(template, self.path)
        self.scheduler = Scheduler(lambda count: self.rng.randrange(count))
        self.processes = [self._process(f"w{number}") for number in (1, 2)]
        self.quiet = engine_for("quiet", self.path)
        Connections(self.quiet).register(CONNECTION, realm=REALM)
        Connections(self.quiet).arm(CONNECTION, by="simulation")
        self._connect()

    def close(self) -> None:
        for process in self.processes:
            process.engine.dispose()
        self.quiet.dispose()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _process(self, name: str) -> Process:
        clock = ProcessClock(self.world)
        process = Process(name, self.path, clock, self)
        clock.process = process
        return process

    def _connect(self) -> None:
        """A person connects the company (again)."""
        refresh, access = self.tokens.grant()
        now = self.world.now
        values = {
            "realm": REALM,
            "refresh_token": refresh,
            "access_token": access,
            "access_expires_at": now + timedelta(seconds=LIFE),
        }
        TokenStore(self.quiet, b"k" * 32).save(CONNECTION, values)

    # -- fate ------------------------------------------------------------------------------------

    def note(self, *words: object) -> None:
        self.hasher.update("|".join(map(str, words)).encode() + b"\n")

    def at(self, process: Process, name: str, *, switch: bool) -> None:
        """A hook was reached."""
        self.hooks[name] += 1
        self.note(f"{self.world.seconds:.1f}", process.name, name)
        if self.kill_at is not None and not process.masked:
            self.reached += 1
            if self.reached == self.kill_at:
                self.faults["kill"] += 1
                process.kill()
        if self.calm or process.masked:
            return
        roll = self.rng.random()
        if roll < self.climate.kill:
            self.faults["kill"] += 1
            self.note("kill", process.name, name)
            process.kill()
        elif roll < self.climate.kill + self.climate.pause and not name.endswith(".out"):
            self.faults["pause"] += 1
            self.world.pass_time(self.rng.uniform(1, 400))
        if switch and self.rng.random() < 0.3 and name not in LEAVING:
            self.scheduler.pause()

    def database(self, process: Process, name: str) -> str:
        if self.calm or process.masked or self.rng.random() >= self.climate.database:
            return "ok"
        kinds = ("db_locked", "db_readonly") if name == "db.begin" else ("db_full", "db_io")
        fault = self.rng.choice(kinds)
        self.faults[fault] += 1
        self.note(fault)
        return fault

    def weather(self, kind: str) -> str:
        """The fault of the next request."""
        self.tokens.expire()
        write = kind in {"create", "update", "void", "batch"}
        if self.calm or self.rng.random() >= (self.climate.writes if write else self.climate.reads):
            return "ok"
        kinds: tuple[str, ...] = wire.WRITE_FAULTS if write else wire.READ_FAULTS
        if kind == "batch" and self.rng.random() < 0.4:
            kinds = wire.BATCH_FAULTS
        fault = self.rng.choice(kinds)
        self.faults[f"{'write' if write else 'read'}.{fault}"] += 1
        self.note(kind, fault)
        return fault

    def _recalculate(self, entity: str, row: Row) -> bool:
        if self.calm or entity not in {"SalesReceipt", "Invoice"} or self.rng.random() >= 0.01:
            return False
        self.faults["recalculated"] += 1
        return True

    def renew(self, app: App, tokens: Tokens, *, now: Callable[[], Any]) -> Tokens:
        """What stands in for Intuit's token call."""
        process = next(one for one in self.processes if one.name == app.client_id)
        fault = "ok"
        if not self.calm and self.rng.random() < self.climate.refreshes:
            fault = self.rng.choice(REFRESH_FAULTS)
            self.faults[f"refresh.{fault}"] += 1
            self.note("refresh", fault)
        process.hook("refresh.out")
        if fault == "refused":
            raise ReconnectNeeded("an outage that looks like a refusal")
        if fault in {"timeout_before", "error_500"}:
            raise BooksUnavailable(fault)
        refresh, access = self.tokens.rotate(tokens.refresh_token)
        if fault == "timeout_after":
            self.excused_tokens += 1
            raise BooksUnavailable(fault)
        if not self.volatile_tokens:
            # A process of its own does this in production: killing the worker does not end it.
            process.masked = 1
        process.hook("refresh.back")
        return replace(
            tokens,
            refresh_token=refresh,
            access_token=access,
            access_expires_at=now() + timedelta(seconds=LIFE),
            refusals=0,
            refused_at=None,
        )

    # -- one run of the pipeline -----------------------------------------------------------------

    def books(self, process: Process) -> wire.WiredBooks:
        vault = Vault(process.engine, b"k" * 32, clock=process.clock)
        vault.process, vault.volatile = process, self.volatile_tokens
        source = TokenSource(
            vault,
            replace(APP, client_id=process.name),
            connection=CONNECTION,
            realm=REALM,
            now=lambda: self.world.now,
            sleep=process.sleep,
        )
        books = wire.WiredBooks(
            base_url="https://books.invalid",
            realm=REALM,
            tokens=source,
            budget=NoLimits(),
            sleep=process.sleep,
        )
        books.line = wire.Line(self.server, self.weather, process.hook)
        return books

    def pace(self) -> Pace:
        settle = 300.0 if self.settle else 0.0
        patience = self.rng.choice((0.0, 120.0, 700.0))
        batch = self.rng.choice((1, 5, 30))
        return Pace(settle=settle, query_lag=self.lag, batch=batch, lanes=1, patience=patience)

    def extract(self, process: Process) -> None:
        """Land what changed, page by page; the cursor follows the rows, never the other way round."""
        cursors = Cursors(process.engine, clock=process.clock)
        while True:
            position = cursors.get(CONNECTION, "orders") or {"version": 0}
            copies = self._page(int(position["version"]))
            if not copies:
                return
            last = copies[-1].version
            if self.cursor_first:
                cursors.commit(CONNECTION, "orders", {"version": last})
            process.hook("land.out")
            self.landed.update((order.number, order) for order in copies)
            process.hook("land.back")
            cursors.commit(CONNECTION, "orders", {"version": last})

    cursor_first = False

    def _page(self, after: int) -> list[Order]:
        """A page as the shop gives it; what is no whole page is refused and asked for again."""
        for _ in range(SHOP_ATTEMPTS):
            fault = ""
            if not self.calm and self.rng.random() < self.climate.reads:
                fault = self.rng.choice(SHOP_FAULTS)
                self.faults[f"shop.{fault}"] += 1
                self.note("shop", fault)
            if fault in {"", "changed_meanwhile"}:
                page = [replace(one, refunds=list(one.refunds)) for one in self.shop.changed_since(after)]
                if fault and self.shop.orders:
                    # Behind the back of the page that is being read.
                    self._tell(self.shop.live())
                return page
        raise ShopUnavailable(f"the shop did not answer in {SHOP_ATTEMPTS} attempts")

    def run(self, process: Process, *, alone: bool, pace: Pace) -> None:
        """One run: take in hints, extract, post."""
        self.runs += 1
        number = self.runs
        box = Inbox(process.engine, clock=process.clock)
        events = box.waiting(CONNECTION)
        self.extract(process)
        box.handled(events)
        process.hook("inbox.handled")
        orders = [self.landed[key] for key in sorted(self.landed)]
        documents = [document for order in orders for document in order.documents()]
        result = post(
            documents,
            [self.shop.customer(who) for who in sorted({order.who for order in orders})],
            [self.shop.item(what) for what in sorted({order.what for order in orders})],
            books=self.books(process),
            names=Names(),
            store=process.engine,
            run_id=f"run-{number}",
            connection=CONNECTION,
            voids=[key for order in orders for key in order.voids()],
            clock=process.clock,
            pace=pace,
            render=RENDERING,
            alone=alone,
            owner=f"{process.name}.{number}",
            step=process.hook,
        )
        self._finished(result)

    def _finished(self, result: PostingResult) -> None:
        self.note("result", sorted(result.counts().items()), result.stopped)
        self.last_held = result.waiting

    def work(self, process: Process, *, alone: bool, pace: Pace) -> Callable[[], None]:
        """A run whose death and whose failures are survived, as a supervisor would."""

        def one() -> None:
            try:
                self.run(process, alone=alone, pace=pace)
            except Killed:
                self.note("died", process.name)
            except PipelineError as error:
                self.faults[f"run.{type(error).__name__}"] += 1
                self.note("failed", process.name, type(error).__name__)
                self.failures.append(str(error))

        return one

    def go(self, *, calm: bool = False) -> None:
        """Start one pipeline, or two at the same moment."""
        both = not calm and self.rng.random() < self.climate.two
        alone = calm or self.rng.random() < 0.3
        chosen = self.processes if both else [self.rng.choice(self.processes)]
        if both:
            self.faults["two_workers"] += 1
        for process in chosen:
            process.revive()
            process.clock.skew = self._skew()
            if not calm and self.rng.random() < 0.05:
                # What a lost answer waits for is time on one machine; in the calm machines stay up.
                process.clock.boot = f"boot-{self.runs}"
        self.scheduler.run(*(self.work(one, alone=alone, pace=self.pace()) for one in chosen))

    def _skew(self) -> float:
        if self.calm or self.rng.random() >= self.climate.skew:
            return 0.0
        self.faults["clock_skew"] += 1
        return self.rng.choice((-86400.0, -3600.0, 3600.0, 86400.0))

    # -- the rest of the world -------------------------------------------------------------------

    def deliver(self) -> None:
        """The gateway takes hints in."""
        self.mail.deliver(self.processes[0], self.world.now, calm=self.calm)

    def live(self) -> None:
        """The whole day, then calm until nothing moves any more."""
        while len(self.shop.orders) < self.target:
            for _ in range(self.rng.randint(4, 14)):
                if len(self.shop.orders) < self.target:
                    self._tell(self.shop.place())
            for _ in range(self.rng.randint(0, 6)):
                self._tell(self.shop.live())
            for _ in range(self.rng.randint(0, 1 + self.climate.hands // 5)):
                if self.climate.hands:
                    act = self.hands.act(self.shop)
                    self.faults[f"hand.{act.split()[0]}"] += act != "nothing"
                    self.note("hand", act)
            self.deliver()
            self.world.pass_time(self.rng.uniform(10, 900))
            self.go()
            if self._must_reconnect():
                self._connect()
        self.converge()

    def _tell(self, what: str) -> None:
        self.note("shop", what)
        if what != "nothing":
            self.mail.write(int(what.rsplit(maxsplit=1)[-1]))

    def _must_reconnect(self) -> bool:
        """A person connects again when the product says that only this helps."""
        values = TokenStore(self.quiet, b"k" * 32).load(CONNECTION)
        if values is not None and values["refresh_token"] != self.tokens.refresh and not self.excused_tokens:
            self.tokens_lost += 1
            self.excused_tokens = 1
        asked = values is None or int(values["refusals"] or 0) > 0
        if asked:
            self.excused_tokens = 0
        return asked

    def converge(self) -> int:
        """Faults end, people mend what they broke; how many runs until nothing changes."""
        self.calm = True
        for process in self.processes:
            process.clock.skew = 0.0
        self.hands.mend()
        self._connect()
        self.deliver()
        before = ""
        for number in range(1, 9):
            self.world.pass_time(max(400.0, 120 + 3 * self.lag + 120))
            self.go(calm=True)
            if number == 1:
                for cause in ("QBO-2500", "NO_ANSWER", "STALE"):
                    replay(
                        self.quiet,
                        CONNECTION,
                        by="person",
                        run_id="mend",
                        cause=cause,
                        clock=self.processes[0].clock,
                    )
            after = self._fingerprint()
            if after == before and number > 2:
                return number
            before = after
        return 9

    def _fingerprint(self) -> str:
        with reading(self.quiet) as tx:
            rows = tx.execute(text("select key, state, epoch from intents order by key")).all()
        states = hashlib.sha256(repr([(row.key, row.state) for row in rows]).encode()).hexdigest()
        return f"{states}|{self.company.writes}"


def _fast_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def template() -> Path:
    """An empty control plane to copy: migrations take longer than a short day."""
    folder = Path(tempfile.mkdtemp(prefix="psqb-template-"))
    path = folder / "control.sqlite"
    open_control_plane(f"sqlite:///{path}").dispose()
    for extra in ("-wal", "-shm"):
        assert (
            not path.with_name(path.name + extra).exists()
            or not path.with_name(path.name + extra).stat().st_size
        )
    return path


@contextmanager
def lived(day: Day) -> Iterator[Day]:
    """The day, lived; its files are gone afterwards."""
    with real_code(day):
        day.live()
        yield day


@contextmanager
def real_code(day: Day) -> Iterator[None]:
    """Intuit's token call goes to the day's own server, and reads are tried again without waiting."""
    hooks = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([])
    stamina.set_testing(testing=True, attempts=2)
    try:
        with patch.object(renewal, "renew", day.renew):
            yield
    finally:
        stamina.set_testing(testing=False)
        stamina.instrumentation.set_on_retry_hooks(hooks)
        day.close()
