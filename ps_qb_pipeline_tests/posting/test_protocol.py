"""Posting reaches the books once, whatever becomes of the answers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from ps_qb_pipeline.errors import ReconnectNeeded, SettingsError, StorageError
from ps_qb_pipeline.posting.dead_letters import collect, replay
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.state import intents, leases
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline_tests.faults.shop import customer, item, payment, refund, sale
from ps_qb_pipeline_tests.posting.bench import Bench

PATIENT = Pace(patience=3600.0)


def test_a_day_is_booked_in_waves_and_a_second_run_creates_nothing() -> None:
    """Customers and items, then sales, then payments and refunds; the second run finds all present."""
    bench = Bench()
    invoice = sale(1, type="Invoice")
    documents = [payment(7, invoice), refund(3, sale(2), "40.00"), sale(2), invoice]
    first = bench.post(*documents)
    assert sorted(first.created) == sorted(document.key for document in documents)
    assert (first.customers, first.items, first.stopped) == (1, 1, "")
    writes = bench.company.writes
    second = bench.post(*documents)
    assert second.created == []
    assert sorted(second.present) == sorted(first.created)
    assert bench.company.writes == writes
    linked = next(row for entity, row in bench.company.live("Payment"))["Line"][0]["LinkedTxn"][0]
    assert linked["TxnId"] == bench.intent(invoice.key).qbo_id


def test_nothing_is_sent_while_posting_is_off() -> None:
    """A connection that nobody armed writes nothing and says so."""
    bench = Bench()
    Connections(bench.store, clock=bench.clock).disarm("boutique", by="tester")
    result = bench.post(sale(1))
    assert "posting is off" in result.stopped
    assert bench.company.writes == 0


def test_the_books_of_another_company_are_refused() -> None:
    """A connection's documents never reach another company."""
    bench = Bench()
    bench.books.realm = "999"
    with pytest.raises(SettingsError, match="bound to company 123"):
        bench.post(sale(1))
    assert bench.company.writes == 0


@pytest.mark.parametrize("fault", ["lost_after", "garbled", "server_error_after", "late_commit"])
@pytest.mark.parametrize("honoured", [True, False])
def test_a_write_whose_answer_is_lost_is_adopted_and_never_sent_twice(fault: str, honoured: bool) -> None:
    """The document is in the books once, whether or not request ids are honoured."""
    bench = Bench(honour_requestid=honoured, enforce_numbers=False)
    bench.post()
    bench.faults = [fault]
    first = bench.post(sale(1))
    bench.settle()
    second = bench.post(sale(1))
    assert bench.numbers() == ["PS1-1"]
    assert first.adopted + second.adopted == ["1|sale|1|0"]
    assert bench.intent("1|sale|1|0").attempts == 1


@pytest.mark.parametrize("fault", ["lost_before", "server_error"])
def test_a_write_that_never_arrived_is_sent_again_after_the_window_with_the_same_bytes(fault: str) -> None:
    """Before the settle window has passed nothing is repeated; after it the same request is."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    bench.post()
    bench.faults = [fault]
    assert bench.post(sale(1)).unknown == ["1|sale|1|0"]
    before = bench.intent("1|sale|1|0")
    bench.world.pass_time(200)
    assert bench.post(sale(1)).unknown == ["1|sale|1|0"]
    assert bench.numbers() == []
    bench.world.pass_time(100)
    assert bench.post(sale(1)).created == ["1|sale|1|0"]
    after = bench.intent("1|sale|1|0")
    assert (after.requestid, after.body) == (before.requestid, before.body)
    assert after.attempts == 2
    assert bench.numbers() == ["PS1-1"]


def test_patience_settles_within_one_call() -> None:
    """A call that may wait resolves a lost answer itself and goes on to what depends on it."""
    bench = Bench()
    invoice = sale(1, type="Invoice")
    bench.post()
    bench.faults = ["lost_before"]
    result = bench.post(invoice, payment(7, invoice), pace=PATIENT)
    assert sorted(result.created) == ["1|payment|7|0", "1|sale|1|0"]
    assert result.waited > 295


def test_a_throttled_request_goes_back_and_is_sent_after_the_pause() -> None:
    """429 proves that nothing was written: no settle window, only the pause."""
    bench = Bench()
    bench.post()
    bench.faults = ["throttle"]
    result = bench.post(sale(1), pace=PATIENT)
    assert result.created == ["1|sale|1|0"]
    assert 60 <= result.waited < 300
    assert bench.intent("1|sale|1|0").attempts == 1


def test_an_outage_stops_the_sending_after_some_failures_in_a_row() -> None:
    """When nobody answers, the rest stays planned instead of becoming unknown."""
    bench = Bench()
    bench.post()
    bench.faults = ["lost_before"] * 99
    result = bench.post(*(sale(order) for order in range(1, 10)), pace=Pace(batch=1, lanes=1))
    assert "does not answer" in result.stopped
    assert (len(result.unknown), len(result.planned)) == (3, 6)
    bench.faults = []
    bench.settle()
    assert len(bench.post(*(sale(order) for order in range(1, 10))).created) == 9


def test_a_refused_token_leaves_everything_planned() -> None:
    """ReconnectNeeded reaches the caller, and the documents wait for a person's consent."""
    bench = Bench()
    bench.post()
    bench.faults = ["reconnect"]
    with pytest.raises(ReconnectNeeded):
        bench.post(sale(1))
    assert bench.intent("1|sale|1|0").state == intents.PLANNED
    assert bench.post(sale(1)).created == ["1|sale|1|0"]


def test_a_batch_has_one_outcome_an_item() -> None:
    """What the answer of a batch does not mention is unknown, and it alone is looked up."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    bench.post()
    bench.faults = ["partial"]
    result = bench.post(*(sale(order) for order in range(1, 11)))
    assert (len(result.created), len(result.adopted)) == (5, 5)
    assert len(bench.numbers()) == 10


def test_a_refused_document_does_not_stop_the_others() -> None:
    """A bad reference rejects one document; the rest of its batch is booked."""
    bench = Bench()
    bench.post(items=[item(1), item(2)])
    inactive = next(row for row in bench.company.table("Item").values() if row["Sku"] == "MUG-2")
    bench.company.edit("Item", inactive["Id"], Active=False)
    result = bench.post(sale(1), sale(2, what=2), sale(3), items=[item(1), item(2)])
    assert sorted(result.created) == ["1|sale|1|0", "1|sale|3|0"]
    assert result.rejected == ["1|sale|2|0"]
    refused = bench.intent("1|sale|2|0")
    assert (refused.cause, refused.fault_field) == ("QBO-2500", "ItemRef")


def test_a_corrected_document_is_sent_under_the_same_key_with_another_request_id() -> None:
    """After a refusal the shop's correction goes out; the refused bytes never do."""
    bench = Bench()
    bench.post(items=[item(1), item(2)])
    inactive = next(row for row in bench.company.table("Item").values() if row["Sku"] == "MUG-2")
    bench.company.edit("Item", inactive["Id"], Active=False)
    bench.post(sale(2, what=2), items=[item(1), item(2)])
    before = bench.intent("1|sale|2|0")
    assert bench.post(sale(2, what=2), items=[item(1), item(2)]).rejected == ["1|sale|2|0"]
    assert bench.post(sale(2, what=1)).created == ["1|sale|2|0"]
    assert bench.intent("1|sale|2|0").requestid != before.requestid


def test_what_quickbooks_stored_otherwise_is_held_and_never_posted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A 200 with another total is a mismatch for a person, not a success and not a retry."""
    bench = Bench()
    compute = bench.company._compute

    def recalculated(entity: str, row: dict[str, object]) -> None:
        compute(entity, row)
        row["TotalAmt"] = Decimal(str(row["TotalAmt"])) + Decimal("0.01")

    monkeypatch.setattr(bench.company, "_compute", recalculated)
    assert bench.post(sale(1)).mismatched == ["1|sale|1|0"]
    bench.settle()
    assert bench.post(sale(1)).mismatched == ["1|sale|1|0"]
    assert bench.numbers() == ["PS1-1"]
    assert "total 120.01 instead of 120.00" in bench.intent("1|sale|1|0").fault_message


def test_a_number_taken_by_somebody_else_is_a_collision() -> None:
    """A foreign document with our number is never adopted and never doubled."""
    bench = Bench()
    bench.post()
    ours = next(iter(bench.company.table("Customer")))
    foreign = {"DocNumber": "PS1-1", "TxnDate": "2026-03-01", "CustomerRef": {"value": ours}, "Line": []}
    bench.company._create("SalesReceipt", foreign)
    assert bench.post(sale(1)).with_person == ["1|sale|1|0"]
    assert bench.intent("1|sale|1|0").state == intents.COLLISION


def test_two_documents_of_one_key_are_a_conflict() -> None:
    """When the look-up finds two, a person decides; nothing else is sent."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    bench.post()
    bench.faults = ["lost_after"]
    bench.kinds = {"create", "query", "cdc"}
    bench.faults = ["lost_after", "unavailable"]
    assert bench.post(sale(1)).unknown == ["1|sale|1|0"]
    row = next(iter(bench.company.table("SalesReceipt").values()))
    bench.company._create("SalesReceipt", {k: v for k, v in row.items() if k not in {"Id", "MetaData"}})
    bench.faults = []
    bench.settle()
    bench.post(sale(1))
    assert bench.intent("1|sale|1|0").state == intents.CONFLICT


def test_what_is_never_answered_gets_stuck_for_a_person() -> None:
    """After five sendings without a trace the intent stops and asks."""
    bench = Bench()
    bench.post()
    bench.faults = ["lost_before"] * 9
    for _ in range(6):
        bench.post(sale(1))
        bench.settle()
    stuck = bench.intent("1|sale|1|0")
    assert (stuck.state, stuck.attempts) == (intents.STUCK, 5)


def test_refunds_never_exceed_what_the_order_received() -> None:
    """Two slips that together exceed the sale: the second is not even planned."""
    bench = Bench()
    sold = sale(1)
    result = bench.post(sold, refund(1, sold, "60.00"), refund(2, sold, "60.00"))
    assert sorted(result.created) == ["1|refund|1|0", "1|sale|1|0"]
    assert "24.00 EUR more than was received" in result.waiting["1|refund|2|0"]


def test_a_refund_waits_for_its_sale() -> None:
    """A refund whose sale was refused stays behind with the reason."""
    bench = Bench()
    sold = sale(1, what=9)
    result = bench.post(sold, refund(1, sold, "60.00"), items=[])
    assert set(result.waiting) == {"1|sale|1|0", "1|refund|1|0"}
    assert bench.numbers() == []


def test_a_plan_that_was_never_sent_follows_its_document() -> None:
    """An order edited before its first sending goes out as it is now."""
    bench = Bench()
    bench.post()
    bench.faults = ["not_sent"]
    bench.post(sale(1))
    bench.world.pass_time(10)
    assert bench.post(sale(1, "50.00")).created == ["1|sale|1|0"]
    row = next(row for _, row in bench.company.live())
    assert row["TotalAmt"] == Decimal("60.00")


def test_people_of_one_name_get_cards_of_their_own() -> None:
    """A namesake with another e-mail address is never mixed up with the card that is there."""
    bench = Bench()
    bench.company._create(
        "Customer", {"DisplayName": "Ada Byron 1", "PrimaryEmailAddr": {"Address": "other@example.org"}}
    )
    assert bench.post(sale(1)).created == ["1|sale|1|0"]
    cards = {row["DisplayName"] for row in bench.company.table("Customer").values()}
    assert cards == {"Ada Byron 1", "Ada Byron 1 (PS 1)"}


def test_a_known_person_is_found_by_mail_and_not_created() -> None:
    """A card with the same address and currency is used, whatever its name."""
    bench = Bench()
    bench.company._create(
        "Customer",
        {
            "DisplayName": "Countess Lovelace",
            "PrimaryEmailAddr": {"Address": "ADA1@example.org"},
            "CurrencyRef": {"value": "EUR"},
        },
    )
    result = bench.post(sale(1))
    assert (result.customers, result.customers_adopted) == (0, 1)
    assert len(bench.company.table("Customer")) == 1


def test_two_guests_of_one_address_share_one_card() -> None:
    """PrestaShop makes a customer per guest order; QuickBooks gets the person once."""
    bench = Bench()
    guests = [customer(1, email="g@example.org"), customer(2, email="g@example.org")]
    result = bench.post(sale(1, who=1), sale(2, who=2), customers=guests)
    assert len(result.created) == 2
    assert len(bench.company.table("Customer")) == 1


def test_a_lost_customer_creation_is_adopted() -> None:
    """A card whose answer was lost is found by name and address, and the sale goes on with it."""
    bench = Bench(honour_requestid=False)
    bench.faults = ["lost_after"]
    assert bench.post(sale(1)).created == ["1|sale|1|0"]
    assert len(bench.company.table("Customer")) == 1


def test_other_words_alone_change_nothing_in_the_books() -> None:
    """A document whose texts differ and whose money does not is present; nothing is written."""
    bench = Bench()
    bench.post(sale(1))
    writes = bench.company.writes
    assert bench.post(replace(sale(1), memo="other words")).present == ["1|sale|1|0"]
    assert bench.company.writes == writes


def test_every_move_of_an_intent_is_recorded() -> None:
    """The history of an intent shows each state with its request id."""
    bench = Bench()
    bench.post()
    bench.faults = ["lost_before"]
    bench.post(sale(1), pace=PATIENT)
    with reading(bench.store) as tx:
        path = [event["to_state"] for event in intents.events(tx, "123", "1|sale|1|0")]
    assert path == ["PLANNED", "SENT", "UNKNOWN", "SENT", "CONFIRMED"]


def test_what_a_person_may_have_deleted_is_not_sent_again_by_itself() -> None:
    """The answer was lost and an unknown document was deleted meanwhile: a person says whether it was this."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    bench.post()
    bench.kinds = {"create", "query"}
    bench.faults = ["lost_after", "unavailable"]
    assert bench.post(sale(1)).unknown == ["1|sale|1|0"]
    bench.company.delete("SalesReceipt", next(iter(bench.company.table("SalesReceipt"))))
    bench.faults = []
    bench.settle()
    assert bench.post(sale(1)).with_person == ["1|sale|1|0"]
    assert bench.numbers() == []
    replay(bench.store, "boutique", by="ada", run_id="r", cause="MAYBE_DELETED", clock=bench.clock)
    assert bench.post(sale(1)).created == ["1|sale|1|0"]


def test_a_deletion_of_a_known_document_puts_nothing_in_doubt() -> None:
    """Only a deletion that could be the lost document stops its second sending."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    bench.post(sale(2))
    bench.faults = ["lost_before"]
    bench.post(sale(1))
    bench.company.delete("SalesReceipt", bench.intent("1|sale|2|0").qbo_id)
    bench.settle()
    assert bench.post(sale(1)).created == ["1|sale|1|0"]


def test_of_two_pipelines_at_once_one_posts_and_the_other_yields() -> None:
    """While another process holds the company nothing is sent, nothing is recorded and nobody is needed."""
    bench = Bench()
    bench.post()
    with leases.held(bench.store, "posting|123", owner="other", seconds=150, clock=bench.clock):
        result = bench.post(sale(1))
        assert "another process" in result.stopped
        assert bench.numbers() == []
    assert bench.post(sale(1)).created == ["1|sale|1|0"]


def test_a_run_that_lost_its_lease_sends_nothing_more() -> None:
    """A worker that slept over the end of its lease finds out before the next request leaves."""
    bench = Bench()
    bench.post()

    def asleep(name: str) -> None:
        if name == "sent.recorded":
            bench.world.pass_time(151)

    assert bench.post(sale(1), step=asleep).planned == ["1|sale|1|0"]
    assert bench.numbers() == []
    assert bench.post(sale(1)).created == ["1|sale|1|0"]


def test_nothing_is_sent_that_cannot_be_recorded() -> None:
    """When the disk is full at the record of the sending, the request does not leave."""
    bench = Bench()
    bench.post()

    def full(tx: object, *_: object, **__: object) -> None:
        raise StorageError("database or disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intents, "claim_many", full)
        with pytest.raises(StorageError):
            bench.post(sale(1))
    assert bench.numbers() == []
    assert [kind for kind, _, _ in bench.books.calls].count("create") == 2


def test_a_restored_control_plane_finds_again_what_the_books_hold() -> None:
    """Documents that were posted after the backup are adopted, although QuickBooks has forgotten their request ids."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    bench.post(sale(1), sale(2))
    older = Bench()
    older.company, older.books = bench.company, bench.books
    older.world, older.clock = bench.world, bench.clock
    again = older.post(sale(1), sale(2), sale(3), there={"1|sale|1|0", "1|sale|2|0"})
    assert sorted(again.adopted) == ["1|sale|1|0", "1|sale|2|0"]
    assert again.created == ["1|sale|3|0"]
    assert bench.numbers() == ["PS1-1", "PS1-2", "PS1-3"]


def test_two_documents_with_one_number_hold_up_nobody_else() -> None:
    """The first has the number, the second waits for a person, and the others are booked."""
    bench = Bench()
    twin = replace(sale(2), doc_number="PS1-1")
    result = bench.post(sale(1), twin, sale(3))
    assert result.created == ["1|sale|1|0", "1|sale|3|0"]
    assert result.held[twin.key].code == "NUMBER_TAKEN"
    assert bench.post(sale(1), twin, sale(3)).held[twin.key].code == "NUMBER_TAKEN"
    assert bench.post(sale(1), sale(2), sale(3)).created == ["1|sale|2|0"]


def test_an_order_that_is_cancelled_before_it_was_sent_is_not_sent_until_it_is_one_again() -> None:
    """Its plan is dropped and waits for nobody; when the shop restores the order it is booked once."""
    bench = Bench()
    bench.post()
    bench.faults = ["throttle"]
    assert bench.post(sale(1)).planned == ["1|sale|1|0"]
    bench.world.pass_time(70)
    bench.post(voids=["1|sale|1|0"])
    assert bench.intent("1|sale|1|0").state == intents.DROPPED
    assert bench.numbers() == []
    assert bench.post(sale(1)).created == ["1|sale|1|0"]
    assert bench.numbers() == ["PS1-1"]


def test_a_refused_document_of_a_cancelled_order_is_no_dead_letter_any_more() -> None:
    """Nothing of it is in the books and nobody wants it there."""
    bench = Bench()
    bench.company.close_date = "2026-03-31"
    assert bench.post(sale(1)).rejected == ["1|sale|1|0"]
    bench.post(voids=["1|sale|1|0"])
    assert collect(bench.store, "boutique") == []
