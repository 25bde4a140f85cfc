"""How bytes travel: connect and total time-outs, no redirects, no credentials from files.

What lives here: a ``requests`` session whose exchanges end at a deadline whatever the other side
does, and the difference between "never sent" and "outcome unknown". What does not: tokens, limits
and what an answer means (``client``).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError

from ps_qb_pipeline.errors import BooksNotSent, BooksUnavailable

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 125.0
"""Intuit gives up after 120 seconds, so that an answer later than this will not come."""

_current = threading.local()


class _Remembered:
    """Notes, for the watchdog, which connection this thread is using right now."""

    def request(self, *args: Any, **kwargs: Any) -> None:
        watchdog = getattr(_current, "watchdog", None)
        if watchdog is not None:
            watchdog.connection = self
        super().request(*args, **kwargs)  # type: ignore[misc]


class _PlainConnection(_Remembered, HTTPConnection):
    pass


class _SecureConnection(_Remembered, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


class _NoNetrc(AuthBase):
    """Adds nothing; its presence keeps requests from reading a password out of ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Bearer(AuthBase):
    """Sends an access token; called by requests for every request."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The same request with the token on it."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def prepare(session: requests.Session) -> requests.Session:
    """Give a session (also intuit-oauth's client, which is one) our adapters and no credentials of its own."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(pool_connections=2, pool_maxsize=8))
    session.auth = _NoNetrc()
    session.max_redirects = 1
    return session


class _Watchdog:
    """Closes the socket of this thread's exchange when its time is over."""

    def __init__(self, seconds: float) -> None:
        self.connection: Any = None
        self.fired = False
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True
        self._timer.start()

    def _fire(self) -> None:
        self.fired = True
        sock = getattr(self.connection, "sock", None)
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                self.connection.close()

    def __enter__(self) -> Self:
        _current.watchdog = self
        return self

    def __exit__(self, *_: object) -> None:
        _current.watchdog = None
        self._timer.cancel()


def exchange(
    send: Callable[..., requests.Response],
    method: str,
    url: str,
    *,
    connect: float = CONNECT_SECONDS,
    total: float = TOTAL_SECONDS,
    headers: Mapping[str, str] | None = None,
    auth: AuthBase | None = None,
    **options: Any,
) -> requests.Response:
    """One request and its whole answer; ``send`` is the ``request`` of a session that ``prepare`` has seen.

    Raises BooksNotSent when the connection was never made, so that nothing can have been written, and
    BooksUnavailable when it was made and no complete answer came. Redirects are answers, not followed.
    """
    watchdog = _Watchdog(total)
    try:
        with watchdog:
            return send(
                method,
                url,
                headers=dict(headers or {}),
                auth=auth,
                timeout=(connect, total),
                allow_redirects=False,
                **options,
            )
    except (requests.RequestException, HTTPError, OSError) as error:
        if not watchdog.fired and never_sent(error):
            raise BooksNotSent(
                f"no connection to {_host(url)} could be made ({type(error).__name__}); nothing was sent"
            ) from None
        reason = f"no complete answer within {total:g} seconds" if watchdog.fired else type(error).__name__
        raise BooksUnavailable(
            f"outcome unknown: {_host(url)} did not answer completely ({reason}); "
            "it is looked up before anything is sent again"
        ) from None


def never_sent(error: BaseException) -> bool:
    """Whether an error proves that not one byte of the request left."""
    if isinstance(
        error, (requests.ConnectTimeout, requests.exceptions.InvalidURL, requests.exceptions.MissingSchema)
    ):
        return True
    cause: Any = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    return isinstance(cause, (NewConnectionError, ConnectTimeoutError)) or "CERTIFICATE_VERIFY_FAILED" in str(
        cause
    )


def _host(url: str) -> str:
    return url.split("/", 3)[2] if "://" in url else url
