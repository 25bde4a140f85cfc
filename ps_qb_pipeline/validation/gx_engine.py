"""The gate by Great Expectations: the same rules as expectations, over the same rows as a DataFrame.

What lives here: rules as expectations, the run, its results as outcomes, and Data Docs. What does
not: pandas and Great Expectations at import time, because they cost seconds and 250 MB.

Great Expectations reads rows, never the database. Conditions are computed by ``expressions``, not by
DuckDB, so that the two engines agree because both are right and not because they are one. Columns
of personal data reach the DataFrame as fingerprints: nothing of them can get into Data Docs.
"""

# ruff: noqa: S608  (names come from the contracts beside our own models; values are bound or typed)

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb

from ps_qb_pipeline.validation import expressions
from ps_qb_pipeline.validation.outcomes import SHOWN, Outcome
from ps_qb_pipeline.validation.rules import Rule

LIMIT = 250_000
"""How many rows of a relation are looked at: the newest. The SQL engine looks at all; this one holds them in memory."""

ROW = "_row_id"
"""The column of the DataFrame that names a row; it holds the row's id."""


def evaluate(
    con: duckdb.DuckDBPyConnection,
    rules: Sequence[Rule],
    *,
    pii: Mapping[str, Collection[str]] | None = None,
    docs: Path | None = None,
    limit: int = LIMIT,
) -> list[Outcome]:
    """The outcome of every rule, in the order given; ``pii`` names the columns of personal data by relation.

    Of a relation with more than ``limit`` rows, those with the highest ids are looked at (``evaluated``).

    ``docs`` is a folder for Data Docs (``gx/uncommitted/data_docs/local_site/index.html`` in it).
    Assertions are SQL and nothing else: they have no outcome here. A crash inside Great Expectations is an outcome with ``error``, never a failed rule.
    """
    by_rule: dict[tuple[str, str], Outcome] = {}
    with _context(docs) as context:
        ordered = sorted(
            (rule for rule in rules if rule.kind != "assertion"), key=lambda rule: (rule.table, rule.where)
        )
        for (table, where), group in groupby(ordered, key=lambda rule: (rule.table, rule.where)):
            personal = frozenset((pii or {}).get(table, ()))
            for outcome in _slice(con, context, table, where, list(group), personal, limit):
                by_rule[table, outcome.rule.name] = outcome
        if docs is not None:
            context.build_data_docs()
    return [by_rule[rule.table, rule.name] for rule in rules if rule.kind != "assertion"]


def docs_index(docs: Path) -> Path:
    """The first page of the Data Docs below ``docs``."""
    return docs / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html"


@contextmanager
def _context(docs: Path | None) -> Iterator[Any]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    if docs is None:
        context = gx.get_context(mode="ephemeral")
    else:
        docs.mkdir(parents=True, exist_ok=True)
        context = gx.get_context(mode="file", project_root_dir=str(docs))
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    yield context


def _slice(
    con: duckdb.DuckDBPyConnection,
    context: Any,
    table: str,
    where: str,
    rules: list[Rule],
    personal: frozenset[str],
    limit: int,
) -> list[Outcome]:
    started = time.perf_counter()
    try:
        frame = _frame(con, table, where, rules, personal, limit)
    except (duckdb.Error, expressions.UnknownExpression) as error:
        if len(rules) == 1:
            message = str(error).strip().split("\n", 1)[0]
            return [_crashed(rules[0], message, time.perf_counter() - started)]
        return [
            outcome
            for rule in rules
            for outcome in _slice(con, context, table, where, [rule], personal, limit)
        ]
    name = f"{table}{'_' + hashlib.sha256(where.encode()).hexdigest()[:8] if where else ''}"
    results = {
        result.expectation_config.meta["rule"]: result
        for result in _validate(context, name, frame, [_expectation(rule) for rule in rules])
    }
    seconds = (time.perf_counter() - started) / len(rules)
    return [_outcome(rule, results.get(rule.name), len(frame), seconds) for rule in rules]


def _validate(context: Any, name: str, frame: Any, expectations: list[Any]) -> list[Any]:
    import great_expectations as gx

    source = context.data_sources.add_or_update_pandas("warehouse")
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("rows")
    suite = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=expectations))
    definition = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(name=name, data=batch, suite=suite)
    )
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[definition],
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [ROW]},
    )
    answer = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": frame})
    return [result for run in answer.run_results.values() for result in run.results]


def _frame(
    con: duckdb.DuckDBPyConnection,
    table: str,
    where: str,
    rules: list[Rule],
    personal: frozenset[str],
    limit: int,
) -> Any:
    """The rows in scope: the columns that rules look at, and one column of verdicts for each condition."""
    import pandas as pd

    columns = list(dict.fromkeys(column for rule in rules for column in rule.columns))
    selected = ", ".join([f'"{rules[0].id_column}" as {ROW}', *(f'"{column}"' for column in columns)])
    scope = f" where {where}" if where else ""
    sql = f"select {selected} from {table}{scope} order by 1 desc limit {limit}"
    rows = con.execute(sql).fetchall()
    values = {name: [row[place] for row in rows] for place, name in enumerate([ROW, *columns])}
    for rule in rules:
        if rule.kind in {"expression", "relationships"}:
            values[rule.name] = _verdicts(con, rule, columns, rows)
    for column in personal & values.keys():
        values[column] = [_fingerprint(value) for value in values[column]]
    # Objects throughout: an amount stays a Decimal, a missing number stays missing and no float.
    return pd.DataFrame({name: pd.Series(content, dtype=object) for name, content in values.items()})


def _fingerprint(value: Any) -> str | None:
    return None if value is None else hashlib.sha256(str(value).encode()).hexdigest()[:12]


def _expectation(rule: Rule) -> Any:
    import great_expectations.expectations as gxe

    about: dict[str, Any] = {
        "meta": {"rule": rule.name},
        "severity": "critical" if rule.severity == "error" else "warning",
        "description": rule.message,
    }
    column = rule.columns[0]
    if rule.kind == "not_null":
        return gxe.ExpectColumnValuesToNotBeNull(column=column, **about)
    if rule.kind == "unique" and len(rule.columns) == 1:
        return gxe.ExpectColumnValuesToBeUnique(column=column, **about)
    if rule.kind == "unique":
        return gxe.ExpectCompoundColumnsToBeUnique(
            column_list=list(rule.columns), ignore_row_if="any_value_is_missing", **about
        )
    if rule.kind == "range":
        return gxe.ExpectColumnValuesToBeBetween(
            column=column,
            min_value=rule.low,
            max_value=rule.high,
            strict_min=rule.exclusive,
            strict_max=rule.exclusive,
            **about,
        )
    if rule.kind == "accepted_values":
        return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(rule.values), **about)
    return gxe.ExpectColumnValuesToBeInSet(column=rule.name, value_set=[True], **about)


def _verdicts(
    con: duckdb.DuckDBPyConnection, rule: Rule, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> list[bool | None]:
    """Row by row what Python says of a condition, or of a value that another relation should have."""
    if rule.kind == "expression":
        holds = expressions.compiled(rule.check)
        return [holds(dict(zip(columns, row[1:], strict=True))) for row in rows]
    place = 1 + columns.index(rule.columns[0])
    wanted = {row[place] for row in rows} - {None}
    table, _, key = rule.to.rpartition(".")
    sql = f'select distinct "{key}" from {table} where "{key}" in (select unnest($wanted))'
    found = {row[0] for row in con.execute(sql, {"wanted": list(wanted)}).fetchall()} if wanted else set()
    return [None if row[place] is None else row[place] in found for row in rows]


def _outcome(rule: Rule, result: Any, evaluated: int, seconds: float) -> Outcome:
    if result is None:
        return _crashed(rule, "Great Expectations returned no result for it", seconds)
    crash = _exception(result.exception_info or {})
    if crash:
        return _crashed(rule, crash, seconds)
    found = result.result
    ids = sorted({_plain(entry[ROW]) for entry in found.get("unexpected_index_list") or ()}, key=_by_size)
    failing = int(found.get("unexpected_count") or 0)
    shown = tuple(str(value) for value in ids[:SHOWN])
    return Outcome(rule, bool(result.success), failing, shown, evaluated, "great_expectations", seconds)


def _crashed(rule: Rule, message: str, seconds: float) -> Outcome:
    return Outcome(rule, False, 0, (), 0, "great_expectations", seconds, message)


def _exception(info: Mapping[str, Any]) -> str:
    """What Great Expectations says that it ran into; its own crashes come back as a failed expectation."""
    entries = [info, *(entry for entry in info.values() if isinstance(entry, Mapping))]
    for entry in entries:
        if entry.get("raised_exception"):
            return str(entry.get("exception_message") or "an exception without words").split("\n", 1)[0]
    return ""


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _by_size(value: Any) -> tuple[bool, Any]:
    return (isinstance(value, str), value if isinstance(value, int | Decimal | str) else str(value))
