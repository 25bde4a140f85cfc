"""The assets of one connection: names, dependencies and metadata around the steps.

What lives here: asset specifications and the few lines that call a step and report what came of it.
What does not: work (``steps``), what metadata looks like (``metadata``).
See https://docs.dagster.io/guides/build/assets/defining-assets

Annotations are not postponed here: Dagster reads them when it makes the assets.

A key is ``[connection, layer, table]``, so that a table of the warehouse is found from its asset and
the other way round.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.orchestration import checks, metadata, steps
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.quickbooks.entities import ENTITIES
from ps_qb_pipeline.validation.rules import Contract
from ps_qb_pipeline.warehouse.models import Model
from ps_qb_pipeline.warehouse.tables import LEDGER

Result = dg.MaterializeResult[Any] | dg.AssetCheckResult
OWNERS = ["team:finance"]
FETCHING = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For steps that only read: repeating them is harmless. Posting has none; its intents resume it."""

LEDGER_GRAIN = {
    "ledger.sources": "What became of every order, payment and credit slip. Grain: one row per shop object.",
    "ledger.documents": "The documents that should be in QuickBooks. Grain: one row per document.",
    "ledger.lines": "Their lines, net of tax. Grain: one row per document line.",
    "ledger.taxes": "Their tax by rate. Grain: one row per document, tax code and rate.",
    "ledger.applied": "What payments and credits settle. Grain: one row per payment and settled document.",
    "ledger.findings": "Every deviation by its code. Grain: one row per finding.",
    "ledger.customers": "The customers that documents name. Grain: one row per customer and currency.",
    "ledger.items": "The items that lines name. Grain: one row per sellable thing.",
    "validation.holds": "Orders that a failed rule keeps from being posted. Grain: one row per rule and order.",
}


NOTED = {"raw.superseded", "raw.last_known", "raw.poisoned"}
"""Bookkeeping of the warehouse that models read and that is nobody's to look at."""


class Reading(dg.Config):
    """How much a step reads or computes."""

    full: bool = False
    """Everything again from the start, instead of what has changed."""
    search: bool = False
    """Also look for what no cursor can see: deletions, silent changes, differing counts."""


def key_of(connection: str, relation: str) -> dg.AssetKey:
    """The asset of the warehouse relation ``relation`` (``staging.prestashop_orders``)."""
    return dg.AssetKey([connection, *relation.split(".")])


@contextmanager
def _repeated_only_where_it_may_help() -> Iterator[None]:
    """A wrong key or a full disk fails at once; an outage is met by FETCHING."""
    try:
        yield
    except PipelineError as error:
        if error.retryable:
            raise
        raise dg.Failure(str(error), allow_retries=False) from error


def connection_assets(
    runtime: Runtime, models: Mapping[str, Model], contracts: Mapping[str, Contract]
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """All assets of one connection, in the order of the way of an order."""
    shop = [model for model in models.values() if model.name.startswith("staging.prestashop_")]
    books = [
        model for model in models.values() if model.name.startswith(("staging.quickbooks_", "staging.files_"))
    ]
    return [
        _shop(runtime),
        _models(runtime, "staging", "staging", shop, contracts),
        _ledger(runtime, shop, contracts),
        _intents(runtime),
        _books(runtime),
        _models(runtime, "books_staging", "books", books, contracts),
        _models(runtime, "recon", "recon", [m for m in models.values() if m.schema == "recon"], contracts),
        _models(runtime, "marts", "marts", [m for m in models.values() if m.schema == "marts"], contracts),
        *_files(runtime),
    ]


def _files(runtime: Runtime) -> list[dg.AssetSpec]:
    """What people deliver by psqb payout and psqb bank, landed by no job."""
    return [
        spec(runtime, relation, "files", {"csv", "duckdb"}, f"{words}, as delivered. Grain: {grain}.")
        for relation, words, grain in (
            ("raw.files_payout_lines", "The lines of payment providers' payout files", "one row per line and state of it"),
            ("raw.files_payout_approvals", "Payouts that a person approved, with their documents", "one row per payout"),
            ("raw.files_bank_lines", "The bookings of bank statements", "one row per booking and state of it"),
        )
    ]  # fmt: skip


def spec(
    runtime: Runtime, relation: str, group: str, kinds: set[str], words: str, **more: object
) -> dg.AssetSpec:
    """The asset of ``relation`` in the connection's group ``group``; ``words`` end in its grain."""
    return dg.AssetSpec(
        key_of(runtime.name, relation),
        group_name=f"{runtime.name}_{group}",
        kinds=kinds,
        owners=OWNERS,
        description=words,
        **more,  # type: ignore[arg-type]
    )


def _shop(runtime: Runtime) -> dg.AssetsDefinition:
    name = runtime.name
    tables = {resource: f"raw.prestashop_{resource}" for resource in RESOURCES}

    @dg.multi_asset(
        name=f"{name}__shop",
        specs=[
            spec(
                runtime, table, "raw", {"prestashop", "duckdb"},
                f"What the shop said about its {resource.replace('_', ' ')}, as landed and never changed. "
                "Grain: one row per object and state of it.",
            )
            for resource, table in tables.items()
        ],
        retry_policy=FETCHING,
        pool=f"warehouse_{name}",
    )  # fmt: skip
    def shop(config: Reading) -> Iterator[Result]:
        with _repeated_only_where_it_may_help():
            result = steps.pull_shop(runtime, full=config.full, search=config.search)
        counts = {
            table: {"read": result.read[resource], "new_or_changed": result.inserted[resource]}
            for resource, table in tables.items()
        }
        for table, shown in steps.show_tables(runtime, counts).items():
            yield dg.MaterializeResult(key_of(name, table), metadata=shown)

    return shop


def _models(
    runtime: Runtime, step: str, group: str, models: list[Model], contracts: Mapping[str, Contract]
) -> dg.AssetsDefinition:
    """One step that makes ``models`` and checks their contracts."""
    name = runtime.name
    kinds = {"duckdb", "sql"}
    concerned = [contracts[model.name] for model in models if model.name in contracts]

    @dg.multi_asset(
        name=f"{name}__{step}",
        specs=[
            spec(
                runtime, model.name, group, kinds, model.description, code_version=model.code_version,
                deps=[key_of(name, relation) for relation in sorted(model.reads - NOTED)],
                metadata=metadata.model_definition(model),
            )
            for model in models
        ],
        check_specs=checks.specs(name, concerned),
        pool=f"warehouse_{name}",
    )  # fmt: skip
    def make() -> Iterator[Result]:
        made = steps.make_models(runtime, models, concerned)
        for relation, shown in made.shown.items():
            yield dg.MaterializeResult(key_of(name, relation), metadata=shown)
        yield from checks.results(name, concerned, made.outcomes)

    return make


def _ledger(runtime: Runtime, shop: list[Model], contracts: Mapping[str, Contract]) -> dg.AssetsDefinition:
    name = runtime.name
    relations = [*LEDGER, "validation.holds"]
    concerned = [contracts[relation] for relation in LEDGER if relation in contracts]

    @dg.multi_asset(
        name=f"{name}__ledger",
        specs=[
            spec(
                runtime, relation, "ledger", {"python", "duckdb"}, LEDGER_GRAIN[relation],
                deps=[key_of(name, model.name) for model in shop],
            )
            for relation in relations
        ],
        check_specs=checks.specs(name, concerned),
        pool=f"warehouse_{name}",
    )  # fmt: skip
    def ledger(config: Reading) -> Iterator[Result]:
        made = steps.make_ledger(runtime, concerned, list(contracts.values()), full=config.full)
        for relation in relations:
            yield dg.MaterializeResult(key_of(name, relation), metadata=made.shown[relation])
        yield from checks.results(name, concerned, made.outcomes)

    return ledger


def _intents(runtime: Runtime) -> dg.AssetsDefinition:
    name = runtime.name

    @dg.multi_asset(
        name=f"{name}__posting",
        specs=[
            spec(
                runtime, "control.intents", "posting", {"quickbooks", "python"},
                "Every document that was or is to be written to QuickBooks, with its state. "
                "Grain: one row per intent.",
                deps=[key_of(name, relation) for relation in (*LEDGER, "validation.holds")],
            ),
            spec(
                runtime, "control.identities", "posting", {"quickbooks", "python"},
                "Which QuickBooks customer or item each of ours was found as or became. "
                "Grain: one row per customer or item.",
                deps=[key_of(name, relation) for relation in ("ledger.customers", "ledger.items")],
            ),
        ],
    )  # fmt: skip
    def posting(context: dg.AssetExecutionContext) -> Iterator[Result]:
        result = steps.post_documents(runtime, run_id=context.run_id)
        shown = steps.show_tables(runtime, {"control.intents": {}, "control.identities": {}})
        yield dg.MaterializeResult(
            key_of(name, "control.intents"), metadata={**shown["control.intents"], **metadata.facts(result)}
        )
        yield dg.MaterializeResult(key_of(name, "control.identities"), metadata=shown["control.identities"])

    return posting


def _books(runtime: Runtime) -> dg.AssetsDefinition:
    name = runtime.name
    tables = {entity: f"raw.quickbooks_{spec.table}" for entity, spec in ENTITIES.items()}

    @dg.multi_asset(
        name=f"{name}__books",
        specs=[
            spec(
                runtime, table, "books", {"quickbooks", "duckdb"},
                f"What QuickBooks holds of {entity}, read after posting, deletions kept. "
                "Grain: one row per object and state of it.",
                deps=[key_of(name, "control.intents")],
            )
            for entity, table in tables.items()
        ],
        retry_policy=FETCHING,
        pool=f"warehouse_{name}",
    )  # fmt: skip
    def books(config: Reading) -> Iterator[Result]:
        with _repeated_only_where_it_may_help():
            result = steps.pull_books(runtime, full=config.full, search=config.search)
        counts = {
            table: {"read": result.read.get(entity, 0), "new_or_changed": result.changed.get(entity, 0)}
            for entity, table in tables.items()
        }
        for table, shown in steps.show_tables(runtime, counts).items():
            yield dg.MaterializeResult(key_of(name, table), metadata=shown)

    return books
