"""Jobs and schedules: what runs together, and when.

What lives here: selections by layer, for one connection and for all. What does not: what a step does.
See https://docs.dagster.io/guides/build/jobs/asset-jobs
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dagster as dg

FULL = {"full": True}
"""The configuration of a raw step that reads everything again."""

LAYERS = ("raw", "staging", "ledger", "posting", "books", "recon", "marts", "reports")
"""The groups of a connection, in the order of the way of an order."""
PROOF = LAYERS[4:]
"""From the mirror of the books to the reports: nothing in it writes to either side."""

_EVERY = (
    ("order_to_cash", LAYERS, "Reads what is new in the shop, posts what may be posted, proves the result."),
    ("full_refresh", LAYERS, "As order_to_cash, with everything read and computed again from the start."),
    ("reconcile", PROOF, "Reads the books again and reconciles them with the shop; posts nothing."),
)


def asset_jobs(
    connections: Iterable[str], *, without: Iterable[dg.AssetChecksDefinition] = ()
) -> list[dg.UnresolvedAssetJobDefinition]:
    """The three jobs of every connection, and the same three over all connections at once.

    ``without`` are checks that have a job of their own.
    """
    names = list(connections)
    apart = dg.AssetSelection.checks(*(key for definition in without for key in definition.check_keys))
    jobs = []
    for kind, layers, words in _EVERY:
        for covered, job_name in [([name], f"{kind}_{name}") for name in names] + [(names, kind)]:
            groups = [f"{name}_{layer}" for name in covered for layer in layers]
            jobs.append(
                dg.define_asset_job(
                    job_name,
                    selection=dg.AssetSelection.groups(*groups) - apart,
                    config=_config(kind, covered),
                    description=f"{words} {'All connections' if job_name == kind else covered[0]}.",
                    executor_def=dg.in_process_executor,
                    tags={"dagster/priority": "-10"} if kind == "full_refresh" else None,
                )
            )
    return jobs


def follow_up_job(
    name: str, *, without: Iterable[dg.AssetChecksDefinition] = (), apart: Iterable[str] = ()
) -> dg.UnresolvedAssetJobDefinition:
    """The proof of what live runs posted: as reconcile, without ``apart``, whose reading is metered."""
    checks = dg.AssetSelection.checks(*(key for definition in without for key in definition.check_keys))
    metered = dg.AssetSelection.assets(*(dg.AssetKey([name, *relation.split(".")]) for relation in apart))
    return dg.define_asset_job(
        f"follow_up_{name}",
        selection=dg.AssetSelection.groups(*(f"{name}_{layer}" for layer in PROOF)) - checks - metered,
        description=f"Reads what changed in the books and proves what live runs posted. {name}.",
        executor_def=dg.in_process_executor,
        tags={"dagster/priority": "-1"},
    )


def _config(kind: str, connections: list[str]) -> dict[str, Any] | None:
    """A full refresh reads everything again; a reconciliation reads every month that is looked at."""
    steps = {"full_refresh": ("shop", "ledger", "books", "periods"), "reconcile": ("periods",)}
    config = FULL if kind == "full_refresh" else {"search": True}
    ops = {f"{name}__{step}": {"config": config} for name in connections for step in steps.get(kind, ())}
    return {"ops": ops} if ops else None
