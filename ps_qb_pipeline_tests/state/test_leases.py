"""A lease has one holder at a time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ps_qb_pipeline.errors import Busy
from ps_qb_pipeline.state import leases, owners
from ps_qb_pipeline.state.database import open_control_plane, reading
from ps_qb_pipeline_tests.faults.clock import SimClock


def test_the_second_waits_until_the_first_gives_back_or_its_time_is_over() -> None:
    """Nobody else gets a lease while it runs; after its end or release the next does, one epoch later."""
    engine, clock = open_control_plane("sqlite://"), SimClock()
    first = leases.acquire(engine, "posting", owner="a", seconds=150, clock=clock)
    assert first is not None
    assert leases.acquire(engine, "posting", owner="b", seconds=150, clock=clock) is None
    clock.sleep(151)
    second = leases.acquire(engine, "posting", owner="b", seconds=150, clock=clock)
    assert second is not None
    assert second.epoch == first.epoch + 1
    leases.release(engine, second, clock=clock)
    third = leases.acquire(engine, "posting", owner="c", seconds=150, clock=clock)
    assert third is not None
    assert third.epoch == 3


def test_a_lost_lease_cannot_be_renewed_released_or_mistaken_for_held() -> None:
    """Whoever slept over the end finds out, and does not harm the new holder."""
    engine, clock = open_control_plane("sqlite://"), SimClock()
    first = leases.acquire(engine, "posting", owner="a", seconds=150, clock=clock)
    assert first is not None
    clock.sleep(151)
    second = leases.acquire(engine, "posting", owner="b", seconds=150, clock=clock)
    assert second is not None
    assert leases.renew(engine, first, seconds=150, clock=clock) is None
    leases.release(engine, first, clock=clock)
    with reading(engine) as tx:
        assert leases.holds(tx, second)
        assert not leases.holds(tx, first)
    assert leases.renew(engine, second, seconds=150, clock=clock) is not None


def test_a_clock_that_is_set_while_a_lease_runs_neither_ends_nor_prolongs_it() -> None:
    """On one machine the timer decides, whatever the wall clock is set to."""
    engine, clock = open_control_plane("sqlite://"), SimClock()
    leases.acquire(engine, "posting", owner="a", seconds=150, clock=clock)
    clock.skew = 86400.0
    assert leases.acquire(engine, "posting", owner="b", seconds=150, clock=clock) is None
    clock.skew = -86400.0
    clock.sleep(151)
    assert leases.acquire(engine, "posting", owner="b", seconds=150, clock=clock) is not None


def test_a_clock_of_another_machine_that_ran_ahead_does_not_block_for_ever() -> None:
    """A lease stamped a day ahead by another machine can be taken."""
    engine, ahead = open_control_plane("sqlite://"), SimClock(skew=86400.0, boot="other")
    leases.acquire(engine, "posting", owner="a", seconds=150, clock=ahead)
    assert leases.acquire(engine, "posting", owner="b", seconds=150, clock=SimClock()) is not None


def test_the_block_form_is_busy_for_others_and_gives_back() -> None:
    """``held`` raises Busy while another holds the lease."""
    engine, clock = open_control_plane("sqlite://"), SimClock()
    with (
        leases.held(engine, "posting", owner="a", seconds=150, clock=clock),
        pytest.raises(Busy),
        leases.held(engine, "posting", owner="b", seconds=150, clock=clock),
    ):
        pass
    assert leases.acquire(engine, "posting", owner="b", seconds=150, clock=clock) is not None


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")  # noqa: PTH110
def test_a_killed_process_is_known_to_be_gone_and_its_lease_is_free() -> None:
    """On one machine nobody waits for the lease of a process that was killed."""
    code = "from ps_qb_pipeline.state import owners; print(owners.this_process(), flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    engine, clock = open_control_plane("sqlite://"), SimClock()
    assert leases.acquire(engine, "posting", owner=name, seconds=150, clock=clock) is not None
    assert not owners.is_gone(name)
    assert leases.acquire(engine, "posting", owner="b", seconds=150, clock=clock) is None
    child.kill()
    child.wait()
    assert owners.is_gone(name)
    assert leases.acquire(engine, "posting", owner="b", seconds=150, clock=clock) is not None


def test_an_owner_of_another_place_is_never_taken_for_gone() -> None:
    """What cannot be known counts as alive."""
    assert not owners.is_gone("other-boot/pid:[1]/1/1/abcd")
    assert not owners.is_gone("w1")
    assert not owners.is_gone(owners.this_process())
