"""One day at speed: what a person is told from a Saturday evening to a Sunday night, and nothing else.

The control plane, the settings and the looks are the real ones; the clock, the shop, QuickBooks and the
history of runs are the script's. It is the night in which summer time ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from ps_qb_pipeline.orchestration import hints
from ps_qb_pipeline.orchestration.alert_facts import History
from ps_qb_pipeline.orchestration.alert_sensors import look
from ps_qb_pipeline.orchestration.alerts import FailedRun
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.quickbooks import mirror
from ps_qb_pipeline.settings import PACKAGE_DIR, AlertSettings, Settings, load_connection
from ps_qb_pipeline.state import holds
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline.state.tables import outbox

PARIS = ZoneInfo("Europe/Paris")
AT_NIGHT, BY_DAY = timedelta(minutes=15), timedelta(minutes=5)
"""How long between two looks; fewer by night keep the test short."""


def _at(day: int, clock: str) -> datetime:
    """A moment of October 2026, UTC."""
    return datetime.fromisoformat(f"2026-10-{day:02d}T{clock}:00+00:00")


BEGIN, END = _at(24, "16:00"), _at(25, "21:00")
SHOP_ASLEEP = [(_at(25, "00:30"), _at(25, "01:40")), (_at(25, "09:00"), _at(25, "10:00"))]
"""The shop's host sleeps an hour of the long night, and again while somebody is there to be told."""
BOOKS_DOWN = (_at(25, "11:00"), _at(25, "14:00"))
CONNECTED_AGAIN = _at(25, "15:30")
HELD = (_at(25, "16:00"), _at(25, "17:00"))


@dataclass
class DayClock:
    """The script's clock."""

    at: datetime = BEGIN
    boot: str = "the day"

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Script:
    """The day's events, put into the control plane as the pipeline would."""

    runtime: Runtime
    clock: DayClock
    failing_since: datetime | None = None
    waiting: list[Any] = field(default_factory=list)

    def history(self, connection: str) -> History:
        """The live job fails while QuickBooks is down."""
        if self.failing_since is None:
            return History()
        said = "QuickBooks did not answer: 503"
        run = FailedRun(f"live_{connection}", "live", said, self.failing_since, posts=True, tried_again=True)
        return History([run])

    def step(self) -> None:
        """Everything that happens until the next look."""
        now, engine, name = self.clock.now(), self.runtime.engine, self.runtime.name
        cursors, inbox = Cursors(engine, clock=self.clock), Inbox(engine, clock=self.clock)
        asleep = any(begin <= now < end for begin, end in SHOP_ASLEEP)
        down = BOOKS_DOWN[0] <= now < BOOKS_DOWN[1]
        if not asleep:
            cursors.commit(name, f"prestashop.{hints.POLL}", {"since": now.timestamp()})
            if 8 <= now.astimezone(PARIS).hour < 22:
                inbox.receive("prestashop", f"orders/{now.isoformat()}", connection=name, hint={"order": 1})
        if not down:
            cursors.commit(name, f"quickbooks.{mirror.RESOURCE}", {"since": now.timestamp()})
            inbox.handled(inbox.waiting(name))
        self.failing_since = (self.failing_since or now) if down else None
        if now.astimezone(PARIS).strftime("%H:%M") in {"03:30", "18:00"}:
            self._nightly(cursors)
        if now == CONNECTED_AGAIN:
            _save_tokens(self.runtime, now + timedelta(days=100))
        with writing(engine) as tx:
            hold = holds.Hold("order", "77", "TAX_CODE_UNMAPPED", "no code", "test", Decimal("12.00"), "EUR")
            if now == HELD[0]:
                holds.put(tx, name, hold, now=now)
            if now == HELD[1]:
                holds.release(tx, name, [hold])

    def _nightly(self, cursors: Cursors) -> None:
        now = self.clock.now()
        cursors.commit(self.runtime.name, "prestashop.orders", {"since": now.timestamp()})
        path = self.runtime.settings.data_dir(self.runtime.name) / "reports" / "summary.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        figures = {
            "orders_confirmed": 8,
            "postable": 8,
            "held_orders": 0,
            "unclassified": {"EUR": "0.00"},
            "open_difference": {"EUR": "0.00"},
            "levels": {"L1": "agrees"},
        }
        path.write_text(json.dumps(figures))
        os.utime(path, (now.timestamp(), now.timestamp()))


def _save_tokens(runtime: Runtime, ends: datetime) -> None:
    values = {"realm": runtime.connection.books.realm, "refresh_token": "r", "access_token": "a"}
    runtime.tokens.save(runtime.name, {**values, "refresh_expires_at": ends})


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    """A connection that posts, whose refresh token ends in seven days and a half."""
    connection = load_connection(PACKAGE_DIR / "defs" / "boutique" / "defs.yaml").model_copy(
        update={"alerts": AlertSettings(disk_free_gb=0)}
    )
    clock = DayClock()
    runtime = Runtime(Settings(home=tmp_path / "home", state_url="sqlite://"), connection, clock=clock)
    runtime.armed()
    Connections(runtime.engine, clock=clock).arm(runtime.name, by="test")
    _save_tokens(runtime, _at(24, "16:00") + timedelta(days=7, hours=20))
    yield Script(runtime, clock)
    runtime.engine.dispose()


def test_the_messages_of_a_day(script: Script) -> None:
    """Each trouble once, each recovery once, the digest once; nothing of the night wakes anybody."""
    while script.clock.at < END:
        script.step()
        assert look(script.runtime, script) == {}
        script.clock.at += AT_NIGHT if script.clock.at < _at(25, "08:30") else BY_DAY
    query = select(
        outbox.c.created_at, outbox.c.kind, outbox.c.key, outbox.c.sent_at, outbox.c.text
    ).order_by(outbox.c.id)
    with reading(script.runtime.engine) as tx:
        rows = tx.execute(query).all()
    told = [(f"{row.created_at.astimezone(PARIS):%d %H:%M}", row.kind, row.key) for row in rows]
    assert told == [
        ("24 18:00", "alert", "expiry:the refresh token"),
        ("24 18:00", "digest", "digest"),
        ("25 08:00", "digest", "digest"),
        ("25 10:15", "alert", "stale:What is new in the shop"),
        ("25 11:10", "recovery", "stale:What is new in the shop"),
        ("25 12:15", "alert", "run:live_boutique"),
        ("25 12:30", "alert", "unposted"),
        ("25 13:05", "alert", "expiry:the refresh token"),
        ("25 15:10", "recovery", "run:live_boutique"),
        ("25 15:10", "recovery", "unposted"),
        ("25 16:40", "recovery", "expiry:the refresh token"),
        ("25 17:00", "alert", "dead:TAX_CODE_UNMAPPED"),
        ("25 18:10", "recovery", "dead:TAX_CODE_UNMAPPED"),
    ]
    assert all(row.sent_at is not None for row in rows)
    assert rows[2].text.startswith("8 of 8 orders to be booked are in QuickBooks.")
    assert all(row.created_at.tzinfo is UTC for row in rows)
