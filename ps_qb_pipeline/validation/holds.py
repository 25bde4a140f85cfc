"""What follows from a failed rule: a hold on the order, or a stop of everything.

What lives here: writing ``validation.holds`` and the gate that decides what may be posted. What does
not: evaluating rules (the engines) and posting.
"""

# ruff: noqa: S608  (names come from the contracts beside our own models; values are bound)

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import duckdb

from ps_qb_pipeline.validation import sql_engine
from ps_qb_pipeline.validation.outcomes import Outcome
from ps_qb_pipeline.validation.rules import Contract, Origin, Rule
from ps_qb_pipeline.warehouse import narrowed, news
from ps_qb_pipeline.warehouse.session import scalar
from ps_qb_pipeline.warehouse.tables import create_tables


@dataclass(frozen=True, slots=True)
class Gate:
    """The verdict on everything that is about to be posted.

    ``held`` counts the orders with a hold; ``blocking`` are the outcomes for which nothing is posted.
    """

    outcomes: tuple[Outcome, ...]
    held: int

    @property
    def blocking(self) -> tuple[Outcome, ...]:
        """Failed structural rules, and guarding rules that could not be run."""
        return tuple(outcome for outcome in self.outcomes if outcome.blocks)

    @property
    def open(self) -> bool:
        """True when whatever is not held may be posted."""
        return not self.blocking


def gate(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, Contract],
    *,
    now: datetime,
    references: Collection[str] | None = None,
) -> Gate:
    """Runs every rule in one scan a relation, writes the holds, and says what may go on.

    With ``references`` only the rows of those orders are looked at, and the holds of other orders stay:
    who names them vouches that no other rows have changed. Relations whose rows belong to no order are
    then left to the next gate over everything.
    """
    if references is not None:
        return _gate_part(con, contracts, now, references)
    rules = [rule for contract in contracts.values() for rule in contract.rules]
    outcomes = sql_engine.evaluate(con, rules, side_by_side=True)
    write_holds(con, contracts, outcomes, now=now)
    return Gate(tuple(outcomes), held_orders(con))


def _gate_part(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, Contract],
    now: datetime,
    references: Collection[str],
) -> Gate:
    instead = narrowed.narrow(con, references, _columns(contracts.values()))
    stands_for = {copy: relation for relation, copy in instead.items()}
    rules = [
        _narrowed(rule, instead)
        for contract in contracts.values()
        if contract.table in instead
        for rule in contract.rules
    ]
    outcomes = sql_engine.evaluate(con, rules)
    narrow = {
        instead[name]: replace(contract, table=instead[name])
        for name, contract in contracts.items()
        if name in instead
    }
    _gather(con, narrow, outcomes, now, stands_for)
    con.execute(
        """
        insert into holds_now
        select * from validation.holds where coalesce(order_id, 0) not in (select id from narrowed_orders)
        """
    )
    _settle(con)
    standing = dict(
        con.execute(
            "select table_name || ' ' || rule, count(*) from validation.holds group by all"
        ).fetchall()
    )
    return Gate(tuple(_whole(outcome, stands_for, standing) for outcome in outcomes), held_orders(con))


def _columns(contracts: Iterable[Contract]) -> set[str]:
    """Every word in what the rules say: among them are all columns that any of them reads."""
    said = " ".join(
        " ".join([*rule.columns, rule.id_column, rule.where, rule.to, rule.check, *(contract.origin or ())])
        for contract in contracts
        for rule in contract.rules
    )
    return set(re.findall(r"\b[a-z_]\w*", said))


def _narrowed(rule: Rule, instead: Mapping[str, str]) -> Rule:
    """The rule over the copies; of what has no copy it looks up only the values that its own rows name."""
    table, _, key = rule.to.rpartition(".")
    to = narrowed.reading(rule.to, instead)
    if rule.kind == "relationships" and table not in instead:
        to = f'(select "{key}" from {table} where "{key}" in (select "{rule.columns[0]}" from {instead[rule.table]})).{key}'
    return replace(rule, table=instead[rule.table], to=to, check=narrowed.reading(rule.check, instead))


def _whole(outcome: Outcome, stands_for: Mapping[str, str], standing: Mapping[str, int]) -> Outcome:
    """The outcome under its relation's name; rows that are held already count as failing."""
    rule = replace(outcome.rule, table=stands_for[outcome.rule.table])
    failing = max(outcome.failing, standing.get(f"{rule.table} {rule.name}", 0))
    return replace(outcome, rule=rule, failing=failing, passed=outcome.passed and not failing)


def held_orders(con: duckdb.DuckDBPyConnection) -> int:
    """The number of orders with at least one hold."""
    return scalar(con, "select count(distinct order_id) from validation.holds")


def write_holds(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, Contract],
    outcomes: Sequence[Outcome],
    *,
    now: datetime,
) -> int:
    """Makes ``validation.holds`` say what the outcomes say, and returns how many holds there are.

    A hold that was there before keeps its ``since``; one whose row is right now is gone. Holds of
    rules that could not be run stay as they are: nothing is known about their rows.
    """
    _gather(con, contracts, outcomes, now)
    return _settle(con)


def _gather(
    con: duckdb.DuckDBPyConnection,
    contracts: Mapping[str, Contract],
    outcomes: Sequence[Outcome],
    now: datetime,
    stands_for: Mapping[str, str] | None = None,
) -> None:
    """The holds that follow from the outcomes, in the temporary table ``holds_now``.

    ``stands_for`` names the relations of copies.
    """
    create_tables(con, only="validation")
    con.execute("create or replace temp table holds_now as select * from validation.holds limit 0")
    for outcome in outcomes:
        rule = outcome.rule
        contract = contracts.get(rule.table)
        origin = _ASSERTED if rule.kind == "assertion" else contract.origin if contract else None
        if rule.on_fail != "hold" or origin is None:
            continue
        relation = (stands_for or {}).get(rule.table, rule.table)
        if outcome.error:
            con.execute(
                "insert into holds_now select * from validation.holds where table_name = $table and rule = $rule",
                {"table": relation, "rule": rule.name},
            )
        elif outcome.failing:
            con.execute(
                f"""
                insert into holds_now
                select distinct
                    $table, $rule, {origin.type}, ({origin.id})::varchar, ({origin.order})::bigint,
                    $severity, $message, $now
                from {_failing_rows(rule)}
                """,
                {
                    "table": relation,
                    "rule": rule.name,
                    "severity": rule.severity,
                    "message": rule.message,
                    "now": now,
                },
            )


_ASSERTED = Origin("source_type", "source_id", "order_id")


def _failing_rows(rule: Rule) -> str:
    if rule.kind == "assertion":
        return f"({rule.check}\n)"
    return f"{rule.table} where {sql_engine.failing(rule)}"


def _settle(con: duckdb.DuckDBPyConnection) -> int:
    con.execute("begin")
    try:
        con.execute(
            """
            create or replace temp table holds_settled as
            select holds_now.* replace (coalesce(before.since, holds_now.since) as since)
            from holds_now
            left join validation.holds as before using (table_name, rule, source_type, source_id)
            qualify row_number() over (
                partition by table_name, rule, source_type, source_id order by before.since
            ) = 1
            """
        )
        news.note(
            con,
            "validation.holds",
            "select order_id from ((from holds_settled except all from validation.holds)"
            " union all (from validation.holds except all from holds_settled)) where order_id is not null",
        )
        con.execute("delete from validation.holds")
        con.execute("insert into validation.holds select * from holds_settled")
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise
    return scalar(con, "select count(*) from validation.holds")
