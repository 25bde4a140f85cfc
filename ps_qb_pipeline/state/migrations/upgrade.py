"""Bringing a control plane to the newest schema.

What lives here: the call into Alembic, skipped when the schema is already right (Alembic costs a
tenth of a second to import, every command opens the control plane). What does not: the steps
(``versions``).
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from ps_qb_pipeline.errors import StorageError

if TYPE_CHECKING:
    from alembic.config import Config

HERE = Path(__file__).parent


def upgrade(connection: Connection) -> None:
    """Run the missing steps in the caller's transaction.

    Raises StorageError when the schema is of a version that this release does not know.
    """
    found = current(connection)
    known = revisions()
    if found == known[-1]:
        return
    if found is not None and found not in known:
        raise StorageError(
            f"the control plane has schema {found}, which this release does not know; "
            "it was written by a newer release, use that one"
        )
    from alembic import command

    logging.getLogger("alembic").setLevel(logging.WARNING)
    command.upgrade(config(connection), "head")


def current(connection: Connection) -> str | None:
    """The schema version that the database says it has; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar_one_or_none()


def revisions() -> list[str]:
    """All versions, oldest first: the file names begin with them."""
    names = (path.name for path in (HERE / "versions").glob("*.py"))
    return sorted(found[1] for name in names if (found := re.match(r"(\d{4})_", name)))


def config(connection: Connection) -> Config:
    """Alembic's configuration for this connection; no ini file is involved."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(HERE))
    made.attributes["connection"] = connection
    return made
