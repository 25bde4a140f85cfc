"""The SQL models: finding them, ordering them, running them.

What lives here: one ``Model`` a ``.sql`` file of ``dbt_style_sql/``, its contract from the ``.yml``
beside it, the order read from the table names in the SQL, and the runner. What does not: the rules
of a contract (``validation``) and the rows that Python writes (``raw``, ``ledger``).

A file ``<schema>[/<prefix>]/<stem>.sql`` is the relation ``<schema>.[<prefix>_]<stem>``. Nothing is
declared twice: a model runs after the models whose relations its SQL names.
"""

# ruff: noqa: S608  (relations are named after our own files)

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import yaml

from ps_qb_pipeline.errors import SettingsError, StorageError
from ps_qb_pipeline.warehouse import incremental, partial, raw
from ps_qb_pipeline.warehouse.session import MEMORY_LIMIT, scalar
from ps_qb_pipeline.warehouse.tables import TABLES, create_tables

TESTS = "tests"
"""The folder of singular tests, which are not models."""

_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MATERIALIZED = ("view", "table", "incremental")

AT_ONCE = 2
"""Models made at the same time where all are made anew. More would need more memory than they save time."""

MAKING_MEMORY = "2800MB"
"""What DuckDB may hold meanwhile: with less, a million orders are spilled to disk and take half as long again."""

_PROOF = "recon.conservation"
"""Every row and every cent in exactly one class: what following must not break."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the contract describes it. ``pii`` marks personal data: mask it wherever it is shown."""

    name: str
    type: str = ""
    description: str = ""
    pii: bool = False


@dataclass(frozen=True)
class Model:
    """One relation and the SELECT that makes it."""

    name: str
    path: Path
    sql: str
    reads: frozenset[str]
    contract: Mapping[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> str:
        """The DuckDB schema, which is the layer."""
        return self.name.split(".", 1)[0]

    @property
    def table(self) -> str:
        """The name inside the schema."""
        return self.name.split(".", 1)[1]

    @property
    def materialized(self) -> str:
        """``view``, ``table`` made anew every time, or ``incremental``: only what the news bears on (``partial``)."""
        return str(self.contract.get("materialized", "view" if self.schema == "staging" else "table"))

    @property
    def rows(self) -> tuple[str, ...]:
        """Of an incremental model, the conditions of its rows that belong to the sets of ``news``."""
        return tuple(self.contract.get("rows") or ())

    @property
    def sums(self) -> tuple[str, ...]:
        """Of an incremental model, the columns that are sums over orders, first the count; the others are its grain."""
        return tuple(self.contract.get("sums") or ())

    @property
    def whole(self) -> frozenset[str]:
        """What an incremental model reads whole: whatever changes in it, only rows of the sets depend on it."""
        return frozenset(self.contract.get("whole") or ())

    @property
    def narrows(self) -> Mapping[str, str]:
        """What an incremental model reads by a condition of its own, by relation."""
        found: Mapping[str, str] = self.contract.get("narrows") or {}
        return found

    @property
    def heeds(self) -> Mapping[str, Sequence[str]]:
        """Of views of one raw table that change often, the columns that the model is made of."""
        found: Mapping[str, Sequence[str]] = self.contract.get("heeds") or {}
        return found

    @property
    def unites(self) -> Mapping[str, Sequence[str]]:
        """Large tables, and the columns of them, over whose rows the model is a union: each says what it says alone."""
        found: Mapping[str, Sequence[str]] = self.contract.get("unites") or {}
        return found

    @property
    def description(self) -> str:
        """What the relation holds, ending in its grain."""
        text = " ".join(str(self.contract.get("description", "")).split())
        grain = " ".join(str(self.contract.get("grain", "")).split())
        return f"{text} Grain: {grain}." if grain else text

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the contract describes, in its order."""
        described: Mapping[str, Any] = self.contract.get("columns") or {}
        return tuple(_column(name, body) for name, body in described.items())

    @cached_property
    def code_version(self) -> str:
        """A hash that changes when the SQL or the way it is stored changes."""
        return hashlib.sha256(f"{self.materialized}\n{self.sql}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What running one model gave; a view is not counted.

    ``anew`` is False where only the rows that the news bears on were made, or none.
    """

    name: str
    rows: int | None
    seconds: float
    anew: bool = True


class _Standing(NamedTuple):
    """How a relation stands in the warehouse: ``table``, ``view`` or nothing, and by what it was and is to be made."""

    kind: str
    mark: str
    wanted: str


def models_dir() -> Path:
    """The folder of SQL models: inside the installed package, else beside it in the repository."""
    package = Path(__file__).parents[1]
    for candidate in (package / "dbt_style_sql", package.parent / "dbt_style_sql"):
        if candidate.is_dir():
            return candidate
    raise SettingsError("no folder dbt_style_sql beside or inside the package; install it again")


def load_models(root: Path | None = None) -> dict[str, Model]:
    """All models below ``root`` by name, each after everything it reads.

    The project's own are read once a process: every step asks for them. Raises ``SettingsError``
    naming the file for SQL that cannot be parsed, a relation that no file and no landing makes, a
    circle of references, and a contract that is not a mapping.
    """
    return dict(_own_models()) if root is None else _load_all(root)


@cache
def _own_models() -> Mapping[str, Model]:
    return _load_all(models_dir())


def _load_all(root: Path) -> dict[str, Model]:
    found: dict[str, Model] = {}
    for path in sorted(root.glob("*/**/*.sql")):
        if path.relative_to(root).parts[0] == TESTS:
            continue
        model = _load(root, path)
        if model.name in found:
            raise SettingsError(f"makes {model.name}, as {found[model.name].path} does", where=str(path))
        found[model.name] = model
    _check_references(found)
    return {name: found[name] for name in _ordered(found)}


def landed_contracts(root: Path | None = None) -> dict[str, tuple[Path, Mapping[str, Any]]]:
    """The contracts of relations that Python writes: the ``.yml`` files without SQL, path and body by relation."""
    root = root or models_dir()
    found = {}
    for path in sorted(root.glob("*/**/*.yml")):
        if path.with_suffix(".sql").exists() or path.relative_to(root).parts[0] == TESTS:
            continue
        name = _relation(root, path)
        if name not in TABLES:
            raise SettingsError(
                f"describes {name}, which neither a .sql file nor Python makes", where=str(path)
            )
        found[name] = (path, contract(path))
    return found


def prepare(
    con: duckdb.DuckDBPyConnection,
    tables: Mapping[str, Mapping[str, str]],
    models: Mapping[str, Model] | None = None,
) -> None:
    """Creates what models read and nobody has landed yet, empty, so that no model fails for want of it.

    ``tables`` maps ``raw.<name>`` to its columns and types (as for ``raw.land``). Raises
    ``SettingsError`` when a model reads a raw table that is not among them.
    """
    present = {name: set(columns) for name, columns in con.execute(_COLUMNS).fetchall()}
    for table, columns in tables.items():
        if not columns.keys() <= present.get(table, set()):
            raw.create_table(con, table, columns)
    create_tables(con)
    known = present.keys() | tables.keys() | TABLES.keys()
    for model in (models if models is not None else load_models()).values():
        for name in sorted(model.reads):
            if name.startswith("raw.") and name not in known:
                raise SettingsError(f"reads {name}, which nothing lands", where=str(model.path))


_COLUMNS = """
    select schema_name || '.' || table_name, list(column_name) from duckdb_columns()
    where database_name = current_database() group by all
"""


def run_models(
    con: duckdb.DuckDBPyConnection,
    models: Mapping[str, Model] | None = None,
    *,
    select: Collection[str] | None = None,
    variables: Mapping[str, object] | None = None,
    follow: bool = False,
) -> list[ModelRun]:
    """Makes the selected models in their order and says how many rows each holds.

    ``select`` names models or whole schemas; None means all. ``variables`` become DuckDB variables,
    which the SQL reads by ``getvariable('...')``. With ``follow`` incremental models are only brought up
    to what has changed since, where that is sure to give the same; without, everything is made anew, as it
    is when the proof does not hold afterwards.
    """
    models = models if models is not None else load_models()
    made = iterate_models(con, models, select=select, variables=variables, follow=follow)
    place = {name: number for number, name in enumerate(models)}
    return sorted(made, key=lambda run: place[run.name])


def iterate_models(
    con: duckdb.DuckDBPyConnection,
    models: Mapping[str, Model] | None = None,
    *,
    select: Collection[str] | None = None,
    variables: Mapping[str, object] | None = None,
    follow: bool = False,
) -> Iterator[ModelRun]:
    """As ``run_models``, one result as soon as its model is made."""
    models = models if models is not None else load_models()
    _set_variables(con, variables)
    chosen = _selected(models, select)
    incremental.supersede(con, models)
    standing = _standing(con, models)
    names = {model.name for model in chosen if model.schema in partial.FOLLOWING}
    if names and not follow:
        partial.forget(con, names)
    layers = [model for model in chosen if model.name in names]
    for model in chosen:
        if model.name not in names:
            yield _run(con, model, standing[model.name])
    if layers and not follow:
        yield from _side_by_side(con, layers, standing, variables)
    elif layers:
        # What follows is looked at when everything before it is there.
        with partial.following(con, models, names, variables or {}) as bringing:
            if bringing.anew:
                for run in _side_by_side(con, layers, standing, variables):
                    bringing.made_anew(models[run.name], None)
                    bringing.done(models[run.name])
                    yield run
            else:
                for model in layers:
                    yield _run(con, model, standing[model.name], bringing)
        if _PROOF in names and scalar(con, f"select count(*) from {_PROOF} where not holds"):
            # Whatever the cause: figures that do not add up are not followed any further.
            logger.warning("money or rows are in no class after following what changed; all is made anew")
            yield from iterate_models(con, models, select=names, variables=variables)


def _run(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    standing: _Standing,
    following: partial.Following | None = None,
) -> ModelRun:
    started = time.perf_counter()
    anew = True
    try:
        if following is None:
            _make(con, model, standing)
        elif standing.kind and following.bring(model):
            anew = False
        else:
            before = following.content(model) if standing.kind else None
            _make(con, model, standing)
            following.made_anew(model, before)
        if following is not None:
            following.done(model)
        rows = None
        if model.materialized != "view":
            rows = scalar(con, f"select count(*) from {model.name}")
    except duckdb.IOException:
        raise
    except duckdb.Error as error:
        raise StorageError(f"{model.path}: {str(error).strip()}", model=model.name) from error
    return ModelRun(model.name, rows, time.perf_counter() - started, anew)


def _side_by_side(
    con: duckdb.DuckDBPyConnection,
    chosen: Sequence[Model],
    standing: Mapping[str, _Standing],
    variables: Mapping[str, object] | None,
) -> Iterator[ModelRun]:
    """Makes models anew, each as soon as what it reads is there: one alone seldom keeps all cores busy."""
    for schema in sorted({model.schema for model in chosen}):
        con.execute(f'create schema if not exists "{schema}"')
    waiting = {model.name: model for model in chosen}
    unmade = set(waiting)
    most_wanted = _most_wanted_first(chosen)
    at_once = AT_ONCE
    under_way: dict[Future[ModelRun], tuple[Model, int]] = {}
    with _more_memory(con), ThreadPoolExecutor(AT_ONCE) as pool:
        while waiting or under_way:
            ready = [name for name in most_wanted if name in waiting and not waiting[name].reads & unmade]
            for name in ready[: max(0, at_once - len(under_way))]:
                model = waiting.pop(name)
                future = pool.submit(_run_beside, con, model, standing[name], variables)
                under_way[future] = (model, at_once)
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                model, tried = under_way.pop(future)
                try:
                    run = future.result()
                except StorageError as error:
                    if tried == 1 or not isinstance(error.__cause__, duckdb.OutOfMemoryException):
                        raise
                    logger.warning(
                        "%s found too little memory beside others; one after the other", model.name
                    )
                    at_once, waiting[model.name] = 1, model
                else:
                    unmade.remove(run.name)
                    yield run


@contextmanager
def _more_memory(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute(f"set memory_limit = '{MAKING_MEMORY}'")
    try:
        yield
    finally:
        con.execute(f"set memory_limit = '{MEMORY_LIMIT}'")


def _most_wanted_first(chosen: Sequence[Model]) -> list[str]:
    """The names of models, those for which most others wait before those for which none does."""
    waiting_for: dict[str, set[str]] = {model.name: set() for model in chosen}
    for model in reversed(chosen):  # each after all that read it
        for name in model.reads & waiting_for.keys():
            waiting_for[name] |= {model.name, *waiting_for[model.name]}
    return sorted(waiting_for, key=lambda name: -len(waiting_for[name]))


def _run_beside(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    standing: _Standing,
    variables: Mapping[str, object] | None,
) -> ModelRun:
    with con.cursor() as beside:
        _set_variables(beside, variables)
        return _run(beside, model, standing)


def _set_variables(con: duckdb.DuckDBPyConnection, variables: Mapping[str, object] | None) -> None:
    for name, value in (variables or {}).items():
        con.execute(f'set variable "{name}" = $value', {"value": value})


def _make(con: duckdb.DuckDBPyConnection, model: Model, standing: _Standing) -> None:
    kind = "view" if model.materialized == "view" else "table"
    if kind == "view" and standing.kind == kind and standing.mark == standing.wanted:
        return
    con.execute(f'create schema if not exists "{model.schema}"')
    if standing.kind not in {"", kind}:
        con.execute(f"drop {standing.kind} {model.name}")
    con.execute(f"create or replace {kind} {model.name} as {model.sql}")
    if kind == "view":
        con.execute(f"comment on view {model.name} is '{standing.wanted}'")


def _standing(con: duckdb.DuckDBPyConnection, models: Mapping[str, Model]) -> dict[str, _Standing]:
    """How the relation of each model stands.

    The mark is a hash of the SQL of a model and of all that it reads: a view keeps the columns that it had
    when it was made, so that it is made anew with those it stands on, and only then.
    """
    each = (
        f"select schema_name || '.' || {kind}_name, '{kind}', coalesce(comment, '') from duckdb_{kind}s()"
        " where database_name = current_database() and not internal"
        for kind in ("table", "view")
    )
    present = {name: (kind, mark) for name, kind, mark in con.execute(" union all ".join(each)).fetchall()}
    wanted: dict[str, str] = {}
    for name, model in models.items():
        read = sorted(wanted[other] for other in model.reads & wanted.keys())
        wanted[name] = hashlib.sha256(" ".join([model.code_version, *read]).encode()).hexdigest()[:16]
    return {name: _Standing(*present.get(name, ("", "")), mark) for name, mark in wanted.items()}


def _selected(models: Mapping[str, Model], select: Collection[str] | None) -> list[Model]:
    if select is None:
        return list(models.values())
    schemas = {model.schema for model in models.values()}
    unknown = sorted(set(select) - set(models) - schemas)
    if unknown:
        raise SettingsError(
            f"no model or schema is called {', '.join(unknown)}; there are {', '.join(sorted(models))}"
        )
    return [model for model in models.values() if model.name in select or model.schema in select]


def _load(root: Path, path: Path) -> Model:
    sql = path.read_text().strip().removesuffix(";")
    return Model(
        _relation(root, path),
        path,
        sql,
        tables_read(sql, where=str(path)),
        contract(path.with_suffix(".yml")),
    )


def _relation(root: Path, path: Path) -> str:
    schema, *prefix = path.relative_to(root).parent.parts
    return f"{schema}.{'_'.join([*prefix, path.stem])}"


def contract(path: Path) -> Mapping[str, Any]:
    """The mapping in the ``.yml`` at ``path``; an empty one when there is no such file."""
    if not path.exists():
        return {}
    return _read_contract(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _read_contract(path: Path, _changed_at: int) -> Mapping[str, Any]:
    try:
        body = yaml.load(path.read_text(), _YAML)  # noqa: S506 -- both are safe loaders
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise SettingsError(
            f"is not YAML: {getattr(error, 'problem', error)}", where=f"{path}{line}"
        ) from error
    if not isinstance(body, dict):
        raise SettingsError("must be a mapping with description, grain and columns", where=str(path))
    if body.get("materialized", "view") not in _MATERIALIZED:
        raise SettingsError(
            f"materialized: {body['materialized']!r} is unknown; allowed: {', '.join(_MATERIALIZED)}",
            where=str(path),
        )
    return body


def _column(name: str, body: Any) -> Column:
    if not isinstance(body, Mapping):
        return Column(name, description=str(body or ""))
    text = " ".join(str(body.get("description", "")).split())
    return Column(name, str(body.get("type", "")), text, bool(body.get("pii", False)))


@lru_cache(maxsize=1024)
def tables_read(sql: str, *, where: str) -> frozenset[str]:
    """The relations that a SELECT reads, as ``schema.table``; common table expressions left out."""
    import sqlglot
    from sqlglot import exp

    try:
        statements = sqlglot.parse(sql, read="duckdb")
    except sqlglot.ParseError as error:
        first = error.errors[0] if error.errors else {}
        raise SettingsError(
            f"is not SQL: {first.get('description', error)}", where=f"{where}:{first.get('line', 1)}"
        ) from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise SettingsError("must hold exactly one SELECT", where=where)
    tree = statements[0]
    expressions = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    found = set()
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            continue  # a table function, such as range(...)
        if table.db:
            found.add(f"{table.db}.{table.name}")
        elif table.name not in expressions:
            raise SettingsError(
                f"reads {table.name!r} without its schema; write staging.{table.name}", where=where
            )
    return frozenset(found)


def _check_references(models: Mapping[str, Model]) -> None:
    for model in models.values():
        for name in sorted(model.reads):
            landed = name.startswith("raw.") or name in TABLES
            if name not in models and not landed:
                raise SettingsError(f"reads {name}, which no file makes", where=str(model.path))


def _ordered(models: Mapping[str, Model]) -> Iterable[str]:
    graph = {name: sorted(model.reads & models.keys()) for name, model in sorted(models.items())}
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle: list[str] = error.args[1]
        raise SettingsError(
            f"models read each other in a circle: {' <- '.join(circle)}", where=str(models[circle[0]].path)
        ) from error
