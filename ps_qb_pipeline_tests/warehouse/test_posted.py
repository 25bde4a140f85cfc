"""Following what is posted gives what looking at all of it gives."""

import random
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ps_qb_pipeline.orchestration.landing import raw_tables
from ps_qb_pipeline.warehouse import changes, ledger, models, posted
from ps_qb_pipeline.warehouse.session import session
from ps_qb_pipeline.warehouse.tables import replace_rows
from ps_qb_pipeline_tests.bench import volume
from ps_qb_pipeline_tests.bench.shop_volume import GO_LIVE, POLICY
from ps_qb_pipeline_tests.warehouse.another_state import land

ORDERS = 150
CLOSED = replace(POLICY, book_close_date=date(2030, 1, 1))
STAGING = ["staging"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A warehouse of a shop and its books, with its ledger."""
    path = Path(tmp_path_factory.mktemp("posted")) / "shop.duckdb"
    volume.generate(path, ORDERS)
    with session(path, owner="test", reason="test") as con:
        models.prepare(con, raw_tables())
        models.run_models(con, select=STAGING, variables=volume.VARIABLES)
        ledger.build_ledger(con, POLICY, GO_LIVE)
    return path


@pytest.fixture
def con(prepared, tmp_path):
    path = tmp_path / "shop.duckdb"
    shutil.copy(prepared, path)
    with session(path, owner="test", reason="test") as connection:
        yield connection


def intent(con, order, **changed):
    """Another word of the control plane on the documents of an order."""
    cursor = con.execute("select * from control.intents where source_id = ?", [str(order)])
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) | changed for row in cursor.fetchall()]
    replace_rows(con, "control.intents", rows, key="key")


_NOBODY = "{{'key': null, 'hash': null, 'order_id': null}} as origin"
_ANOTHER = "{{'key': '1|sale|{o}|0', 'hash': null, 'order_id': {o}}} as origin"
EVENTS = (
    *(
        lambda con, o, table=table, what=what: land(
            con, f"quickbooks_{table}", f"origin.order_id % 9 = {o} % 9", what.format(o=o)
        )
        for table in ("invoices", "payments", "sales_receipts")
        for what in (
            "txn_date + 40 as txn_date",
            "true as deleted_at_source",
            "id || 'x' as id",
            _NOBODY,
            _ANOTHER,
        )
    ),
    lambda con, o: intent(con, o, state="REJECTED"),
    lambda con, o: intent(con, o, entity="Invoice"),
    lambda con, o: intent(con, o, operation="void"),
    lambda con, o: land(con, "prestashop_orders", f"id = {o}", "date_add + interval 90 day as date_add"),
    lambda con, o: land(con, "prestashop_orders", f"id = {o}", "reference || 'X' as reference"),
)


def both_ways(con, policy):
    """What is posted and what of it is news: followed, and all of it looked at."""
    found = []
    for _ in range(2):
        changes.note_besides(con, policy)
        found.append([con.execute(f"from posted_{what} order by all").fetchall() for what in ("now", "news")])
        con.execute(f"delete from runner.watermarks where relation = '{posted.POSTED}'")
    return found


def disturb(con, policy, seed):
    """A random course of events, with the ledger brought up to it now and then."""
    rnd = random.Random(seed)
    ledger.refresh_ledger(con, policy, GO_LIVE)
    for _ in range(rnd.randint(2, 6)):
        rnd.choice(EVENTS)(con, rnd.randint(1, ORDERS))
        if rnd.random() < 0.5:
            ledger.refresh_ledger(con, policy, GO_LIVE)
    rnd.choice(EVENTS)(con, rnd.randint(1, ORDERS))


@pytest.mark.parametrize("policy", [POLICY, CLOSED], ids=["open", "closed"])
@pytest.mark.parametrize("seed", range(6))
def test_following_is_looking_at_everything(con, policy, seed):
    """Whatever happens in the books, in the control plane and in the shop, both say the same."""
    disturb(con, policy, seed)
    looked = []
    with pytest.MonkeyPatch.context() as watched:
        look = posted._look
        watched.setattr(
            posted, "_look", lambda con, policy, limit: looked.append(limit) or look(con, policy, limit)
        )
        followed, whole = both_ways(con, policy)
    assert followed == whole
    assert whole[0]
    assert looked.count("true") == 1  # the second time alone


@pytest.mark.parametrize("event", range(len(EVENTS)))
def test_every_event_is_seen(con, event):
    """Each of them alone, in books of which every document matters."""
    ledger.refresh_ledger(con, CLOSED, GO_LIVE)
    EVENTS[event](con, 45)
    followed, whole = both_ways(con, CLOSED)
    assert followed == whole


def test_a_landing_that_nobody_follows_is_noticed(con, monkeypatch):
    """The comparison has teeth."""
    ledger.refresh_ledger(con, CLOSED, GO_LIVE)
    land(con, "quickbooks_invoices", "true", "txn_date + 40 as txn_date")
    monkeypatch.setattr(posted, "_find_keys", lambda *_: None)
    followed, whole = both_ways(con, CLOSED)
    assert followed != whole


@pytest.mark.parametrize("bring", [ledger.refresh_ledger, ledger.build_ledger], ids=["part", "whole"])
@pytest.mark.parametrize("noted", [True, False])
def test_an_expected_document_that_goes_is_seen(con, monkeypatch, bring, noted):
    """Of what the mirror does not show the expected document tells the day; without the note of it nobody knows."""
    land(con, "quickbooks_sales_receipts", "true", "true as deleted_at_source")
    ledger.refresh_ledger(con, CLOSED, GO_LIVE)
    ledger.refresh_ledger(con, CLOSED, GO_LIVE)
    if not noted:
        monkeypatch.setattr(posted, "note_part", lambda *_: None)
    land(con, "prestashop_orders", "id between 20 and 40", "true as deleted_at_source")
    bring(con, CLOSED, GO_LIVE)
    followed, whole = both_ways(con, CLOSED)
    assert (followed == whole) is noted
