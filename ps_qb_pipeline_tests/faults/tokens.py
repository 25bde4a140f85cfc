"""The token service of the simulated Intuit, and the real store of tokens in front of it."""

from __future__ import annotations

from typing import Any

from ps_qb_pipeline.errors import ReconnectNeeded
from ps_qb_pipeline.quickbooks.limiter import UNLIMITED, Limits
from ps_qb_pipeline.quickbooks.oauth import App
from ps_qb_pipeline.state.tokens import TokenStore
from ps_qb_pipeline_tests.faults import wire
from ps_qb_pipeline_tests.faults.clock import World
from ps_qb_pipeline_tests.faults.process import Process

LIFE = 1200.0
"""Seconds that an access token lives: shorter than Intuit's hour, so that a day sees many refreshes."""
APP = App("id", "secret", "http://localhost/callback", "https://discovery.invalid")


class TokenServer:
    """Intuit's token service: every refresh makes a new token and kills the old one at once."""

    def __init__(self, world: World, server: wire.Server) -> None:
        self.world = world
        self.server = server
        self.count = 0
        self.refresh = "refresh-0"
        self.ends = 0.0

    def rotate(self, refresh: str) -> tuple[str, str]:
        self.world.pass_time(0.3)
        if refresh != self.refresh:
            raise ReconnectNeeded("invalid_grant")
        return self.grant()

    def grant(self) -> tuple[str, str]:
        self.count += 1
        self.refresh = f"refresh-{self.count}"
        access = f"access-{self.count}"
        self.server.valid_tokens = {access}
        self.ends = self.world.seconds + LIFE
        return self.refresh, access

    def expire(self) -> None:
        if self.world.seconds >= self.ends:
            self.server.valid_tokens = set()


class Vault(TokenStore):
    """The real token store; renewal stays in this process, protected as the detached one is."""

    process: Process
    volatile: bool = False

    @property
    def address(self) -> None:
        return None

    def save(self, connection: str, values: Any, *, instead_of: str | None = None) -> bool:
        if self.volatile:
            self.kept = values
            self.process.masked = 0
            return True
        try:
            return super().save(connection, values, instead_of=instead_of)
        finally:
            self.process.masked = 0

    def load(self, connection: str) -> dict[str, Any] | None:
        kept = getattr(self, "kept", None)
        return dict(kept) if kept is not None else super().load(connection)


class NoLimits:
    """A budget that never makes anybody wait."""

    limits: Limits = UNLIMITED

    def admit(self, *_: Any, **__: Any) -> float:
        return 0.0

    def throttled(self, *_: Any) -> None:
        """The day's own pauses are posting's."""

    def month(self, realm: str) -> Any:
        raise AssertionError(realm)
