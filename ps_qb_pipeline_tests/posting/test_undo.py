"""Undo shows its plan first, takes back exactly what a run wrote, and may be cut short anywhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ps_qb_pipeline.accounting.documents import Line, from_json
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.posting.undo import UndoResult, plan_undo, undo
from ps_qb_pipeline.posting.undo_plan import UndoPlan, shown
from ps_qb_pipeline.state.audit import entries, verify
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline_tests.faults.books import Row
from ps_qb_pipeline_tests.faults.shop import RENDERING, Names, customer, item, payment, refund, sale
from ps_qb_pipeline_tests.posting.bench import Bench


def take_back(bench: Bench, *runs: str, **more: Any) -> UndoResult:
    bench.runs += 1
    options: dict[str, Any] = {"pace": Pace(patience=7200.0), "render": RENDERING, "by": "ada", **more}
    return undo(
        bench.store,
        "boutique",
        books=bench.books,
        names=Names(),
        run_id=f"undo-{bench.runs}",
        runs=runs,
        clock=bench.clock,
        owner=f"u{bench.runs}",
        **options,
    )


def planned(bench: Bench, *runs: str, **more: Any) -> UndoPlan:
    return plan_undo(bench.store, "boutique", books=bench.books, runs=runs, clock=bench.clock, **more)


def day(bench: Bench) -> None:
    """One run with an invoice, its payment, a receipt and a refund."""
    invoice = sale(1, type="Invoice")
    bench.post(invoice, payment(7, invoice), sale(2), refund(3, sale(2), "40.00"))


def test_a_plan_names_everything_and_writes_nothing() -> None:
    """Voids with their money and cards to deactivate; dependents come before what they hang on."""
    bench = Bench()
    day(bench)
    writes = bench.company.writes
    found = planned(bench, "run-1")
    assert found.counts() == {"void": 4, "deactivate": 2}
    assert found.amounts("void") == {"EUR": Decimal("408.00")}
    order = [step.key for step in found.steps]
    assert order.index("1|payment|7|0") < order.index("1|sale|1|0")
    assert order.index("1|refund|3|0") < order.index("1|sale|2|0")
    assert bench.company.writes == writes
    assert shown(found)[0] == "void: 4 (408.00 EUR)"


def test_an_undone_run_leaves_nothing_live_and_a_second_undo_does_nothing() -> None:
    """All documents void, both cards inactive, the audit chain whole; again changes nothing."""
    bench = Bench()
    day(bench)
    done = take_back(bench, "run-1")
    assert (len(done.voided), len(done.deactivated), done.left, done.unfinished) == (4, 2, {}, [])
    assert bench.numbers() == []
    assert not any(row["Active"] for row in bench.company.table("Customer").values())
    writes = bench.company.writes
    again = take_back(bench, "run-1")
    assert (again.voided, again.deactivated) == ([], [])
    assert bench.company.writes == writes
    with reading(bench.store) as tx:
        assert verify(tx).good
        assert {entry.actor for _, entry in entries(tx) if entry.run_id.startswith("undo")} == {"ada"}


def test_only_the_named_run_is_taken_back_and_cards_in_use_stay() -> None:
    """A later run's document keeps its customer and item active."""
    bench = Bench()
    bench.post(sale(1))
    bench.post(sale(2))
    done = take_back(bench, "run-1")
    assert done.voided == ["1|sale|1|0"]
    assert bench.numbers() == ["PS1-2"]
    assert set(done.left) == {"Customer|c:1:EUR|0", "Item|sku:MUG-1|0"}
    assert all(row["Active"] for row in bench.company.table("Customer").values())


def test_what_a_person_changed_or_a_later_run_updated_is_left_alone() -> None:
    """Both are named with the reason and stay as they are."""
    bench = Bench()
    bench.post(sale(1), sale(2), sale(3))
    row = next(r for r in bench.company.table("SalesReceipt").values() if r["DocNumber"] == "PS1-1")
    bench.company.edit("SalesReceipt", row["Id"], Line=[{**row["Line"][0], "Amount": Decimal(1)}])
    bench.post(sale(1), replace(sale(2, "80.00"), revision=1, key="1|sale|2|1"), sale(3))
    found = planned(bench, "run-1")
    assert found.counts()["leave"] >= 2
    done = take_back(bench, "run-1")
    assert done.voided == ["1|sale|3|0"]
    assert "EDIT_CONFLICT" in done.left["1|sale|1|0"]
    assert "run-2" in done.left["1|sale|2|1"]
    assert bench.numbers() == ["PS1-1", "PS1-2"]


def test_undoing_an_update_restores_the_amounts_before_it() -> None:
    """A run that only updated a document is taken back by writing the former amounts."""
    bench = Bench()
    bench.post(sale(1))
    bench.post(replace(sale(1, "80.00"), revision=1, key="1|sale|1|1"))
    assert planned(bench, "run-2").counts() == {"restore": 1}
    assert take_back(bench, "run-2").restored == ["1|sale|1|2"]
    (row,) = bench.company.table("SalesReceipt").values()
    assert row["TotalAmt"] == Decimal("120.00")


def test_closed_periods_are_reversed_on_the_first_open_day() -> None:
    """A receipt in a closed month gets its opposite, with the same lines, and stays itself."""
    bench = Bench()
    bench.post(sale(1))
    bench.company.close_date = "2026-03-31"
    closed = date(2026, 3, 31)
    assert planned(bench, "run-1", close_date=closed).counts() == {"reverse": 1, "leave": 2}
    done = take_back(bench, "run-1", close_date=closed)
    assert done.reversed == ["1|sale|1|0"]
    (reversal,) = bench.company.table("RefundReceipt").values()
    assert (reversal["TxnDate"], reversal["TotalAmt"]) == ("2026-04-01", Decimal("120.00"))
    assert reversal["DocNumber"] == "PS1-1-U"
    assert take_back(bench, "run-1", close_date=closed).reversed == ["1|sale|1|0"]
    assert len(bench.company.table("RefundReceipt")) == 1


@pytest.mark.parametrize("fault", ["lost_after", "lost_before", "late_commit", "throttle", "partial"])
def test_an_undo_that_loses_answers_is_exact_all_the_same(fault: str) -> None:
    """Whatever becomes of the first answers, everything is void once and nothing else happened."""
    bench = Bench(honour_requestid=False)
    goods, people = [item(1)], [customer(1)]
    bench.post(*(sale(order) for order in range(1, 8)), items=goods, customers=people)
    bench.faults = [fault, fault]
    done = take_back(bench, "run-1")
    if done.unfinished:
        bench.settle()
        take_back(bench, "run-1")
    assert bench.numbers() == []
    assert {row["SyncToken"] for row in bench.company.table("SalesReceipt").values()} == {"1"}


def test_a_run_that_wrote_nothing_is_an_error() -> None:
    """A misspelt run is not silently nothing."""
    with pytest.raises(SettingsError, match="wrote nothing"):
        planned(Bench(), "no-such-run")


def test_what_a_later_run_hung_on_a_document_keeps_it_until_both_are_undone() -> None:
    """An invoice with a later run's payment on it stays; undoing both runs takes both, the payment first."""
    bench = Bench()
    invoice = sale(1, type="Invoice")
    bench.post(invoice)
    bench.post(invoice, payment(7, invoice))
    found = planned(bench, "run-1")
    assert found.counts() == {"leave": 3}
    assert "run-2" in found.steps[0].why
    done = take_back(bench, "run-1")
    assert (done.voided, bench.numbers()) == ([], ["PS1-1", "PS1-P7"])
    assert "PS1-P7" in done.left["1|sale|1|0"]
    assert take_back(bench, "run-1", "run-2").voided == ["1|payment|7|0", "1|sale|1|0"]
    assert bench.numbers() == []


def test_a_later_adjustment_keeps_the_document_that_it_stands_beside() -> None:
    """Without the receipt, the later run's adjustment of it would be wrong money alone."""
    bench = Bench()
    bench.post(sale(1))
    beside = replace(
        sale(1, "5.00"), key="1|adjustment|1|1", role="adjustment", revision=1, doc_number="PS1-1-A1"
    )
    bench.post(sale(1), beside)
    done = take_back(bench, "run-1")
    assert done.voided == []
    assert "PS1-1-A1" in done.left["1|sale|1|0"]
    assert bench.numbers() == ["PS1-1", "PS1-1-A1"]
    assert take_back(bench, "run-2").voided == ["1|adjustment|1|1"]
    assert take_back(bench, "run-1").voided == ["1|sale|1|0"]


def test_what_a_person_changed_keeps_what_it_hangs_on_too() -> None:
    """A refund that a person edited stays, and so does the receipt that it refunds."""
    bench = Bench()
    bench.post(sale(2), refund(3, sale(2), "40.00"))
    (row,) = bench.company.table("RefundReceipt").values()
    bench.company.edit("RefundReceipt", row["Id"], Line=[{**row["Line"][0], "Amount": Decimal(1)}])
    assert planned(bench, "run-1").counts() == {"leave": 4}
    done = take_back(bench, "run-1")
    assert (done.voided, bench.numbers()) == ([], ["PS1-2", "PS1-R3"])


def test_what_quickbooks_stored_otherwise_is_taken_back_too() -> None:
    """A mismatch is in the books, so that an undo that left it would not be exact."""
    bench = Bench()
    bench.company.recalculate = lambda entity, _row: entity == "SalesReceipt"
    assert bench.post(sale(1)).mismatched == ["1|sale|1|0"]
    bench.company.recalculate = None
    assert planned(bench, "run-1").counts() == {"void": 1, "deactivate": 2}
    assert take_back(bench, "run-1").voided == ["1|sale|1|0"]
    assert bench.numbers() == []


def test_what_may_be_on_its_way_is_named_and_taken_back_later() -> None:
    """Nobody knows yet whether a lost receipt arrived: the undo says so, and the next one finds out."""
    bench = Bench(honour_requestid=False)
    bench.post()
    bench.kinds = {"create"}
    bench.faults = ["late_commit"]
    bench.post(sale(1), run_id="lost")
    done = take_back(bench, "lost", pace=Pace())
    assert (done.unfinished, done.voided) == (["1|sale|1|0"], [])
    bench.settle()
    assert take_back(bench, "lost").voided == ["1|sale|1|0"]
    assert bench.numbers() == []


def test_a_journal_entry_is_reversed_on_its_own_day() -> None:
    """QuickBooks voids no journal entry: the opposite of the same day leaves every balance as it was."""
    bench = Bench()
    sides = (
        Line(kind="account", item="sku:MUG-1", amount=Decimal(3), account="Fees", posting="debit"),
        Line(kind="account", item="sku:MUG-1", amount=Decimal(3), account="Clearing", posting="credit"),
    )
    fee = replace(
        sale(1, "3.00"), key="1|fee|9|0", role="fee", source_id="9", type="JournalEntry", order_id=0,
        doc_number="PSF-9", lines=sides, taxes=(), total=Decimal(3), total_tax=Decimal(0),
    )  # fmt: skip
    long = replace(fee, key="1|fee|10|0", source_id="10", doc_number="PSF1ABCDEFGHIJKLMNOPQ")
    bench.post(fee, run_id="run-1")
    bench.post(long, run_id="long")
    assert "taken" in take_back(bench, "long").left["1|fee|10|0"]
    assert planned(bench, "run-1").counts() == {"reverse": 1, "leave": 2}
    assert take_back(bench, "run-1").reversed == ["1|fee|9|0"]
    made = bench.intent("1|adjustment|undo-fee-9|0")
    again = from_json(made.document)
    assert (again.type, again.txn_date, again.doc_number) == ("JournalEntry", fee.txn_date, "PSF-9-U")
    assert [line.posting for line in again.lines] == ["credit", "debit"]


class Killed(BaseException):
    """The process ends here."""


def cut_short(bench: Bench, *, after: int) -> bool:
    """Undo the first run and die at the n-th step; False when it came to its end before."""
    left = iter(range(after))

    def step(_name: str) -> None:
        if next(left, None) is None:
            raise Killed

    try:
        take_back(bench, "run-1", step=step)
    except Killed:
        return True
    return False


def test_an_undo_may_be_cut_short_at_any_step_and_called_again() -> None:
    """Wherever it died: called again everything is void once, cards are inactive, and nothing was written twice."""
    number = 0
    while True:
        bench = Bench(honour_requestid=False)
        day(bench)
        cut = cut_short(bench, after=number)
        bench.settle()
        done = take_back(bench, "run-1")
        assert (done.left, done.unfinished, bench.numbers()) == ({}, [], [])
        versions = {
            row["SyncToken"] for entity in bench.company.rows for row in bench.company.table(entity).values()
        }
        assert versions == {"1"}, number
        with reading(bench.store) as tx:
            assert verify(tx).good
        if not cut:
            break
        number += 1
    assert number >= 15


STANDS, GONE = ["PS1-1", "PS1-P7"], []


@pytest.mark.parametrize(
    ("point", "left"), [("undo.voids.planned", STANDS), ("sent.recorded", GONE), ("answered", GONE)]
)
def test_a_payment_that_comes_in_live_during_the_undo_never_stands_on_a_void_invoice(
    point: str, left: list[str]
) -> None:
    """Before the void is on its way the invoice stays, because it is wanted; afterwards the payment waits."""
    bench = Bench()
    invoice = sale(1, type="Invoice")
    bench.post(invoice)
    payments: list[str] = []

    def pay(name: str) -> None:
        if name == point and not payments:
            payments.append("")
            bench.post(invoice, payment(7, invoice), alone=False)

    done = take_back(bench, "run-1", step=pay)
    assert payments
    assert bench.numbers() == left
    assert (done.voided, done.unfinished) == ([] if left else ["1|sale|1|0"], [])
    assert ("1|sale|1|0" in done.left) == bool(left)


def test_a_payment_that_was_sent_before_the_void_was_planned_spares_its_invoice() -> None:
    """It came in live between the choice and the plan: the invoice stays, and the undo says why."""
    bench = Bench()
    invoice = sale(1, type="Invoice")
    bench.post(invoice)
    read = bench.books.read
    paid: list[str] = []

    def slowly(entity: str, id: str) -> Row:  # noqa: A002
        if entity == "Invoice" and not paid:
            paid.append(id)
            bench.post(invoice, payment(7, invoice), alone=False, run_id="live")
        return read(entity, id)

    bench.books.read = slowly  # type: ignore[method-assign]
    done = take_back(bench, "run-1")
    assert "Payment PS1-P7 hangs on it" in done.left["1|sale|1|0"]
    assert bench.numbers() == STANDS
    assert take_back(bench, "run-1", "live").voided == ["1|payment|7|0", "1|sale|1|0"]
