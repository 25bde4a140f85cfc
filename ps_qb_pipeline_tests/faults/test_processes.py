"""Posting processes and whole pipelines are killed with SIGKILL while they talk to sandboxes over sockets."""

from __future__ import annotations

import pytest

from ps_qb_pipeline_tests.faults import backfill, pipelines


@pytest.mark.slow
def test_a_killed_backlog_ends_complete_once_and_can_be_taken_back() -> None:
    """After two kills every document is there once, and after the undo the trial balance is as it was."""
    outcome = backfill.experiment(300, 2, settle=2.0)
    assert (outcome.kills, outcome.duplicates, outcome.missing) == (2, 0, 0)
    assert outcome.booked == outcome.documents > 300
    assert outcome.trial_balance_restored


@pytest.mark.slow
def test_killed_dagster_runs_and_two_at_once_book_everything_once() -> None:
    """A run goes on where a killed one stopped; of two started together one posts and both end well."""
    outcome = pipelines.experiment(1)
    assert len(outcome.killed_at) == 1
    assert outcome.good, outcome
