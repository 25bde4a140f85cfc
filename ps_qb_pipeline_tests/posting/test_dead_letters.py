"""What needs a person is grouped, explained and replayed under its own key."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.posting.dead_letters import accept, collect, replay, summary
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.audit import entries, verify
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline_tests.faults.shop import customer, item, refund, sale
from ps_qb_pipeline_tests.posting.bench import Bench


def deactivated(bench: Bench) -> str:
    """Post with two items, then let a person deactivate the second."""
    bench.post(items=[item(1), item(2)])
    row = next(row for row in bench.company.table("Item").values() if row["Sku"] == "MUG-2")
    bench.company.edit("Item", row["Id"], Active=False)
    return str(row["Id"])


def test_letters_are_grouped_by_cause_with_money_and_a_way_out() -> None:
    """Three documents, two causes: counts, sums, plain words and a fix."""
    bench = Bench()
    deactivated(bench)
    sold = sale(1)
    bench.post(sold, sale(2, what=2), sale(3, what=2), refund(1, sold, "200.00"), items=[item(1), item(2)])
    causes = collect(bench.store, "boutique")
    assert [(cause.code, len(cause.letters)) for cause in causes] == [
        ("QBO-2500", 2),
        ("REFUND_EXCEEDS_PAID", 1),
    ]
    assert causes[0].amounts == {"EUR": Decimal("240.00")}
    assert "active" in causes[0].fix
    assert causes[0].letters[0].field == "ItemRef"
    assert summary(causes) == "2 causes, 3 documents, 480.00 EUR"


def test_a_replay_keeps_the_key_and_changes_the_request_id() -> None:
    """After the person's repair the same document is booked once, under its old key."""
    bench = Bench()
    item_id = deactivated(bench)
    bench.post(sale(2, what=2), items=[item(1), item(2)])
    refused = bench.intent("1|sale|2|0")
    bench.company.edit("Item", item_id, Active=True)
    done = replay(bench.store, "boutique", by="ada", run_id="replay-1", cause="QBO-2500", clock=bench.clock)
    assert done.again == ["1|sale|2|0"]
    assert bench.post(sale(2, what=2), items=[item(1), item(2)]).created == ["1|sale|2|0"]
    after = bench.intent("1|sale|2|0")
    assert after.requestid != refused.requestid
    assert after.body == refused.body
    assert collect(bench.store, "boutique") == []


def test_a_replay_by_id_takes_that_record_alone_and_says_what_it_does_not_know() -> None:
    """Only the named record goes again; an unknown id is reported."""
    bench = Bench()
    deactivated(bench)
    bench.post(sale(2, what=2), sale(3, what=2), items=[item(1), item(2)])
    done = replay(bench.store, "boutique", by="ada", run_id="r", ids=["1|sale|2|0", "1|sale|9|0"])
    assert done.again == ["1|sale|2|0"]
    assert list(done.left) == ["1|sale|9|0"]
    assert bench.intent("1|sale|3|0").state == intents.REJECTED


def test_a_stuck_document_is_looked_up_before_it_goes_again() -> None:
    """Replaying what never answered adopts it when it is there after all."""
    bench = Bench(honour_requestid=False, enforce_numbers=False)
    bench.post()
    bench.faults = ["lost_before"] * 9
    for _ in range(6):
        bench.post(sale(1))
        bench.settle()
    bench.faults = []
    body = {"DocNumber": "PS1-1", "TotalAmt": Decimal(120)}
    sent = bench.intent("1|sale|1|0")
    bench.company.perform("create", "SalesReceipt", {**json.loads(sent.body), **body}, "late")
    replay(bench.store, "boutique", by="ada", run_id="r", cause="NO_ANSWER", clock=bench.clock)
    assert bench.post(sale(1)).adopted == ["1|sale|1|0"]
    assert bench.numbers() == ["PS1-1"]


def mismatched(bench: Bench) -> None:
    compute = bench.company._compute

    def recalculated(entity: str, row: dict[str, object]) -> None:
        compute(entity, row)
        row["TotalAmt"] = Decimal(str(row["TotalAmt"])) + Decimal("0.01")

    bench.company._compute = recalculated  # type: ignore[method-assign]
    bench.post(sale(1))
    bench.company._compute = compute  # type: ignore[method-assign]


def test_a_mismatch_can_be_accepted_with_a_reason() -> None:
    """A person takes QuickBooks' figure; who and why are in the audit chain."""
    bench = Bench()
    mismatched(bench)
    with pytest.raises(SettingsError, match="reason"):
        accept(bench.store, "boutique", "1|sale|1|0", by="ada", reason=" ", run_id="r", books=bench.books)
    accept(
        bench.store,
        "boutique",
        "1|sale|1|0",
        by="ada",
        reason="one cent of tax",
        run_id="r",
        books=bench.books,
    )
    assert bench.intent("1|sale|1|0").state == intents.CONFIRMED
    with reading(bench.store) as tx:
        last = [entry for _, entry in entries(tx)][-1]
        assert verify(tx).good
    assert (last.actor, last.action) == ("ada", "accept as confirmed")
    assert "one cent of tax" in last.reason


def test_a_mismatch_that_a_person_repaired_or_removed_is_settled_by_a_replay() -> None:
    """A look at the books confirms what is right now, and closes what is gone."""
    bench = Bench()
    mismatched(bench)
    stays = replay(bench.store, "boutique", by="ada", run_id="r", cause="QBO_RECALCULATED", books=bench.books)
    assert "total 120.01" in stays.left["1|sale|1|0"]
    (row,) = bench.company.table("SalesReceipt").values()
    bench.company.edit("SalesReceipt", row["Id"])
    done = replay(bench.store, "boutique", by="ada", run_id="r", cause="QBO_RECALCULATED", books=bench.books)
    assert done.settled == ["1|sale|1|0"]
    assert bench.post(sale(1)).present == ["1|sale|1|0"]


def test_an_invalid_mail_address_is_one_dead_letter_and_the_rest_goes_on() -> None:
    """The customer is refused, their order waits, everybody else is booked; a corrected address mends it."""
    bench = Bench()
    people = [customer(1), customer(2, email="not an address")]
    result = bench.post(sale(1, who=1), sale(2, who=2), customers=people)
    assert result.created == ["1|sale|1|0"]
    assert result.held["1|sale|2|0"].code == "WAITS"
    (cause,) = collect(bench.store, "boutique")
    assert (cause.code, cause.letters[0].field) == ("QBO-2210", "PrimaryEmailAddr")
    people[1] = customer(2)
    assert bench.post(sale(1, who=1), sale(2, who=2), customers=people).created == ["1|sale|2|0"]
    assert collect(bench.store, "boutique") == []


def test_an_unknown_sku_waits_as_unmapped_until_it_is_created_or_mapped() -> None:
    """Where creating items is off, the order is held with a code; once the SKU exists it is found and posted."""
    bench = Bench()
    held = bench.post(sale(1), create_items=False)
    assert held.held["1|sale|1|0"].code == "ITEM_UNMAPPED"
    (cause,) = collect(bench.store, "boutique")
    assert (cause.code, cause.amounts) == ("ITEM_UNMAPPED", {"EUR": Decimal("120.00")})
    bench.company._create("Item", {"Name": "A mug", "Sku": "MUG-1", "Type": "NonInventory"})
    assert bench.post(sale(1), create_items=False).created == ["1|sale|1|0"]
    assert collect(bench.store, "boutique") == []


def test_an_edit_conflict_ends_when_a_person_makes_both_sides_equal() -> None:
    """The person's document equal to the order's new state is taken as done, without a write."""
    bench = Bench()
    bench.post(sale(1))
    wanted = replace(sale(1, "80.00"), revision=1, key="1|sale|1|1")
    (row,) = bench.company.table("SalesReceipt").values()
    bench.company.edit("SalesReceipt", row["Id"], Line=[{**row["Line"][0], "Amount": Decimal("70.00")}])
    assert bench.post(wanted).held[wanted.key].code == "EDIT_CONFLICT"
    bench.company.edit(
        "SalesReceipt",
        row["Id"],
        Line=[{**row["Line"][0], "Amount": Decimal("80.00")}],
        TxnTaxDetail={"TotalTax": Decimal("16.00")},
    )
    writes = bench.company.writes
    assert bench.post(wanted).present == [wanted.key]
    assert bench.company.writes == writes
    assert collect(bench.store, "boutique") == []
