"""PrestaShop's identities, measured on orders that a real shop computed.

They are what the engine trusts, so they are tested on the shop's own rows, without the engine.
``PSQB_CORPUS`` names a folder with more orders and with the tax rows that the web service hides.
"""

from __future__ import annotations

import os
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ps_qb_pipeline_tests.corpus_engine import Judge, bundled, load, read_truth

CORPUS = os.environ.get("PSQB_CORPUS", "")
NO_TRUTH: dict[str, list[dict[str, Any]]] = {"order_detail_tax": [], "order_invoice_tax": []}


@pytest.fixture(scope="module")
def judge() -> Judge:
    if CORPUS:
        return Judge(load(Path(CORPUS)), read_truth(Path(CORPUS)))
    return Judge(bundled(), NO_TRUTH)


def share(judge: Judge, holds: Any) -> Decimal:
    """The share of orders for which something holds."""
    return Decimal(sum(holds(order) for order in judge.orders.values())) / len(judge.orders)


def test_totals_are_their_parts_within_rounding(judge: Judge) -> None:
    """I1: paid is products less discounts plus shipping and wrapping, split shipping repaired."""
    assert share(judge, lambda o: judge._closes(o, judge.shipping(o))) == 1


def test_the_total_is_stored_twice_alike(judge: Judge) -> None:
    """I3: total_paid is total_paid_tax_incl, exactly."""
    assert share(judge, lambda o: o["total_paid"] == o["total_paid_tax_incl"]) == 1


def test_lines_sum_to_the_products_total(judge: Judge) -> None:
    """I4: nearly always; ecotax that is switched off and some edits break it, and the engine must see it."""
    assert share(judge, judge._rows_hold) > Decimal("0.9")


def test_vouchers_sum_to_the_discount_but_for_caps(judge: Judge) -> None:
    """I5: within a minor unit a rule, except capped and doubled free-shipping rules."""

    def holds(order: dict[str, Any]) -> bool:
        rules = [row for row in judge.rules[order["id"]] if not row["deleted"]]
        total = sum((row["value"] for row in rules), Decimal(0))
        return not rules or abs(total - order["total_discounts_tax_incl"]) <= judge.unit(order) * len(rules)

    assert share(judge, holds) > Decimal("0.95")


def test_net_is_between_nothing_and_gross(judge: Judge) -> None:
    """I7: neither the discount nor the total is larger without tax than with it, but for broken orders."""

    def holds(order: dict[str, Any]) -> bool:
        pairs = (("discounts", order), ("paid", order))
        return all(0 <= row[f"total_{name}_tax_excl"] <= row[f"total_{name}_tax_incl"] for name, row in pairs)

    assert share(judge, holds) > Decimal("0.98")


def test_invoices_sum_to_their_order(judge: Judge) -> None:
    """I11: the invoices of an order repeat its total, within a cent an invoice."""
    tables = load(Path(CORPUS)) if CORPUS else bundled()
    by_order: dict[int, list[Decimal]] = defaultdict(list)
    for row in tables["order_invoices"]:
        by_order[row["id_order"]].append(row["total_paid_tax_incl"])
    single = {
        number: totals for number, totals in by_order.items() if len(totals) == 1 and number in judge.orders
    }
    close = [
        abs(sum(totals) - judge.orders[number]["total_paid_tax_incl"]) <= judge.unit(judge.orders[number])
        for number, totals in single.items()
    ]
    assert sum(close) / len(close) > 0.9


def test_no_more_is_returned_than_was_sold(judge: Judge) -> None:
    """I12: quantities refunded, returned and put back into stock stay within what was sold."""
    for rows in judge.details.values():
        for row in rows:
            back = row["product_quantity_refunded"] + row["product_quantity_return"]
            assert back <= row["product_quantity"]
            assert row["product_quantity_reinjected"] <= back


@pytest.mark.skipif(not CORPUS, reason="PSQB_CORPUS names no folder of orders with their hidden tax rows")
def test_tax_rows_close_with_the_header_of_orders_that_were_not_edited(judge: Judge) -> None:
    """I2: the hidden tax rows of nine in ten orders close with the header."""
    invoiced = [order for order in judge.orders.values() if order["invoice_number"]]
    closed = [order for order in invoiced if judge.expected_taxes(order) is not None]
    assert len(closed) / len(invoiced) > 0.75
