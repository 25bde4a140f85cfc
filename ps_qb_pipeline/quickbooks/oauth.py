"""Intuit's OAuth calls, carried by intuit-oauth, and the values they are about.

What lives here: our app, tokens and their expiry dates, refreshing, revoking, exchanging a code. What
does not: who may refresh when (``renewal``), a person's consent (``consent``) and where tokens are
kept (``state.tokens``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import requests
from intuitlib.client import AuthClient
from intuitlib.enums import Scopes
from intuitlib.exceptions import AuthClientError

from ps_qb_pipeline.errors import (
    BooksError,
    BooksThrottled,
    BooksUnavailable,
    ReconnectNeeded,
    SettingsError,
)
from ps_qb_pipeline.quickbooks.answers import retry_after
from ps_qb_pipeline.quickbooks.transport import exchange, prepare

OAUTH_SECONDS = 30.0
EARLY_SECONDS = 300.0
"""An access token is renewed this long before it ends, so that a clock a little off does no harm."""
WARNING_DAYS = (30, 7, 1)


@dataclass(frozen=True, slots=True)
class App:
    """Our registration with Intuit. The secret never appears in a repr."""

    client_id: str
    client_secret: str
    redirect_uri: str
    discovery_url: str

    def __repr__(self) -> str:
        return f"App(discovery_url={self.discovery_url!r})"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one connection. Moments are aware; ``hard_expires_at`` only where Intuit tells it.

    ``refusals`` counts refusals since the last good refresh; ``refused_at`` is the last one's moment.
    """

    realm: str
    refresh_token: str
    access_token: str = ""
    access_expires_at: datetime | None = None
    refresh_expires_at: datetime | None = None
    hard_expires_at: datetime | None = None
    refusals: int = 0
    refused_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Tokens(realm={self.realm!r}, access_expires_at={self.access_expires_at})"

    def usable(self, now: datetime) -> bool:
        """Whether the access token will still be good for some minutes."""
        ends = self.access_expires_at
        return bool(self.access_token) and ends is not None and now < ends - timedelta(seconds=EARLY_SECONDS)


@dataclass(frozen=True, slots=True)
class Expiry:
    """When something of a connection ends. ``warning`` is 30, 7, 1 or 0 (over), None while far off."""

    what: str
    at: datetime
    days: int
    warning: int | None

    def sentence(self) -> str:
        """One line for people."""
        if self.days < 0:
            return f"{self.what} ended on {self.at:%Y-%m-%d}; run psqb connect"
        return f"{self.what} ends on {self.at:%Y-%m-%d}, in {self.days} days"


def expiries(tokens: Tokens, now: datetime) -> tuple[Expiry, ...]:
    """The expiry dates that are known: of the access token, of the refresh token, and the final one.

    The access token carries no warning: it is renewed every hour.
    """
    listed = (
        ("the access token", tokens.access_expires_at, False),
        ("the refresh token (100 days after its last use)", tokens.refresh_expires_at, True),
        ("the consent (five years at most)", tokens.hard_expires_at, True),
    )
    return tuple(_expiry(what, at, now, warns=warns) for what, at, warns in listed if at is not None)


def _expiry(what: str, at: datetime, now: datetime, *, warns: bool) -> Expiry:
    days = (at - now) // timedelta(days=1)
    due = [limit for limit in WARNING_DAYS if days < limit]
    level = 0 if days < 0 else min(due, default=None)
    return Expiry(what, at, days, level if warns else None)


class _Client(AuthClient):  # type: ignore[misc]
    """intuit-oauth's client with time-outs, without redirects, asking for the five-year date too."""

    _prepared = False

    def __init__(self, app: App) -> None:
        super().__init__(app.client_id, app.client_secret, app.redirect_uri, environment=app.discovery_url)

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """What every call of intuit-oauth goes through, from its constructor on."""
        if not self._prepared:
            self._prepared = True
            prepare(self)
            self.headers["x-include-refresh-token-hard-expires-in"] = "true"
        kept = {name: options[name] for name in ("headers", "data", "params") if name in options}
        return exchange(super().request, method, url, total=OAUTH_SECONDS, **kept)


@contextmanager
def _intuit(app: App) -> Iterator[_Client]:
    """A client whose refusals come out as errors of ours."""
    try:
        client = _Client(app)
    except AuthClientError as error:
        raise BooksUnavailable(
            f"the discovery document {app.discovery_url} answered {error.status_code}; compare discovery_url"
        ) from None
    except (ValueError, KeyError) as error:
        raise BooksUnavailable(
            f"the discovery document {app.discovery_url} cannot be read; compare discovery_url"
        ) from error
    try:
        yield client
    except AuthClientError as error:
        raise _refusal(error) from None
    except ValueError as error:
        raise BooksUnavailable("outcome unknown: the token answer cannot be read") from error
    finally:
        client.close()


def _refusal(error: AuthClientError) -> BooksError | SettingsError:
    try:
        word = str(json.loads(error.content).get("error", ""))
    except (ValueError, AttributeError, TypeError):
        word = ""
    facts = {"status": error.status_code, "intuit_tid": error.intuit_tid or ""}
    if error.status_code == 429:
        return BooksThrottled(
            "Intuit's token service answered 429", retry_after=retry_after(error.headers or {}), **facts
        )
    if word == "invalid_client" or (error.status_code == 401 and not word):
        return SettingsError(
            "Intuit does not know the app's client id and secret; copy both again from the app's keys page"
        )
    if error.status_code >= 500 or not word:
        return BooksUnavailable(
            f"outcome unknown: Intuit's token service answered {error.status_code}; try again in some minutes",
            **facts,
        )
    return ReconnectNeeded(
        f"Intuit refuses the refresh token ({word}); run psqb connect and let a company administrator agree",
        **facts,
    )


def renew(app: App, tokens: Tokens, *, now: Callable[[], datetime]) -> Tokens:
    """The tokens after one refresh. The caller keeps them before it uses them.

    Raises ReconnectNeeded when Intuit refuses the refresh token, BooksUnavailable when the outcome is
    unknown: the old token is then still the best one known.
    """
    with _intuit(app) as client:
        client.refresh(refresh_token=tokens.refresh_token)
        return _received(client, tokens.realm, now())


def consent_url(app: App, state: str) -> str:
    """Where a person agrees; ``state`` comes back with the answer."""
    with _intuit(app) as client:
        url: str = client.get_authorization_url([Scopes.ACCOUNTING], state_token=state)
        return url


def exchange_code(app: App, code: str, realm: str, *, now: Callable[[], datetime]) -> Tokens:
    """The first tokens of a connection, for the code that a person's consent came back with."""
    with _intuit(app) as client:
        client.get_bearer_token(code, realm_id=realm)
        return _received(client, realm, now())


def _received(client: _Client, realm: str, now: datetime) -> Tokens:
    if not client.access_token or not client.refresh_token:
        raise BooksUnavailable("outcome unknown: the token answer holds no tokens")

    def after(seconds: Any) -> datetime | None:
        return now + timedelta(seconds=int(seconds)) if seconds else None

    return Tokens(
        realm=realm,
        refresh_token=client.refresh_token,
        access_token=client.access_token,
        access_expires_at=after(client.expires_in or 3600),
        refresh_expires_at=after(client.x_refresh_token_expires_in),
        hard_expires_at=after(getattr(client, "x_refresh_token_hard_expires_in", None)),
    )


def revoke(app: App, tokens: Tokens) -> None:
    """Tell Intuit that the tokens are no longer wanted."""
    with _intuit(app) as client:
        client.revoke(token=tokens.refresh_token)
