"""What a shop's history says about its policy: the draft covers everything that was seen."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter

from ps_qb_pipeline.accounting import intake, survey, translate
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline_tests.accounting.factory import LONG_AGO
from ps_qb_pipeline_tests.corpus_engine import bundled


@pytest.fixture(scope="module")
def groups() -> list[Any]:
    return list(intake.groups(bundled()))


@pytest.fixture(scope="module")
def drafted(groups: list[Any]) -> Policy:
    plain = survey.draft(survey.survey(groups), seller_country="FR", home_currency="EUR")
    return TypeAdapter(Policy).validate_python({**plain, "store_credit_policy": "discount"})


def held(groups: list[Any], policy: Policy) -> survey.Coverage:
    return survey.coverage(translate.translate(group, policy, go_live=LONG_AGO) for group in groups)


def test_a_draft_maps_every_rate_and_label_that_was_seen(groups: list[Any], drafted: Policy) -> None:
    """Nothing is held for want of a mapping, and nearly everything would post."""
    found = held(groups, drafted)
    assert not {"TAX_CODE_UNMAPPED", "METHOD_UNMAPPED"} & found.held.keys()
    assert found.share > 95
    assert found.money_posts["EUR"] > 0


def test_names_of_codes_are_short_and_rates_are_named_once(drafted: Policy) -> None:
    """QuickBooks takes ten characters; a rate name stands for one percent."""
    assert all(len(name) <= survey.NAME_LENGTH for name in drafted.tax_codes)
    percents: dict[str, Any] = {}
    for code in drafted.tax_codes.values():
        for rate in code.rates:
            assert percents.setdefault(rate.name, rate.percent) == rate.percent


def test_what_only_an_accountant_knows_is_left_open(groups: list[Any], drafted: Policy) -> None:
    """Without an answer on store credit the orders that use it are held, and the survey counts them."""
    plain = survey.draft(survey.survey(groups), seller_country="FR", home_currency="EUR")
    open_ = TypeAdapter(Policy).validate_python(plain)
    assert open_.store_credit_policy == ""
    seen = survey.survey(groups)
    assert seen.store_credit > 0
    assert held(groups, open_).held["STORE_CREDIT_UNDECIDED"] > 0
    assert held(groups, open_).share < held(groups, drafted).share


def test_a_missing_rate_shows_in_the_coverage(groups: list[Any], drafted: Policy) -> None:
    """Without its German codes the policy holds the German orders, in orders and money."""
    from dataclasses import replace

    poorer = replace(
        drafted, tax_rules=tuple(rule for rule in drafted.tax_rules if "DE" not in rule.countries)
    )
    found = held(groups, poorer)
    assert found.held["TAX_CODE_UNMAPPED"] > 5
    assert found.money_held["EUR"] > held(groups, drafted).money_held["EUR"]


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Credit card", "card"),
        ("Wire payment", "wire"),
        ("Virement bancaire", "wire"),
        ("Payments by check", "cheque"),
        ("Cash on delivery (COD)", "cod"),
        ("Free order", "free"),
        ("PayPal", "card"),
    ],
)
def test_the_kind_of_a_method_is_told_by_its_label(label: str, kind: str) -> None:
    """A person can change it; the draft starts with what the words say."""
    seen = survey.Survey()
    seen.labels[label, "EUR"] += 1
    (method,) = survey.draft(seen, seller_country="FR", home_currency="EUR")["methods"].values()
    assert method["kind"] == kind


def test_a_rate_of_a_set_is_never_that_of_a_single_code() -> None:
    """Sales at 5 % and at 5 + 7 % may share a document: each sum has a tax rate, and so cents, of its own."""
    five, seven = Decimal(5), Decimal(7)
    seen = survey.Survey(orders=2)
    seen.rates["CA", "BC", (five,)] = 1
    seen.rates["CA", "BC", (five, seven)] = 1
    made = survey.draft(seen, seller_country="FR", home_currency="EUR")
    code_of = {tuple(rule.get("rates", ())): rule["code"] for rule in made["tax_rules"]}
    names = {
        rates: {rate["name"] for rate in made["tax_codes"][code]["rates"]} for rates, code in code_of.items()
    }
    assert not names["5",] & names["5", "7"]
    alone = [code for code in made["tax_codes"].values() if len(code["rates"]) == 1]
    assert names["5", "7"] <= {code["rates"][0]["name"] for code in alone}
