"""Sensors and schedules: what starts a run without a person.

What lives here: noticing that a shop has changed, and the times of the nightly jobs. What does not:
reading the changes (the run does). See https://docs.dagster.io/guides/automate/sensors
"""

import dagster as dg

from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.prestashop.client import Shop
from ps_qb_pipeline.prestashop.resources import RESOURCES

WATCHED = {
    "orders": "date_upd",
    "order_slip": "date_upd",
    "order_histories": "id",
    "order_payments": "id",
}
"""A refund or a payment does not touch its order's time of change, so that each is watched itself."""

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def watermark(shop: Shop) -> str:
    """A text that changes when an order, refund, payment or status is new or changed. Four small requests."""
    marks = []
    for name, column in WATCHED.items():
        order = f"[{column}_DESC,id_DESC]" if column != "id" else "[id_DESC]"
        newest = shop.rows(RESOURCES[name], sort=order, limit=1).records
        marks.append(f"{name}={newest[0].values[column]}/{newest[0].id}" if newest else f"{name}=none")
    return " ".join(marks)


def change_sensor(runtime: Runtime, *, seconds: int) -> dg.SensorDefinition:
    """Starts the main job of a connection when its shop has changed, one run at a time."""
    job = f"order_to_cash_{runtime.name}"

    @dg.sensor(
        name=f"{runtime.name}_changes",
        job_name=job,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks the shop of {runtime.name} every {seconds} s what is newest; runs {job} when that changed.",
    )
    def changes(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        filters = dg.RunsFilter(job_name=job, statuses=ACTIVE)
        if context.instance.get_runs_count(filters):
            return dg.SkipReason("the last run is still at work; what is new meanwhile is found afterwards")
        with runtime.shop() as shop:
            mark = watermark(shop)
        if mark == context.cursor:
            return dg.SkipReason("nothing new in the shop")
        context.update_cursor(mark)
        return dg.RunRequest(run_key=mark, tags={"psqb/reason": "the shop changed", "dagster/priority": "10"})

    return changes


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
