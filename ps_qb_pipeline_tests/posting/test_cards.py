"""Customer cards follow the shop, field by field, and leave alone what a person wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ps_qb_pipeline.accounting.documents import Customer
from ps_qb_pipeline.posting.dead_letters import collect
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.audit import AuditEntry, entries, verify
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline_tests.faults.books import Row
from ps_qb_pipeline_tests.faults.shop import customer, sale
from ps_qb_pipeline_tests.posting.bench import Bench
from ps_qb_pipeline_tests.posting.test_undo import take_back


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


class Killed(BaseException):
    """The process ends here."""


def killed_at(name: str) -> Callable[[str], None]:
    """Ends the process at this point of the update of a card."""
    reached: list[str] = []

    def step(here: str) -> None:
        reached.append(here)
        if here == name and "cards.planned" in reached:
            raise Killed

    return step


def audited(bench: Bench, key: str) -> list[AuditEntry]:
    with reading(bench.store) as tx:
        assert verify(tx).good
        return [entry for _, entry in entries(tx, subject=f"Customer|{key}")]


@pytest.mark.parametrize("fault", ["lost_before", "lost_after", "late_commit", "throttle"])
@pytest.mark.parametrize("honoured", [True, False])
def test_a_lost_answer_ends_as_one_update(fault: str, honoured: bool) -> None:
    """Nobody knows whether the change arrived; it is read back, and written once whatever became of it."""
    bench = Bench(honour_requestid=honoured)
    posted(bench, customer())
    bench.kinds = {"update"}
    bench.faults = [fault]
    moved = customer(email="ada@king.example")
    posted(bench, moved)
    bench.settle()
    posted(bench, moved)
    assert card_of(bench)["PrimaryEmailAddr"] == {"Address": "ada@king.example"}
    assert card_of(bench)["SyncToken"] == "1"
    assert bench.intent("Customer|c:1:EUR|1").state == intents.CONFIRMED
    assert bench.intent("Customer|c:1:EUR|0").state == intents.SUPERSEDED
    (entry,) = audited(bench, "Customer|c:1:EUR|1")
    assert entry.action.startswith("update ")
    assert "king" not in f"{entry.before}{entry.after}{entry.reason}"


@pytest.mark.parametrize("point", ["cards.planned", "sent.recorded", "before.send", "answered"])
def test_a_process_that_dies_on_the_way_updates_the_card_once(point: str) -> None:
    """Before the record, after it, and after the answer: the next call ends it, with one row in the audit."""
    bench = Bench(honour_requestid=False)
    posted(bench, customer())
    moved = customer(display_name="Ada King")
    with pytest.raises(Killed):
        bench.post(sale(1), customers=[moved], step=killed_at(point))
    bench.settle()
    posted(bench, moved)
    assert (card_of(bench)["DisplayName"], card_of(bench)["SyncToken"]) == ("Ada King", "1")
    assert len(audited(bench, "Customer|c:1:EUR|1")) == 1
    assert posted(bench, moved).cards == []


def test_a_person_who_writes_between_our_reading_and_our_writing_loses_nothing() -> None:
    """The card's version has moved on, so it is read again: their field stays, ours goes through."""
    bench = Bench()
    posted(bench, customer())
    writes = iter([True])

    def weather(kind: str) -> str:
        if kind == "update" and next(writes, False):
            bench.company.edit("Customer", card_of(bench)["Id"], DisplayName="Countess Lovelace")
        return "ok"

    bench.books.weather = weather
    moved = customer(display_name="Ada King", email="ada@king.example")
    assert posted(bench, moved).cards == [moved.key]
    assert card_of(bench)["DisplayName"] == "Countess Lovelace"
    assert card_of(bench)["PrimaryEmailAddr"] == {"Address": "ada@king.example"}


def test_a_name_that_is_taken_holds_up_nothing_else() -> None:
    """The card keeps its name and gets the rest; the shop's word is remembered, so that nothing repeats."""
    bench = Bench()
    posted(bench, customer())
    bench.company.perform("create", "Customer", {"DisplayName": "Ada King"}, "by hand")
    moved = customer(display_name="Ada King", email="ada@king.example")
    assert posted(bench, moved).cards == [moved.key]
    card = bench.company.table("Customer")[bench.intent("Customer|c:1:EUR|1").qbo_id]
    assert card["DisplayName"] == "Ada Byron 1"
    assert card["PrimaryEmailAddr"] == {"Address": "ada@king.example"}
    writes = bench.company.writes
    assert posted(bench, moved).cards == []
    assert bench.company.writes == writes


def test_a_refused_card_is_a_dead_letter_until_the_shop_corrects_it() -> None:
    """An address that QuickBooks does not take waits for a person; the documents of the customer go on."""
    bench = Bench()
    posted(bench, customer())
    assert bench.post(sale(2), customers=[customer(email="no address")]).created == ["1|sale|2|0"]
    (cause,) = collect(bench.store, "boutique")
    assert (cause.code, cause.letters[0].id) == ("QBO-2210", "Customer|c:1:EUR|1")
    requests = len(bench.books.calls)
    bench.post(sale(2), customers=[customer(email="no address")])
    assert len(bench.books.calls) == requests
    posted(bench, customer(email="ada@king.example"))
    assert card_of(bench)["PrimaryEmailAddr"] == {"Address": "ada@king.example"}
    assert collect(bench.store, "boutique") == []


def test_a_change_that_the_shop_takes_back_is_not_sent() -> None:
    """Planned and never sent, it is dropped when the card says already what the shop says."""
    bench = Bench()
    posted(bench, customer())
    bench.kinds = {"update"}
    bench.faults = ["not_sent"]
    posted(bench, customer(display_name="Ada King"))
    assert posted(bench, customer()).cards == []
    assert bench.intent("Customer|c:1:EUR|1").state == intents.DROPPED
    assert card_of(bench)["SyncToken"] == "0"


def test_a_card_that_an_undo_deactivated_comes_back_with_the_next_order() -> None:
    """Its name is taken, so the card itself is made active again, and is deactivated by an undo of that run too."""
    bench = Bench()
    posted(bench, customer())
    take_back(bench, "run-1")
    assert card_of(bench)["Active"] is False
    back = bench.post(sale(2))
    assert back.created == ["1|sale|2|0"]
    assert card_of(bench)["Active"] is True
    done = take_back(bench, f"run-{bench.runs}")
    assert done.voided == ["1|sale|2|0"]
    assert len(done.deactivated) == 2
    assert card_of(bench)["Active"] is False
