"""Properties of every document that any checkout or the corpus gives."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.accounting import intake, summaries, translate, trust
from ps_qb_pipeline.accounting.documents import Document, Translation, from_json, to_json
from ps_qb_pipeline.accounting.forms import computed
from ps_qb_pipeline.accounting.money import minor_unit
from ps_qb_pipeline.accounting.policy import PaymentMethod, Policy, TaxCode, TaxRate, TaxRule
from ps_qb_pipeline_tests.corpus_engine import boutique_policy, bundled, load
from ps_qb_pipeline_tests.properties.checkout import RATES, Cart, Checkout, carts
from ps_qb_pipeline_tests.properties.mutations import Corpus, unnoticed

LONG_AGO = date(2000, 1, 1)
CORPUS = os.environ.get("PSQB_CORPUS", "")
NAMES = {1: "FR20", 2: "FR55", 3: "FR10", 4: "FR21"}


def policy(**changes: object) -> Policy:
    codes = {NAMES[number]: TaxCode((TaxRate(NAMES[number], rate),)) for number, rate in RATES.items()}
    rules = tuple(TaxRule(NAMES[number], (rate,), ("FR",)) for number, rate in RATES.items())
    return Policy(
        tax_codes={**codes, "EX0": TaxCode((TaxRate("EX0", Decimal(0)),))},
        tax_rules=(*rules, TaxRule("EX0", scheme="exempt")),
        methods={
            "Card": PaymentMethod(("Credit card",), account="Clearing:Card {CUR}", code="CRD"),
            "PayPal": PaymentMethod(("PayPal",), account="Clearing:PayPal {CUR}", code="PP"),
            "Wire": PaymentMethod(("Bank transfer",), kind="wire", account="Bank:Main {CUR}", code="BW"),
        },
        **changes,  # type: ignore[arg-type]
    )


PLAIN = policy(tax_amounts="override")
COMPUTED = policy()
DAILY = policy(posting="daily")


def translated(shop: Checkout, rules: Policy) -> list[Translation]:
    return [translate.translate(group, rules, go_live=LONG_AGO) for group in intake.groups(shop.tables)]


def documents_of(made: Iterable[Translation]) -> list[Document]:
    return [document for one in made for document in one.documents]


def assert_sound(document: Document) -> None:
    """Lines, taxes and total of one document agree to the cent."""
    unit = minor_unit(document.currency)
    lines = sum((line.amount for line in document.lines), Decimal(0))
    taxes = sum((tax.amount for tax in document.taxes), Decimal(0))
    if document.lines:
        assert lines + document.total_tax == document.total
        assert taxes == document.total_tax
    for amount in (document.total, document.total_tax, document.unapplied):
        assert amount == amount.quantize(unit)
    for line in document.lines:
        assert line.amount == line.amount.quantize(unit)
        if line.quantity is not None and line.unit_price is not None:
            assert (line.quantity * line.unit_price).quantize(unit, "ROUND_HALF_UP") == line.amount
    for code in {tax.code for tax in document.taxes}:
        base = sum((line.amount for line in document.lines if line.tax_code == code), Decimal(0))
        assert all(tax.base == base for tax in document.taxes if tax.code == code) or len(document.taxes) > 1
    assert sum(
        (part.amount for part in document.applied), Decimal(0)
    ) + document.unapplied == document.total or (document.role == "credit" or not document.applied)
    assert len(document.doc_number) <= 21


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(carts(), min_size=1, max_size=3))
def test_every_fresh_order_is_booked_with_its_own_total_and_tax(basket: list[Cart]) -> None:
    """A sale's total and tax are the order's, whatever the rounding, and nothing is held."""
    shop = Checkout()
    for cart in basket:
        shop.place(cart)
    made = translated(shop, PLAIN)
    assert [source.status for one in made for source in one.sources if source.type == "order"] == [
        "postable"
    ] * len(basket)
    sales = {document.order_id: document for document in documents_of(made) if document.role == "sale"}
    for row in shop.tables["orders"]:
        sale = sales[row["id"]]
        assert sale.total == row["total_paid_tax_incl"]
        assert sale.total_tax == row["total_paid_tax_incl"] - row["total_paid_tax_excl"]
        assert_sound(sale)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(carts())
def test_the_computed_form_is_what_quickbooks_computes(cart: Cart) -> None:
    """In the computed form each tax is its base times its rate, half-up, and totals stay the order's."""
    shop = Checkout()
    shop.place(cart)
    plain, formed = (documents_of(translated(shop, rules)) for rules in (PLAIN, COMPUTED))
    for document in formed:
        assert_sound(document)
        for tax in document.taxes:
            assert computed(tax.base, tax.rate, document.currency) == tax.amount
    assert [(d.key, d.total, d.total_tax) for d in plain] == [(d.key, d.total, d.total_tax) for d in formed]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    carts(),
    st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 12)), min_size=1, max_size=3), max_size=3),
)
def test_refunds_never_exceed_what_was_paid(cart: Cart, slips: list[list[tuple[int, int]]]) -> None:
    """However many slips there are, what is given back stays within the order; the rest is held."""
    shop = Checkout()
    order = shop.place(cart)
    for number, picks in enumerate(slips, start=1):
        shop.refund(order, number, picks)
    made = translated(shop, COMPUTED)
    given_back = sum((d.total for d in documents_of(made) if d.role == "refund"), Decimal(0))
    assert given_back <= shop.tables["orders"][0]["total_paid_tax_incl"]
    for document in documents_of(made):
        assert_sound(document)
    slip_sources = [source for one in made for source in one.sources if source.type == "slip"]
    assert len(slip_sources) == len(slips)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(carts(), min_size=1, max_size=4))
def test_every_source_is_in_exactly_one_class(basket: list[Cart]) -> None:
    """Each order, payment and slip has one source, and money in documents is money of sources."""
    shop = Checkout()
    for cart in basket:
        shop.place(cart)
    made = translated(shop, COMPUTED)
    seen = [(source.type, source.source_id) for one in made for source in one.sources]
    assert len(seen) == len(set(seen)) == len(basket) * 2
    for one in made:
        keys = {document.key for document in one.documents}
        assert {source.document_key for source in one.sources if source.status == "postable"} <= keys


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(carts(), min_size=1, max_size=5))
def test_a_daily_summary_is_the_sum_of_its_orders(basket: list[Cart]) -> None:
    """Totals and taxes of the summaries and of what stays per order are those of the orders."""
    shop = Checkout()
    for cart in basket:
        shop.place(cart)
    documents = documents_of(translated(shop, DAILY))
    made = summaries.summarise(documents, DAILY)
    for attribute in ("total", "total_tax"):
        assert sum(getattr(d, attribute) for d in documents) == sum(
            getattr(d, attribute) for d in made.documents
        )
    for document in made.documents:
        if document.role == "summary":
            assert_sound(document)
            members = [d for d in documents if d.key in made.members[document.key]]
            assert document.total == sum(d.total for d in members)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(carts())
def test_rendering_twice_gives_the_same_bytes(cart: Cart) -> None:
    """The same rows give byte-identical documents, and JSON gives the document back."""
    shop = Checkout()
    shop.place(cart)
    first, second = (documents_of(translated(shop, COMPUTED)) for _ in range(2))
    assert [to_json(document) for document in first] == [to_json(document) for document in second]
    assert [from_json(to_json(document)) for document in first] == first


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(carts())
def test_fresh_orders_obey_the_shops_identities(cart: Cart) -> None:
    """I1, I3, I4 and I7 hold within their bounds for every checkout."""
    shop = Checkout()
    shop.place(cart)
    (group,) = intake.groups(shop.tables)
    order = group.orders[0]
    verdict = trust.check(order, order.shipping)
    assert verdict.code == ""
    assert trust.within(verdict.gap, trust.bound(order))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(carts(), min_size=3, max_size=3), st.integers(0, 10_000))
def test_no_shifted_cent_goes_unnoticed(basket: list[Cart], seed: int) -> None:
    """Any stored amount that moves by a cent changes a document or the findings."""
    shop = Checkout()
    for cart in basket:
        shop.place(cart)
    shop.refund(1, 1, [(0, 1)])
    assert unnoticed(Corpus(shop.tables, COMPUTED), 8, seed) == []


# -- over orders that a real shop computed ---------------------------------------------------


@pytest.fixture(scope="module")
def computed_orders() -> Corpus:
    """The sandbox's bundled orders, or all of those that PSQB_CORPUS names."""
    tables = load(Path(CORPUS)) if CORPUS else bundled()
    return Corpus(tables, boutique_policy())


def test_documents_of_a_real_shop_are_sound(computed_orders: Corpus) -> None:
    """Every document of orders that a real PrestaShop computed adds up to the cent."""
    count = 0
    for rows in computed_orders.groups.values():
        for document in documents_of(computed_orders.translate(rows)):
            assert_sound(document)
            count += 1
    assert count > 200


def test_no_shifted_cent_of_a_real_shop_goes_unnoticed(computed_orders: Corpus) -> None:
    """Random shifts are all noticed; the command of ``mutations`` tries thousands."""
    assert unnoticed(computed_orders, 300, seed=random.randrange(1_000_000)) == []
