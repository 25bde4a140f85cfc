"""The sandbox company on a real port, for tests that want a whole QuickBooks."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
import uvicorn

from ps_qb_pipeline.quickbooks.client import Books
from ps_qb_pipeline.quickbooks.limiter import UNLIMITED, MemoryStore, SharedBudget
from ps_qb_pipeline.quickbooks.oauth import App
from ps_qb_pipeline.quickbooks.renewal import TokenSource
from ps_qb_pipeline.sandbox.books.app import BooksOptions, create_app
from ps_qb_pipeline.state.database import open_control_plane
from ps_qb_pipeline.state.tokens import TokenStore


@dataclass
class Sandbox:
    url: str
    options: BooksOptions
    store: TokenStore = field(default_factory=lambda: TokenStore(open_control_plane("sqlite://"), bytes(32)))

    @property
    def app(self) -> App:
        return App(
            self.options.client_id,
            self.options.client_secret,
            "http://localhost:8765/callback",
            f"{self.url}/.well-known/openid_sandbox_configuration/",
        )

    def books(self, **options: Any) -> Books:
        tokens = TokenSource(
            self.store,
            self.app,
            connection="test",
            realm=self.options.realm,
            first_refresh_token=self.options.refresh_token,
        )
        options.setdefault("budget", SharedBudget(MemoryStore(), UNLIMITED))
        return Books(base_url=self.url, realm=self.options.realm, tokens=tokens, **options)

    def control(self, **document: Any) -> dict[str, Any]:
        answer = requests.put(f"{self.url}/_control", json=document, timeout=10)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def running(company: str = "ie", **options: Any) -> Iterator[Sandbox]:
    """A fresh company in memory, served until the block ends."""
    opened = BooksOptions(company=company, **options)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(opened), log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Sandbox(f"http://127.0.0.1:{listener.getsockname()[1]}", opened)
    finally:
        # Without waiting for answers that drip.
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)
