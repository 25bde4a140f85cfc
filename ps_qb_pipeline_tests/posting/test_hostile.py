"""Situations that were thought up to make the protocol write twice, write nothing, or believe what is not so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from ps_qb_pipeline.posting import echo, plan
from ps_qb_pipeline.posting.dead_letters import collect, replay
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.quickbooks.texts import canonical
from ps_qb_pipeline.state import intents
from ps_qb_pipeline_tests.faults.books import Row, refusal
from ps_qb_pipeline_tests.faults.clock import SimClock
from ps_qb_pipeline_tests.faults.shop import payment, sale
from ps_qb_pipeline_tests.posting.bench import Bench


class Killed(BaseException):
    """The process ends here."""


def at(point: str, act: Callable[[], None]) -> Callable[[str], None]:
    """Do something once when the process reaches this point."""
    acts = [act]

    def step(name: str) -> None:
        if name == point and acts:
            acts.pop()()

    return step


def die() -> None:
    raise Killed


def only(bench: Bench, entity: str = "SalesReceipt") -> Row:
    (row,) = bench.company.table(entity).values()
    return row


def lost(bench: Bench, fault: str = "lost_after") -> None:
    """The receipt of order 1 is sent, and its process dies with the answer; it may be in the books."""
    bench.post()
    bench.kinds = {"create"}
    bench.faults = [fault]
    with pytest.raises(Killed):
        bench.post(sale(1), step=at("answer.lost", die))
    assert bench.intent("1|sale|1|0").state == intents.SENT


# -- time --------------------------------------------------------------------------------------


def test_the_window_counts_from_when_the_bytes_left_and_not_from_their_record() -> None:
    """Recorded, then kept waiting by the rate limit, sent, killed; QuickBooks commits late and its index lags."""
    bench = Bench(honour_requestid=False, enforce_numbers=False, query_lag=60.0, cdc_lag=60.0)
    bench.post()
    bench.world.pass_time(100)
    bench.kinds = {"create"}
    bench.faults = ["late_commit"]
    waited = at("before.send", lambda: bench.world.pass_time(145))
    killed = at("answer.lost", die)

    def step(name: str) -> None:
        waited(name)
        killed(name)

    with pytest.raises(Killed):
        bench.post(sale(1), step=step)
    # As late as QuickBooks' own limit of 120 seconds allows.
    bench.company.late = [(bench.world.seconds + 118, commit) for _, commit in bench.company.late]
    for _ in range(12):
        bench.world.pass_time(40)
        bench.post(sale(1), pace=Pace(query_lag=60.0))
    assert bench.company.duplicates == []
    assert bench.numbers() == ["PS1-1"]
    assert bench.intent("1|sale|1|0").state == intents.CONFIRMED


def test_who_waits_to_send_while_another_takes_over_sends_nothing() -> None:
    """A second host whose clock is a day ahead thinks that the lease is over: the first one is fenced off."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    bench.post()
    ahead = SimClock(bench.world)
    ahead.skew, ahead.boot = 86400.0, "another host"

    def other() -> None:
        bench.post(sale(1), clock=ahead, alone=False, owner="other")

    first = bench.post(sale(1), alone=False, step=at("before.send", other))
    assert first.created == []
    assert bench.numbers() == []
    for _ in range(2):
        bench.settle()
        bench.post(sale(1))
    assert (bench.numbers(), bench.company.duplicates) == (["PS1-1"], [])


def test_a_sender_whose_clock_ran_a_day_ahead_is_found_in_the_change_feed() -> None:
    """A person gave the document another number; the feed is asked far enough back to see its key."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    bench.post()
    bench.kinds = {"create"}
    bench.faults = ["lost_after"]
    ahead = SimClock(bench.world)
    ahead.skew = 86400.0
    with pytest.raises(Killed):
        bench.post(sale(1), clock=ahead, step=at("answer.lost", die))
    bench.company.edit("SalesReceipt", only(bench)["Id"], DocNumber="BY-HAND-7")
    bench.settle()
    bench.post(sale(1), clock=ahead)
    assert bench.intent("1|sale|1|0").state == intents.MISMATCH
    assert bench.numbers() == ["BY-HAND-7"]


def test_what_was_lost_longer_ago_than_quickbooks_remembers_waits_for_a_person() -> None:
    """After a month nobody can tell whether a person deleted it: it is not sent again by itself."""
    bench = Bench(honour_requestid=False)
    lost(bench)
    bench.company.delete("SalesReceipt", only(bench)["Id"])
    bench.world.pass_time(timedelta(days=31).total_seconds())
    assert bench.post(sale(1)).with_person == ["1|sale|1|0"]
    assert bench.numbers() == []
    replay(bench.store, "boutique", by="ada", run_id="r", cause="MAYBE_DELETED", clock=bench.clock)
    assert bench.post(sale(1)).created == ["1|sale|1|0"]


# -- people before the look-up -----------------------------------------------------------------


EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "another number": ({"DocNumber": "BY-HAND"}, intents.MISMATCH),
    "another date": ({"TxnDate": "2026-01-31"}, intents.MISMATCH),
    "no machine line": ({"PrivateNote": "Ask Ann"}, intents.COLLISION),
    "words of their own": ({"PrivateNote": "Ask Ann. {note}"}, intents.CONFIRMED),
    "a memo": ({"CustomerMemo": {"value": "Hello"}}, intents.CONFIRMED),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_a_person_edited_before_it_was_looked_up_is_never_made_again(edit: str) -> None:
    """Found by number or by key it is adopted, or a person is asked; one document stands there, theirs."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    lost(bench)
    changes, state = EDITS[edit]
    filled = {
        name: value.replace("{note}", only(bench)["PrivateNote"]) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    bench.company.edit("SalesReceipt", only(bench)["Id"], **filled)
    for _ in range(3):
        bench.settle()
        bench.post(sale(1))
    assert bench.intent("1|sale|1|0").state == state
    assert all(only(bench)[name] == value for name, value in filled.items())


@pytest.mark.parametrize("how", ["voided", "deleted"])
@pytest.mark.parametrize("honoured", [True, False])
def test_what_a_person_removed_before_it_was_looked_up_is_not_made_again(how: str, honoured: bool) -> None:
    """Not even QuickBooks' repeated first answer, which names a document that is gone, is believed."""
    bench = Bench(honour_requestid=honoured, enforce_numbers=False)
    lost(bench)
    row = only(bench)
    if how == "deleted":
        bench.company.delete("SalesReceipt", row["Id"])
    else:
        bench.company._void("SalesReceipt", {"Id": row["Id"], "SyncToken": row["SyncToken"]})
    for _ in range(3):
        bench.settle()
        bench.post(sale(1))
    assert bench.numbers() == []
    assert bench.intent("1|sale|1|0").state in {intents.STUCK, intents.MISMATCH}


# -- odd answers -------------------------------------------------------------------------------


def answering(bench: Bench, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Every batch answer goes through ``change``."""
    batch = bench.books.batch
    bench.books.batch = lambda *told, **more: change(batch(*told, **more))  # type: ignore[method-assign,assignment,return-value]


def test_a_batch_answered_in_another_order_is_read_by_its_ids() -> None:
    """Each intent gets its own document."""
    bench = Bench()
    bench.post()
    answering(bench, lambda answers: dict(reversed(answers.items())))
    assert len(bench.post(*(sale(n) for n in range(1, 6))).created) == 5
    rows = {row["Id"]: row["DocNumber"] for row in bench.company.table("SalesReceipt").values()}
    assert [rows[bench.intent(f"1|sale|{n}|0").qbo_id] for n in range(1, 6)] == [
        f"PS1-{n}" for n in range(1, 6)
    ]


def test_a_batch_whose_answers_are_exchanged_confirms_neither() -> None:
    """The answer to one item holds the other's document: both wait for a person, and nothing is sent again."""
    bench = Bench()
    bench.post()
    answering(bench, lambda answers: {"i0": answers["i1"], "i1": answers["i0"]})
    result = bench.post(sale(1), sale(2))
    assert result.mismatched == ["1|sale|1|0", "1|sale|2|0"]
    bench.settle()
    bench.post(sale(1), sale(2))
    assert bench.numbers() == ["PS1-1", "PS1-2"]


def test_what_a_batch_answer_does_not_mention_or_mentions_unasked_is_looked_up() -> None:
    """The middle one is missing and a stranger is there: the missing one is adopted, the stranger ignored."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    bench.post()

    def odd(answers: dict[str, Any]) -> dict[str, Any]:
        stranger = answers.pop("i1")
        return {**answers, "i77": stranger}

    answering(bench, odd)
    result = bench.post(sale(1), sale(2), sale(3))
    assert (result.created, result.adopted) == (["1|sale|1|0", "1|sale|3|0"], ["1|sale|2|0"])
    assert bench.company.duplicates == []


def test_a_refused_request_id_means_that_the_first_one_arrived() -> None:
    """Code 600 is no refusal of the document: it is looked up and adopted, never a dead letter."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    lost(bench, "lost_before")
    perform = bench.company.perform

    def used(operation: str, entity: str, body: Row, requestid: str) -> Row:
        perform(operation, entity, body, requestid)
        raise refusal("600", "Duplicate Request ID")

    bench.company.perform = used  # type: ignore[method-assign]
    bench.settle()
    bench.post(sale(1))
    bench.company.perform = perform  # type: ignore[method-assign]
    bench.settle()
    bench.post(sale(1))
    assert bench.intent("1|sale|1|0").state == intents.CONFIRMED
    assert (bench.numbers(), collect(bench.store, "boutique")) == (["PS1-1"], [])


def test_a_remembered_refusal_does_not_hold_a_number_for_ever() -> None:
    """QuickBooks repeats to the old request id that the number is taken; after the replay it gets another."""
    bench = Bench()
    bench.post()
    bench.company.perform("create", "SalesReceipt", {"DocNumber": "PS1-1", "Line": []}, "by hand")
    perform, refused = bench.company.perform, set()

    def remembering(operation: str, entity: str, body: Row, requestid: str) -> Row:
        if requestid in refused:
            raise refusal("6140", "Duplicate Document Number Error")
        try:
            return perform(operation, entity, body, requestid)
        except Exception:
            refused.add(requestid)
            raise

    bench.company.perform = remembering  # type: ignore[method-assign]
    assert bench.post(sale(1)).with_person == ["1|sale|1|0"]
    bench.company.edit("SalesReceipt", only(bench)["Id"], DocNumber="BY-HAND")
    replay(bench.store, "boutique", by="ada", run_id="r", cause="NUMBER_TAKEN", clock=bench.clock)
    bench.settle()
    assert bench.post(sale(1)).created == ["1|sale|1|0"]
    assert bench.numbers() == ["BY-HAND", "PS1-1"]


def test_an_answer_that_names_an_object_without_its_content_is_no_success() -> None:
    """A reply with an id and nothing else does not prove what was stored: it is no confirmation."""
    bench = Bench()
    bench.post()
    create = bench.books.create

    def bare(*told: Any, **more: Any) -> Any:
        reply = create(*told, **more)
        reply.body["SalesReceipt"] = {"Id": reply.body["SalesReceipt"]["Id"]}
        return reply

    bench.books.create = bare  # type: ignore[method-assign]
    assert bench.post(sale(1)).mismatched == ["1|sale|1|0"]
    assert bench.numbers() == ["PS1-1"]


# -- two at once -------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["sent.recorded", "before.send", "answered", "outcome.recorded"])
def test_a_replay_in_the_middle_of_a_run_changes_nothing_twice(point: str) -> None:
    """A person replays a cause while a run is at work on the same documents: each is booked once."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    bench.company.close_date = "2026-03-31"
    bench.post(sale(1), sale(2))
    assert len(collect(bench.store, "boutique")[0].letters) == 2
    bench.company.close_date = ""
    again = replay(bench.store, "boutique", by="ada", run_id="r", cause="PERIOD_CLOSED", clock=bench.clock)
    assert len(again.again) == 2

    def replayed() -> None:
        keys = ["1|sale|1|0", "1|sale|2|0"]
        replay(bench.store, "boutique", by="ada", run_id="r2", ids=keys, clock=bench.clock)

    bench.post(sale(1), sale(2), step=at(point, replayed))
    bench.settle()
    assert bench.post(sale(1), sale(2)).confirmed == ["1|sale|1|0", "1|sale|2|0"]
    assert (bench.numbers(), bench.company.duplicates) == (["PS1-1", "PS1-2"], [])


def test_a_payment_that_a_person_redated_after_a_lost_answer_is_found_by_its_key() -> None:
    """Payments are looked up by their day; another day and number leave the key, and the feed shows it."""
    bench = Bench(honour_requestid=False)
    invoice = sale(1, type="Invoice")
    bench.post(invoice)
    bench.kinds = {"create"}
    bench.faults = ["lost_after"]
    with pytest.raises(Killed):
        bench.post(invoice, payment(7, invoice), step=at("answer.lost", die))
    paid = only(bench, "Payment")
    bench.company.edit("Payment", paid["Id"], TxnDate="2026-02-01", PaymentRefNum="7-7")
    for _ in range(3):
        bench.settle()
        bench.post(invoice, payment(7, invoice))
    assert only(bench, "Payment")["PaymentRefNum"] == "7-7"
    assert bench.intent("1|payment|7|0").state == intents.MISMATCH
    said = json.loads(bench.intent("1|payment|7|0").body)
    assert Decimal(str(said["TotalAmt"])) == Decimal(120)


def test_two_workers_with_two_revisions_of_a_new_order_end_without_an_error() -> None:
    """The order was edited while one of them was at it: one begins, the other leaves it to the next call."""
    bench = Bench()
    bench.post()
    edited = replace(sale(1, "80.00"), revision=1, key="1|sale|1|1")
    compare = plan.compare

    def slowly(*told: Any) -> plan.Comparison:
        found = compare(*told)
        monkey.undo()
        bench.post(sale(1), alone=False)
        return found

    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(plan, "compare", slowly)
        bench.post(edited, alone=False)
    assert bench.post(edited).confirmed == ["1|sale|1|1"]
    assert bench.numbers() == ["PS1-1"]
    assert only(bench)["TotalAmt"] == Decimal("96.00")


def test_a_journal_entry_that_was_stored_otherwise_is_no_success() -> None:
    """Number, day, key and the sum of its debits are compared, though QuickBooks gives it no total."""
    body = {
        "DocNumber": "PSF-9",
        "TxnDate": "2026-03-02",
        "Line": [
            {"Amount": Decimal(3), "JournalEntryLineDetail": {"PostingType": side}}
            for side in ("Debit", "Credit")
        ],
    }
    intent = SimpleNamespace(
        operation="create", entity="JournalEntry", amount=Decimal(3), body=canonical(body)
    )
    stored = {**body, "Id": "9", "TotalAmt": 0}
    assert echo.differences(intent, stored) == ()  # type: ignore[arg-type]
    less = [{**body["Line"][0], "Amount": Decimal(2)}, body["Line"][1]]  # type: ignore[dict-item,index]
    for changes in ({"Line": less}, {"DocNumber": "9"}, {"TxnDate": "2026-03-03"}):
        assert len(echo.differences(intent, {**stored, **changes})) == 1  # type: ignore[arg-type]


def test_a_number_is_looked_up_as_quickbooks_cuts_it() -> None:
    """Two long numbers that become one are no two documents with one number: the second waits."""
    bench = Bench()
    long = "PS1-2026-SPRING-SALE-"
    assert len(long) == 21
    twins = [replace(sale(n), doc_number=f"{long}{n}") for n in (1, 2)]
    result = bench.post(*twins)
    assert bench.intent("1|sale|1|0").doc_number == long
    assert result.created == ["1|sale|1|0"]
    assert result.held["1|sale|2|0"].code == "NUMBER_TAKEN"


@pytest.mark.parametrize("entity", ["Customer", "Item"])
@pytest.mark.parametrize("honoured", [True, False])
def test_a_card_that_a_person_renamed_before_it_was_looked_up_is_not_made_again(
    entity: str, honoured: bool
) -> None:
    """It is known by its e-mail address or its SKU, and keeps the person's name."""
    bench = Bench(honour_requestid=honoured)
    bench.kinds = {"create"}
    bench.faults = ["lost_after"] if entity == "Customer" else ["ok", "lost_after"]
    with pytest.raises(Killed):
        bench.post(sale(1), step=at("answer.lost", die))
    name = "DisplayName" if entity == "Customer" else "Name"
    bench.company.edit(entity, only(bench, entity)["Id"], **{name: "By hand"})
    bench.settle()
    assert bench.post(sale(1)).created == ["1|sale|1|0"]
    assert only(bench, entity)[name] == "By hand"
