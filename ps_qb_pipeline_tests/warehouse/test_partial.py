"""What is made again of a few orders is what making everything anew would give, whatever happened to them.

A small shop whose books agree is changed at random: in the shop, in the books, in what the control plane and
the gate noted. After every few changes its models are brought up to date, and in the end all of them are
compared with models made anew.
"""

from __future__ import annotations

import random
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ps_qb_pipeline.orchestration.landing import raw_tables
from ps_qb_pipeline.validation import followed, holds, sql_engine
from ps_qb_pipeline.validation.rules import load_contracts
from ps_qb_pipeline.warehouse import incremental, ledger, models, narrowed, news, partial
from ps_qb_pipeline.warehouse.session import session
from ps_qb_pipeline_tests.bench import volume
from ps_qb_pipeline_tests.bench.shop_volume import GO_LIVE, POLICY
from ps_qb_pipeline_tests.warehouse.another_state import land

ORDERS = 200
MODELS = models.load_models()
OURS = [name for name, model in MODELS.items() if model.schema in partial.FOLLOWING]
GUARDING = {
    name: contract
    for name, contract in load_contracts().items()
    if name.startswith(("staging.prestashop_", "ledger."))
}
RULES = [
    rule for name, contract in load_contracts().items() if name not in GUARDING for rule in contract.rules
]
NOW = datetime(2026, 1, 2, tzinfo=UTC)
_DEARER = ", ".join(
    f"{column} + 1 as {column}"
    for column in (
        "total_shipping_tax_incl", "total_shipping_tax_excl", "total_paid", "total_paid_tax_incl", "total_paid_tax_excl"
    )
)  # fmt: skip
_BY_HAND = "null as origin, 'by hand' as private_note"

LANDINGS = [
    ("prestashop_orders", "id = {o}", _DEARER),
    ("prestashop_orders", "id = {o}", "true as deleted_at_source"),
    ("prestashop_orders", "id = {o}", "6 as current_state"),
    ("prestashop_orders", "id = {o}", "'R' || lpad(({o} + 1)::varchar, 8, '0') as reference"),
    ("prestashop_orders", "id = {o}", "{o} + 100000 as id, 'N{o}' as reference"),
    ("prestashop_order_payments", "id = {o}", "amount + 3 as amount"),
    ("prestashop_order_payments", "id = {o}", "true as deleted_at_source"),
    ("prestashop_order_slip", "id_order = {o} // 20 * 20", "true as deleted_at_source"),
    ("prestashop_order_slip", "id_order = {o} // 20 * 20", "amount - 1 as amount"),
    ("prestashop_order_details", "id_order = {o}", "original_wholesale_price + 1 as original_wholesale_price"),
    ("prestashop_addresses", "id = {o} // 3 + 1", "8 as id_country"),
    ("prestashop_products", "id = {o} % 50 + 1", "wholesale_price + 1 as wholesale_price, 9 as id_category_default"),
    ("quickbooks_sales_receipts", "origin.order_id = {o}", "total + 2 as total, '9' as sync_token"),
    ("quickbooks_sales_receipts", "origin.order_id = {o}", "true as deleted_at_source"),
    ("quickbooks_invoices", "origin.order_id = {o}", "true as deleted_at_source"),
    ("quickbooks_payments", "origin.order_id = {o}", "'C1' as customer_id, txn_date + 40 as txn_date"),
    ("quickbooks_refund_receipts", "origin.order_id = {o} // 20 * 20", "total_tax + 1 as total_tax"),
    ("quickbooks_sales_receipts", "origin.order_id = {o}", "id || 'x' as id"),
    ("quickbooks_sales_receipts", "origin.order_id = {o}", f"id || 'y' as id, {_BY_HAND}"),
    ("quickbooks_payments", "origin.order_id = {o}", f"id || 'z' as id, {_BY_HAND}, 'hand' as payment_ref_num"),
    (
        "quickbooks_sales_receipts", "origin.order_id = {o}",
        "id || 'w' as id, {{'key': '1|sale|{o}00|0', 'hash': null, 'order_id': 1}} as origin",
    ),
]  # fmt: skip
"""Raw table, which of its rows land again, and what is another in them."""

NOTES = [
    ("control.intents", "key like '%|sale|{o}|%'", "delete from control.intents where {which}"),
    (
        "control.intents", "key like '%|payment|{o}|%'",
        "update control.intents set state = 'REJECTED', fault_message = 'no' where {which}",
    ),
    (
        "control.identities", "key = (select max(customer_key) from ledger.documents where order_id = {o})",
        """
        insert into control.identities by name
        select 'Customer' as kind, max(customer_key) as key, 'C1' as qbo_id from ledger.documents where order_id = {o}""",
    ),
]  # fmt: skip
"""Table, which of its rows change, and the change; who changes such a table notes it."""


def note(con, table, which, change):
    con.execute("begin")
    keys = f"select key from {table} where {which}"
    if change.strip().startswith("insert"):
        con.execute(change)
        news.note(con, table, keys)
    else:
        news.note(con, table, keys)
        con.execute(change)
    con.execute("commit")


def hold(con, order):
    news.note(con, "validation.holds", f"select {order}")
    con.execute(
        "insert into validation.holds values ('ledger.documents', 'a_rule', 'order', $id, $order, 'error', 'x', now())",
        {"id": str(order), "order": order},
    )


def journal(con, order):
    """A journal by hand that takes what an order paid off the account that it was paid into."""
    con.execute(
        f"""
        insert into raw.quickbooks_journal_entries by name
        select
            'J' || id as id, '0' as sync_token, txn_date, currency, false as deleted_at_source,
            list_transform(
                lines, lambda one: struct_update(one, account_id := deposit_to_id, posting_type := 'Credit')
            ) as lines,
            (select coalesce(max(landing_id), 0) from raw.quickbooks_journal_entries) + row_number() over () as landing_id
        from raw.quickbooks_sales_receipts
        where origin.order_id = {order}"""
    )
    incremental.follow(con, "raw.quickbooks_journal_entries", keeps_deleted=True)


def verdicts(outcomes):
    return [
        (one.table, one.rule.name, one.passed, one.failing, one.failing_ids, one.evaluated, one.error)
        for one in outcomes
    ]


def disturb(con, rnd):
    """One change at random."""
    order = rnd.randint(1, ORDERS - 1)
    kind = rnd.randrange(len(LANDINGS) + len(NOTES) + 2)
    if kind < len(LANDINGS):
        land(con, *(part.format(o=order) for part in LANDINGS[kind]))
    elif kind < len(LANDINGS) + len(NOTES):
        table, which, change = NOTES[kind - len(LANDINGS)]
        which = which.format(o=order)
        note(con, table, which, change.format(o=order, which=which))
    elif kind == len(LANDINGS) + len(NOTES):
        journal(con, order)
    else:
        hold(con, order)


def posted_side(con):
    """What a run does before it reconciles."""
    models.run_models(con, select=["staging"], variables=volume.VARIABLES)
    made = ledger.refresh_ledger(con, POLICY, GO_LIVE, processes=1)
    holds.gate(con, GUARDING, now=NOW, references=made.replaced)


def follow(con):
    """Both layers brought up to date, one after the other, as the steps of a run do; what was made anew."""
    runs = [
        run
        for layer in partial.FOLLOWING
        for run in models.run_models(con, select=[layer], variables=volume.VARIABLES, follow=True)
    ]
    return {run.name for run in runs if run.anew}


def content(con):
    return {name: con.execute(f"select * from {name} order by all").fetchall() for name in OURS}


def differing(con):
    """The models that are not what they are when they are made anew."""
    followed = content(con)
    models.run_models(con, select=partial.FOLLOWING, variables=volume.VARIABLES)
    anew = content(con)
    return [name for name in OURS if followed[name] != anew[name]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A warehouse whose models are up to date."""
    path = Path(tmp_path_factory.mktemp("partial")) / "shop.duckdb"
    volume.generate(path, ORDERS)
    with session(path, owner="test", reason="test") as con:
        models.prepare(con, raw_tables())
        posted_side(con)
        follow(con)
    return path


@pytest.fixture
def con(prepared, tmp_path):
    path = tmp_path / "shop.duckdb"
    shutil.copy(prepared, path)
    with session(path, owner="test", reason="test") as connection:
        connection.execute("set threads = 1")
        yield connection


@pytest.mark.parametrize("seed", [1, 2])
def test_following_is_making_anew(con, seed):
    """Whatever happens in the shop, in the books and between them: every model says the same."""
    rnd = random.Random(seed)
    by_part = 0
    for _ in range(3):
        for _ in range(rnd.randint(2, 7)):
            disturb(con, rnd)
        if rnd.random() < 0.8:  # the mirror may be read without the shop
            posted_side(con)
        by_part += "recon.pairs" not in follow(con)
        assert verdicts(followed.evaluate(con, RULES)) == verdicts(sql_engine.evaluate(con, RULES))
    assert by_part
    assert differing(con) == []


def held(con):
    return con.execute("select * exclude (since) from validation.holds order by all").fetchall()


_ODD = (
    ("prestashop_orders", "id = {o}", "total_paid + 1 as total_paid"),
    ("prestashop_orders", "id = {o}", "99 as current_state"),
    ("prestashop_orders", "id = {o}", "888888 as id_customer"),
    ("prestashop_order_details", "id_order = {o}", "product_quantity + 9 as product_quantity_refunded"),
    ("prestashop_order_payments", "id = {o}", "99 as id_currency"),
    ("prestashop_order_histories", "id_order = {o}", "99 as id_order_state"),
)
"""States that rules hold an order for."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_gate_over_what_was_replaced_is_a_gate_over_everything(con, seed):
    """The holds of the orders that are news, and those that stand, are the holds that all rows give."""
    rnd = random.Random(seed)
    seen = 0
    for _ in range(3):
        for _ in range(rnd.randint(1, 4)):
            order = rnd.randint(1, ORDERS - 1)
            land(con, *(part.format(o=order) for part in rnd.choice(rnd.choice((_ODD, LANDINGS)))))
        posted_side(con)
        part = held(con)
        holds.gate(con, GUARDING, now=NOW)
        assert part == held(con)
        seen += len(part)
    assert seen


def test_a_gate_that_overlooks_rows_is_noticed(con, monkeypatch):
    """The comparison has teeth: with the orders themselves left out, an odd one is not held."""
    land(con, "prestashop_orders", "id = 21", "99 as current_state")
    rows = {**narrowed._ROWS, "staging.prestashop_orders": ("", "false")}
    monkeypatch.setattr(narrowed, "_ROWS", rows)
    posted_side(con)
    part = held(con)
    holds.gate(con, GUARDING, now=NOW)
    assert part != held(con)


@pytest.mark.parametrize(
    ("change", "model"),
    [
        (("prestashop_orders", "id = 21", _DEARER), "recon.pairs"),
        (
            ("quickbooks_sales_receipts", "origin.order_id is not null", "total + 2 as total"),
            "recon.books_claims",
        ),
    ],
)
def test_a_change_that_nobody_follows_is_noticed(con, monkeypatch, change, model):
    """The comparison has teeth: with a step of following left out, it fails."""
    land(con, *change)
    monkeypatch.setattr(news, "_from_books", lambda *_: None)
    monkeypatch.setattr(news, "_from_notes", lambda *_: None)
    monkeypatch.setattr(news, "_from_shop", lambda *_: None)
    posted_side(con)
    follow(con)
    assert model in differing(con)


def test_nothing_new_makes_nothing(con):
    """A second run in a row makes no table again."""
    posted_side(con)
    assert {name for name in follow(con) if MODELS[name].materialized != "view"} == set()


def test_what_all_rows_share_makes_everything_anew(con):
    """An item that earns on another account may concern any document."""
    land(con, "quickbooks_items", "true", "'1' as income_account_id")
    assert {"recon.books_claims", "recon.pairs", "marts.sold_lines"} <= follow(con)
    assert differing(con) == []


def test_a_run_that_dies_leaves_what_was_there(con, monkeypatch):
    """The rows, what has been read and what was noted move together or not at all."""
    before = content(con)
    land(con, "prestashop_orders", "id = 21", _DEARER)
    posted_side(con)
    bring = partial.Following.bring
    monkeypatch.setattr(
        partial.Following,
        "bring",
        lambda self, model: 1 / 0 if model.name == "recon.movements" else bring(self, model),
    )
    with pytest.raises(ZeroDivisionError):
        follow(con)
    assert content(con) == before
    monkeypatch.undo()
    follow(con)
    assert content(con) != before
    assert differing(con) == []


def test_a_layer_out_of_turn_is_made_anew(con):
    """When the marts have missed a reconciliation, they cannot know what they would have to take off."""
    land(con, "prestashop_orders", "id = 21", _DEARER)
    posted_side(con)
    models.run_models(con, select=["recon"], variables=volume.VARIABLES, follow=True)
    land(con, "prestashop_orders", "id = 22", _DEARER)
    posted_side(con)
    assert "marts.sold_documents" in follow(con)
    assert differing(con) == []


def test_figures_that_do_not_add_up_are_made_anew(con):
    """A sum that lost a row stays wrong however it is followed; the proof tells, and everything is made anew."""
    con.execute(
        "update recon.classes set objects = objects - 1 where objects = (select max(objects) from recon.classes)"
    )
    land(con, "prestashop_orders", "id = 21", _DEARER)
    posted_side(con)
    assert {"recon.classes", "recon.objects"} <= follow(con)
    assert con.execute("select count(*) from recon.conservation where not holds").fetchone() == (0,)
    assert differing(con) == []


def test_rules_look_at_what_was_made_again_and_at_nothing_else(con, monkeypatch):
    """What was right and is what it was is not looked at again; of the rest only the new rows are."""
    followed.evaluate(con, RULES)
    looked_at = []
    look = sql_engine._table
    monkeypatch.setattr(
        sql_engine,
        "_table",
        lambda cursor, table, rules: looked_at.append(table) or look(cursor, table, rules),
    )
    followed.evaluate(con, RULES)
    assert looked_at == []
    land(con, "prestashop_orders", "id = 21", _DEARER)
    posted_side(con)
    follow(con)
    followed.evaluate(con, RULES)
    assert {"news.after_recon_pairs", "news.after_marts_sold_lines"} <= set(looked_at)
    assert not {"recon.pairs", "recon.objects", "marts.sold_lines", "staging.quickbooks_documents"} & set(
        looked_at
    )


@pytest.mark.parametrize(
    ("relation", "broken"),
    [
        ("recon.pairs", "update {} set class = null where order_id = 21"),
        ("recon.shop_objects", "update {} set source_id = 30, source_type = 'order' where order_id = 21"),
        ("marts.sold_lines", "update {} set line_no = 1 where order_id = 21"),
        ("marts.profit_by_month", "update {} set income = income + 1"),
    ],
)
def test_a_row_that_was_made_again_wrongly_is_found(con, relation, broken):
    """Following has teeth: what is wrong with a new row is told as by a look at all rows, now and the next time."""
    followed.evaluate(con, RULES)
    land(con, "prestashop_orders", "id = 21", _DEARER)
    posted_side(con)
    follow(con)
    for table in (relation, partial.rows_made_again(relation)):
        if MODELS[relation].rows or table == relation:
            con.execute(broken.format(table))
    for _ in range(2):
        told = verdicts(followed.evaluate(con, RULES))
        assert [one for one in told if one[0] == relation and not one[2]]
        assert told == verdicts(sql_engine.evaluate(con, RULES))


@pytest.mark.parametrize(
    ("change", "made"),
    [
        ("update ledger.documents set doc_number = 'Q7-' || doc_number where order_id = 21", "recon.marks"),
        ("update ledger.documents set txn_date = txn_date - 900 where order_id = 1", "recon.marks"),
    ],
)
def test_what_all_documents_say_together_is_made_anew_when_one_says_something_else(con, change, made):
    """A prefix that comes, or a first day that is another, is seen in the rows that are news."""
    news.note(con, "ledger.documents", "select key from ledger.documents where order_id in (1, 21)")
    con.execute(change)
    assert made in follow(con)
    assert differing(con) == []


def test_a_word_that_nobody_says_any_more_is_gone(con):
    """A mark of rows that have all changed is not kept because it was there before."""
    con.execute("update ledger.documents set doc_number = 'Q7-1' where order_id = 21")
    news.note(con, "ledger.documents", "select key from ledger.documents where order_id = 21")
    follow(con)
    assert ("Q7-",) in con.execute("select value from recon.marks").fetchall()
    con.execute("update ledger.documents set doc_number = 'PS1-000021' where order_id = 21")
    news.note(con, "ledger.documents", "select key from ledger.documents where order_id = 21")
    assert "recon.marks" in follow(con)
    assert differing(con) == []


def test_numbers_are_looked_at_again_when_an_order_goes_to_another_shop(con):
    """Of orders the numbering heeds their shop alone."""
    land(con, "prestashop_orders", "id = 21", _DEARER)
    posted_side(con)
    assert "recon.numbering" not in follow(con)
    land(con, "prestashop_orders", "id = 21", "2 as id_shop")
    posted_side(con)
    assert "recon.numbering" in follow(con)
    assert differing(con) == []


def test_sums_are_made_of_rows_that_are_kept_before_and_after():
    """A model of sums reads no source: of what it was before only its own rows are known."""
    sums = [model for model in MODELS.values() if model.sums]
    assert sums
    for model in sums:
        for name in model.reads & partial.NARROWED.keys():
            pytest.fail(f"{model.name} reads {name}")
        for name in model.reads & MODELS.keys():
            assert MODELS[name].schema in partial.FOLLOWING, (model.name, name)


def test_nothing_is_made_of_what_came_over_the_wire():
    """The copies of raw rows leave it out."""
    for model in (MODELS[name] for name in OURS):
        assert not re.search(r"\b(payload|hash)\b", model.sql), model.name


def test_every_kind_of_document_of_the_books_is_followed():
    """A kind that staging learns to read must be followed too."""
    documents = MODELS["staging.quickbooks_documents"]
    read = {
        name
        for each in documents.reads & MODELS.keys()
        for name in MODELS[each].reads
        if name.startswith("raw.")
    }
    booked = {f"raw.quickbooks_{table}" for table in news.BOOKED.values()}
    assert read - {"raw.superseded", "raw.last_known", "raw.quickbooks_preferences"} == booked


def test_the_moment_counts_by_its_day_only():
    """A model is the same all day, so that it need not be made again because an hour has passed."""
    moment = re.compile(r"getvariable\('as_of'\)")
    by_day = re.compile(r"cast\(coalesce\(getvariable\('as_of'\), current_date\) as date\)")
    for model in (MODELS[name] for name in OURS):
        assert len(moment.findall(model.sql)) == len(by_day.findall(model.sql)), model.name
