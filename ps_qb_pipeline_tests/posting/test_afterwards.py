"""After the confirmation: the shop is told once, and a second look finds what people did."""

from __future__ import annotations

from decimal import Decimal

from ps_qb_pipeline.errors import ShopUnavailable
from ps_qb_pipeline.posting.confirming import Confirmation, confirm, untold
from ps_qb_pipeline.posting.rechecking import recheck
from ps_qb_pipeline.state import intents
from ps_qb_pipeline_tests.faults.shop import payment, sale
from ps_qb_pipeline_tests.posting.bench import Bench


def test_the_shop_is_told_of_each_sale_once() -> None:
    """Type, number and link of every confirmed sale reach the shop; a second call tells nothing."""
    bench = Bench()
    invoice = sale(2, type="Invoice")
    bench.post(sale(1), invoice, payment(7, invoice))
    told: list[Confirmation] = []
    assert len(confirm(bench.store, "boutique", told.append, clock=bench.clock).told) == 2
    assert [(one.order_id, one.type, one.number) for one in told] == [
        (1, "SalesReceipt", "PS1-1"),
        (2, "Invoice", "PS1-2"),
    ]
    assert told[0].link.endswith(f"salesreceipt?txnId={bench.intent('1|sale|1|0').qbo_id}")
    assert confirm(bench.store, "boutique", told.append, clock=bench.clock).told == []


def test_an_order_that_cannot_be_told_is_told_later() -> None:
    """A shop error leaves that order for the next call and does not stop the others."""
    bench = Bench()
    bench.post(sale(1), sale(2))

    def flaky(one: Confirmation) -> None:
        if one.order_id == 1:
            raise ShopUnavailable("503")

    first = confirm(bench.store, "boutique", flaky, clock=bench.clock)
    assert (list(first.failed), first.told) == (["1|sale|1"], ["1|sale|2"])
    assert [one.order_id for one in untold(bench.store, "boutique")] == [1]


def test_a_second_look_finds_what_people_changed_and_what_is_doubled() -> None:
    """Edited, voided, deleted and doubled documents are named; an untouched one is counted."""
    bench = Bench(enforce_numbers=False)
    bench.post(*(sale(order) for order in range(1, 6)))
    ids = {order: bench.intent(f"1|sale|{order}|0").qbo_id for order in range(1, 6)}
    company = bench.company
    row = company.table("SalesReceipt")[ids[1]]
    company.edit("SalesReceipt", ids[1], Line=[{**row["Line"][0], "Amount": Decimal(1)}])
    company._void("SalesReceipt", {"Id": ids[2], "SyncToken": "0"})
    company.delete("SalesReceipt", ids[3])
    copy = {k: v for k, v in company.table("SalesReceipt")[ids[4]].items() if k not in {"Id", "MetaData"}}
    company._create("SalesReceipt", copy)
    found = recheck(bench.store, "boutique", books=bench.books, run_id="night", clock=bench.clock)
    assert (found.edited, found.voided, found.deleted) == (["1|sale|1|0"], ["1|sale|2|0"], ["1|sale|3|0"])
    assert list(found.duplicates) == ["1|sale|4|0"]
    assert found.untouched == 2
    assert bench.intent("1|sale|3|0").state == intents.GONE
    assert bench.post(*(sale(order) for order in range(1, 6))).gone == ["1|sale|2|0", "1|sale|3|0"]
