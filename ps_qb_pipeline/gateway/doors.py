"""Who may send what: the connections that take webhooks, and whether a body is really theirs.

What lives here: secrets, signatures over the raw bytes, the window of time. What does not: what a body
says (``events``). Every comparison takes the same time whatever is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.settings import Connection

SHORTEST_SECRET = 16
"""Bytes; a shorter one could be guessed."""


@dataclass(frozen=True, slots=True)
class Doors:
    """The secrets of this installation, read from the environment once."""

    shops: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Connection to the secret of its shop's webhooks."""
    realms: Mapping[str, tuple[str, bytes]] = field(default_factory=dict, repr=False)
    """Realm to its connection and the verifier token of the app that it is connected with."""

    @classmethod
    def of(cls, connections: Iterable[Connection]) -> Doors:
        """The doors of these connections; one whose settings name no variable has none.

        Raises SettingsError for a variable that is named and empty, and for a secret that is too short.
        """
        shops: dict[str, bytes] = {}
        realms: dict[str, tuple[str, bytes]] = {}
        for one in connections:
            if secret := one.shop.webhook_secret:
                shops[one.name] = _long_enough(secret, one.shop.webhook_secret_env)
            if verifier := one.books.webhook_verifier:
                realms[one.books.realm] = one.name, _long_enough(verifier, one.books.webhook_verifier_env)
        return cls(shops, realms)

    def shop_signed(self, connection: str, body: bytes, signature: str) -> bool:
        """Whether ``body`` was signed (``sha256=<hex>``) with the secret of the connection's shop."""
        # An unknown connection costs the same work as a wrong signature, and gets the same answer.
        secret = self.shops.get(connection)
        expected = "sha256=" + hmac.new(secret or b"nobody", body, hashlib.sha256).hexdigest()
        same = hmac.compare_digest(expected.encode(), signature.strip().lower().encode())
        return same and secret is not None

    def books_signed(self, body: bytes, signature: str) -> frozenset[str]:
        """The realms whose app signed ``body`` (Intuit's ``intuit-signature``); empty when none did.

        A body may speak of several companies, but an app speaks only for those that are connected with it.
        """
        given = signature.strip().encode()
        signed = set()
        for verifier in sorted({verifier for _, verifier in self.realms.values()}):
            expected = base64.b64encode(hmac.new(verifier, body, hashlib.sha256).digest())
            if hmac.compare_digest(expected, given):
                signed.add(verifier)
        return frozenset(realm for realm, (_, verifier) in self.realms.items() if verifier in signed)


def _long_enough(secret: str, variable: str) -> bytes:
    if len(secret.encode()) < SHORTEST_SECRET:
        raise SettingsError(
            f"the secret in {variable} has fewer than {SHORTEST_SECRET} characters; "
            "take a longer one, for example of: openssl rand -hex 32"
        )
    return secret.encode()
