"""What posting needs from the rest of the world.

What lives here: the protocols of the books, the names and the rendering of bodies, and the numbers
that the protocol turns on. What does not: their implementations (``quickbooks``) and the clock's
(``state.clock``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ps_qb_pipeline.accounting.documents import Customer, Document, Item
from ps_qb_pipeline.errors import Fault
from ps_qb_pipeline.quickbooks.answers import Reply
from ps_qb_pipeline.quickbooks.batch import BatchItem

Row = dict[str, Any]
"""One QuickBooks object as it came."""


class BooksPort(Protocol):
    """QuickBooks, as far as posting uses it.

    Every write may raise BooksUnavailable (outcome unknown), BooksNotSent, BooksThrottled, BooksFault
    or ReconnectNeeded. ``before_send`` is called right before the bytes leave, after any wait for the
    rate limit; what it raises passes through and nothing is sent.
    """

    @property
    def realm(self) -> str:
        """The company."""
        ...

    def query_all(self, entity: str, where: str = "") -> Iterable[Row]:
        """All rows that the condition names, inactive ones too."""
        ...

    def read(self, entity: str, id: str) -> Row:  # noqa: A002
        """One object."""
        ...

    def create(
        self, entity: str, body: bytes, requestid: str, *, before_send: Callable[[], None] | None = None
    ) -> Reply:
        """Create an object."""
        ...

    def update(
        self, entity: str, body: bytes, requestid: str, *, before_send: Callable[[], None] | None = None
    ) -> Reply:
        """Update an object in full."""
        ...

    def void(
        self,
        entity: str,
        id: str,  # noqa: A002
        sync_token: str,
        requestid: str,
        *,
        before_send: Callable[[], None] | None = None,
    ) -> Reply:
        """Void a document: it stays, with zero amounts."""
        ...

    def batch(
        self,
        items: Sequence[BatchItem],
        requestid: str,
        *,
        before_send: Callable[[], None] | None = None,
    ) -> Mapping[str, Reply | Fault]:
        """Several writes at once: bId to Reply or Fault; what the answer lacks is missing."""
        ...

    def cdc(self, entities: Sequence[str], since: datetime) -> Mapping[str, list[Row]]:
        """What changed since then, by entity."""
        ...


class NamesPort(Protocol):
    """From names to QuickBooks ids; ``quickbooks.references.References`` is one."""

    def learn(self, kind: str, key: str, name: str, qbo_id: str) -> None:
        """A name got its id: ``kind`` is Customer, Item or the type of a document."""
        ...


@dataclass(frozen=True, slots=True)
class Rendering:
    """How values become the bytes that are sent; ``quickbooks.bodies`` has all three."""

    document: Callable[[Document, Any], bytes]
    customer: Callable[[Customer, Any], bytes]
    item: Callable[[Item, Any], bytes]


def rendering() -> Rendering:
    """The bodies of the real books."""
    from ps_qb_pipeline.quickbooks import bodies

    return Rendering(bodies.body, bodies.customer_body, bodies.item_body)


SERVER_LIMIT = 120.0
"""Intuit ends a request after so many seconds."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The numbers that the protocol turns on, in seconds unless they say otherwise.

    The settle window must outlast whatever a request can still do after we lost sight of it: the
    server's own limit, and the time until a new document shows in a query.
    """

    lease: float = 150.0
    settle: float = 300.0
    server_limit: float = SERVER_LIMIT
    query_lag: float = 0.0
    attempts: int = 5
    batch: int = 30
    lanes: int = 4
    """Requests of a backlog under way at the same time; a batch may take QuickBooks many seconds."""
    patience: float = 0.0
    """How long one call of ``post`` may wait in total, for throttling and for settling."""
    outages: int = 3
    """After so many failures in a row nothing more is sent in this call."""

    @classmethod
    def settling(cls, seconds: float) -> Pace:
        """The pace of a company whose lost writes arrive within so many seconds or never."""
        return cls(settle=seconds, server_limit=min(SERVER_LIMIT, seconds))

    @property
    def window(self) -> float:
        """How long after the last sending a missing document counts as never written."""
        return max(self.settle, self.server_limit + 3 * self.query_lag) if self.settle else 0.0


def entity_of(reply_body: Mapping[str, Any], entity: str) -> Row:
    """The object inside an answer, whether it came in its envelope or bare."""
    inside = reply_body.get(entity)
    return dict(inside) if isinstance(inside, Mapping) else dict(reply_body)
