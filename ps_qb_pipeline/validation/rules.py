"""The rules of the contracts: what a ``.yml`` beside a model demands of its rows.

What lives here: ``Rule`` and ``Contract`` values and the reading of them, with an error that names
file and field. What does not: running them (``sql_engine``, ``gx_engine``) and what follows from a
failure (``holds``).

A contract may hold ``unique``, ``not_null``, ``accepted_values``, ``range``, ``relationships`` and
``expressions``. Every entry may say ``severity`` (error, warning), ``on_fail`` and ``where``:

    hold    the failing row's order is not posted until the row is right
    block   the structure is broken: nothing is posted
    warn    it is shown, nothing else happens

A value that is missing breaks ``not_null`` only, as in SQL's own constraints.

What takes more than one relation to say is an assertion: a SELECT in ``tests/assert_<name>.sql`` whose
rows are the failures. They must have an ``id``, and a ``source_type``, ``source_id`` and ``order_id``
where they can be held. Its ``.yml`` names the relation it is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.validation import expressions
from ps_qb_pipeline.warehouse import models

Kind = Literal["unique", "not_null", "accepted_values", "range", "relationships", "expression", "assertion"]
Severity = Literal["error", "warning"]
OnFail = Literal["hold", "block", "warn"]

KEYS = ("unique", "not_null", "accepted_values", "range", "relationships", "expressions")
"""The parts of a contract that hold rules."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One demand on every row of one relation.

    ``name`` is unique in its relation. ``where`` is a SQL condition that limits the rows it is about.
    """

    name: str
    table: str
    kind: Kind
    columns: tuple[str, ...]
    id_column: str
    severity: Severity = "error"
    on_fail: OnFail = "hold"
    message: str = ""
    where: str = ""
    values: tuple[Any, ...] = ()
    low: Decimal | None = None
    high: Decimal | None = None
    exclusive: bool = False
    to: str = ""
    check: str = ""
    """The condition of an expression, the SELECT of an assertion."""


class Origin(NamedTuple):
    """How a failing row names the shop object that is held: three SQL expressions over the row."""

    type: str
    id: str
    order: str


@dataclass(frozen=True, slots=True)
class Contract:
    """The rules of one relation. Without ``origin`` its rows cannot be held."""

    table: str
    path: Path
    id_column: str
    origin: Origin | None
    rules: tuple[Rule, ...]
    pii: frozenset[str] = field(default_factory=frozenset)


def load_contracts(root: Path | None = None) -> dict[str, Contract]:
    """Every contract with at least one rule, by relation, in the order in which relations are made.

    Raises ``SettingsError`` naming file and field for a rule that cannot be understood.
    """
    root = root or models.models_dir()
    bodies = [(name, path, body) for name, (path, body) in models.landed_contracts(root).items()]
    made = models.load_models(root).values()
    bodies += [(model.name, model.path.with_suffix(".yml"), model.contract) for model in made]
    read = {name: read_contract(name, path, body) for name, path, body in bodies}
    for path in sorted((root / models.TESTS).glob("assert_*.sql")):
        rule = read_assertion(path)
        if rule.table not in read:
            raise SettingsError(
                f"table: there is no contract of {rule.table}", where=str(path.with_suffix(".yml"))
            )
        contract = read[rule.table]
        read[rule.table] = replace(contract, rules=(*contract.rules, rule))
    return {name: contract for name, contract in read.items() if contract.rules}


def read_assertion(path: Path) -> Rule:
    """The assertion in the file at ``path``, with what the ``.yml`` beside it says of it."""
    sql = path.read_text().strip().removesuffix(";")
    meaning = sql.split("\n", 1)[0].removeprefix("--").strip()
    models.tables_read(sql, where=str(path))
    body = models.contract(path.with_suffix(".yml"))
    reader = _Reader(str(body.get("table", "")), path.with_suffix(".yml"), "id")
    if not reader.table:
        raise reader.error("table", "must name the relation that the assertion is about")
    options = {name: value for name, value in body.items() if name != "table"}
    return reader.rule(path.stem, "assertion", (), options, message=meaning, check=sql)


def read_contract(table: str, path: Path, body: Mapping[str, Any]) -> Contract:
    """The contract of ``table`` as the mapping ``body`` (read from ``path``) states it."""
    columns: Mapping[str, Any] = body.get("columns") or {}
    pii = frozenset(
        name for name, entry in columns.items() if isinstance(entry, Mapping) and entry.get("pii")
    )
    reader = _Reader(table, path, str(body.get("id_column", "id")))
    origin = _origin(body.get("source"), path)
    rules = tuple(rule for key in KEYS for rule in reader.read(key, body.get(key)))
    if rules and columns and reader.id_column not in columns:
        raise SettingsError(
            f"id_column: rules name their failing rows by {reader.id_column!r}, which is not among the columns",
            where=str(path),
        )
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"{name}: two rules of this name", where=str(path))
    for rule in rules:
        if rule.on_fail == "hold" and origin is None and "on_fail" in reader.stated.get(rule.name, ()):
            raise SettingsError(
                f"{rule.name}: on_fail: hold needs source: (type, id, order)", where=str(path)
            )
        if rule.kind in {"accepted_values", "range"} and pii & set(rule.columns):
            raise SettingsError(f"{rule.name}: a column of personal data shows no values", where=str(path))
    if origin is None:
        rules = tuple(_unheld(rule) for rule in rules)
    return Contract(table, path, reader.id_column, origin, rules, pii)


def _unheld(rule: Rule) -> Rule:
    """A rule of a relation without orders: what would be held blocks, so that nothing wrong is posted."""
    if rule.on_fail != "hold":
        return rule
    return replace(rule, on_fail="block" if rule.severity == "error" else "warn")


def _origin(body: Any, path: Path) -> Origin | None:
    if body is None:
        return None
    if not isinstance(body, Mapping) or set(body) != {"type", "id", "order"}:
        raise SettingsError("source: must hold type, id and order", where=str(path))
    return Origin(f"'{body['type']}'", str(body["id"]), str(body["order"]))


class _Reader:
    """Reads the rules of one file; every error names the file and the field."""

    def __init__(self, table: str, path: Path, id_column: str) -> None:
        self.table = table
        self.path = path
        self.id_column = id_column
        self.stated: dict[str, frozenset[str]] = {}

    def read(self, key: str, body: Any) -> Iterator[Rule]:
        if body is None:
            return
        if key in {"unique", "not_null"}:
            if not isinstance(body, Sequence) or isinstance(body, str):
                raise self.error(key, "must be a list of columns")
            for entry in body:
                yield self._keyed(key, entry)
            return
        if not isinstance(body, Mapping):
            raise self.error(key, "must be a mapping")
        for name, entry in body.items():
            yield getattr(self, f"_{key}")(name, entry)

    def _keyed(self, key: str, entry: Any) -> Rule:
        options: Mapping[str, Any] = {}
        if isinstance(entry, Mapping):
            options = {name: value for name, value in entry.items() if name not in {"column", "columns"}}
            entry = entry.get("columns", entry.get("column"))
        columns = (entry,) if isinstance(entry, str) else tuple(entry or ())
        if not columns:
            raise self.error(key, "names no column")
        if key == "not_null" and len(columns) > 1:
            raise self.error(key, "takes one column an entry")
        words = "is not unique" if key == "unique" else "is missing"
        return self.rule(
            f"{key}_{'_'.join(columns)}", key, columns, options, message=f"{' + '.join(columns)} {words}"
        )

    def _accepted_values(self, column: str, entry: Any) -> Rule:
        options, values = self._split(entry, "values")
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise self.error(f"accepted_values.{column}", "must be a list of values")
        shown = ", ".join(str(value) for value in values)
        name = f"accepted_values_{column}"
        message = f"{column} is none of {shown}"
        return self.rule(name, "accepted_values", (column,), options, message=message, values=tuple(values))

    def _range(self, column: str, entry: Any) -> Rule:
        if not isinstance(entry, Mapping) or not {"min", "max"} & set(entry):
            raise self.error(f"range.{column}", "must hold min, max or both")
        low, high = (None if entry.get(end) is None else Decimal(str(entry[end])) for end in ("min", "max"))
        exclusive = bool(entry.get("exclusive", False))
        options = {name: value for name, value in entry.items() if name not in {"min", "max", "exclusive"}}
        bounds = " and ".join(
            part
            for part in (
                f"above {low}"
                if exclusive and low is not None
                else f"at least {low}"
                if low is not None
                else "",
                f"below {high}"
                if exclusive and high is not None
                else f"at most {high}"
                if high is not None
                else "",
            )
            if part
        )
        return self.rule(
            f"range_{column}",
            "range",
            (column,),
            options,
            message=f"{column} must be {bounds}",
            low=low,
            high=high,
            exclusive=exclusive,
        )

    def _relationships(self, column: str, entry: Any) -> Rule:
        options, to = self._split(entry, "to")
        if not isinstance(to, str) or to.count(".") != 2:
            raise self.error(f"relationships.{column}", "must be schema.table.column")
        relation = to.rsplit(".", 1)[0]
        return self.rule(
            f"relationships_{column}",
            "relationships",
            (column,),
            options,
            message=f"{column} names nothing in {relation}",
            to=to,
        )

    def _expressions(self, name: str, entry: Any) -> Rule:
        options, check = self._split(entry, "check")
        where = f"expressions.{name}"
        if not isinstance(check, str):
            raise self.error(where, "must be a condition")
        try:
            columns = expressions.columns_of(check)
        except expressions.UnknownExpression as error:
            raise self.error(where, str(error)) from error
        return self.rule(name, "expression", columns, options, message=f"not so: {check}", check=check)

    def _split(self, entry: Any, main: str) -> tuple[Mapping[str, Any], Any]:
        if not isinstance(entry, Mapping):
            return {}, entry
        return {name: value for name, value in entry.items() if name != main}, entry.get(main)

    def rule(
        self,
        name: str,
        kind: str,
        columns: tuple[str, ...],
        options: Mapping[str, Any],
        *,
        message: str,
        **parts: Any,
    ) -> Rule:
        unknown = sorted(set(options) - {"severity", "on_fail", "where", "message"})
        if unknown:
            raise self.error(
                name, f"{', '.join(unknown)} is unknown; allowed: severity, on_fail, where, message"
            )
        severity = self._one_of(name, "severity", options.get("severity", "error"), get_args(Severity))
        default = "hold" if severity == "error" else "warn"
        on_fail = self._one_of(name, "on_fail", options.get("on_fail", default), get_args(OnFail))
        self.stated[name] = frozenset(options)
        return Rule(
            name=name,
            table=self.table,
            kind=kind,  # type: ignore[arg-type]  # one of KEYS, made by this class alone
            columns=columns,
            id_column=self.id_column,
            severity=severity,
            on_fail=on_fail,
            message=str(options.get("message", message)),
            where=str(options.get("where", "")),
            **parts,
        )

    def _one_of(self, name: str, key: str, value: Any, allowed: tuple[Any, ...]) -> Any:
        if value not in allowed:
            raise self.error(name, f"{key}: {value!r} is unknown; allowed: {', '.join(allowed)}")
        return value

    def error(self, key: str, message: str) -> SettingsError:
        return SettingsError(f"{key}: {message}", where=str(self.path))
