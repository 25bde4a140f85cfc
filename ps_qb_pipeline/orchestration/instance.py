"""Dagster's own home: made once, before anything runs.

What lives here: creating DAGSTER_HOME with our settings and finding it again. What does not: assets.
See https://docs.dagster.io/deployment/oss/dagster-yaml
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from ps_qb_pipeline.errors import PipelineError, SettingsError, StorageError
from ps_qb_pipeline.settings import PACKAGE_DIR, Settings


def project_file(name: str) -> Path:
    """A file of the project, beside the package in a checkout, inside it when installed."""
    for base in (PACKAGE_DIR.parent, PACKAGE_DIR):
        if (base / name).is_file():
            return base / name
    raise SettingsError(f"{name} is missing from the installation; install the package again")


def dagster_home(settings: Settings) -> Path:
    """The folder that DAGSTER_HOME names, or ours."""
    named = os.environ.get("DAGSTER_HOME")
    return Path(named) if named else settings.home.absolute() / "dagster"


def initialise(settings: Settings) -> Path:
    """DAGSTER_HOME with our settings and its databases, created when absent.

    Doing this once, alone, keeps two processes from creating the databases at the same moment.
    """
    home = dagster_home(settings)
    try:
        home.mkdir(parents=True, exist_ok=True)
        for name, target in (
            ("deploy/local/dagster.yaml", "dagster.yaml"),
            ("workspace.yaml", "workspace.yaml"),
        ):
            if not (home / target).exists():
                shutil.copyfile(project_file(name), home / target)
    except OSError as error:
        raise StorageError(
            f"{home} cannot be written ({error.strerror}); choose another place with PSQB_HOME"
        ) from error
    os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.get() as instance:
        instance.get_runs_count()
    return home


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one execution came to. ``figures`` is the metadata of the report pack, as plain values."""

    run_id: str
    success: bool
    step: str = ""
    message: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


def execute(definitions: dg.Definitions, job: str) -> Outcome:
    """Run ``job`` in this process, recorded in DAGSTER_HOME like any other run."""
    with dg.DagsterInstance.get() as instance:
        found = definitions.resolve_job_def(job)
        config = {**(found.run_config or {}), "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        result = found.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
        failures = [event for event in result.all_events if event.is_step_failure]
        if not result.success:
            step, message = failure(failures)
            return Outcome(result.run_id, success=False, step=step, message=message)
        figures: dict[str, Any] = {}
        for event in result.get_asset_materialization_events():
            if event.asset_key is not None and event.asset_key.path[1:] == ["reports", "pack"]:
                figures = {
                    key: getattr(value, "value", value)
                    for key, value in event.materialization.metadata.items()
                }
        return Outcome(result.run_id, success=True, figures=figures)


def failure(failures: Sequence[dg.DagsterEvent]) -> tuple[str, str]:
    """The step that failed first and why, in our own words where there are any."""
    if not failures:
        return "its start", "see the run in the web UI"
    chain = []
    error = failures[0].step_failure_data.error
    while error is not None:
        chain.append(error)
        error = error.cause
    # Dagster's words stand around ours, and a driver's below: ours say what to do about it.
    ours = _names_of(PipelineError)
    told = next((one for one in chain if one.cls_name in ours), chain[-1] if chain else None)
    message = told.message.strip() if told is not None else "see the run in the web UI"
    name, _, words = message.partition(": ")
    message = words if words and " " not in name else message
    return str(failures[0].step_key), message


def _names_of(kind: type[Exception]) -> set[str]:
    return {kind.__name__}.union(*(_names_of(below) for below in kind.__subclasses__()))
