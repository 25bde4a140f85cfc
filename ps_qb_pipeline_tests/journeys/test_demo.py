"""The demo as a newcomer runs it, and what the books hold afterwards."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from ps_qb_pipeline.cli import sandboxes
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline_tests.journeys.conftest import Place

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def summary(place: Place) -> dict[str, Any]:
    """The figures of one demo on the boutique."""
    place.connect("boutique")
    run = place.psqb("demo", "--shop", "boutique")
    assert run.returncode == 0, run.stderr[-3000:]
    assert str(place.root / "demo-out" / "boutique" / "report.html") in run.stdout
    return json.loads((place.root / "demo-out" / "summary.json").read_text())


@pytest.fixture(scope="module")
def after(place: Place, summary: dict[str, Any]) -> Iterator[tuple[Runtime, dict[str, str]]]:
    """The same shop and company, started again from their state files."""
    assert summary
    with place.sandbox("boutique") as ready:
        yield place.runtime("boutique"), ready


def _shop_rows(ready: dict[str, str], resource: str) -> list[dict[str, Any]]:
    key = sandboxes.credentials("boutique")["BOUTIQUE_SHOP_KEY"]
    answer = httpx.get(
        f"{ready['shop_url']}/api/{resource}?output_format=JSON&display=full&sort=[id_ASC]",
        auth=(key, ""),
        timeout=60,
    )
    return list(next(iter(answer.json().values())))


def test_the_demo_confirms_what_can_be_posted(summary: dict[str, Any]) -> None:
    """At least four fifths of the postable orders are in the books, and nothing is unclassified."""
    assert summary["orders"] >= 150
    assert summary["orders_confirmed"] >= 0.8 * summary["postable"] > 0
    assert set(summary["unclassified"].values()) == {"0.00"}
    assert (
        summary["orders"]
        == summary["postable"] + sum(summary["not_postable"].values()) + summary["held_orders"]
    )


def test_a_second_run_creates_nothing(summary: dict[str, Any]) -> None:
    """Everything that is in the books already is recognised."""
    assert summary["second_run_created"] == 0
    assert summary["documents_confirmed"] > 0


def test_every_sale_in_the_books_has_the_orders_total(after: tuple[Runtime, dict[str, str]]) -> None:
    """The total of a sales receipt or invoice is the order's total_paid_tax_incl, to the cent.

    But for the one receipt that the trouble story edits by hand, which reconciliation names.
    """
    runtime, ready = after
    orders = {row["id"]: row["total_paid_tax_incl"] for row in _shop_rows(ready, "orders")}
    checked = 0
    with runtime.warehouse("test", read_only=True) as con:
        edited = {
            row[0]
            for row in con.execute(
                "select order_id from recon.exceptions where code = 'QBO_EDITED'"
            ).fetchall()
        }
    assert len(edited) == 1
    with runtime.books() as books:
        for entity in ("SalesReceipt", "Invoice"):
            for row in books.query_all(entity):
                number = int(row["DocNumber"].split("-")[1])
                if number not in edited:
                    assert Decimal(str(row["TotalAmt"])) == Decimal(orders[number]), row["DocNumber"]
                    checked += 1
    assert checked > 100


def test_every_refund_in_the_books_has_the_slips_total(after: tuple[Runtime, dict[str, str]]) -> None:
    """A refund receipt's total is the slip's products and shipping, tax included, or it carries a finding that says why."""
    runtime, ready = after
    slips = {
        row["id"]: Decimal(row["total_products_tax_incl"]) + Decimal(row["total_shipping_tax_incl"])
        for row in _shop_rows(ready, "order_slip")
    }
    with runtime.warehouse("test", read_only=True) as con:
        restated = {
            row[0]
            for row in con.execute(
                "select source_id from ledger.findings where source_type = 'slip'"
                " and code in ('SLIP_VOUCHER_RECOMPUTED', 'SLIP_AMOUNT_CHOSEN')"
            ).fetchall()
        }
    checked = 0
    with runtime.books() as books:
        for row in books.query_all("RefundReceipt"):
            number = int(row["DocNumber"].split("-R")[1])
            if number not in restated:
                # PrestaShop keeps slips unrounded; the books hold whole minor units.
                minor = Decimal(1) if row["CurrencyRef"]["value"] == "JPY" else Decimal("0.01")
                assert abs(Decimal(str(row["TotalAmt"])) - slips[number]) <= minor, row["DocNumber"]
                checked += 1
    assert checked > 10


def test_the_trouble_is_found_to_the_cent_and_mended(summary: dict[str, Any]) -> None:
    """Reconciliation names what was done and nothing else; what needs no person is mended by the next run."""
    told = summary["trouble"]
    assert told["exceptions"] == told["injected"]
    assert told["open_difference"] == told["injected_money"]
    assert told["repaired"] == {"MISSING_IN_QBO": 2}
    assert told["left_to_a_person"] == {"POISON_RECORD": 1, "QBO_DELETED": 1, "QBO_EDITED": 1}


def test_the_trial_balance_of_the_books_is_zero(after: tuple[Runtime, dict[str, str]]) -> None:
    """What was posted balances in the company's own ledger."""
    runtime, _ = after
    with runtime.books() as books:
        report = books.report("TrialBalance", start_date="2025-01-01", end_date="2026-12-31")
    total = next(row for row in report["Rows"]["Row"] if "Summary" in row)["Summary"]["ColData"]
    debit, credit = (Decimal(cell["value"]) for cell in total[1:3])
    assert debit == credit > 0


def test_no_personal_data_in_the_figures(place: Place, summary: dict[str, Any]) -> None:
    """The summary holds counts and sums only."""
    text = json.dumps(summary)
    assert "@" not in text
    assert "example.test" not in text
    assert not [
        path for path in (place.root / "home" / "logs").glob("*") if "example.test" in path.read_text()
    ]


def test_the_two_libraries_carry_the_calls(
    after: tuple[Runtime, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads and writes leave through python-quickbooks, the token is renewed through intuit-oauth."""
    from intuitlib.client import AuthClient
    from quickbooks.client import QuickBooks

    runtime, _ = after
    seen: list[str] = []
    for owner, name in ((QuickBooks, "make_request"), (QuickBooks, "query"), (AuthClient, "refresh")):
        original = getattr(owner, name)

        def spied(self: Any, *args: Any, _original: Any = original, _name: str = name, **kwargs: Any) -> Any:
            seen.append(_name)
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, spied)
    with runtime.books() as books:
        tokens = books._tokens
        tokens.renewed(tokens.access_token())
        books.query("select * from Customer maxresults 1")
    assert {"query", "make_request"} <= set(seen)
    # The renewal runs in a process of its own; there intuit-oauth is the only way to the token service.
    from ps_qb_pipeline.quickbooks import oauth

    assert issubclass(oauth._Client, AuthClient)


def test_a_failing_expectation_in_a_yml_stops_its_row(
    after: tuple[Runtime, dict[str, str]], tmp_path: Any
) -> None:
    """A rule added to a model's contract holds the orders that break it, and only those."""
    import shutil

    import yaml

    from ps_qb_pipeline.orchestration import steps
    from ps_qb_pipeline.validation.rules import load_contracts
    from ps_qb_pipeline.warehouse.models import models_dir

    runtime, _ = after
    root = tmp_path / "dbt_style_sql"
    shutil.copytree(models_dir(), root)
    path = root / "staging" / "prestashop" / "orders.yml"
    body = yaml.safe_load(path.read_text())
    body.setdefault("expressions", {})["nothing_dear"] = {
        "check": "total_paid_tax_incl < 500",
        "on_fail": "hold",
    }
    path.write_text(yaml.safe_dump(body))
    with runtime.warehouse("before", read_only=True) as con:
        before = {document.order_id: document for document in steps.wanted_documents(con)[0]}
    steps.make_ledger(runtime, [], list(load_contracts(root).values()))
    with runtime.warehouse("after", read_only=True) as con:
        wanted = {document.order_id for document in steps.wanted_documents(con)[0]}
        dear = {
            row[0]
            for row in con.execute(
                "select id from staging.prestashop_orders where total_paid_tax_incl >= 500"
            ).fetchall()
        }
    assert before.keys() & dear
    assert wanted == before.keys() - dear
    steps.make_ledger(runtime, [], list(load_contracts().values()))
