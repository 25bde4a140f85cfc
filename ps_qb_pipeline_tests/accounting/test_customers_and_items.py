"""Cards of customers and items: found again, never merged silently."""

from __future__ import annotations

from dataclasses import replace

from ps_qb_pipeline.accounting.customers import card, layout
from ps_qb_pipeline.accounting.items import identify
from ps_qb_pipeline.accounting.shop import Address, Person
from ps_qb_pipeline_tests.accounting.factory import FRANCE, QUEBEC, SHOP, detail, order, policy

ADA = Person(5, "Ada", "Sample", "Ada@Example.test")


def test_one_address_is_one_customer_whoever_signs_up() -> None:
    """Guests and accounts of one e-mail address share a card, also with capitals; currencies do not."""
    first = card(order(customer=ADA), policy())
    guest = card(order(customer=Person(9, "A.", "Sample", "ada@example.test", is_guest=True)), policy())
    dollars = card(order(customer=ADA, currency="USD"), policy())
    assert first.key == guest.key != dollars.key
    assert (first.display_name, dollars.display_name) == ("Ada Sample", "Ada Sample USD")


def test_keys_hold_no_personal_data() -> None:
    """Keys go into notes and logs; the address must not."""
    made = card(order(customer=ADA), policy())
    assert "ada" not in made.key.lower()
    assert "example" not in made.key


def test_without_an_address_the_vat_number_identifies_then_the_shops_number() -> None:
    """Two accounts of one company without e-mail are one customer."""
    firm = replace(FRANCE, company="Works", vat_number="FR 40 303265045")
    cards = [card(order(customer=Person(n), invoice_address=firm), policy()) for n in (5, 6)]
    assert cards[0].key == cards[1].key
    assert cards[0].vat_number == "FR40303265045"
    assert cards[0].display_name == "Works"
    assert card(order(customer=Person(6)), policy()).key != card(order(customer=Person(7)), policy()).key


def test_pseudonymous_cards_hold_nothing_of_the_person() -> None:
    """Only a number and the currency; every guest is the same customer."""
    rules = policy(customer_names="pseudonymous")
    made = card(order(customer=ADA), rules)
    assert made.display_name == "PS C5"
    assert (made.email, made.given_name, made.billing) == ("", "", None)
    assert card(order(customer=replace(ADA, is_guest=True)), rules).display_name == "PS Guests EUR"


def test_addresses_are_laid_out_for_the_books() -> None:
    """Street lines, city, postal code, the subdivision without its country, the country."""
    made = layout(replace(QUEBEC, subdivision="CA-QC", address2="Door 2"))
    assert made is not None
    assert (made.line1, made.line2, made.subdivision, made.country) == ("3 Rue", "Door 2", "QC", "CA")
    assert layout(None) is None
    assert layout(Address(address2="only a second line")).line1 == "only a second line"  # type: ignore[union-attr]


def test_items_are_named_by_sku() -> None:
    """The SKU of the order line, without what QuickBooks forbids in names."""
    made = identify(detail(sku="A:B\tC"), SHOP, policy())
    assert (made.item.key, made.item.name, made.code) == ("sku:A:B\tC", "A-B C", "")


def test_an_empty_sku_is_named_by_number() -> None:
    """Products without a SKU never share an item."""
    made = identify(detail(3, sku="", product_attribute_id=4), SHOP, policy())
    assert (made.item.key, made.item.name, made.code) == ("ps:3-4", "PS 3-4", "SKU_EMPTY")


def test_skus_that_two_products_share_or_spell_differently_stay_apart() -> None:
    """The same SKU on two products, or one that differs by case only, is named by number and said."""
    shared = replace(
        SHOP, sku_owners={"dup": frozenset({(1, "DUP"), (2, "DUP")}), "abc": frozenset({(1, "abc")})}
    )
    assert identify(detail(1, sku="DUP"), shared, policy()).item.name == "DUP (1-0)"
    assert identify(detail(1, sku="ABC"), shared, policy()).code == "SKU_CLASH"
    assert identify(detail(1, sku="abc"), shared, policy()).code == ""


def test_variants_may_share_their_products_sku() -> None:
    """A combination without a SKU of its own carries the product's: one item for both is meant."""
    shared = replace(SHOP, sku_owners={"shirt": frozenset({(7, "SHIRT")})})
    keys = {
        identify(detail(7, sku="SHIRT", product_attribute_id=n), shared, policy()).item.key for n in (1, 2)
    }
    assert keys == {"sku:SHIRT"}
