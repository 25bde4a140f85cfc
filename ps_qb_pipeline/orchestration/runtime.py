"""One connection with everything that its steps open: shop, books, warehouse, control plane.

What lives here: assembly, the one place where settings become objects. What does not: steps
(``steps``) and Dagster objects (``assets``). Everything is opened late and closed early.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import duckdb
import httpx
import stamina.instrumentation
from sqlalchemy import Engine

from ps_qb_pipeline.prestashop.client import Limits as Patience
from ps_qb_pipeline.prestashop.client import Shop
from ps_qb_pipeline.quickbooks.client import Books
from ps_qb_pipeline.quickbooks.limiter import Limits, Priority, SharedBudget
from ps_qb_pipeline.quickbooks.oauth import App
from ps_qb_pipeline.quickbooks.renewal import TokenSource
from ps_qb_pipeline.settings import Connection, Settings
from ps_qb_pipeline.state.budget import BudgetStore
from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import open_control_plane
from ps_qb_pipeline.state.tokens import TokenStore, load_key
from ps_qb_pipeline.warehouse.session import session

Progress = Callable[[str, int, int | None], None]
"""Called as (what, done, of how many or None) while long work goes on."""

logger = logging.getLogger(__name__)


def _retry_told(details: stamina.instrumentation.RetryDetails) -> None:
    logger.info("%s Again in %.1f s.", details.caused_by, details.wait_for)


# Without this, structlog prints every retry on standard output, among the JSON that a machine reads.
stamina.instrumentation.set_on_retry_hooks([_retry_told])


def silent(_what: str, _done: int, _of: int | None) -> None:
    """A progress that nobody watches."""


@dataclass(frozen=True)
class Runtime:
    """Everything that the steps of one connection need. Tests replace ``shop_transport`` and ``clock``."""

    settings: Settings
    connection: Connection
    clock: Clock = field(default_factory=SystemClock)
    shop_transport: httpx.BaseTransport | None = None
    progress: Progress = silent

    @property
    def name(self) -> str:
        """The connection's name."""
        return self.connection.name

    @cached_property
    def engine(self) -> Engine:
        """The control plane, migrated when first opened."""
        return open_control_plane(self.settings.control_plane_url)

    @property
    def tokens(self) -> TokenStore:
        """Where the tokens of the consent are kept, encrypted."""
        return TokenStore(self.engine, load_key(self.settings.home.absolute() / "keys" / "tokens.key"))

    @property
    def app(self) -> App:
        """The app at Intuit; its credentials are read from the environment now."""
        books = self.connection.books
        return App(books.client_id, books.client_secret, books.redirect_uri, books.discovery_url)

    @contextmanager
    def shop(self, limits: Patience | None = None) -> Iterator[Shop]:
        """The shop's web service; reads the key from the environment."""
        shop = self.connection.shop
        with Shop(
            shop.url,
            shop.key,
            page_size=shop.page_size,
            connections=shop.connections,
            limits=limits,
            transport=self.shop_transport,
        ) as client:
            yield client

    @contextmanager
    def books(self, priority: Priority = Priority.NORMAL) -> Iterator[Books]:
        """The company's books; the first use renews the access token."""
        books = self.connection.books
        tokens = TokenSource(
            self.tokens,
            self.app,
            connection=self.name,
            realm=books.realm,
            first_refresh_token=books.first_refresh_token,
        )
        budget = SharedBudget(BudgetStore(self.engine), Limits(**books.limits.model_dump()))
        client = Books(
            base_url=books.base_url, realm=books.realm, tokens=tokens, budget=budget, priority=priority
        )
        try:
            yield client
        finally:
            client.close()

    @contextmanager
    def warehouse(self, reason: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection's warehouse under its lease."""
        path = self.settings.warehouse_path(self.name)
        owner = f"{self.name} pid {os.getpid()}"
        with session(path, owner=owner, reason=reason, read_only=read_only) as con:
            yield con

    def require_writable(self) -> None:
        """Raises what would stop a run half-way: a secret that is not set, a file that cannot be written."""
        secrets = (self.connection.shop.key, self.app.client_id, self.app.client_secret)
        self.armed()
        with self.warehouse("see whether it can be written"):
            logger.info(
                "%s: %d secrets are set, control plane and warehouse can be written", self.name, len(secrets)
            )

    def armed(self) -> bool:
        """Whether posting is switched on for this connection."""
        state = Connections(self.engine).register(
            self.name, realm=self.connection.books.realm, go_live=self.connection.go_live
        )
        return state.armed
