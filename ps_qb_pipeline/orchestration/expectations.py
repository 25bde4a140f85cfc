"""Great Expectations: the same rules by a second engine, nightly and on demand, with Data Docs.

What lives here: one check a table that shows what Great Expectations says of all its rules, and the
job around them. What does not: the rules and the engine (``validation``). The import costs seconds
and hundreds of megabytes, so that no other job pays it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import dagster as dg

from ps_qb_pipeline.orchestration import checks, steps
from ps_qb_pipeline.orchestration.checks import asset_of
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.validation.rules import Contract

CHECK = "great_expectations"


def expectation_checks(runtime: Runtime, contracts: Mapping[str, Contract]) -> list[dg.AssetChecksDefinition]:
    """One step that runs every rule of the connection through Great Expectations."""
    name = runtime.name
    judged = [
        contract
        for contract in contracts.values()
        if any(rule.kind != "assertion" for rule in contract.rules)
    ]

    @dg.multi_asset_check(
        name=f"{name}__expectations",
        specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=asset_of(name, contract.table),
                description=f"All {len(contract.rules)} rules of {contract.table} as Great Expectations judges them.",
            )
            for contract in judged
        ],
        can_subset=True,
        pool=f"warehouse_{name}",
    )
    def expectations(context) -> Iterator[dg.AssetCheckResult]:  # type: ignore[no-untyped-def]  # noqa: ANN001
        chosen = {key.asset_key for key in context.selected_asset_check_keys}
        wanted = [contract for contract in judged if asset_of(name, contract.table) in chosen]
        outcomes, docs = steps.expect(runtime, wanted)
        for contract in wanted:
            found = [outcome for outcome in outcomes if outcome.table == contract.table]
            yield checks.result(name, contract.table, CHECK, found, data_docs=docs)

    return [expectations]


def expectation_job(
    runtime: Runtime, checks: list[dg.AssetChecksDefinition]
) -> dg.UnresolvedAssetJobDefinition:
    """The checks above and nothing else."""
    keys = [key for definition in checks for key in definition.check_keys]
    return dg.define_asset_job(
        f"expectations_{runtime.name}",
        selection=dg.AssetSelection.checks(*keys),
        description=f"Every rule of {runtime.name} through Great Expectations, with Data Docs.",
        executor_def=dg.in_process_executor,
    )


def nightly_expectations(runtime: Runtime) -> dg.ScheduleDefinition:
    """An hour after the nightly refresh."""
    return dg.ScheduleDefinition(
        name=f"{runtime.name}_nightly_expectations",
        job_name=f"expectations_{runtime.name}",
        cron_schedule="30 4 * * *",
        execution_timezone=runtime.connection.accounting.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
