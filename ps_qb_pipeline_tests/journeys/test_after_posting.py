"""What becomes of documents in the books when the shop, or a person, changes its mind afterwards."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from ps_qb_pipeline.orchestration.live import Round, make_round
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline.validation.rules import load_contracts
from ps_qb_pipeline_tests.journeys.conftest import Place
from ps_qb_pipeline_tests.journeys.cycle import Shop

pytestmark = pytest.mark.xdist_group("after_posting")

TWO = [{"product": 1, "quantity": 2}]
TODAY = datetime.now(UTC).date()


def total(row: dict[str, Any] | None) -> Decimal:
    assert row is not None
    return Decimal(str(row["TotalAmt"]))


class Story:
    """Orders by name, the number of each sale, and what the shop says of its total now."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.orders: dict[str, dict[str, Any]] = {}

    def buy(self, name: str, way: str) -> None:
        self.orders[name] = self.shop.order(way=way, items=TWO, shipping="0")

    def id(self, name: str) -> int:
        return int(self.orders[name]["order"])

    def sale(self, name: str, entity: str, adjustment: str = "") -> dict[str, Any] | None:
        return self.shop.books(entity, f"PS1-{self.id(name)}{adjustment}")

    def edit(self, name: str, quantity: int) -> Decimal:
        """Another quantity; the order's new total."""
        detail = self.orders[name]["details"][0]
        said = self.shop.does("edit", order=self.id(name), detail=detail, quantity=quantity)
        return Decimal(said["total_paid_tax_incl"])

    def was(self, name: str) -> Decimal:
        return Decimal(self.orders[name]["total_paid_tax_incl"])

    def classes(self, name: str) -> set[str]:
        return self.shop.classes(self.id(name))

    def exceptions(self, name: str) -> list[tuple[str, Decimal]]:
        """Code and amount of everything that is open about an order."""
        found = "select code, amount from recon.exceptions where order_id = ? order by code"
        return [(code, amount) for code, amount in self.shop.ask(found, self.id(name))]

    def raised_by_hand(self, name: str) -> Decimal:
        """A person makes a line of the receipt one more; the receipt's new total."""
        row = self.sale(name, "SalesReceipt")
        assert row is not None
        line = {**row["Line"][0], "Amount": Decimal(str(row["Line"][0]["Amount"])) + 1}
        line["SalesItemLineDetail"] = {
            column: value for column, value in line["SalesItemLineDetail"].items() if column != "UnitPrice"
        }
        rest = [one for one in row["Line"][1:] if one["DetailType"] == "SalesItemLineDetail"]
        self.shop.by_hand("SalesReceipt", row["DocNumber"], Line=[line, *rest])
        return total(self.sale(name, "SalesReceipt"))


@pytest.fixture(scope="module")
def story(place: Place) -> Iterator[Story]:
    """Orders that are all in the books; an order that waits for its wire is booked on terms."""
    place.connect("boutique", go_live=TODAY - timedelta(days=1))
    place.change("boutique", {"issued_invoices": "edit", "states": [{"action": "post", "ids": [10]}]})
    with place.sandbox("boutique") as ready:
        made = Story(Shop(place, "boutique", ready))
        for name in ("edited", "cancelled", "cancelled too", "closed", "closed and cancelled"):
            made.buy(name, "wire")
        for name in ("underpaid", "conflict", "deleted", "refunded", "issued", "issued and paid"):
            made.buy(name, "card")
        for name in ("paid later", "moved"):
            made.buy(name, "card")
        done = made.shop.turn(reconciled=False)
        assert (done["created"], done["waiting"]) == (13, None)
        yield made


def live(story: Story, name: str) -> Round:
    """A hint of the order comes in, and one live round follows it."""
    runtime, box = story.shop.runtime, Inbox(story.shop.runtime.engine)
    hint = {"resource": "orders", "id": story.id(name), "event": "updated"}
    box.receive("prestashop", f"{name} {uuid4()}", connection=runtime.name, hint=hint)
    return make_round(runtime, box, list(load_contracts().values()), run_id=f"live-{uuid4()}")


def test_an_order_that_is_cancelled_is_voided_live(story: Story) -> None:
    """Booked by the whole run or a minute ago by a live one: nobody waits for the night, and the night does nothing."""
    story.buy("cancelled live", "wire")
    assert live(story, "cancelled live").created == 1
    assert total(story.sale("cancelled live", "Invoice")) == story.was("cancelled live")
    for name in ("cancelled live", "cancelled too"):
        story.shop.does("cancel", order=story.id(name))
        assert live(story, name).stopped == ""
        row = story.sale(name, "Invoice")
        assert row is not None
        assert (total(row), "Voided" in row["PrivateNote"]) == (0, True)
    version = row["SyncToken"]
    live(story, "cancelled too")
    again = story.sale("cancelled too", "Invoice")
    assert again is not None
    assert again["SyncToken"] == version


def test_what_was_booked_live_is_amended_live_by_the_same_rules(story: Story) -> None:
    """An order that grew after its payment waits for the money, though no whole run has seen its receipt yet."""
    story.buy("grown live", "card")
    assert live(story, "grown live").created >= 1
    assert story.edit("grown live", 3) > story.was("grown live")
    live(story, "grown live")
    assert total(story.sale("grown live", "SalesReceipt")) == story.was("grown live")
    said = "select distinct code from ledger.findings where order_id = ? and code like 'EDIT%'"
    assert story.shop.ask(said, story.id("grown live")) == [("EDIT_UNDERPAID",)]


@pytest.fixture(scope="module")
def changed(story: Story) -> dict[str, Decimal]:
    """Everything that happens while documents may still be rewritten, and one turn; totals in the shop by name."""
    shop = story.shop
    now = {name: story.edit(name, 3) for name in ("edited", "underpaid")}
    shop.does("cancel", order=story.id("cancelled"))
    now["by hand"] = story.raised_by_hand("conflict")
    now["conflict"] = story.edit("conflict", 3)
    shop.does(
        "pay",
        order=story.id("conflict"),
        amount=str(now["conflict"] - story.was("conflict")),
        method="Credit card",
    )
    gone = story.sale("deleted", "SalesReceipt")
    assert gone is not None
    shop.delete("SalesReceipt", gone)
    shop.does("refund", order=story.id("refunded"))
    done = shop.turn()
    now["updated"], now["voided"] = Decimal(done["updated"]), Decimal(done["voided"])
    return now


def test_an_edit_in_an_open_period_updates_the_document(story: Story, changed: dict[str, Decimal]) -> None:
    """The same invoice with the new total, and nothing beside it."""
    assert total(story.sale("edited", "Invoice")) == changed["edited"] != story.was("edited")
    assert story.sale("edited", "Invoice", "-A1") is None
    assert (changed["updated"], story.classes("edited")) == (1, {"matched"})


def test_a_receipt_keeps_its_total_when_the_difference_was_not_paid(
    story: Story, changed: dict[str, Decimal]
) -> None:
    """An order edited upwards after its payment waits for the money."""
    assert changed["underpaid"] > story.was("underpaid")
    assert total(story.sale("underpaid", "SalesReceipt")) == story.was("underpaid")
    assert story.classes("underpaid") == {"EDIT_UNDERPAID"}


def test_a_cancelled_order_voids_its_invoice(story: Story, changed: dict[str, Decimal]) -> None:
    """The number stays in the books with nothing in it."""
    row = story.sale("cancelled", "Invoice")
    assert row is not None
    assert (total(row), changed["voided"]) == (0, 1)
    assert "Voided" in row["PrivateNote"]
    assert story.classes("cancelled") == {"not_postable:cancelled", "voided"}


def test_what_a_person_changed_waits_when_the_shop_changes_it_too(
    story: Story, changed: dict[str, Decimal]
) -> None:
    """Neither side is overwritten."""
    assert total(story.sale("conflict", "SalesReceipt")) == changed["by hand"] != story.was("conflict")
    assert "EDIT_CONFLICT" in story.classes("conflict")


def test_what_a_person_deleted_is_not_made_again(story: Story, changed: dict[str, Decimal]) -> None:
    """Reconciliation says so, posting leaves it."""
    assert changed
    assert story.sale("deleted", "SalesReceipt") is None
    assert story.classes("deleted") == {"QBO_DELETED"}


def test_a_late_refund_gets_a_document_of_its_own(story: Story, changed: dict[str, Decimal]) -> None:
    """The receipt stays, the credit slip becomes a refund receipt."""
    assert changed
    slips = story.shop.ask(
        "select id, total_products_tax_incl + total_shipping_tax_incl from staging.prestashop_order_slip"
        " where id_order = ?",
        story.id("refunded"),
    )
    assert len(slips) == 1
    refund = story.shop.books("RefundReceipt", f"PS1-R{slips[0][0]}")
    assert total(refund) == slips[0][1].quantize(Decimal("0.01"))
    assert total(story.sale("refunded", "SalesReceipt")) == story.was("refunded")
    assert story.classes("refunded") == {"matched"}


@pytest.fixture(scope="module")
def kept(story: Story, changed: dict[str, Decimal]) -> dict[str, Decimal]:
    """The same company where the law keeps issued invoices: one order shrinks with its refund, one grows, paid."""
    assert changed
    shop = story.shop
    shop.settings(issued_invoices="keep")
    now = {"issued and paid": story.edit("issued and paid", 3)}
    owed = now["issued and paid"] - story.was("issued and paid")
    shop.does("pay", order=story.id("issued and paid"), amount=str(owed), method="Credit card")
    now["issued"] = story.edit("issued", 1)
    shop.turn()
    return now


def test_an_issued_invoice_is_kept_and_its_difference_stands_beside_it(
    story: Story, kept: dict[str, Decimal]
) -> None:
    """Receipt and adjustment together are the order."""
    before = story.was("issued and paid")
    assert total(story.sale("issued and paid", "SalesReceipt")) == before
    adjustment = story.sale("issued and paid", "SalesReceipt", "-A1")
    assert total(adjustment) == kept["issued and paid"] - before > 0
    assert story.classes("issued and paid") == {"matched"}
    said = "select distinct code from ledger.findings where order_id = ? and code like 'EDIT%'"
    assert story.shop.ask(said, story.id("issued and paid")) == [("EDIT_AFTER_CLOSE",)]


def test_a_receipt_above_the_new_total_waits_for_the_money_to_go_back(
    story: Story, kept: dict[str, Decimal]
) -> None:
    """Nobody has refunded the difference yet: a refund receipt would say that somebody has."""
    assert kept["issued"] < story.was("issued")
    assert total(story.sale("issued", "SalesReceipt")) == story.was("issued")
    assert story.sale("issued", "RefundReceipt", "-A1") is None
    assert story.classes("issued") == {"PAY_OVER"}


@pytest.fixture(scope="module")
def besides(story: Story, kept: dict[str, Decimal]) -> dict[str, Decimal]:
    """One receipt is changed by hand while its order waits; another's money came in another month, a third's buyer moves."""
    assert kept
    shop = story.shop
    now = {"underpaid": story.raised_by_hand("underpaid")}
    ((payment,),) = shop.ask(
        """
        select payments.id
        from staging.prestashop_order_payments as payments
        inner join staging.prestashop_orders as orders on payments.order_reference = orders.reference
        where orders.id = ?
        """,
        story.id("paid later"),
    )
    shop.does("row", resource="order_payments", id=payment, date_add=f"{TODAY + timedelta(days=35)} 10:00:00")
    shop.does("row", resource="orders", id=story.id("paid later"), date_upd=f"{TODAY} 23:59:58")
    ((customer,),) = shop.ask(
        "select id_customer from staging.prestashop_orders where id = ?", story.id("moved")
    )
    shop.does("row", resource="customers", id=customer, email="elsewhere@example.test", lastname="Married")
    shop.does("row", resource="orders", id=story.id("moved"), note="moved", date_upd=f"{TODAY} 23:59:58")
    shop.turn()
    return now


def test_what_a_person_changes_while_the_order_waits_is_found_beside_what_it_waits_for(
    story: Story, besides: dict[str, Decimal]
) -> None:
    """Two differences on one order: the shop's, and the one in the books."""
    by_hand = besides["underpaid"] - story.was("underpaid")
    assert by_hand > 0
    said = dict(story.exceptions("underpaid"))
    assert said.keys() == {"EDIT_UNDERPAID", "QBO_EDITED"}
    assert said["QBO_EDITED"] == by_hand


def test_money_that_came_in_another_month_is_no_conflict(story: Story, besides: dict[str, Decimal]) -> None:
    """Nobody changed the books: the receipt stays, and its money stands in the wrong month."""
    assert besides
    assert story.exceptions("paid later") == [("CUTOFF_DIFF", story.was("paid later"))]
    assert total(story.sale("paid later", "SalesReceipt")) == story.was("paid later")


def test_a_buyer_with_another_address_is_the_same_customer(story: Story, besides: dict[str, Decimal]) -> None:
    """What was booked stays with the card that it was booked for."""
    assert besides
    assert story.exceptions("moved") == []
    assert story.classes("moved") == {"matched"}


@pytest.fixture(scope="module")
def closed(story: Story, besides: dict[str, Decimal]) -> dict[str, Decimal]:
    """The period is closed over everything; two orders of it change, and a turn follows that finds no news."""
    assert besides
    shop = story.shop
    shop.settings(book_close_date=TODAY, issued_invoices="edit")
    now = {"closed": story.edit("closed", 1)}
    shop.does("cancel", order=story.id("closed and cancelled"))
    done = shop.turn(reconciled=False)
    now["created"] = Decimal(done["created"])
    again = shop.turn()
    now["again"] = Decimal(again["created"] + again["updated"] + again["voided"])
    return now


def test_a_closed_period_is_adjusted_in_the_open_one(story: Story, closed: dict[str, Decimal]) -> None:
    """The invoice stays as it was; a credit memo of the first open day carries the difference."""
    assert total(story.sale("closed", "Invoice")) == story.was("closed")
    memo = story.sale("closed", "CreditMemo", "-A1")
    assert memo is not None
    assert total(memo) == story.was("closed") - closed["closed"] > 0
    assert date.fromisoformat(memo["TxnDate"]) == TODAY + timedelta(days=1)
    assert story.classes("closed") == {"matched"}


def test_a_cancelled_order_of_a_closed_period_is_credited_in_full(
    story: Story, closed: dict[str, Decimal]
) -> None:
    """It is not voided, because that would change the closed period."""
    whole = story.was("closed and cancelled")
    assert total(story.sale("closed and cancelled", "Invoice")) == whole
    assert total(story.sale("closed and cancelled", "CreditMemo", "-A1")) == whole
    assert closed["created"] == 2


def test_adjustments_are_made_once(closed: dict[str, Decimal]) -> None:
    """What stands beside a document is remembered: the next turn writes nothing."""
    assert closed["again"] == 0
