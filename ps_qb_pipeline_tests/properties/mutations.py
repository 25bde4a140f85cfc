"""Shifting one stored amount by one minor unit must change a document or raise a finding.

``python -m ps_qb_pipeline_tests.properties.mutations DIRECTORY [COUNT]`` tries COUNT random shifts over a
corpus and prints those that nobody noticed. The tests use the same functions on fewer shifts.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from ps_qb_pipeline.accounting import intake, translate
from ps_qb_pipeline.accounting.documents import Translation, to_json
from ps_qb_pipeline.accounting.money import minor_unit
from ps_qb_pipeline.accounting.policy import Policy

LONG_AGO = date(2000, 1, 1)
FIELDS = {
    "orders": (
        "total_products",
        "total_products_wt",
        "total_discounts_tax_excl",
        "total_discounts_tax_incl",
        "total_shipping_tax_excl",
        "total_shipping_tax_incl",
        "total_wrapping_tax_excl",
        "total_wrapping_tax_incl",
        "total_paid_tax_excl",
        "total_paid_tax_incl",
    ),
    "order_details": ("total_price_tax_excl", "total_price_tax_incl"),
    "order_payments": ("amount",),
    "order_slip": (
        "total_products_tax_excl",
        "total_products_tax_incl",
        "total_shipping_tax_excl",
        "total_shipping_tax_incl",
    ),
}
OWN = {
    "orders": "id",
    "order_details": "id_order",
    "order_slip": "id_order",
    "order_payments": "order_reference",
}

Tables = Mapping[str, Sequence[dict[str, Any]]]


class Corpus:
    """The rows of a shop cut by reference, so that one order can be translated again and again."""

    def __init__(self, tables: Tables, policy: Policy) -> None:
        self.policy = policy
        self.shop = intake.read_shop(tables)
        self.lookups = {name: rows for name, rows in tables.items() if name not in _CHILDREN}
        self.currencies = {row["id"]: row["iso_code"] for row in tables["currencies"]}
        self.groups: dict[str, dict[str, list[dict[str, Any]]]] = {}
        reference_of = {}
        for row in tables["orders"]:
            reference_of[row["id"]] = row["reference"]
            self.groups.setdefault(row["reference"], {name: [] for name in _CHILDREN})["orders"].append(row)
        for name in _CHILDREN[1:]:
            for row in tables.get(name, ()):
                reference = (
                    row["order_reference"] if name == "order_payments" else reference_of.get(row["id_order"])
                )
                if reference in self.groups:
                    self.groups[reference][name].append(row)

    def translate(self, rows: Tables) -> list[Translation]:
        """What the rows of one reference become."""
        tables = {**self.lookups, **rows}
        return [
            translate.translate(group, self.policy, go_live=LONG_AGO)
            for group in intake.groups(tables, self.shop)
        ]

    def shifts(self, pick: random.Random) -> Iterator[tuple[str, str, int, str, Decimal]]:
        """Endless random shifts of booked references: reference, table, row, field, amount."""
        booked = [
            reference
            for reference, rows in self.groups.items()
            if all(
                source.status == "postable"
                for one in self.translate(rows)
                for source in one.sources
                if source.type == "order"
            )
        ]
        while booked:
            reference = pick.choice(booked)
            table = pick.choice([name for name in FIELDS if self.groups[reference][name]])
            index = pick.randrange(len(self.groups[reference][table]))
            row = self.groups[reference][table][index]
            currency = self.currencies[self.groups[reference]["orders"][0]["id_currency"]]
            if table == "order_payments" and not row["amount"]:
                continue  # a row of zero is no payment
            field = pick.choice(FIELDS[table])
            yield reference, table, index, field, minor_unit(currency) * pick.choice((1, -1))

    def noticed(self, reference: str, table: str, index: int, field: str, shift: Decimal) -> bool:
        """Whether a shift changes a document or the findings."""
        rows = self.groups[reference]
        changed = {name: list(own) for name, own in rows.items()}
        row = dict(changed[table][index])
        row[field] += shift
        if field == "total_paid_tax_incl":
            row["total_paid"] += shift  # the two are stored as one amount
        changed[table][index] = row
        return _told(self.translate(rows)) != _told(self.translate(changed))


_CHILDREN = (
    "orders",
    "order_details",
    "order_cart_rules",
    "order_slip",
    "order_histories",
    "order_invoices",
    "order_payments",
)


def _told(translations: Sequence[Translation]) -> tuple[list[str], list[str]]:
    documents = [to_json(document) for one in translations for document in one.documents]
    findings = sorted(str(finding) for one in translations for finding in one.findings)
    return documents, findings


def unnoticed(corpus: Corpus, count: int, seed: int) -> list[tuple[str, str, int, str, Decimal]]:
    """Of ``count`` random shifts, those that changed nothing."""
    shifts = corpus.shifts(random.Random(seed))
    return [shift for shift, _ in zip(shifts, range(count), strict=False) if not corpus.noticed(*shift)]


def main(arguments: list[str]) -> int:
    """Tries shifts over a corpus directory; 0 when every one was noticed."""
    from ps_qb_pipeline_tests.corpus_engine import boutique_policy, load

    count = int(arguments[1]) if len(arguments) > 1 else 2000
    missed = unnoticed(Corpus(load(Path(arguments[0])), boutique_policy()), count, seed=1)
    for shift in missed:
        print("not noticed:", *shift)
    print(f"{count - len(missed)} of {count} shifts noticed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
