"""Two sandboxes, a connection between them, and a shop with as many orders as are asked for.

What lives here: starting them, letting the shop live, and the pipeline's own steps. What does not: what
is done to them afterwards.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from ps_qb_pipeline.cli import sandboxes
from ps_qb_pipeline.orchestration import steps
from ps_qb_pipeline.orchestration.landing import BOOKS, ConnectionCursors
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.quickbooks import mirror
from ps_qb_pipeline.settings import PACKAGE_DIR, Settings, connection_named
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.validation.rules import load_contracts
from ps_qb_pipeline.warehouse.models import load_models
from ps_qb_pipeline_tests.journeys.conftest import free_port

FIRST_DAY, DAYS = "2026-02-02 08:00:00", 280
"""The shop lives in the year that its first orders are of."""


@contextmanager
def place(shop: str, orders: int, data: Path | None) -> Iterator[tuple[Runtime, str, str]]:
    """A home of its own, a connection on free ports, both sandboxes running: runtime, shop, books."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        body = yaml.safe_load((PACKAGE_DIR / "defs" / shop / "defs.yaml").read_text())
        shop_port, books_port = free_port(), free_port()
        body["shop"]["url"] = f"http://127.0.0.1:{shop_port}"
        body["books"]["base_url"] = f"http://127.0.0.1:{books_port}"
        body["books"]["discovery_url"] = (
            f"http://127.0.0.1:{books_port}/.well-known/openid_sandbox_configuration/"
        )
        target = root / "defs" / shop
        target.mkdir(parents=True)
        (target / "defs.yaml").write_text(yaml.safe_dump(body))
        settings = Settings(home=root / "home", defs_dir=root / "defs")
        (root / "home" / "keys").mkdir(parents=True)
        os.environ["PSQB_HOME"] = str(root / "home")
        sandboxes.put_credentials((shop,))
        extra = ("--orders", str(orders)) if shop == "retail" else ()
        extra += ("--retail-data", str(data)) if data and shop == "retail" else ()
        with sandboxes.running(settings, shop, extra=extra) as ready:
            yield Runtime(settings, connection_named(settings, shop)), ready["shop_url"], ready["books_url"]


def control(url: str, **command: Any) -> Any:
    """One command to a sandbox's control; gives what it answered to it."""
    answer = httpx.put(f"{url}/_control", json=command, timeout=600)
    answer.raise_for_status()
    body = answer.json()
    done = body[0] if isinstance(body, list) else body
    return done.get(next(iter(command)), done) if isinstance(done, dict) else done


def grow(url: str, orders: int, seed: int) -> int:
    """Let a shop live until it has about so many orders more; gives how many there were."""
    made = 0
    if orders > 0:
        control(url, clock={"freeze": FIRST_DAY})
    part = 0
    while made < orders:
        # About two events of five are orders; a part of the days at a time keeps the answers small.
        days = DAYS // 10 if part < 10 else 1
        per_day = max(1, round((orders - made) / max(1, 10 - part) / days / 0.41)) if part < 10 else 50
        made += len(
            control(url, life={"seed": seed * 100 + part, "days": days, "per_day": per_day})["orders"]
        )
        part += 1
    control(url, clock="real")
    return made


def book(runtime: Runtime, *, search: bool = False) -> None:
    """Everything from the shop to the books, and the mirror back."""
    contracts, models = load_contracts(), load_models()

    def make(*prefixes: str) -> None:
        chosen = [model for name, model in models.items() if name.startswith(prefixes)]
        steps.make_models(runtime, chosen, [])

    if search:
        # As on the next day: the closing date is read daily.
        mirror.read_lists_again(ConnectionCursors(Cursors(runtime.engine), runtime.name, BOOKS))
    steps.pull_shop(runtime, search=search)
    make("staging.")
    steps.make_ledger(runtime, [], list(contracts.values()))
    steps.post_documents(runtime, run_id="truth")
    steps.pull_books(runtime)
    make("staging.quickbooks", "recon.", "marts.")
