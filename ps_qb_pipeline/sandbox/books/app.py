"""The books as a Starlette application: routes.

What lives here: which URL goes where, and the connection under a request. What does not: what happens
there (``service``).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ps_qb_pipeline.sandbox.books.service import BooksOptions, Service

__all__ = ["BooksApp", "BooksOptions", "create_app"]


class BooksApp(Starlette):
    """An application that knows the connection it answers on, where the server shows it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; an injected fault may close its connection through ``scope["transport"]``."""
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        scope["transport"] = transport
        if transport is not None:
            _without_delay(transport)
        await super().__call__(scope, receive, send)


def _without_delay(transport: asyncio.BaseTransport) -> None:
    """Turn Nagle's delay off, which asyncio leaves on for sockets made without naming their protocol."""
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(AttributeError, OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def create_app(options: BooksOptions | None = None) -> Starlette:
    """Return the application of one company; ``app.state.books`` is its ``Service``."""
    service = Service(options or BooksOptions())
    routes = [
        Route("/.well-known/{name}", service.discovery),
        Route("/.well-known/{name}/", service.discovery),
        Route("/oauth2/v1/tokens/bearer", service.token, methods=["POST"]),
        Route("/v2/oauth2/tokens/revoke", service.revoke, methods=["POST"]),
        Route("/connect/oauth2", service.consent, methods=["GET", "POST"]),
        Route("/oauth2/v1/jwks", service.keys),
        Route("/v1/openid_connect/userinfo", service.userinfo),
        Route("/v3/company/{realm}/{path:path}", service.call, methods=["GET", "POST", "PUT", "DELETE"]),
        Route("/_control", service.control_endpoint, methods=["GET", "PUT"]),
        Route("/_files/{realm}/{number:int}", service.file),
    ]
    app = BooksApp(routes=routes, lifespan=service.lifespan)
    app.state.books = service
    return app
