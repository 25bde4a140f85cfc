"""Where the audit chain ends; alerts are told from notices since the version before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ps_qb_pipeline.state.tables import UtcTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "audit_head",
        sa.Column("seq", number, autoincrement=False, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_head")),
    )
    op.execute(
        "insert into audit_head (seq, hash) select seq, hash from audit where seq = (select max(seq) from audit)"
    )
    op.drop_table("alerts")


def downgrade() -> None:
    """Take the schema back."""
    op.create_table(
        "alerts",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("first_seen", UtcTime(), nullable=False),
        sa.Column("told_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("connection", "cause", name=op.f("pk_alerts")),
    )
    op.drop_table("audit_head")
