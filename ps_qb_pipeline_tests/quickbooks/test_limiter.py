"""The shared budget on a simulated clock: never above Intuit's limits, hardly ever below our share."""

from __future__ import annotations

import heapq
import itertools
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.errors import BooksThrottled, MeterSpent
from ps_qb_pipeline.quickbooks.limiter import (
    CLAIM_SECONDS,
    Limits,
    MemoryStore,
    MonthMeter,
    Pace,
    Priority,
    SharedBudget,
    admit,
    slow_down,
    speed,
    wait_for,
)

LIMITS = Limits()


def simulate(workers, seconds, *, start=1_000_000.0, seed=1, jitter=0.0):
    """The moments at which each worker's requests left; a worker is (batch, priority, think seconds)."""
    rng = random.Random(seed)
    clock = {"now": start}
    budget = SharedBudget(MemoryStore(), LIMITS, now=lambda: clock["now"])
    sent = []
    queue = [(start + rng.random() * 0.01, number) for number in range(len(workers))]
    heapq.heapify(queue)
    while queue and queue[0][0] < start + seconds:
        clock["now"], number = heapq.heappop(queue)
        batch, priority, think = workers[number]
        wait = budget.admit("r", meter="write", batch=batch, priority=priority)
        if wait:
            heapq.heappush(queue, (clock["now"] + min(wait, CLAIM_SECONDS) + rng.random() * 0.002, number))
            continue
        sent.append((clock["now"] + rng.random() * jitter, number))
        heapq.heappush(queue, (clock["now"] + think, number))
    return sorted(sent)


def most_within(moments, window):
    """The most moments in any half-open window of that length."""
    best, first = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - window:
            first += 1
        best = max(best, last - first + 1)
    return best


@pytest.mark.parametrize("count", [1, 4, 8])
def test_requests_stay_below_both_limits_and_use_nearly_all_of_them(count):
    """Any number of hurried workers: at most 10 a second and 500 a minute, at least 95 % of 500."""
    moments = [at for at, _ in simulate([(False, Priority.NORMAL, 0.0)] * count, 300)]
    assert most_within(moments, 1.0) <= 10
    assert most_within(moments, 60.0) <= 500
    assert len(moments) >= 0.95 * 500 * 5


def test_batches_stay_below_forty_a_minute_in_spite_of_network_jitter():
    """Half a second of jitter does not bring a 41st batch into a minute; 95 % of the limit is used."""
    moments = [at for at, _ in simulate([(True, Priority.NORMAL, 0.4)] * 4, 600, jitter=0.5)]
    assert most_within(moments, 60.0) <= 40
    assert len(moments) >= 0.95 * 40 * 10


def test_a_live_order_goes_before_a_backfill():
    """Four backfilling workers do not keep a live one waiting for more than a moment."""
    workers = [(False, Priority.BACKFILL, 0.0)] * 4 + [(False, Priority.LIVE, 3.0)]
    sent = simulate(workers, 60)
    live = [at for at, number in sent if number == 4]
    gaps = [after - before for before, after in itertools.pairwise(live)]
    assert len(live) >= 19
    assert max(gaps) < 3.0 + 0.5


def test_a_throttle_halves_the_speed_pauses_and_wins_back_slowly():
    """After a 429: 60 seconds of silence, half speed, one request a second more every ten seconds."""
    now = 5000.0
    pace = slow_down(Pace(), LIMITS, now, 60.0)
    assert admit(pace, LIMITS, now, batch=False, priority=Priority.LIVE)[0] == pytest.approx(60.0)
    assert speed(pace, LIMITS, now + 60) == pytest.approx(LIMITS.rate / 2)
    assert speed(pace, LIMITS, now + 80) == pytest.approx(LIMITS.rate / 2 + 2)
    assert speed(pace, LIMITS, now + 600) == LIMITS.rate


def test_a_storm_of_throttles_counts_once():
    """Several requests in flight may all be refused; the speed is halved once, not to nothing."""
    pace = slow_down(Pace(), LIMITS, 5000.0, 60.0)
    again = slow_down(pace, LIMITS, 5000.4, 60.0)
    assert (again.rate, again.throttles) == (pace.rate, 2)


def test_a_clock_that_jumps_back_stops_nobody():
    """A pace written by a clock a year ahead delays by an hour at the very most."""
    ahead = slow_down(
        Pace(next_request=5000.0 + 3.2e7, next_batch=5000.0 + 3.2e7), LIMITS, 5000.0 + 3.2e7, 60
    )
    wait, _ = admit(ahead, LIMITS, 5000.0, batch=True, priority=Priority.BACKFILL)
    assert wait <= 3600


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(list(Priority)), st.floats(0, 2)), min_size=1, max_size=5
    ),
    st.integers(0, 1000),
)
def test_no_mix_of_workers_exceeds_a_limit(workers, seed):
    """Whatever mix of singles, batches and priorities, no window holds more than the limits allow."""
    sent = simulate(workers, 90, seed=seed)
    moments = [at for at, _ in sent]
    batches = [at for at, number in sent if workers[number][0]]
    assert most_within(moments, 1.0) <= 10
    assert most_within(moments, 60.0) <= 500
    assert most_within(batches, 60.0) <= 40


def test_reads_stop_before_the_meter_does_and_writes_go_on():
    """A backfill stops at 90 %, the mirror at 95 %, and a create is never stopped by the meter."""
    store = MemoryStore()
    at = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
    store.change("r", "2026-11", lambda pace, _: (None, pace, {"reads": 452_000, "cdc": 0, "writes": 9}))
    budget = SharedBudget(store, LIMITS, now=lambda: at)
    with pytest.raises(MeterSpent, match="posting goes on"):
        budget.admit("r", meter="read", batch=False, priority=Priority.BACKFILL)
    assert budget.admit("r", meter="read", batch=False, priority=Priority.NORMAL) == 0
    assert budget.admit("r", meter="write", batch=False, priority=Priority.BACKFILL) > 0
    assert isinstance(MeterSpent("m"), BooksThrottled)
    assert not MeterSpent.retryable


def test_the_meter_begins_again_with_the_month():
    """Calls are counted by calendar month, in UTC."""
    clock = {"now": datetime(2026, 11, 30, 23, 59, tzinfo=UTC).timestamp()}
    budget = SharedBudget(MemoryStore(), LIMITS, now=lambda: clock["now"])
    budget.admit("r", meter="cdc", batch=False, priority=Priority.NORMAL)
    assert budget.month("r").cdc == 1
    clock["now"] += 120
    assert budget.month("r") == MonthMeter("2026-12", 0, 0, 0, 500_000)


def test_the_forecast_warns_before_the_month_is_used_up():
    """A third of the month gone and half the calls used: it is said now, not on the last day."""
    now = datetime(2026, 11, 11, tzinfo=UTC)
    assert MonthMeter("2026-11", 250_000, 0, 0, 500_000).forecast(now) == 750_000
    assert "heading for 750,000" in MonthMeter("2026-11", 250_000, 0, 0, 500_000).warning(now)
    assert MonthMeter("2026-11", 100_000, 0, 0, 500_000).warning(now) == ""


def test_waiting_is_done_in_slices():
    """A pause of a minute is slept in short pieces, so that its end is noticed."""
    clock = {"now": 1000.0}
    budget = SharedBudget(MemoryStore(), LIMITS, now=lambda: clock["now"])
    budget.throttled("r", 60.0)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        clock["now"] += seconds

    waited = wait_for(budget, "r", meter="write", batch=False, priority=Priority.NORMAL, sleep=sleep)
    assert waited == pytest.approx(60.0)
    assert max(slept) <= CLAIM_SECONDS
