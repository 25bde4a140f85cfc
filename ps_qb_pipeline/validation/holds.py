"""What follows from a failed rule: a hold on the order, or a stop of everything.

What lives here: writing ``validation.holds`` and the gate that decides what may be posted. What does
not: evaluating rules (the engines) and posting.
"""

# ruff: noqa: S608  (names come from the contracts beside our own models; values are bound)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from ps_qb_pipeline.validation import sql_engine
from ps_qb_pipeline.validation.outcomes import Outcome
from ps_qb_pipeline.validation.rules import Contract, Origin, Rule
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


def gate(con: duckdb.DuckDBPyConnection, contracts: Mapping[str, Contract], *, now: datetime) -> Gate:
    """Runs every rule in one scan a relation, writes the holds, and says what may go on."""
    rules = [rule for contract in contracts.values() for rule in contract.rules]
    outcomes = sql_engine.evaluate(con, rules)
    write_holds(con, contracts, outcomes, now=now)
    return Gate(tuple(outcomes), held_orders(con))


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
    create_tables(con, only="validation")
    con.execute("create or replace temp table holds_now as select * from validation.holds limit 0")
    for outcome in outcomes:
        rule = outcome.rule
        contract = contracts.get(rule.table)
        origin = _ASSERTED if rule.kind == "assertion" else contract.origin if contract else None
        if rule.on_fail != "hold" or origin is None:
            continue
        if outcome.error:
            con.execute(
                "insert into holds_now select * from validation.holds where table_name = $table and rule = $rule",
                {"table": rule.table, "rule": rule.name},
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
                    "table": rule.table,
                    "rule": rule.name,
                    "severity": rule.severity,
                    "message": rule.message,
                    "now": now,
                },
            )
    return _settle(con)


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
        con.execute("delete from validation.holds")
        con.execute("insert into validation.holds select * from holds_settled")
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise
    return scalar(con, "select count(*) from validation.holds")
