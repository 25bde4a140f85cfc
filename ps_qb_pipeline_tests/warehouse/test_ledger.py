"""The ledger: every source once, whatever happens, and little work for little news."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.accounting import translate
from ps_qb_pipeline.accounting.documents import from_json
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.validation import holds
from ps_qb_pipeline.validation.rules import load_contracts
from ps_qb_pipeline.warehouse import amendments, incremental, ledger, models, shop_rows
from ps_qb_pipeline.warehouse.tables import LEDGER, replace_rows
from ps_qb_pipeline_tests.bench.shop_volume import GO_LIVE, POLICY, land_shop
from ps_qb_pipeline_tests.warehouse.unit_rows import raw_tables

STAGING = {name: m for name, m in models.load_models().items() if name.startswith("staging.prestashop_")}
ORDERS = 60


@pytest.fixture(scope="module")
def shop_file(tmp_path_factory):
    """A small shop, landed and staged, with its ledger: copied for every test."""
    path = tmp_path_factory.mktemp("ledger") / "shop.duckdb"
    with opened(path) as con:
        land_shop(con, ORDERS)
        models.prepare(con, {n: c for n, c in raw_tables().items() if "prestashop" in n}, STAGING)
        models.run_models(con, STAGING)
        build(con)
    return path


def opened(path):
    con = duckdb.connect(str(path))
    con.execute("set timezone = 'UTC'")
    return con


@contextmanager
def copied(shop_file):
    with TemporaryDirectory() as folder, opened(shutil.copy(shop_file, folder)) as con:
        yield con


@pytest.fixture
def built(shop_file):
    with copied(shop_file) as con:
        yield con


def build(con, **options):
    return ledger.build_ledger(con, POLICY, GO_LIVE, **options)


def refresh(con, policy=POLICY, go_live=GO_LIVE):
    incremental.supersede(con, STAGING)
    return ledger.refresh_ledger(con, policy, go_live)


def content(con):
    return {name: con.execute(f"select * from {name} order by all").fetchall() for name in LEDGER}


def land_again(con, resource, where, **changes):
    """Rows of a resource landed once more, with other values: what a changed object looks like."""
    replaced = ", ".join(f"({value}) as {column}" for column, value in changes.items())
    con.execute(
        f"""
        insert into raw.prestashop_{resource} by name
        with newest as (
            select * from raw.prestashop_{resource} where {where}
            qualify row_number() over (partition by id order by landing_id desc) = 1
        )
        select * replace (
            (select max(landing_id) from raw.prestashop_{resource}) + row_number() over () as landing_id
            {"," if replaced else ""} {replaced}
        ) from newest
        """
    )


def poison(con, resource, number, parent, reason="amount is not a number"):
    con.execute(
        "insert into raw.poisoned (connection, system, resource, id, parent, reason, hash, attempts)"
        " values ('bench', 'prestashop', ?, ?, ?, ?, 'x', 1)",
        [resource, number, parent, reason],
    )


def sources(con, where="true"):
    return con.execute(
        f"select source_type, source_id, status, reason from ledger.sources where {where} order by all"
    ).fetchall()


def test_every_source_is_there_once_and_every_sale_has_the_orders_total(built):
    """The ledger keeps count and money of the shop."""
    counts = dict(built.execute("select source_type, count(*) from ledger.sources group by 1").fetchall())
    for kind, table in (("order", "orders"), ("payment", "order_payments"), ("slip", "order_slip")):
        assert (
            counts[kind] == built.execute(f"select count(*) from staging.prestashop_{table}").fetchall()[0][0]
        )
    differing = built.execute(
        "select count(*) from ledger.documents as d join staging.prestashop_orders as o on d.order_id = o.id"
        " where d.role = 'sale' and d.total <> o.total_paid_tax_incl"
    ).fetchall()
    assert differing == [(0,)]
    assert (
        built.execute("select count(*) from ledger.documents where role = 'sale'").fetchall()[0][0]
        > ORDERS * 0.9
    )


def test_the_rules_of_staging_and_ledger_hold_on_a_sound_shop(built):
    """A shop in order breaks no rule that holds or blocks, and no rule crashes."""
    contracts = {
        name: contract
        for name, contract in load_contracts().items()
        if name.startswith(("staging.prestashop_", "ledger."))
    }
    gate = holds.gate(built, contracts, now=datetime(2026, 11, 1, tzinfo=UTC))
    assert [(o.rule.name, o.error or o.failing) for o in gate.outcomes if o.error or not o.passed] == []
    assert len(gate.outcomes) > 100


def test_chunks_make_no_difference(built):
    """However the references are cut, the ledger is the same."""
    whole = content(built)
    small = pytest.MonkeyPatch()
    small.setattr(shop_rows.chunks, "__defaults__", (None, 7))
    try:
        build(built)
    finally:
        small.undo()
    assert content(built) == whole


def test_several_processes_give_what_one_gives(built):
    """Work that is spread comes back whole and in order."""
    whole = content(built)
    small = pytest.MonkeyPatch()
    small.setattr(shop_rows.chunks, "__defaults__", (None, 20))
    try:
        assert build(built, processes=2).processes == 2
    finally:
        small.undo()
    assert content(built) == whole


def test_progress_counts_orders(built):
    """Whoever waits sees how far it is."""
    seen = []
    build(built, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (ORDERS, ORDERS)


def test_nothing_new_translates_nothing(built):
    """Without news no order is touched."""
    before = content(built)
    result = refresh(built)
    assert (result.orders, result.references) == (0, 0)
    assert content(built) == before


NEWS = {
    "an edited order": ("orders", "id = 3", {"total_paid_real": "1"}),
    "an order of another cart": ("orders", "id = 3", {"reference": "'ELSEWHERE'"}),
    "an order that joins another": ("orders", "id = 4", {"reference": "'R00000005'"}),
    "a deleted order": ("orders", "id = 5", {"deleted_at_source": "true"}),
    "an edited line": ("order_details", "id_order = 6", {"product_name": "'Renamed'"}),
    "a deleted line": ("order_details", "id_order = 6", {"deleted_at_source": "true", "id_order": "null"}),
    "an edited payment": ("order_payments", "id = 9", {"amount": "amount - 1"}),
    "a payment of another order": ("order_payments", "id = 9", {"order_reference": "'R00000010'"}),
    "a payment of nobody": ("order_payments", "id = 11", {"order_reference": "'NOBODY'"}),
    "a slip": ("order_slip", "id = 20", {"total_products_tax_incl": "total_products_tax_incl - 1"}),
    "a slip of nobody": ("order_slip", "id = 40", {"id_order": "99999"}),
    "a customer's new name": ("customers", "id = 2", {"lastname": "'Newname'"}),
    "a moved address": ("addresses", "id < 9", {"id_country": "8"}),
    "a renamed SKU": ("products", "id = 7", {"reference": "'SKU-8'"}),
    "a product's new price": ("products", "true", {"price": "price + 1"}),
    "a history entry": ("order_histories", "id_order = 14", {"id_order_state": "6"}),
}


@pytest.mark.parametrize("news", NEWS, ids=list(NEWS))
def test_news_change_what_building_anew_would_change(built, news):
    """After any news the refreshed ledger is the ledger that a new build gives, for fewer orders."""
    resource, where, changes = NEWS[news]
    land_again(built, resource, where, **changes)
    result = refresh(built)
    assert result.references is not None
    assert result.orders < ORDERS * 0.8
    refreshed = content(built)
    build(built)
    assert refreshed == content(built)


@given(st.lists(st.sampled_from(list(NEWS)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=3, suppress_health_check=[HealthCheck.too_slow])
def test_any_course_of_news_ends_where_building_anew_ends(shop_file, course):
    """Refreshing step by step is as good as building once at the end."""
    with copied(shop_file) as con:
        for news in course:
            resource, where, changes = NEWS[news]
            land_again(con, resource, where, **changes)
            refresh(con)
        refreshed = content(con)
        build(con)
        assert refreshed == content(con)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda con: land_again(con, "taxes", "id = 1", rate="21"), "a tax"),
        (lambda con: land_again(con, "order_states", "id = 5", invoice="false"), "a state"),
        (lambda con: con.execute("delete from runner.watermarks"), "an unknown past"),
    ],
)
def test_what_all_orders_share_concerns_all_orders(built, change, what):
    """A change of taxes or states, or not knowing what was read, translates everything again."""
    change(built)
    assert refresh(built).references is None, what


def test_another_policy_or_start_translates_everything_again(built):
    """The accountant's settings are part of what the ledger was made from."""
    assert refresh(built, policy=replace(POLICY, numbering="invoice")).references is None
    assert (
        refresh(built, policy=replace(POLICY, numbering="invoice"), go_live=date(2024, 1, 1)).references
        is None
    )


def test_tax_rates_that_only_landed_again_are_no_news(built):
    """The same content under a new landing changes nothing."""
    land_again(built, "taxes", "true")
    assert refresh(built).references == 0


def test_one_order_that_the_engine_fails_on_stops_no_other(built, monkeypatch, caplog):
    """A bug is held with its order, payment and slip; the rest of the shop goes on."""
    sound = translate.translate

    def failing(group, policy, **options):
        if group.orders[0].id == 20:
            raise KeyError("secret value")
        return sound(group, policy, **options)

    monkeypatch.setattr(translate, "translate", failing)
    build(built)
    assert sources(built, "reason = 'POISON_RECORD'") == [
        ("order", 20, "held", "POISON_RECORD"),
        ("payment", 20, "held", "POISON_RECORD"),
        ("slip", 20, "held", "POISON_RECORD"),
    ]
    assert (
        built.execute("select count(*) from ledger.documents where role = 'sale'").fetchall()[0][0]
        > ORDERS * 0.9
    )
    assert "KeyError" in caplog.text
    assert "secret value" not in caplog.text


def test_an_unreadable_line_holds_its_order(built):
    """What cannot be read makes the order doubtful: it waits until the row can be read."""
    poison(built, "order_details", 999, "12")
    assert refresh(built).references == 1
    assert ("order", 12, "held", "POISON_RECORD") in sources(built)
    built.execute("update raw.poisoned set resolved_at = now()")
    refresh(built)
    assert ("order", 12, "postable", "") in sources(built)


def test_an_unreadable_slip_or_payment_is_held_alone(built):
    """A slip that was never read is a source of its own; its sale goes on."""
    poison(built, "order_slip", 555, "12")
    poison(built, "order_payments", 666, "R00000013")
    refresh(built)
    held = sources(built, "status = 'held'")
    assert held == [("payment", 666, "held", "POISON_RECORD"), ("slip", 555, "held", "POISON_RECORD")]
    assert ("order", 12, "postable", "") in sources(built)


def test_an_unreadable_newer_state_holds_what_was_known(built):
    """The old state of a slip is not posted when a newer one cannot be read."""
    poison(built, "order_slip", 20, "20")
    refresh(built)
    assert ("slip", 20, "held", "POISON_RECORD") in sources(built)
    assert sources(built, "source_type = 'slip' and source_id = 20") == [
        ("slip", 20, "held", "POISON_RECORD")
    ]


def test_an_order_that_was_never_readable_is_held_and_named(built):
    """It is no order of staging, and still in the ledger, once."""
    poison(built, "orders", 7777, "")
    refresh(built)
    assert sources(built, "source_id = 7777") == [("order", 7777, "held", "POISON_RECORD")]
    messages = built.execute("select message from ledger.findings where source_id = 7777").fetchall()
    assert messages == [("amount is not a number",)]


def test_money_without_its_order_is_held_and_named(built):
    """A payment or slip whose order is gone is neither dropped nor posted."""
    land_again(built, "orders", "id = 20", deleted_at_source="true")
    refresh(built)
    assert sources(built, "source_id = 20") == [
        ("payment", 20, "held", "SOURCE_DELETED"),
        ("slip", 20, "held", "SOURCE_DELETED"),
    ]
    found = built.execute(
        "select source_type, code from ledger.findings where source_id = 20 order by all"
    ).fetchall()
    assert found == [("payment", "SOURCE_DELETED"), ("slip", "SOURCE_DELETED")]


def test_a_build_that_dies_leaves_the_ledger_as_it_was(built, monkeypatch):
    """Half a ledger is never seen."""
    before = content(built)
    land_again(built, "orders", "id < 9", total_paid_real="1")
    incremental.supersede(built, STAGING)
    monkeypatch.setattr(ledger.orphans, "write", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ledger.refresh_ledger(built, POLICY, GO_LIVE)
    with pytest.raises(ZeroDivisionError):
        build(built)
    monkeypatch.undo()
    assert content(built) == before
    assert ledger.refresh_ledger(built, POLICY, GO_LIVE).orders == 8


def post(con, key):
    replace_rows(con, "control.intents", [{"key": key, "state": "CONFIRMED", "operation": "create"}])


def test_what_is_posted_matters_once_a_period_is_closed(built):
    """A posted document of a closed period stays where it stands; one that is not posted waits."""
    sale = "source_type = 'order' and source_id = 33"
    key, day = built.execute(
        "select key, txn_date from ledger.documents where role = 'sale' and order_id = 33"
    ).fetchall()[0]
    post(built, key)
    assert refresh(built).references == 0
    closed = replace(POLICY, book_close_date=date(2030, 1, 1))
    assert refresh(built, policy=closed).references is None
    assert sources(built, sale) == [("order", 33, "postable", "")]
    assert built.execute("select txn_date from ledger.documents where key = ?", [key]).fetchall() == [(day,)]
    assert ("order", 34, "held", "PERIOD_CLOSED") in sources(built)


def test_what_was_posted_since_brings_its_order_back(built):
    """Once the books hold a document of a closed period, its order is translated again with that in mind."""
    (key,) = built.execute(
        "select key from ledger.documents where role = 'sale' and order_id = 33"
    ).fetchall()[0]
    closed = replace(POLICY, book_close_date=date(2030, 1, 1))
    built.execute("create table kept as select * from ledger.documents")
    refresh(built, policy=closed)
    assert ("order", 33, "held", "PERIOD_CLOSED") in sources(built)
    built.execute(
        "create table staging.quickbooks_documents as"
        " select key as source_key, order_id as source_order_id, txn_date, type as entity, false as deleted from kept where key = ?",
        [key],
    )
    result = refresh(built, policy=closed)
    assert 1 <= result.references <= 2  # itself, and whoever speaks for its customer's card now
    assert ("order", 33, "postable", "") in sources(built)
    assert refresh(built, policy=closed).references == 0


def test_what_was_posted_for_a_slip_of_nobody_stands_once(built):
    """It is pending with every part that is replaced, and never twice in the ledger."""
    key, body = built.execute(
        "select key, body from ledger.documents where role = 'refund' and order_id = 40"
    ).fetchall()[0]
    row = {"key": key, "state": "CONFIRMED", "operation": "create", "role": "refund", "source_id": "40"}
    replace_rows(built, "control.intents", [row | {"entity": "RefundReceipt"}])

    class Judge:
        def __call__(self, cases):
            return amendments.Answer()

        def standing(self, keys):
            return [from_json(body)] if key in keys else []

    land_again(built, "order_slip", "id = 40", id_order="99999")
    for number in (40, 3, 5):
        land_again(built, "orders", f"id = {number}", total_paid_real="1")
        incremental.supersede(built, STAGING)
        ledger.refresh_ledger(built, POLICY, GO_LIVE, judge=Judge())
        for table, column in (("documents", "key"), ("lines", "concat(document_key, line_no)")):
            twice = f"select {column} from ledger.{table} group by all having count(*) > 1"
            assert built.execute(twice).fetchall() == []
        assert built.execute("select count(*) from ledger.documents where key = ?", [key]).fetchall() == [
            (1,)
        ]


DAILY = replace(POLICY, posting="daily")


def test_days_become_summaries_with_every_cent_of_their_members(built):
    """The documents of a day are joined; money and sources are all still there."""
    before = built.execute(
        "select type, currency, sum(total), sum(total_tax) from ledger.documents"
        " where type in ('SalesReceipt', 'RefundReceipt') group by all order by all"
    ).fetchall()
    count = built.execute("select count(*) from ledger.sources").fetchall()
    ledger.build_ledger(built, DAILY, GO_LIVE)
    after = built.execute(
        "select type, currency, sum(total), sum(total_tax) from ledger.documents"
        " where type in ('SalesReceipt', 'RefundReceipt') group by all order by all"
    ).fetchall()
    assert after == before
    assert built.execute("select count(*) from ledger.sources").fetchall() == count
    assert built.execute("select count(*) from ledger.documents where role = 'summary'").fetchall()[0][0] > 10
    strays = "select count(*) from ledger.sources where status = 'postable' and document_key not in (select key from ledger.documents)"
    assert built.execute(strays).fetchall() == [(0,)]
    orphaned = (
        "select count(*) from ledger.lines where document_key not in (select key from ledger.documents)"
    )
    assert built.execute(orphaned).fetchall() == [(0,)]


def test_an_open_day_waits(built):
    """Before the first day is over, its sales are no documents yet, and their sources say why."""
    ledger.build_ledger(built, DAILY, GO_LIVE, now=datetime(2023, 1, 1, 12))  # noqa: DTZ001 -- shop-local
    waiting = sources(built, "reason = 'day_open'")
    assert waiting
    assert {row[2] for row in waiting} == {"not_postable"}
    assert built.execute("select count(*) from ledger.documents where role = 'summary'").fetchall() == [(0,)]


def test_a_held_order_is_in_no_summary(built):
    """What a rule holds stays by itself, so that holding it holds nothing else."""
    (key,) = built.execute(
        "select key from ledger.documents where type = 'SalesReceipt' order by order_id limit 1"
    ).fetchall()[0]
    order = int(key.split("|")[2])
    built.execute("insert into validation.holds (table_name, rule, order_id) values ('t', 'r', ?)", [order])
    ledger.build_ledger(built, DAILY, GO_LIVE)
    assert built.execute("select count(*) from ledger.documents where key = ?", [key]).fetchall() == [(1,)]


def test_a_posted_summary_keeps_its_members(built):
    """What comes after a summary was posted makes a document of its own."""
    (order,) = built.execute(
        "select order_id from ledger.documents where type = 'SalesReceipt' order by order_id limit 1"
    ).fetchall()[0]
    land_again(built, "orders", f"id = {order}", deleted_at_source="true")
    incremental.supersede(built, STAGING)
    ledger.build_ledger(built, DAILY, GO_LIVE)
    first = content(built)["ledger.documents"]
    keys = [row[0] for row in first if row[2] == "summary"]
    posted = [{"key": key, "state": "CONFIRMED", "operation": "create"} for key in keys]
    replace_rows(built, "control.intents", posted)
    land_again(built, "orders", f"id = {order}", deleted_at_source="false")
    incremental.supersede(built, STAGING)
    ledger.build_ledger(built, DAILY, GO_LIVE)
    second = content(built)["ledger.documents"]
    assert set(first) <= set(second)
    assert len(second) > len(first)


class Noticing(dict):
    """A row that remembers which columns anybody asked for."""

    asked: dict[str, set[str]] = {}  # noqa: RUF012 -- shared on purpose
    name = ""

    def get(self, key, default=None):
        self.asked.setdefault(self.name, set()).add(key)
        return super().get(key, default)

    def __getitem__(self, key):
        self.asked.setdefault(self.name, set()).add(key)
        return super().__getitem__(key)


def test_accounting_asks_for_no_column_that_is_not_read(built, monkeypatch):
    """Every column of the shop that accounting looks at is among those that chunks bring."""
    read = {**shop_rows.LOOKUPS, **shop_rows.CATALOGUE, **shop_rows.ORDERS, **shop_rows.OTHERS}
    plain = shop_rows.rows

    def noticing(table):
        name = next((name for name, columns in read.items() if list(columns) == table.column_names), "posted")
        kind = type(f"Noticing_{name}", (Noticing,), {"name": name})
        return [kind(row) for row in plain(table)]

    monkeypatch.setattr(shop_rows, "rows", noticing)
    build(built)
    for name, asked in Noticing.asked.items():
        if name not in RESOURCES:
            continue
        known = asked & set(RESOURCES[name].columns)
        assert known <= set(read[name]), f"{name}: {sorted(known - set(read[name]))} are not read"
    assert len(Noticing.asked) >= 12


def test_amounts_with_three_decimals_do_not_stop_the_ledger():
    """Dinars have three decimals: the column rounds, the body keeps them."""
    from ps_qb_pipeline.warehouse.tables import arrow_array

    assert arrow_array([Decimal("1.005"), None], "decimal(18,2)").to_pylist() == [Decimal("1.01"), None]
