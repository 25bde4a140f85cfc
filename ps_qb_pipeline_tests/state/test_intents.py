"""Intents move along their edges, one worker at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from ps_qb_pipeline.errors import IntegrityError, StorageError
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.database import open_control_plane, reading, writing
from ps_qb_pipeline.state.intents import Claim, Draft, Intent

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def draft(order: int = 1, *, role: str = "sale", number: str | None = None, body: bytes = b"{}") -> Draft:
    return Draft(
        key=f"1|{role}|{order}|0",
        operation="create",
        entity="SalesReceipt",
        role=role,
        source_id=str(order),
        revision=0,
        doc_number=number or f"PS1-{order}",
        source_key=f"1|{role}|{order}",
        order_key=f"1|{order}",
        document="{}",
        document_sha="x",
        amount=Decimal("12.30"),
        currency="EUR",
        body=body,
    )


def plan(tx: Connection, *drafts: Draft) -> int:
    return intents.plan(tx, drafts, realm="9", connection="boutique", run_id="r", now=NOW)


def get(tx: Connection, order: int = 1) -> Intent:
    return intents.load(tx, "9", [f"1|sale|{order}|0"])[f"1|sale|{order}|0"]


def claim(owner: str, now: datetime = NOW) -> Claim:
    return Claim(owner, "r", now, now + timedelta(seconds=150))


def test_planning_twice_keeps_the_first_body() -> None:
    """A frozen body stays: a second plan of the same key is no plan."""
    engine = open_control_plane("sqlite://")
    with writing(engine) as tx:
        assert plan(tx, draft(body=b'{"a":1}')) == 1
        assert plan(tx, draft(body=b'{"a":2}'), draft(2)) == 1
        assert get(tx).body == b'{"a":1}'
        assert get(tx).amount == Decimal("12.30")


def test_a_number_or_a_source_can_be_planned_only_once() -> None:
    """Another key with the same number, or a second document of one source, cannot even be recorded."""
    engine = open_control_plane("sqlite://")
    with writing(engine) as tx:
        plan(tx, draft(1))
    with pytest.raises(StorageError), writing(engine) as tx:
        plan(tx, draft(2, number="PS1-1"))
    second = draft(1, role="sale", number="PS1-77")
    other_revision = Draft(**{**_fields(second), "key": "1|sale|1|1"})
    with pytest.raises(StorageError), writing(engine) as tx:
        plan(tx, other_revision)


def _fields(value: Draft) -> dict[str, object]:
    return {name: getattr(value, name) for name in Draft.__dataclass_fields__}


def test_of_two_workers_one_gets_the_claim() -> None:
    """The second claim on the same epoch fails; after the lease it succeeds and the first is fenced off."""
    engine = open_control_plane("sqlite://")
    with writing(engine) as tx:
        plan(tx, draft())
        seen = get(tx)
        first = intents.claim(tx, seen, claim("a"))
        assert first is not None
        assert intents.claim(tx, seen, claim("b")) is None
        assert intents.claim(tx, get(tx), claim("b")) is None
        later = claim("b", NOW + timedelta(seconds=200))
        assert intents.claim(tx, get(tx), later) is not None
        assert intents.move(tx, first, intents.SENT, now=NOW, run_id="r") is None


@given(st.sampled_from(sorted(intents.EDGES)), st.sampled_from(sorted(intents.EDGES)))
def test_only_the_named_edges_exist(start: str, end: str) -> None:
    """A move along an edge that is not in the table is a bug and raises."""
    engine = open_control_plane("sqlite://")
    with writing(engine) as tx:
        plan(tx, draft())
        tx.exec_driver_sql(f"update intents set state = '{start}'")
        intent = get(tx)
        if end in intents.EDGES[start]:
            moved = intents.move(tx, intent, end, now=NOW, run_id="r")
            assert moved is not None
            assert get(tx).state == end
        else:
            with pytest.raises(IntegrityError):
                intents.move(tx, intent, end, now=NOW, run_id="r")


def test_what_is_confirmed_never_goes_back() -> None:
    """From CONFIRMED no path leads to a state in which it would be sent again."""
    reached, waiting = set(), {intents.CONFIRMED}
    while waiting:
        state = waiting.pop()
        reached.add(state)
        waiting |= intents.EDGES[state] - reached
    assert not reached & {intents.PLANNED, intents.SENT, intents.UNKNOWN}


def test_a_body_changes_only_before_its_first_sending_or_after_a_refusal() -> None:
    """Bytes that may be in the books are never exchanged for others."""
    engine = open_control_plane("sqlite://")
    with writing(engine) as tx:
        plan(tx, draft(body=b"one"))
        fresh = intents.replan(tx, get(tx), draft(body=b"two"), run_id="r", now=NOW)
        assert fresh is not None
        assert fresh.requestid == get(tx).requestid != ""
        sent = intents.move(
            tx, fresh, intents.SENT, now=NOW, run_id="r", changes={"first_sent_at": NOW, "attempts": 1}
        )
        assert sent is not None
        with pytest.raises(IntegrityError):
            intents.replan(tx, sent, draft(body=b"three"), run_id="r", now=NOW)
        refused = intents.move(tx, sent, intents.REJECTED, now=NOW, run_id="r")
        assert refused is not None
        again = intents.replan(tx, refused, draft(body=b"two"), run_id="r", now=NOW)
        assert again is not None
        assert again.requestid != fresh.requestid


@given(st.text(), st.text(), st.text(), st.text(), st.integers(0, 3))
def test_request_ids_fit_and_depend_on_all_parts(
    realm: str, entity: str, key: str, body: str, generation: int
) -> None:
    """At most 32 letters and digits, the same for the same parts, another for other bytes."""
    made = intents.requestid(realm, entity, key, body, generation)
    assert len(made) == 32
    assert made.isalnum()
    assert made.isascii()
    assert made == intents.requestid(realm, entity, key, body, generation)
    assert made != intents.requestid(realm, entity, key, body + "x", generation)
    assert made != intents.requestid(realm, entity, key, body, generation + 1)


def test_the_export_holds_what_reconciliation_reads() -> None:
    """Rows carry plain values, one per intent, and no body with personal data."""
    engine = open_control_plane("sqlite://")
    with writing(engine) as tx:
        plan(tx, draft(1), draft(2))
    with reading(engine) as tx:
        rows = list(intents.export(tx, "boutique"))
    assert [row["key"] for row in rows] == ["1|sale|1|0", "1|sale|2|0"]
    assert rows[0]["amount"] == Decimal("12.30")
    assert "body" not in rows[0]
    assert "document" not in rows[0]
