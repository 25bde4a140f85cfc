"""``psqb payout`` and ``psqb bank`` say what they did and what is missing, without a shop or books at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ps_qb_pipeline.cli.main import main

LINE = "payout_id,payout_date,type,transaction_id,amount,fee,currency,date,method\nP,2026-03-01,payment,T,5,0,EUR,2026-02-27,{}\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command on an installation of its own."""
    monkeypatch.setenv("PSQB_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "data" / "boutique").mkdir(parents=True)
    return lambda *words: CliRunner().invoke(main, list(words), catch_exceptions=False)


def test_a_file_is_kept_before_the_first_run_and_the_way_on_is_named(run, tmp_path: Path) -> None:
    """Nothing to compare with is no reason to lose what was delivered."""
    path = tmp_path / "payout.csv"
    path.write_text(LINE.format("Card"))
    answer = run("payout", str(path), "--connection", "boutique")
    assert answer.exit_code == 2
    assert "the file is kept" in answer.output
    assert "psqb run --connection boutique" in answer.output


def test_a_method_that_the_connection_does_not_have_is_named_with_those_it_has(run, tmp_path: Path) -> None:
    """The message holds the place in the file and the choice."""
    path = tmp_path / "payout.csv"
    path.write_text(LINE.format("Beans"))
    answer = run("payout", str(path), "--connection", "boutique")
    assert answer.exit_code == 2
    assert "payout.csv:2" in answer.output
    assert "PayPal" in answer.output


def test_an_approval_needs_a_name(run) -> None:
    """Who approves is kept."""
    answer = run("payout", "--connection", "boutique", "--approve", "P")
    assert answer.exit_code == 2
    assert "--by" in answer.output
