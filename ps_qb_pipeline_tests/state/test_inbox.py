"""A hint is taken in once and handled once."""

from __future__ import annotations

from ps_qb_pipeline.state.database import open_control_plane
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline_tests.faults.clock import SimClock


def test_a_repeated_hint_is_known_and_the_order_of_arrival_kept() -> None:
    """The second delivery of an event is not taken in; sources have their own ids."""
    box = Inbox(open_control_plane("sqlite://"), clock=SimClock())
    assert box.receive("quickbooks", "e1", connection="a", hint={"entity": "Invoice", "id": "7"})
    assert not box.receive("quickbooks", "e1", connection="a", hint={"entity": "Invoice", "id": "7"})
    assert box.receive("shop", "e1", connection="a", hint={"order": 3})
    assert box.receive("shop", "e2", connection="b", hint={"order": 4})
    assert [event.hint for event in box.waiting("a")] == [{"entity": "Invoice", "id": "7"}, {"order": 3}]


def test_handled_hints_do_not_come_back_even_when_delivered_again() -> None:
    """A replay of an old event after it was handled is still known."""
    box = Inbox(open_control_plane("sqlite://"), clock=SimClock())
    box.receive("shop", "e1", connection="a", hint={})
    box.handled(box.waiting("a"))
    assert box.waiting("a") == []
    assert not box.receive("shop", "e1", connection="a", hint={})
    assert box.waiting("a") == []
