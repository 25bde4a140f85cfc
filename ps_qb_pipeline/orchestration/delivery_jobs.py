"""Files that providers and banks put into a folder, in Dagster: who looks for them and what takes them in.

What lives here: the sensor over the data folder's ``payouts`` and ``statements``, and its job. What does
not: reading and landing (``deliveries``). See https://docs.dagster.io/guides/automate/sensors

Annotations are not postponed here: Dagster reads them when it makes the op.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import dagster as dg

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.orchestration import deliveries
from ps_qb_pipeline.orchestration.runtime import Runtime

LOOK_SECONDS = 30
Files = Mapping[str, tuple[int, int]]
"""By path: when a file was changed (nanoseconds), and its size."""

_KINDS: Mapping[str, Callable[[Runtime, Path], list[deliveries.Delivered]]] = {
    "payouts": deliveries.deliver_payouts,
    "statements": deliveries.deliver_statements,
}


def waiting(runtime: Runtime) -> Files:
    """The files that lie in the folders now; hidden ones are somebody's unfinished work."""
    found = {}
    for kind in _KINDS:
        folder = deliveries.inbox(runtime, kind)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file() and not path.name.startswith("."):
                known = path.stat()
                found[f"{kind}/{path.name}"] = (known.st_mtime_ns, known.st_size)
    return found


def take_in(runtime: Runtime, told: Callable[[str], object]) -> list[str]:
    """Land every file and make what follows from it; gives what could not be read, and goes on after it."""
    new, unread = 0, []
    for name in waiting(runtime):
        kind, _, file = name.partition("/")
        try:
            for one in _KINDS[kind](runtime, deliveries.inbox(runtime, kind) / file):
                told(f"{name}: {one.lines} lines, {one.new} of them new")
                new += one.new
        except PipelineError as error:
            unread.append(f"{name}: {error}")
    if new:
        deliveries.refresh(runtime)
    return unread


def delivery_job(runtime: Runtime) -> dg.JobDefinition:
    """One op: what was delivered is landed, matched and reconciled. What was landed before is not again."""
    name = runtime.name

    @dg.op(name=f"{name}__deliveries", out=dg.Out(dg.Nothing))
    def land(context: dg.OpExecutionContext) -> None:
        unread = take_in(runtime, context.log.info)
        if unread:
            raise dg.Failure("; ".join(unread), allow_retries=False)

    @dg.job(
        name=f"deliveries_{name}",
        executor_def=dg.in_process_executor,
        description=f"Takes in payout files and bank statements that lie in the data folder of {name}.",
    )
    def deliver() -> None:
        land()

    return deliver


def delivery_sensor(runtime: Runtime, job: dg.JobDefinition) -> dg.SensorDefinition:
    """Starts the job when the files in the folders have changed and lain still from one look to the next."""

    @dg.sensor(
        name=f"{runtime.name}_deliveries",
        job=job,
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks for payout files and bank statements in the data folder (payouts/, statements/).",
    )
    def looking(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        now = json.dumps(waiting(runtime), sort_keys=True)
        seen, taken = json.loads(context.cursor or '["{}", "{}"]')
        if now == taken:
            return dg.SkipReason("nothing new lies in the folders")
        if now != seen:
            context.update_cursor(json.dumps([now, taken]))
            return dg.SkipReason("somebody may still be writing")
        key = hashlib.sha256(now.encode()).hexdigest()[:16]
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key)], cursor=json.dumps([now, now]))

    return looking
