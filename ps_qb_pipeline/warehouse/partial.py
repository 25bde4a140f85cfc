"""Making again only the rows of a model that the news bears on.

What lives here: what became of every relation since it was last made, narrowed copies of what models read,
and the two ways to bring a model up to date without making it anew:

    rows   its rows belong to an order, a document or a document of the books: those of the sets of ``news``
           are made again by the model's own SELECT over narrowed copies, and put in the place of the old ones
    sums   its rows are sums over such rows: what the rows that changed gave before is taken off, and what
           they give now is added, both by the model's own SELECT

What does not: the sets (``news``) and making a model anew (``models``). Whenever it is not sure that the result
is what making anew would give (another SELECT, another day, a change in what all rows share, a run that died,
a layer made out of turn), a model is made anew, and with it whatever reads it.

A layer is brought up to date in one transaction. The copies stay in the schema ``news`` for the layers that follow
in steps of their own, and for the rules about what was made again.
"""

# ruff: noqa: S608  (relations are named after our own files)

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from ps_qb_pipeline.warehouse import news
from ps_qb_pipeline.warehouse.incremental import create_state, landed
from ps_qb_pipeline.warehouse.narrowed import reading
from ps_qb_pipeline.warehouse.session import scalar

if TYPE_CHECKING:
    from ps_qb_pipeline.warehouse.models import Model

FIRST, FOLLOWING = "recon", ("recon", "marts")
"""The layer that takes in the news, and the layers that are brought up to date by it."""

SAME, TOUCHED, PART, CHANGED = "same", "touched", "part", "changed"
"""What became of a relation: nothing; nothing that rows are made of; only rows of the sets; who knows."""

_MADE = "runner.made"
_SEEN = "runner.seen"
_BATCH = "runner.batch"
_BECAME = "runner.became"
_PASSING = frozenset(
    {
        "fetched_at", "hash", "created_at", "updated_at", "date_add", "date_upd", "sync_token", "balance",
        "current_balance", "qty_on_hand", "purchase_cost", "landing_id",
    }
)  # fmt: skip
"""Columns that change all the time and that no row of an order is made of."""

_ORDERS = "(select id from news.orders)"
_KEYS = "(select key from news.documents)"
_BOOKS = "(select id from news.books union all select id from news.linked)"

NARROWED: Mapping[str, tuple[str, ...]] = {
    "ledger.documents": (f"key in {_KEYS}", "key in (select key from news.beside)"),
    "ledger.lines": (f"document_key in {_KEYS}",),
    "ledger.taxes": (f"document_key in {_KEYS}",),
    "ledger.applied": (f"document_key in {_KEYS}", f"to_key in {_KEYS}"),
    "ledger.sources": (
        f"order_id in {_ORDERS}",
        "reference in (select reference from news.refs)",
        "source_type = 'payment' and source_id in (select id from news.payments)",
        "source_type = 'slip' and source_id in (select id from news.slips)",
    ),
    "ledger.findings": (f"order_id in {_ORDERS}", f"document_key in {_KEYS}", "order_id = 0"),
    "ledger.items": ("key in (select item from news.narrowed_ledger_lines)",),
    "validation.holds": (f"order_id in {_ORDERS}",),
    "control.intents": (
        f"qbo_id in {_BOOKS}",
        "source_id in (select source_id from news.narrowed_ledger_documents)",
    ),
    "control.identities": (
        "kind = 'Item'",
        "key in (select customer_key from news.narrowed_ledger_documents)",
    ),
    "raw.prestashop_orders": (f"id in {_ORDERS}",),
    "raw.prestashop_order_details": (f"id_order in {_ORDERS}",),
    "raw.prestashop_order_cart_rules": (f"id_order in {_ORDERS}",),
    "raw.prestashop_order_invoices": (f"id_order in {_ORDERS}",),
    "raw.prestashop_order_slip": ("id in (select id from news.slips)",),
    "raw.prestashop_order_payments": ("id in (select id from news.payments)",),
    "raw.prestashop_addresses": (
        "id in (select id_address_delivery from news.narrowed_raw_prestashop_orders)",
    ),
    "raw.prestashop_products": (
        "id in (select product_id from news.narrowed_ledger_lines union all select id from news.products)",
    ),
    "raw.prestashop_combinations": ("id in (select product_attribute_id from news.narrowed_ledger_lines)",),
    **{f"raw.quickbooks_{table}": () for table in news.BOOKED.values()},
    "raw.quickbooks_customers": (
        "display_name in (select customer_name from news.narrowed_ledger_documents)",
    ),
}
"""Relation to the conditions of its rows that belong to the sets; later ones may read the earlier copies.

The books' documents have none: ``news`` has copied them already.
"""

_SAMPLE = 50_000
"""So many rows of a large table are asked for what they all say."""

_NOTING = "control.identities"
"""A table that nobody writes without noting every key that has changed."""

NOTED = frozenset({"raw.superseded", "raw.last_known"})
"""Kept up by every landing; whoever reads them reads what landed too."""


class Following:
    """One bringing up to date of a layer, model by model in their order."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, models: Mapping[str, Model], variables: Mapping[str, object]
    ) -> None:
        self._con = con
        self._models = models
        self._variables = variables
        self._states: dict[str, str] = {}
        self._copies: set[tuple[str, str]] = set()
        self._kept: set[tuple[str, str]] = set()
        self._read = self._closure()
        self._made = self._last_made()
        self._read_to: Mapping[str, int] = {}
        self._became: Mapping[str, tuple[int, int | None]] = {}
        self._done: list[Model] = []
        self._columns = columns_of(con, FOLLOWING)
        self.anew = False
        """Whether nothing of the layer can be followed."""

    # -- what became of what ---------------------------------------------------------------------

    def begin(self, chosen: set[str]) -> None:
        """Finds the news, or goes on with those that the layer before has taken in."""
        create_state(self._con)
        news.create_noted(self._con)
        self._con.execute("create schema if not exists news")
        for sql in (
            f"create table if not exists {_MADE} (relation varchar, version varchar, batch bigint)",
            f"create table if not exists {_SEEN} (relation varchar, seen varchar)",
            f"create table if not exists {_BATCH} (batch bigint, states json)",
            f"create table if not exists {_BECAME} (relation varchar, changed bigint, earlier bigint)",
        ):
            self._con.execute(sql)
        self._batch = scalar(self._con, f"select max(batch) from {_BATCH}")
        if any(self._models[name].schema == FIRST for name in chosen):
            self._take_in()
        else:
            self._go_on()
        self.anew = self._nothing_to_follow(chosen)
        self._became = changes(self._con)
        forget(self._con, chosen)

    def _last_made(self) -> dict[str, tuple[str, int]]:
        if not _present(self._con, _MADE):
            return {}
        rows = self._con.execute(f"select relation, version, batch from {_MADE}").fetchall()
        return {name: (version, batch) for name, version, batch in rows}

    def _take_in(self) -> None:
        seen = dict(self._con.execute(f"select relation, seen from {_SEEN}").fetchall())
        sources = sorted({name for name in self._sources() if name.startswith("raw.")} - NOTED)
        now = landed(self._con, sources)
        read_to = {name: int(seen[name]) for name in now if name in seen}
        noted = {
            row[0] for row in self._con.execute(f"select distinct relation from {news.CHANGED}").fetchall()
        }
        self._con.execute("drop schema news cascade; create schema news")
        known = read_to.keys() == now.keys() and news.gather(self._con, read_to, now)
        self._batch += 1
        self._read_to = read_to if known else {}
        part = CHANGED if not known else PART if news.any_found(self._con) else SAME
        for name, last in now.items():
            if known and last == read_to[name]:
                self._states[name] = SAME
            else:
                self._states[name] = part if name in NARROWED else TOUCHED
        for name in self._sources() - now.keys() - NOTED:
            if known and name == _NOTING and name not in noted:
                self._states[name] = SAME
            else:
                self._states[name] = part if name in NARROWED else self._compared(name, seen, known=known)
        for name in self._models:  # each after what it reads
            if name in self._read and name not in self._states:
                worst = self._worst(self._models[name].reads)
                self._states[name] = self._compared(name, seen, known=known) if worst == TOUCHED else worst
        self._con.execute(f"delete from {_SEEN}")
        rows = [*seen.items(), *((name, str(last)) for name, last in now.items())]
        self._con.executemany(f"insert into {_SEEN} values (?, ?)", sorted(dict(rows).items()))
        self._con.execute(f"delete from {news.CHANGED}")
        self._remember_batch()
        self._find_kept()

    def _go_on(self) -> None:
        row = self._con.execute(f"select states from {_BATCH}").fetchone()
        if row:
            self._states = json.loads(row[0])
        self._find_kept()

    def _find_kept(self) -> None:
        rows = self._con.execute(
            "select table_name from duckdb_tables() where database_name = current_database() and schema_name = 'news'"
        )
        self._kept = {(name.partition("_")[2], name.partition("_")[0]) for (name,) in rows.fetchall()}

    def _remember_batch(self) -> None:
        self._con.execute(f"delete from {_BATCH}")
        self._con.execute(
            f"insert into {_BATCH} values ($batch, $states)",
            {"batch": self._batch, "states": json.dumps(self._states)},
        )

    def _sources(self) -> set[str]:
        """Every relation that no model makes and that the layers read, directly or by way of views."""
        return {name for name in self._read if name not in self._models}

    def _closure(self) -> set[str]:
        found: set[str] = set()
        waiting = [model.name for model in self._models.values() if model.schema in FOLLOWING]
        while waiting:
            for name in self._models[waiting.pop()].reads - found:
                found.add(name)
                if name in self._models:
                    waiting.append(name)
        return {name for name in found if name.split(".", 1)[0] not in FOLLOWING}

    def _compared(self, name: str, seen: dict[str, str], *, known: bool) -> str:
        """Whether a small relation says something else than when it was last looked at."""
        columns = [row[0] for row in self._con.execute(f"describe {name}").fetchall()]
        lasting = [f'"{column}"' for column in columns if column not in _PASSING]
        ((count, content),) = self._con.execute(
            f"select count(*), sum(hash({', '.join(lasting)})) from {name}"
        ).fetchall()
        before, seen[name] = seen.get(name), f"{count} {content}"
        if not known or before != seen[name]:
            return CHANGED
        return SAME if len(lasting) == len(columns) else TOUCHED

    def _worst(self, names: frozenset[str] | set[str]) -> str:
        found = {self._states.get(name, CHANGED) for name in names if name not in NOTED}
        return next((state for state in (CHANGED, PART, TOUCHED) if state in found), SAME)

    def _nothing_to_follow(self, chosen: set[str]) -> bool:
        if all(self._states.get(name, CHANGED) == CHANGED for name in NARROWED):
            return True
        return not any(self._fits(self._models[name]) for name in chosen)

    def _fits(self, model: Model) -> bool:
        """Whether a model was made by the same SELECT on the same day, from the batch before."""
        return self._made.get(model.name) == (self._version(model), self._batch - 1)

    # -- one model -------------------------------------------------------------------------------

    def bring(self, model: Model) -> bool:
        """Brings a model up to date without making it anew; False when it has to be made anew."""
        inputs = {name: self._states.get(name, CHANGED) for name in model.reads - NOTED}
        if model.materialized == "view":
            self._states[model.name] = self._worst(model.reads - model.whole)
            if model.rows and self._states[model.name] == PART and self._can_ask(model):
                self._make_rows(model)
            return False
        fit = self._fits(model)
        if fit and set(inputs.values()) <= {SAME}:
            self._states[model.name] = SAME
            return True
        if fit and (self._heeds_nothing(model) or self._says_the_same(model)):
            self._states[model.name] = SAME
            return True
        unknown = any(state == CHANGED and name not in model.whole for name, state in inputs.items())
        if not fit or model.materialized != "incremental" or unknown or not self._can_ask(model):
            return False
        (self._bring_sums if model.sums else self._bring_rows)(model)
        return True

    def _can_ask(self, model: Model) -> bool:
        """Whether the copies that the conditions of a model ask are there: a model that was made anew has left none."""
        there = self._there()
        asked = _COPIES.findall(" ".join([*model.rows, *model.narrows.values()]))
        return all((name, when) in there for when, name in asked)

    def _heeds_nothing(self, model: Model) -> bool:
        """Whether all that has changed is in columns that a model does not look at."""
        changed = {name for name in model.reads - NOTED if self._states.get(name, CHANGED) != SAME}
        if not changed or not changed <= model.heeds.keys():
            return False
        for view in changed:
            (source,) = self._models[view].reads - NOTED
            if source not in self._read_to or scalar(
                self._con,
                f"select count(*) from ({news.differing(source, model.heeds[view], self._read_to[source])})",
            ):
                return False
        return True

    def _says_the_same(self, model: Model) -> bool:
        """Whether a model whose rows are a union over those of large tables is sure to say what it said.

        What the rows of the sets and a part of the others say together is then exactly what the model says: so
        nothing has come in, and nothing that was there has lost its last witness.
        """
        inputs = {name: self._states.get(name, CHANGED) for name in model.reads - NOTED}
        if any(
            state == CHANGED or (state != SAME and name not in model.unites) for name, state in inputs.items()
        ):
            return False
        if not model.unites:
            return False
        instead = {}
        for name, columns in model.unites.items():
            said = ", ".join(columns)
            instead[name] = f"sampled_{name.replace('.', '_')}"
            self._con.execute(
                f"create or replace temp table {instead[name]} as (select {said} from {name} limit {_SAMPLE})"
                f" union all select {said} from {self._narrowed(name)}"
            )
        self._con.execute(f"create or replace temp table said_now as {reading(model.sql, instead)}")
        columns = ", ".join(f'"{column}"' for column in self._columns[model.name])
        return not scalar(self._con, _differ(model.name, "said_now", columns))

    def made_anew(self, model: Model, before: str | None) -> None:
        """Takes note that a model was made anew; ``before`` is what ``content`` said of it."""
        if model.materialized == "view":
            self._states[model.name] = self._worst(model.reads)
        else:
            same = before is not None and before == self.content(model)
            self._states[model.name] = SAME if same else CHANGED

    def content(self, model: Model) -> str | None:
        """What a table that is always made anew holds, in short; None of what is followed, which may be large."""
        if model.materialized != "table" or model.name not in self._made:
            return None
        ((count, content),) = self._con.execute(
            f"select count(*), sum(hash(made)) from {model.name} as made"
        ).fetchall()
        return f"{count} {content}"

    def done(self, model: Model) -> None:
        """Takes note that a model will be up to date when the layer is."""
        self._done.append(model)

    def end(self) -> None:
        """Takes note of what is up to date, and leaves what became of it to the layers that follow."""
        self._remember_batch()
        became = [self._changed(model) for model in self._done]
        self._con.execute(
            f"insert into {_BECAME} select unnest($names::varchar[]), unnest($changed::bigint[]), unnest($earlier::bigint[])",
            {
                "names": [model.name for model in self._done],
                "changed": [changed for changed, _ in became],
                "earlier": [earlier for _, earlier in became],
            },
        )
        self._con.execute(
            f"insert into {_MADE} select unnest($names::varchar[]), unnest($versions::varchar[]), $batch",
            {
                "names": [model.name for model in self._done],
                "versions": [self._version(model) for model in self._done],
                "batch": self._batch,
            },
        )

    def _changed(self, model: Model) -> tuple[int, int | None]:
        """As ``changes`` tells it."""
        before = self._became.get(model.name)
        state = self._states[model.name]
        if state == SAME and before:
            return before
        by_rows = state == PART and (model.name.replace(".", "_"), "after") in self._there()
        return self._batch, before[0] if before and by_rows and model.rows else None

    def _version(self, model: Model) -> str:
        # Everything is made anew once a day: what counts days then, and a mistake of this way lives no longer.
        days = [f"{name}={str(value)[:10]}" for name, value in sorted(self._variables.items())]
        return " ".join([model.code_version, *days])

    def _bring_rows(self, model: Model) -> None:
        con, name = self._con, model.name
        before, after = self._copy_before(name), self._name(name, "after")
        self._make_rows(model)
        columns = ", ".join(f'"{column}"' for column in self._columns[name])
        differing = scalar(con, _differ(before, after, columns))
        self._states[name] = PART if differing else SAME
        if differing:
            con.execute(f"delete from {name} where rowid in (select row_number from {before})")
            con.execute(f"insert into {name} select {columns} from {after}")

    def _make_rows(self, model: Model) -> None:
        """The rows of the sets as they are now, in the copy for those that read them."""
        made = reading(model.sql, self._instead(model))
        self._copied(model.name, "after", f"select * from ({made}\n) as made where {_any(model.rows)}")

    def _bring_sums(self, model: Model) -> None:
        con, name, kinds = self._con, model.name, self._columns[model.name]
        before, after = (self._sums(model, when) for when in ("before", "after"))
        grain = ", ".join(f'"{column}"' for column in kinds if column not in model.sums)
        less = ", ".join(f'-"{column}" as "{column}"' for column in model.sums)
        moved = " or ".join(f'sum("{column}") <> 0' for column in model.sums)
        columns = ", ".join(
            f'cast(sum("{column}") as {kind}) as "{column}"' if column in model.sums else f'"{column}"'
            for column, kind in kinds.items()
        )
        con.execute(
            f"create or replace temp table moved as select {columns}"
            f" from (from {after} union all by name select {grain}, {less} from {before})"
            f" group by {grain} having {moved}"
        )
        differing = scalar(con, "select count(*) from moved")
        self._states[name] = PART if differing else SAME
        if differing:
            con.execute(
                f"create or replace table {name} as select {columns}"
                f" from (from {name} union all by name from moved)"
                f' group by {grain} having sum("{model.sums[0]}") <> 0'
            )

    def _sums(self, model: Model, when: str) -> str:
        """What the rows of the sets gave or give; kept only where other sums are made of it."""
        if any(model.name in other.reads and other.sums for other in self._models.values()):
            return self._copy_of_sums(model, when)
        return f"({reading(model.sql, self._instead(model, when))}\n)"

    # -- copies ----------------------------------------------------------------------------------

    def _name(self, relation: str, when: str) -> str:
        flat = relation.replace(".", "_")
        if relation.split(".", 1)[0] in FOLLOWING:
            return f"news.{when}_{flat}"
        return f"news.narrowed_{flat}"

    def _instead(self, model: Model, when: str = "after") -> dict[str, str]:
        """What a model reads instead of each relation: its copy, or for what is read whole itself."""
        found = {}
        for name in model.reads:
            condition = model.narrows.get(name)
            if condition:
                found[name] = f"(select * from {name} where {condition})"
            elif name not in model.whole:
                copy = self._copy(name, when)
                if copy:
                    found[name] = copy
        return found

    def _copy(self, name: str, when: str) -> str | None:
        """The narrowed copy of a relation, made when it is first asked for; None for what has none."""
        model = self._models.get(name)
        if model is None:
            return self._narrowed(name) if name in NARROWED else None
        if model.schema not in FOLLOWING:
            return self._copy_of_view(model)
        if model.materialized != "incremental":
            return None
        if model.sums:
            return self._copy_of_sums(model, when)
        return self._copy_before(name) if when == "before" else self._copy_after(name)

    def _narrowed(self, name: str) -> str:
        for needed in NARROWED:
            if self._name(needed, "narrowed") in " ".join(NARROWED[name]):
                self._narrowed(needed)
        columns = news.BRIEFLY if name.startswith("raw.") else "*"
        return self._copied(name, "narrowed", _rows(name, NARROWED[name], columns))

    def _copy_of_view(self, model: Model) -> str | None:
        """A view over narrowed copies of what it reads; None when it reads nothing that is narrowed."""
        if self._has(model.name, "narrowed"):
            return self._name(model.name, "narrowed")
        instead = self._instead(model)
        return self._copied(model.name, "narrowed", reading(model.sql, instead)) if instead else None

    def _copy_before(self, name: str) -> str:
        return self._copied(name, "before", _rows(name, self._models[name].rows, "rowid as row_number, *"))

    def _copy_after(self, name: str) -> str:
        return self._copied(name, "after", _rows(name, self._models[name].rows))

    def _copy_of_sums(self, model: Model, when: str) -> str:
        if self._has(model.name, when):
            return self._name(model.name, when)
        return self._copied(model.name, when, reading(model.sql, self._instead(model, when)))

    def _copied(self, name: str, when: str, sql: str) -> str:
        copy = self._name(name, when)
        if not self._has(name, when):
            self._con.execute(f"create or replace table {copy} as {sql}")
            self._copies.add((name, when))
        return copy

    def _has(self, name: str, when: str) -> bool:
        """Whether a copy is there: made by this layer, or left by the one before."""
        return (name.replace(".", "_"), when) in self._there()

    def _there(self) -> set[tuple[str, str]]:
        return {(name.replace(".", "_"), when) for name, when in self._copies} | self._kept


_COPIES = re.compile(r"\bnews\.(before|after)_(\w+)")


def _any(conditions: tuple[str, ...]) -> str:
    return " or ".join(f"({condition})" for condition in conditions)


def _rows(relation: str, conditions: tuple[str, ...], columns: str = "*") -> str:
    """A SELECT of the rows that a condition holds for; of the others only what the conditions ask for is read."""
    found = " union ".join(f"select rowid from {relation} where {condition}" for condition in conditions)
    return f"select {columns} from {relation} where rowid in ({found})"


def _differ(before: str, after: str, columns: str) -> str:
    """A SELECT of 1 where two relations hold other rows, by their number and the sum of their hashes."""
    said = [f"(select (count(*), sum(hash({columns}))) from {relation})" for relation in (before, after)]
    return f"select cast({said[0]} is distinct from {said[1]} as integer)"


@contextmanager
def following(
    con: duckdb.DuckDBPyConnection,
    models: Mapping[str, Model],
    chosen: set[str],
    variables: Mapping[str, object],
) -> Iterator[Following]:
    """A bringing up to date of ``chosen``, in one transaction; where all are made anew, each is one of its own."""
    follow = Following(con, models, variables)
    con.execute("begin")
    try:
        follow.begin(chosen)
        if not follow.anew:
            yield follow
            follow.end()
    except BaseException:
        con.execute("rollback")
        raise
    con.execute("commit")
    if follow.anew:
        yield follow
        follow.end()


def columns_of(con: duckdb.DuckDBPyConnection, schemas: Collection[str]) -> dict[str, dict[str, str]]:
    """The columns of every relation in these schemas, name to DuckDB type, asked of the catalogue at once."""
    found: dict[str, dict[str, str]] = {}
    for relation, column, kind in con.execute(
        "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns()"
        " where database_name = current_database() and list_contains($schemas, schema_name) order by column_index",
        {"schemas": list(schemas)},
    ).fetchall():
        found.setdefault(relation, {})[column] = kind
    return found


def changes(con: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, int | None]]:
    """Of every model that is up to date the batch that changed it last, and the one that had done so before.

    The second is None unless that last batch changed nothing but the rows in ``rows_made_again``.
    """
    if not _present(con, _BECAME):
        return {}
    rows = con.execute(f"select relation, changed, earlier from {_BECAME}").fetchall()
    return {relation: (changed, earlier) for relation, changed, earlier in rows}


def rows_made_again(relation: str) -> str:
    """Where the rows are that the last batch put into a model whose rows are brought up to date."""
    return f"news.after_{relation.replace('.', '_')}"


def _present(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(
        scalar(
            con,
            "select count(*) from duckdb_tables() where database_name = current_database()"
            " and schema_name || '.' || table_name = $table",
            {"table": table},
        )
    )


def forget(con: duckdb.DuckDBPyConnection, names: set[str]) -> None:
    """Takes note that models were made out of turn: what follows them is made anew next time."""
    for table in (_MADE, _BECAME):
        if _present(con, table):
            con.execute(
                f"delete from {table} where relation in (select unnest($names::varchar[]))",
                {"names": sorted(names)},
            )
