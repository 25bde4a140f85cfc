"""How tests ask a sandbox shop: one client over one application, in one process."""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree import ElementTree as ET

import httpx

from ps_qb_pipeline.sandbox.shop.app import create_app
from ps_qb_pipeline.sandbox.shop.shop import Shop

KEY = "SANDBOXKEY0000000000000000000001"
BASE = "http://127.0.0.1:8781"


class Client:
    """Sends requests to an application without a socket."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def request(self, method: str, target: str, **options: Any) -> httpx.Response:
        """One request; redirects are not followed."""
        return asyncio.run(self._request(method, target, options))

    async def _request(self, method: str, target: str, options: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self._app), base_url=BASE) as client:
            return await client.request(method, target, **options)

    def get(self, target: str, **options: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", target, **options)

    def put(self, target: str, **options: Any) -> httpx.Response:
        """PUT."""
        return self.request("PUT", target, **options)

    def post(self, target: str, **options: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", target, **options)


class Asked:
    """A sandbox shop and a client with its key."""

    def __init__(self, shop: str = "boutique", **options: Any) -> None:
        self.app = create_app(shop, key=KEY, **options)
        self.client = Client(self.app)

    @property
    def shop(self) -> Shop:
        """The shop behind the application."""
        return self.app.state.shop

    def get(self, target: str, **headers: str) -> httpx.Response:
        """GET with the key."""
        return self.client.get(target, auth=(KEY, ""), headers=headers)

    def rows(self, target: str) -> list[dict[str, Any]]:
        """The rows of a JSON list; an empty one is an array."""
        join = "&" if "?" in target else "?"
        content = self.get(f"{target}{join}output_format=JSON").json()
        return content if content == [] else next(iter(content.values()))

    def ids(self, target: str) -> list[int]:
        """The ids of a JSON list."""
        return [row["id"] for row in self.rows(target)]

    def send(self, method: str, target: str, xml: str = "") -> httpx.Response:
        """A write with the key; the XML goes inside the frame."""
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<prestashop>{xml}</prestashop>' if xml else None
        return self.client.request(method, target, auth=(KEY, ""), content=body)

    def control(self, **command: Any) -> dict[str, Any]:
        """Carry out a control command."""
        answer = self.client.put("/_control", json=command)
        assert answer.status_code == 200, answer.text
        return answer.json()


def codes(answer: httpx.Response) -> list[int]:
    """The error codes of an answer, in either format."""
    if answer.headers["content-type"].startswith("application/json"):
        return [entry["code"] for entry in answer.json()["errors"]]
    return [int(node.text or 0) for node in ET.fromstring(answer.content).iter("code")]
