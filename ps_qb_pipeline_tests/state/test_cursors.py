"""Positions are kept for each connection and resource."""

from __future__ import annotations

from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.database import open_control_plane


def test_a_position_is_none_until_committed_and_then_the_last_one() -> None:
    """The last committed value counts, for its own connection and resource alone."""
    positions = Cursors(open_control_plane("sqlite://"))
    assert positions.get("a", "orders") is None
    positions.commit("a", "orders", {"date": "2026-01-01 00:00:00", "id": 3})
    positions.commit("a", "orders", {"date": "2026-01-02 00:00:00", "id": 5})
    assert positions.get("a", "orders") == {"date": "2026-01-02 00:00:00", "id": 5}
    assert positions.get("a", "customers") is None
    assert positions.get("b", "orders") is None


def test_positions_can_be_forgotten_one_by_one_or_all() -> None:
    """A full refresh begins without positions."""
    positions = Cursors(open_control_plane("sqlite://"))
    for resource in ("orders", "customers"):
        positions.commit("a", resource, {"id": 1})
    positions.forget("a", "orders")
    assert positions.get("a", "orders") is None
    assert positions.get("a", "customers") == {"id": 1}
    positions.forget("a")
    assert positions.get("a", "customers") is None
