"""Keeping posting's own holds in step with what could not be sent.

What lives here: one hold for every document that waits for a person, gone as soon as it does not. What
does not: documents that merely wait for another of ours, and refusals by QuickBooks (their intents say so).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from ps_qb_pipeline.accounting.documents import Document
from ps_qb_pipeline.posting.worker import WAITS, Waiting, Worker
from ps_qb_pipeline.state import holds
from ps_qb_pipeline.state.database import writing
from ps_qb_pipeline.state.holds import Hold

POSTING = "posting"


def keep_holds(
    worker: Worker, documents: Sequence[Document], voids: Sequence[str], held: Mapping[str, Waiting]
) -> None:
    """Bring the holds of these documents, and of those that should be voided, up to date."""
    money = {document.key: (document.total, document.currency) for document in documents}
    wanted: dict[tuple[str, str], Hold] = {}
    for key, why in held.items():
        if why.code != WAITS:
            amount, currency = money.get(key, (Decimal(0), ""))
            wanted[_source(key)] = Hold(*_source(key), why.code, why.message, POSTING, amount, currency)
    seen = {_source(key) for key in (*money, *voids)}
    with writing(worker.engine) as tx:
        over = [
            hold
            for hold in holds.of(tx, worker.connection)
            if hold.held_by == POSTING
            and (hold.source_type, hold.source_id) in seen
            and _code(wanted, hold) != hold.code
        ]
        holds.release(tx, worker.connection, over)
        for hold in wanted.values():
            holds.put(tx, worker.connection, hold, now=worker.clock.now())


def _source(key: str) -> tuple[str, str]:
    """Role and source id, as they stand in a document key."""
    _, role, source_id, _ = key.split("|")
    return role, source_id


def _code(wanted: Mapping[tuple[str, str], Hold], hold: Hold) -> str:
    found = wanted.get((hold.source_type, hold.source_id))
    return found.code if found is not None else ""
