"""What the shop's webhooks deliver, and what somebody else pretends: through the gateway's own doors."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.gateway.doors import Doors
from ps_qb_pipeline.gateway.events import Stale, Unreadable, shop_event
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline_tests.faults.process import Killed, Process

SECRET = "the shop's own secret, long enough to be one"
TRICKS = ("webhook.forged", "webhook.malformed", "webhook.replayed_later", "webhook.ack_lost")


@dataclass
class Mail:
    """Deliveries under way: a sender repeats what was not acknowledged, in any order."""

    connection: str
    rng: random.Random
    faults: Counter[str]
    waiting: list[tuple[str, int]] = field(default_factory=list)
    taken_in_by_mistake: int = 0
    sent: int = 0

    def write(self, order: int) -> None:
        """The shop tells of a change of an order."""
        self.sent += 1
        self.waiting.append((f"e{self.sent}", order))

    def deliver(self, process: Process, now: datetime, *, calm: bool) -> None:
        """Everything that waits arrives, some of it twice; and so does what nobody should believe."""
        process.revive()
        self.rng.shuffle(self.waiting)
        again: list[tuple[str, int]] = []
        for event, order in self.waiting:
            try:
                fresh = self._arrive(process, event, order, now)
                self.faults["webhook.repeated"] += not fresh
                trick = "" if calm or self.rng.random() > 0.2 else self.rng.choice(TRICKS)
                self._play(trick, process, event, order, now)
                if trick == "webhook.ack_lost" or self.rng.random() < 0.3:
                    again.append((event, order))
            except Killed:
                process.revive()
                again.append((event, order))
            except PipelineError:
                again.append((event, order))
        self.waiting = [] if calm else again

    def _arrive(
        self,
        process: Process,
        event: str,
        order: int,
        now: datetime,
        *,
        secret: str = SECRET,
        age: float = 0.0,
    ) -> bool:
        """One delivery as the gateway takes it in; True when it was new. Raises as the gateway's doors do."""
        said = {
            "resource": "orders",
            "event": "updated",
            "id": order,
            "delivery": event,
            "timestamp": now.timestamp() - age,
        }
        return self._take(process, json.dumps(said).encode(), secret, now)

    def _take(self, process: Process, body: bytes, secret: str, now: datetime) -> bool:
        doors = Doors({self.connection: SECRET.encode()})
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        if not doors.shop_signed(self.connection, body, signature):
            raise PermissionError
        found = shop_event(self.connection, body, now.timestamp())
        box = Inbox(process.engine, clock=process.clock)
        return box.receive(found.source, found.event_id, connection=found.connection, hint=found.hint)

    def _play(self, trick: str, process: Process, event: str, order: int, now: datetime) -> None:
        """What somebody pretends: it must be refused before anything is written."""
        if not trick:
            return
        self.faults[trick] += 1
        try:
            if trick == "webhook.forged":
                self._arrive(process, f"forged-{event}", order, now, secret="a guess that is long enough too")
            elif trick == "webhook.malformed":
                self._take(process, b'{"resource": "orders", "id":', SECRET, now)
            elif trick == "webhook.replayed_later":
                self._arrive(process, f"old-{event}", order, now, age=7200.0)
            else:
                return
        except (PermissionError, Unreadable, Stale):
            return
        self.taken_in_by_mistake += 1
