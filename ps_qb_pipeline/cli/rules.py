"""``psqb rule test``: which past orders rules would change, and how.

What lives here: options and printing. What does not: the comparison (``orchestration.rule_trial``).
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from ps_qb_pipeline.cli.options import AS_JSON, CONNECTION, clear_errors, runtime_named


@click.group()
def rule() -> None:
    """The accountant's own rules."""


@rule.command("test")
@CONNECTION
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--most", default=50, show_default=True, help="Print so many orders at most; --json has all.")
@AS_JSON
@clear_errors
def test(name: str, file: Path | None, most: int, as_json: bool) -> None:
    """Try rules against the orders that have been read; nothing is written.

    FILE holds rules as under accounting.rules; they are added to the connection's own. Without it the
    connection's own rules are shown against none. Exit code 1 when orders would change.
    """
    from ps_qb_pipeline.orchestration.rule_trial import read_rules, run_trial

    proposed = read_rules(file) if file else None
    trial = run_trial(runtime_named(name), proposed)
    if as_json:
        told = {"orders": trial.orders, "applied": trial.applied, "changed": list(map(asdict, trial.changed))}
        click.echo(json.dumps(told, default=str))
        sys.exit(1 if trial.changed else 0)
    for one in trial.changed[:most]:
        click.echo(
            f"{one.order_id:>8} {one.reference:<10} {one.day} {one.total:>12.2f} {one.currency}  "
            f"{', '.join(one.rules)}"
        )
        for what, new in one.after.items():
            click.echo(f"{'':>21}{what}: {one.before[what] or 'none'} -> {new or 'none'}")
    if len(trial.changed) > most:
        click.echo(f"... and {len(trial.changed) - most} more")
    for rule_name, count in sorted(trial.applied.items()):
        click.echo(f"{rule_name}: {count} order(s)")
    click.echo(f"{len(trial.changed)} of {trial.orders} orders would change.")
    sys.exit(1 if trial.changed else 0)


COMMANDS = (rule,)
