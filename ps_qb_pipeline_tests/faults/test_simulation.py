"""The simulator's own tests: days that hold, teeth that bite, kills that heal, and one trace a seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ps_qb_pipeline_tests.faults.checker import judge
from ps_qb_pipeline_tests.faults.climate import Climate
from ps_qb_pipeline_tests.faults.crashes import CRASHES, crash_everywhere
from ps_qb_pipeline_tests.faults.day import Day, lived, template
from ps_qb_pipeline_tests.faults.sabotage import SAFEGUARDS
from ps_qb_pipeline_tests.faults.simulate import main, one_day

STORMY = Climate(
    writes=0.3, reads=0.1, refreshes=0.1, kill=0.004, pause=0.01, database=0.01, two=0.5, hands=10, skew=0.2
)

FAILING_SEEDS = {
    "intent before send": 12,
    "settle window": 5,
    "compare-and-set": 4,
    "inbox dedupe": 1,
    "write-ahead token": 1,
    "echo compare": 2,
    "cursor after rows": 7,
    "three-way compare": 11,
}
"""For each safeguard a day that goes wrong without it, and holds with it."""


@pytest.fixture(scope="module")
def empty() -> Path:
    return template()


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_a_stormy_day_ends_with_every_document_in_one_class(seed: int) -> None:
    """Faults of every kind at once: nothing doubled, lost, refunded twice, overwritten or unclassified."""
    verdict, faults, _, _ = one_day(seed, 40, climate=STORMY)
    assert verdict.good, verdict
    assert verdict.matched + verdict.with_person + verdict.by_people == verdict.documents
    assert sum(faults.values()) > 20


def test_a_calm_day_books_everything_as_meant() -> None:
    """Without faults and people every document is matched: the checker does not excuse anything."""
    verdict, _, _, _ = one_day(7, 40, climate=Climate())
    assert verdict.good
    assert verdict.matched >= verdict.documents - verdict.with_person
    assert verdict.with_person <= 1


def test_one_seed_has_one_trace(empty: Path) -> None:
    """The same seed gives the same history to the last hook; another seed another one."""
    traces = []
    for seed in (5, 5, 6):
        with lived(Day(seed, orders=25, climate=STORMY, template=empty)) as day:
            traces.append(judge(day).trace)
    assert traces[0] == traces[1] != traces[2]


@pytest.mark.parametrize("safeguard", SAFEGUARDS)
def test_the_simulator_notices_a_missing_safeguard(safeguard: str) -> None:
    """A known seed fails without the safeguard and holds with it."""
    seed, climate = FAILING_SEEDS[safeguard], SAFEGUARDS[safeguard][1]
    without, _, _, _ = one_day(seed, 40, climate=climate, without=safeguard)
    assert not without.good
    with_it, _, _, _ = one_day(seed, 40, climate=climate)
    assert with_it.good, with_it


@pytest.mark.parametrize("scenario", CRASHES)
def test_a_kill_at_any_point_heals_within_three_runs(scenario: str, empty: Path) -> None:
    """Spread over all crash points of a scenario, one worker and two: always healed, nothing done twice."""
    result = crash_everywhere(scenario, empty, most=4)
    assert result.broken == []
    assert result.points >= 6
    assert result.runs <= 3


def test_the_command_prints_its_figures_and_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line holds what a machine reads; the exit code says whether everything held."""
    arguments = ["--seeds", "1", "--orders", "10", "--processes", "1", "--no-teeth", "--no-crashes"]
    assert main(arguments) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["seeds"] == 1
    assert line["orders"] == 10
    assert (line["duplicates"], line["lost"], line["unclassified"]) == (0, 0, "0.00")
    assert len(line["trace"]) == 64
