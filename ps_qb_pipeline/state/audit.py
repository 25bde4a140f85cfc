"""The audit chain: who changed what in the books, when, why, and what stood there before.

What lives here: append-only rows, each sealed with a hash over itself and the row before it, and the
check of that chain. What does not: deciding anything. Rows are written in the transaction of the
change that they tell of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from ps_qb_pipeline.state.tables import audit, audit_head

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change. ``before`` and ``after`` hold hashes, ids and amounts, never personal data."""

    at: datetime
    connection: str
    actor: str
    action: str
    subject: str
    before: str = ""
    after: str = ""
    reason: str = ""
    run_id: str = ""
    intuit_tid: str = ""


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What the check of the chain found. ``head`` is the hash to anchor outside of this database."""

    entries: int
    head: str
    broken_at: int | None
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether no row was removed, added or altered."""
        return self.broken_at is None


def append(tx: Connection, *entries: AuditEntry) -> str:
    """Add rows to the chain in the caller's write transaction; returns the new head.

    The write lock of the transaction makes the sequence gapless; on PostgreSQL the primary key and
    serialisable isolation do.
    """
    last = tx.execute(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    seq, head = (last.seq, last.hash) if last else (0, GENESIS)
    rows = []
    for entry in entries:
        seq += 1
        previous, head = head, seal(seq, entry, head)
        rows.append({**_columns(entry), "at": entry.at, "seq": seq, "previous": previous, "hash": head})
    if rows:
        tx.execute(insert(audit), rows)
        ends = {"seq": seq, "hash": head}
        if not tx.execute(update(audit_head).values(**ends)).rowcount:
            tx.execute(insert(audit_head).values(**ends))
    return str(head)


def seal(seq: int, entry: AuditEntry, previous: str) -> str:
    """The hash of a row: SHA-256 over the row before it and its own canonical JSON."""
    body = {**_columns(entry), "at": entry.at.isoformat(), "seq": seq}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def _columns(entry: AuditEntry) -> dict[str, str]:
    names = ("connection", "actor", "action", "subject", "before", "after", "reason", "run_id", "intuit_tid")
    return {name: getattr(entry, name) for name in names}


def entries(
    tx: Connection, *, connection: str | None = None, subject: str | None = None
) -> Iterator[tuple[int, AuditEntry]]:
    """The rows in order with their sequence numbers, all or those of one connection or subject."""
    query = select(audit).order_by(audit.c.seq)
    if connection is not None:
        query = query.where(audit.c.connection == connection)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    for row in tx.execute(query).mappings():
        yield row["seq"], _entry(row)


def _entry(row: object) -> AuditEntry:
    fields = {name: row[name] for name in AuditEntry.__dataclass_fields__}  # type: ignore[index]
    return AuditEntry(**fields)


def verify(tx: Connection, *, anchors: dict[int, str] | None = None) -> ChainVerdict:
    """Whether the chain is whole from its first row to its last, which is noted apart from it.

    ``anchors`` are heads known from elsewhere by sequence number (a signed report holds them): they
    also uncover a chain that was written anew from the start, or cut at its end together with that note.
    """
    wanted = {row.seq: row.hash for row in tx.execute(select(audit_head))} | dict(anchors or {})
    last = max(wanted, default=0)
    head, seq, why = GENESIS, 0, ""
    for row in tx.execute(select(audit).order_by(audit.c.seq)).mappings():
        seq += 1
        if row["seq"] != seq:
            return ChainVerdict(seq - 1, head, seq, f"row {seq} is missing")
        if row["previous"] != head:
            return ChainVerdict(seq - 1, head, seq, f"row {seq} does not follow the row before it")
        if row["hash"] != seal(seq, _entry(row), head):
            return ChainVerdict(seq - 1, head, seq, f"row {seq} was altered")
        head = row["hash"]
        if wanted.pop(seq, head) != head:
            return ChainVerdict(seq, head, seq, f"row {seq} is not the one that was anchored")
    if wanted:
        missing = min(wanted)
        return ChainVerdict(seq, head, missing, f"row {missing} was anchored and is missing")
    if seq > last:
        why = f"the chain should end at row {last}"
    return ChainVerdict(seq, head, last + 1 if why else None, why)
