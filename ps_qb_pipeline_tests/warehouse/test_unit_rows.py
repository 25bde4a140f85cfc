"""Every unit in a contract holds: given these rows, the model gives those."""

from __future__ import annotations

import pytest

from ps_qb_pipeline.warehouse.models import load_models
from ps_qb_pipeline_tests.warehouse.unit_rows import differences

LOADED = load_models()
UNITS = [(name, unit) for name, model in LOADED.items() for unit in model.contract.get("units", ())]


@pytest.mark.parametrize(("name", "unit"), UNITS, ids=[f"{name}: {unit['name']}" for name, unit in UNITS])
def test_a_model_gives_what_its_contract_expects(name, unit):
    """The rows of a model are exactly the expected ones, whatever else it may hold in other columns."""
    assert differences(LOADED[name], unit, LOADED) == {"unexpected": [], "missing": []}


def test_a_wrong_expectation_is_found():
    """A unit that is not so fails: this test guards the runner."""
    unit = {
        "given": {"raw.prestashop_orders": [{"id": 1, "reference": "A"}]},
        "expect": [{"id": 1, "reference": "B"}],
    }
    found = differences(LOADED["staging.prestashop_orders"], unit, LOADED)
    assert found == {"unexpected": [(1, "A")], "missing": [(1, "B")]}


def test_there_are_units_for_both_sides_of_staging():
    """The models that do more than rename have units."""
    named = {name for name, _ in UNITS}
    assert {
        "staging.prestashop_orders",
        "staging.quickbooks_documents",
        "staging.quickbooks_document_lines",
        "staging.quickbooks_document_taxes",
    } <= named
