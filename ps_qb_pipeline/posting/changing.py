"""Updates and voids of documents that are already in the books.

What lives here: the three-way compare (what we wrote, what stands there, what we want) that keeps a
person's change from being overwritten. What does not: creations.
"""

from __future__ import annotations

from ps_qb_pipeline.posting.ports import Row
from ps_qb_pipeline.posting.sending import Verdict
from ps_qb_pipeline.posting.worker import Worker
from ps_qb_pipeline.state.intents import Intent


def decide(worker: Worker, intent: Intent, row: Row | None) -> Verdict | None:
    """Where the object as it stands takes a lost update or void."""
    del worker, intent, row
    return None
