"""What landing reads out of a QuickBooks object beyond its plain columns, once, so that no query parses JSON.

What lives here: the kinds of such columns, their DuckDB types and the SQL that makes them of the JSON or
text as received. What does not: which entity has which of them (``quickbooks.entities``) and the landing
itself (``raw``).
"""

from __future__ import annotations

from typing import NamedTuple


class Derived(NamedTuple):
    """A kind of column: its type, the SQL that makes it of ``{}``, and where the payload holds its text."""

    sql_type: str
    sql: str
    path: str


def read(kind: str, text: str) -> str:
    """The SQL for a column of ``kind`` from the SQL expression ``text``."""
    return DERIVED[kind].sql.replace("{}", text)


def read_payload(kind: str) -> str:
    """The SQL for a column of ``kind`` from the payload of its row."""
    return read(kind, f"(payload ->> '{DERIVED[kind].path}')")


_REF = '{"value": "VARCHAR", "name": "VARCHAR"}'
_LINES_JSON = f"""[{{
    "Id": "VARCHAR", "Amount": "DECIMAL(18,6)", "Description": "VARCHAR", "DetailType": "VARCHAR",
    "LinkedTxn": [{{"TxnId": "VARCHAR", "TxnType": "VARCHAR"}}],
    "SalesItemLineDetail": {{
        "ItemRef": {_REF}, "TaxCodeRef": {{"value": "VARCHAR"}}, "Qty": "DECIMAL(18,6)",
        "UnitPrice": "DECIMAL(18,7)", "TaxInclusiveAmt": "DECIMAL(18,6)"
    }},
    "DiscountLineDetail": {{"DiscountAccountRef": {_REF}}},
    "AccountBasedExpenseLineDetail": {{"AccountRef": {_REF}, "TaxCodeRef": {{"value": "VARCHAR"}}}},
    "DepositLineDetail": {{"AccountRef": {_REF}}},
    "JournalEntryLineDetail": {{
        "PostingType": "VARCHAR", "AccountRef": {_REF}, "TaxCodeRef": {{"value": "VARCHAR"}}
    }}
}}]"""


def _account(field: str) -> str:
    return f"""coalesce(
        l.AccountBasedExpenseLineDetail.AccountRef.{field}, l.DepositLineDetail.AccountRef.{field},
        l.JournalEntryLineDetail.AccountRef.{field}, l.DiscountLineDetail.DiscountAccountRef.{field}
    )"""


_LINE_FIELDS = {
    "line_id": ("varchar", "l.Id"),
    "detail_type": ("varchar", "coalesce(l.DetailType, 'LinkedTxn')"),
    "amount": ("decimal(18,6)", "l.Amount"),
    "item_id": ("varchar", "l.SalesItemLineDetail.ItemRef.value"),
    "item_name": ("varchar", "l.SalesItemLineDetail.ItemRef.name"),
    "tax_code_id": (
        "varchar",
        """coalesce(
            l.SalesItemLineDetail.TaxCodeRef.value, l.AccountBasedExpenseLineDetail.TaxCodeRef.value,
            l.JournalEntryLineDetail.TaxCodeRef.value
        )""",
    ),
    "quantity": ("decimal(18,6)", "l.SalesItemLineDetail.Qty"),
    "unit_price": ("decimal(18,7)", "l.SalesItemLineDetail.UnitPrice"),
    "tax_inclusive_amount": ("decimal(18,6)", "l.SalesItemLineDetail.TaxInclusiveAmt"),
    "description": ("varchar", "l.Description"),
    "account_id": ("varchar", _account("value")),
    "account_name": ("varchar", _account("name")),
    "posting_type": ("varchar", "l.JournalEntryLineDetail.PostingType"),
    "linked_type": ("varchar", "l.LinkedTxn[1].TxnType"),
    "linked_id": ("varchar", "l.LinkedTxn[1].TxnId"),
}

_TAX_LINES_JSON = """[{
    "Amount": "DECIMAL(18,6)",
    "TaxLineDetail": {
        "TaxRateRef": {"value": "VARCHAR"}, "TaxPercent": "DECIMAL(18,6)", "NetAmountTaxable": "DECIMAL(18,6)"
    }
}]"""

_TAX_FIELDS = {
    "tax_rate_id": ("varchar", "l.TaxLineDetail.TaxRateRef.value"),
    "rate": ("decimal(18,6)", "l.TaxLineDetail.TaxPercent"),
    "base": ("decimal(18,6)", "l.TaxLineDetail.NetAmountTaxable"),
    "amount": ("decimal(18,6)", "l.Amount"),
}


def _list(structure: str, fields: dict[str, tuple[str, str]], path: str) -> Derived:
    types = ", ".join(f"{name} {kind}" for name, (kind, _) in fields.items())
    values = ", ".join(f"'{name}': {sql}" for name, (_, sql) in fields.items())
    return Derived(
        f"struct({types})[]", f"list_transform(from_json({{}}, '{structure}'), lambda l: {{{values}}})", path
    )


def _said(name: str) -> str:
    """One entry of the machine line, which is written ``name:value,name:value``; empty where it lacks it."""
    return f"split_part(split_part(',' || split_part(split_part({{}}, 'ps:{{', 2), '}}', 1), ',{name}:', 2), ',', 1)"


DERIVED: dict[str, Derived] = {
    "document_lines": _list(_LINES_JSON, _LINE_FIELDS, "$.Line"),
    "tax_lines": _list(_TAX_LINES_JSON, _TAX_FIELDS, "$.TxnTaxDetail.TaxLine"),
    "machine_line": Derived(
        "struct(key varchar, hash varchar, order_id bigint)",
        f"""case when contains(split_part({{}}, 'ps:{{', 2), '}}') then {{
            'key': concat_ws(
                '|', {_said("i")}, coalesce(nullif({_said("role")}, ''), 'sale'),
                coalesce(nullif({_said("id")}, ''), {_said("o")}), coalesce(nullif({_said("rev")}, ''), '0')
            ),
            'hash': nullif({_said("h")}, ''),
            'order_id': try_cast({_said("o")} as bigint)
        }} end""",
        "$.PrivateNote",
    ),
}
"""The lines and the tax lines of a document, and what the machine line of its note says of its source."""
