"""An order that is paid is in the books seconds later: the live path against the sandbox, in processes of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from ps_qb_pipeline.orchestration import hints
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline.state.tables import intents
from ps_qb_pipeline_tests.architecture.test_import_budget import FORBIDDEN

pytestmark = pytest.mark.slow
NAME = "boutique"
LIVE = f"""
import json, sys
import dagster as dg
import ps_qb_pipeline.definitions as project
with dg.DagsterInstance.ephemeral() as instance:
    done = project.defs.resolve_job_def("live_{NAME}").execute_in_process(
        instance=instance, run_config={{"ops": {{"{NAME}__live": {{"config": {{"linger": 0.0}}}}}}}}
    )
    (event,) = [one for one in done.all_events if one.event_type_value.startswith("ASSET_")]
told = event.event_specific_data
told = getattr(told, "asset_observation", None) or told.materialization
figures = {{name: value.value for name, value in told.metadata.items()}}
print(json.dumps({{**figures, "heavy": [m for m in {FORBIDDEN!r} if m in sys.modules]}}, default=str))
"""


@pytest.fixture(scope="module")
def shop(place) -> Iterator[str]:
    """A shop that was read whole, with posting on from today; none of its old orders is to be posted."""
    place.connect(NAME, go_live=(datetime.now(UTC) - timedelta(days=1)).date())
    with place.sandbox(NAME) as ready:
        for command in (("setup", "--create"), ("go-live", "--by", "a test"), ("run",)):
            done = place.psqb(command[0], "--connection", NAME, *command[1:])
            assert done.returncode == 0, done.stderr
        assert hints.loaded(place.runtime(NAME))
        yield ready["shop_url"]


def live(place) -> dict:
    """One live run as a process of its own; what it told of itself."""
    done = subprocess.run(
        [sys.executable, "-c", LIVE], capture_output=True, text=True, check=False, env=place.environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@contextmanager
def running(place) -> Iterator[subprocess.Popen]:
    """A live run that somebody else ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=place.environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def sales(place, order: int) -> list[str]:
    """The states of the sales documents of an order."""
    with reading(place.runtime(NAME).engine) as tx:
        return list(tx.execute(select(intents.c.state).where(intents.c.key == f"1|sale|{order}|0")).scalars())


def test_a_hint_becomes_a_document_and_nothing_heavy_is_imported(place, shop):
    """The order of the hint alone is read and posted; pandas and Great Expectations stay out of the process."""
    order = place.control(shop, {"place_order": {"way": "card", "seed": 11}})["order"]
    box = Inbox(place.runtime(NAME).engine)
    box.receive(
        "prestashop", "one", connection=NAME, hint={"resource": "orders", "id": order, "event": "paid"}
    )
    told = live(place)
    assert (told["hints"], told["orders"], told["heavy"]) == (1, 1, [])
    assert told["created"] >= 1
    assert sales(place, order) == ["CONFIRMED"]
    assert box.waiting(NAME, source="prestashop") == []


def test_a_shop_without_webhooks_is_polled_and_each_change_taken_once(place, shop):
    """The poll finds the payment; polling again, and running again, changes nothing."""
    runtime = place.runtime(NAME)
    hints.poll(runtime)
    live(place)
    order = place.control(shop, {"place_order": {"way": "wire", "seed": 12}})["order"]
    place.control(shop, {"pay": {"order": order}})
    assert hints.poll(runtime) > 0
    assert live(place)["created"] >= 1
    assert sales(place, order) == ["CONFIRMED"]
    time.sleep(3)  # until the second of the change is over for the shop
    hints.poll(runtime)
    assert hints.poll(runtime) == 0
    assert live(place)["created"] == 0


def test_look_ups_spend_no_metered_read(place, shop):
    """New customers and items are looked up in the mirror; QuickBooks is asked for nothing."""
    from ps_qb_pipeline.quickbooks.limiter import SharedBudget
    from ps_qb_pipeline.state.budget import BudgetStore

    runtime = place.runtime(NAME)
    meter = SharedBudget(BudgetStore(runtime.engine))
    before = meter.month(runtime.connection.books.realm)
    place.control(shop, {"place_order": {"way": "card", "seed": 13, "customer": "new"}})
    hints.poll(runtime)
    assert live(place)["created"] >= 1
    after = meter.month(runtime.connection.books.realm)
    assert (after.reads - before.reads, after.cdc - before.cdc) == (0, 0)
    assert after.writes > before.writes


def test_a_run_that_is_killed_loses_and_doubles_nothing(place, shop):
    """SIGKILL at some moments of a run; the hint stays open until a run comes to its end, the document is one."""
    runtime = place.runtime(NAME)
    order = place.control(shop, {"place_order": {"way": "card", "seed": 14}})["order"]
    hints.poll(runtime)
    for seconds in (3.0, 4.0):
        with running(place) as process:
            time.sleep(seconds)
            process.kill()
    live(place)
    assert sales(place, order) == ["CONFIRMED"]
    with runtime.books() as books:
        numbers = [str(row["DocNumber"]) for row in books.query_all("SalesReceipt")]
    assert len(numbers) == len(set(numbers))
    assert Inbox(runtime.engine).waiting(NAME, source="prestashop") == []


def test_what_happens_to_an_order_later_is_posted_live_too(place, shop):
    """A refund, which leaves its order's own row alone, is a document seconds later; a cancellation is named."""
    runtime = place.runtime(NAME)
    order = place.control(shop, {"place_order": {"way": "card", "seed": 15}})["order"]
    other = place.control(shop, {"place_order": {"way": "card", "seed": 16}})["order"]
    hints.poll(runtime)
    live(place)
    assert sales(place, order) == sales(place, other) == ["CONFIRMED"]
    slip = place.control(shop, {"refund": {"order": order}})["slip"]
    place.control(shop, {"cancel": {"order": other}})
    hints.poll(runtime)
    live(place)
    with reading(runtime.engine) as tx:
        refunded = tx.execute(
            select(intents.c.state).where(intents.c.role == "refund", intents.c.source_id == str(slip))
        )
        assert list(refunded.scalars()) == ["CONFIRMED"]
    with runtime.warehouse("look", read_only=True) as con:
        named = con.execute(
            "select code from ledger.findings where order_id = $order", {"order": other}
        ).fetchall()
    assert ("REFUND_NO_SLIP",) in named
