"""What every command shares: the options and the way an error of ours ends.

What lives here: ``--connection``, ``--json`` and ``clear_errors``. What does not: commands.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.settings import Settings, connection_named

CONNECTION = click.option("--connection", "name", required=True, help="A folder in defs/.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def clear_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turns an error of ours into one message on stderr and exit code 2."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except PipelineError as error:
            if logging.getLogger("ps_qb_pipeline").isEnabledFor(logging.DEBUG):
                logging.getLogger(__name__).debug("the error in full", exc_info=True)
            click.echo(f"psqb: {error}", err=True)
            sys.exit(2)

    return run


def runtime_named(name: str) -> Runtime:
    """The runtime of the connection ``name``; SettingsError names the ones there are."""
    settings = Settings()
    return Runtime(settings, connection_named(settings, name))
