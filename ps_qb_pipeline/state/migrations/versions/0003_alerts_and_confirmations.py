"""Alerts and confirmations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ps_qb_pipeline.state.tables import UtcTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "alerts",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("first_seen", UtcTime(), nullable=False),
        sa.Column("told_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("connection", "cause", name=op.f("pk_alerts")),
    )
    op.create_table(
        "confirmations",
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("told_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("realm", "key", name=op.f("pk_confirmations")),
    )

    op.add_column("holds", sa.Column("amount", sa.Text(), server_default="0", nullable=False))
    op.add_column("holds", sa.Column("currency", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    """Take the schema back."""
    op.drop_column("holds", "currency")
    op.drop_column("holds", "amount")
    op.drop_table("confirmations")
    op.drop_table("alerts")
