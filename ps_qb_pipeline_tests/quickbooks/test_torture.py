"""No token is lost and no two refreshes happen at once, whoever is killed when."""

from __future__ import annotations

from ps_qb_pipeline_tests.quickbooks.torture import torture


def test_no_token_is_lost_when_workers_are_killed():
    """Three workers, killed at random moments, a service that rotates at every refresh and forgives nothing."""
    outcome = torture(4, workers=3, seed=7, patience=600)
    assert outcome.refreshes >= 4
    assert outcome.kills > 0
    assert (outcome.overlaps, outcome.refused, outcome.lost) == (0, 0, False)
