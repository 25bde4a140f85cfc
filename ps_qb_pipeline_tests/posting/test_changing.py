"""Documents in the books follow the shop, and never overwrite a person's money."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ps_qb_pipeline.accounting.documents import Document
from ps_qb_pipeline.posting.changing import merged_note, updated_body
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.posting.rechecking import recheck
from ps_qb_pipeline.state import holds, intents
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline_tests.faults.books import Row
from ps_qb_pipeline_tests.faults.shop import payment, refund, sale
from ps_qb_pipeline_tests.posting.bench import Bench


def only(bench: Bench, entity: str = "SalesReceipt") -> Row:
    (row,) = bench.company.table(entity).values()
    return row


def edited(net: str = "80.00") -> Document:
    return replace(sale(1, net), revision=1, key="1|sale|1|1")


def test_an_edited_order_updates_its_document() -> None:
    """The same document gets the new amounts; the old intent is superseded and nothing is created."""
    bench = Bench()
    bench.post(sale(1))
    result = bench.post(edited())
    assert result.updated == ["1|sale|1|1"]
    assert only(bench)["TotalAmt"] == Decimal("96.00")
    assert bench.intent("1|sale|1|0").state == intents.SUPERSEDED
    assert bench.post(edited()).present == ["1|sale|1|1"]
    assert only(bench)["SyncToken"] == "1"


def test_an_update_keeps_what_people_added() -> None:
    """Memo, class and a person's words in the private note survive a full update."""
    bench = Bench()
    bench.post(sale(1))
    row = only(bench)
    note = f"Paid in cash at the fair. {row['PrivateNote']}"
    bench.company.edit("SalesReceipt", row["Id"], PrivateNote=note, CustomerMemo={"value": "Thanks"})
    assert bench.post(edited()).updated == ["1|sale|1|1"]
    after = only(bench)
    assert after["CustomerMemo"] == {"value": "Thanks"}
    assert after["PrivateNote"].startswith("Paid in cash at the fair. ps:{")
    assert "rev:1" in after["PrivateNote"]


def test_a_persons_money_is_never_overwritten() -> None:
    """When both sides changed, the document is held as a conflict and the books stay as the person left them."""
    bench = Bench()
    bench.post(sale(1))
    line = {**only(bench)["Line"][0], "Amount": Decimal("70.00")}
    bench.company.edit("SalesReceipt", only(bench)["Id"], Line=[line])
    before = dict(only(bench))
    result = bench.post(edited())
    assert result.held["1|sale|1|1"].code == "EDIT_CONFLICT"
    assert only(bench) == before
    with reading(bench.store) as tx:
        assert [hold.code for hold in holds.of(tx, "boutique")] == ["EDIT_CONFLICT"]


@pytest.mark.parametrize("fault", ["lost_after", "lost_before", "late_commit"])
@pytest.mark.parametrize("honoured", [True, False])
def test_a_lost_update_is_found_or_sent_again_and_applied_once(fault: str, honoured: bool) -> None:
    """Whatever becomes of the answer, the document is updated exactly once."""
    bench = Bench(honour_requestid=honoured)
    bench.post(sale(1))
    bench.kinds = {"update"}
    bench.faults = [fault]
    bench.post(edited())
    bench.settle()
    bench.post(edited())
    assert only(bench)["TotalAmt"] == Decimal("96.00")
    assert only(bench)["SyncToken"] == "1"
    assert bench.intent("1|sale|1|1").state == intents.CONFIRMED


def test_a_touch_without_money_makes_an_update_read_again() -> None:
    """A person's memo between our reading and our writing costs one more try, nothing else."""
    bench = Bench()
    bench.post(sale(1))
    bench.kinds = {"update"}
    writes = iter([True])

    def weather(kind: str) -> str:
        if kind == "update" and next(writes, False):
            bench.company.edit("SalesReceipt", only(bench)["Id"], CustomerMemo={"value": "Hello"})
        return "ok"

    bench.books.weather = weather
    assert bench.post(edited()).updated == ["1|sale|1|1"]
    assert only(bench)["CustomerMemo"] == {"value": "Hello"}
    assert only(bench)["TotalAmt"] == Decimal("96.00")


def test_money_changed_by_a_person_between_reading_and_writing_is_a_conflict() -> None:
    """The stale token stops us; what stands there then is the person's."""
    bench = Bench()
    bench.post(sale(1))
    line = {**only(bench)["Line"][0], "Amount": Decimal("70.00")}
    writes = iter([True])

    def weather(kind: str) -> str:
        if kind == "update" and next(writes, False):
            bench.company.edit("SalesReceipt", only(bench)["Id"], Line=[line])
        return "ok"

    bench.books.weather = weather
    assert bench.post(edited()).rejected == ["1|sale|1|1"]
    assert only(bench)["Line"][0]["Amount"] == Decimal("70.00")
    assert bench.intent("1|sale|1|1").cause == "EDIT_CONFLICT"


@pytest.mark.parametrize("how", ["deleted", "voided"])
def test_what_a_person_removed_is_not_written_again(how: str) -> None:
    """A deleted or voided document is gone, also when the order changes."""
    bench = Bench()
    bench.post(sale(1))
    if how == "deleted":
        bench.company.delete("SalesReceipt", only(bench)["Id"])
    else:
        bench.company._void("SalesReceipt", {"Id": only(bench)["Id"], "SyncToken": "0"})
    assert bench.post(edited()).gone == ["1|sale|1|1"]
    assert bench.post(edited()).gone == ["1|sale|1|1"]
    assert bench.numbers() == []


def test_an_order_edited_back_before_its_update_went_out_needs_none() -> None:
    """A change that was never sent is dropped when the order is again as the books have it."""
    bench = Bench()
    bench.post(sale(1))
    bench.kinds = {"update"}
    bench.faults = ["not_sent"]
    bench.post(edited())
    bench.world.pass_time(10)
    assert bench.post(sale(1)).present == ["1|sale|1|0"]
    assert bench.intent("1|sale|1|1").state == intents.DROPPED


def test_two_edits_follow_each_other() -> None:
    """Each edit is a revision of its own; the last one stands."""
    bench = Bench()
    bench.post(sale(1))
    for revision, net in enumerate(("80.00", "60.00", "100.00"), start=1):
        document = replace(sale(1, net), revision=revision, key=f"1|sale|1|{revision}")
        assert bench.post(document).updated == [document.key]
    assert only(bench)["TotalAmt"] == Decimal("120.00")
    assert only(bench)["SyncToken"] == "3"


def test_a_cancelled_order_voids_its_invoice() -> None:
    """The document keeps its number with zero amounts, and is never created again."""
    bench = Bench()
    bench.post(sale(1, type="Invoice"))
    result = bench.post(voids=["1|sale|1|0"])
    assert result.voided == ["1|sale|1|1"]
    assert only(bench, "Invoice")["TotalAmt"] == 0
    assert bench.intent("1|sale|1|0").state == intents.VOIDED
    assert bench.post(voids=["1|sale|1|0"]).voided == []
    assert bench.post(sale(1, type="Invoice")).gone == ["1|sale|1|0"]


@pytest.mark.parametrize("fault", ["lost_after", "lost_before", "late_commit"])
def test_a_lost_void_is_found_or_sent_again(fault: str) -> None:
    """A void whose answer was lost ends as one void."""
    bench = Bench(honour_requestid=False)
    bench.post(sale(1))
    bench.kinds = {"void"}
    bench.faults = [fault]
    bench.post(voids=["1|sale|1|0"])
    bench.settle()
    bench.post(voids=["1|sale|1|0"])
    assert bench.intent("1|sale|1|0").state == intents.VOIDED
    assert only(bench)["SyncToken"] == "1"


def test_a_document_with_payments_on_it_is_not_voided() -> None:
    """What hangs on it must go first; until then it stays and says why."""
    bench = Bench()
    invoice = sale(1, type="Invoice")
    bench.post(invoice, payment(7, invoice))
    result = bench.post(voids=[invoice.key])
    assert result.held[invoice.key].code == "VOID_BLOCKED"
    assert only(bench, "Invoice")["TotalAmt"] == Decimal("120.00")


def test_a_closed_period_refuses_an_update_for_a_person() -> None:
    """Nothing dated in a closed period is written; the refusal is a dead letter of its own cause."""
    bench = Bench()
    bench.post(sale(1))
    bench.company.close_date = "2026-03-31"
    assert bench.post(edited()).rejected == ["1|sale|1|1"]
    assert bench.intent("1|sale|1|1").cause == "PERIOD_CLOSED"
    assert only(bench)["TotalAmt"] == Decimal("120.00")


def test_the_refund_guard_counts_the_newest_amount_of_an_updated_sale() -> None:
    """After an order shrank, its refunds are measured against what it is now."""
    bench = Bench()
    bench.post(sale(1))
    bench.post(edited("50.00"))
    result = bench.post(edited("50.00"), refund(1, sale(1), "60.00"))
    assert result.held["1|refund|1|0"].code == "REFUND_EXCEEDS_PAID"


def test_another_type_is_never_forced_onto_a_document() -> None:
    """A receipt that should now be an invoice is a person's matter."""
    bench = Bench()
    bench.post(sale(1))
    document = replace(sale(1, type="Invoice"), revision=1, key="1|sale|1|1")
    assert bench.post(document, pace=Pace()).held[document.key].code == "EDIT_CONFLICT"
    assert bench.numbers() == ["PS1-1"]


NOTES: list[tuple[str, str, str]] = [
    ("", "ps:{o:1,rev:1}", "ps:{o:1,rev:1}"),
    ("Hand-written", "ps:{o:1,rev:1}", "Hand-written\nps:{o:1,rev:1}"),
    ("A ps:{o:1,rev:0} B", "ps:{o:1,rev:1}", "A ps:{o:1,rev:1} B"),
    ("Words", "", "Words"),
]


@pytest.mark.parametrize(("stored", "ours", "merged"), NOTES)
def test_notes_keep_peoples_words(stored: str, ours: str, merged: str) -> None:
    """Our machine line is replaced where it stands, or added; everything else stays."""
    assert merged_note(stored, ours) == merged


def test_an_update_body_has_no_read_only_fields_and_only_our_money() -> None:
    """Balances and links' metadata are left out; tax that the document no longer has is dropped."""
    row: dict[str, Any] = {
        "Id": "7",
        "SyncToken": "4",
        "Balance": 5,
        "TxnTaxDetail": {"TotalTax": 3},
        "ClassRef": {"value": "9"},
        "Line": [{"Id": "1"}],
    }
    body = updated_body(row, b'{"Line":[{"Amount":10.50}],"PrivateNote":"ps:{o:1}"}')
    expected = (
        b'{"ClassRef":{"value":"9"},"Id":"7","Line":[{"Amount":10.50}],'
        b'"PrivateNote":"ps:{o:1}","SyncToken":"4"}'
    )
    assert body == expected


def test_a_refused_update_of_what_a_person_removed_afterwards_is_no_creation() -> None:
    """The document is gone; the update that is left over neither creates it nor stops the others."""
    bench = Bench()
    bench.post(sale(1))
    bench.company.close_date = "2026-03-31"
    assert bench.post(edited()).rejected == ["1|sale|1|1"]
    bench.company.close_date = ""
    bench.company.delete("SalesReceipt", only(bench)["Id"])
    recheck(bench.store, "boutique", books=bench.books, run_id="night", clock=bench.clock)
    result = bench.post(edited(), sale(2))
    assert (result.gone, result.created) == (["1|sale|1|1"], ["1|sale|2|0"])
