"""The real limits, by the company's own clock."""

import pytest

from ps_qb_pipeline.sandbox.books.clock import Clock
from ps_qb_pipeline.sandbox.books.limits import Limits
from ps_qb_pipeline_tests.sandbox.books.bench import serving


@pytest.fixture
def clock():
    clock = Clock("UTC")
    clock.set(clock.parse("2026-03-15T10:00:00Z"), freeze=True)
    return clock


def admitted(limits, clock, times, **kind):
    return sum(limits.admit(clock, is_read=False, **kind) for _ in range(times))


def test_ten_requests_a_second_and_five_hundred_a_minute(clock):
    """The windows slide; a refused request counts for nothing."""
    limits = Limits(on=True)
    assert admitted(limits, clock, 15) == 10
    passed = 10
    for _ in range(58):
        clock.advance(1.0)
        passed += admitted(limits, clock, 12)
    assert passed == 500
    clock.advance(2.1)
    assert admitted(limits, clock, 15) == 10
    assert limits.refused > 0


def test_forty_batches_a_minute(clock):
    """Batches have a window of their own besides the common ones."""
    limits = Limits(on=True, per_second=1000)
    assert admitted(limits, clock, 60, is_batch=True) == 40
    assert admitted(limits, clock, 5) == 5
    clock.advance(61)
    assert admitted(limits, clock, 1, is_batch=True) == 1


def test_the_meter_blocks_reads_until_the_next_month(clock):
    """In the lowest tier the included reads end, and writes go on."""
    limits = Limits(metered=True, reads_per_month=3)
    assert [limits.admit(clock, is_read=True) for _ in range(5)] == [True, True, True, False, False]
    assert limits.admit(clock, is_read=False)
    clock.advance(20 * 86_400)
    assert limits.admit(clock, is_read=True)


def test_no_limits_unless_they_are_asked_for(clock):
    """By default nothing is refused, and reads are counted all the same."""
    limits = Limits()
    assert all(limits.admit(clock, is_read=True) for _ in range(2000))
    assert limits.reads == 2000


def test_a_request_over_the_limit_is_a_429_on_the_wire():
    """Fault of type SERVICE with code 3001, and intuit_tid as always."""
    with serving(real_limits=True) as wire:
        wire.connect()
        wire.control(clock={"freeze": True})
        answers = [wire.request("GET", "companyinfo/1") for _ in range(12)]
        assert [answer.status_code for answer in answers].count(429) == 2
        fault = answers[-1].json()["Fault"]
        assert (fault["type"], fault["Error"][0]["code"]) == ("SERVICE", "3001")
        assert answers[-1].headers["intuit_tid"]
        wire.control(limits={"on": False})
        assert wire.request("GET", "companyinfo/1").status_code == 200
