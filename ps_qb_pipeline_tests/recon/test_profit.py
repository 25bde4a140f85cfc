"""Profit is what the order lines say, in home currency, with unknown cost left unknown."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.accounting.documents import LineKind
from ps_qb_pipeline_tests.recon.world import CLEARING, World


def lines(world: World, columns: str, where: str = "true") -> list[tuple[object, ...]]:
    """Rows of the profit lines in order of document and line."""
    return world.all(f"select {columns} from marts.profit_lines where {where} order by document_key, line_no")


def test_a_sale_gives_revenue_cost_and_delivery() -> None:
    """20.00 of goods at 2 x 4.00 cost, 5.00 of shipping."""
    world = World()
    world.sale(1001)
    world.run()
    assert lines(world, "kind, units, gross_sales, revenue, delivery_income, cogs") == [
        ("product", 2, 20, 20, 0, 8),
        ("shipping", 0, 0, 0, 5, None),
    ]


def test_a_discount_is_carried_by_the_goods() -> None:
    """The discount line is gone and its money stands with the product."""
    world = World()
    world.sale(1001, discount="3.00")
    world.run()
    assert lines(world, "kind, gross_sales, discounts, revenue") == [
        ("product", 23, -3, 20),
        ("shipping", 0, 0, 0),
    ]


def test_unknown_cost_is_not_zero_cost() -> None:
    """A line whose order, product and variant name no cost is revenue without cost, and no margin."""
    world = World()
    world.sale(1001, wholesale="0")
    world.con.execute("update staging.prestashop_products set wholesale_price = 0")
    world.run()
    assert lines(world, "cost_source, cogs, covered_revenue", "kind = 'product'") == [("unknown", None, 0)]
    assert world.all(
        "select revenue, revenue_without_cost, gross_margin from marts.profit_by_product where product_id = 5"
    ) == [(20, 20, 0)]


def test_cost_of_the_product_stands_in_for_a_missing_snapshot() -> None:
    """Without a cost at the time of the order, today's cost of the product is used and named so."""
    world = World()
    world.sale(1001, wholesale="0")
    world.run()
    assert lines(world, "cost_source, cogs", "kind = 'product'") == [("product", 7)]


def test_a_refund_takes_cost_back_only_when_the_goods_came_back() -> None:
    """Restocked: the cost of one unit is taken back. Not restocked: it stays."""
    for restocked, cost in ((1, Decimal(-4)), (0, Decimal(0))):
        world = World()
        world.sale(1001, restocked=restocked)
        world.refund(1, 1001)
        world.run()
        assert lines(world, "units, refunds, revenue, cogs", "document_key like '1|refund|%'") == [
            (-1, -10, -10, cost)
        ]


def test_foreign_sales_count_at_the_rate_of_the_document() -> None:
    """25.00 USD at 0.9 are 22.50 of home income, line by line without a cent left over."""
    world = World()
    world.sale(1001, currency="USD", rate="0.9", net="25.01")
    world.run()
    assert world.all("select sum(income) from marts.profit_lines") == [(Decimal("22.51"),)]


def test_held_orders_earn_nothing_yet() -> None:
    """What a rule holds back is in no profit."""
    world = World()
    world.sale(1001, booked=False)
    world.rows("validation.holds", {"rule": "orders.total", "order_id": 1001, "message": "is negative"})
    world.run()
    assert lines(world, "*") == []


NO_INCOME = {"store_credit", "gift_card", "deposit", "chargeback", "tax", "account"}
"""Kinds of lines that are liabilities, taxes or of payouts."""


def test_every_kind_of_line_is_income_or_known_to_be_none() -> None:
    """A kind that accounting learns to make must not be missing in the profit without anybody noticing."""
    world = World()
    key = world.sale(1001)
    world.con.execute("delete from ledger.lines where document_key = ?", [key])
    for number, kind in enumerate(get_args(LineKind), 1):
        world.rows(
            "ledger.lines",
            {"document_key": key, "line_no": number, "kind": kind, "amount": 1, "tax_code": "FR20"}
            | {"description": "", "quantity": 1, "product_id": 5},
        )
    world.run()
    # The discount of 1.00 is carried by others.
    found = {str(kind) for (kind,) in lines(world, "kind")} | {"discount"}
    assert found == set(get_args(LineKind)) - NO_INCOME


Lines = tuple[list[int], int]


@settings(max_examples=4, deadline=None)
@given(
    documents=st.lists(
        st.tuples(st.lists(st.integers(1, 99_999), min_size=1, max_size=6), st.integers(1, 99_999)),
        min_size=1,
        max_size=10,
    )
)
def test_no_cent_of_a_discount_is_lost(documents: list[Lines]) -> None:
    """Whatever the lines, the allocated parts of a document's discount sum to the discount."""
    world = World()
    cents = Decimal("0.01")
    wanted = []
    for order, (amounts, discount) in enumerate(documents, 1001):
        key = world.sale(order)
        world.con.execute("delete from ledger.lines where document_key = ?", [key])
        shared = {"document_key": key, "tax_code": "FR20", "description": "", "quantity": 1, "product_id": 5}
        for number, amount in enumerate(amounts, 1):
            world.rows(
                "ledger.lines", {**shared, "line_no": number, "kind": "product", "amount": amount * cents}
            )
        world.rows("ledger.lines", {**shared, "line_no": 99, "kind": "discount", "amount": -discount * cents})
        wanted.append((key, -discount * cents, (sum(amounts) - discount) * cents))
    world.run()
    found = world.all(
        "select document_key, sum(discounts), sum(income) from marts.profit_lines group by document_key order by 1"
    )
    assert found == wanted


def test_profit_is_bridged_to_the_books() -> None:
    """Missing, edited, moved, surplus and strange documents are steps of the bridge; nothing is unallocated."""
    world = World()
    for order in (1001, 1002, 1003, 1004):
        world.sale(order)
    world.sale(1005, currency="USD", rate="0.913")
    world.refund(1, 1001)
    world.sale(1006, booked=False)
    world.edit("PS1-1002", total=Decimal("36.00"), total_tax=Decimal("6.00"))
    world.con.execute(
        "update staging.quickbooks_document_lines set amount = amount + 5 where line_no = 1 and id = (select id from staging.quickbooks_documents where doc_number = 'PS1-1002')"
    )
    world.edit("PS1-1003", txn_date=date(2026, 2, 3))
    world.book(
        "SalesReceipt",
        "PS1-1004",
        date(2026, 1, 15),
        "EUR",
        Decimal(30),
        Decimal(5),
        12,
        CLEARING,
        "1|sale|1004|0",
    )
    world.book("Invoice", "88", date(2026, 1, 20), "EUR", Decimal(120), Decimal(20), 12, "", None)
    world.run()
    assert world.all(
        "select month, report_income, missing, differences, surplus, others, books_income, unallocated"
        " from marts.income_bridge order by month"
    ) == [
        (date(2026, 1, 1), Decimal("137.83"), -25, -20, 25, 100, Decimal("217.83"), 0),
        (date(2026, 2, 1), 0, 0, 25, 0, 0, 25, 0),
    ]


def test_accounts_roll_forward_to_what_the_books_hold() -> None:
    """Receipts less refunds plus the entries of others are the closing; a missing document is the difference."""
    world = World()
    world.sale(1001)
    world.sale(1002, day=date(2026, 2, 1))
    world.refund(1, 1001)
    world.delete_in_books("PS1-1002")
    world.book("Transfer", "T1", date(2026, 1, 31), "EUR", Decimal(10), Decimal(0), 12, "", None)
    world.con.execute(
        "update staging.quickbooks_documents set from_account_id = '1' where entity = 'Transfer'"
    )
    world.run("recon")
    assert world.all(
        "select month, opening, received, returned, others, closing, difference from recon.accounts_rolled order by month"
    ) == [
        (date(2026, 1, 1), 0, 30, 12, -10, 8, 0),
        (date(2026, 2, 1), 8, 0, 0, 0, 8, -30),
    ]
