"""The shared numbers behind the limits, on a real control plane."""

from __future__ import annotations

import threading

import pytest

from ps_qb_pipeline.quickbooks.limiter import Limits, Priority, SharedBudget
from ps_qb_pipeline.state.budget import BudgetStore
from ps_qb_pipeline.state.database import open_control_plane


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'control.sqlite'}"


def test_two_processes_share_one_pace(url):
    """What one budget sends, the other one waits for."""
    now = {"at": 1000.0}
    first, second = (
        SharedBudget(BudgetStore(open_control_plane(url)), Limits(), now=lambda: now["at"]) for _ in range(2)
    )
    assert first.admit("r", meter="write", batch=True, priority=Priority.NORMAL) == 0
    assert second.admit("r", meter="write", batch=True, priority=Priority.NORMAL) == pytest.approx(
        1.546, abs=0.01
    )
    second.throttled("r", 60)
    assert first.admit("r", meter="read", batch=False, priority=Priority.LIVE) == pytest.approx(60)


def test_realms_do_not_slow_each_other_down(url):
    """Limits are Intuit's per company."""
    budget = SharedBudget(BudgetStore(open_control_plane(url)), Limits(), now=lambda: 1000.0)
    assert budget.admit("one", meter="write", batch=True, priority=Priority.NORMAL) == 0
    assert budget.admit("two", meter="write", batch=True, priority=Priority.NORMAL) == 0


def test_the_meter_counts_what_was_sent_and_is_kept_by_month(url):
    """A refused admission is not counted, a granted one is, and months stay readable."""
    store = BudgetStore(open_control_plane(url))
    clock = {"at": 0.0}
    budget = SharedBudget(store, Limits(), now=lambda: clock["at"])
    for meter in ("read", "read", "cdc", "write"):
        while budget.admit("r", meter=meter, batch=False, priority=Priority.NORMAL):
            clock["at"] += 0.05
    assert store.months("r") == {"1970-01": {"reads": 2, "cdc": 1, "writes": 1}}
    assert store.meter("r", "1970-01") == {"reads": 2, "cdc": 1, "writes": 1}
    assert store.meter("r", "1970-02") == {}


def test_a_decision_that_fails_changes_nothing(url):
    """An error inside a decision rolls both rows back."""
    store = BudgetStore(open_control_plane(url))

    def refuse(pace, meter):
        raise KeyError("no")

    with pytest.raises(KeyError):
        store.change("r", "2026-11", refuse)
    assert store.months("r") == {}


def test_threads_never_get_the_same_place(url):
    """Eight threads asking at one moment: exactly one may send."""
    store = BudgetStore(open_control_plane(url))
    budget = SharedBudget(store, Limits(), now=lambda: 1000.0)
    granted = []

    def ask():
        granted.append(budget.admit("r", meter="write", batch=False, priority=Priority.NORMAL) == 0)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert granted.count(True) == 1
