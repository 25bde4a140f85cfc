"""The hot path: every rule of a relation in one scan of it, and a second one where some row breaks a rule.

What lives here: rules as SQL predicates, and their evaluation by DuckDB. What does not: what
follows from a failure (``holds``).
"""

# ruff: noqa: S608  (names come from the contracts beside our own models; values are bound or typed)

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import groupby
from typing import Any

import duckdb

from ps_qb_pipeline.validation.outcomes import SHOWN, Outcome
from ps_qb_pipeline.validation.rules import Rule
from ps_qb_pipeline.warehouse.session import scalar

AT_ONCE = 2
"""Tables looked at at the same time: one alone seldom keeps all cores busy."""


def evaluate(
    con: duckdb.DuckDBPyConnection, rules: Sequence[Rule], *, side_by_side: bool = False
) -> list[Outcome]:
    """The outcome of every rule, in the order given. Bad rows and broken rules never raise.

    With ``side_by_side`` two tables are looked at at a time, by cursors of the connection: what is temporary
    or not committed, they do not see.
    """
    ordered = sorted(rules, key=lambda rule: rule.table)
    tables = [(table, list(group)) for table, group in groupby(ordered, key=lambda rule: rule.table)]
    if side_by_side:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda one: _beside(con, *one), tables))
    else:
        found = [_table(con, table, group) for table, group in tables]
    by_rule = {(outcome.rule.table, outcome.rule.name): outcome for group in found for outcome in group}
    return [by_rule[rule.table, rule.name] for rule in rules]


def _beside(con: duckdb.DuckDBPyConnection, table: str, rules: list[Rule]) -> list[Outcome]:
    with con.cursor() as cursor:
        return _table(cursor, table, rules)


def failing(rule: Rule) -> str:
    """A SQL condition that is true for exactly the rows that break the rule."""
    condition = _condition(rule)
    return f"(({rule.where}) and ({condition}))" if rule.where else f"({condition})"


def _table(con: duckdb.DuckDBPyConnection, table: str, rules: list[Rule]) -> list[Outcome]:
    started = time.perf_counter()
    keys = [rule for rule in rules if rule.kind == "unique"]
    asserted = [rule for rule in rules if rule.kind == "assertion"]
    others = [rule for rule in rules if rule.kind not in {"unique", "assertion"}]
    try:
        outcomes = _scan(con, table, others, keys) if others or keys else []
        outcomes += [_assertion(con, rule) for rule in asserted]
    except duckdb.Error as error:
        if len(rules) == 1:
            message = str(error).strip().split("\n", 1)[0]
            return [Outcome(rules[0], False, 0, (), 0, "sql", time.perf_counter() - started, message)]
        return [outcome for rule in rules for outcome in _table(con, table, [rule])]
    return outcomes


def _scan(con: duckdb.DuckDBPyConnection, table: str, rules: list[Rule], keys: list[Rule]) -> list[Outcome]:
    started = time.perf_counter()
    scopes = list(dict.fromkeys(rule.where for rule in (*rules, *keys) if rule.where))
    selected = ["count(*)", *(f"count(*) filter (where {scope})" for scope in scopes)]
    for number in range(len(keys)):
        selected += [f"count(k{number})", f"count(distinct k{number})"]
    read = [f"{_key(rule)} as k{number}" for number, rule in enumerate(keys)]
    if rules:
        selected.append("count(*) filter (where broken)")
        read.append(f"({_any(rules)}) as broken")
    (row,) = con.execute(
        f"select {', '.join(selected)} from (select *, {', '.join(read)} from {table})"
    ).fetchall()
    evaluated = dict(zip(["", *scopes], row, strict=False))
    found = _broken(con, table, rules) if rules and row[-1] else [(0, ())] * len(rules)
    seconds = (time.perf_counter() - started) / (len(rules) + len(keys))
    outcomes = [
        _outcome(rule, count, named, evaluated[rule.where], seconds)
        for rule, (count, named) in zip(rules, found, strict=True)
    ]
    for number, rule in enumerate(keys):
        present, distinct = row[1 + len(scopes) + 2 * number :][:2]
        whole = _outcome(rule, 0, (), evaluated[rule.where], seconds)
        outcomes.append(whole if present == distinct else _repeated(con, rule, evaluated[rule.where]))
    return outcomes


def _any(rules: list[Rule]) -> str:
    return " or ".join(failing(rule) for rule in rules)


def _broken(con: duckdb.DuckDBPyConnection, table: str, rules: list[Rule]) -> list[tuple[int, Sequence[Any]]]:
    """Of each rule how many rows break it, and a few of them. Asked only when some row breaks some rule."""
    selected = [
        f'count(*) filter (where f{number}), min("{rule.id_column}", {SHOWN}) filter (where f{number})'
        for number, rule in enumerate(rules)
    ]
    marks = [f"{failing(rule)} as f{number}" for number, rule in enumerate(rules)]
    (row,) = con.execute(
        f"select {', '.join(selected)} from (select *, {', '.join(marks)} from {table} where {_any(rules)})"
    ).fetchall()
    return list(zip(row[::2], row[1::2], strict=True))


def _assertion(con: duckdb.DuckDBPyConnection, rule: Rule) -> Outcome:
    started = time.perf_counter()
    ((count, named),) = con.execute(f"select count(*), min(id, {SHOWN}) from ({rule.check}\n)").fetchall()
    evaluated = scalar(con, f"select count(*) from {rule.table}")
    return _outcome(rule, count, named, evaluated, time.perf_counter() - started)


def _key(rule: Rule) -> str:
    """What stands for the value that must not repeat; null where a part of it is missing or the rule does not apply."""
    parts = [f'"{column}"' for column in rule.columns]
    present = " and ".join(f"{part} is not null" for part in parts)
    scope = f"({rule.where}) and {present}" if rule.where else present
    return f"case when {scope} then hash({', '.join(parts)}) end"


def _repeated(con: duckdb.DuckDBPyConnection, rule: Rule, evaluated: int) -> Outcome:
    """The rows that share a key. Asked only when there are fewer distinct hashes than keys."""
    started = time.perf_counter()
    ((count, named),) = con.execute(
        f'select count(*), min("{rule.id_column}", {SHOWN}) from {rule.table} where {failing(rule)}'
    ).fetchall()
    return _outcome(rule, count, named, evaluated, time.perf_counter() - started)


def _outcome(rule: Rule, count: int, named: Sequence[Any] | None, evaluated: int, seconds: float) -> Outcome:
    return Outcome(
        rule, count == 0, count, tuple(str(value) for value in named or ()), evaluated, "sql", seconds
    )


def _condition(rule: Rule) -> str:
    column = f'"{rule.columns[0]}"'
    if rule.kind == "not_null":
        return f"{column} is null"
    if rule.kind == "unique":
        columns = ", ".join(f'"{name}"' for name in rule.columns)
        scope = f" and ({rule.where})" if rule.where else ""
        present = " and ".join(f'"{name}" is not null' for name in rule.columns)
        twice = f"select {columns} from {rule.table} where {present}{scope} group by all having count(*) > 1"
        return f"{present} and ({columns}) in ({twice})"
    if rule.kind == "accepted_values":
        return f"{column} not in ({', '.join(_literal(value) for value in rule.values)})"
    if rule.kind == "range":
        return _outside(rule, column)
    if rule.kind == "relationships":
        table, _, key = rule.to.rpartition(".")
        return f'{column} is not null and {column} not in (select "{key}" from {table} where "{key}" is not null)'
    return f"not ({rule.check})"


def _outside(rule: Rule, column: str) -> str:
    below, above = ("<=", ">=") if rule.exclusive else ("<", ">")
    parts = []
    if rule.low is not None:
        parts.append(f"{column} {below} {rule.low}")
    if rule.high is not None:
        parts.append(f"{column} {above} {rule.high}")
    return " or ".join(parts)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return str(value)
    text = str(value).replace("'", "''")
    return f"'{text}'"
