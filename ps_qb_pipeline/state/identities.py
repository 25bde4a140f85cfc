"""Which QuickBooks object each customer and item of the shop is.

What lives here: the lasting answer, found once: a customer whose name or e-mail address changes later
stays the same card. What does not: finding it (``posting.parties``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from ps_qb_pipeline.state.tables import identities

_CHUNK = 400


@dataclass(frozen=True, slots=True)
class Identity:
    """One card: ``kind`` is Customer or Item, ``key`` the shop's, ``found_by`` says how it was decided."""

    kind: str
    key: str
    qbo_id: str
    found_by: str
    run_id: str


def known(tx: Connection, realm: str, kind: str, keys: Iterable[str]) -> dict[str, Identity]:
    """The identities of these keys, as far as they are decided."""
    listed = list(keys)
    found: dict[str, Identity] = {}
    for start in range(0, len(listed), _CHUNK):
        query = select(identities).where(
            identities.c.realm == realm,
            identities.c.kind == kind,
            identities.c.key.in_(listed[start : start + _CHUNK]),
        )
        for row in tx.execute(query):
            found[row.key] = Identity(row.kind, row.key, row.qbo_id, row.found_by, row.run_id)
    return found


def remember(tx: Connection, realm: str, decided: Iterable[Identity], *, now: datetime) -> None:
    """Decide these identities; the first decision about a key stays."""
    by_kind: dict[str, dict[str, Identity]] = {}
    for one in decided:
        by_kind.setdefault(one.kind, {}).setdefault(one.key, one)
    rows = [
        {**asdict(one), "realm": realm, "at": now}
        for kind, mine in by_kind.items()
        for decided_before in [known(tx, realm, kind, mine)]
        for one in mine.values()
        if one.key not in decided_before
    ]
    if rows:
        tx.execute(insert(identities), rows)


def forget(tx: Connection, realm: str, kind: str, keys: Iterable[str]) -> None:
    """Let these be found or created anew: their objects were deactivated, or a person mapped them wrongly."""
    where = (identities.c.realm == realm) & (identities.c.kind == kind) & identities.c.key.in_(list(keys))
    tx.execute(delete(identities).where(where))


def export(tx: Connection, realm: str) -> Iterator[dict[str, str]]:
    """All identities of the company as plain rows for ``control.identities`` in the warehouse."""
    columns = (identities.c.kind, identities.c.key, identities.c.qbo_id, identities.c.found_by)
    query = select(*columns).where(identities.c.realm == realm).order_by(identities.c.kind, identities.c.key)
    for row in tx.execute(query).mappings():
        yield dict(row)
