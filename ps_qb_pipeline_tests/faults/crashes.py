"""Kill -9 at every crash point of every kind of work, with one worker and with two.

A scenario prepares the books in calm, then does its work once with every hook counted, and then once more for
every hook with a kill at exactly that one. After each kill the pipeline is started again; it must have done
its work within three runs, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.posting.undo import undo
from ps_qb_pipeline.state import audit
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline_tests.faults.checker import judge
from ps_qb_pipeline_tests.faults.climate import Climate
from ps_qb_pipeline_tests.faults.day import CONNECTION, Day, real_code
from ps_qb_pipeline_tests.faults.process import Killed, Process
from ps_qb_pipeline_tests.faults.shop import RENDERING, Names

RUNS = 3


@dataclass
class Crashes:
    """What came out of killing everywhere in one scenario."""

    scenario: str
    points: int = 0
    runs: int = 0
    names: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)


def _orders(day: Day, count: int, *, wire: bool) -> None:
    for _ in range(count):
        day._tell(day.shop.place())
    for order in day.shop.orders.values():
        order.wire, order.old, order.net = wire, False, Decimal("10.00") * order.number


def _post(day: Day) -> None:
    """New orders, customers and items; nothing is in the books yet."""
    _orders(day, 4, wire=False)


def _payment(day: Day) -> None:
    """Invoices with their payments, in waves."""
    _orders(day, 3, wire=True)
    for order in day.shop.orders.values():
        order.paid = True


def _update(day: Day) -> None:
    """Booked orders are edited."""
    _orders(day, 3, wire=False)
    day.go(calm=True)
    for order in day.shop.orders.values():
        order.net += 7
        order.revision += 1
        day.shop._touch(order)


def _void(day: Day) -> None:
    """Booked invoices are cancelled."""
    _orders(day, 3, wire=True)
    day.go(calm=True)
    for order in day.shop.orders.values():
        order.cancelled = True
        day.shop._touch(order)


def _refund(day: Day) -> None:
    """Booked orders are refunded."""
    _orders(day, 3, wire=False)
    day.go(calm=True)
    for number, order in enumerate(day.shop.orders.values(), start=1):
        order.refunds.append((number, Decimal("5.00")))
        day.shop._touch(order)


def _token(day: Day) -> None:
    """The access token has ended, so the work begins with a refresh."""
    _orders(day, 2, wire=False)
    day.server.valid_tokens = set()
    day.world.pass_time(2000)


def _webhook(day: Day) -> None:
    """Hints wait in the inbox and one more arrives."""
    _orders(day, 2, wire=False)
    for number in range(3):
        Inbox(day.quiet, clock=day.processes[0].clock).receive(
            "shop", f"hint-{number}", connection=CONNECTION, hint={"order": 1}
        )


def _extract(day: Day) -> None:
    """More changed orders than one page holds."""
    _orders(day, 60, wire=False)


def _card(day: Day) -> None:
    """The customers of booked orders have changed their addresses and names."""
    _orders(day, 3, wire=False)
    for order in day.shop.orders.values():
        order.who = order.number
    day.go(calm=True)
    for order in day.shop.orders.values():
        day.shop.moves[order.who] = 2
        day.shop._touch(order)


def _undo(day: Day) -> None:
    """A run has booked invoices, payments and cards, and is to be taken back."""
    _payment(day)
    day.go(calm=True)


CRASHES: dict[str, Callable[[Day], None]] = {
    "post": _post,
    "payment": _payment,
    "update": _update,
    "void": _void,
    "refund": _refund,
    "token refresh": _token,
    "webhook": _webhook,
    "extract": _extract,
    "card": _card,
    "undo": _undo,
}

BATCHES = {"extract": 30}
"""Documents a request: two, so that there are many requests, but not where there are many orders."""


def _calm_day(seed: int, template: Path | None) -> Day:
    day = Day(seed, orders=0, climate=Climate(), template=template)
    day.lag = 0.0
    day.company.query_lag = day.company.cdc_lag = 0.0
    day.company.honour_requestid = False
    day.company.enforce_numbers = False
    day.company.recalculate = None
    return day


def _start(day: Day, scenario: str, *, two: bool) -> None:
    """Start the pipeline, once or twice at the same moment."""
    day.calm = not two
    works = []
    for process in day.processes[: 2 if two else 1]:
        process.revive()
        pace = Pace(batch=BATCHES.get(scenario, 2), lanes=1)
        if scenario == "undo":
            works.append(lambda process=process, pace=pace: _take_back(day, process, pace))
        else:
            works.append(day.work(process, alone=not two, pace=pace))
    day.scheduler.run(*works)
    day.calm = True


def _take_back(day: Day, process: Process, pace: Pace) -> None:
    """An undo of the first run, whose death and whose failures are survived as by a supervisor."""
    day.runs += 1
    try:
        done = undo(
            process.engine,
            CONNECTION,
            books=day.books(process),
            names=Names(),
            run_id=f"undo-{day.runs}",
            by="a person",
            runs=["run-1"],
            clock=process.clock,
            pace=pace,
            render=RENDERING,
            owner=f"{process.name}.{day.runs}",
            step=process.hook,
        )
    except Killed:
        day.note("died", process.name)
    except PipelineError as error:
        day.failures.append(str(error))
    else:
        day.note("undone", len(done.voided), len(done.deactivated))


def _finished(day: Day, scenario: str) -> bool:
    if scenario != "undo":
        return judge(day).good
    cards = [*day.company.table("Customer").values(), *day.company.table("Item").values()]
    with reading(day.quiet) as tx:
        whole = audit.verify(tx).good
    return whole and not any(row["Active"] for row in cards) and not list(day.company.live())


def _kill_at(scenario: str, point: int | None, template: Path | None, *, two: bool) -> tuple[Day, int, str]:
    """Kill at one hook and start again until the work is done; runs after the kill, and what broke."""
    day = _calm_day(11, template)
    with real_code(day):
        day.calm = True
        CRASHES[scenario](day)
        day.hooks.clear()
        day.reached, day.kill_at = 0, point if point is not None else -1
        try:
            _start(day, scenario, two=two)
        except Killed:
            day.note("killed outside of a run")
        day.kill_at = None
        if point is None:
            return day, 0, ""
        for run in range(1, RUNS + 1):
            day.world.pass_time(400)
            _start(day, scenario, two=two)
            if _finished(day, scenario):
                # One more run must change nothing.
                before = day._fingerprint()
                _start(day, scenario, two=False)
                if day._fingerprint() != before:
                    return day, run, "a further run still changed something"
                return day, run, ""
        return day, RUNS, "; ".join(judge(day).broken[:2]) or "not finished"


def crash_everywhere(scenario: str, template: Path | None = None, *, most: int | None = None) -> Crashes:
    """Kill at every hook of a scenario, or at ``most`` of them, with one worker and with two."""
    result = Crashes(scenario)
    for two in (False, True):
        day, _, _ = _kill_at(scenario, None, template, two=two)
        result.names |= set(day.hooks)
        step = max(1, -(-day.reached // most)) if most else 1
        for point in range(1, day.reached + 1, step):
            _, runs, broken = _kill_at(scenario, point, template, two=two)
            result.points += 1
            result.runs = max(result.runs, runs)
            if broken:
                result.broken.append(
                    f"{scenario}, {'two workers' if two else 'one worker'}, point {point}: {broken}"
                )
    return result
