"""What senders of webhooks do: bodies, signatures, and a gateway to send them to.

What lives here: the two senders' own arithmetic, written apart from the gateway's. What does not: tests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.testclient import TestClient

from ps_qb_pipeline.gateway.app import create_app
from ps_qb_pipeline.gateway.doors import Doors
from ps_qb_pipeline.state.database import open_control_plane
from ps_qb_pipeline.state.inbox import Event, Inbox

NOW = 1_790_000_000.0
SECRETS = {"boutique": b"the secret of the boutique", "atelier": b"the secret of the atelier"}
VERIFIERS = {"app one": b"verifier-of-the-first-app", "app two": b"verifier-of-the-second-app"}
REALMS = {"100": ("boutique", "app one"), "200": ("atelier", "app one"), "300": ("depot", "app two")}


def doors() -> Doors:
    """Three connections: two shops with webhooks, three companies connected by two apps."""
    return Doors(SECRETS, {realm: (name, VERIFIERS[app]) for realm, (name, app) in REALMS.items()})


def shop_body(**said: Any) -> bytes:
    """A shop's body; ``None`` leaves a field out."""
    whole = {"resource": "orders", "id": 7, "event": "updated", "timestamp": int(NOW), "delivery": "d-1"}
    return json.dumps({key: value for key, value in (whole | said).items() if value is not None}).encode()


def shop_signature(body: bytes, secret: bytes = SECRETS["boutique"]) -> dict[str, str]:
    """The header that a shop sends with ``body``."""
    return {"X-Webhook-Signature": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()}


def cloud_events(*events: tuple[str, str, str]) -> bytes:
    """CloudEvents of (event id, realm, type), each about entity 42."""
    return json.dumps(
        [
            {
                "specversion": "1.0", "id": event, "source": "intuit.x", "type": kind, "time": "2026-09-10T21:31:25Z",
                "datacontenttype": "application/json", "intuitentityid": "42", "intuitaccountid": realm, "data": {},
            }
            for event, realm, kind in events
        ]
    ).encode()  # fmt: skip


def classic_events(realms: dict[str, list[dict[str, Any]]]) -> bytes:
    """The older form: entities by realm."""
    notifications = [
        {"realmId": realm, "dataChangeEvent": {"entities": entities}} for realm, entities in realms.items()
    ]
    return json.dumps({"eventNotifications": notifications}).encode()


def books_signature(body: bytes, verifier: bytes = VERIFIERS["app one"]) -> dict[str, str]:
    """The header that Intuit sends with ``body``."""
    digest = hmac.new(verifier, body, hashlib.sha256).digest()
    return {"intuit-signature": base64.b64encode(digest).decode()}


@dataclass
class Gate:
    """A gateway that serves, its clock and its inbox."""

    client: TestClient
    inbox: Inbox
    time: float = NOW

    def shop(self, body: bytes, headers: dict[str, str] | None = None, *, name: str = "boutique") -> str:
        """The outcome of a shop's webhook."""
        sent = shop_signature(body) if headers is None else headers
        return str(
            self.client.post(f"/webhooks/prestashop/{name}", content=body, headers=sent).json()["outcome"]
        )

    def books(self, body: bytes, headers: dict[str, str] | None = None) -> str:
        """The outcome of a notification of Intuit's."""
        sent = books_signature(body) if headers is None else headers
        return str(self.client.post("/webhooks/quickbooks", content=body, headers=sent).json()["outcome"])

    def taken(self, connection: str) -> list[Event]:
        """What the inbox holds for a connection."""
        return self.inbox.waiting(connection, limit=100_000)

    def count(self, name: str) -> float:
        """A figure of /metrics."""
        for line in self.client.get("/metrics").text.splitlines():
            if line.rpartition(" ")[0] == name:
                return float(line.rpartition(" ")[2])
        return 0.0


@contextmanager
def serving(url: str, *, rate: float = 0.0) -> Iterator[Gate]:
    """A gateway over the control plane at ``url``."""
    engine = open_control_plane(url)
    gate: list[Gate] = []
    app = create_app(doors(), engine, rate=rate, clock=lambda: gate[0].time if gate else NOW)
    with TestClient(app) as client:
        gate.append(Gate(client, Inbox(engine)))
        yield gate[0]
    engine.dispose()
