"""The posting process is killed with SIGKILL while it talks to the sandbox over sockets."""

from __future__ import annotations

import pytest

from ps_qb_pipeline_tests.faults.backfill import documents, experiment


def test_the_backlog_is_the_same_every_time() -> None:
    """Two processes that render the same backlog render the same documents."""
    assert documents(30) == documents(30)


@pytest.mark.slow
def test_a_killed_backlog_ends_complete_once_and_can_be_taken_back() -> None:
    """After two kills every receipt is there once, and after the undo the trial balance is as it was."""
    outcome = experiment(150, 2, settle=2.0)
    assert (outcome.kills, outcome.duplicates, outcome.missing) == (2, 0, 0)
    assert outcome.trial_balance_restored
