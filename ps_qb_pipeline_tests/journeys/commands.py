"""psqb run inside the test's process, and what every refusal must look like."""

from collections.abc import Mapping

from click.testing import CliRunner, Result

from ps_qb_pipeline.cli import sandboxes
from ps_qb_pipeline.cli.main import main

SECRETS = sandboxes.credentials("boutique")
"""The secrets of the sandbox boutique by variable: no message may hold one."""
WRONG_KEY = "CANARYKEY00000000000000000000001"
"""A web service key that no shop has, and that no message may repeat."""


def psqb(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run a command in this process; an error that is not ours fails the test."""
    result = CliRunner().invoke(main, list(arguments), env=dict(env or {}))
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def refused(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """The one message of a command that must end with exit code 2 and print nothing else."""
    result = psqb(*arguments, env=env)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("psqb: ")
    assert result.stderr.count("\n") == 1
    assert not [secret for secret in SECRETS.values() if secret in result.output]
    return result.stderr
