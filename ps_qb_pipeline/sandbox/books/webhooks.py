"""Notifications of changes, sent out as Intuit sends them.

What lives here: the two forms of the body, the signature, the ladder of retries by the company's own
clock. What does not: which changes there are (``company.events``).

A failed notification holds back those after it until it is acknowledged, as Intuit's do.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC

import httpx

from ps_qb_pipeline.sandbox.books.codec import Json, dumps
from ps_qb_pipeline.sandbox.books.company import Company, Event

LADDER = (10, 20, 30, 300, 1200, 7200, 14_400, 21_600)
ANSWER_SECONDS = 3.0
LARGEST = 100
ENTITIES = frozenset(
    {
        "Account", "Bill", "BillPayment", "Budget", "Class", "CreditMemo", "Currency", "Customer", "Department",
        "Deposit", "Employee", "Estimate", "Invoice", "Item", "JournalCode", "JournalEntry", "Payment",
        "PaymentMethod", "Preferences", "Purchase", "PurchaseOrder", "RefundReceipt", "SalesReceipt", "TaxAgency",
        "Term", "TimeActivity", "Transfer", "Vendor", "VendorCredit",
    }
)  # fmt: skip
VERBS = {
    "Create": "created",
    "Update": "updated",
    "Delete": "deleted",
    "Void": "voided",
    "Merge": "merged",
    "Emailed": "emailed",
}


@dataclass(slots=True)
class Webhooks:
    """Where notifications go and what waits to be sent. Nothing is sent without ``url``."""

    company: Company
    url: str = ""
    verifier: str = "sandbox-verifier"
    form: str = "cloudevents"
    twice: bool = False
    shuffled: bool = False
    waiting: list[Event] = field(default_factory=list)
    held: bytes = b""
    failures: int = 0
    not_before: float = 0.0
    sent: int = 0
    serial: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - not for secrets

    def __post_init__(self) -> None:
        """Take up the settings that an earlier process stored."""
        self._set(self.company.store.setting("webhooks", {}))

    def change(self, values: Json) -> None:
        """Set address, verifier token, form and habits; raises ValueError for what there is not."""
        unknown = set(values) - {"url", "verifier", "form", "twice", "shuffled", "forget"}
        if unknown or values.get("form", "cloudevents") not in {"cloudevents", "classic"}:
            raise ValueError(
                "webhooks have url, verifier, form (cloudevents or classic), twice, shuffled, forget"
            )
        if values.get("forget"):
            self.waiting.clear()
            self.held, self.failures, self.not_before = b"", 0, 0.0
        self._set({name: value for name, value in values.items() if name != "forget"})
        self.company.store.set(
            "webhooks",
            {name: getattr(self, name) for name in ("url", "verifier", "form", "twice", "shuffled")},
        )

    def _set(self, values: Json) -> None:
        for name, value in values.items():
            setattr(self, name, value)

    def accept(self, events: Iterable[Event]) -> None:
        """Take changes to be sent."""
        if self.url:
            self.waiting.extend(event for event in events if event.entity in ENTITIES)

    def as_json(self) -> Json:
        """Return settings and state; the verifier token stays here."""
        return {
            "url": self.url,
            "form": self.form,
            "twice": self.twice,
            "shuffled": self.shuffled,
            "waiting": len(self.waiting),
            "held": bool(self.held),
            "failures": self.failures,
            "sent": self.sent,
        }

    async def deliver(self, client: httpx.AsyncClient) -> bool:
        """Send the next notification if it is time; return whether something was acknowledged."""
        if not self.url or self.company.clock.now().timestamp() < self.not_before:
            return False
        if not self.held:
            if not self.waiting:
                return False
            batch, self.waiting = self.waiting[:LARGEST], self.waiting[LARGEST:]
            self.held = self.body(batch)
        acknowledged = await self._post(client)
        if acknowledged and self.twice:
            await self._post(client)
        if not acknowledged:
            pause = LADDER[min(self.failures, len(LADDER) - 1)]
            self.failures += 1
            self.not_before = self.company.clock.now().timestamp() + pause
            return False
        self.held, self.failures, self.not_before = b"", 0, 0.0
        self.sent += 1
        return True

    async def _post(self, client: httpx.AsyncClient) -> bool:
        headers = {
            "content-type": "application/cloudevents+json"
            if self.form == "cloudevents"
            else "application/json",
            "intuit-signature": signature(self.verifier, self.held),
            "intuit-created-time": self.company.clock.now().isoformat(timespec="milliseconds"),
            "intuit-t-id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.company.realm}|t|{self.serial}")),
            "intuit-notification-schema-version": "1.0",
        }
        try:
            answer = await client.post(self.url, content=self.held, headers=headers, timeout=ANSWER_SECONDS)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def body(self, events: list[Event]) -> bytes:
        """Return the notification of some changes in the form that is set."""
        ordered = list(events)
        if self.shuffled:
            self.dice.shuffle(ordered)
        if self.form == "classic":
            return dumps(
                {
                    "eventNotifications": [
                        {
                            "realmId": self.company.realm,
                            "dataChangeEvent": {"entities": [self._classic(event) for event in ordered]},
                        }
                    ]
                }
            )
        return dumps([self._cloud(event) for event in ordered])

    def _classic(self, event: Event) -> Json:
        at = event.at[:-3] + event.at[-2:]
        made: Json = {
            "name": event.entity,
            "id": str(event.id),
            "operation": event.operation,
            "lastUpdated": at,
        }
        return made | ({"deletedId": str(event.deleted_id)} if event.deleted_id else {})

    def _cloud(self, event: Event) -> Json:
        self.serial += 1
        ident = uuid.uuid5(
            uuid.NAMESPACE_OID, f"{self.company.realm}|{event.entity}|{event.id}|{event.at}|{self.serial}"
        )
        at = self.company.clock.parse(event.at).astimezone(UTC)
        made: Json = {
            "specversion": "1.0",
            "id": str(ident),
            "source": f"intuit.{base64.b64encode(self.company.realm.encode()).decode()}",
            "type": f"qbo.{event.entity.lower()}.{VERBS[event.operation]}.v1",
            "datacontenttype": "application/json",
            "time": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{self.serial % 1_000_000_000:09d}Z",
            "intuitentityid": str(event.id),
            "intuitaccountid": self.company.realm,
            "data": {},
        }
        if event.deleted_id:
            made["data"] = {"deletedid": str(event.deleted_id)}
        return made


def signature(verifier: str, body: bytes) -> str:
    """Return the value of the header ``intuit-signature``."""
    return base64.b64encode(hmac.new(verifier.encode(), body, hashlib.sha256).digest()).decode()
