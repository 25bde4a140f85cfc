"""Customer cards follow the shop, field by field, and leave alone what a person wrote."""

from __future__ import annotations

from typing import Any

from ps_qb_pipeline.accounting.documents import Customer
from ps_qb_pipeline_tests.faults.books import Row
from ps_qb_pipeline_tests.faults.shop import customer, sale
from ps_qb_pipeline_tests.posting.bench import Bench


def card_of(bench: Bench) -> Row:
    (row,) = bench.company.table("Customer").values()
    return row


def posted(bench: Bench, card: Customer) -> Any:
    return bench.post(sale(1), customers=[card])


def test_what_changes_in_the_shop_changes_the_card_once() -> None:
    """A new name and address reach the card; the next call has nothing to do."""
    bench = Bench()
    posted(bench, customer())
    moved = customer(display_name="Ada King", email="ada@king.example")
    assert posted(bench, moved).cards == [moved.key]
    assert card_of(bench)["DisplayName"] == "Ada King"
    assert card_of(bench)["PrimaryEmailAddr"] == {"Address": "ada@king.example"}
    version = card_of(bench)["SyncToken"]
    assert posted(bench, moved).cards == []
    assert card_of(bench)["SyncToken"] == version


def test_what_a_person_wrote_on_the_card_stays() -> None:
    """Only the field that nobody touched in the books follows."""
    bench = Bench()
    posted(bench, customer())
    bench.company.edit("Customer", card_of(bench)["Id"], DisplayName="Countess Lovelace")
    posted(bench, customer(display_name="Ada King", email="ada@king.example"))
    assert card_of(bench)["DisplayName"] == "Countess Lovelace"
    assert card_of(bench)["PrimaryEmailAddr"] == {"Address": "ada@king.example"}
    posted(bench, customer(display_name="Ada Gordon", email="ada@king.example"))
    assert card_of(bench)["DisplayName"] == "Countess Lovelace"


def test_a_card_that_was_there_before_is_never_touched() -> None:
    """Found by its e-mail address, it is the company's own."""
    bench = Bench()
    found = {
        "DisplayName": "Ms Byron",
        "PrimaryEmailAddr": {"Address": "ada1@example.org"},
        "CurrencyRef": {"value": "EUR"},
    }
    bench.company.perform("create", "Customer", found, "by hand")
    assert posted(bench, customer()).customers_adopted == 1
    assert posted(bench, customer(display_name="Ada King")).cards == []
    assert card_of(bench)["DisplayName"] == "Ms Byron"


def test_a_lost_answer_is_read_from_the_card() -> None:
    """Nobody knows whether the change arrived; the next call looks, and writes nothing twice."""
    for fault in ("lost_before", "lost_after"):
        bench = Bench()
        posted(bench, customer())
        bench.kinds = {"update"}
        bench.faults = [fault]
        moved = customer(email="ada@king.example")
        assert posted(bench, moved).cards == []
        posted(bench, moved)
        assert card_of(bench)["PrimaryEmailAddr"] == {"Address": "ada@king.example"}
        assert card_of(bench)["SyncToken"] == "1"
