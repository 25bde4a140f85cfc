"""Who handles a hint, and how often that was begun."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""
    op.add_column("inbox", sa.Column("claimed_by", sa.Text(), server_default="", nullable=False))
    op.add_column("inbox", sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """Take the schema back."""
    op.drop_column("inbox", "tries")
    op.drop_column("inbox", "claimed_by")
