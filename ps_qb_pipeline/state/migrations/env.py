"""What Alembic runs: our metadata against the connection it is handed."""

from __future__ import annotations

from typing import Literal

from alembic import context

from ps_qb_pipeline.state.tables import UtcTime, metadata

connection = context.config.attributes["connection"]


def _render(kind: str, thing: object, _autogen: object) -> str | Literal[False]:
    return "UtcTime()" if kind == "type" and isinstance(thing, UtcTime) else False


context.configure(
    connection=connection, target_metadata=metadata, render_item=_render, transactional_ddl=True
)
context.run_migrations()
