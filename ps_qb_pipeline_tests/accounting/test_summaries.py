"""Daily summaries: which documents join, what freezes a day, and the journal form."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ps_qb_pipeline.accounting import summaries, translate
from ps_qb_pipeline.accounting.documents import Document
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline_tests.accounting.factory import LONG_AGO, d, detail, group, order, pair, payment, policy

DAILY = policy(posting="daily")
PARIS = ZoneInfo("Europe/Paris")


def sale(number: int, rules: Policy = DAILY, **changes: Any) -> Document:
    shopping = order(detail(number), id=number, **changes)
    row = payment(str(shopping.paid.ti), id=number, currency=shopping.currency)
    return translate.translate(group(shopping, payments=(row,)), rules, go_live=LONG_AGO).documents[0]


def test_receipts_of_one_day_become_one_document() -> None:
    """Products are goods, by kind and tax code; the total is the sum."""
    made = summaries.summarise([sale(1), sale(2, shipping=pair("5.00", "6.00"))], DAILY)
    (summary,) = made.documents
    assert (summary.doc_number, summary.customer_name, str(summary.total)) == (
        "PSD1-260302-EUR-CRD",
        "PS Daily EUR",
        "30.00",
    )
    assert [(line.kind, str(line.amount)) for line in summary.lines] == [
        ("goods", "20.00"),
        ("shipping", "5.00"),
    ]
    assert made.members[summary.key] == ("1|sale|1|0", "1|sale|2|0")


def test_what_is_not_cash_stays_per_order() -> None:
    """Invoices, business customers and other days do not join."""
    invoice = replace(sale(3), type="Invoice")
    firm = sale(4)
    other = replace(sale(5), txn_date=date(2026, 3, 3))
    made = summaries.summarise(
        [sale(1), invoice, firm, other], DAILY, business=frozenset({firm.customer_key})
    )
    kept = [document.role for document in made.documents]
    assert kept.count("sale") == 4  # one customer: all of its receipts stay per order
    made = summaries.summarise([sale(1), invoice, other], DAILY)
    assert sorted(document.role for document in made.documents) == ["sale", "summary", "summary"]


def test_a_day_is_over_after_its_grace() -> None:
    """Until six in the morning after, its documents wait."""
    early, late = (datetime(2026, 3, 3, hour, tzinfo=PARIS) for hour in (5, 6))
    assert summaries.summarise([sale(1)], DAILY, now=early).waiting == ("1|sale|1|0",)
    assert summaries.summarise([sale(1)], DAILY, now=late).waiting == ()


def test_a_later_member_never_changes_a_posted_summary() -> None:
    """It gets a document of its own, numbered as an addition."""
    first = summaries.summarise([sale(1)], DAILY)
    frozen = {key: frozenset(members) for key, members in first.members.items()}
    again = summaries.summarise([sale(1), sale(2)], DAILY, frozen=frozen)
    assert again.documents[0] == first.documents[0]
    assert again.documents[1].doc_number == "PSD1-260302-EUR-CRDA1"
    assert len(again.documents[1].doc_number) <= 21


def test_the_mode_changes_on_its_day_only() -> None:
    """Sales before posting_since keep the old mode."""
    rules = policy(posting="daily", posting_since=date(2026, 3, 3), posting_before="per_order")
    assert summaries.mode_on(date(2026, 3, 2), rules) == "per_order"
    assert summaries.mode_on(date(2026, 3, 3), rules) == "daily"
    assert [document.role for document in summaries.summarise([sale(1)], rules).documents] == ["sale"]


def test_foreign_summaries_carry_the_members_weighted_rate() -> None:
    """Two rates of a day meet at their totals' weights."""
    cheap = sale(1, currency="USD", conversion_rate=d("1.00"))
    dear = sale(2, currency="USD", conversion_rate=d("2.00"))
    (summary,) = summaries.summarise([cheap, dear], DAILY).documents
    assert summary.exchange_rate == d("0.750000")


def test_the_journal_form_balances() -> None:
    """Debits are credits: clearing against income and tax."""
    rules = policy(posting="daily", summary_form="journal")
    (journal,) = summaries.summarise(
        [sale(1, rules), sale(2, rules, shipping=pair("5.00", "6.00"))], rules
    ).documents
    assert journal.type == "JournalEntry"
    sides = {"debit": d(0), "credit": d(0)}
    for line in journal.lines:
        sides[line.posting] += line.amount
    assert sides["debit"] == sides["credit"] == d("30.00")
