"""One reconciled world for all tests of renderings."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ps_qb_pipeline.reports.model import Report, read_report
from ps_qb_pipeline_tests.recon.world import CLEARING, World

HOSTILE = '=HYPERLINK("http://x","y") <script>alert(1)</script> \'"& \x07\u202e' + "S" * 300
"""A name that tries to be a formula, a script, a control sequence and too long."""


def troubled_world(name: str, reference: str, carrier: str) -> World:
    """A card sale, a wire sale, a dollar sale, a refund; one document deleted, one edited, one order held.

    ``name`` is what the company, a customer, the products and their SKUs are called.
    """
    world = World()
    world.rows("staging.quickbooks_company_info", {"id": "1", "company_name": name})
    world.sale(1001)
    world.sale(1002, document="Invoice", customer=13)
    world.sale(1003, currency="USD", rate="0.9", customer=14)
    world.sale(1004, day=date(2025, 12, 30), discount="3.00")
    world.refund(1, 1001)
    world.unposted(1010, "held", "PS_IDENTITY_BREAK")
    world.unposted(1011, "not_postable", "unpaid")
    world.unposted(1012, "before_go_live", "BEFORE_GO_LIVE")
    world.delete_in_books("PS1-1004")
    world.edit("PS1-1001", total=Decimal("33.60"), total_tax=Decimal("5.60"))
    world.book(
        "SalesReceipt", "+77", date(2026, 1, 5), "EUR", Decimal("42.00"), Decimal(7), 12, CLEARING, None
    )
    world.con.execute("update ledger.documents set customer_name = ? where order_id = 1002", [name])
    world.con.execute(
        "update staging.quickbooks_documents set customer_name = ? where customer_id = '13'", [name]
    )
    world.con.execute(
        "update staging.prestashop_order_details set product_name = $name, product_reference = $name",
        {"name": name},
    )
    world.con.execute("update ledger.lines set sku = ? where sku <> ''", [name])
    world.con.execute("update staging.prestashop_orders set reference = ? where id = 1001", [reference])
    world.con.execute("update staging.prestashop_carriers set name = ?", [carrier])
    world.run()
    return world


def report_of(world: World) -> Report:
    """The report of everything in ``world``."""
    return read_report(
        world.con, connection="boutique", run_id="run-1", as_of=datetime(2026, 2, 10, 8, 0, tzinfo=UTC)
    )


@pytest.fixture(scope="session")
def world() -> World:
    """The troubled world in which every name is an attack."""
    return troubled_world(HOSTILE, "@SUM(A1)", "-1+1|cmd")


@pytest.fixture(scope="session")
def report(world: World) -> Report:
    """The report of that world."""
    return report_of(world)


@pytest.fixture(scope="session")
def harmless() -> World:
    """The same world with plain names."""
    return troubled_world("Paul", "REF1001", "Post")


@pytest.fixture(scope="session")
def harmless_report(harmless: World) -> Report:
    """The report of that world."""
    return report_of(harmless)
