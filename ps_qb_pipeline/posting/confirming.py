"""Telling the shop what its orders became.

What lives here: which confirmed documents the shop has not been told of yet, and the record that it was.
What does not: the writing into the shop, which is handed in and is safe to repeat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Engine, insert, select

from ps_qb_pipeline.accounting.documents import from_json
from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.posting.plan import standing
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.intents import CONFIRMED, Intent
from ps_qb_pipeline.state.tables import confirmations

APP = "https://app.qbo.intuit.com/app"
PAGES = {
    "SalesReceipt": "salesreceipt",
    "Invoice": "invoice",
    "RefundReceipt": "refundreceipt",
    "CreditMemo": "creditmemo",
    "Payment": "recvpayment",
}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """One document that the shop is told of: type, number and link stand in the order afterwards."""

    order_id: int
    type: str
    number: str
    link: str
    key: str


@dataclass(slots=True)
class Told:
    """What one call told, and why it could not tell the rest."""

    told: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def link(entity: str, qbo_id: str) -> str:
    """Where a person finds the document in QuickBooks."""
    page = PAGES.get(entity)
    return f"{APP}/{page}?txnId={qbo_id}" if page else ""


def untold(
    store: Engine, connection: str, *, roles: frozenset[str] = frozenset({"sale"})
) -> list[Confirmation]:
    """Confirmed documents of these roles that the shop does not know of, by order."""
    known = Connections(store).get(connection)
    if known is None:
        return []
    with reading(store) as tx:
        confirmed = intents.in_states(tx, known.realm, {CONFIRMED})
        told = set(
            tx.execute(
                select(confirmations.c.key, confirmations.c.told).where(confirmations.c.realm == known.realm)
            ).tuples()
        )
    by_source: dict[str, list[Intent]] = {}
    for intent in confirmed:
        if intent.role in roles and intent.operation in {"create", "update"}:
            by_source.setdefault(intent.source_key, []).append(intent)
    found = (standing(history).base for history in by_source.values())
    made = [_confirmation(base) for base in found if base is not None]
    fresh = [one for one in made if (one.key, _line(one)) not in told and one.order_id]
    return sorted(fresh, key=lambda one: (one.order_id, one.key))


def _confirmation(base: Intent) -> Confirmation:
    document = from_json(base.document)
    url = link(base.entity, base.qbo_id)
    return Confirmation(document.order_id, base.entity, base.doc_number or "", url, base.source_key)


def _line(one: Confirmation) -> str:
    return f"{one.type} {one.number} {one.link}"


def confirm(
    store: Engine,
    connection: str,
    tell: Callable[[Confirmation], None],
    *,
    clock: Clock | None = None,
    limit: int = 500,
) -> Told:
    """Tell the shop of confirmed documents, each once; a call that was cut short goes on where it stopped.

    ``tell`` writes into the shop and must be safe to repeat: after a crash between its write and our
    record it is called again for the same document. An order that cannot be written is left for the
    next call and does not stop the others.
    """
    clock = clock or SystemClock()
    known = Connections(store).get(connection)
    result = Told()
    for one in untold(store, connection)[:limit]:
        assert known is not None
        try:
            tell(one)
        except PipelineError as error:
            result.failed[one.key] = str(error)
            continue
        where = (confirmations.c.realm == known.realm) & (confirmations.c.key == one.key)
        values = {"told": _line(one), "told_at": clock.now()}
        with writing(store) as tx:
            if not tx.execute(confirmations.update().where(where).values(**values)).rowcount:
                tx.execute(insert(confirmations).values(realm=known.realm, key=one.key, **values))
        result.told.append(one.key)
    return result
