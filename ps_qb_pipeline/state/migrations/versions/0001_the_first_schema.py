"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ps_qb_pipeline.state.tables import UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    _audit()
    _connections()
    _decisions()
    _events()
    _intents()
    _intent_indexes()
    _leases()


def _audit() -> None:
    """The audit chain."""
    op.create_table(
        "audit",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("intuit_tid", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
        sa.UniqueConstraint("hash", name=op.f("uq_audit_hash")),
    )


def _connections() -> None:
    """Connections and how far each has read."""
    op.create_table(
        "connections",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("go_live", sa.Date(), nullable=True),
        sa.Column("armed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("armed_by", sa.Text(), server_default="", nullable=False),
        sa.Column("armed_at", UtcTime(), nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_connections")),
        sa.UniqueConstraint("realm", name=op.f("uq_connections_realm")),
    )
    op.create_table(
        "cursors",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "resource", name=op.f("pk_cursors")),
    )


def _decisions() -> None:
    """Holds, identities and the inbox."""
    op.create_table(
        "holds",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("source_type", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.Column("since", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "source_type", "source_id", "code", name=op.f("pk_holds")),
    )
    op.create_table(
        "identities",
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("qbo_id", sa.Text(), nullable=False),
        sa.Column("found_by", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("realm", "kind", "key", name=op.f("pk_identities")),
    )
    op.create_table(
        "inbox",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("received_at", UtcTime(), nullable=False),
        sa.Column("handled_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_inbox")),
    )
    op.create_index("ix_inbox_open", "inbox", ["connection", "handled_at", "seq"], unique=False)
    op.create_index("uq_inbox_event", "inbox", ["source", "event_id"], unique=True)


def _events() -> None:
    """The history of intents."""
    op.create_table(
        "intent_events",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("run_id", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("body_sha", sa.Text(), server_default="", nullable=False),
        sa.Column("requestid", sa.Text(), server_default="", nullable=False),
        sa.Column("intuit_tid", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intent_events")),
    )
    op.create_index("ix_intent_events_key", "intent_events", ["realm", "key"], unique=False)


def _intents() -> None:
    """Intents, the write-ahead record."""
    op.create_table(
        "intents",
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("doc_number", sa.Text(), nullable=True),
        sa.Column("source_key", sa.Text(), nullable=False),
        sa.Column("order_key", sa.Text(), server_default="", nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("document_sha", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_sha", sa.Text(), nullable=False),
        sa.Column("requestid", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_in", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("lease_until", UtcTime(), nullable=True),
        sa.Column("not_before", UtcTime(), nullable=True),
        sa.Column("first_sent_at", UtcTime(), nullable=True),
        sa.Column("last_sent_at", UtcTime(), nullable=True),
        sa.Column("sent_boot", sa.Text(), server_default="", nullable=False),
        sa.Column("sent_monotonic", sa.Float(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("target_id", sa.Text(), server_default="", nullable=False),
        sa.Column("target_key", sa.Text(), server_default="", nullable=False),
        sa.Column("qbo_id", sa.Text(), server_default="", nullable=False),
        sa.Column("sync_token", sa.Text(), server_default="", nullable=False),
        sa.Column("echoed_sha", sa.Text(), server_default="", nullable=False),
        sa.Column("cause", sa.Text(), server_default="", nullable=False),
        sa.Column("fault_code", sa.Text(), server_default="", nullable=False),
        sa.Column("fault_field", sa.Text(), server_default="", nullable=False),
        sa.Column("fault_message", sa.Text(), server_default="", nullable=False),
        sa.Column("intuit_tid", sa.Text(), server_default="", nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("confirmed_at", UtcTime(), nullable=True),
        sa.CheckConstraint(
            "operation in ('create', 'update', 'void', 'deactivate')", name=op.f("ck_intents_operation")
        ),
        sa.CheckConstraint(
            "state in ('PLANNED', 'SENT', 'UNKNOWN', 'CONFIRMED', 'REJECTED', 'MISMATCH', 'CONFLICT', 'COLLISION', 'STUCK', 'SUPERSEDED', 'VOIDED', 'GONE', 'DROPPED')",
            name=op.f("ck_intents_state"),
        ),
        sa.PrimaryKeyConstraint("realm", "key", name=op.f("pk_intents")),
    )


def _intent_indexes() -> None:
    """What keeps one live document a number and a source, and what makes intents quick to find."""
    op.create_index("ix_intents_order_key", "intents", ["realm", "order_key"], unique=False)
    op.create_index("ix_intents_run_id", "intents", ["run_id"], unique=False)
    op.create_index("ix_intents_source_key", "intents", ["realm", "source_key"], unique=False)
    op.create_index("ix_intents_work", "intents", ["realm", "state", "entity"], unique=False)
    op.create_index(
        "uq_intents_doc_number",
        "intents",
        ["realm", "entity", "doc_number"],
        unique=True,
        sqlite_where=sa.text("operation = 'create' and doc_number is not null and state <> 'DROPPED'"),
        postgresql_where=sa.text("operation = 'create' and doc_number is not null and state <> 'DROPPED'"),
    )
    op.create_index("uq_intents_requestid", "intents", ["realm", "requestid"], unique=True)
    op.create_index(
        "uq_intents_source",
        "intents",
        ["realm", "source_key"],
        unique=True,
        sqlite_where=sa.text(
            "operation = 'create' and role in ('sale', 'payment', 'refund', 'customer', 'item') and state <> 'DROPPED'"
        ),
        postgresql_where=sa.text(
            "operation = 'create' and role in ('sale', 'payment', 'refund', 'customer', 'item') and state <> 'DROPPED'"
        ),
    )


def _leases() -> None:
    """Leases."""
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("until", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )


def downgrade() -> None:
    """Take the schema back."""
    op.drop_table("leases")
    op.drop_index(
        "uq_intents_source",
        table_name="intents",
        sqlite_where=sa.text(
            "operation = 'create' and role in ('sale', 'payment', 'refund', 'customer', 'item') and state <> 'DROPPED'"
        ),
        postgresql_where=sa.text(
            "operation = 'create' and role in ('sale', 'payment', 'refund', 'customer', 'item') and state <> 'DROPPED'"
        ),
    )
    op.drop_index("uq_intents_requestid", table_name="intents")
    op.drop_index(
        "uq_intents_doc_number",
        table_name="intents",
        sqlite_where=sa.text("operation = 'create' and doc_number is not null and state <> 'DROPPED'"),
        postgresql_where=sa.text("operation = 'create' and doc_number is not null and state <> 'DROPPED'"),
    )
    op.drop_index("ix_intents_work", table_name="intents")
    op.drop_index("ix_intents_source_key", table_name="intents")
    op.drop_index("ix_intents_run_id", table_name="intents")
    op.drop_index("ix_intents_order_key", table_name="intents")
    op.drop_table("intents")
    op.drop_index("ix_intent_events_key", table_name="intent_events")
    op.drop_table("intent_events")
    op.drop_index("uq_inbox_event", table_name="inbox")
    op.drop_index("ix_inbox_open", table_name="inbox")
    op.drop_table("inbox")
    op.drop_table("identities")
    op.drop_table("holds")
    op.drop_table("cursors")
    op.drop_table("connections")
    op.drop_table("audit")
