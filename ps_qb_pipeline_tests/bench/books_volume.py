"""The books of a generated shop: every document of its ledger, as QuickBooks would give it back.

What lives here: landed raw rows of the company, made from ``ledger.*`` inside DuckDB, and the intents
that posting would have left. What does not: the shop itself (``shop_volume``).
"""

from __future__ import annotations

import duckdb

from ps_qb_pipeline.quickbooks.entities import ENTITIES
from ps_qb_pipeline.warehouse import raw
from ps_qb_pipeline.warehouse.derived import DERIVED, read_payload

_NAMES = {
    "Preferences": """
        select '1' as id, 'EUR' as home_currency, true as multi_currency, true as using_sales_tax, true as custom_txn_numbers""",
    "CompanyInfo": "select '1' as id, 'Bench' as company_name, 'FR' as country",
    "Account": """
        select
            (row_number() over (order by name))::varchar as id, string_split(name, ':')[-1] as name,
            name as fully_qualified_name, true as active, 'Bank' as account_type, 'EUR' as currency
        from (
            select distinct deposit_to as name from ledger.documents where deposit_to <> ''
            union select 'Sales of goods' union select 'Shipping income' union select 'Rounding differences'
        )""",
    "Item": """
        select
            id, name, name as fully_qualified_name, sku, 'NonInventory' as type, true as active,
            (select id from raw.quickbooks_accounts where name = 'Sales of goods') as income_account_id,
            'Sales of goods' as income_account_name
        from bench_items""",
    "Customer": """
        select id, name as display_name, name as fully_qualified_name, currency, true as active from bench_customers""",
    "TaxCode": """
        select
            'T' || row_number() over (order by code) as id, code as name, true as active, true as taxable,
            to_json([{TaxRateRef: {value: 'R-' || code}}]) as sales_tax_rates
        from (select distinct tax_code as code from ledger.lines where tax_code <> '')""",
    "TaxRate": """
        select 'R-' || code as id, code as name, rate as rate_value, true as active
        from (select code, max(rate) as rate from ledger.taxes group by code)""",
}

_SALE = """
    select
        documents.number::varchar as id, documents.doc_number, documents.txn_date, documents.due_date,
        documents.currency, coalesce(documents.exchange_rate, 1) as exchange_rate, documents.private_note,
        documents.total, documents.total_tax, coalesce(documents.home_total, documents.total) as home_total,
        documents.balance, documents.global_tax, customers.id as customer_id, customers.name as customer_name,
        accounts.id as deposit_to_id, documents.deposit_to as deposit_to_name, lines.line, taxes.tax_line
    from bench_documents as documents
    left join bench_customers as customers on documents.customer_key = customers.key
    left join raw.quickbooks_accounts as accounts on documents.deposit_to = accounts.fully_qualified_name
    left join bench_line_json as lines on documents.key = lines.document_key
    left join bench_tax_json as taxes on documents.key = taxes.document_key
    where documents.type = '{type}'
"""

_PAYMENT = """
    select
        documents.number::varchar as id, documents.doc_number as payment_ref_num, documents.txn_date, documents.currency,
        coalesce(documents.exchange_rate, 1) as exchange_rate, documents.private_note, documents.total,
        documents.unapplied, customers.id as customer_id, customers.name as customer_name,
        accounts.id as deposit_to_id, documents.deposit_to as deposit_to_name,
        to_json(list_transform(applied.parts, lambda part: {
            Amount: part.amount, LinkedTxn: [{TxnId: part.number::varchar, TxnType: part.type}]
        })) as line, null::json as tax_line
    from bench_documents as documents
    left join bench_customers as customers on documents.customer_key = customers.key
    left join raw.quickbooks_accounts as accounts on documents.deposit_to = accounts.fully_qualified_name
    left join (
        select applied.document_key, list({amount: applied.amount, number: target.number, type: target.type}) as parts
        from ledger.applied as applied inner join bench_documents as target on applied.to_key = target.key
        group by applied.document_key
    ) as applied on documents.key = applied.document_key
    where documents.type = 'Payment'
"""


def land_books(con: duckdb.DuckDBPyConnection) -> None:
    """Fills ``raw.quickbooks_*`` and ``control.intents`` with books that agree with the ledger in every cent."""
    for entity in ENTITIES.values():
        raw.create_table(con, f"raw.quickbooks_{entity.table}", entity.types, id_type="text")
    _facts(con)
    for name, sql in _NAMES.items():
        _land(con, ENTITIES[name].table, sql)
    _json(con)
    for name in ("SalesReceipt", "Invoice", "RefundReceipt", "CreditMemo"):
        _land(con, ENTITIES[name].table, _SALE.replace("{type}", name))
    _land(con, "payments", _PAYMENT)
    con.execute(
        """
        insert into control.intents by name
        select
            key, type as entity, role, source_id, revision, doc_number, 'CONFIRMED' as state, number::varchar as qbo_id,
            '0' as sync_token, 1 as attempts, 'bench' as run_id, 'create' as operation, total as amount, currency
        from bench_documents
        """
    )
    for name in ("customers", "items", "documents", "line_json", "tax_json"):
        con.execute(f"drop table bench_{name}")


def _facts(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        """
        create or replace temp table bench_customers as
        select 'C' || row_number() over (order by key) as id, key, display_name as name, currency from ledger.customers;
        create or replace temp table bench_items as
        select 'I' || row_number() over (order by key) as id, key, name, sku
        from (
            select key, name, sku from ledger.items
            union all
            select distinct item, item, '' from ledger.lines where item not in (select key from ledger.items)
        );
        create or replace temp table bench_documents as
        with settled as (select to_key, sum(amount) as amount from ledger.applied group by to_key)
        select
            documents.*, row_number() over (order by key) as number,
            if(type = 'Invoice', total - coalesce(settled.amount, 0), 0) as balance
        from ledger.documents as documents left join settled on documents.key = settled.to_key
        """
    )


def _json(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        """
        create or replace temp table bench_line_json as
        select document_key, to_json(list({
            Id: line_no::varchar, Amount: lines.amount, Description: lines.description, DetailType: 'SalesItemLineDetail',
            SalesItemLineDetail: {
                ItemRef: {value: items.id, name: items.name}, TaxCodeRef: {value: codes.id}, Qty: lines.quantity,
                UnitPrice: lines.unit_price
            }
        } order by line_no)) as line
        from ledger.lines as lines
        left join bench_items as items on lines.item = items.key
        left join raw.quickbooks_tax_codes as codes on lines.tax_code = codes.name
        group by document_key;
        create or replace temp table bench_tax_json as
        select document_key, to_json(list({
            Amount: amount, DetailType: 'TaxLineDetail',
            TaxLineDetail: {TaxRateRef: {value: 'R-' || code}, TaxPercent: rate, NetAmountTaxable: base}
        })) as tax_line
        from ledger.taxes group by document_key
        """
    )


def _land(con: duckdb.DuckDBPyConnection, table: str, sql: str) -> None:
    kinds = next(entity.types for entity in ENTITIES.values() if entity.table == table)
    payload, made = "to_json(rows)", "*"
    if "lines" in kinds:
        payload = """json_object(
            'Id', id, 'Line', line, 'TxnTaxDetail', json_object('TaxLine', tax_line), 'PrivateNote', private_note,
            'TxnDate', txn_date, 'TotalAmt', total
        )"""
        derived = [f"{read_payload(kind)} as {name}" for name, kind in kinds.items() if kind in DERIVED]
        made = ", ".join(["* exclude (line, tax_line)", *derived])
    con.execute(
        f"""
        insert into raw.quickbooks_{table} by name
        select {made}
        from (
            select 'bench' as connection, rows.*, '0' as sync_token, md5(rows.id) as hash, false as deleted_at_source,
                timestamptz '2026-01-01 00:00:00+00' as fetched_at, row_number() over (order by rows.id) as landing_id,
                timestamptz '2026-01-01 00:00:00+00' as updated_at, {payload} as payload
            from ({sql}) as rows
        )
        """
    )
