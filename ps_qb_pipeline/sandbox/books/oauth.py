"""The OAuth 2.0 server: tokens, their rotation by the company's own clock, revocation, consent.

What lives here: what Intuit's token endpoint does. What does not: HTTP (``app``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from ps_qb_pipeline.sandbox.books import identity
from ps_qb_pipeline.sandbox.books.codec import Json
from ps_qb_pipeline.sandbox.books.company import Company

ACCESS_SECONDS = 3600
REFRESH_SECONDS = 8_726_400
HARD_SECONDS = 157_680_000
ROTATION_SECONDS = 24 * 3600
CODE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Answer:
    """What an OAuth endpoint replies."""

    status: int
    body: Json


@dataclass(slots=True)
class Authority:
    """The token endpoint of one company and one app."""

    company: Company
    client_id: str
    client_secret: str
    refreshes: int = 0
    rotations: int = 0
    overlapping: int = 0
    refused: int = 0
    _open: set[int] = field(default_factory=set)

    def _now(self) -> float:
        return self.company.clock.now().timestamp()

    def _mint(self, kind: str) -> str:
        number = self.company.store.next("token", 1)
        secret = f"{self.client_secret}|{self.company.realm}|{kind}|{number}"
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return f"{'RT1' if kind == 'refresh' else 'AB1' if kind == 'code' else 'AT1'}{number}-{digest[:48]}"

    def _save(self, token: str, kind: str, pair: int, seconds: float, state: str = "live") -> None:
        self.company.store.connection.execute(
            "insert or replace into tokens (token, kind, pair, issued, expires, state) values (?,?,?,?,?,?)",
            (token, kind, pair, self._now(), self._now() + seconds, state),
        )

    def _find(self, token: str, kind: str) -> tuple[int, float, float, str] | None:
        sql = "select pair, issued, expires, state from tokens where token=? and kind=?"
        found: tuple[int, float, float, str] | None = self.company.store.connection.execute(
            sql, (token, kind)
        ).fetchone()
        return found

    def accept(self, refresh_token: str) -> None:
        """Make ``refresh_token`` a live one, unless this company has known it before."""
        if self._find(refresh_token, "refresh") is None:
            self._save(refresh_token, "refresh", self.company.store.next("grant", 1), REFRESH_SECONDS)

    def grant(self, scope: str = "", redirect_uri: str = "") -> str:
        """Return an authorization code for a scope, as the consent page does when a person agrees."""
        code = self._mint("code")
        pair = self.company.store.next("grant", 1)
        self._save(code, "code", pair, CODE_SECONDS)
        self.company.store.set(f"scope:{pair}", scope)
        self.company.store.set(f"redirect:{pair}", redirect_uri)
        return code

    def allows(self, access_token: str) -> bool:
        """Whether an access token is live."""
        found = self._find(access_token, "access")
        return found is not None and found[3] == "live" and found[2] > self._now()

    def client_known(self, header: str) -> bool:
        """Whether a Basic header names this app with its secret."""
        scheme, _, encoded = header.partition(" ")
        try:
            ident, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return scheme.lower() == "basic" and self._is_ours(ident, secret)

    def _is_ours(self, ident: str, secret: str) -> bool:
        known = hmac.compare_digest(secret.encode(), self.client_secret.encode())
        return ident == self.client_id and known

    def token(self, header: str, form: str, *, hard_expiry: bool = False) -> Answer:
        """Carry out one request to the token endpoint; the app's keys may come in the form instead of a header."""
        values = {name: given[0] for name, given in parse_qs(form).items()}
        in_body = not header and self._is_ours(values.get("client_id", ""), values.get("client_secret", ""))
        if not in_body and not self.client_known(header):
            status = self.company.switches.invalid_client_status
            return Answer(status, {"error": "invalid_client"})
        kind = values.get("grant_type", "")
        if kind == "refresh_token":
            return self._refresh(values.get("refresh_token", ""), hard_expiry=hard_expiry)
        if kind == "authorization_code":
            return self._exchange(values, hard_expiry=hard_expiry)
        return Answer(400, {"error": "unsupported_grant_type"})

    def _exchange(self, values: dict[str, str], *, hard_expiry: bool) -> Answer:
        code = values.get("code", "")
        found = self._find(code, "code")
        if found is None or found[3] != "live" or found[2] <= self._now():
            return self._no("Invalid authorization code")
        agreed = self.company.store.setting(f"redirect:{found[0]}", "")
        if agreed and values.get("redirect_uri", agreed) != agreed:
            return self._no("Invalid redirect uri")
        self._state(code, "used")
        value = self._mint("refresh")
        self._save(value, "refresh", found[0], REFRESH_SECONDS)
        answer = self._issue(found[0], value, hard_expiry=hard_expiry)
        if "openid" in str(self.company.store.setting(f"scope:{found[0]}", "")).split():
            answer.body["id_token"] = identity.token(self.company, self.client_id, ACCESS_SECONDS)
        return answer

    def _refresh(self, value: str, *, hard_expiry: bool) -> Answer:
        if self._find(value, "access") is not None:
            return self._no("Incorrect Token type or clientID")
        found = self._find(value, "refresh")
        if found is None or found[3] == "revoked" or found[2] <= self._now():
            return self._no("Incorrect or invalid refresh token")
        pair, issued, _, state = found
        if self._hard_left(pair) <= 0:
            return self._no("Incorrect or invalid refresh token")
        if state == "stale":
            return self._stale(pair, issued, hard_expiry=hard_expiry)
        self.refreshes += 1
        if self._now() - issued >= ROTATION_SECONDS:
            self.rotations += 1
            self._state(value, "stale")
            value = self._mint("refresh")
            self._save(value, "refresh", pair, self._refresh_left(pair))
        else:
            self.company.store.connection.execute(
                "update tokens set expires=? where token=?", (self._now() + self._refresh_left(pair), value)
            )
        return self._issue(pair, value, hard_expiry=hard_expiry)

    def _hard_left(self, pair: int) -> float:
        """Return how many seconds a grant has left of the five years that no refresh prolongs."""
        sql = "select min(issued) from tokens where pair=?"
        first = self.company.store.connection.execute(sql, (pair,)).fetchone()[0]
        return HARD_SECONDS - (self._now() - float(first))

    def _refresh_left(self, pair: int) -> int:
        return int(min(REFRESH_SECONDS, self._hard_left(pair)))

    def _stale(self, pair: int, issued: float, *, hard_expiry: bool) -> Answer:
        if self.company.switches.stale_refresh == "refused":
            return self._no("Incorrect or invalid refresh token")
        sql = "select token, issued from tokens where pair=? and kind='refresh' and state='live' order by issued desc"
        live = self.company.store.connection.execute(sql, (pair,)).fetchone()
        if live is None or self._now() - live[1] > ROTATION_SECONDS or issued > live[1]:
            return self._no("Incorrect or invalid refresh token")
        self.refreshes += 1
        return self._issue(pair, live[0], hard_expiry=hard_expiry)

    def _issue(self, pair: int, refresh: str, *, hard_expiry: bool) -> Answer:
        access = self._mint("access")
        self._save(access, "access", pair, ACCESS_SECONDS)
        body: Json = {
            "token_type": "bearer",
            "expires_in": ACCESS_SECONDS,
            "refresh_token": refresh,
            "x_refresh_token_expires_in": self._refresh_left(pair),
            "access_token": access,
        }
        if hard_expiry:
            body["x_refresh_token_hard_expires_in"] = int(self._hard_left(pair))
        return Answer(200, body)

    def _no(self, why: str) -> Answer:
        self.refused += 1
        return Answer(400, {"error": "invalid_grant", "error_description": why})

    def _state(self, token: str, state: str) -> None:
        self.company.store.connection.execute("update tokens set state=? where token=?", (state, token))

    def revoke(self, header: str, token: str) -> int:
        """Revoke the grant that a refresh or access token belongs to; return the HTTP status."""
        if not self.client_known(header):
            return 401
        found = self._find(token, "refresh") or self._find(token, "access")
        if found is None:
            return 400
        self.company.store.connection.execute("update tokens set state='revoked' where pair=?", (found[0],))
        return 200

    def revoke_all(self) -> None:
        """Revoke every grant, as when an administrator disconnects the app."""
        self.company.store.connection.execute("update tokens set state='revoked'")

    def expire_access(self) -> None:
        """End every access token now."""
        self.company.store.connection.execute(
            "update tokens set expires=? where kind='access'", (self._now() - 1,)
        )

    def begin(self, pair: int) -> bool:
        """Mark a refresh of a grant as under way; False if one already is."""
        if pair in self._open:
            self.overlapping += 1
            return False
        self._open.add(pair)
        return True

    def end(self, pair: int) -> None:
        """Mark the refresh of a grant as done."""
        self._open.discard(pair)

    def pair_of(self, form: str) -> int:
        """Return the grant that a refresh request is about; 0 for any other request."""
        token = parse_qs(form).get("refresh_token", [""])[0]
        found = self._find(token, "refresh")
        return 0 if found is None else found[0]
