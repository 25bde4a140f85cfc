"""One connection on a bench: a company, a control plane in memory, and a call of ``post``."""

from __future__ import annotations

from typing import Any

from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.posting.protocol import PostingResult, post
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import open_control_plane, reading
from ps_qb_pipeline.state.intents import Intent, load
from ps_qb_pipeline_tests.faults.books import Company, FakeBooks
from ps_qb_pipeline_tests.faults.clock import SimClock, World
from ps_qb_pipeline_tests.faults.shop import RENDERING, Names, customer, item


class Bench:
    """Everything of one connection, armed."""

    def __init__(self, **company: Any) -> None:
        self.world = World()
        self.clock = SimClock(self.world)
        self.company = Company(self.world, **company)
        self.faults: list[str] = []
        self.store = open_control_plane("sqlite://")
        self.books = FakeBooks(self.company, lambda kind: self.next_fault(kind))
        self.kinds: set[str] = {"create", "update", "void", "batch"}
        connections = Connections(self.store, clock=self.clock)
        connections.register("boutique", realm="123")
        connections.arm("boutique", by="tester")
        self.runs = 0

    def next_fault(self, kind: str) -> str:
        return self.faults.pop(0) if self.faults and kind in self.kinds else "ok"

    def post(self, *documents: Any, customers: Any = None, items: Any = None, **more: Any) -> PostingResult:
        self.runs += 1
        named = {"run_id": f"run-{self.runs}", "owner": f"w{self.runs}"}
        options: dict[str, Any] = {"pace": Pace(), "clock": self.clock, **named}
        return post(
            documents,
            [customer()] if customers is None else customers,
            [item()] if items is None else items,
            books=self.books,
            names=Names(),
            store=self.store,
            connection="boutique",
            render=RENDERING,
            **{**options, **more},
        )

    def intent(self, key: str) -> Intent:
        with reading(self.store) as tx:
            return load(tx, "123", [key])[key]

    def settle(self) -> None:
        """Let the settle window pass."""
        self.world.pass_time(301)

    def numbers(self) -> list[str]:
        """The numbers of all live documents, sorted."""
        return sorted(str(row.get("DocNumber") or row.get("PaymentRefNum")) for _, row in self.company.live())
