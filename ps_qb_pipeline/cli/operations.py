"""The commands of daily operation: consent, dead letters, replay, undo, the audit chain.

What lives here: options and printing. What does not: work (``quickbooks.consent``, ``posting``,
``state.audit``). Whatever changes something names who did it; the audit chain keeps that.
"""

from __future__ import annotations

import json
import sys
import uuid
from dataclasses import asdict
from datetime import UTC, datetime

import click

from ps_qb_pipeline.cli.options import AS_JSON, CONNECTION, clear_errors, runtime_named
from ps_qb_pipeline.orchestration.runtime import Runtime


def _known(name: str) -> Runtime:
    """The runtime of a connection, registered with the control plane."""
    runtime = runtime_named(name)
    runtime.armed()
    return runtime


BY = click.option("--by", required=True, help="Who does this; it is kept in the audit chain.")


@click.command()
@CONNECTION
@click.option("--off", is_flag=True, help="Tell Intuit that the consent is over, and forget it.")
@clear_errors
def connect(name: str, off: bool) -> None:
    """Lead a person through Intuit's consent page and keep the tokens, encrypted."""
    from ps_qb_pipeline.quickbooks import consent
    from ps_qb_pipeline.quickbooks.oauth import Tokens, expiries

    runtime = _known(name)
    store, app = runtime.tokens, runtime.app
    if off:
        told = consent.disconnect(store, app, connection=name)
        click.echo("Disconnected." if told else f"{name} was not connected.")
        return
    tokens: Tokens = consent.connect(
        store,
        app,
        connection=name,
        realm=runtime.connection.books.realm,
        show=lambda link: click.echo(
            f"Open this address and let a company administrator agree:\n\n  {link}\n"
        ),
        paste=lambda: click.prompt("Paste the address that the browser was sent to", type=str),
    )
    click.echo(f"Connected to company {tokens.realm}.")
    for expiry in expiries(tokens, datetime.now(UTC)):
        click.echo(f"  {expiry.sentence()}")


@click.command("dead-letters")
@CONNECTION
@AS_JSON
@clear_errors
def dead_letters(name: str, as_json: bool) -> None:
    """Everything that waits for a person, by cause, with the fix. Exit code 1 when there is any."""
    from ps_qb_pipeline.posting.dead_letters import collect, summary

    runtime = _known(name)
    causes = collect(runtime.engine, name)
    if as_json:
        click.echo(json.dumps([asdict(cause) for cause in causes], default=str))
    else:
        click.echo(summary(causes))
        for cause in causes:
            money = ", ".join(f"{amount:,.2f} {currency}" for currency, amount in cause.amounts.items())
            click.echo(
                f"\n{cause.code}: {len(cause.letters)} record(s) {money}\n  {cause.meaning}\n  {cause.fix}"
            )
            for letter in cause.letters:
                what = letter.doc_number or f"{letter.source_type} {letter.source_id}"
                click.echo(
                    f"    {what:<16} {letter.state:<10} since {letter.since:%Y-%m-%d %H:%M}  {letter.said}"
                )
    sys.exit(1 if causes else 0)


@click.command()
@CONNECTION
@BY
@click.option("--cause", help="A code that psqb dead-letters shows.")
@click.option("--id", "ids", multiple=True, help="The key of one record; may be given more than once.")
@clear_errors
def replay(name: str, by: str, cause: str | None, ids: tuple[str, ...]) -> None:
    """Let dead letters go again under their own keys, after the cause has been mended."""
    from ps_qb_pipeline.posting.dead_letters import replay as again

    if not cause and not ids:
        raise click.UsageError("say what: --cause CODE or --id KEY")
    runtime = _known(name)
    with runtime.books() as books:
        done = again(
            runtime.engine, name, by=by, run_id=f"replay-{uuid.uuid4()}", cause=cause, ids=ids, books=books
        )
    click.echo(
        f"{len(done.again)} go again with the next run, {len(done.settled)} are settled as they stand."
    )
    for key, why in done.left.items():
        click.echo(f"  left: {key}: {why}")


@click.command()
@CONNECTION
@BY
@click.option("--run", "runs", multiple=True, help="A run whose documents are to be taken back.")
@click.option("--document", "keys", multiple=True, help="The key of one document.")
@click.option("--yes", is_flag=True, help="Carry the plan out; without it the plan is only shown.")
@AS_JSON
@clear_errors
def undo(name: str, by: str, runs: tuple[str, ...], keys: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Take back what a run wrote: void what is open, reverse what lies in closed periods."""
    from ps_qb_pipeline.orchestration import steps
    from ps_qb_pipeline.posting.undo import plan_undo
    from ps_qb_pipeline.posting.undo import undo as take_back

    if not runs and not keys:
        raise click.UsageError("say what: --run RUN or --document KEY")
    runtime = _known(name)
    closed = runtime.connection.accounting.book_close_date
    with runtime.books() as books:
        plan = plan_undo(runtime.engine, name, books=books, runs=runs, keys=keys, close_date=closed)
        if not as_json:
            for step in plan.steps:
                click.echo(
                    f"{step.action:<12} {step.entity:<14} {step.number:<22} {step.amount:>12} {step.currency} {step.why}"
                )
            click.echo(json.dumps(plan.counts()))
        if not yes:
            click.echo(
                "Nothing was written; --yes carries this out."
                if not as_json
                else json.dumps(asdict(plan), default=str)
            )
            return
        done = take_back(
            runtime.engine, name, books=books, names=steps.current_names(runtime), run_id=f"undo-{uuid.uuid4()}",
            by=by, runs=runs, keys=keys, close_date=closed,
        )  # fmt: skip
    steps.export_intents(runtime)
    click.echo(json.dumps(asdict(done), default=str))


@click.group()
def audit() -> None:
    """The append-only record of every write."""


@audit.command()
@AS_JSON
@clear_errors
def verify(as_json: bool) -> None:
    """Check the whole chain; exit code 2 when a row was removed, added or altered."""
    from ps_qb_pipeline.settings import Settings
    from ps_qb_pipeline.state.audit import verify as check
    from ps_qb_pipeline.state.database import open_control_plane, reading

    engine = open_control_plane(Settings().control_plane_url)
    with reading(engine) as tx:
        verdict = check(tx)
    if as_json:
        click.echo(json.dumps(asdict(verdict)))
    else:
        where = f"broken at entry {verdict.broken_at}: {verdict.why}"
        click.echo(
            f"{verdict.entries} entries, " + (f"whole, head {verdict.head}" if verdict.good else where)
        )
    sys.exit(0 if verdict.good else 2)


COMMANDS = (connect, dead_letters, replay, undo, audit)
