"""The reports as assets: key figures over time, tables and pictures in the UI, one check a level.

What lives here: the assets around ``reporting``, the monthly job and the schedules of reports. What does
not: figures (``reports``) and what metadata looks like (``pictures``, ``metadata``).

Annotations are not postponed here: Dagster reads them when it makes the assets.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from ps_qb_pipeline.orchestration import checks, reporting, shown
from ps_qb_pipeline.orchestration.assets import FETCHING, Reading, Result, key_of, spec
from ps_qb_pipeline.orchestration.jobs import PROOF
from ps_qb_pipeline.orchestration.metadata import facts, table
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.reports.levels import LEVELS
from ps_qb_pipeline.warehouse.models import Model

PERIOD_TABLES = {
    "control.general_ledger": "The lines of the general ledger, as QuickBooks reports them. "
    "Grain: one row per line, of this month, the last and every signed one.",
    "control.account_totals": "Profit and loss and trial balance, as QuickBooks reports them. "
    "Grain: one row per report and account, of the same months.",
}
PACK, PROOF_ASSET, PROFIT, MONTH = (
    "reports.pack",
    "reports.reconciliation",
    "reports.profit",
    "reports.month",
)
EVERY_CENT, SIGNED = "every_cent_is_classified", "what_was_signed_still_stands"


def report_assets(runtime: Runtime, models: Mapping[str, Model]) -> list[dg.AssetsDefinition]:
    """The periods' reports of QuickBooks, our own reports, and the draft of the month that ended."""
    return [_periods(runtime), _reports(runtime, models), _month(runtime)]


def _periods(runtime: Runtime) -> dg.AssetsDefinition:
    name = runtime.name

    @dg.multi_asset(
        name=f"{name}__periods",
        specs=[
            spec(
                runtime, relation, "books", {"quickbooks", "duckdb"}, words,
                deps=[key_of(name, "staging.quickbooks_documents")],
            )
            for relation, words in PERIOD_TABLES.items()
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "was_read",
                asset=key_of(name, "control.general_ledger"),
                description="QuickBooks gave its own reports of every month that is looked at.",
            )
        ],
        retry_policy=FETCHING,
        pool=f"warehouse_{name}",
    )  # fmt: skip
    def periods(config: Reading) -> Iterator[Result]:
        result = reporting.land_periods(runtime, everything=config.full or config.search)
        said = facts(
            {
                "landed": [one.period for one in result.landed],
                "unchanged": result.unchanged,
                "failed": result.failed,
            }
        )
        with runtime.warehouse("show QuickBooks' reports", read_only=True) as con:
            for relation in PERIOD_TABLES:
                yield dg.MaterializeResult(
                    key_of(name, relation), metadata={**table(con, relation, preview=False), **said}
                )
        yield dg.AssetCheckResult(
            passed=not result.failed,
            check_name="was_read",
            asset_key=key_of(name, "control.general_ledger"),
            severity=dg.AssetCheckSeverity.WARN,
            metadata=facts(result.failed),
        )

    return periods


def _reports(runtime: Runtime, models: Mapping[str, Model]) -> dg.AssetsDefinition:
    name = runtime.name
    read = {
        schema: [key_of(name, model.name) for model in models.values() if model.schema == schema]
        for schema in ("recon", "marts")
    }
    proof = key_of(name, PROOF_ASSET)

    @dg.multi_asset(
        name=f"{name}__reports",
        specs=[
            spec(
                runtime, PACK, "reports", {"html", "excel"},
                "The report pack: page, workbook, PDF and detail files, with the key figures of the run. "
                "Grain: one pack per run.",
                deps=read["recon"] + read["marts"],
            ),
            spec(
                runtime, PROOF_ASSET, "reports", {"html"},
                "Does it tie out? Tie-out, levels, open exceptions and signed periods. Grain: one report per run.",
                deps=read["recon"],
            ),
            spec(
                runtime, PROFIT, "reports", {"html"},
                "What was earned? Revenue, margin and the share of revenue whose cost is known, in home currency. "
                "Grain: one report per run.",
                deps=read["marts"],
            ),
        ],
        check_specs=[
            dg.AssetCheckSpec(
                EVERY_CENT, asset=key_of(name, PACK), blocking=True,
                description="Every object is in exactly one class: the unclassified amount is 0.00 in each currency.",
            ),
            *(
                dg.AssetCheckSpec(_level_check(level.name, level.title), asset=proof, description=level.compares)
                for level in LEVELS
            ),
            dg.AssetCheckSpec(
                SIGNED, asset=proof,
                description="Neither side changed anything in a period after it was signed.",
            ),
        ],
        pool=f"warehouse_{name}",
    )  # fmt: skip
    def reports(context: dg.AssetExecutionContext) -> Iterator[Result]:
        pack = reporting.write_reports(runtime, run_id=context.run_id)
        pack.files["published"] = reporting.publish_copy(runtime)
        yield dg.MaterializeResult(key_of(name, PACK), metadata=checks.pack_metadata(pack.figures))
        yield dg.MaterializeResult(proof, metadata=shown.reconciliation(pack.report))
        yield dg.MaterializeResult(key_of(name, PROFIT), metadata=shown.profit(pack.report))
        yield checks.every_cent(key_of(name, PACK), pack.figures)
        yield from _level_results(proof, pack)
        yield _signed_result(proof, pack)

    return reports


def _level_check(name: str, title: str) -> str:
    return f"{name.lower()}_{title.lower()}"


def _level_results(asset: dg.AssetKey, pack: reporting.Pack) -> Iterator[dg.AssetCheckResult]:
    """One result a level. What is open is a task, not a failure of the run, so that nothing is stopped."""
    for row in pack.report.tables["levels"].records():
        yield dg.AssetCheckResult(
            passed=row["verdict"] != "open",
            check_name=_level_check(row["level"], row["title"]),
            asset_key=asset,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=facts({name: value for name, value in row.items() if name not in {"level", "title"}}),
        )


def _signed_result(asset: dg.AssetKey, pack: reporting.Pack) -> dg.AssetCheckResult:
    changes: dict[str, Any] = {one.period: reporting.withdrawal(one) for one in pack.withdrawn}
    return dg.AssetCheckResult(
        passed=not changes,
        check_name=SIGNED,
        asset_key=asset,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=facts({"signed": len(pack.signed), **changes}),
    )


def _month(runtime: Runtime) -> dg.AssetsDefinition:
    name = runtime.name

    @dg.multi_asset(
        name=f"{name}__month",
        specs=[
            spec(
                runtime, MONTH, "month", {"html", "excel"},
                "The draft pack of the month that ended, for whoever closes it: the same sections over that month "
                "only. Grain: one pack per month.",
                deps=[key_of(name, PACK)],
            )
        ],
        pool=f"warehouse_{name}",
    )  # fmt: skip
    def month(context: dg.AssetExecutionContext) -> Iterator[Result]:
        period = reporting.month_before(reporting.today(runtime))
        pack = reporting.write_reports(runtime, run_id=context.run_id, period=period)
        said = {"period": period, "open_exceptions": sum(pack.report.figures.exceptions.values())}
        yield dg.MaterializeResult(
            key_of(name, MONTH),
            metadata={**checks.pack_metadata({**said, **pack.figures}), **shown.reconciliation(pack.report)},
        )

    return month


def month_job(runtime: Runtime) -> "dg.UnresolvedAssetJobDefinition":
    """Reads the books and everything after them, then writes the draft of the month that ended."""
    name = runtime.name
    groups = [f"{name}_{layer}" for layer in (*PROOF, "month")]
    return dg.define_asset_job(
        f"month_end_{name}",
        selection=dg.AssetSelection.groups(*groups),
        config={"ops": {f"{name}__periods": {"config": {"search": True}}}},
        description=f"The draft of the month that ended, for whoever closes it. {name}.",
        executor_def=dg.in_process_executor,
    )


def report_schedules(runtime: Runtime) -> list[dg.ScheduleDefinition]:
    """Every morning the proof of both sides; on the second day of a month the draft of the last one."""
    name, zone = runtime.name, runtime.connection.accounting.timezone
    return [
        dg.ScheduleDefinition(
            name=f"{name}_daily_proof",
            job_name=f"reconcile_{name}",
            cron_schedule="0 6 * * *",
            execution_timezone=zone,
            run_config={"ops": {f"{name}__periods": {"config": {"search": True}}}},
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Reads the books and QuickBooks' own reports, and proves them; posts nothing.",
        ),
        dg.ScheduleDefinition(
            name=f"{name}_month_end",
            job_name=f"month_end_{name}",
            cron_schedule="0 7 2 * *",
            execution_timezone=zone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="The draft pack of the month that ended.",
        ),
    ]
