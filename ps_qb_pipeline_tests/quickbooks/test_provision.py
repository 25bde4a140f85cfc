"""Setting a company up: planned first, done once, the same end however often."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from ps_qb_pipeline.accounting.policy import PaymentMethod, Policy, TaxCode, TaxRate
from ps_qb_pipeline.errors import BooksFault
from ps_qb_pipeline.quickbooks.provision import Plan, Step, carry_out, plan, wanted_accounts
from ps_qb_pipeline.quickbooks.references import References
from ps_qb_pipeline_tests.quickbooks.sandbox import running

POLICY = Policy(
    tax_codes={
        "FR20": TaxCode((TaxRate("French VAT 20", Decimal(20)),), agency="Impots"),
        "FR55": TaxCode((TaxRate("French VAT 5.5", Decimal("5.5")),), agency="Impots"),
        "OOS": TaxCode(()),
    },
    methods={
        "stripe": PaymentMethod(labels=("Card",), account="Clearing:Stripe {CUR}", books_name="Stripe"),
        "wire": PaymentMethod(kind="wire", account="Bank:Main {CUR}"),
    },
    locations={1: "Boutique"},
    fees_tax_code="FR20",
)


@pytest.fixture(scope="module")
def sandbox():
    with running() as company:
        yield company


def test_a_new_company_is_set_up_and_then_nothing_is_missing(sandbox):
    """Every step succeeds against real rules; a second plan, from fresh names, is empty."""
    books = sandbox.books()
    names = References.read(books)
    first = plan(POLICY, names, currencies=["CHF"])
    entities = {step.entity for step in first.steps}
    assert {"Account", "TaxCode", "Item", "PaymentMethod", "Department", "CompanyCurrency"} <= entities
    assert carry_out(first, books, names) == first.steps
    assert plan(POLICY, names, currencies=["CHF"]).steps == ()
    again = References.read(books)
    assert plan(POLICY, again, currencies=["CHF"]).steps == ()
    assert again.tax_rate("FR55", Decimal("5.5")) is not None
    assert again.tax_rate("FR20", Decimal(20), purchase=True) is not None
    assert again.account("Clearing:Stripe CHF") != again.account("Clearing:Stripe EUR")


def test_what_is_there_already_is_used_whatever_its_case():
    """An account that a person made is not made again."""
    tables = {
        "preferences": [{"home_currency": "EUR", "multi_currency": False}],
        "accounts": [{"id": "1", "name": "SALES of Goods"}],
    }
    steps = plan(POLICY, References(tables)).steps
    assert "Sales of goods" not in {step.name for step in steps}
    names = [step.name for step in steps if step.entity == "Account"]
    parents = [name for name in names if name.startswith("Clearing") and "Unproved" not in name]
    assert parents == ["Clearing", "Clearing:Reserves EUR", "Clearing:Stripe EUR"]


def problems(policy=POLICY, currencies=(), **preferences):
    known = {
        "home_currency": "EUR",
        "multi_currency": True,
        "using_sales_tax": True,
        "custom_txn_numbers": True,
    }
    return plan(policy, References({"preferences": [known | preferences]}), currencies=currencies).problems


@pytest.mark.parametrize(
    ("preferences", "currencies", "word"),
    [
        ({"multi_currency": False}, ["EUR", "USD"], "never be switched off again"),
        ({"custom_txn_numbers": False}, [], "custom transaction numbers"),
        ({"using_sales_tax": False}, [], "sales tax is off"),
        ({"home_currency": "GBP"}, [], "home currency is GBP"),
        ({"track_departments": False}, [], "does not track them"),
    ],
)
def test_what_only_a_person_can_change_is_a_problem_not_a_step(preferences, currencies, word):
    """QuickBooks' own settings are never switched by us."""
    (problem,) = problems(currencies=currencies, **preferences)
    assert word in problem


def test_a_good_company_has_no_problems():
    """Nothing is asked of a person without need."""
    assert problems() == ()
    assert problems(replace(POLICY, tax_mode="NO_TAX"), using_sales_tax=False) == ()


def test_a_code_with_another_rate_is_a_problem():
    """Nobody's tax code is redefined."""
    tables = {
        "preferences": [{"home_currency": "EUR"}],
        "tax_codes": [{"id": "1", "name": "FR20", "sales_tax_rates": [{"TaxRateRef": {"value": "9"}}]}],
        "tax_rates": [{"id": "9", "rate_value": Decimal("19.6")}],
    }
    (problem,) = plan(POLICY, References(tables)).problems
    assert "FR20 has 19.6 %" in problem
    assert "20 %" in problem


def test_an_inactive_account_is_a_problem():
    """It would block its own re-creation, and only a person may wake it up."""
    tables = {"accounts": [{"id": "1", "name": "Sales of goods", "active": False}]}
    found = plan(POLICY, References(tables)).problems
    assert any("Sales of goods exists but is inactive" in problem for problem in found)


def test_summary_and_guest_customers_are_planned_per_currency():
    """Only where the policy uses them."""
    policy = replace(POLICY, posting="daily", customer_names="pseudonymous")
    steps = plan(policy, References({"preferences": [{"multi_currency": True}]}), currencies=["USD"]).steps
    assert [step.name for step in steps if step.entity == "Customer"] == [
        "PS Daily EUR",
        "PS Daily USD",
        "PS Guests EUR",
        "PS Guests USD",
    ]


def test_a_refusal_names_what_could_not_be_created(sandbox):
    """The message says which thing and what to do."""
    books = sandbox.books()
    names = References.read(books)
    books.create("Class", b'{"Name":"Taken"}', "class-1")
    with pytest.raises(BooksFault, match=r"Class 'Taken'.*6240"):
        carry_out(Plan((Step("Class", "Taken"),)), books, names)


def test_every_account_of_the_policy_is_wanted_in_the_currencies_it_is_used_in():
    """Templates with {CUR} once a currency, the others once."""
    wanted = [(name, currency) for name, _, currency in wanted_accounts(POLICY, ["EUR", "USD"])]
    assert ("Clearing:Stripe EUR", "EUR") in wanted
    assert ("Clearing:Stripe USD", "USD") in wanted
    assert wanted.count(("Discounts given", "EUR")) == 1
