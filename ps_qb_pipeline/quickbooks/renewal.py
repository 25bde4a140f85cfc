"""Good access tokens, renewed by one process at a time, none of them lost.

What lives here: when a token is renewed and by whom, what happens when Intuit refuses, and the short
process of its own that does it. What does not: the call itself (``oauth``) and where tokens are kept
(``state.tokens``).

A refresh that succeeds makes the old refresh token worthless, so whoever asks must live until the
new one is on disk. A worker may be killed at any moment; therefore a process of its own, in a session
of its own, takes the lease, asks, stores and ends. The worker only waits for it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from ps_qb_pipeline import errors
from ps_qb_pipeline.errors import BooksUnavailable, Busy, PipelineError, ReconnectNeeded, StorageError
from ps_qb_pipeline.quickbooks.oauth import App, Tokens, renew

LEASE_SECONDS = 90.0
"""Longer than discovery and refresh may take together."""
HAND_OVER_SECONDS = 10.0
"""Long enough for a process to start; a worker killed meanwhile delays the others by no more."""
KEEPING_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Seconds between the attempts to store a new token: losing it takes a person's consent to mend."""
PATIENCE = timedelta(seconds=3 * LEASE_SECONDS)
POLL_SECONDS = 0.2
REFUSALS_BEFORE_GIVING_UP = 3
REFUSAL_PAUSE = timedelta(minutes=15)
"""An outage may look like a refusal, and repeated attempts may kill the token: few, far apart."""


Now = Callable[[], datetime]


def utc_now() -> datetime:
    """The wall time, aware."""
    return datetime.now(UTC)


class TokenStore(Protocol):
    """Keeps tokens durably, as mappings, and lets one process at a time renew them."""

    @property
    def address(self) -> dict[str, Any] | None:
        """How another process opens this store: ``factory`` ("module:function") and ``arguments`` (JSON).

        None for a store that only this process has.
        """
        ...

    def load(self, connection: str) -> dict[str, Any] | None:
        """The stored values, or None before the first consent."""
        ...

    def save(self, connection: str, values: Mapping[str, Any], *, instead_of: str | None = None) -> bool:
        """Replace them; they are on disk when this returns True.

        With ``instead_of``, False says that another refresh token than that one is stored by now.
        """
        ...

    def delete(self, connection: str) -> None:
        """Forget the tokens."""
        ...

    def lease(self, connection: str, seconds: float) -> AbstractContextManager[Any]:
        """Enter with a lease as the only process that may renew; with None when another one is at it.

        Raises StorageError when the store cannot be written: then nothing may be renewed.
        """
        ...

    def leased(self, connection: str) -> bool:
        """Whether somebody holds the lease now."""
        ...

    def hand_over(self, connection: str, seconds: float) -> dict[str, Any] | None:
        """Take the lease for another process: its description (JSON), or None when somebody has it."""
        ...

    def take_over(self, description: Mapping[str, Any], seconds: float) -> AbstractContextManager[Any]:
        """Enter with the lease that was handed over, prolonged; with None when it came too late."""
        ...


@dataclass(frozen=True, slots=True)
class Renewal:
    """What it takes to renew the tokens of one connection."""

    store: TokenStore
    app: App
    connection: str
    realm: str
    first_refresh_token: str = ""

    def __repr__(self) -> str:
        return f"Renewal({self.connection!r})"

    def known(self) -> Tokens:
        """The tokens as they are stored, or the first ones of the environment.

        Raises ReconnectNeeded when there are none, or they are another company's.
        """
        values = self.store.load(self.connection)
        if values is None:
            if not self.first_refresh_token:
                raise ReconnectNeeded(f"{self.connection} was never connected; run psqb connect")
            return Tokens(realm=self.realm, refresh_token=self.first_refresh_token)
        tokens = Tokens(**values)
        if tokens.realm != self.realm:
            raise ReconnectNeeded(
                f"the stored consent is for company {tokens.realm}, the settings name {self.realm}; "
                "correct books.realm, or run psqb connect for the other company"
            )
        return tokens

    def once(self, stale: str, *, now: Now = utc_now) -> bool:
        """Renew unless somebody has; False when somebody else is at it right now.

        The new tokens are on disk when this returns. Raises what ``oauth.renew`` raises.
        """
        with self.store.lease(self.connection, LEASE_SECONDS) as lease:
            if lease is None:
                return False
            self.under_lease(stale, now=now)
        return True

    def under_lease(self, stale: str, *, now: Now = utc_now) -> None:
        """Renew under a lease that is held, unless somebody has renewed before."""
        tokens = self.known()
        if good(tokens, stale, now()):
            return
        _may_try(tokens, now())
        try:
            new = renew(self.app, tokens, now=now)
        except ReconnectNeeded:
            refused = replace(tokens, refusals=tokens.refusals + 1, refused_at=now(), access_token="")
            if self.store.save(self.connection, asdict(refused), instead_of=tokens.refresh_token):
                raise
            # The lease ran out before our call and somebody else has renewed: that is why it was refused.
            return
        # Also when the lease has gone meanwhile: as long as the old token is stored, this one is the newest.
        self._keep(new, instead_of=tokens.refresh_token)

    def _keep(self, new: Tokens, *, instead_of: str) -> None:
        """Store what Intuit gave; the old token is dead, so a database that is held or full gets some time."""
        for pause in (*KEEPING_PAUSES, None):
            try:
                self.store.save(self.connection, asdict(new), instead_of=instead_of)
            except (Busy, StorageError):
                if pause is None:
                    raise
                time.sleep(pause)
            else:
                return

    def detached(self, stale: str) -> bool:
        """``once`` in a process of its own, which goes on if this one is killed."""
        address = self.store.address
        if address is None:
            return self.once(stale)
        lease = self.store.hand_over(self.connection, HAND_OVER_SECONDS)
        if lease is None:
            return False
        job = {
            "store": address,
            "lease": lease,
            "app": asdict(self.app),
            "connection": self.connection,
            "realm": self.realm,
            "first": self.first_refresh_token,
            "stale": stale,
        }
        try:
            out, status = in_a_process(json.dumps(job).encode())
        except OSError:
            return _carry_out(self, lease, stale)
        return _outcome(out, status)


def in_a_process(job: bytes) -> tuple[bytes, int]:
    """Let a process of its own do a job: what it said, and its exit status.

    Raises OSError when none can be started, Busy when it does not end.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "ps_qb_pipeline.quickbooks.renewal"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(part or str(Path.cwd()) for part in sys.path)},
    )
    try:
        # Through a pipe: arguments and environments can be read by others.
        out, _ = process.communicate(job, timeout=2 * LEASE_SECONDS)
    except subprocess.TimeoutExpired:
        raise Busy("renewing the QuickBooks token takes minutes; try again later") from None
    return out, process.returncode


def _carry_out(renewal: Renewal, lease: Mapping[str, Any], stale: str) -> bool:
    with renewal.store.take_over(lease, LEASE_SECONDS) as held:
        if held is None:
            return False
        renewal.under_lease(stale)
    return True


def good(tokens: Tokens, stale: str, now: datetime) -> bool:
    """Whether the access token can be used and is another one than ``stale``."""
    return tokens.usable(now) and tokens.access_token != stale


def _may_try(tokens: Tokens, now: datetime) -> None:
    if not tokens.refusals or tokens.refused_at is None:
        return
    again = tokens.refused_at + REFUSAL_PAUSE * tokens.refusals
    if tokens.refusals >= REFUSALS_BEFORE_GIVING_UP or now < again:
        raise ReconnectNeeded(
            "Intuit refused the refresh token; everything of this connection waits, nothing is lost. "
            "Run psqb connect and let a company administrator agree",
            refusals=tokens.refusals,
        )


class TokenSource:
    """The access tokens of one connection; what ``Books`` asks for."""

    def __init__(
        self,
        store: TokenStore,
        app: App,
        *,
        connection: str,
        realm: str,
        first_refresh_token: str | None = None,
        now: Now = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._renewal = Renewal(store, app, connection, realm, first_refresh_token or "")
        self._now = now
        self._sleep = sleep
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
        deadline = self._now() + PATIENCE
        while True:
            tokens = self._renewal.known()
            if good(tokens, stale, self._now()):
                return tokens
            _may_try(tokens, self._now())
            busy = self._renewal.store.leased(self._renewal.connection)
            if not busy and self._renewal.detached(stale):
                tokens = self._renewal.known()
                # However short its life is said to be: it is the newest there is.
                if tokens.access_token and tokens.access_token != stale:
                    return tokens
            if self._now() > deadline:
                raise Busy("other processes have been renewing the QuickBooks token for minutes; try later")
            self._sleep(POLL_SECONDS)


# -- the process of its own --------------------------------------------------------------------


def _outcome(out: bytes, status: int) -> bool:
    try:
        said: dict[str, Any] = json.loads(out)
    except ValueError:
        raise BooksUnavailable(
            f"outcome unknown: the process that renews the token ended with status {status} and said nothing"
        ) from None
    if "error" not in said:
        return bool(said["renewed"])
    kind = getattr(errors, str(said["error"]), BooksUnavailable)
    options = {"retry_after": said["retry_after"]} if "retry_after" in said else {}
    raise kind(str(said["message"]), **options)


def main() -> None:
    """Carry out the job that standard input describes and say how it went on standard output."""
    said = do(sys.stdin.buffer.read())
    try:
        sys.stdout.buffer.write(said)
        sys.stdout.flush()
    except BrokenPipeError:
        # The worker was killed meanwhile; the tokens are stored all the same.
        os._exit(0)


def do(text: bytes) -> bytes:
    """Carry out a job, and how it went. Whatever ends the workers, this process lives until the token is on disk."""
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    job: dict[str, Any] = json.loads(text)
    module, _, factory = str(job["store"]["factory"]).partition(":")
    try:
        store = getattr(importlib.import_module(module), factory)(**job["store"]["arguments"])
        renewal = Renewal(store, App(**job["app"]), job["connection"], job["realm"], job["first"])
        said: dict[str, Any] = {"renewed": _carry_out(renewal, job["lease"], job["stale"])}
    except PipelineError as error:
        said = {"error": type(error).__name__, "message": str(error)}
        if isinstance(error, errors.BooksThrottled):
            said["retry_after"] = error.retry_after
    return json.dumps(said).encode()


if __name__ == "__main__":
    main()
