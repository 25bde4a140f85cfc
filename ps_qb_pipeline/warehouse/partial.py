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

A layer is brought up to date in one transaction. The copies of the first layer's rows, before and after, stay in
the schema ``news`` for the layers that follow in steps of their own.
"""

# ruff: noqa: S608  (relations are named after our own files)

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from ps_qb_pipeline.warehouse import news
from ps_qb_pipeline.warehouse.incremental import create_state
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
    "ledger.items": ("key in (select item from narrowed_ledger_lines)",),
    "validation.holds": (f"order_id in {_ORDERS}",),
    "control.intents": (
        f"qbo_id in {_BOOKS}",
        "source_id in (select source_id from narrowed_ledger_documents)",
    ),
    "control.identities": ("kind = 'Item'", "key in (select customer_key from narrowed_ledger_documents)"),
    "raw.prestashop_orders": (f"id in {_ORDERS}",),
    "raw.prestashop_order_details": (f"id_order in {_ORDERS}",),
    "raw.prestashop_order_cart_rules": (f"id_order in {_ORDERS}",),
    "raw.prestashop_order_invoices": (f"id_order in {_ORDERS}",),
    "raw.prestashop_order_slip": ("id in (select id from news.slips)",),
    "raw.prestashop_order_payments": ("id in (select id from news.payments)",),
    "raw.prestashop_addresses": ("id in (select id_address_delivery from narrowed_raw_prestashop_orders)",),
    "raw.prestashop_products": (
        "id in (select product_id from narrowed_ledger_lines union all select id from news.products)",
    ),
    "raw.prestashop_combinations": ("id in (select product_attribute_id from narrowed_ledger_lines)",),
    **{f"raw.quickbooks_{table}": (f"id in {_BOOKS}",) for table in news.BOOKED.values()},
    "raw.quickbooks_customers": ("display_name in (select customer_name from narrowed_ledger_documents)",),
}
"""Relation to the conditions of its rows that belong to the sets; later ones may read the earlier copies."""

_NOTED = frozenset({"raw.superseded", "raw.last_known"})
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
        self._read_by_rows = {
            name for model in models.values() if model.materialized == "incremental" for name in model.reads
        }
        self._read = self._closure()
        self._made = self._last_made()
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
        ):
            self._con.execute(sql)
        self._batch = scalar(self._con, f"select max(batch) from {_BATCH}")
        if any(self._models[name].schema == FIRST for name in chosen):
            self._take_in()
        else:
            self._go_on()
        self.anew = self._nothing_to_follow(chosen)
        self._con.execute(
            f"delete from {_MADE} where relation in (select unnest($chosen::varchar[]))",
            {"chosen": sorted(chosen)},
        )

    def _last_made(self) -> dict[str, tuple[str, int]]:
        present = scalar(
            self._con,
            "select count(*) from information_schema.tables"
            " where table_schema = 'runner' and table_name = 'made' and table_catalog = current_database()",
        )
        rows = (
            self._con.execute(f"select relation, version, batch from {_MADE}").fetchall() if present else []
        )
        return {name: (version, batch) for name, version, batch in rows}

    def _take_in(self) -> None:
        seen = dict(self._con.execute(f"select relation, seen from {_SEEN}").fetchall())
        sources = sorted({name for name in self._sources() if name.startswith("raw.")} - _NOTED)
        now = {name: scalar(self._con, f"select max(landing_id) from {name}") for name in sources}
        read_to = {name: int(seen[name]) for name in now if name in seen}
        self._con.execute("drop schema news cascade; create schema news")
        known = read_to.keys() == now.keys() and news.gather(self._con, read_to, now)
        self._batch += 1
        part = CHANGED if not known else PART if news.any_found(self._con) else SAME
        for name, last in now.items():
            if name in NARROWED:
                self._states[name] = part
            else:
                self._states[name] = SAME if known and last == read_to[name] else TOUCHED
        for name in self._sources() - now.keys() - _NOTED:
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

    def _go_on(self) -> None:
        row = self._con.execute(f"select states from {_BATCH}").fetchone()
        if row:
            self._states = json.loads(row[0])
        rows = self._con.execute(
            "select table_name from information_schema.tables where table_schema = 'news'"
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
        found = {self._states.get(name, CHANGED) for name in names if name not in _NOTED}
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
        inputs = {name: self._states.get(name, CHANGED) for name in model.reads - _NOTED}
        if model.materialized == "view":
            self._states[model.name] = self._worst(model.reads)
            return False
        fit = self._fits(model)
        if fit and set(inputs.values()) <= {SAME}:
            self._states[model.name] = SAME
            return True
        if not fit or model.materialized != "incremental":
            return False
        if any(state == CHANGED and name not in model.whole for name, state in inputs.items()):
            return False
        (self._bring_sums if model.sums else self._bring_rows)(model)
        return True

    def made_anew(self, model: Model, before: str | None) -> None:
        """Takes note that a model was made anew; ``before`` is what ``content`` said of it."""
        if model.materialized == "view":
            self._states[model.name] = self._worst(model.reads)
        else:
            same = before is not None and before == self.content(model)
            self._states[model.name] = TOUCHED if same else CHANGED

    def content(self, model: Model) -> str | None:
        """What a table holds, in short, where it matters to rows made of it; None where it does not."""
        if (
            model.materialized != "table"
            or model.name not in self._read_by_rows
            or model.name not in self._made
        ):
            return None
        ((count, content),) = self._con.execute(
            f"select count(*), sum(hash(made)) from {model.name} as made"
        ).fetchall()
        return f"{count} {content}"

    def done(self, model: Model) -> None:
        """Takes note that a model is up to date."""
        self._con.execute(
            f"insert into {_MADE} values (?, ?, ?)", [model.name, self._version(model), self._batch]
        )

    def end(self) -> None:
        """Leaves what became of the models to the layers that follow."""
        self._remember_batch()

    def _version(self, model: Model) -> str:
        # Everything is made anew once a day: what counts days then, and a mistake of this way lives no longer.
        days = [f"{name}={str(value)[:10]}" for name, value in sorted(self._variables.items())]
        return " ".join([model.code_version, *days])

    def _bring_rows(self, model: Model) -> None:
        con, name = self._con, model.name
        before, after = self._copy_before(name), self._name(name, "after")
        made = reading(model.sql, self._instead(model))
        con.execute(
            f"create or replace table {after} as select * from ({made}\n) as made where {_any(model.rows)}"
        )
        self._copies.add((name, "after"))
        columns = ", ".join(f'"{row[0]}"' for row in con.execute(f"describe {after}").fetchall())
        differing = scalar(
            con,
            f"select (select count(*) from (select {columns} from {before} except all from {after}))"
            f" + (select count(*) from (from {after} except all select {columns} from {before}))",
        )
        self._states[name] = PART if differing else SAME
        if differing:
            con.execute(f"delete from {name} where rowid in (select row_number from {before})")
            con.execute(f"insert into {name} select {columns} from {after}")

    def _bring_sums(self, model: Model) -> None:
        con, name = self._con, model.name
        before, after = self._copy_of_sums(model, "before"), self._copy_of_sums(model, "after")
        kinds = {row[0]: row[1] for row in con.execute(f"describe {name}").fetchall()}
        grain = [f'"{column}"' for column in kinds if column not in model.sums]
        added = [
            f'cast(sum("{column}") as {kinds[column]}) as "{column}"'
            for column in kinds
            if column in model.sums
        ]
        less = [f'-"{column}" as "{column}"' for column in kinds if column in model.sums]
        con.execute(
            f"""
            create or replace temp table summed as
            select {", ".join([*grain, *added])}
            from (
                select * from {name}
                union all by name select * from {after}
                union all by name select {", ".join([*grain, *less])} from {before}
            )
            group by {", ".join(grain)}
            having sum("{model.sums[0]}") <> 0
            """
        )
        columns = ", ".join(f'"{column}"' for column in kinds)
        differing = scalar(
            con,
            f"select (select count(*) from (from {name} except all select {columns} from summed))"
            f" + (select count(*) from (select {columns} from summed except all from {name}))",
        )
        self._states[name] = PART if differing else SAME
        if differing:
            con.execute(f"create or replace table {name} as select {columns} from summed")

    # -- copies ----------------------------------------------------------------------------------

    def _name(self, relation: str, when: str) -> str:
        flat = relation.replace(".", "_")
        if relation.split(".", 1)[0] in FOLLOWING:
            return f"news.{when}_{flat}"
        return f"narrowed_{flat}"

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
        copy = self._name(name, "")
        if (name, "") not in self._copies:
            self._copies.add((name, ""))
            for needed in NARROWED:
                if self._name(needed, "") in " ".join(NARROWED[name]):
                    self._narrowed(needed)
            self._con.execute(f"create or replace temp table {copy} as {_rows(name, NARROWED[name])}")
        return copy

    def _copy_of_view(self, model: Model) -> str | None:
        """A view over narrowed copies of what it reads; None when it reads nothing that is narrowed."""
        copy = self._name(model.name, "")
        if (model.name, "") not in self._copies:
            instead = self._instead(model)
            if not instead:
                return None
            self._con.execute(f"create or replace temp table {copy} as {reading(model.sql, instead)}")
            self._copies.add((model.name, ""))
        return copy

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
        return (name, when) in self._copies or (name.replace(".", "_"), when) in self._kept


def _any(conditions: tuple[str, ...]) -> str:
    return " or ".join(f"({condition})" for condition in conditions)


def _rows(relation: str, conditions: tuple[str, ...], columns: str = "*") -> str:
    """A SELECT of the rows that one of the conditions holds for, each condition looked up by itself."""
    if len(conditions) == 1:
        return f"select {columns} from {relation} where {conditions[0]}"
    found = " union ".join(f"select rowid from {relation} where {condition}" for condition in conditions)
    return f"select {columns} from {relation} where rowid in ({found})"


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


def forget(con: duckdb.DuckDBPyConnection, names: set[str]) -> None:
    """Takes note that models were made out of turn: what follows them is made anew next time."""
    present = scalar(
        con,
        "select count(*) from information_schema.tables"
        " where table_schema = 'runner' and table_name = 'made' and table_catalog = current_database()",
    )
    if present:
        con.execute(
            f"delete from {_MADE} where relation in (select unnest($names::varchar[]))",
            {"names": sorted(names)},
        )
