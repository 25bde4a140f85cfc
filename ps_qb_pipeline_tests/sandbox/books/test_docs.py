"""The manual names every lever."""

from pathlib import Path
from typing import get_args

import pytest

from ps_qb_pipeline.sandbox.books.control import Control, Kind
from ps_qb_pipeline.sandbox.books.switches import Switches

MANUAL = Path(__file__).parents[3] / "docs" / "sandbox.md"


@pytest.mark.skipif(not MANUAL.exists(), reason="the manual is not beside this copy of the tests")
def test_every_lever_fault_and_switch_is_described():
    """What can be set is in a table of the manual."""
    text = MANUAL.read_text(encoding="utf-8").partition("## The books")[2]
    levers = [name.removeprefix("_set_") for name in dir(Control) if name.startswith("_set_")]
    for name in [*levers, *get_args(Kind), *Switches().as_json()]:
        assert f"`{name}`" in text, name


def test_a_switchs_default_is_among_its_answers():
    """Setting every switch to what it is changes nothing."""
    switches = Switches()
    before = switches.as_json()
    switches.change(before)
    assert switches.as_json() == before
