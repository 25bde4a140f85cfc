"""OAuth with Intuit: consent, tokens and their renewal.

What lives here: the calls (carried by intuit-oauth), the consent of a person step by step, the rule
of one refresh at a time with the new token on disk before it is used, expiry dates and their
warnings. What does not: where tokens are kept (``state.tokens``) and a company's data (``client``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import requests
from intuitlib.client import AuthClient
from intuitlib.exceptions import AuthClientError

from ps_qb_pipeline.errors import (
    BooksError,
    BooksThrottled,
    BooksUnavailable,
    Busy,
    ReconnectNeeded,
    SettingsError,
)
from ps_qb_pipeline.quickbooks.answers import retry_after
from ps_qb_pipeline.quickbooks.transport import exchange, prepare

OAUTH_SECONDS = 30.0
EARLY_SECONDS = 300.0
"""An access token is renewed this long before it ends, so that a clock a little off does no harm."""
LEASE_SECONDS = 90.0
"""Longer than discovery and refresh may take together."""
REFUSALS_BEFORE_GIVING_UP = 3
REFUSAL_PAUSE = timedelta(minutes=15)
"""An outage may look like a refusal, repeated attempts may kill the token: few, far apart."""
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


class TokenStore(Protocol):
    """Keeps tokens durably, as mappings, and lets one process at a time renew them."""

    def load(self, connection: str) -> dict[str, Any] | None:
        """The stored values, or None before the first consent."""
        ...

    def save(self, connection: str, values: Mapping[str, Any], *, lease: Any = None) -> bool:
        """Replace them; they are on disk when this returns True.

        With a lease, False says that it has gone to somebody else, and nothing was written.
        """
        ...

    def lease(self, connection: str, seconds: float) -> AbstractContextManager[Any]:
        """Enter with a lease as the only process that may renew; with None when another one is at it.

        Raises StorageError when the store cannot be written: then nothing may be renewed.
        """
        ...


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
            f"outcome unknown: Intuit's token service answered {error.status_code}", **facts
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


class TokenSource:
    """Good access tokens for one connection, renewed when needed, by one process at a time."""

    def __init__(
        self,
        store: TokenStore,
        app: App,
        *,
        connection: str,
        realm: str,
        first_refresh_token: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        renewal: Callable[..., Tokens] = renew,
    ) -> None:
        self._store = store
        self._app = app
        self._connection = connection
        self._realm = realm
        self._first = first_refresh_token
        self._now = now
        self._sleep = sleep
        self._renewal = renewal
        self._tokens: Tokens | None = None

    def access_token(self) -> str:
        """A token that will be good for some minutes.

        Raises ReconnectNeeded when only a person's consent helps, StorageError when a new token could
        not be kept, BooksUnavailable or BooksNotSent when Intuit cannot be reached.
        """
        if self._tokens is None or not self._tokens.usable(self._now()):
            self._tokens = self._fresh(stale="")
        return self._tokens.access_token

    def renewed(self, stale: str) -> str:
        """Another token than ``stale``, which QuickBooks has just refused."""
        if self._tokens is None or self._tokens.access_token == stale:
            self._tokens = self._fresh(stale=stale)
        return self._tokens.access_token

    def _fresh(self, stale: str) -> Tokens:
        deadline = self._now() + timedelta(seconds=2 * LEASE_SECONDS)
        while True:
            tokens = self._known()
            if self._good(tokens, stale):
                return tokens
            with self._store.lease(self._connection, LEASE_SECONDS) as lease:
                if lease is not None:
                    return self._renew(lease, stale)
            if self._now() > deadline:
                raise Busy(
                    "another process has been renewing the QuickBooks token for minutes; try again later"
                )
            self._sleep(0.2)

    def _renew(self, lease: Any, stale: str) -> Tokens:
        tokens = self._known()
        if self._good(tokens, stale):
            return tokens
        self._may_try(tokens)
        try:
            new = self._renewal(self._app, tokens, now=self._now)
        except ReconnectNeeded:
            refused = replace(tokens, refusals=tokens.refusals + 1, refused_at=self._now(), access_token="")
            self._store.save(self._connection, asdict(refused), lease=lease)
            raise
        if self._store.save(self._connection, asdict(new), lease=lease):
            return new
        # The lease ran out during the call and somebody else has renewed: theirs is the newer one.
        return self._known()

    def _known(self) -> Tokens:
        values = self._store.load(self._connection)
        if values is None:
            if not self._first:
                raise ReconnectNeeded(f"{self._connection} was never connected; run psqb connect")
            return Tokens(realm=self._realm, refresh_token=self._first)
        tokens = Tokens(**values)
        if tokens.realm != self._realm:
            raise ReconnectNeeded(
                f"the stored consent is for company {tokens.realm}, the settings name {self._realm}; "
                "correct books.realm, or run psqb connect for the other company"
            )
        return tokens

    def _good(self, tokens: Tokens, stale: str) -> bool:
        return tokens.usable(self._now()) and tokens.access_token != stale

    def _may_try(self, tokens: Tokens) -> None:
        if not tokens.refusals or tokens.refused_at is None:
            return
        again = tokens.refused_at + REFUSAL_PAUSE * tokens.refusals
        if tokens.refusals >= REFUSALS_BEFORE_GIVING_UP or self._now() < again:
            raise ReconnectNeeded(
                "Intuit refused the refresh token; everything of this connection waits. "
                "Run psqb connect and let a company administrator agree",
                refusals=tokens.refusals,
            )
