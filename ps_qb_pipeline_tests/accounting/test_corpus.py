"""The judge of a corpus, and its verdict where a corpus is at hand (PSQB_CORPUS)."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from ps_qb_pipeline.accounting import intake, translate
from ps_qb_pipeline_tests import corpus_engine
from ps_qb_pipeline_tests.accounting.factory import LONG_AGO, d
from ps_qb_pipeline_tests.corpus_engine import (
    Judge,
    Outcome,
    boutique_policy,
    bundled,
    load,
    outcome_of,
    read_truth,
)

CORPUS = os.environ.get("PSQB_CORPUS", "")
needs_corpus = pytest.mark.skipif(
    not CORPUS, reason="PSQB_CORPUS names no folder of orders with their hidden rows"
)
MISMATCHES = [f"{name}_mismatch" for name in ("total", "refund", "payment", "date", "currency", "customer")]


@pytest.fixture(scope="module")
def bundle() -> tuple[Judge, Outcome]:
    tables = bundled()
    made = [
        translate.translate(group, boutique_policy(), go_live=LONG_AGO) for group in intake.groups(tables)
    ]
    judge = Judge(tables, {"order_detail_tax": [], "order_invoice_tax": []})
    return judge, outcome_of(made)


def test_the_bundled_shop_is_booked_without_a_mismatch(bundle: tuple[Judge, Outcome]) -> None:
    """Totals, refunds, payments, dates, currencies and customers are the shop's own; nothing is unclassified."""
    judge, outcome = bundle
    figures = judge.verdict(outcome)
    assert {name: figures[name] for name in MISMATCHES} == dict.fromkeys(MISMATCHES, 0)
    assert figures["unclassified"] == "0.00"
    assert figures["sane_held"] <= figures["sane"] * 0.03
    assert figures["confirmed"] > 150


@pytest.mark.parametrize(
    ("role", "change", "figure"),
    [
        ("sale", {"total": "+"}, "total_mismatch"),
        ("refund", {"total": "+"}, "refund_mismatch"),
        ("sale", {"txn_date": LONG_AGO}, "date_mismatch"),
        ("sale", {"currency": "XXX"}, "currency_mismatch"),
        ("sale", {"customer": "somebody else"}, "customer_mismatch"),
    ],
)
def test_the_judge_sees_what_books_got_wrong(
    bundle: tuple[Judge, Outcome], role: str, change: dict, figure: str
) -> None:
    """One document that differs is one mismatch, or more where others depend on it."""
    judge, outcome = bundle
    wrong = next(one for one in outcome.booked if one.role == role)
    values = {name: wrong.total + d("0.01") if value == "+" else value for name, value in change.items()}
    booked = [dataclasses.replace(one, **values) if one is wrong else one for one in outcome.booked]
    if "customer" in change:
        other = next(one for one in outcome.booked if one.role == role and one.customer != wrong.customer)
        booked = [
            dataclasses.replace(one, customer=other.customer) if one is wrong else one
            for one in outcome.booked
        ]
    assert judge.verdict(Outcome(booked, outcome.sources, outcome.findings))[figure] > 0


def test_an_order_that_nobody_classified_is_counted(bundle: tuple[Judge, Outcome]) -> None:
    """A sale that vanished without a class shows in the figure that must be zero."""
    judge, outcome = bundle
    gone = next(one for one in outcome.booked if one.role == "sale" and one.total)
    left = Outcome(
        [one for one in outcome.booked if one is not gone],
        [source for source in outcome.sources if source[:2] != ("order", gone.source_id)],
        outcome.findings,
    )
    assert judge.verdict(left)["unclassified"] == f"{gone.total:.2f}"


def test_store_credit_may_count_as_money() -> None:
    """Under the other policy refunds as vouchers move no money and their use bears full tax."""
    tables = bundled()
    rules = boutique_policy(store_credit_policy="payment")
    made = [translate.translate(group, rules, go_live=LONG_AGO) for group in intake.groups(tables)]
    judge = Judge(tables, {"order_detail_tax": [], "order_invoice_tax": []}, store_credit="payment")
    figures = judge.verdict(outcome_of(made))
    assert {name: figures[name] for name in MISMATCHES} == dict.fromkeys(MISMATCHES, 0)
    codes = {finding.code for one in made for finding in one.findings}
    assert "TAX_STORE_CREDIT_GROSSUP" in codes
    assert "STORE_CREDIT_ISSUED" not in codes


@needs_corpus
def test_the_corpus_is_booked_without_a_mismatch(capsys: pytest.CaptureFixture[str]) -> None:
    """Every figure of the command, tax per rate by the hidden rows included."""
    assert corpus_engine.main([CORPUS]) == 0
    assert "mismatch" in capsys.readouterr().out


@needs_corpus
def test_another_tax_than_the_shops_is_a_mismatch() -> None:
    """The judge compares tax by rate, not only its sum."""
    tables = load(Path(CORPUS))
    judge = Judge(tables, read_truth(Path(CORPUS)))
    made = [
        translate.translate(group, boutique_policy(), go_live=LONG_AGO) for group in intake.groups(tables)
    ]
    outcome = outcome_of(made)
    mixed = next(one for one in outcome.booked if one.role == "sale" and len(one.taxes) > 1)
    first, second = list(mixed.taxes)[:2]
    taxes = {**mixed.taxes, first: mixed.taxes[first] + 1, second: mixed.taxes[second] - 1}
    booked = [dataclasses.replace(one, taxes=taxes) if one is mixed else one for one in outcome.booked]
    assert judge.verdict(Outcome(booked, outcome.sources, outcome.findings))["tax_mismatch"] == 1
