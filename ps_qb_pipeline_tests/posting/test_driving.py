"""Several requests of a backlog under way at the same time."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ps_qb_pipeline.errors import ReconnectNeeded
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.state import audit, intents
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import open_control_plane, reading
from ps_qb_pipeline_tests.faults.shop import sale
from ps_qb_pipeline_tests.posting.bench import Bench

PACE = Pace(batch=5, lanes=4)


class SlowBooks:
    """The company behind a wire: requests overlap, the company itself does one after the other."""

    def __init__(self, books: Any, *, refuse_at: int = 0) -> None:
        self.books = books
        self.refuse_at = refuse_at
        self.requests = self.inside = self.most = 0
        self.lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.books, name)

    def batch(self, *arguments: Any, **options: Any) -> Any:
        with self.lock:
            self.requests += 1
            number = self.requests
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.02)
        with self.lock:
            self.inside -= 1
            if number == self.refuse_at:
                raise ReconnectNeeded("the refresh token is refused")
            return self.books.batch(*arguments, **options)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A control plane on disk, as threads need it, and a company that knows customer and item."""
    made = Bench()
    made.store = open_control_plane(f"sqlite:///{tmp_path / 'control.sqlite'}")
    Connections(made.store, clock=made.clock).register("boutique", realm="123")
    Connections(made.store, clock=made.clock).arm("boutique", by="tester")
    made.post()
    return made


def test_requests_overlap_and_every_document_is_booked_once(bench: Bench) -> None:
    """Four lanes share the backlog; each takes the next batch, none takes another's."""
    slow = SlowBooks(bench.books)
    bench.books = slow
    result = bench.post(*(sale(order) for order in range(1, 101)), pace=PACE)
    assert len(result.created) == 100
    assert slow.most > 1
    assert slow.requests == 20
    assert len(bench.numbers()) == len(set(bench.numbers())) == 100
    with reading(bench.store) as tx:
        assert audit.verify(tx).good
        assert {one.attempts for one in intents.in_states(tx, "123", {intents.CONFIRMED})} == {1}


def test_when_one_lane_must_stop_the_others_end_with_their_request(bench: Bench) -> None:
    """A refused consent reaches the caller; nothing is left in doubt, and the next call does the rest."""
    bench.books = SlowBooks(bench.books, refuse_at=6)
    with pytest.raises(ReconnectNeeded):
        bench.post(*(sale(order) for order in range(1, 101)), pace=PACE)
    assert bench.books.requests < 20
    with reading(bench.store) as tx:
        assert intents.in_states(tx, "123", intents.IN_FLIGHT) == []
    result = bench.post(*(sale(order) for order in range(1, 101)), pace=PACE)
    assert len(result.confirmed) == 100
    assert len(bench.numbers()) == 100
