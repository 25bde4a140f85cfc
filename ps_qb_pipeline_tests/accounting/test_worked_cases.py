"""Worked cases: numbers in, documents out, to the cent."""

from __future__ import annotations

import copy
import os
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from ps_qb_pipeline_tests import cases

OWN = Path(__file__).with_name("worked_cases.yaml")
OTHERS = os.environ.get("PSQB_CASES", "")
CONTENT = yaml.safe_load(OWN.read_text())
RATES = {code: Decimal(rate) for code, rate in CONTENT["rates"].items()}


@pytest.mark.parametrize("case", CONTENT["cases"], ids=lambda case: case["id"])
def test_a_worked_case_gives_its_documents(case: dict) -> None:
    """Every named key of every expected document is equal, and nothing else comes out."""
    assert cases.judge(case, RATES).problems == ()


@pytest.mark.parametrize("case", CONTENT["cases"], ids=lambda case: case["id"])
def test_the_judge_notices_a_wrong_answer(case: dict) -> None:
    """A changed action, an added exception or a changed total makes a case fail."""
    for change in ("action", "exceptions", "total"):
        wrong = copy.deepcopy(case)
        expected = wrong["expected"]
        if change == "action":
            expected["action"] = "update" if expected["action"] != "update" else "none"
        elif change == "exceptions":
            expected["exceptions"] = [*expected["exceptions"], "POISON_RECORD"]
        else:
            named = [one for one in expected["documents"] if "total" in one]
            if not named:
                continue
            named[0]["total"] = str(Decimal(named[0]["total"]) + Decimal("0.01"))
        assert cases.judge(wrong, RATES).problems, change


@pytest.mark.skipif(not OTHERS, reason="PSQB_CASES names no file of worked cases")
def test_other_worked_cases_pass_too() -> None:
    """Any file of the same form is judged by the same runner."""
    assert [outcome.line() for outcome in cases.run(Path(OTHERS)) if outcome.problems] == []


def test_the_command_prints_a_line_a_case(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line counts what passed and failed."""
    assert cases.main([str(OWN)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CONTENT["cases"]) + 1
    assert lines[-1] == f"{len(CONTENT['cases'])} passed, 0 failed"
