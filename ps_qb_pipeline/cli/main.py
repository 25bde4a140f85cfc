"""``psqb``: the commands, each a few lines over the rooms that do the work.

What lives here: options, exit codes, printing. What does not: work. Exit codes: 0 good, 1 a warning or
a refused request, 2 blocked; an error of ours ends in one clear message, never in a trace.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ps_qb_pipeline.cli import closing, cutover, deliveries, operations, rules, upkeep
from ps_qb_pipeline.cli.gateway import gateway
from ps_qb_pipeline.cli.options import AS_JSON, CONNECTION, clear_errors, runtime_named
from ps_qb_pipeline.settings import Settings

PORT = click.IntRange(0, 65535)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", count=True, help="Explain what is done; twice for every request.")
@click.version_option(package_name="ps-qb-pipeline")
def main(verbose: int) -> None:
    """PrestaShop orders as QuickBooks documents, once, proved to the cent."""
    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("ps_qb_pipeline").setLevel(level)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    from dotenv import load_dotenv

    load_dotenv(Path.cwd() / ".env")


@main.command()
@clear_errors
def init() -> None:
    """Make the folders and databases that everything else needs."""
    from ps_qb_pipeline.orchestration.instance import initialise
    from ps_qb_pipeline.state.database import open_control_plane

    settings = Settings()
    home = initialise(settings)
    open_control_plane(settings.control_plane_url).dispose()
    click.echo(f"Ready. Dagster's home is {home}; export DAGSTER_HOME={home} for Dagster's own commands.")


@main.command()
@AS_JSON
@clear_errors
def check(as_json: bool) -> None:
    """Read every defs.yaml and say, by file and line, what is wrong and what is allowed."""
    from ps_qb_pipeline.errors import SettingsError
    from ps_qb_pipeline.settings import Mistake, load_connection

    settings = Settings()
    paths = sorted(settings.defs_dir.glob("*/defs.yaml"))
    missing = "holds no <name>/defs.yaml; make one, docs/connections.md says how, or set PSQB_DEFS_DIR"
    mistakes = [] if paths else [Mistake(str(settings.defs_dir), 0, "", missing)]
    for path in paths:
        try:
            load_connection(path)
        except SettingsError as error:
            mistakes += error.facts["mistakes"]
    if as_json:
        found = [asdict(mistake) for mistake in mistakes]
        click.echo(json.dumps({"files": [str(path) for path in paths], "mistakes": found}))
    else:
        lines = "\n".join(str(mistake) for mistake in mistakes)
        click.echo(lines or f"{len(paths)} connection(s) read, nothing wrong.")
    sys.exit(2 if mistakes else 0)


@main.command()
@CONNECTION
@AS_JSON
@clear_errors
def doctor(name: str, as_json: bool) -> None:
    """Look at shop and books before the first run; exit 0 good, 1 warnings, 2 blocked."""
    from ps_qb_pipeline.cli import doctor as doctors

    sys.exit(doctors.examine(runtime_named(name), as_json=as_json))


@main.command()
@CONNECTION
@click.option("--create", is_flag=True, help="Create what the books lack; without it the plan is only shown.")
@click.option("--draft", is_flag=True, help="Draft a defs.yaml from what the shop sold and the books hold.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the draft to this file.")
@click.option("--force", is_flag=True, help="Replace the file.")
@AS_JSON
@clear_errors
def setup(name: str, create: bool, draft: bool, out: Path | None, force: bool, as_json: bool) -> None:
    """Compare the accounting settings with the books, and create the accounts, codes and items that lack.

    With --draft the settings are drafted instead: exit code 1 while something is left to decide.
    """
    from ps_qb_pipeline.cli import draft as drafts
    from ps_qb_pipeline.orchestration import steps

    if create and draft:
        raise click.UsageError("--draft proposes settings, --create follows them: choose one")
    if (out or force) and not draft:
        raise click.UsageError("--out and --force belong to --draft")
    if draft:
        sys.exit(drafts.write(runtime_named(name), out=out, force=force, as_json=as_json))
    plan = steps.set_up(runtime_named(name), create=create)
    if as_json:
        entries = [{"entity": step.entity, "name": step.name, "detail": step.detail} for step in plan.steps]
        click.echo(json.dumps({"created" if create else "plan": entries, "problems": list(plan.problems)}))
        sys.exit(2 if plan.problems else 0)
    done = "created" if create else "to be created"
    for step in plan.steps:
        click.echo(f"{step.entity:<16} {step.name:<44} {step.detail}")
    click.echo(
        f"{len(plan.steps)} thing(s) {done}." if plan.steps else "The books have all that the settings name."
    )
    for problem in plan.problems:
        click.echo(f"problem: {problem}", err=True)
    sys.exit(2 if plan.problems else 0)


@main.command()
@CONNECTION
@click.option(
    "--job", default="order_to_cash", type=click.Choice(["order_to_cash", "reconcile", "full_refresh"])
)
@AS_JSON
@clear_errors
def run(name: str, job: str, as_json: bool) -> None:
    """Run a job of one connection here and now, visible in the web UI."""
    from ps_qb_pipeline.cli import jobs

    summary = jobs.run(Settings(), name, job)
    click.echo(json.dumps(summary, indent=None if as_json else 2, default=str))


@main.command()
@CONNECTION
@click.argument("order")
@AS_JSON
@clear_errors
def explain(name: str, order: str, as_json: bool) -> None:
    """The way of one order (its id or reference) on one screen, from the shop to the books."""
    import duckdb

    from ps_qb_pipeline.errors import SettingsError
    from ps_qb_pipeline.reports.story import explain as tell
    from ps_qb_pipeline.reports.story import find_orders, story_text

    try:
        with runtime_named(name).warehouse("explain", read_only=True) as con:
            stories = tell(con, find_orders(con, order))
    except duckdb.CatalogException as error:
        raise SettingsError(
            f"no run of {name} has come to its end yet; psqb run --connection {name} makes what is told here"
        ) from error
    if not stories:
        raise SettingsError(f"no order has the id or reference {order!r}; has psqb run read it yet?")
    if as_json:
        click.echo(json.dumps([asdict(story) for story in stories], default=str))
    else:
        click.echo("\n\n".join(story_text(story) for story in stories))


@main.command(context_settings={"show_default": True})
@click.option("--shop", default="boutique", type=click.Choice(["boutique", "retail", "recorded", "empty"]))
@click.option(
    "--shop-dir", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Serve these lists."
)
@click.option(
    "--orders",
    default=300,
    type=click.IntRange(1),
    help="Invoices of the shop retail; more than 300 need --retail-data.",
)
@click.option(
    "--retail-data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The parquet files of Online Retail (UCI).",
)
@click.option("--shop-port", default=8781, type=PORT, help="0 takes a free port.")
@click.option("--shop-key", help="A web service key of 32 characters.")
@click.option("--company", default="ie", type=click.Choice(["us", "gb", "ca", "ie"]))
@click.option("--books-port", default=8782, type=PORT, help="0 takes a free port.")
@click.option("--realm", help="The company's realm id.")
@click.option("--client-id", help="The app's client id.")
@click.option("--client-secret", help="The app's client secret.")
@click.option("--refresh-token", help="A refresh token that is accepted and rotates like any other.")
@click.option("--plain-http/--tls", default=True, help="Whether the books' port speaks HTTP or HTTPS.")
@click.option("--real-limits", is_flag=True, help="Enforce Intuit's limits; they are off otherwise.")
@click.option("--state-dir", type=click.Path(path_type=Path, file_okay=False), help="Keep the state here.")
@clear_errors
def sandbox(**options: Any) -> None:
    """Both remote systems on loopback, true to their contracts; prints one JSON line when ready."""
    from ps_qb_pipeline.errors import SettingsError
    from ps_qb_pipeline.sandbox.serve import SandboxOptions, serve

    chosen = {name: value for name, value in options.items() if value is not None}
    try:
        serve(SandboxOptions(**chosen))
    except OSError as error:
        raise SettingsError(
            f"the sandbox cannot listen on port {options['shop_port']} or {options['books_port']}: "
            f"{error.strerror}; is another one running? Stop it, or choose other ports"
        ) from error


@main.command()
@click.option(
    "--shop", "shops", multiple=True, type=click.Choice(["boutique", "retail"]), help="Default: both."
)
@click.option(
    "--orders", default=300, type=click.IntRange(1), show_default=True, help="Invoices of the retail shop."
)
@click.option(
    "--retail-data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The parquet files of Online Retail (UCI), for more than 300 invoices.",
)
@click.option("--out", default=Path("demo-out"), type=click.Path(path_type=Path), show_default=True)
@clear_errors
def demo(shops: tuple[str, ...], orders: int, retail_data: Path | None, out: Path) -> None:
    """The main job on real orders in the sandbox, twice, with its reports."""
    from ps_qb_pipeline.cli import demo as demonstration

    sys.exit(demonstration.run(Settings(), shops=shops, orders=orders, retail_data=retail_data, out=out))


@main.command()
@click.option("--port", default=3000, type=PORT, show_default=True, help="The web UI's port.")
@click.option("--gateway-port", default=8790, type=PORT, show_default=True, help="The gateway's port.")
@click.option(
    "--sandbox/--no-sandbox", "with_sandbox", default=True, help="Whether to serve the sandbox shop too."
)
@clear_errors
def up(port: int, gateway_port: int, with_sandbox: bool) -> None:
    """Web UI, daemon, gateway and sandbox, until interrupted."""
    from ps_qb_pipeline.cli import up as service

    sys.exit(service.run(Settings(), port=port, gateway_port=gateway_port, with_sandbox=with_sandbox))


for command in (
    *operations.COMMANDS,
    *closing.COMMANDS,
    *deliveries.COMMANDS,
    *cutover.COMMANDS,
    *rules.COMMANDS,
    *upkeep.COMMANDS,
    gateway,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
