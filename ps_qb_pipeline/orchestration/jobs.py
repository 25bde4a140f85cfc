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


def asset_jobs(connections: Iterable[str]) -> list[dg.UnresolvedAssetJobDefinition]:
    """The three jobs of every connection, and the same three over all connections at once."""
    names = list(connections)
    jobs = [
        _job(kind, layers, words, [name], f"{kind}_{name}")
        for kind, layers, words in _EVERY
        for name in names
    ]
    return jobs + [_job(kind, layers, words, names, kind) for kind, layers, words in _EVERY if names]


def _job(
    kind: str, layers: tuple[str, ...], words: str, names: list[str], job_name: str
) -> dg.UnresolvedAssetJobDefinition:
    groups = [f"{name}_{layer}" for name in names for layer in layers]
    config: dict[str, Any] | None = None
    if kind == "full_refresh":
        config = {
            "ops": {
                f"{name}__{step}": {"config": FULL} for name in names for step in ("shop", "ledger", "books")
            }
        }
    return dg.define_asset_job(
        job_name,
        selection=dg.AssetSelection.groups(*groups),
        config=config,
        description=words + (f" Connection {names[0]}." if job_name != kind else " All connections."),
        executor_def=dg.in_process_executor,
        tags={"dagster/priority": "-10"} if kind == "full_refresh" else None,
    )
