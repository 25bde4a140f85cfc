"""Workers that want another access token all the time, and a killer among them.

Intuit's part is played without mercy: every refresh rotates the token, the old one is worthless at
once, two refreshes at the same time are both counted and the second is refused.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.quickbooks import renewal
from ps_qb_pipeline.quickbooks.oauth import App, Tokens
from ps_qb_pipeline.quickbooks.renewal import TokenSource
from ps_qb_pipeline.state.database import connect, open_control_plane
from ps_qb_pipeline.state.tokens import TokenStore
from ps_qb_pipeline_tests.quickbooks.stub import REALM, Answer, serving

KEY = bytes(32)
CONNECTION = "tortured"


@dataclass(frozen=True)
class Outcome:
    """What came of it. ``lost`` is True when the stored refresh token is not the one that Intuit knows."""

    refreshes: int
    kills: int
    overlaps: int
    refused: int
    lost: bool
    seconds: float


class _Intuit:
    def __init__(self) -> None:
        self.live = "RT-0"
        self.refreshes = 0
        self.overlaps = 0
        self.refused = 0
        self._inside = 0
        self._lock = threading.Lock()

    def __call__(self, request):
        base = "http://" + request.headers["host"]
        if request.path.startswith("/.well-known"):
            names = (
                "issuer",
                "authorization_endpoint",
                "userinfo_endpoint",
                "revocation_endpoint",
                "jwks_uri",
            )
            return Answer({name: f"{base}/{name}" for name in names} | {"token_endpoint": f"{base}/token"})
        with self._lock:
            self._inside += 1
            self.overlaps += self._inside > 1
            good = self._inside == 1 and f"refresh_token={self.live}".encode() in request.body.split(b"&")
            if good:
                self.refreshes += 1
                self.live = f"RT-{self.refreshes}"
            else:
                self.refused += 1
            number = self.refreshes
        # The new token exists, the answer is on its way: the worst moment to be killed.
        time.sleep(0.02)
        with self._lock:
            self._inside -= 1
        if not good:
            return Answer({"error": "invalid_grant"}, 400)
        return Answer(
            {
                "access_token": f"AT-{number}",
                "refresh_token": f"RT-{number}",
                "expires_in": 3600,
                "x_refresh_token_expires_in": 8726400,
            }
        )


def nursery(address: str) -> None:
    """Carry out every job in a process of its own that has its imports already.

    A Python takes longer to start than to renew. The processes are no children of the workers, so that
    they go on when a worker is killed, as those that a worker starts in a session of its own do.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with Listener(address, "AF_UNIX", backlog=64) as listener:
        while True:
            caller = listener.accept()
            if os.fork() == 0:
                try:
                    _renew(caller)
                finally:
                    os._exit(0)
            caller.close()


def _renew(caller: Connection) -> None:
    os.setsid()
    # The worker may be dead before it has said what to do, or when it is done.
    with contextlib.suppress(EOFError, OSError):
        caller.send_bytes(renewal.do(caller.recv_bytes()))


def _warm(address: str, job: bytes) -> tuple[bytes, int]:
    try:
        with Client(address, "AF_UNIX") as nurse:
            nurse.send_bytes(job)
            return nurse.recv_bytes(), 0
    except EOFError:
        return b"", 1


def work(url: str, discovery: str, address: str) -> None:
    """Ask for another token for ever, as a worker does whose token QuickBooks has refused."""
    renewal.in_a_process = partial(_warm, address)
    source = TokenSource(
        TokenStore(connect(url), KEY),
        App("id", "secret", "http://localhost/", discovery),
        connection=CONNECTION,
        realm=REALM,
        first_refresh_token="RT-0",
    )
    token = source.access_token()
    while True:
        try:
            token = source.renewed(token)
        except PipelineError:
            time.sleep(0.05)


def torture(count: int, *, workers: int, seed: int, patience: float = 3600.0) -> Outcome:
    """Let ``workers`` processes renew one connection's tokens ``count`` times while one after the other is killed."""
    rng = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    intuit = _Intuit()
    began = time.monotonic()
    kills = 0
    with tempfile.TemporaryDirectory() as folder, serving(intuit) as stub:
        url = f"sqlite:///{Path(folder) / 'control.sqlite'}"
        store = TokenStore(open_control_plane(url), KEY)
        discovery = f"{stub.url}/.well-known/openid_configuration/"
        address = str(Path(folder) / "nursery")
        nurse = context.Process(target=nursery, args=(address,), daemon=True)
        nurse.start()

        def start():
            process = context.Process(target=work, args=(url, discovery, address), daemon=True)
            process.start()
            return process

        pool = [start() for _ in range(workers)]
        try:
            while intuit.refreshes < count and time.monotonic() - began < patience:
                time.sleep(rng.uniform(0.02, 0.4))
                victim = rng.randrange(workers)
                pool[victim].kill()
                pool[victim].join()
                kills += 1
                pool[victim] = start()
        finally:
            for process in pool:
                process.kill()
                process.join()
        _until_quiet(store)
        nurse.kill()
        kept = Tokens(**(store.load(CONNECTION) or {"realm": REALM, "refresh_token": ""}))
        return Outcome(
            intuit.refreshes,
            kills,
            intuit.overlaps,
            intuit.refused,
            kept.refresh_token != intuit.live,
            round(time.monotonic() - began, 1),
        )


def _until_quiet(store: TokenStore) -> None:
    """Wait for the last process that renews; it goes on although its worker is dead."""
    quiet = 0
    for _ in range(600):
        quiet = 0 if store.leased(CONNECTION) else quiet + 1
        if quiet > 15:
            return
        time.sleep(0.1)
