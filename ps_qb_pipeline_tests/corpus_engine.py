"""Judges the engine by a corpus of orders that a real PrestaShop computed.

``python -m ps_qb_pipeline_tests.corpus_engine DIRECTORY`` loads the rows of ``webservice/`` typed, translates
them, and judges the documents by ``truth/``, which the engine never sees. The figures are printed, last
a line of JSON. The judging functions take documents as any books hold them (``Booked``), so that the same
judge serves for the sandbox books. Nothing here uses the engine's own reasoning: what an order should
have become is worked out again from the rows.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from ps_qb_pipeline.accounting import intake, translate
from ps_qb_pipeline.accounting.documents import Document, Translation
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline_tests.corpus_judge import WHOLE_CURRENCIES, ZERO, Booked, Judge, Outcome

BOUTIQUE = Path(translate.__file__).parents[1] / "defs" / "boutique" / "defs.yaml"
LONG_AGO = date(2000, 1, 1)


# -- reading ----------------------------------------------------------------------------------


def load(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of ``directory/webservice`` by resource, typed as the shop's client types them."""
    found = {}
    for path in sorted((directory / "webservice").glob("*.json")):
        content = json.loads(path.read_text())
        found[path.stem] = content if isinstance(content, list) else next(iter(content.values()))
    return typed(found)


def bundled() -> dict[str, list[dict[str, Any]]]:
    """The rows of the sandbox's own shop, which a real PrestaShop computed too."""
    data = files("ps_qb_pipeline.sandbox.shop") / "data" / "boutique.json.gz"
    return typed(json.loads(gzip.decompress(data.read_bytes())))


def typed(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Rows as the web service returns them, typed as the shop's client types them."""
    return {
        name: [
            {column: _typed(kind, _field(row, column)) for column, kind in RESOURCES[name].columns.items()}
            for row in own
        ]
        for name, own in rows.items()
        if name in RESOURCES
    }


def _field(row: Mapping[str, Any], column: str) -> Any:
    associations = row.get("associations") or {}
    return associations[column] if column in associations else row.get(column)


def _typed(kind: str, value: Any) -> Any:
    empty = value is None or value is False or value == ""
    readers = {
        "int": lambda: 0 if empty else int(value),
        "decimal": lambda: None if empty else Decimal(str(value)),
        "bool": lambda: str(value) in {"1", "True"},
        "datetime": lambda: None if empty or str(value).startswith("0000") else datetime.fromisoformat(value),
        "date": lambda: None if empty or str(value).startswith("0000") else date.fromisoformat(value),
        "i18n": lambda: "" if empty else value if isinstance(value, str) else value[0]["value"],
        "json": lambda: value or [],
    }
    return readers[kind]() if kind in readers else "" if empty else str(value)


def read_truth(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """What the web service does not show, by table."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((directory / "truth").glob("*.json"))}


def boutique_policy(path: Path = BOUTIQUE, **changes: Any) -> Policy:
    """The accounting section of a connection file, with ``changes``."""
    content = yaml.safe_load(path.read_text())
    content = content.get("attributes", content)
    return TypeAdapter(Policy).validate_python({**content["accounting"], **changes})


# -- what a pipeline made of a corpus ---------------------------------------------------------


def booked_of(document: Document) -> Booked:
    """A document of the engine as books that keep it would hold it."""
    taxes: dict[Decimal, Decimal] = defaultdict(lambda: ZERO)
    for tax in document.taxes:
        if tax.rate:
            taxes[tax.rate] += tax.amount
    return Booked(
        document.key,
        document.type,
        document.total,
        document.total_tax,
        dict(taxes),
        document.txn_date,
        document.currency,
        document.customer_key,
    )


def outcome_of(translations: Iterable[Translation]) -> Outcome:
    """The outcome of the engine alone: every document counts as confirmed."""
    outcome = Outcome([], [])
    for one in translations:
        outcome.booked += [booked_of(document) for document in one.documents]
        outcome.sources += [(s.type, s.source_id, s.status, s.reason) for s in one.sources]
        for finding in one.findings:
            outcome.findings.setdefault(finding.order_id, set()).add(finding.code)
    return outcome


def computed_taxes_hold(documents: Iterable[Document]) -> list[str]:
    """Documents whose tax recalculating books would not arrive at: per rate from net lines, half-up."""
    found = []
    for document in documents:
        unit = Decimal(1) if document.currency in WHOLE_CURRENCIES else Decimal("0.01")
        found += [
            f"{document.key}: {tax.code} {tax.base} at {tax.rate} %, not {tax.amount}"
            for tax in document.taxes
            if (tax.base * tax.rate / 100).quantize(unit, ROUND_HALF_UP) != tax.amount
        ]
    return found


def main(arguments: list[str]) -> int:
    """Prints the figures of a corpus directory; 0 when nothing mismatches."""
    if len(arguments) not in {1, 2}:
        print("usage: python -m ps_qb_pipeline_tests.corpus_engine DIRECTORY [CONNECTION_FILE]")
        return 2
    directory = Path(arguments[0])
    policy = boutique_policy(Path(arguments[1]) if len(arguments) == 2 else BOUTIQUE)
    tables = load(directory)
    made = [translate.translate(group, policy, go_live=LONG_AGO) for group in intake.groups(tables)]
    judge = Judge(tables, read_truth(directory), store_credit=policy.store_credit_policy)
    figures = judge.verdict(outcome_of(made))
    figures["computed_mismatch"] = len(computed_taxes_hold(d for one in made for d in one.documents))
    for problem in judge.problems:
        print(problem)
    for name, value in figures.items():
        print(f"{name:18} {value}")
    print(json.dumps(figures))
    bad = (
        any(figures[name] for name in figures if name.endswith("mismatch"))
        or figures["unclassified"] != "0.00"
    )
    return 1 if bad or figures["sane_held"] > figures["sane"] * 0.03 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
