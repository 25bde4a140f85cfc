"""Requests that a gateway must not be moved by: forged, replayed, truncated, oversized, mixed up.

What lives here: making one of them from a source of chance. What does not: sending (``load``).
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

from ps_qb_pipeline_tests.gateway.world import (
    SECRETS,
    VERIFIERS,
    books_signature,
    classic_events,
    cloud_events,
    shop_body,
    shop_signature,
)

SHOP, BOOKS = "/webhooks/prestashop/boutique", "/webhooks/quickbooks"
LARGEST = 1024 * 1024


@dataclass(frozen=True)
class Hostile:
    """One request. ``allowed`` are the events in it that are rightly ours; ``length`` is announced falsely."""

    kind: str
    path: str
    headers: dict[str, str]
    body: bytes
    length: int | None = None
    allowed: set[str] = field(default_factory=set)


def hostile(dice: random.Random, now: float) -> Hostile:
    """Any of them."""
    return dice.choice(KINDS)(dice, now)


def _fresh(dice: random.Random, now: float) -> bytes:
    return shop_body(id=dice.randrange(1, 10**9), timestamp=int(now), delivery=f"h-{dice.getrandbits(64):x}")


def _events(dice: random.Random, *realms: str) -> bytes:
    return cloud_events(
        *((f"h-{dice.getrandbits(64):x}", realm, "qbo.invoice.created.v1") for realm in realms)
    )


def _forged(dice: random.Random, now: float) -> Hostile:
    body = _fresh(dice, now)
    signature = dice.choice(
        [
            {},
            {"x-webhook-signature": "sha256=" + "".join(dice.choices("0123456789abcdef", k=64))},
            {
                "x-webhook-signature": "".join(
                    chr(dice.randrange(33, 255)) for _ in range(dice.randrange(1, 90))
                )
            },
            shop_signature(body, dice.randbytes(32)),
            shop_signature(body, SECRETS["atelier"]),
            shop_signature(body + b"\n"),
        ]
    )
    return Hostile("forged", SHOP, signature, body)


def _bit(dice: random.Random, now: float) -> Hostile:
    """Everything right but one bit of the body."""
    body = bytearray(_fresh(dice, now))
    headers = shop_signature(bytes(body))
    body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
    return Hostile("one bit changed", SHOP, headers, bytes(body))


def _another_door(dice: random.Random, now: float) -> Hostile:
    """Rightly signed for one door, brought to another."""
    body = _fresh(dice, now)
    path = dice.choice(
        [
            "/webhooks/prestashop/atelier",
            "/webhooks/prestashop/nobody",
            BOOKS,
            "/webhooks/prestashop/boutique%00",
        ]
    )
    return Hostile(
        "another's door", path, shop_signature(body) | books_signature(body, SECRETS["boutique"]), body
    )


def _old(dice: random.Random, now: float) -> Hostile:
    """A recorded webhook, rightly signed, sent again later."""
    body = shop_body(timestamp=int(now - dice.uniform(310, 10**7)), delivery=f"h-{dice.getrandbits(64):x}")
    return Hostile("replayed", SHOP, shop_signature(body), body)


def _forged_events(dice: random.Random, now: float) -> Hostile:
    body = _events(dice, *dice.choices(["100", "200", "300", "999"], k=dice.randrange(1, 5)))
    headers = dice.choice(
        [
            {},
            {"intuit-signature": "A" * 44},
            books_signature(body, VERIFIERS["app two"]),
            books_signature(body + b" "),
        ]
    )
    return Hostile("forged events", BOOKS, headers, body)


def _mixed(dice: random.Random, now: float) -> Hostile:
    """Rightly signed, with events of companies that are not ours among ours."""
    realms = dice.choices(["100", "200", "999", "300", "", "100'--"], k=dice.randrange(2, 9))
    if dice.random() < 0.3:
        entities = [{"name": "Invoice", "id": "1", "operation": "Create", "lastUpdated": str(dice.random())}]
        foreign = [realm for realm in realms if realm not in {"100", "200"}]
        body = classic_events(dict.fromkeys(foreign, entities))
        return Hostile("mixed realms", BOOKS, books_signature(body), body)
    body = _events(dice, *realms)
    ours = {
        f"{one['intuitaccountid']}/{one['id']}"
        for one in json.loads(body)
        if one["intuitaccountid"] in {"100", "200"}
    }
    return Hostile("mixed realms", BOOKS, books_signature(body), body, allowed=ours)


def _truncated(dice: random.Random, now: float) -> Hostile:
    body = _fresh(dice, now)
    cut = body[: dice.randrange(len(body))]
    return Hostile("truncated", SHOP, shop_signature(body), cut)


def _signed_nonsense(dice: random.Random, now: float) -> Hostile:
    """By somebody who holds the secret and has lost the form."""
    bodies = [
        dice.randbytes(dice.randrange(200)), b"[" * dice.randrange(1, 20_000), b'{"id":' * dice.randrange(1, 9000),
        b"9" * dice.randrange(1, 6000), json.dumps([shop_body().decode()]).encode(), b"null", b'{"timestamp": 1e999}',
        shop_body(timestamp=int(now), id=[1], delivery=None), shop_body(timestamp=int(now), resource="../../etc/passwd"),
        shop_body(timestamp=int(now), delivery="\u0000"), shop_body(timestamp=int(now), id="1 or 1=1"),
        json.dumps({"eventNotifications": [{"realmId": "100", "dataChangeEvent": {"entities": [[], {}, None, {"name": "a" * 99}]}}]}).encode(),
        json.dumps([{"type": "qbo.x.y.v1", "intuitaccountid": "100", "intuitentityid": "1;2", "id": "h"}]).encode(),
    ]  # fmt: skip
    body = dice.choice(bodies)
    path = dice.choice([SHOP, BOOKS])
    return Hostile("signed nonsense", path, shop_signature(body) | books_signature(body), body)


def _oversized(dice: random.Random, now: float) -> Hostile:
    """Announced too long (most are never sent), or sent too long."""
    if dice.random() < 0.98:
        length = dice.choice([LARGEST + 1, 10**9, 10**30])
        return Hostile("oversized", SHOP, shop_signature(b""), b"", length=length)
    body = b" " * (LARGEST + 1)
    return Hostile("oversized", SHOP, shop_signature(body), body)


KINDS = (
    _forged, _forged, _bit, _another_door, _old, _forged_events, _mixed, _truncated, _signed_nonsense, _oversized,
)  # fmt: skip
