"""The only assembly: connections in, Dagster definitions out.

What lives here: ``build_defs`` and the ``defs`` that Dagster loads. What does not: anything that
opens a file, a socket or a heavy package; loading is paid for by every run.
See https://docs.dagster.io/api/dagster/definitions
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from ps_qb_pipeline.orchestration.alert_sensors import alert_sensor, failure_sensor
from ps_qb_pipeline.orchestration.assets import connection_assets
from ps_qb_pipeline.orchestration.delivery_jobs import delivery_job, delivery_sensor
from ps_qb_pipeline.orchestration.expectations import (
    expectation_checks,
    expectation_job,
    nightly_expectations,
)
from ps_qb_pipeline.orchestration.jobs import asset_jobs, follow_up_job
from ps_qb_pipeline.orchestration.live_jobs import books_sensor, live_job, live_sensor, mirror_job
from ps_qb_pipeline.orchestration.report_assets import (
    PERIOD_TABLES,
    month_job,
    report_assets,
    report_schedules,
)
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.orchestration.schedules import nightly
from ps_qb_pipeline.orchestration.upkeep import nightly_recheck, nightly_upkeep, recheck_job, upkeep_job
from ps_qb_pipeline.settings import Settings, connections
from ps_qb_pipeline.validation.rules import Contract, load_contracts
from ps_qb_pipeline.warehouse.models import load_models


def build_defs(
    settings: Settings | None = None, *, overrides: Mapping[str, Runtime] | None = None
) -> dg.Definitions:
    """Fresh definitions of every connection in ``settings.defs_dir``.

    ``overrides`` replaces the runtime of a connection by name: how a test brings its own clock or shop.
    """
    settings = settings or Settings()
    runtimes = {name: Runtime(settings, connection) for name, connection in connections(settings).items()}
    runtimes |= dict(overrides or {})
    models, contracts = load_models(), load_contracts()
    expected = {name: expectation_checks(one, contracts) for name, one in runtimes.items()}
    later = [check for checks in expected.values() for check in checks]
    regular = asset_jobs(runtimes, without=later)
    live = {name: _live(one, regular, list(contracts.values()), later) for name, one in runtimes.items()}
    return dg.Definitions(
        assets=[
            asset
            for one in runtimes.values()
            for asset in (*connection_assets(one, models, contracts), *report_assets(one, models))
        ],
        asset_checks=later,
        jobs=[
            *regular,
            *(job for jobs, _ in live.values() for job in jobs),
            *(expectation_job(one, expected[name]) for name, one in runtimes.items()),
            *(made(one) for one in runtimes.values() for made in (month_job, recheck_job)),
            upkeep_job(runtimes),
        ],
        sensors=[
            *(sensor for _, sensors in live.values() for sensor in sensors),
            *(alert_sensor(one) for one in runtimes.values()),
            failure_sensor(runtimes),
        ],
        schedules=[
            schedule
            for one in runtimes.values()
            for schedule in (
                nightly(one),
                nightly_recheck(one),
                nightly_expectations(one),
                *report_schedules(one),
            )
        ]
        + [nightly_upkeep()],
    )


def _live(
    runtime: Runtime,
    regular: Sequence[dg.UnresolvedAssetJobDefinition],
    contracts: Sequence[Contract],
    later: Sequence[dg.AssetChecksDefinition],
) -> tuple[list[dg.JobDefinition | dg.UnresolvedAssetJobDefinition], list[dg.SensorDefinition]]:
    """What starts by itself as orders are paid, books change or files arrive: jobs and their sensors."""
    posts, looks = live_job(runtime, contracts), mirror_job(runtime)
    proves = follow_up_job(runtime.name, without=later, apart=PERIOD_TABLES)
    (loads,) = (job for job in regular if job.name == f"order_to_cash_{runtime.name}")
    delivers = delivery_job(runtime)
    sensors = [
        live_sensor(runtime, [posts, loads]),
        books_sensor(runtime, [looks, proves]),
        delivery_sensor(runtime, delivers),
    ]
    return [posts, looks, proves, delivers], sensors


defs = build_defs()
