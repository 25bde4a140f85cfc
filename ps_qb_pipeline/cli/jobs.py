"""Running a job from the command line, in the same instance that the web UI shows.

What lives here: one in-process execution and the figures that it left. What does not: jobs.
"""

from __future__ import annotations

import logging
from typing import Any

from ps_qb_pipeline.cli.progress import watching
from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.orchestration.instance import execute, initialise
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.settings import Settings, connection_named


class RunFailedError(PipelineError):
    """A step of the job failed; the message is the step's own."""


def run(settings: Settings, name: str, job: str) -> dict[str, Any]:
    """Run ``job`` of the connection ``name`` and return its report's key figures."""
    connection = connection_named(settings, name)
    Runtime(settings, connection).require_writable()
    initialise(settings)
    from ps_qb_pipeline.definitions import build_defs

    with watching(name) as progress:
        watched = Runtime(settings, connection, progress=progress)
        outcome = execute(build_defs(settings, overrides={name: watched}), f"{job}_{name}")
    if not outcome.success:
        raise RunFailedError(
            f"{job} of {name} failed at {outcome.step}: {outcome.message}", run_id=outcome.run_id
        )
    logging.getLogger(__name__).info("run %s succeeded", outcome.run_id)
    return {"run_id": outcome.run_id, **outcome.figures}
