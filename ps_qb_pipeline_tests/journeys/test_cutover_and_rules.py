"""The start of a connection, and rules tried on past orders, from the command line."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from ps_qb_pipeline.cli import sandboxes
from ps_qb_pipeline.quickbooks.texts import canonical
from ps_qb_pipeline_tests.journeys.conftest import Place
from ps_qb_pipeline_tests.journeys.cycle import Shop

pytestmark = [pytest.mark.xdist_group("cutover"), pytest.mark.slow]

TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def shop(place: Place) -> Iterator[Shop]:
    """A shop whose last two orders somebody has already written into QuickBooks by hand; posting is off."""
    place.connect("boutique", go_live=TODAY - timedelta(days=1))
    with place.sandbox("boutique") as ready:
        made = Shop(place, "boutique", ready)
        off = place.psqb("go-live", "--connection", "boutique", "--by", "test", "--off")
        assert off.returncode == 0, off.stderr
        made.orders = [made.order(way="card", items=[{"product": 1, "quantity": 2}]) for _ in range(3)]
        (voucher,) = _vouchers(ready)[:1]
        made.does("row", resource="cart_rules", id=voucher["id"], quantity="1")
        made.voucher = voucher["code"]
        made.turn(reconciled=False)
        made.ids = [_by_hand(made, one) for one in made.orders[:2]]
        yield made


def _vouchers(ready: dict[str, str]) -> list[dict[str, Any]]:
    """The shop's vouchers made of credit slips."""
    key = sandboxes.credentials("boutique")["BOUTIQUE_SHOP_KEY"]
    address = f"{ready['shop_url']}/api/cart_rules?output_format=JSON&display=full"
    rows = next(iter(httpx.get(address, auth=(key, ""), timeout=60).json().values()))
    return [row for row in rows if re.match(r"V\d+C\d+O\d+$", str(row["code"]))]


def _by_hand(shop: Shop, order: dict[str, Any]) -> str:
    with shop.runtime.books() as books:
        items = list(books.query_all("Item", "Type = 'Service'"))
        customers = list(books.query_all("Customer", "Active = true"))
        line = {
            "Amount": order["total_paid_tax_incl"],
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": {"ItemRef": {"value": items[0]["Id"]}},
        }
        body = {
            "DocNumber": order["reference"],
            "TxnDate": str(TODAY),
            "GlobalTaxCalculation": "NotApplicable",
            "CustomerRef": {"value": customers[0]["Id"]},
            "Line": [line],
        }
        reply = books.create("SalesReceipt", canonical(body), f"hand-{order['order']}")
    return str(reply.body.get("SalesReceipt", reply.body)["Id"])


def test_the_plan_names_what_looks_like_an_order(shop: Shop) -> None:
    """By number, amount and date; exit code 1 while there is something to decide, and nothing is written."""
    run = shop.place.psqb("go-live", "--connection", "boutique", "--plan", "--json")
    assert run.returncode == 1, run.stderr
    plan = json.loads(run.stdout)
    found = {one["order_id"]: one for one in plan["lookalikes"]}
    assert sorted(found) == sorted(int(one["order"]) for one in shop.orders[:2])
    for order, qbo_id in zip(shop.orders, shop.ids, strict=False):
        one = found[int(order["order"])]
        assert (one["id"], one["doc_number"], one["decision"]) == (qbo_id, order["reference"], "")
        assert {"number", "amount", "date"} <= set(one["like"])
    assert plan["owed"]
    assert [code for code, _, _ in plan["vouchers"]] == [shop.voucher]


def test_what_was_decided_holds_when_posting_is_switched_on(shop: Shop) -> None:
    """The adopted document stands for its order, the excluded order is counted, the third one posts."""
    adopted, excluded, posted = (int(one["order"]) for one in shop.orders)
    chosen = ("--adopt", f"{adopted}={shop.ids[0]}", "--exclude", str(excluded))
    run = shop.place.psqb("go-live", "--connection", "boutique", "--by", "Ada", *chosen)
    assert run.returncode == 0, run.stderr
    again = shop.place.psqb("go-live", "--connection", "boutique", "--plan")
    assert again.returncode == 0
    assert f"order {excluded} {shop.orders[1]['reference']}" in again.stdout
    assert f"order {adopted} " not in again.stdout
    assert shop.place.psqb("go-live", "--connection", "boutique", "--by", "Ada").returncode == 0
    assert shop.turn()["created"] == 1
    assert shop.books("SalesReceipt", f"PS1-{posted}") is not None
    assert shop.books("SalesReceipt", f"PS1-{adopted}") is None
    assert shop.books("SalesReceipt", f"PS1-{excluded}") is None
    assert shop.classes(posted) == {"matched"}
    assert "before_go_live" in shop.classes(excluded)
    paired = "select books_id from recon.pairs where order_id = ? and role = 'sale'"
    assert shop.ask(paired, adopted) == [(shop.ids[0],)]


def test_rules_are_tried_on_past_orders(shop: Shop) -> None:
    """Which orders a rule would change, and how; the books and the ledger stay as they are."""
    file = shop.place.root / "rules.yml"
    file.write_text(
        "- name: large\n  when: {total_at_least: '0.01', currencies: [EUR]}\n  klass: Large\n"
        "- name: watch\n  when: {countries: [ZZ]}\n  hold: never happens\n"
    )
    before = shop.ask("select count(*), max(body_hash) from ledger.documents")
    run = shop.place.psqb("rule", "test", "--connection", "boutique", "--json", str(file))
    assert run.returncode == 1, run.stderr  # something would change
    told = json.loads(run.stdout)
    assert told["orders"] == 203
    assert "watch" not in told["applied"]
    mine = {one["order_id"]: one for one in told["changed"]}
    one = mine[int(shop.orders[2]["order"])]
    assert (one["rules"], one["before"], one["after"]) == (["large"], {"class": ""}, {"class": "Large"})
    assert shop.ask("select count(*), max(body_hash) from ledger.documents") == before


def test_a_rule_that_says_nothing_known_is_refused(shop: Shop) -> None:
    """The message names the file and the place."""
    file = shop.place.root / "wrong.yml"
    file.write_text("- name: x\n  when: {country: [FR]}\n")
    run = shop.place.psqb("rule", "test", "--connection", "boutique", str(file))
    assert run.returncode == 2
    assert "wrong.yml" in run.stderr
    assert "0.when.country" in run.stderr
