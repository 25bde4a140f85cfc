"""A form from which books compute the shop's tax: balanced, minimal, or none."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ps_qb_pipeline.accounting import forms
from ps_qb_pipeline.accounting.documents import Line, TaxLine
from ps_qb_pipeline_tests.accounting.factory import d, policy

PARTS = forms.components(policy().tax_codes)


def goods(amount: str, code: str = "FR20") -> Line:
    return Line("product", "x", d(amount), code)


def test_a_document_that_computes_stays_as_it_is() -> None:
    """Nothing is added where base times rate is the tax already."""
    lines, taxes = (goods("10.00"),), (TaxLine("FR20", d(20), d("10.00"), d("2.00")),)
    assert forms.to_computed(lines, taxes, "EUR", "OOS", PARTS) == forms.Form(lines, taxes, d(0))


def test_a_base_is_moved_by_a_balanced_pair() -> None:
    """19.25 on 269.50 at 7 %: the base moves by 5.50, and an out-of-scope line takes it back."""
    taxes = (TaxLine("DE7", d(7), d("269.50"), d("19.25")),)
    form = forms.to_computed((goods("269.50", "DE7"),), taxes, "EUR", "OOS", PARTS)
    assert [(line.kind, line.item, str(line.amount), line.tax_code) for line in form.lines[1:]] == [
        ("rounding", "PS Rounding", "5.50", "DE7"),
        ("rounding", "PS Rounding", "-5.50", "OOS"),
    ]
    assert form.taxes == (TaxLine("DE7", d(7), d("275.00"), d("19.25")),)


def test_rates_of_one_code_move_apart_when_no_base_suits_both() -> None:
    """The code of a single rate carries that rate's shift, so that the other stays."""
    taxes = (
        TaxLine("CA-QC", d("9.975"), d("100.00"), d("9.98")),
        TaxLine("CA-QC", d(5), d("100.00"), d("5.30")),
    )
    form = forms.to_computed((goods("100.00", "CA-QC"),), taxes, "EUR", "OOS", PARTS)
    added = {line.tax_code: line.amount for line in form.lines[1:]}
    assert added == {"QC-GST": d("6.00"), "OOS": d("-6.00")}
    for tax in form.taxes:
        assert forms.computed(tax.base, tax.rate, "EUR") == tax.amount


def test_a_tax_on_a_rate_of_zero_has_no_form() -> None:
    """No base makes tax at 0 %."""
    taxes = (TaxLine("EX0", d(0), d("10.00"), d("0.19")),)
    assert forms.to_computed((goods("10.00", "EX0"),), taxes, "EUR", "OOS", PARTS).shifted is None


def test_net_and_gross_pairs_are_used_only_when_exact() -> None:
    """A gross that gives back its net is a pair; tax that was rounded per item is not."""
    exact = forms.to_gross((goods("10.00"),), (TaxLine("FR20", d(20), d("10.00"), d("2.00")),), "EUR")
    assert exact is not None
    assert exact[0].tax_inclusive_amount == d("12.00")
    taxes = (TaxLine("FR20", d(20), d("10.00"), d("2.08")),)
    assert forms.to_gross((goods("10.00"),), taxes, "EUR") is None


@given(
    st.integers(0, 10**7),
    st.integers(-40, 40),
    st.sampled_from(["20", "5.5", "2.1", "19", "8.875", "9.975"]),
    st.sampled_from(["EUR", "JPY"]),
)
def test_every_single_rate_has_a_form_and_stays_balanced(
    minor: int, off: int, rate: str, currency: str
) -> None:
    """Whatever the tax, a base exists that computes it, and the lines still sum to the same net."""
    unit = d("0.01") if currency == "EUR" else d(1)
    base = minor * unit
    tax = forms.computed(base, d(rate), currency) + off * unit
    lines = (goods(str(base)),)
    form = forms.to_computed(lines, (TaxLine("FR20", d(rate), base, tax),), currency, "OOS", PARTS)
    assert form.shifted is not None
    assert sum((line.amount for line in form.lines), Decimal(0)) == base
    assert forms.computed(form.taxes[0].base, d(rate), currency) == tax
