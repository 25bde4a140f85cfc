"""The small language of conditions in contracts, and its evaluation without a database.

What lives here: which SQL a contract's condition may use, and a second meaning of it, over Python
values, for the engine that does not run SQL. What does not: the SQL engine, which hands the text to
DuckDB as it stands. Truth has three values, as in SQL: a condition on a missing value is neither.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]
Evaluator = Callable[[Row], Any]


class UnknownExpression(ValueError):
    """A condition uses what the language does not have."""


def columns_of(text: str) -> tuple[str, ...]:
    """The columns that a condition reads, in the order of their first mention; checks it on the way."""
    from sqlglot import exp

    tree = _parse(text)
    _compile(tree)
    return tuple(dict.fromkeys(column.name for column in tree.find_all(exp.Column)))


def compiled(text: str) -> Evaluator:
    """A function from a row to True, False or None (a value was missing)."""
    return _compile(_parse(text))


def _parse(text: str) -> Any:
    import sqlglot

    try:
        return sqlglot.parse_one(text, read="duckdb")
    except sqlglot.ParseError as error:
        raise UnknownExpression(f"cannot be read as a condition: {text}") from error


def _compile(node: Any) -> Evaluator:
    for kinds, build in _builders():
        if isinstance(node, kinds):
            return build(node)
    raise UnknownExpression(
        f"{node.sql(dialect='duckdb')}: not among what a condition may use "
        "(columns, literals, + - *, comparisons, and, or, not, is null, in, between, abs, coalesce, length, trim, "
        "concat, starts_with)"
    )


def _builders() -> tuple[tuple[Any, Callable[[Any], Evaluator]], ...]:
    from sqlglot import exp

    binary: dict[type, Callable[[Any, Any], Any]] = {
        exp.EQ: operator.eq,
        exp.NEQ: operator.ne,
        exp.LT: operator.lt,
        exp.LTE: operator.le,
        exp.GT: operator.gt,
        exp.GTE: operator.ge,
        exp.Add: operator.add,
        exp.Sub: operator.sub,
        exp.Mul: operator.mul,
    }
    return (
        (exp.Paren, lambda node: _compile(node.this)),
        (exp.Column, _column),
        (exp.Literal, _literal),
        (exp.Boolean, lambda node: lambda _row: bool(node.this)),
        (exp.Null, lambda _node: lambda _row: None),
        (tuple(binary), lambda node: _lifted(binary[type(node)], node.left, node.right)),
        (exp.Neg, lambda node: _lifted(operator.neg, node.this)),
        (exp.Abs, lambda node: _lifted(abs, node.this)),
        (exp.Length, lambda node: _lifted(len, node.this)),
        (exp.Trim, lambda node: _lifted(lambda text: text.strip(" "), node.this)),
        (exp.StartsWith, lambda node: _lifted(str.startswith, node.this, node.expression)),
        (exp.And, lambda node: _connective(node, decisive=False)),
        (exp.Or, lambda node: _connective(node, decisive=True)),
        (exp.Not, lambda node: _lifted(operator.not_, node.this)),
        (exp.Is, _is),
        (exp.In, _in),
        (exp.Between, _between),
        (exp.Coalesce, lambda node: _coalesce([node.this, *node.expressions])),
        (exp.Concat, lambda node: _concat(node.expressions)),
    )


def _column(node: Any) -> Evaluator:
    if node.table:
        raise UnknownExpression(f"{node.sql()}: name the column without a table")
    name = node.name
    return lambda row: row[name]


def _literal(node: Any) -> Evaluator:
    value: Any = str(node.this) if node.is_string else Decimal(node.this)
    return lambda _row: value


def _lifted(function: Callable[..., Any], *nodes: Any) -> Evaluator:
    """The function of the nodes' values; None as soon as one of them is missing."""
    parts = [_compile(node) for node in nodes]

    def evaluate(row: Row) -> Any:
        values = [part(row) for part in parts]
        return None if any(value is None for value in values) else function(*values)

    return evaluate


def _connective(node: Any, *, decisive: bool) -> Evaluator:
    """``or`` is decided by one True, ``and`` by one False; a missing part leaves the rest undecided."""
    left, right = _compile(node.left), _compile(node.right)

    def evaluate(row: Row) -> bool | None:
        values = (left(row), right(row))
        if any(value is not None and bool(value) is decisive for value in values):
            return decisive
        return None if None in values else not decisive

    return evaluate


def _is(node: Any) -> Evaluator:
    from sqlglot import exp

    inner = _compile(node.this)
    if isinstance(node.expression, exp.Null):
        return lambda row: inner(row) is None
    wanted = bool(node.expression.this)
    return lambda row: inner(row) is wanted


def _in(node: Any) -> Evaluator:
    if not node.expressions:
        raise UnknownExpression(f"{node.sql(dialect='duckdb')}: a list of values must follow")
    inner = _compile(node.this)
    options = [_compile(option) for option in node.expressions]

    def evaluate(row: Row) -> bool | None:
        value = inner(row)
        if value is None:
            return None
        values = [option(row) for option in options]
        return True if value in values else None if None in values else False

    return evaluate


def _between(node: Any) -> Evaluator:
    from sqlglot import exp

    low = exp.GTE(this=node.this.copy(), expression=node.args["low"].copy())
    high = exp.LTE(this=node.this.copy(), expression=node.args["high"].copy())
    return _compile(exp.And(this=low, expression=high))


def _coalesce(nodes: list[Any]) -> Evaluator:
    parts = [_compile(node) for node in nodes]
    return lambda row: next((value for value in (part(row) for part in parts) if value is not None), None)


def _concat(nodes: list[Any]) -> Evaluator:
    parts = [_compile(node) for node in nodes]
    return lambda row: "".join(str(value) for value in (part(row) for part in parts) if value is not None)
