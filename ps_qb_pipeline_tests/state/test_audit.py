"""The audit chain shows every tampering."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, text

from ps_qb_pipeline.state.audit import AuditEntry, append, entries, seal, verify
from ps_qb_pipeline.state.database import open_control_plane, reading, writing
from ps_qb_pipeline.state.tables import audit

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def chain(length: int) -> Engine:
    engine = open_control_plane("sqlite://")
    for number in range(length):
        entry = AuditEntry(AT + timedelta(seconds=number), "boutique", "pipeline", "create", f"sale {number}")
        with writing(engine) as tx:
            append(tx, entry)
    return engine


def test_an_untouched_chain_is_whole() -> None:
    """All rows verify and the head is the last row's hash."""
    engine = chain(5)
    with reading(engine) as tx:
        verdict = verify(tx)
        assert verdict.good
        assert verdict.entries == 5
        assert [entry.subject for _, entry in entries(tx)] == [f"sale {number}" for number in range(5)]


TAMPERINGS = {
    "altered": "update audit set reason = 'nothing' where seq = 3",
    "redated": "update audit set at = '2020-01-01 00:00:00' where seq = 3",
    "removed": "delete from audit where seq = 3",
    "renumbered": "update audit set seq = 99 where seq = 3",
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampering_is_found_where_it_was_done(tampering: str) -> None:
    """Altering, redating, removing or renumbering one row breaks the chain there."""
    engine = chain(5)
    with writing(engine) as tx:
        tx.execute(text(TAMPERINGS[tampering]))
    with reading(engine) as tx:
        verdict = verify(tx)
    assert not verdict.good
    assert verdict.broken_at == 3


@pytest.mark.parametrize("kept", [0, 4])
def test_a_chain_that_was_cut_at_its_end_is_found(kept: int) -> None:
    """The last row, or all of them, are missed even where nobody kept an anchor."""
    engine = chain(5)
    with writing(engine) as tx:
        tx.execute(text("delete from audit where seq > :kept"), {"kept": kept})
    with reading(engine) as tx:
        verdict = verify(tx)
    assert (verdict.good, verdict.entries, verdict.broken_at) == (False, kept, 5)


def test_a_row_that_somebody_added_by_hand_is_found() -> None:
    """Sealed rightly, it still stands behind the end of the chain."""
    engine = chain(2)
    forged = AuditEntry(AT, "boutique", "pipeline", "create", "sale 99")
    with writing(engine) as tx:
        head = verify(tx).head
        values = {name: getattr(forged, name) for name in AuditEntry.__dataclass_fields__}
        tx.execute(insert(audit).values(**values, seq=3, previous=head, hash=seal(3, forged, head)))
    with reading(engine) as tx:
        assert verify(tx).broken_at == 3


def test_two_writers_make_one_chain(tmp_path: Path) -> None:
    """Rows of two processes follow each other without a gap, and each process continues where the other ended."""
    engines = [open_control_plane(f"sqlite:///{tmp_path / 'control.sqlite'}") for _ in range(2)]

    def write(engine: Engine, who: str) -> None:
        for number in range(25):
            with writing(engine) as tx:
                append(tx, AuditEntry(AT, "boutique", who, "create", f"sale {number}"))

    writers = [Thread(target=write, args=(engine, f"w{n}")) for n, engine in enumerate(engines)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    with reading(engines[0]) as tx:
        verdict = verify(tx)
        actors = Counter(entry.actor for _, entry in entries(tx))
    assert (verdict.good, verdict.entries) == (True, 50)
    assert actors == {"w0": 25, "w1": 25}


def test_an_anchor_uncovers_a_chain_that_was_cut_or_rewritten() -> None:
    """A shorter chain, and one written anew, verify by themselves but not against an anchored head."""
    with reading(chain(5)) as tx:
        anchor = verify(tx)
    shorter = chain(4)
    with reading(shorter) as tx:
        assert verify(tx).good
        assert not verify(tx, anchors={anchor.entries: anchor.head}).good
    other = open_control_plane("sqlite://")
    with writing(other) as tx:
        append(tx, *[AuditEntry(AT, "boutique", "x", "create", f"sale {number}") for number in range(5)])
    with reading(other) as tx:
        assert verify(tx).good
        assert verify(tx, anchors={anchor.entries: anchor.head}).broken_at == 5


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=6), st.data())
def test_any_changed_character_breaks_the_chain(reasons: list[str], data: st.DataObject) -> None:
    """Whatever the texts are, a changed one is found."""
    engine = open_control_plane("sqlite://")
    with writing(engine) as tx:
        append(tx, *[AuditEntry(AT, "c", "a", "create", "s", reason=reason) for reason in reasons])
    victim = data.draw(st.integers(1, len(reasons)))
    with writing(engine) as tx:
        tx.execute(text("update audit set reason = reason || 'x' where seq = :seq"), {"seq": victim})
    with reading(engine) as tx:
        assert verify(tx).broken_at == victim
