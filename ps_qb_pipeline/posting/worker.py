"""One worker: everything that one call of posting works with.

What lives here: its tools, its patience, and the crash points' names (``step``). What does not: what it
does (``sending``, ``settling``, ``protocol``).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.posting.ports import BooksPort, Pace, Row
from ps_qb_pipeline.state import intents, leases, owners
from ps_qb_pipeline.state.audit import AuditEntry, append
from ps_qb_pipeline.state.clock import Clock
from ps_qb_pipeline.state.intents import Claim, Intent


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a document is not sent: a code to group by, and words."""

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @classmethod
    def because(cls, error: PipelineError) -> Waiting:
        """From the error of a name that the company does not have."""
        kind = str(error.facts.get("kind", ""))
        return cls(UNMAPPED.get(kind, f"{kind.upper() or 'SETTING'}_UNMAPPED"), str(error))


UNMAPPED = {
    "Item": "ITEM_UNMAPPED",
    "TaxCode": "TAX_CODE_UNMAPPED",
    "TaxRate": "TAX_CODE_UNMAPPED",
    "PaymentMethod": "METHOD_UNMAPPED",
    "CompanyCurrency": "CURRENCY_DIFF",
    "Document": "WAITS",
}
"""What a missing name is called among the findings."""

WAITS = "WAITS"
"""Waits for another document or card of ours; nobody has to do anything."""


Cards = Callable[[str, str, Sequence[str]], Iterable[Row]]
"""The rows of an entity whose field has one of these values, as QuickBooks would answer."""


def no_step(_name: str) -> None:
    """Between two effects nothing happens, outside of the fault simulator."""


@dataclass(slots=True)
class Worker:
    """The tools of one worker. ``owner`` is its own name; ``actor`` is who the audit says acted."""

    engine: Engine
    books: BooksPort
    clock: Clock
    pace: Pace
    connection: str
    realm: str
    run_id: str
    owner: str
    actor: str = "pipeline"
    step: Callable[[str], None] = no_step
    cards: Cards | None = None
    """Where customers and items are looked up, if not in the books themselves by a metered call."""
    requests: int = 0
    waited: float = 0.0
    failures: int = 0
    outage: str = ""
    batch: int = 0
    paused_until: datetime | None = None
    lease: leases.Lease | None = None
    adopted: set[str] = field(default_factory=set)
    touched: dict[str, Intent] = field(default_factory=dict)
    """The newest known form of every intent that this worker moved, by key."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    """Held by a lane for everything but waiting for QuickBooks."""

    def __post_init__(self) -> None:
        self.batch = self.batch or self.pace.batch

    def claim(self) -> Claim:
        """A claim that begins now."""
        now = self.clock.now()
        return Claim(self.owner, self.run_id, now, now + timedelta(seconds=self.pace.lease))

    def may_take(self, intent: Intent) -> bool:
        """Whether nobody else is at work on the intent."""
        if intent.owner in {"", self.owner} or intent.lease_until is None:
            return True
        left = (intent.lease_until - self.clock.now()).total_seconds()
        # More is left than any lease lasts: the clock that stamped it ran ahead.
        return left <= 0 or left > 2 * self.pace.lease or owners.is_gone(intent.owner)

    def since_sent(self, intent: Intent) -> float:
        """Seconds that have certainly passed since the intent was last sent.

        Wall clocks can be wrong by a day, so only timers count: the sender's where it ran in this boot
        of this machine, else this machine's own since it first saw the intent without an outcome.
        """
        if intent.last_sent_at is None:
            return float("inf")
        if intent.sent_boot == self.clock.boot and intent.sent_monotonic is not None:
            return self.clock.monotonic() - intent.sent_monotonic
        seen = json.loads(intent.sightings).get(self.clock.boot)
        return 0.0 if seen is None else self.clock.monotonic() - float(seen)

    def sight(self, tx: Connection, intent: Intent) -> Intent | None:
        """Note that this machine has seen the intent without an outcome, if another one sent it."""
        seen = json.loads(intent.sightings)
        if intent.sent_boot == self.clock.boot or self.clock.boot in seen:
            return intent
        seen[self.clock.boot] = self.clock.monotonic()
        return intents.note(tx, intent, {"sightings": json.dumps(seen, sort_keys=True)})

    def wait(self, seconds: float) -> bool:
        """Sleep so long if patience allows it; False when it does not."""
        if self.waited + seconds > self.pace.patience:
            return False
        self.clock.sleep(seconds)
        self.waited += seconds
        return True

    def alive(self) -> None:
        """Keep the lease on the company while there is work; stop when another process has taken it."""
        if self.lease is None or self.lease.deadline - self.clock.monotonic() > self.pace.lease * 2 / 3:
            return
        self.lease = leases.renew(self.engine, self.lease, seconds=self.pace.lease, clock=self.clock)
        if self.lease is None:
            self.outage = "another process has taken over"

    def failed(self, why: str) -> None:
        """Count a failure that is QuickBooks' or the network's; after some in a row, stop sending."""
        self.failures += 1
        if self.failures >= self.pace.outages:
            self.outage = why

    def entry(self, action: str, intent: Intent, **facts: Any) -> AuditEntry:
        """What the audit tells of a write to the books."""
        return AuditEntry(
            at=self.clock.now(),
            connection=self.connection,
            actor=self.actor,
            action=action,
            subject=f"{intent.entity}|{intent.key}",
            before=str(facts.get("before", "")),
            after=str(facts.get("after", "")),
            reason=str(facts.get("reason", "")),
            run_id=self.run_id,
            intuit_tid=str(facts.get("intuit_tid", "")),
        )

    def audit(self, tx: Connection, *entries: AuditEntry) -> None:
        """Record writes to the books in the transaction that records their outcome."""
        if entries:
            append(tx, *entries)
