"""A QuickBooks that answers what a test tells it to, over a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ps_qb_pipeline.quickbooks.client import Books
from ps_qb_pipeline.quickbooks.limiter import Limits, MemoryStore, SharedBudget

REALM = "4620816365000000001"


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip: float = 0.0
    """Seconds between two bytes of the body."""
    drop: bool = False
    """Close the connection without an answer."""

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Handler = Callable[[Request], Answer]


@dataclass
class Stub:
    url: str
    requests: list[Request]
    answer: Handler


@contextmanager
def serving(answer: Handler) -> Iterator[Stub]:
    """A server whose answers come from ``stub.answer``; ``stub.requests`` are what it was asked."""
    stopping = threading.Event()

    class _Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(
                self.command,
                parts.path,
                {name: values[-1] for name, values in parse_qs(parts.query).items()},
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(length),
            )
            stub.requests.append(request)
            said = stub.answer(request)
            if said.drop:
                self.close_connection = True
                self.connection.close()
                return
            content = said.content()
            self.send_response(said.status)
            for name, value in {
                "Content-Type": "application/json",
                "intuit_tid": "1-tid",
                **said.headers,
            }.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if not said.drip:
                self.wfile.write(content)
                return
            try:
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    if stopping.wait(said.drip):
                        return
            except OSError:
                self.close_connection = True

        do_GET = do_POST = handle_any  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    stub = Stub(f"http://127.0.0.1:{server.server_address[1]}", [], answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()


class FixedTokens:
    """Tokens that count their renewals."""

    def __init__(self) -> None:
        self.number = 1

    def access_token(self) -> str:
        return f"access-{self.number}"

    def renewed(self, stale: str) -> str:
        if stale == self.access_token():
            self.number += 1
        return self.access_token()


FAST = Limits(requests_per_minute=6e6, requests_per_second=1e5, batches_per_minute=6e6, margin=1.0)


def books(stub: Stub, **options: Any) -> Books:
    options.setdefault("tokens", FixedTokens())
    options.setdefault("budget", SharedBudget(MemoryStore(), FAST))
    options.setdefault("sleep", lambda _seconds: None)
    return Books(base_url=stub.url, realm=REALM, **options)


def envelope(entity: str, row: dict[str, Any]) -> dict[str, Any]:
    return {entity: row, "time": "2026-11-23T01:02:03.456-08:00"}


def fault(
    code: str, message: str = "no", *, element: str = "", kind: str = "ValidationFault"
) -> dict[str, Any]:
    return {
        "Fault": {
            "Error": [{"Message": message, "Detail": message, "code": code, "element": element}],
            "type": kind,
        },
        "time": "2026-11-23T01:02:03.456-08:00",
    }
