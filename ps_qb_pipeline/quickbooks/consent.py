"""A person's consent: from the link to the stored tokens.

What lives here: the link with its state, the loopback listener that catches the redirect, reading an
address that was pasted instead, and the comparison of the company. What does not: asking the person
(``cli``) and the calls to Intuit (``oauth``).

Intuit redirects development keys to ``http://localhost``; production keys need an https address of
the app's own, so that the person copies the address that the browser ended at.
"""

from __future__ import annotations

import hmac
import html
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from ps_qb_pipeline.errors import ReconnectNeeded, SettingsError
from ps_qb_pipeline.quickbooks.oauth import App, Tokens, consent_url, exchange_code, revoke
from ps_qb_pipeline.quickbooks.renewal import TokenStore

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent that was begun: where the person goes, and the state that must come back."""

    url: str
    state: str


def begin(app: App) -> Consent:
    """A fresh link to Intuit's consent page."""
    state = secrets.token_urlsafe(32)
    return Consent(consent_url(app, state), state)


def finish(
    app: App,
    consent: Consent,
    address: str,
    *,
    realm: str,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Tokens:
    """The tokens for the address that Intuit redirected to.

    Raises ReconnectNeeded when the person declined or the answer is not to this consent, SettingsError
    when another company than ``realm`` was chosen: nothing is exchanged then.
    """
    answered = {name: values[-1] for name, values in parse_qs(urlsplit(address.strip()).query).items()}
    # The state first: an answer that somebody slipped in is not even read further.
    if not hmac.compare_digest(answered.get("state", "").encode(), consent.state.encode()):
        raise ReconnectNeeded(
            "this address does not answer the consent that was just begun; begin again and use the newest link"
        )
    if "error" in answered:
        raise ReconnectNeeded(f"the consent was not given ({answered['error'][:60]}); run psqb connect again")
    if not answered.get("code") or not answered.get("realmId"):
        raise ReconnectNeeded(
            "the address holds no code and company; copy the whole address of the last page"
        )
    if answered["realmId"] != realm:
        raise SettingsError(
            f"company {answered['realmId']} was chosen, this connection belongs to {realm}; choose that company on "
            "Intuit's page, or correct books.realm before anything has been posted"
        )
    return exchange_code(app, answered["code"], realm, now=now)


def is_loopback(redirect_uri: str) -> bool:
    """Whether a listener of ours can catch the redirect."""
    parts = urlsplit(redirect_uri)
    return parts.scheme == "http" and parts.hostname in LOOPBACK


class Listener:
    """What catches one redirect."""

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self._query = ""

    def wait(self, seconds: float) -> str | None:
        """The address that Intuit redirected to, or None when none came in time."""
        return f"?{self._query}" if self._arrived.wait(seconds) else None

    def take(self, query: str) -> None:
        """Keep the first redirect; later ones change nothing."""
        if not self._arrived.is_set():
            self._query = query
            self._arrived.set()


@contextmanager
def listening(redirect_uri: str) -> Iterator[Listener]:
    """A listener on the redirect's own loopback port, for the length of the block.

    Raises SettingsError when the port is taken or the address is not a loopback one.
    """
    parts = urlsplit(redirect_uri)
    if not is_loopback(redirect_uri):
        raise SettingsError(f"{redirect_uri} is not a loopback address; paste the redirected address instead")
    listener = Listener()
    path = parts.path or "/"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came = urlsplit(self.path)
            expected = (came.path or "/") == path and "state" in came.query
            if expected:
                listener.take(came.query)
            self._say(HTTPStatus.OK if expected else HTTPStatus.NOT_FOUND)

        def _say(self, status: HTTPStatus) -> None:
            text = "Thank you. You may close this window." if status == HTTPStatus.OK else "Nothing here."
            page = f"<!doctype html><title>psqb</title><p>{html.escape(text)}</p>".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            # The address holds the code: it goes nowhere else.
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Keep silent: a log line would hold the code."""

    host = "::1" if parts.hostname == "::1" else "127.0.0.1"
    try:
        server = HTTPServer((host, parts.port or 80), Handler)
    except OSError as error:
        raise SettingsError(
            f"port {parts.port} cannot be listened on ({error.strerror}); close what uses it, or paste the address"
        ) from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()


def connect(
    store: TokenStore,
    app: App,
    *,
    connection: str,
    realm: str,
    show: Callable[[str], None],
    paste: Callable[[], str],
    seconds: float = 300.0,
) -> Tokens:
    """Lead a person through the consent and keep the tokens.

    ``show`` receives the link; ``paste`` is asked for the redirected address where no listener can
    catch it, or when none came within ``seconds``.
    """
    consent = begin(app)
    address: str | None = None
    if is_loopback(app.redirect_uri):
        with listening(app.redirect_uri) as listener:
            show(consent.url)
            address = listener.wait(seconds)
    else:
        show(consent.url)
    tokens = finish(app, consent, address or paste(), realm=realm)
    store.save(connection, asdict(tokens))
    return tokens


def disconnect(store: TokenStore, app: App, *, connection: str) -> bool:
    """Tell Intuit that the consent is over, then forget the tokens; False when there were none.

    When Intuit cannot be told (an error of ours comes out), the tokens stay, so that it can be tried again.
    """
    values = store.load(connection)
    if values is None:
        return False
    revoke(app, Tokens(**values))
    store.delete(connection)
    return True
