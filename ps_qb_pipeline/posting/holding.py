"""Keeping posting's own holds in step with what could not be sent.

What lives here: one hold for every document that waits for a person, gone as soon as it does not. What
does not: documents that merely wait for another of ours, and refusals by QuickBooks (their intents say so).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ps_qb_pipeline.accounting.documents import Document
from ps_qb_pipeline.posting.worker import WAITS, Waiting, Worker
from ps_qb_pipeline.state import holds
from ps_qb_pipeline.state.database import writing
from ps_qb_pipeline.state.holds import Hold

POSTING = "posting"


def keep_holds(worker: Worker, documents: Sequence[Document], waiting: Mapping[str, Waiting]) -> None:
    """Bring the holds of these documents up to date."""
    wanted: dict[tuple[str, str], Hold] = {}
    for document in documents:
        why = waiting.get(document.key)
        if why is not None and why.code != WAITS:
            source = (document.role, str(document.source_id))
            wanted[source] = Hold(*source, why.code, why.message, POSTING, document.total, document.currency)
    seen = {(document.role, str(document.source_id)) for document in documents}
    with writing(worker.engine) as tx:
        standing = [
            hold
            for hold in holds.of(tx, worker.connection)
            if hold.held_by == POSTING and (hold.source_type, hold.source_id) in seen
        ]
        over = [
            hold
            for hold in standing
            if getattr(wanted.get((hold.source_type, hold.source_id)), "code", "") != hold.code
        ]
        holds.release(tx, worker.connection, over)
        for hold in wanted.values():
            holds.put(tx, worker.connection, hold, now=worker.clock.now())
