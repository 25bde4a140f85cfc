"""Writing back: what is there is kept, and twice is once."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from ps_qb_pipeline.errors import ShopRefused, ShopUnavailable
from ps_qb_pipeline.prestashop.writeback import Mark, message, note, state, stock
from ps_qb_pipeline_tests.prestashop.shop_double import ShopDouble, blank
from ps_qb_pipeline_tests.prestashop.world import shop_with

MARK = Mark("SalesReceipt", "PS-1-100045", "https://books.test/app/salesreceipt?txnId=7")
WRITES: list[Callable[[ShopDouble], object]] = [
    lambda d: note(d.shop(), 1, MARK),
    lambda d: message(d.shop(), 1, MARK),
    lambda d: state(d.shop(), 1, 5),
    lambda d: stock(d.shop(), 1, 7),
]


def shop() -> ShopDouble:
    double = shop_with(2)
    double.tables["stock_availables"].append(blank("stock_availables", id=1, id_product=1, quantity=9))
    return double


def written(double: ShopDouble) -> int:
    return sum(method != "GET" for method, _, _ in double.calls)


@pytest.mark.parametrize("write", WRITES)
def test_second_write_sends_nothing(write: Callable[[ShopDouble], object]) -> None:
    """Each write looks first whether it is done already."""
    double = shop()
    assert write(double).outcome == "written"
    assert write(double).outcome == "already"
    assert written(double) == 1


@pytest.mark.parametrize("write", WRITES)
def test_write_that_took_effect_before_the_answer_was_lost_is_not_sent_again(
    write: Callable[[ShopDouble], object],
) -> None:
    """A repeated POST would add a second row; so the effect is looked for first."""
    double = shop()
    double.after = lambda d, method, path: d.answer(500, b"", "text/html") if method != "GET" else None
    assert write(double).outcome == "written"
    assert written(double) == 1


@pytest.mark.parametrize("write", WRITES)
def test_write_that_never_arrived_is_sent_once_more(write: Callable[[ShopDouble], object]) -> None:
    """After looking, and only once."""
    double = shop()
    failures = iter([1])

    def lose(double: ShopDouble, method: str, path: str, query: dict[str, str]) -> httpx.Response | None:
        lost = method != "GET" and next(failures, None)
        return double.answer(500, b"", "text/html") if lost else None

    double.before = lose
    assert write(double).outcome == "written"
    assert written(double) == 2


@pytest.mark.parametrize("write", WRITES)
def test_write_that_fails_twice_is_an_error(write: Callable[[ShopDouble], object]) -> None:
    """Its outcome is then a person's to find out."""
    double = shop()
    double.before = lambda d, m, p, q: d.answer(500, b"", "text/html") if m != "GET" else None
    with pytest.raises(ShopUnavailable):
        write(double)
    assert written(double) == 2


@pytest.mark.parametrize("write", WRITES)
def test_write_that_is_accepted_and_not_stored_is_an_error(write: Callable[[ShopDouble], object]) -> None:
    """A good answer is not believed until the effect can be read back."""
    double = shop()
    body = b"<?xml version='1.0'?><prestashop><x/></prestashop>"
    double.before = lambda d, m, p, q: d.answer(200, body, "text/xml") if m != "GET" else None
    with pytest.raises(ShopRefused, match="does not show it"):
        write(double)


@pytest.mark.parametrize(
    "before",
    ["", "Call the customer", "line one\r\nline two\r\n", "<b>kept</b> & ]]> too", "trailing space \n\n"],
)
def test_note_keeps_what_is_there(before: str) -> None:
    """To the letter, line ends included; our line comes last."""
    double = shop()
    double.row("orders", 1)["note"] = before
    note(double.shop(), 1, MARK)
    after = double.row("orders", 1)["note"]
    assert after.startswith(before)
    assert after.removeprefix(before).strip("\n") == MARK.line
    assert MARK.line == "QuickBooks SalesReceipt PS-1-100045 https://books.test/app/salesreceipt?txnId=7"


def test_note_holds_a_line_for_each_document_and_replaces_the_same_one() -> None:
    """A sale and its refund stand side by side; a new link of the same document replaces the old line."""
    double = shop()
    note(double.shop(), 1, MARK)
    note(double.shop(), 1, Mark("RefundReceipt", "PS-1-100045R7"))
    note(double.shop(), 1, Mark("SalesReceipt", "PS-1-100045", "https://books.test/other"))
    assert double.row("orders", 1)["note"].split("\n") == [
        "QuickBooks SalesReceipt PS-1-100045 https://books.test/other",
        "QuickBooks RefundReceipt PS-1-100045R7",
    ]


def test_note_that_xml_cannot_carry_is_left_alone() -> None:
    """Writing it back would change what a person wrote."""
    double = shop()
    double.row("orders", 1)["note"] = "odd \x08 note"
    assert note(double.shop(), 1, MARK).outcome == "conflict"
    assert written(double) == 0
    assert message(double.shop(), 1, MARK).outcome == "written"


def test_message_is_private_and_of_the_order() -> None:
    """No customer sees it."""
    double = shop()
    message(double.shop(), 2, MARK)
    assert double.tables["messages"][0] == {"id": 1, "id_order": "2", "message": MARK.line, "private": "1"}


def test_state_goes_through_the_history_and_sends_no_mail() -> None:
    """One history row, no ``sendemail``."""
    double = shop()
    state(double.shop(), 1, 5)
    assert double.row("orders", 1)["current_state"] == 5
    assert [(method, path) for method, path, _ in double.calls if method != "GET"] == [
        ("POST", "order_histories")
    ]
    assert not any("sendemail" in query for _, _, query in double.calls)


def test_state_that_would_invent_a_payment_is_refused() -> None:
    """The first move of an unpaid order into a paid state adds a payment for the rest."""
    double = shop()
    double.row("orders", 1).update(current_state=1, total_paid_real="0.000000")
    assert state(double.shop(), 1, 2).outcome == "conflict"
    assert written(double) == 0
    assert state(double.shop(), 1, 2, may_create_payment=True).outcome == "written"


@pytest.mark.parametrize(("order", "target"), [(99, 5), (1, 99)])
def test_unknown_order_or_state_is_refused_before_it_is_sent(order: int, target: int) -> None:
    """The shop would answer with an empty 500, which cannot be told from an outage."""
    double = shop()
    with pytest.raises(ShopRefused):
        state(double.shop(), order, target)
    assert written(double) == 0


def test_stock_that_moved_meanwhile_is_not_overwritten() -> None:
    """Quantities are absolute; a sale between reading and writing would be lost."""
    double = shop()
    assert stock(double.shop(), 1, 7, expected=8).outcome == "conflict"
    assert double.row("stock_availables", 1)["quantity"] == 9
    assert stock(double.shop(), 1, 7, expected=9).outcome == "written"
    assert double.row("stock_availables", 1)["quantity"] == "7"


def test_body_holds_nothing_but_what_changes() -> None:
    """A PUT, or more fields, would reset what is left out."""
    double = shop()
    note(double.shop(), 1, MARK)
    body = next(
        body for (method, _, _), body in zip(double.calls, double.bodies, strict=True) if method == "PATCH"
    )
    assert body.count(b"<id>1</id>") == 1
    assert b"<total" not in body
    assert b"xlink" not in body
