"""Which tax code a sale gets: places, schemes and the signed table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ps_qb_pipeline.accounting.coding import Coding
from ps_qb_pipeline.accounting.notes import Hold
from ps_qb_pipeline.accounting.places import in_union, is_abroad, is_other_member_state, place_of
from ps_qb_pipeline.accounting.policy import TaxRule
from ps_qb_pipeline.accounting.rules import Outcome
from ps_qb_pipeline.accounting.shop import Address, Order
from ps_qb_pipeline.accounting.tax_codes import TaxTable
from ps_qb_pipeline_tests.accounting.factory import FRANCE, GERMANY, QUEBEC, SHOP, d, detail, order, policy


def coding(shopping: Order, **changes: object) -> Coding:
    rules = policy(**changes)
    return Coding(shopping, SHOP, rules, TaxTable(rules), Outcome())


def code_of(shopping: Order, **changes: object) -> str:
    return coding(shopping, **changes).line(0, shopping.details[0]).code


def to(address: Address, **changes: object) -> Order:
    return order(detail(**changes), delivery_address=address, invoice_address=address)  # type: ignore[arg-type]


def test_a_rate_finds_its_row() -> None:
    """Rate and country choose the code."""
    assert code_of(to(FRANCE)) == "FR20"
    assert code_of(to(GERMANY, taxes=(3,))) == "DE19-OSS"


def test_a_set_of_rates_needs_one_code_that_covers_it() -> None:
    """Two taxes on a line find the code with both, in any order; another province has no row."""
    assert code_of(to(QUEBEC, taxes=(4, 5))) == code_of(to(QUEBEC, taxes=(5, 4))) == "CA-QC"
    with pytest.raises(Hold) as held:
        code_of(to(replace(QUEBEC, subdivision="ON"), taxes=(4, 5)))
    assert held.value.note.code == "TAX_CODE_UNMAPPED"


def test_a_rate_without_a_row_is_held_with_what_to_add() -> None:
    """The message names rate and place; nothing is guessed."""
    with pytest.raises(Hold, match=r"20 % in DE") as held:
        code_of(to(GERMANY))
    assert held.value.note.evidence["rates"] == ["20"]


def test_no_tax_outside_the_union_is_an_export() -> None:
    """Also where the shop has a zero rate for it."""
    assert code_of(to(QUEBEC, taxes=())) == code_of(to(QUEBEC, taxes=(6,))) == "EXP0"


def test_no_tax_for_a_business_of_another_member_state_is_intra_community() -> None:
    """The VAT number of the invoice address is the reason."""
    assert code_of(to(replace(GERMANY, vat_number="DE123456788"), taxes=())) == "RC0"


def test_no_tax_at_home_needs_a_reason() -> None:
    """A zero rate, a rule group without a rate, or a taxed neighbour explain it; nothing else does."""
    with pytest.raises(Hold) as held:
        code_of(to(FRANCE, taxes=()))
    assert held.value.note.code == "TAX_ZERO_UNEXPLAINED"
    assert code_of(to(FRANCE, taxes=(6,))) == "EX0"
    assert code_of(to(FRANCE, taxes=(), id_tax_rules_group=9)) == "EX0"
    mixed = order(detail(1, taxes=()), detail(2))
    assert coding(mixed).line(0, mixed.details[0]).code == "EX0"


def test_the_taxes_tell_which_address_was_taxed() -> None:
    """French tax on goods to Germany that are billed to France: the shop taxed the invoice address."""
    abroad = order(detail(), delivery_address=GERMANY, invoice_address=FRANCE)
    assert code_of(abroad) == "FR20"
    other = order(detail(taxes=(3,)), delivery_address=GERMANY, invoice_address=FRANCE)
    assert code_of(other) == "DE19-OSS"


def test_without_an_address_the_seller_s_country_counts() -> None:
    """A collected order has no delivery address."""
    assert code_of(order(delivery_address=None, invoice_address=None)) == "FR20"


def test_the_most_specific_row_wins() -> None:
    """A country beats the Union, the Union beats everywhere, and a kind beats none."""
    rows = (
        TaxRule("EVERY", (d(20),)),
        TaxRule("UNION", (d(20),), ("EU",)),
        TaxRule("HOME", (d(20),), ("FR",)),
        TaxRule("SHIP", (d(20),), ("FR",), kinds=("shipping",)),
    )
    table = TaxTable(policy(tax_rules=rows))
    france = place_of("FR", "", "69001", goods=True)
    assert table.taxed(france, (d(20),), "goods") == "HOME"
    assert table.taxed(france, (d(20),), "shipping") == "SHIP"
    assert table.taxed(place_of("DE", "", "", goods=True), (d(20),), "goods") == "UNION"
    assert table.taxed(place_of("JP", "", "", goods=True), (d(20),), "goods") == "EVERY"


def test_a_rule_may_force_a_scheme() -> None:
    """An accountant's rule replaces our reasoning about untaxed sales."""
    rules = policy()
    shopping = to(FRANCE, taxes=())
    forced = Coding(shopping, SHOP, rules, TaxTable(rules), Outcome(scheme="exempt"))
    assert forced.line(0, shopping.details[0]).code == "EX0"


def test_places_with_special_rules() -> None:
    """Northern Ireland counts as the Union for goods; the Canary Islands lie outside its VAT."""
    ulster = place_of("GB", "", "BT1 1AA", goods=True)
    assert in_union(ulster)
    assert is_other_member_state(ulster, "FR")
    assert is_abroad(place_of("GB", "", "BT1 1AA", goods=False), "FR")
    assert is_abroad(place_of("ES", "", "35001", goods=True), "FR")
    assert not is_abroad(place_of("MC", "", "98000", goods=True), "FR")
    assert not is_other_member_state(place_of("MC", "", "98000", goods=True), "FR")
    assert is_abroad(place_of("FR", "", "75001", goods=True), "GB")
