"""The tables of the control plane.

What lives here: their columns, keys and constraints, portable between SQLite and PostgreSQL; the
migrations must build exactly this. What does not: the meaning of a row (the module named after it).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.engine import Dialect


class UtcTime(TypeDecorator[datetime]):
    """A moment, always time-zone aware in Python and always UTC in the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC, without a zone where the database knows none. A naive time is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; the control plane keeps moments, not wall times")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """The same moment, aware again."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Serial = BigInteger().with_variant(Integer, "sqlite")

connections = Table(
    "connections",
    metadata,
    Column("name", Text, primary_key=True),
    Column("realm", Text, nullable=False, unique=True),
    Column("go_live", Date),
    Column("armed", Boolean, nullable=False, server_default=text("false")),
    Column("armed_by", Text, nullable=False, server_default=""),
    Column("armed_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
)

ONCE_A_SOURCE = "('sale', 'payment', 'refund', 'customer', 'item')"

intents = Table(
    "intents",
    metadata,
    Column("realm", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("doc_number", Text),
    Column("source_key", Text, nullable=False),
    Column("order_key", Text, nullable=False, server_default=""),
    Column("document", Text, nullable=False),
    Column("document_sha", Text, nullable=False),
    Column("amount", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("body_sha", Text, nullable=False),
    Column("requestid", Text, nullable=False),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("sent_in", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("owner", Text, nullable=False, server_default=""),
    Column("lease_until", UtcTime),
    Column("not_before", UtcTime),
    Column("first_sent_at", UtcTime),
    Column("last_sent_at", UtcTime),
    Column("sent_boot", Text, nullable=False, server_default=""),
    Column("sent_monotonic", Float),
    Column("sightings", Text, nullable=False, server_default="{}"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("target_id", Text, nullable=False, server_default=""),
    Column("target_key", Text, nullable=False, server_default=""),
    Column("qbo_id", Text, nullable=False, server_default=""),
    Column("sync_token", Text, nullable=False, server_default=""),
    Column("echoed_sha", Text, nullable=False, server_default=""),
    Column("cause", Text, nullable=False, server_default=""),
    Column("fault_code", Text, nullable=False, server_default=""),
    Column("fault_field", Text, nullable=False, server_default=""),
    Column("fault_message", Text, nullable=False, server_default=""),
    Column("intuit_tid", Text, nullable=False, server_default=""),
    Column("run_id", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("confirmed_at", UtcTime),
    PrimaryKeyConstraint("realm", "key"),
    CheckConstraint("operation in ('create', 'update', 'void', 'deactivate')", name="operation"),
    CheckConstraint(
        "state in ('PLANNED', 'SENT', 'UNKNOWN', 'CONFIRMED', 'REJECTED', 'MISMATCH', 'CONFLICT', "
        "'COLLISION', 'STUCK', 'SUPERSEDED', 'VOIDED', 'GONE', 'DROPPED')",
        name="state",
    ),
    # One live creation a number: the net below the key. A dropped plan was never sent and holds nothing.
    Index(
        "uq_intents_doc_number",
        "realm",
        "entity",
        "doc_number",
        unique=True,
        sqlite_where=text("operation = 'create' and doc_number is not null and state <> 'DROPPED'"),
        postgresql_where=text("operation = 'create' and doc_number is not null and state <> 'DROPPED'"),
    ),
    # One live document a source: a second refund of one slip cannot even be planned.
    Index(
        "uq_intents_source",
        "realm",
        "source_key",
        unique=True,
        sqlite_where=text(f"operation = 'create' and role in {ONCE_A_SOURCE} and state <> 'DROPPED'"),
        postgresql_where=text(f"operation = 'create' and role in {ONCE_A_SOURCE} and state <> 'DROPPED'"),
    ),
    # The same request id is never bound to other bytes.
    Index("uq_intents_requestid", "realm", "requestid", unique=True),
    Index("ix_intents_work", "realm", "state", "entity"),
    Index("ix_intents_source_key", "realm", "source_key"),
    Index("ix_intents_order_key", "realm", "order_key"),
    Index("ix_intents_run_id", "run_id"),
)

intent_events = Table(
    "intent_events",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("realm", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("from_state", Text, nullable=False),
    Column("to_state", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("owner", Text, nullable=False, server_default=""),
    Column("run_id", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("body_sha", Text, nullable=False, server_default=""),
    Column("requestid", Text, nullable=False, server_default=""),
    Column("intuit_tid", Text, nullable=False, server_default=""),
    Index("ix_intent_events_key", "realm", "key"),
)

identities = Table(
    "identities",
    metadata,
    Column("realm", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("qbo_id", Text, nullable=False),
    Column("found_by", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    PrimaryKeyConstraint("realm", "kind", "key"),
)

cursors = Table(
    "cursors",
    metadata,
    Column("connection", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("connection", "resource"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("until", UtcTime, nullable=False),
    Column("boot", Text, nullable=False, server_default=""),
    Column("timer_until", Float, nullable=False, server_default=text("0")),
)

holds = Table(
    "holds",
    metadata,
    Column("connection", Text, nullable=False),
    Column("source_type", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("amount", Text, nullable=False, server_default="0"),
    Column("currency", Text, nullable=False, server_default=""),
    Column("held_by", Text, nullable=False),
    Column("since", UtcTime, nullable=False),
    PrimaryKeyConstraint("connection", "source_type", "source_id", "code"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("handled_at", UtcTime),
    Column("claimed_by", Text, nullable=False, server_default=""),
    Column("tries", Integer, nullable=False, server_default="0"),
    Index("uq_inbox_event", "source", "event_id", unique=True),
    Index("ix_inbox_open", "connection", "handled_at", "seq"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("connection", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("intuit_tid", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
)
"""One row: where the chain ends. A chain that was cut at its end is shorter than this."""

tokens = Table(
    "tokens",
    metadata,
    Column("connection", Text, primary_key=True),
    Column("realm", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("access_expires_at", UtcTime),
    Column("refresh_expires_at", UtcTime),
    Column("hard_expires_at", UtcTime),
    Column("refusals", Integer, nullable=False, server_default="0"),
    Column("refused_at", UtcTime),
    Column("updated_at", UtcTime, nullable=False),
)

books_pace = Table(
    "books_pace",
    metadata,
    Column("realm", Text, primary_key=True),
    Column("next_request", Float, nullable=False),
    Column("next_batch", Float, nullable=False),
    Column("rate", Float, nullable=False),
    Column("rate_at", Float, nullable=False),
    Column("paused_until", Float, nullable=False),
    Column("claim_live", Float, nullable=False),
    Column("claim_normal", Float, nullable=False),
    Column("claim_backfill", Float, nullable=False),
    Column("throttles", Integer, nullable=False),
)

books_meter = Table(
    "books_meter",
    metadata,
    Column("realm", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("reads", Integer, nullable=False),
    Column("cdc", Integer, nullable=False),
    Column("writes", Integer, nullable=False),
    PrimaryKeyConstraint("realm", "month"),
)

confirmations = Table(
    "confirmations",
    metadata,
    Column("realm", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("told", Text, nullable=False),
    Column("told_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("realm", "key"),
)

notices = Table(
    "notices",
    metadata,
    Column("connection", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("first_seen", UtcTime, nullable=False),
    Column("told_at", UtcTime),
    Column("gone_since", UtcTime),
    PrimaryKeyConstraint("connection", "key"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("connection", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("taken_until", UtcTime),
    Column("sent_at", UtcTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text, nullable=False, server_default=""),
    Index("ix_outbox_open", "connection", "sent_at", "id"),
)
