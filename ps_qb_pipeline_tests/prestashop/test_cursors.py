"""Windows in the shop's wall time, where one hour of autumn happens twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.prestashop.cursors import OVERLAP, wall_time, window_start, zone

PARIS = ZoneInfo("Europe/Paris")
FOLD = datetime(2026, 10, 25, 1, 0, tzinfo=UTC).timestamp()
"""The instant at which Paris goes from 03:00 back to 02:00."""


def test_window_begins_a_quarter_of_an_hour_before_the_last() -> None:
    """On an ordinary day the window is the overlap, in the shop's wall time."""
    noon = datetime(2026, 6, 1, 10, 0, tzinfo=UTC).timestamp()
    assert window_start(noon, PARIS) == datetime.fromisoformat("2026-06-01 11:45:00")


def test_window_over_the_repeated_hour_begins_before_it() -> None:
    """A change at 02:05 the second time carries a smaller stamp than one at 02:55 the first time; both are in."""
    last_poll = FOLD - 5 * 60
    changed_after = wall_time(FOLD + 5 * 60, PARIS)
    assert changed_after < wall_time(last_poll, PARIS)
    assert window_start(last_poll, PARIS) <= changed_after


def test_unknown_zone_reads_more_than_a_day() -> None:
    """Without a zone any offset is possible."""
    now = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
    assert window_start(now.timestamp(), None) < (now - timedelta(hours=26)).replace(tzinfo=None)
    assert zone("Not/AZone") is None
    assert zone("../etc/passwd") is None


@settings(deadline=None)
@given(
    poll=st.integers(-4 * 3600, 4 * 3600),
    later=st.integers(0, 30 * 86400),
    base=st.sampled_from([FOLD, datetime(2026, 3, 29, 1, 0, tzinfo=UTC).timestamp()]),
    name=st.sampled_from(
        ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"]
    ),
)
def test_every_change_after_a_poll_is_inside_the_next_window(
    poll: int, later: int, base: float, name: str
) -> None:
    """Whatever is stamped after the last poll, less the overlap, is at or after the window's beginning."""
    shop_zone = ZoneInfo(name)
    start = window_start(base + poll, shop_zone)
    changed = base + poll - OVERLAP.total_seconds() + later
    assert wall_time(changed, shop_zone).replace(microsecond=0) >= start
