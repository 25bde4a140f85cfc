"""The reconciliation against two whole sandboxes that were changed over their own interfaces."""

from __future__ import annotations

import pytest

from ps_qb_pipeline_tests.recon_truth.trial import run


@pytest.mark.slow
def test_every_difference_is_found_by_its_code_and_money_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some fifty kinds in a booked shop and a payout file: all found, right code, right amount, no false alarm, nothing unclassified."""
    monkeypatch.setenv("PSQB_HOME", "")
    figures = run("boutique", 200, seed=11, data=None)
    assert figures["injected"] >= 50
    assert figures["found"] == figures["right_code"] == figures["right_amount"] == figures["injected"]
    assert (figures["false_alarms"], figures["unclassified"]) == (0, "0.00")
