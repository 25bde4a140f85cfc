"""The five troubles that every shop has: each ends well, or with one person, one cause and one way out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stamina
import yaml

from ps_qb_pipeline.cli import sandboxes
from ps_qb_pipeline.orchestration import steps
from ps_qb_pipeline.orchestration.alert_facts import History, gather
from ps_qb_pipeline.orchestration.alerts import Notice, decide, troubles
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.posting import dead_letters
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.posting.protocol import PostingResult, post
from ps_qb_pipeline.settings import AlertSettings
from ps_qb_pipeline.state.clock import SystemClock
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.validation.rules import load_contracts
from ps_qb_pipeline.warehouse import models
from ps_qb_pipeline_tests.journeys.commands import psqb
from ps_qb_pipeline_tests.journeys.conftest import Place

pytestmark = pytest.mark.xdist_group("error_stories")

NAME = "retail"
"""A company with one currency; its shop sells in others too."""


EURO = {
    "name": "Euro",
    "iso_code": "EUR",
    "conversion_rate": "1.17",
    "precision": "2",
    "deleted": "0",
    "active": "1",
}


class StoryClock(SystemClock):
    """Time that passes when the story says so: nobody waits for a throttle's minute in a test."""

    def __init__(self) -> None:
        self.moment = super().now()

    def now(self) -> datetime:
        return self.moment


class Untroubled:
    """No run has failed."""

    def history(self, _connection: str) -> History:
        return History()


@dataclass
class Business:
    """A shop whose orders so far are history, its company, and what both can be told."""

    place: Place
    ready: dict[str, str]
    clock: StoryClock
    regular: int = 0
    """A customer, and below a product, that the books know."""
    seller: str = ""
    told: Sequence[Notice] = ()

    @property
    def runtime(self) -> Runtime:
        return self.place.runtime(NAME)

    def shop(self, **command: Any) -> Any:
        return self.place.control(self.ready["shop_url"], command)

    def books(self, **levers: Any) -> None:
        self.place.control(self.ready["books_url"], levers)

    def order(self, **how: Any) -> int:
        return int(self.shop(place_order={"way": "card", "customer": "new", "seed": 11, **how})["order"])

    def run(self, name: str) -> PostingResult:
        """From the shop to the books as the main job does it."""
        runtime = self.runtime
        steps.pull_shop(runtime)
        chosen = [one for key, one in models.load_models().items() if key.startswith("staging.prestashop_")]
        steps.make_models(runtime, chosen, [])
        steps.make_ledger(runtime, [], list(load_contracts().values()))
        steps.pull_books(runtime)
        with runtime.warehouse("read the documents to post") as con:
            documents, customers, items = steps.wanted_documents(con)
            names = steps.mirrored_names(con)
        with runtime.books() as books:
            return post(
                documents,
                customers,
                items,
                books=books,
                names=names,
                store=runtime.engine,
                run_id=name,
                connection=NAME,
                create_items=runtime.connection.accounting.missing_items == "create",
                clock=self.clock,
                pace=Pace(settle=5.0, server_limit=0.0),
            )

    def causes(self) -> dict[str, dead_letters.Cause]:
        return {one.code: one for one in dead_letters.collect(self.runtime.engine, NAME)}

    def alerts(self) -> list[str]:
        """The causes that a person is told of now, at noon."""
        runtime, noon = self.runtime, datetime(2026, 6, 1, 12, tzinfo=UTC)
        found = [
            one
            for one in troubles(gather(runtime, Untroubled()), AlertSettings(), noon)
            if "dead:" in one.key
        ]
        decision = decide(found, self.told, AlertSettings(), noon, "UTC")
        self.told = decision.notices
        return [message.key.removeprefix("dead:") for message in decision.messages if message.kind == "alert"]

    def set_items(self, how: str) -> None:
        file = self.place.root / "defs" / NAME / "defs.yaml"
        body = yaml.safe_load(file.read_text())
        body["accounting"]["missing_items"] = how
        file.write_text(yaml.safe_dump(body))


def key(order: int) -> str:
    return f"1|sale|{order}|0"


@pytest.fixture(scope="module")
def business(place: Place) -> Iterator[Business]:
    """Everything before this year is history, so that each story posts its own orders only."""
    place.connect(NAME, go_live="2026-01-01")
    sandboxes.put_credentials((NAME,))
    with sandboxes.running(place.settings, NAME, extra=("--orders", "20")) as ready:
        made = Business(place, ready, StoryClock())
        made.runtime.armed()
        steps.set_up(made.runtime, create=True)
        Connections(made.runtime.engine).arm(NAME, by="test")
        first = made.order()
        assert key(first) in made.run("first").created
        made.regular, made.seller = _of(made, first)
        yield made


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Reads are tried again without a pause."""
    with stamina.set_testing(True, attempts=3):
        yield


def test_a_shop_that_stumbles_is_asked_again(business: Business) -> None:
    """Two answers of a proxy in the middle of a read: the run goes on, and the order is booked."""
    order = business.order()
    business.shop(fault={"kind": "proxy", "status": 503, "resource": "orders", "times": 2})
    result = business.run("stumbles")
    assert key(order) in result.created
    assert business.causes() == {}


def test_a_throttled_company_gets_its_documents_later_and_once(business: Business) -> None:
    """After a 429 everything stays planned, is no dead letter, and goes out when the pause is over."""
    orders = [business.order(), business.order()]
    business.books(add_fault={"kind": "throttle", "method": "POST", "path": "(batch|salesreceipt|customer)"})
    assert business.run("throttled").created == []
    business.clock.moment += timedelta(seconds=70)
    assert {key(order) for order in orders} <= set(business.run("later").created)
    assert business.causes() == {}


def test_a_refused_e_mail_is_one_dead_letter_and_the_rest_goes_on(business: Business) -> None:
    """The customer with the address waits with its order, named and explained; the other order is booked."""
    bad, good = business.order(), business.order(customer=business.regular)
    business.books(
        add_fault={"kind": "fault", "code": "2210", "detail": "Email address is invalid", "path": "customer"}
    )
    result = business.run("bad mail")
    assert key(bad) not in result.confirmed
    assert key(good) in result.created

    (cause,) = business.causes().values()
    assert cause.code == "QBO-2210"
    (letter,) = cause.letters
    assert letter.entity == "Customer"
    assert cause.meaning
    assert cause.fix
    said = psqb("dead-letters", "--connection", NAME)
    assert said.exit_code == 1
    assert "QBO-2210: 1 record" in said.stdout

    # The person has corrected the address; the same key goes again.
    assert psqb("replay", "--connection", NAME, "--by", "Ann", "--cause", "QBO-2210").exit_code == 0
    assert key(bad) in business.run("replayed").created
    assert business.causes() == {}


def test_a_product_that_quickbooks_does_not_know_alerts_once_and_waits_for_its_item(
    business: Business,
) -> None:
    """With items made by hand, an unknown SKU is one alert; when the item is there the order is booked."""
    business.set_items("hold")
    order = business.order(items=[{"reference": _unsold(business), "quantity": 1}])
    other = business.order(items=[{"reference": business.seller, "quantity": 1}])
    result = business.run("unknown sku")
    assert key(order) in result.held
    assert key(other) in result.created
    assert business.alerts() == ["ITEM_UNMAPPED"]
    assert business.alerts() == []
    waiting = business.causes()["ITEM_UNMAPPED"]
    assert [letter.source_id for letter in waiting.letters] == [str(order)]

    _make_item(business, _sku(business, order))
    assert key(order) in business.run("item made").created
    assert business.causes() == {}
    business.set_items("create")


def test_an_order_in_a_currency_that_the_books_do_not_have_is_held_and_alerted(business: Business) -> None:
    """Nothing is booked at a guessed rate: the order waits with its amount, the others go on."""
    business.shop(row={"resource": "currencies", "id": 9, **EURO})
    foreign, home = business.order(currency=9), business.order()
    result = business.run("foreign")
    assert key(home) in result.created
    assert key(foreign) not in result.confirmed
    assert business.alerts() == ["CURRENCY_DIFF"]
    (letter,) = business.causes()["CURRENCY_DIFF"].letters
    assert (letter.source_id, letter.currency) == (str(foreign), "EUR")
    assert letter.amount > 0
    assert business.alerts() == []


def _of(business: Business, order: int) -> tuple[int, str]:
    """The customer of an order, and the reference of its first product."""
    with business.runtime.warehouse("read an order", read_only=True) as con:
        row = con.execute(
            """
            select header.id_customer, detail.product_reference
            from staging.prestashop_orders as header
            join staging.prestashop_order_details as detail on detail.id_order = header.id
            where header.id = $order order by detail.id limit 1
            """,
            {"order": order},
        ).fetchone()
    assert row is not None
    return row


def _unsold(business: Business) -> str:
    """The reference of a product that no item of the books stands for."""
    with business.runtime.books() as books:
        known = {str(row.get("Sku")) for row in books.query_all("Item")}
    with business.runtime.warehouse("choose a product", read_only=True) as con:
        listed = con.execute("select reference from staging.prestashop_products order by id desc").fetchall()
    return next(reference for (reference,) in listed if reference and reference not in known)


def _sku(business: Business, order: int) -> str:
    with business.runtime.warehouse("read a document", read_only=True) as con:
        row = con.execute(
            "select sku from ledger.lines where document_key = $key and kind = 'product'", {"key": key(order)}
        ).fetchone()
    assert row is not None
    return str(row[0])


def _make_item(business: Business, sku: str) -> None:
    """What the bookkeeper does in QuickBooks."""
    with business.runtime.books() as books:
        (income, *_) = books.query_all("Account", "AccountType = 'Income'")
        body = {
            "Name": f"Made by hand {sku}",
            "Sku": sku,
            "Type": "NonInventory",
            "IncomeAccountRef": {"value": income["Id"]},
        }
        books.create("Item", json.dumps(body).encode(), f"by-hand-{sku}")
