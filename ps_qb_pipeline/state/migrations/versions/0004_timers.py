"""Timers beside wall clocks: when a machine first saw an intent without an outcome, when a lease ends."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.add_column("intents", sa.Column("sightings", sa.Text(), server_default="{}", nullable=False))
    op.add_column("leases", sa.Column("boot", sa.Text(), server_default="", nullable=False))
    op.add_column("leases", sa.Column("timer_until", sa.Float(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """Take the schema back."""
    op.drop_column("leases", "timer_until")
    op.drop_column("leases", "boot")
    op.drop_column("intents", "sightings")
