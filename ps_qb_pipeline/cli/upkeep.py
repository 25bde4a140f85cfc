"""The commands of whoever keeps the installation: ``backup``, ``restore``, ``alerts``.

What lives here: options and printing. What does not: work (``orchestration.backup``, ``alert_sensors``).
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from ps_qb_pipeline.cli.options import CONNECTION, clear_errors, runtime_named
from ps_qb_pipeline.settings import Settings

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("target", type=FOLDER)
@clear_errors
def backup(target: Path) -> None:
    """Copy what cannot be made again into the new folder TARGET, while everything runs."""
    from ps_qb_pipeline.orchestration.backup import backup as copy

    manifest = copy(Settings(), target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    click.echo(
        f"{len(manifest['files'])} files, {size / 1e6:.1f} MB in {target}; audit head {manifest['audit_head']}"
    )


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--by", required=True, help="Who does this; it is kept in the audit chain.")
@clear_errors
def restore(source: Path, by: str) -> None:
    """Put a backup back into an empty PSQB_HOME; posting is off afterwards."""
    from ps_qb_pipeline.orchestration.backup import restore as put_back

    done = put_back(Settings(), source, by=by)
    click.echo(f"{done.files} files of {done.made_at} are back.")
    for name in done.disarmed:
        click.echo(
            f"Posting is off for {name}: run psqb run --connection {name}, look at the report, then psqb go-live."
        )


@click.command()
@CONNECTION
@click.option("--test", "testing", is_flag=True, help="Send one test message through every channel instead.")
@clear_errors
def alerts(name: str, testing: bool) -> None:
    """Look at a connection once and say what has to be said; for a timer outside of Dagster.

    Exit code 1 when a message could not be delivered or, without --test, when something is wrong.
    """
    from ps_qb_pipeline.orchestration import alert_channels, alert_sensors
    from ps_qb_pipeline.orchestration.alerts import Message
    from ps_qb_pipeline.state import notices

    runtime = runtime_named(name)
    if testing:
        message = Message("alert", "test", "A test message", "If you read this, the channel works.")
        settings, failed = runtime.connection.alerts, 0
        for place, channel in enumerate(alert_channels.routes(message, settings)):
            letter = notices.Letter(
                place, channel, "alert", "test", message.title, message.text, datetime.now(UTC), 0
            )
            error = alert_channels.send(name, letter, settings)
            click.echo(f"{channel}: {error or 'sent'}")
            failed += bool(error)
        sys.exit(1 if failed else 0)
    undelivered = alert_sensors.look_from_outside(runtime)
    present = [row for row in notices.remembered(runtime.engine, name) if row["key"] != "digest"]
    wrong = [row for row in present if row["gone_since"] is None]
    for row in wrong:
        click.echo(
            f"{'!' if row['urgent'] else '-'} {row['title']}, since {row['first_seen']:%Y-%m-%d %H:%M} UTC"
        )
    click.echo(f"{len(wrong)} thing(s) wrong, {len(undelivered)} message(s) undelivered.")
    sys.exit(1 if wrong or undelivered else 0)


COMMANDS = (backup, restore, alerts)
