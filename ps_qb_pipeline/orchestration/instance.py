"""Dagster's own home: made once, before anything runs.

What lives here: creating DAGSTER_HOME with our settings and finding it again. What does not: assets.
See https://docs.dagster.io/deployment/oss/dagster-yaml
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import dagster as dg

from ps_qb_pipeline.errors import SettingsError, StorageError
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
