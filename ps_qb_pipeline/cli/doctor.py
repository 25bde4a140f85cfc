"""``psqb doctor``: what a person should know of shop and books before the first run.

What lives here: the checks of the books and the printing of all. What does not: the shop's checks
(``prestashop.doctor``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import click

from ps_qb_pipeline.errors import PipelineError, ShopError
from ps_qb_pipeline.orchestration import steps
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.prestashop.doctor import Check, worst
from ps_qb_pipeline.prestashop.doctor import examine as examine_shop

MARK = {"ok": "ok", "warning": "WARNING", "blocked": "BLOCKED"}


def examine(runtime: Runtime, *, as_json: bool) -> int:
    """Print every check of both sides and return the exit code of the worst."""
    checks = {"shop": _shop(runtime), "books": list(_books(runtime))}
    if as_json:
        click.echo(json.dumps({side: [asdict(check) for check in found] for side, found in checks.items()}))
    else:
        for side, found in checks.items():
            for check in found:
                click.echo(f"{side:<6} {MARK[check.level]:<8} {check.name:<20} {check.message}")
                if check.way_out:
                    click.echo(f"{'':<37}{check.way_out}")
    return max(worst(found) for found in checks.values())


def _shop(runtime: Runtime) -> list[Check]:
    try:
        with runtime.shop() as shop:
            return examine_shop(shop)
    except PipelineError as error:
        return [Check("settings", "blocked", str(error))]


def _books(runtime: Runtime) -> Iterator[Check]:
    try:
        with runtime.books() as books:
            info, preferences = books.company_info(), books.preferences()
        yield Check(
            "company", "ok", f"realm {runtime.connection.books.realm}, country {info.get('Country', '?')}"
        )
        yield from _preferences(runtime, preferences)
        plan = steps.set_up(runtime, create=False)
    except ShopError:
        yield Check(
            "set-up", "warning", "not compared: the shop, whose currencies it needs, did not tell them",
            "mend what is said of the shop first",
        )  # fmt: skip
        return
    except PipelineError as error:
        again = (
            "nothing was written; try again, and look at https://status.developer.intuit.com if it stays so"
        )
        yield Check("connection", "blocked", str(error), again if error.retryable else "")
        return
    for problem in plan.problems:
        yield Check("settings", "blocked", problem)
    if plan.steps:
        kinds = sorted({step.entity for step in plan.steps})
        yield Check(
            "set-up", "warning", f"{len(plan.steps)} thing(s) that the settings name are missing: {', '.join(kinds)}",
            f"psqb setup --connection {runtime.name} --create",
        )  # fmt: skip
    if not runtime.armed():
        yield Check(
            "posting", "warning", "posting is off: documents are planned, nothing is written",
            f"psqb go-live --connection {runtime.name} --by YOU",
        )  # fmt: skip


def _preferences(runtime: Runtime, preferences: dict[str, dict[str, object]]) -> Iterator[Check]:
    sales = preferences.get("SalesFormsPrefs", {})
    if not sales.get("CustomTxnNumbers"):
        yield Check(
            "numbers", "warning", "the company numbers its documents itself; ours would be lost",
            "Account and settings, Sales: switch on custom transaction numbers",
        )  # fmt: skip
    closed = preferences.get("AccountingInfoPrefs", {}).get("BookCloseDate")
    if closed:
        policy = runtime.connection.accounting.closed_period
        yield Check(
            "closed books", "ok", f"closed until {closed}; what falls before follows closed_period: {policy}"
        )
