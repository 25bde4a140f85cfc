"""What is said, when, and how often: deduplication, quiet hours, reminders, recoveries, the digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ps_qb_pipeline.orchestration.alerts import (
    STEADY,
    Facts,
    FailedRun,
    Fresh,
    Late,
    Notice,
    Trouble,
    decide,
    digest,
    digest_due,
    is_quiet,
    troubles,
)
from ps_qb_pipeline.settings import AlertSettings

ZONE = "Europe/Paris"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LOUD = AlertSettings(quiet_from=None, quiet_to=None)


def _said(
    moments: Sequence[tuple[datetime, list[Trouble]]], settings: AlertSettings
) -> list[tuple[datetime, str, str]]:
    notices: tuple[Notice, ...] = ()
    said = []
    for now, found in moments:
        decision = decide(found, notices, settings, now, ZONE)
        notices = decision.notices
        said += [(now, message.kind, message.key) for message in decision.messages]
    return said


def _minutes(begin: datetime, *present: list[Trouble], step: int = 5) -> list[tuple[datetime, list[Trouble]]]:
    return [(begin + timedelta(minutes=step * number), found) for number, found in enumerate(present)]


DISK = Trouble("disk", "The disk is nearly full", "1 GB", urgent=True)
DEAD = Trouble("dead:X", "X needs a person", "1 record")


def test_a_trouble_is_told_once_and_its_end_once() -> None:
    """Eight looks, two messages."""
    said = _said(_minutes(NOON, [DISK], [DISK], [DISK], [], [], [], [], []), LOUD)
    assert [(kind, key) for _, kind, key in said] == [("alert", "disk"), ("recovery", "disk")]
    assert said[1][0] - said[0][0] == timedelta(minutes=15) + STEADY


def test_what_flickers_is_one_trouble() -> None:
    """Gone for one look and back again is not told again."""
    said = _said(_minutes(NOON, [DISK], [], [DISK], [], [DISK], [DISK]), LOUD)
    assert [(kind, key) for _, kind, key in said] == [("alert", "disk")]


def test_what_gets_worse_is_told_again_and_ends_once() -> None:
    """A consent that ends in thirty days, in seven, in one: three alerts, one recovery."""
    ends = NOON + timedelta(days=31)
    moments = []
    for day in range(34):
        now = NOON + timedelta(days=day)
        days = (ends - now).days
        facts = Facts(expiries=[("the consent", "it ends", days)] if day < 32 and days < 30 else [])
        moments.append((now, troubles(facts, LOUD, now)))
    said = _said(moments, AlertSettings(quiet_from=None, quiet_to=None, remind_after_hours=0))
    assert [(now - NOON).days for now, kind, _ in said if kind == "alert"] == [2, 25, 31]
    assert [kind for _, kind, _ in said].count("recovery") == 1


def test_what_lasts_is_told_again_once_a_day() -> None:
    """A reminder every 24 hours."""
    moments = [(NOON + timedelta(hours=hour), [DEAD]) for hour in range(50)]
    assert [kind for _, kind, _ in _said(moments, LOUD)] == ["alert", "reminder", "reminder"]


def test_quiet_hours_hold_back_what_can_wait() -> None:
    """At night only the urgent is said; the rest in the morning, if it is still wrong then."""
    midnight = datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
    moments = [(midnight + timedelta(hours=hour), [DISK, DEAD]) for hour in range(9)]
    said = _said(moments, AlertSettings(remind_after_hours=0))
    assert said == [
        (midnight, "alert", "disk"),
        (datetime(2026, 11, 24, 6, 0, tzinfo=UTC), "alert", "dead:X"),
    ]
    gone = [(midnight, [DEAD]), *((midnight + timedelta(hours=hour), []) for hour in range(1, 12))]
    assert _said(gone, AlertSettings()) == [], "it came and went while nobody was to be woken"


def test_quiet_hours_follow_the_wall_clock_through_a_dst_night() -> None:
    """22:00 to 07:00 in Paris, in the night that has 25 hours."""
    settings = AlertSettings()
    quiet = [
        hour
        for hour in range(48)
        if is_quiet(settings, datetime(2026, 10, 24, 0, 30, tzinfo=UTC) + timedelta(hours=hour), ZONE)
    ]
    # Summer time: quiet until 05:00 UTC and from 20:00 UTC; after the change until 06:00 and from 21:00 UTC.
    assert quiet == [*range(5), *range(20, 30), *range(45, 48)]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_messages_of_a_trouble_alternate(looks: list[tuple[bool, bool]]) -> None:
    """Whatever comes and goes: an alert, its recovery, an alert again; never two of one kind in a row."""
    moments = [
        (NOON + timedelta(minutes=7 * number), [one for one, there in ((DISK, disk), (DEAD, dead)) if there])
        for number, (disk, dead) in enumerate(looks)
    ]
    said = _said(moments, AlertSettings(remind_after_hours=0))
    for key in ("disk", "dead:X"):
        kinds = [kind for _, kind, told in said if told == key]
        assert kinds == [("alert", "recovery")[number % 2] for number in range(len(kinds))]


def test_the_digest_comes_once_a_day_at_its_hour() -> None:
    """By the wall clock; late when nothing looked at that hour; none without an hour."""
    settings = AlertSettings()
    sent: list[datetime] = []
    notices: tuple[Notice, ...] = ()
    for step in range(3 * 24 * 4):
        now = datetime(2026, 10, 24, 0, 0, tzinfo=UTC) + timedelta(minutes=15 * step)
        if digest_due(notices, settings, now, ZONE):
            sent.append(now)
            notices = (Notice("digest", "", urgent=False, first_seen=now, told_at=now),)
    assert [f"{moment:%d %H:%M}" for moment in sent] == ["24 06:00", "25 07:00", "26 07:00"]
    assert not digest_due((), AlertSettings(digest_at=None), NOON, ZONE)


def test_the_digest_says_what_an_accountant_asks() -> None:
    """What is booked, what is open, what waits and what is wrong."""
    facts = Facts(
        headline="144 of 152 orders to be booked are in QuickBooks.",
        open_difference={"EUR": Decimal("105.60"), "USD": Decimal(0)},
        levels={"L0": "agrees", "L2": "open"},
    )
    wrong = [Notice("disk", "The disk is nearly full", urgent=True, first_seen=NOON)]
    message = digest("boutique", facts, wrong, NOON, ZONE)
    for words in ("144 of 152", "105.60 EUR", "L2", "The disk is nearly full"):
        assert words in message.text
    assert "USD" not in message.text
    assert message.title == "boutique: the books on 2026-11-23"


WIRE = Late("PAY_SYNTHETIC", "merchant", 2, {"EUR": Decimal("80.00")}, date(2026, 11, 2))
MISSING = Late("MISSING_IN_QBO", "operator", 1, {"EUR": Decimal("30.00")}, date(2026, 11, 19))


def test_who_is_late_is_told_with_what_and_since_when() -> None:
    """One message a person, however many codes; the day's digest says it too."""
    facts = Facts(late=[WIRE, MISSING, replace(MISSING, code="QBO_EDITED", count=3)])
    told = {one.key: one for one in troubles(facts, AlertSettings(), NOON)}
    assert told["late:merchant"].text.startswith("PAY_SYNTHETIC: 2 80.00 EUR, due since 2026-11-02.")
    for words in ("MISSING_IN_QBO: 1 30.00 EUR, due since 2026-11-19", "QBO_EDITED: 3 30.00 EUR"):
        assert words in told["late:operator"].text
        assert words in digest("boutique", facts, [], NOON, ZONE).text


@pytest.mark.parametrize(
    ("facts", "keys"),
    [
        (Facts(), set()),
        (Facts(unclassified={"EUR": Decimal("0.01")}), {"unclassified"}),
        (Facts(unclassified={"EUR": Decimal("0.00")}, open_difference={"EUR": Decimal(5)}), {"open_difference"}),
        (Facts(late=[WIRE, MISSING, replace(MISSING, code="QBO_EDITED")]), {"late:merchant", "late:operator"}),
        (Facts(armed=False, oldest_unposted=NOON - timedelta(days=1)), set()),
        (Facts(armed=True, oldest_unposted=NOON - timedelta(minutes=29)), set()),
        (Facts(armed=True, oldest_unposted=NOON - timedelta(minutes=30)), {"unposted"}),
        (Facts(failed_runs=[FailedRun("live_x", "a", "b", NOON, tried_again=True)]), set()),
        (Facts(failed_runs=[FailedRun("reconcile_x", "a", "b", NOON)]), {"run:reconcile_x"}),
        (Facts(expiries=[("the consent", "the consent ends on 2026-12-20, in 27 days", 27)]), {"expiry:the consent"}),
        (Facts(disk_free=10**9), {"disk"}),
        (Facts(reads="400,000 of 500,000 metered calls"), {"reads"}),
        (Facts(withdrawn={"2026-10": "1 change"}), {"signed:2026-10"}),
        (Facts(fresh=[Fresh("The report", NOON - timedelta(hours=27), timedelta(hours=26))]), {"stale:The report"}),
        (Facts(silent_daemon_since=NOON, fresh=[Fresh("The report", NOON - timedelta(days=9), timedelta(hours=26))]),
         {"daemon"}),
    ],
)  # fmt: skip
def test_which_facts_are_a_trouble(facts: Facts, keys: set[str]) -> None:
    """Each limit, just before and at it."""
    assert {one.key for one in troubles(facts, AlertSettings(), NOON)} == keys


def test_settings_take_times_in_quotes_only() -> None:
    """YAML makes a number of 22:00 without quotes, which would be another time in silence."""
    assert AlertSettings.model_validate({"quiet_from": "21:30"}).quiet_from == time(21, 30)
    with pytest.raises(ValueError, match="in quotes"):
        AlertSettings.model_validate({"quiet_from": 1320})
