"""A hint is taken in once and handled once."""

from __future__ import annotations

from ps_qb_pipeline.state.database import open_control_plane
from ps_qb_pipeline.state.inbox import Arrival, Bell, Inbox
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


def test_many_hints_take_one_commit_and_repeats_among_them_count_once() -> None:
    """A group may hold the same event twice, and ones that are known; the number says what was new."""
    box = Inbox(open_control_plane("sqlite://"), clock=SimClock())
    box.receive("shop", "e1", connection="a", hint={"id": 1})
    group = [Arrival("shop", event, "a", {"id": 2}) for event in ("e1", "e2", "e2", "e3")]
    assert box.receive_all(group) == 2
    assert [event.event_id for event in box.waiting("a")] == ["e1", "e2", "e3"]
    assert box.receive_all([]) == 0


def test_a_claim_says_who_began_and_how_often_and_hides_nothing() -> None:
    """A run that died leaves its hints open; the next one sees that they were begun before."""
    box = Inbox(open_control_plane("sqlite://"), clock=SimClock())
    box.receive("shop", "e1", connection="a", hint={})
    box.receive("quickbooks", "e2", connection="a", hint={})
    assert [event.tries for event in box.claim("a", by="run-1", source="shop")] == [0]
    assert [event.tries for event in box.claim("a", by="run-2", source="shop")] == [1]
    assert [(event.source, event.tries) for event in box.waiting("a")] == [("shop", 2), ("quickbooks", 0)]


def test_the_depth_counts_what_is_open_and_the_old_is_forgotten() -> None:
    """Depth is by source; forgetting takes only what was handled, and early enough."""
    clock = SimClock()
    box = Inbox(open_control_plane("sqlite://"), clock=clock)
    assert box.depth("a").count == 0
    for event in ("e1", "e2"):
        box.receive("shop", event, connection="a", hint={})
    depth = box.depth("a", source="shop")
    assert (depth.count, depth.oldest) == (2, clock.now())
    assert depth.first < depth.last
    box.handled(box.waiting("a", limit=1))
    clock.sleep(10)
    assert box.forget(clock.now()) == 1
    assert [event.event_id for event in box.waiting("a")] == ["e2"]


def test_the_bell_rings_once_for_what_others_have_written(tmp_path) -> None:
    """At first, and after another process has committed; not for nothing."""
    url = f"sqlite:///{tmp_path / 'control.sqlite'}"
    bell, other = Bell(open_control_plane(url)), Inbox(open_control_plane(url))
    bell.rang()
    assert not bell.rang()
    other.receive("shop", "e1", connection="a", hint={})
    assert bell.rang()
    assert not bell.rang()


def test_a_hint_that_stops_run_after_run_does_not_stop_the_others() -> None:
    """Begun three times without an end it comes last, and alone; what an outage stopped does not count."""
    box = Inbox(open_control_plane("sqlite://"), clock=SimClock())
    for event in ("bad", "worse"):
        box.receive("shop", event, connection="a", hint={})
    for _ in range(3):
        assert len(box.claim("a", by="run")) == 2
    box.receive("shop", "good", connection="a", hint={})
    good = box.claim("a", by="run")
    assert [event.event_id for event in good] == ["good"]
    box.give_back(good)
    assert box.claim("a", by="run")[0].tries == 0
    box.handled(good)
    assert [event.event_id for event in box.claim("a", by="run")] == ["bad"]
