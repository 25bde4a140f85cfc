"""Which connections exist, and whether posting is switched on for them.

What lives here: the deliberate step from counting to writing (``arm``), who took it and when, and the
way back. What does not: settings (``defs/<name>/defs.yaml``). A connection begins with posting off.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Engine, insert, select, update

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.state.audit import AuditEntry, append
from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.tables import connections


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """One connection as the control plane knows it."""

    name: str
    realm: str
    go_live: date | None
    armed: bool
    armed_by: str
    armed_at: datetime | None


class Connections:
    """The connections of one control plane."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def get(self, name: str) -> ConnectionState | None:
        """The connection, or None before it was first registered."""
        with reading(self._engine) as tx:
            row = tx.execute(select(connections).where(connections.c.name == name)).mappings().first()
        if row is None:
            return None
        return ConnectionState(
            row["name"], row["realm"], row["go_live"], row["armed"], row["armed_by"], row["armed_at"]
        )

    def names(self) -> list[str]:
        """All connections of this control plane, in alphabetical order."""
        with reading(self._engine) as tx:
            return list(tx.execute(select(connections.c.name).order_by(connections.c.name)).scalars())

    def register(self, name: str, *, realm: str, go_live: date | None = None) -> ConnectionState:
        """Make the connection known, posting off; harmless when it already is.

        Raises SettingsError when the name is bound to another company, or the company to another name:
        its books would get every document twice.
        """
        found = self.get(name)
        with reading(self._engine) as tx:
            other = tx.execute(
                select(connections.c.name).where(connections.c.realm == realm, connections.c.name != name)
            ).scalar_one_or_none()
        if other is not None:
            raise SettingsError(
                f"company {realm} already belongs to connection {other}; one company takes one connection",
                where=f"connection {name}",
            )
        if found is None:
            self._insert(name, realm, go_live)
        elif found.realm != realm:
            raise SettingsError(
                f"is bound to company {found.realm} and now names {realm}; "
                "a change of company needs a connection of another name",
                where=f"connection {name}",
            )
        elif go_live is not None and go_live != found.go_live:
            self._set_go_live(found, go_live)
        state = self.get(name)
        assert state is not None
        return state

    def _insert(self, name: str, realm: str, go_live: date | None) -> None:
        now = self._clock.now()
        row = {"name": name, "realm": realm, "go_live": go_live, "armed": False, "created_at": now}
        with writing(self._engine) as tx:
            tx.execute(insert(connections).values(**row))
            append(tx, AuditEntry(now, name, "pipeline", "register", f"company {realm}", after=str(go_live)))

    def _set_go_live(self, found: ConnectionState, go_live: date) -> None:
        entry = AuditEntry(
            self._clock.now(),
            found.name,
            "pipeline",
            "go-live date",
            f"company {found.realm}",
            before=str(found.go_live),
            after=str(go_live),
        )
        with writing(self._engine) as tx:
            tx.execute(update(connections).where(connections.c.name == found.name).values(go_live=go_live))
            append(tx, entry)

    def arm(self, name: str, *, by: str, reason: str = "") -> ConnectionState:
        """Switch posting on. A person's act: ``by`` says whose."""
        return self._switch(name, armed=True, by=by, reason=reason)

    def disarm(self, name: str, *, by: str, reason: str = "") -> ConnectionState:
        """Switch posting off; what was sent and is not yet known is still looked up, nothing new goes out."""
        return self._switch(name, armed=False, by=by, reason=reason)

    def _switch(self, name: str, *, armed: bool, by: str, reason: str) -> ConnectionState:
        found = self.get(name)
        if found is None:
            raise SettingsError(
                f"there is no connection {name} yet; run psqb init --connection {name} first", where=name
            )
        if found.armed == armed:
            return found
        now = self._clock.now()
        words = {True: "posting on", False: "posting off"}
        entry = AuditEntry(
            now,
            name,
            by,
            words[armed],
            f"company {found.realm}",
            before=words[found.armed],
            after=words[armed],
            reason=reason,
        )
        values = {"armed": armed, "armed_by": by, "armed_at": now}
        with writing(self._engine) as tx:
            tx.execute(update(connections).where(connections.c.name == name).values(**values))
            append(tx, entry)
        state = self.get(name)
        assert state is not None
        return state
