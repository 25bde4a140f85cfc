"""A connection begins with posting off and belongs to one company for ever."""

from __future__ import annotations

from datetime import date

import pytest

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.state.audit import entries
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import open_control_plane, reading


def test_posting_is_off_until_a_person_switches_it_on_and_the_audit_says_who() -> None:
    """Registering never arms; arming and disarming are in the audit chain with name and reason."""
    engine = open_control_plane("sqlite://")
    connections = Connections(engine)
    assert not connections.register("boutique", realm="1", go_live=date(2026, 1, 1)).armed
    assert connections.arm("boutique", by="ada", reason="checked").armed
    connections.arm("boutique", by="bob")
    assert connections.register("boutique", realm="1").armed
    assert not connections.disarm("boutique", by="ada").armed
    with reading(engine) as tx:
        acts = [(entry.actor, entry.action, entry.reason) for _, entry in entries(tx)]
    assert acts == [
        ("pipeline", "register", ""),
        ("ada", "posting on", "checked"),
        ("ada", "posting off", ""),
    ]


def test_a_new_go_live_date_is_audited() -> None:
    """The date from which documents are posted changes visibly."""
    engine = open_control_plane("sqlite://")
    connections = Connections(engine)
    connections.register("boutique", realm="1", go_live=date(2026, 1, 1))
    assert connections.register("boutique", realm="1", go_live=date(2026, 2, 1)).go_live == date(2026, 2, 1)
    with reading(engine) as tx:
        assert [entry.after for _, entry in entries(tx)][-1] == "2026-02-01"


def test_a_connection_never_changes_its_company() -> None:
    """Neither may a name move to another company, nor a company take a second name."""
    connections = Connections(open_control_plane("sqlite://"))
    connections.register("boutique", realm="1")
    with pytest.raises(SettingsError, match="bound to company 1"):
        connections.register("boutique", realm="2")
    with pytest.raises(SettingsError, match="already belongs to connection boutique"):
        connections.register("copy", realm="1")


def test_an_unknown_connection_cannot_be_armed() -> None:
    """Arming needs a registered connection."""
    with pytest.raises(SettingsError, match="there is no connection"):
        Connections(open_control_plane("sqlite://")).arm("boutique", by="ada")
