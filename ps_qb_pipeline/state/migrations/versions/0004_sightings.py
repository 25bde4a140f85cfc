"""Sightings: when each machine first saw an intent without an outcome."""

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


def downgrade() -> None:
    """Take the schema back."""
    op.drop_column("intents", "sightings")
