"""A sandbox shop on a free port of this machine, for tests and the bench."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from ps_qb_pipeline.prestashop.client import Limits, Shop
from ps_qb_pipeline.sandbox.shop.app import create_app

KEY = "SANDBOXKEY0000000000000000000001"
QUICK = Limits(first_wait=0.01, longest_wait=0.02)


class SandboxShop:
    """The address of a running sandbox shop, its control, and clients for it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def control(self, command: dict[str, Any]) -> dict[str, Any]:
        answer = httpx.put(f"{self.url}/_control", json=command, trust_env=False)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def client(self, **options: Any) -> Shop:
        return Shop(self.url, KEY, **{"limits": QUICK} | options)


@contextmanager
def running(shop: str = "boutique", **options: Any) -> Iterator[SandboxShop]:
    """A sandbox shop that answers on a free port until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = create_app(shop, base_url=f"{url}/", key=KEY, **options)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield SandboxShop(url)
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
