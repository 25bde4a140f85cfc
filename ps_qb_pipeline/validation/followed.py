"""The rules again, of what was found right before: only what is new since is looked at.

What lives here: which relations are what they were when their rules last passed, and which rows of the others
were made again. What does not: evaluating rules (``sql_engine``) and making rows again (``partial``).

A relation is left out only where nothing it is made of has changed, and a row only where it stood there, word
for word, when every rule of its relation passed. Where that is not sure, and where anything fails, all rows are
looked at.
"""

# ruff: noqa: S608  (relations are named after our own files)

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby

import duckdb

from ps_qb_pipeline.validation import sql_engine
from ps_qb_pipeline.validation.outcomes import Outcome
from ps_qb_pipeline.validation.rules import Rule
from ps_qb_pipeline.warehouse import incremental, models, partial
from ps_qb_pipeline.warehouse.session import scalar

_JUDGED = "runner.judged"
"""Relations whose rules all passed: which state of them, and how many rows each rule was about."""

_ACROSS = frozenset({"relationships", "assertion"})
"""Rules that rows of other relations may break."""


def evaluate(con: duckdb.DuckDBPyConnection, rules: Sequence[Rule]) -> list[Outcome]:
    """The outcome of every rule, in the order given: the same that ``sql_engine.evaluate`` gives."""
    con.execute("create schema if not exists runner")
    con.execute(f"create table if not exists {_JUDGED} (relation varchar, state varchar, evaluated json)")
    standing = {
        relation: (state, json.loads(evaluated))
        for relation, state, evaluated in con.execute(f"from {_JUDGED}").fetchall()
    }
    ordered = sorted(rules, key=lambda rule: rule.table)
    by_table = {table: list(group) for table, group in groupby(ordered, key=lambda rule: rule.table)}
    states = _states(con, by_table)
    followed = partial.changes(con)
    found: list[Outcome] = []
    looked_at: list[Rule] = []
    judged: dict[str, str] = {}
    for table, group in by_table.items():
        before, counts = standing.get(table, ("", {}))
        now = states.get(table, "")
        if now and before == now:
            found += [_passed(rule, counts[rule.name], 0.0) for rule in group]
            continue
        judged[table] = now
        _, earlier = followed.get(table, (0, None))
        known = now and earlier is not None and before == f"{now.rpartition(' ')[0]} {earlier}"
        outcomes = _again(con, group) if known else None
        if outcomes is None:
            looked_at += group
        else:
            found += outcomes
    found += sql_engine.evaluate(con, looked_at, side_by_side=True)
    _settle(con, judged, found)
    by_rule = {(outcome.table, outcome.rule.name): outcome for outcome in found}
    return [by_rule[rule.table, rule.name] for rule in rules]


def _states(con: duckdb.DuckDBPyConnection, by_table: dict[str, list[Rule]]) -> dict[str, str]:
    """What each relation is now, in words that change when its rows or its rules may; none where nobody knows."""
    known = models.load_models()
    followed = partial.changes(con)
    landed = {
        table: sources
        for table, group in by_table.items()
        if table in known and (sources := _landed(table)) and not _reaches_out(group)
    }
    names = sorted({name for sources in landed.values() for name in sources})
    last = incremental.landed(con, names)
    found = {}
    for table, group in by_table.items():
        version = _version(table, group)
        if table in landed:
            found[table] = f"{version} {' '.join(str(last[name]) for name in landed[table])}"
        elif table in followed and not _reaches_out(group):
            found[table] = f"{version} {followed[table][0]}"
    return found


def _reaches_out(rules: list[Rule]) -> bool:
    return any(rule.kind in _ACROSS for rule in rules)


def _version(table: str, rules: list[Rule]) -> str:
    known = models.load_models().get(table)
    said = "\n".join([known.code_version if known else "", *(repr(rule) for rule in rules)])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


@lru_cache(maxsize=512)
def _landed(table: str) -> tuple[str, ...]:
    """The raw tables behind a view, where it is made of nothing else."""
    known = models.load_models()
    found: set[str] = set()
    waiting = [table]
    while waiting:
        model = known[waiting.pop()]
        if model.materialized != "view":
            return ()
        for name in model.reads:
            if name in known:
                waiting.append(name)
            elif name.startswith("raw."):
                found.add(name)
            else:
                return ()
    return tuple(sorted(found - partial.NOTED))


def _again(con: duckdb.DuckDBPyConnection, rules: list[Rule]) -> list[Outcome] | None:
    """The outcomes from the rows that were made again; None where one of them breaks a rule, or that is not enough."""
    table = rules[0].table
    if any(rule.where for rule in rules):
        return None
    copy = partial.rows_made_again(table)
    started = time.perf_counter()
    outcomes = sql_engine.evaluate(con, [replace(rule, table=copy) for rule in rules])
    if not all(outcome.passed for outcome in outcomes) or not all(
        _nowhere_else(con, rule, copy) for rule in rules if rule.kind == "unique"
    ):
        return None
    count = scalar(con, f"select count(*) from {table}")
    seconds = (time.perf_counter() - started) / len(rules)
    return [_passed(rule, count, seconds) for rule in rules]


def _nowhere_else(con: duckdb.DuckDBPyConnection, rule: Rule, copy: str) -> bool:
    """Whether the keys of the rows made again are those of no other row."""
    if _asked_of(rule.table) <= set(rule.columns):
        # Rows of the same key are of the same set: they were taken out before these came in.
        return True
    columns = ", ".join(f'"{name}"' for name in rule.columns)
    each = " and ".join(f'"{name}" in (select "{name}" from {copy})' for name in rule.columns)
    present = " and ".join(f'"{name}" is not null' for name in rule.columns)
    sharing = (
        f"select count(*) from {rule.table} where {each} and ({columns}) in (select {columns} from {copy})"
    )
    return scalar(con, sharing) == scalar(con, f"select count(*) from {copy} where {present}")


@lru_cache(maxsize=512)
def _asked_of(table: str) -> frozenset[str]:
    """The columns of a row that decide whether it belongs to the sets of the news."""
    import sqlglot
    from sqlglot import exp

    return frozenset(
        column.name
        for condition in models.load_models()[table].rows
        for column in sqlglot.parse_one(condition, read="duckdb").find_all(exp.Column)
        if column.find_ancestor(exp.Subquery, exp.Select) is None
    )


def _passed(rule: Rule, evaluated: int, seconds: float) -> Outcome:
    return Outcome(rule, True, 0, (), evaluated, "sql", seconds)


def _settle(con: duckdb.DuckDBPyConnection, judged: dict[str, str], outcomes: list[Outcome]) -> None:
    """Keeps the verdicts; what has not passed, or is in no state that can be told, is forgotten."""
    failed = {outcome.table for outcome in outcomes if not outcome.passed}
    counts: dict[str, dict[str, int]] = {table: {} for table in judged}
    for outcome in outcomes:
        if outcome.table in judged:
            counts[outcome.table][outcome.rule.name] = outcome.evaluated
    kept = [table for table, state in judged.items() if state and table not in failed]
    con.execute("begin")
    con.execute(
        f"delete from {_JUDGED} where relation in (select unnest($names::varchar[]))", {"names": list(judged)}
    )
    con.execute(
        f"insert into {_JUDGED} select unnest($names::varchar[]), unnest($states::varchar[]), unnest($counts::varchar[])",
        {
            "names": kept,
            "states": [judged[table] for table in kept],
            "counts": [json.dumps(counts[table]) for table in kept],
        },
    )
    con.execute("commit")
