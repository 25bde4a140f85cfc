"""The same matching two ways: ``python -m ps_qb_pipeline_tests.bench.matching sql|pandas FILE``.

What lives here: shop against ledger, expected documents against mirrored ones with their amounts, dates,
customers and tax by rate, and the count of every class, once by a SQL statement and once by pandas merges
over the same warehouse. What does not: making that warehouse (``volume``) and the models of reconciliation,
which do much more. Each way is a process of its own, so that its memory is its own. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb

from ps_qb_pipeline.warehouse.session import session
from ps_qb_pipeline_tests.bench.machine import peak_megabytes

_FRAMES = {
    "shop": """
        select 'order' as source_type, id as source_id, reference, total_paid_tax_incl as gross from staging.prestashop_orders
        union all select 'payment', id, order_reference, amount from staging.prestashop_order_payments
        union all select 'slip', id, null, total_products_tax_incl + total_shipping_tax_incl from staging.prestashop_order_slip""",
    "sources": "select source_type, source_id, status, reason, amount, document_key from ledger.sources",
    "documents": """
        select key, type, total, total_tax, currency, txn_date, customer_name, deposit_to, exchange_rate, home_total
        from ledger.documents""",
    "mirror": """
        select entity, id, source_key, total as books_total, total_tax as books_tax, currency as books_currency,
            txn_date as books_date, customer_name as books_customer, deposit_to_name as books_account,
            deleted or voided as dead
        from staging.quickbooks_documents""",
    "intents": "select key as intent_key, entity, qbo_id as id, state, amount as sent from control.intents",
    "taxes": "select document_key as key, rate, amount from ledger.taxes",
    "books_taxes": "select entity, id, rate, amount from staging.quickbooks_document_taxes",
}


def main() -> None:
    """Prints seconds, peak memory and the number of objects in each class."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=("sql", "pandas"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--home-currency", default="EUR")
    arguments = parser.parse_args()
    with session(arguments.file, owner="bench", reason="matching") as con:
        con.execute("set variable home_currency = $home", {"home": arguments.home_currency})
        # Loading pandas is not matching.
        if arguments.way == "pandas":
            import_module("pandas")
        started = time.perf_counter()
        classes = by_sql(con) if arguments.way == "sql" else by_pandas(con)
        seconds = round(time.perf_counter() - started, 2)
    print(json.dumps({"seconds": seconds, "peak_mb": peak_megabytes(), "classes": classes}))


def by_sql(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """One statement, amounts exact."""
    frames = ", ".join(f"{name} as ({sql})" for name, sql in _FRAMES.items())
    return dict(con.execute(f"with {frames}, {_MATCHED}").fetchall())


_MATCHED = """
    claims as (select mirror.*, coalesce(intent_key, source_key) as key from mirror left join intents using (entity, id)),
    ours as (select key, rate, sum(amount) as amount from taxes group by all),
    theirs as (
        select key, rate, sum(amount) as amount from books_taxes inner join claims using (entity, id) group by all
    ),
    different as (
        select distinct key from ours full outer join theirs using (key, rate)
        where coalesce(ours.amount, 0) <> coalesce(theirs.amount, 0)
    ),
    pairs as (
        select key, claims.id is not null as in_books, case
            when documents.key is null then 'ORPHAN_IN_QBO'
            when claims.key is null or coalesce(dead, false) then 'MISSING_IN_QBO'
            when currency <> books_currency then 'CURRENCY_DIFF'
            when total <> books_total then 'AMOUNT_GROSS_DIFF'
            when total_tax <> coalesce(books_tax, 0) then 'AMOUNT_TAX_DIFF'
            when different.key is not null then 'AMOUNT_TAX_DIFF'
            when customer_name <> books_customer then 'CUSTOMER_DIFF'
            when coalesce(deposit_to, '') <> coalesce(books_account, '') then 'ACCOUNT_DIFF'
            when txn_date <> books_date then 'DATE_DIFF'
            else 'matched'
        end as class
        from documents full outer join claims using (key) left join different using (key)
    ),
    objects as (
        select if(status = 'postable', class, 'not_postable:' || coalesce(reason, '')) as class
        from shop full outer join sources using (source_type, source_id)
        left join pairs on sources.document_key = pairs.key
    )
    select 'books ' || class, count(*) from pairs where in_books group by all
    union all
    select 'shop ' || class, count(*) from objects group by all
    order by all
"""


def by_pandas(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """The same with data frames and merges, amounts as floats, as most scripts have them."""
    import numpy as np
    import pandas as pd

    frames = {name: con.execute(sql).df() for name, sql in _FRAMES.items()}
    claims = frames["mirror"].merge(frames["intents"], on=["entity", "id"], how="left")
    claims["key"] = claims["intent_key"].fillna(claims["source_key"])
    pairs = frames["documents"].merge(claims, on="key", how="outer", indicator=True)
    different_tax = _tax_differences(frames, claims)
    known = pairs["_merge"] == "both"
    pairs["class"] = np.select(
        [
            pairs["_merge"] == "right_only",
            ~known | pairs["dead"].fillna(False).astype(bool),
            pairs["currency"] != pairs["books_currency"],
            (pairs["total"] - pairs["books_total"]).abs() > 0.005,
            (pairs["total_tax"] - pairs["books_tax"].fillna(0)).abs() > 0.005,
            pairs["key"].isin(different_tax),
            pairs["customer_name"] != pairs["books_customer"],
            pairs["deposit_to"].fillna("") != pairs["books_account"].fillna(""),
            pd.to_datetime(pairs["txn_date"]) != pd.to_datetime(pairs["books_date"]),
        ],
        ["ORPHAN_IN_QBO", "MISSING_IN_QBO", "CURRENCY_DIFF", "AMOUNT_GROSS_DIFF", "AMOUNT_TAX_DIFF",
         "AMOUNT_TAX_DIFF", "CUSTOMER_DIFF", "ACCOUNT_DIFF", "DATE_DIFF"],
        "matched",
    )  # fmt: skip
    objects = frames["shop"].merge(frames["sources"], on=["source_type", "source_id"], how="outer")
    objects = objects.merge(
        pairs[["key", "class"]], left_on="document_key", right_on="key", how="left", suffixes=("", "_pair")
    )
    reason = "not_postable:" + objects["reason"].fillna("")
    objects["class"] = objects["class"].where(objects["status"] == "postable", reason)
    counted = {f"shop {name}": int(count) for name, count in objects["class"].value_counts().items()}
    in_books = pairs[pairs["_merge"] != "left_only"]["class"].value_counts()
    return dict(sorted((counted | {f"books {name}": int(count) for name, count in in_books.items()}).items()))


def _tax_differences(frames: dict[str, Any], claims: Any) -> Any:
    """Keys of the documents whose tax differs at some rate."""
    ours = frames["taxes"].groupby(["key", "rate"], as_index=False)["amount"].sum()
    theirs = frames["books_taxes"].merge(claims[["entity", "id", "key"]], on=["entity", "id"])
    theirs = theirs.groupby(["key", "rate"], as_index=False)["amount"].sum()
    both = ours.merge(theirs, on=["key", "rate"], how="outer", suffixes=("", "_books")).fillna(0)
    return both.loc[(both["amount"] - both["amount_books"]).abs() > 0.005, "key"]


if __name__ == "__main__":
    main()
