"""The gateway as an ASGI application.

What lives here: the way of a request, from its first byte to the commit before the answer. What does
not: secrets (``doors``), forms (``events``), the disk (``writer``).

In this order: the address's rate, the length, the body (never more than its limit in memory, never
longer than its deadline), the signature over the raw bytes, and only then what the bytes say. An
answer of 200 means that the hint is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.gateway.doors import Doors
from ps_qb_pipeline.gateway.events import BOOKS, SHOP, Stale, Unreadable, books_events, shop_event
from ps_qb_pipeline.gateway.limits import Buckets
from ps_qb_pipeline.gateway.metrics import Gauges, Metrics
from ps_qb_pipeline.gateway.writer import Full, Writer
from ps_qb_pipeline.state.inbox import Arrival, Inbox

logger = logging.getLogger(__name__)

LARGEST_BODY = 1024 * 1024
BODY_SECONDS = 3.0
"""How long a sender may take over its body; Intuit itself waits three seconds for the answer."""
COMMIT_SECONDS = 2.5
SHOP_SIGNATURE = "x-webhook-signature"
BOOKS_SIGNATURE = "intuit-signature"

SAID = {
    "accepted": (200, "accepted"),
    "rate_limited": (429, "too many requests; come back in a second"),
    "oversized": (413, f"the body is larger than {LARGEST_BODY} bytes"),
    "truncated": (400, "the body did not arrive in full"),
    "bad_signature": (401, "the signature is not that of this connection"),
    "stale": (401, "the timestamp is too far from now; sign anew"),
    "unreadable": (400, "the body has not the form that docs/connections.md describes"),
    "unavailable": (503, "the inbox cannot be written now; send it again"),
}
"""The answers by outcome: status and words."""


class _Refused(Exception):
    """The request ends here, with an outcome of SAID."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass(slots=True)
class Gateway:
    """The state of one serving process."""

    doors: Doors
    inbox: Inbox
    writer: Writer
    buckets: Buckets
    clock: Callable[[], float] = time.time
    metrics: Metrics = field(default_factory=Metrics)

    async def shop(self, request: Request) -> Response:
        """A webhook of a shop."""
        return await self._answer(SHOP, request)

    async def books(self, request: Request) -> Response:
        """A notification of Intuit's."""
        return await self._answer(BOOKS, request)

    async def _answer(self, door: str, request: Request) -> Response:
        started = time.perf_counter()
        try:
            body = await self._body(request)
            await (self._take_shop if door == SHOP else self._take_books)(request, body)
            outcome = "accepted"
        except _Refused as refused:
            outcome = refused.outcome
        self.metrics.answered(door, outcome, time.perf_counter() - started)
        status, words = SAID[outcome]
        answer = JSONResponse({"outcome": outcome, "message": words}, status)
        if outcome in {"oversized", "truncated"}:
            answer.headers["connection"] = "close"  # what is left of the body is not read
        if outcome in {"rate_limited", "unavailable"}:
            answer.headers["retry-after"] = "1"
        return answer

    async def _body(self, request: Request) -> bytes:
        address = request.client.host if request.client else ""
        if not self.buckets.admit(address, time.monotonic()):
            raise _Refused("rate_limited")
        told = request.headers.get("content-length", "")
        if told.isdigit() and (len(told) > 12 or int(told) > LARGEST_BODY):
            raise _Refused("oversized")
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > LARGEST_BODY:
                        raise _Refused("oversized")
                    chunks.append(chunk)
        except (ClientDisconnect, TimeoutError) as error:
            raise _Refused("truncated") from error
        return b"".join(chunks)

    async def _take_shop(self, request: Request, body: bytes) -> None:
        connection = request.path_params["connection"]
        if not self.doors.shop_signed(connection, body, request.headers.get(SHOP_SIGNATURE, "")):
            raise _Refused("bad_signature")
        try:
            arrival = shop_event(connection, body, self.clock())
        except Stale as error:
            raise _Refused("stale") from error
        except Unreadable as error:
            logger.warning("a signed webhook of the shop of %s cannot be read: %s", connection, error)
            raise _Refused("unreadable") from error
        await self._keep([arrival])

    async def _take_books(self, request: Request, body: bytes) -> None:
        signed = self.doors.books_signed(body, request.headers.get(BOOKS_SIGNATURE, ""))
        if not signed:
            raise _Refused("bad_signature")
        try:
            found = books_events(body, {realm: self.doors.realms[realm][0] for realm in signed})
        except Unreadable as error:
            logger.warning("a signed notification of Intuit's cannot be read: %s", error)
            raise _Refused("unreadable") from error
        self.metrics.outcomes[BOOKS, "dropped_unknown_realm"] += found.unknown_realm
        # Refusing an entry would have Intuit hold back everything after it; it is counted instead.
        self.metrics.outcomes[BOOKS, "dropped_unreadable"] += found.unreadable
        await self._keep(found.arrivals)

    async def _keep(self, arrivals: Sequence[Arrival]) -> None:
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self.writer.write(arrivals)
        except (Full, TimeoutError, PipelineError) as error:
            raise _Refused("unavailable") from error

    async def health(self, _request: Request) -> Response:
        """200 while webhooks can be taken in."""
        alive = self.writer.alive
        return JSONResponse({"alive": alive, "failure": self.writer.failure}, 200 if alive else 503)

    async def figures(self, _request: Request) -> Response:
        """The counts for Prometheus."""
        names = sorted({*self.doors.shops, *(name for name, _ in self.doors.realms.values())})
        depths = {name: await asyncio.to_thread(self.inbox.depth, name) for name in names}
        now = self.clock()
        gauges: Gauges = {
            "inbox_open": [({"connection": name}, float(depth.count)) for name, depth in depths.items()],
            "inbox_oldest_seconds": [
                ({"connection": name}, max(0.0, now - depth.oldest.timestamp()) if depth.oldest else 0.0)
                for name, depth in depths.items()
            ],
            "inbox_commits": [({}, float(self.writer.commits))],
            "inbox_new": [({}, float(self.writer.new))],
            "inbox_repeated": [({}, float(self.writer.known))],
        }
        return PlainTextResponse(self.metrics.text(gauges), media_type="text/plain; version=0.0.4")


def create_app(
    doors: Doors, engine: Engine, *, rate: float = 100.0, clock: Callable[[], float] = time.time
) -> Starlette:
    """The gateway over the control plane ``engine``.

    ``rate`` is requests a second and address, 0 for no limit; ``clock`` tells Unix seconds.
    """
    inbox = Inbox(engine)
    gateway = Gateway(doors, inbox, Writer(inbox), Buckets(rate), clock)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        gateway.writer.start()
        yield
        await asyncio.to_thread(gateway.writer.stop)

    app = Starlette(
        routes=[
            Route("/webhooks/prestashop/{connection}", gateway.shop, methods=["POST"]),
            Route("/webhooks/quickbooks", gateway.books, methods=["POST"]),
            Route("/healthz", gateway.health, methods=["GET"]),
            Route("/metrics", gateway.figures, methods=["GET"]),
        ],
        lifespan=lifespan,
    )
    app.state.gateway = gateway
    return app
