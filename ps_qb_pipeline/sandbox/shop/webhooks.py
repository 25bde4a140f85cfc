"""Notifications of changed orders, as a webhook module of a shop sends them.

What lives here: which orders a change concerns, the body, its signature, and trying again. What does
not: the changes themselves. PrestaShop's core sends nothing of the kind; modules do.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from ps_qb_pipeline.sandbox.shop.shop import Shop

PAUSES = (0.5, 2.0, 10.0, 60.0)
"""Seconds between two tries; the last one repeats."""
AT_ONCE = 8
OF_AN_ORDER = {"order_histories": "id_order", "order_slip": "id_order", "order_details": "id_order"}


@dataclass(slots=True)
class Webhooks:
    """Where notifications go. Nothing is sent without ``url``."""

    shop: Shop
    url: str = ""
    secret: str = ""
    waiting: OrderedDict[int, str] = field(default_factory=OrderedDict)
    """Order to event; one that changes again before it is sent is sent once."""
    sent: int = 0
    failures: int = 0
    _not_before: float = 0.0

    def change(self, values: dict[str, Any]) -> None:
        """Set ``url`` and ``secret``, or ``forget`` what waits; raises ValueError for anything else."""
        if unknown := set(values) - {"url", "secret", "forget"}:
            raise ValueError(f"webhooks have url, secret, forget, not {', '.join(sorted(unknown))}")
        if values.get("forget"):
            self.waiting.clear()
        self.url, self.secret = str(values.get("url", self.url)), str(values.get("secret", self.secret))
        self.failures, self._not_before = 0, 0.0
        self.shop.journal.remember("webhooks", {"url": self.url, "secret": self.secret})

    def as_json(self) -> dict[str, Any]:
        """Settings and state; the secret stays here."""
        told = {"url": self.url, "waiting": len(self.waiting)}
        return {**told, "sent": self.sent, "failures": self.failures}

    def note(self, resource: str, row: dict[str, Any]) -> None:
        """A row was written: the order that it belongs to is to be told of."""
        if not self.url:
            return
        if resource == "orders":
            self.waiting.setdefault(int(row["id"]), "updated")
        elif resource in OF_AN_ORDER:
            self.waiting[int(row[OF_AN_ORDER[resource]])] = resource
        elif resource == "order_payments":
            for order in self.shop.rows("orders", reference=row["order_reference"]):
                self.waiting[int(order["id"])] = resource

    async def run(self) -> None:
        """Send what waits, for ever; the oldest goes first, and a refusal pauses everything."""
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            while True:
                await asyncio.sleep(0.02)
                if self.url and self.waiting and time.monotonic() >= self._not_before:
                    await self._round(client)

    async def _round(self, client: httpx.AsyncClient) -> None:
        batch = [self.waiting.popitem(last=False) for _ in range(min(AT_ONCE, len(self.waiting)))]
        answers = await asyncio.gather(*(self._post(client, order, event) for order, event in batch))
        for (order, event), delivered in zip(batch, answers, strict=True):
            if not delivered:
                self.waiting.setdefault(order, event)
                self.waiting.move_to_end(order, last=False)
        self.sent += sum(answers)
        if all(answers):
            self.failures = 0
        else:
            self._not_before = time.monotonic() + PAUSES[min(self.failures, len(PAUSES) - 1)]
            self.failures += 1

    async def _post(self, client: httpx.AsyncClient, order: int, event: str) -> bool:
        body = json.dumps(
            {
                "resource": "orders",
                "id": order,
                "event": event,
                "timestamp": int(time.time()),
                "delivery": str(uuid.uuid4()),
            }
        ).encode()
        headers = {"content-type": "application/json", "x-webhook-signature": signature(self.secret, body)}
        try:
            answer = await client.post(self.url, content=body, headers=headers)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200


def signature(secret: str, body: bytes) -> str:
    """The value of the header ``X-Webhook-Signature``."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
