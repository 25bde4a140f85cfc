"""Canonical JSON of documents, and the code table."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

from ps_qb_pipeline.accounting import documents, findings, translate
from ps_qb_pipeline.accounting.documents import Customer, Item, PostalAddress, from_json, to_json
from ps_qb_pipeline_tests.accounting.factory import LONG_AGO, d, group, order, payment, policy


def one_sale() -> documents.Document:
    made = translate.translate(group(order(), payments=(payment("12.00"),)), policy(), go_live=LONG_AGO)
    return made.documents[0]


def test_json_gives_the_document_back() -> None:
    """Reading the canonical JSON is the inverse of writing it."""
    sale = one_sale()
    assert from_json(to_json(sale)) == sale


def test_json_is_canonical() -> None:
    """Keys are sorted, there are no spaces, amounts are strings, and defaults are left out."""
    text = to_json(one_sale())
    body = json.loads(text)
    assert list(body) == sorted(body)
    assert body["total"] == "12.00"
    assert "due_date" not in body
    assert json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False) == text


def test_json_escapes_what_people_type() -> None:
    """Quotes, line breaks and foreign letters survive."""
    odd = replace(one_sale(), memo='5% "off"\nété ✒️ \\ </x>')
    assert from_json(to_json(odd)).memo == odd.memo


def test_customers_and_items_come_back_too() -> None:
    """Cards and items have canonical JSON as well."""
    card = Customer(
        "k", "Ada", currency="EUR", billing=PostalAddress("1 Street", city="Lyon"), source_ids=(1, 2)
    )
    item = Item("sku:A", "A", "A")
    assert documents.customer_from_json(to_json(card)) == card
    assert documents.item_from_json(to_json(item)) == item


def test_equal_amounts_of_other_shape_are_equal() -> None:
    """12 and 12.00 are the same total: documents compare by value."""
    sale = one_sale()
    assert replace(sale, total=d(12)) == sale


def test_every_code_in_use_is_in_the_table() -> None:
    """No module of the engine names a finding code that the table lacks."""
    folder = Path(findings.__file__).parent
    shape = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in {
                "Note",
                "Hold",
                "find",
                "hold_as",
                "Finding",
                "Verdict",
            }:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value:
                    shape.add(first.value)
    assert len(shape) > 25
    assert shape <= findings.CODES.keys()


def test_the_table_says_whose_task_each_code_is() -> None:
    """What blocks or warns has an owner, a meaning and a way out; information has at least a meaning."""
    for code in findings.CODES.values():
        assert code.meaning.endswith(".")
        assert code.action
        assert code.severity == "I" or code.owner != "-"
