"""The only assembly: connections in, Dagster definitions out.

What lives here: ``build_defs`` and the ``defs`` that Dagster loads. What does not: anything that
opens a file, a socket or a heavy package; loading is paid for by every run.
See https://docs.dagster.io/api/dagster/definitions
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from ps_qb_pipeline.orchestration.assets import connection_assets
from ps_qb_pipeline.orchestration.expectations import (
    expectation_checks,
    expectation_job,
    nightly_expectations,
)
from ps_qb_pipeline.orchestration.jobs import asset_jobs
from ps_qb_pipeline.orchestration.report_assets import month_job, report_assets, report_schedules
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.orchestration.sensors import change_sensor, nightly
from ps_qb_pipeline.settings import Settings, connections
from ps_qb_pipeline.validation.rules import load_contracts
from ps_qb_pipeline.warehouse.models import load_models

SENSOR_SECONDS = 15


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
    return dg.Definitions(
        assets=[
            asset
            for one in runtimes.values()
            for asset in (*connection_assets(one, models, contracts), *report_assets(one, models))
        ],
        asset_checks=[check for checks in expected.values() for check in checks],
        jobs=[
            *asset_jobs(runtimes, without=[check for checks in expected.values() for check in checks]),
            *(expectation_job(one, expected[name]) for name, one in runtimes.items()),
            *(month_job(one) for one in runtimes.values()),
        ],
        sensors=[change_sensor(one, seconds=SENSOR_SECONDS) for one in runtimes.values()],
        schedules=[
            schedule
            for one in runtimes.values()
            for schedule in (nightly(one), nightly_expectations(one), *report_schedules(one))
        ],
    )


defs = build_defs()
