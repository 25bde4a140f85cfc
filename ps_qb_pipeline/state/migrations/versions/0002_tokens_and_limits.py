"""QuickBooks tokens, and the limits that all processes of a company share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ps_qb_pipeline.state.tables import UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "tokens",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("access_expires_at", UtcTime(), nullable=True),
        sa.Column("refresh_expires_at", UtcTime(), nullable=True),
        sa.Column("hard_expires_at", UtcTime(), nullable=True),
        sa.Column("refusals", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refused_at", UtcTime(), nullable=True),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("connection", name=op.f("pk_tokens")),
    )
    op.create_table(
        "books_pace",
        sa.Column("realm", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.Float(), nullable=False)
            for name in (
                "next_request",
                "next_batch",
                "rate",
                "rate_at",
                "paused_until",
                "claim_live",
                "claim_normal",
                "claim_backfill",
            )
        ),
        sa.Column("throttles", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("realm", name=op.f("pk_books_pace")),
    )
    op.create_table(
        "books_meter",
        sa.Column("realm", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("reads", sa.Integer(), nullable=False),
        sa.Column("cdc", sa.Integer(), nullable=False),
        sa.Column("writes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("realm", "month", name=op.f("pk_books_meter")),
    )


def downgrade() -> None:
    """Take the step back."""
    op.drop_table("books_meter")
    op.drop_table("books_pace")
    op.drop_table("tokens")
