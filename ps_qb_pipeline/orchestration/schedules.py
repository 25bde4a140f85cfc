"""Schedules: what starts a run at its time, without a person.

What lives here: the times of the nightly jobs. What does not: noticing that something has changed
(``live_jobs``). See https://docs.dagster.io/guides/automate/schedules
"""

import dagster as dg

from ps_qb_pipeline.orchestration.runtime import Runtime


def nightly(runtime: Runtime) -> dg.ScheduleDefinition:
    """The main job in the shop's night, with a search for what no cursor can see."""
    steps = (f"{runtime.name}__shop", f"{runtime.name}__books")
    return dg.ScheduleDefinition(
        name=f"{runtime.name}_nightly",
        job_name=f"order_to_cash_{runtime.name}",
        run_config={"ops": {step: {"config": {"search": True}} for step in steps}},
        cron_schedule="30 3 * * *",
        execution_timezone=runtime.connection.accounting.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Deletions and silent changes of either side are found here.",
    )
