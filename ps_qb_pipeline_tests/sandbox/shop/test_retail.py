"""The shop made of a wholesaler's invoices: what becomes of each, to the penny."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.sandbox.shop.retail import Retail
from ps_qb_pipeline.sandbox.shop.retail_lines import Invoice, Line, gathered, kind_of, read
from ps_qb_pipeline.sandbox.shop.retail_reference import COUNTRIES
from ps_qb_pipeline.sandbox.shop.retail_refunds import matched, parts_of
from ps_qb_pipeline_tests.sandbox.shop.asking import Asked

PENNY = Decimal("0.01")


@pytest.fixture(scope="module")
def asked() -> Asked:
    return Asked("retail")


@pytest.fixture(scope="module")
def invoices() -> dict[str, Invoice]:
    return {i.number: i for i in read(None, 300)}


def test_300_invoices_are_bundled(asked, invoices):
    """And each is an order, a credit, or counted among what is left out."""
    assert len(invoices) == 300
    counts = asked.client.get("/_control").json()["made_of"]
    credits_given = sum(i.credit for i in invoices.values())
    no_sale = counts["left out: stock moves and fees, no sale"] + counts["left out: bad debt"]
    assert counts["orders"] - counts["uncovered credits kept"] + no_sale == 300 - credits_given
    uncovered = counts["uncovered credits kept"] + counts["left out: uncovered credits"]
    settled = counts["credits"] + counts["discounts"] + counts["left out: credits of fees"]
    assert settled <= credits_given <= settled + uncovered
    assert counts["orders"] >= 200
    assert counts["credits"] >= 20
    assert 1 <= counts["uncovered credits kept"] <= 5


def test_an_order_bears_its_invoice_s_number_goods_and_prices(asked, invoices):
    """Lines one to one, amounts without tax exactly those of the data."""
    for order in asked.shop.rows("orders"):
        invoice = invoices[order["reference"]]
        if invoice.credit:
            continue
        assert order["date_add"] == str(invoice.when)
        goods, shipping, _ = parts_of(invoice)
        details = asked.shop.rows("order_details", id_order=order["id"])
        assert [(d["product_reference"], d["product_quantity"]) for d in details] == [
            (i.code, i.quantity) for i in goods
        ]
        assert [Decimal(d["unit_price_tax_excl"]) for d in details] == [i.price for i in goods]
        assert abs(Decimal(order["total_shipping_tax_excl"]) - shipping) < PENNY


def test_vat_is_charged_in_the_united_kingdom_only(asked):
    """Abroad no line names a tax; at home 20 %, some goods 0 %, vouchers none."""
    rates = defaultdict(set)
    for order in asked.shop.rows("orders"):
        country = asked.shop.get("addresses", order["id_address_invoice"])["id_country"]
        for detail in asked.shop.rows("order_details", id_order=order["id"]):
            taxes = (detail["associations"] or {}).get("taxes", [])
            rates[country == 17].add(tuple(t["id"] for t in taxes))
    assert rates[False] == {()}
    assert {(1,), (2,)} <= rates[True] <= {(1,), (2,), ()}


def test_a_covered_credit_is_a_slip_of_the_sale_that_it_takes_back(asked, invoices):
    """Same customer, earlier, no more than was sold, and the credit's worth in all its slips together."""
    worth: dict[str, Decimal] = defaultdict(Decimal)
    by_moment = defaultdict(list)
    for number, invoice in invoices.items():
        if invoice.credit:
            by_moment[str(invoice.when)].append(number)
    slips = asked.shop.rows("order_slip")
    assert slips
    for slip in slips:
        order = asked.shop.get("orders", slip["id_order"])
        assert slip["id_customer"] == order["id_customer"]
        assert slip["date_add"] >= order["date_add"]
        if Decimal(order["total_paid_tax_incl"]):
            refunded = sum(
                Decimal(s["total_products_tax_incl"]) + Decimal(s["total_shipping_tax_incl"])
                for s in asked.shop.rows("order_slip", id_order=order["id"])
            )
            assert refunded <= Decimal(order["total_paid_tax_incl"])
        for number in by_moment[slip["date_add"]]:
            worth[number] += Decimal(slip["total_products_tax_excl"]) + Decimal(
                slip["total_shipping_tax_excl"]
            )
    found = matched(
        sorted(invoices.values(), key=lambda i: (i.when, i.number)),
        {n for n in invoices if not n.startswith("C")},
    )
    uncovered = {i.number for i, _ in found.uncovered}
    for number, amount in worth.items():
        if number not in uncovered:
            expected = -sum(
                (i.amount for i in invoices[number].lines if i.kind != "fee" and i.amount < 0), Decimal(0)
            )
            assert abs(amount - expected) < PENNY * 5, number


def test_a_kept_uncovered_credit_pays_out_more_than_was_paid(asked):
    """Its order is worth nothing: that is how it can be told."""
    empty = [o for o in asked.shop.rows("orders") if o["reference"].startswith("C")]
    assert empty
    for order in empty:
        assert Decimal(order["total_paid_tax_incl"]) == 0
        assert asked.shop.rows("order_payments", order_reference=order["reference"]) == []
        slip = asked.shop.rows("order_slip", id_order=order["id"])[0]
        assert Decimal(slip["total_products_tax_incl"]) > 0


def test_who_has_no_number_is_a_guest(asked, invoices):
    """One guest an invoice, with an address."""
    guests = {c["id"] for c in asked.shop.rows("customers") if c["is_guest"] == "1"}
    for order in asked.shop.rows("orders"):
        assert (order["id_customer"] in guests) == (invoices[order["reference"]].customer == 0)
    assert len(guests) == sum(1 for o in asked.shop.rows("orders") if o["id_customer"] in guests)


def test_a_stock_code_keeps_its_first_spelling_and_a_missing_name_is_filled_in():
    """One product whatever the case."""
    when = datetime(2011, 1, 1)  # noqa: DTZ001
    rows = [
        ("1", "85123a", "HEART", 1, when, "2.5", 5, "France"),
        ("2", "85123A", "HEART", 1, when, "2.5", 5, "France"),
        ("3", "85123A ", None, 1, when, "2.5", 5, "France"),
    ]
    lines = [line for i in gathered(rows) for line in i.lines]
    assert {(line.code, line.name) for line in lines} == {("85123a", "HEART")}


def test_special_codes_are_told_apart():
    """Carriage, discounts, free lines, fees."""
    kinds = {
        code: kind_of(code)
        for code in ("POST", "dot", "C2", "D", "m", "S", "BANK CHARGES", "CRUK", "85123A", "PADS")
    }
    assert kinds == {
        "POST": "shipping", "dot": "shipping", "C2": "shipping", "D": "discount", "m": "manual", "S": "manual",
        "BANK CHARGES": "fee", "CRUK": "fee", "85123A": "product", "PADS": "product",
    }  # fmt: skip


def line(code: str, quantity: int, price: str) -> Line:
    return Line(code, code, quantity, Decimal(price), kind_of(code))


def invoice(number: str, day: int, *lines: Line, customer: int = 5) -> Invoice:
    return Invoice(number, datetime(2011, 1, day), customer, "France", list(lines))  # noqa: DTZ001


def test_a_credit_takes_back_the_newest_sales_first_and_only_what_is_left():
    """Over two sales, then no more."""
    sales = [invoice("1", 1, line("A", 3, "2.00")), invoice("2", 2, line("A", 2, "2.00"))]
    first, second = invoice("C3", 3, line("A", -4, "2.00")), invoice("C4", 4, line("A", -2, "2.00"))
    found = matched([*sales, first, second], {"1", "2"})
    assert [(c.sale, c.parts[0].quantity) for _, c in found.credits] == [("2", 2), ("1", 2)]
    assert [i.number for i, _ in found.uncovered] == ["C4"]


def test_a_credit_at_a_higher_price_or_of_another_customer_is_uncovered():
    """Nobody gets back more than was paid."""
    sale = invoice("1", 1, line("A", 3, "2.00"))
    dearer = invoice("C2", 2, line("A", -1, "2.50"))
    stranger = invoice("C3", 2, line("A", -1, "2.00"), customer=6)
    guest = invoice("C4", 2, line("A", -1, "2.00"), customer=0)
    found = matched([sale, dearer, stranger, guest], {"1"})
    assert found.credits == []
    assert [i.number for i, _ in found.uncovered] == ["C2", "C3", "C4"]


def test_carriage_and_later_corrections_are_taken_back_too():
    """POST from the sale's shipping, a manual correction as an amount of one piece."""
    sale = invoice("1", 1, line("A", 3, "20.00"), line("POST", 1, "18.00"))
    credit = invoice("C2", 5, line("POST", -1, "18.00"), line("M", -1, "7.50"))
    ((_, found),) = matched([sale, credit], {"1"}).credits
    assert found.shipping == Decimal("18.00")
    assert [(p.quantity, p.amount) for p in found.parts] == [(1, Decimal("7.50"))]


def test_a_discount_within_a_day_is_the_cart_rule_of_the_sale():
    """Later it is a refund."""
    sale = invoice("1", 1, line("A", 3, "20.00"))
    soon, late = invoice("C2", 2, line("D", -1, "6.00")), invoice("C3", 9, line("D", -1, "6.00"))
    assert matched([sale, soon], {"1"}).discounts == {"1": Decimal("6.00")}
    assert matched([sale, late], {"1"}).credits[0][1].parts[0].amount == Decimal("6.00")


@settings(max_examples=60, deadline=None)
@given(
    sold=st.lists(st.tuples(st.sampled_from("XY"), st.integers(1, 9)), min_size=1, max_size=6),
    back=st.lists(st.tuples(st.sampled_from("XY"), st.integers(1, 12)), max_size=6),
)
def test_no_more_of_anything_is_taken_back_than_was_sold(sold, back):
    """Whatever is sold and credited."""
    sales = [invoice(str(i), 1 + i, line(code, n, "3.00")) for i, (code, n) in enumerate(sold)]
    credits_given = [
        invoice(f"C{90 + i}", 20 + i, line(code, -n, "3.00")) for i, (code, n) in enumerate(back)
    ]
    found = matched([*sales, *credits_given], {s.number for s in sales})
    taken: dict[str, int] = defaultdict(int)
    for _, credit in found.credits:
        taken[credit.sale] += sum(p.quantity for p in credit.parts)
    assert all(taken[s.number] <= s.lines[0].quantity for s in sales)
    covered = sum(taken.values())
    refused = sum(-i.quantity for _, lines in found.uncovered for i in lines)
    assert covered + refused == sum(n for _, n in back)


def test_every_country_of_the_data_has_a_place(asked):
    """And Spain its identity number, as the shop demands."""
    countries = asked.shop.tables["countries"]
    for place in COUNTRIES.values():
        assert place.country in countries
        assert not place.state or place.state in asked.shop.tables["states"]
        assert place.dni == (countries.value(place.country, "need_identification_number") == "1")


def test_the_same_seed_makes_the_same_shop_and_another_does_not():
    """Taxes and days of payment are drawn by seed."""
    shops = [{name: list(rows) for name, rows in Retail(seed=seed)()} for seed in (1, 1, 2)]
    assert shops[0] == shops[1]
    assert shops[0]["order_details"] != shops[2]["order_details"]


def test_a_directory_without_the_data_is_refused(tmp_path):
    """In words."""
    with pytest.raises(SettingsError, match=r"online_retail\.parquet"):
        Asked("retail", retail_data=tmp_path)


def test_any_number_comes_out_of_the_parquet_files(tmp_path):
    """Made here of the bundled lines: overlapping rows of the two files count once."""
    import duckdb

    rows = [
        (i.number, x.code, x.name, x.quantity, i.when, float(x.price), i.customer or None, i.country)
        for i in read(None, 300)
        for x in i.lines
    ]
    with duckdb.connect() as connection:
        connection.execute(
            "create table t (InvoiceNo varchar, StockCode varchar, Description varchar, Quantity integer, "
            "InvoiceDate timestamp, UnitPrice double, CustomerID integer, Country varchar)"
        )
        connection.executemany("insert into t values (?, ?, ?, ?, ?, ?, ?, ?)", rows[:600])
        overlap = "InvoiceDate >= '2010-12-01' and InvoiceDate < '2010-12-10'"
        connection.execute(
            f"copy (select * from t where InvoiceDate < '2010-12-01' or {overlap}) to '{tmp_path}/online_retail_2009_2010.parquet'"
        )
        connection.execute(
            f"copy (select * from t where InvoiceDate >= '2010-12-01') to '{tmp_path}/online_retail.parquet'"
        )
    assert sum(len(i.lines) for i in read(tmp_path, 10_000)) == 600
    few = read(tmp_path, 10)
    assert 5 <= len(few) <= 10
