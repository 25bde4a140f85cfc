"""``psqb go-live``: what is in the books already, a person's decisions, and the switch.

What lives here: options and printing. What does not: the list and the decisions (``orchestration.cutover``).
"""

from __future__ import annotations

import json
import sys
import uuid
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ps_qb_pipeline.cli.options import AS_JSON, CONNECTION, clear_errors, runtime_named

if TYPE_CHECKING:
    from ps_qb_pipeline.orchestration.cutover import Plan
    from ps_qb_pipeline.orchestration.runtime import Runtime


@click.command("go-live")
@CONNECTION
@click.option("--by", help="Who takes this step; it is kept in the audit chain.")
@click.option("--off", is_flag=True, help="Switch posting off again.")
@click.option("--plan", "planned", is_flag=True, help="Show what the books hold already; nothing is changed.")
@click.option(
    "--adopt",
    "adopted",
    multiple=True,
    metavar="ORDER=ID",
    help="The document with this QuickBooks id stands for the order. Run the pipeline once before.",
)
@click.option(
    "--exclude", "excluded", multiple=True, type=int, metavar="ORDER", help="It is booked in another way."
)
@click.option(
    "--allow", "allowed", multiple=True, type=int, metavar="ORDER", help="Forget that it was excluded."
)
@AS_JSON
@clear_errors
def go_live(
    name: str,
    by: str | None,
    off: bool,
    planned: bool,
    adopted: tuple[str, ...],
    excluded: tuple[int, ...],
    allowed: tuple[int, ...],
    as_json: bool,
) -> None:
    """Switch posting on for a connection: from now on documents are written to QuickBooks.

    With --plan, --adopt, --exclude or --allow nothing is switched. --plan ends with exit code 1 while
    there is something to decide.
    """
    runtime = runtime_named(name)
    if planned:
        sys.exit(_plan(runtime, as_json=as_json))
    if not by:
        raise click.UsageError("say who takes this step: --by NAME")
    if adopted or excluded or allowed:
        _decide(runtime, adopted, excluded, allowed, by)
        return
    from ps_qb_pipeline.state.connections import Connections

    runtime.armed()
    connections = Connections(runtime.engine)
    state = connections.disarm(name, by=by) if off else connections.arm(name, by=by)
    click.echo(
        f"Posting is {'on' if state.armed else 'off'} for {name}, company {state.realm}. "
        f"Orders from before {runtime.connection.go_live} are counted and never posted."
    )


def _decide(
    runtime: Runtime, adopted: tuple[str, ...], excluded: tuple[int, ...], allowed: tuple[int, ...], by: str
) -> None:
    from ps_qb_pipeline.orchestration import cutover

    runtime.armed()
    for text in adopted:
        order, _, qbo_id = text.partition("=")
        if not order.isdigit() or not qbo_id:
            raise click.UsageError(f"--adopt takes ORDER=ID, such as 1001=345, not {text}")
        key = cutover.adopt(runtime, int(order), qbo_id, by=by, run_id=f"adopt-{uuid.uuid4()}")
        click.echo(f"order {order}: the document with id {qbo_id} stands for it ({key}).")
    if excluded:
        cutover.exclude(runtime, excluded, by=by)
        click.echo(f"{len(excluded)} order(s) are counted and never posted.")
    if allowed:
        cutover.allow(runtime, allowed, by=by)
        click.echo(f"{len(allowed)} order(s) post like any other.")


def _plan(runtime: Runtime, *, as_json: bool) -> int:
    from ps_qb_pipeline.orchestration import cutover

    plan = cutover.look(runtime)
    undecided = [one for one in plan.lookalikes if not one.decision]
    if as_json:
        click.echo(json.dumps(asdict(plan), default=str))
    else:
        _show(plan)
        if undecided:
            first = undecided[0]
            click.echo(
                f"\n{len(undecided)} to decide, for example:\n"
                f"  psqb go-live --connection {runtime.name} --by NAME --adopt {first.order_id}={first.id}\n"
                f"  psqb go-live --connection {runtime.name} --by NAME --exclude {first.order_id}"
            )
    return 1 if undecided else 0


def _show(plan: Plan) -> None:
    click.echo(f"Start on {plan.go_live}.\n\nIn QuickBooks already, and like an order of the shop:")
    for one in plan.lookalikes:
        click.echo(
            f"  {one.entity:<13} {one.id:>6} {one.doc_number:<18} {one.txn_date} {one.total:>12} {one.currency}"
            f"  order {one.order_id} {one.reference} {one.order_day} {one.order_total}"
            f"  same {', '.join(one.like)}{'  ' + one.decision if one.decision else ''}"
        )
    click.echo("\nUnpaid invoices in QuickBooks:")
    for number, day, customer, balance, currency in plan.unpaid:
        click.echo(f"  {number:<18} {day} {balance:>12} {currency}  {customer}")
    click.echo("\nOrders from before the start that were invoiced and not paid in full:")
    for order, reference, invoiced, rest, currency in plan.owed:
        click.echo(f"  order {order} {reference} {invoiced} {rest:>12} {currency}")
    click.echo("\nOpen vouchers of credit slips:")
    for code, amount, currency in plan.vouchers:
        click.echo(f"  {code:<24} {amount:>12} {currency}")


COMMANDS = (go_live,)
