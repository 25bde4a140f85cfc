"""The table of mirrored entities: typed columns out of QuickBooks' JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ps_qb_pipeline.quickbooks.entities import CDC_ENTITIES, ENTITIES, typed

RECEIPT = {
    "Id": "7",
    "SyncToken": "3",
    "MetaData": {"CreateTime": "2026-01-15T10:00:00-08:00", "LastUpdatedTime": "2026-01-15T10:00:01-0800"},
    "DocNumber": "PS1-7",
    "TxnDate": "2026-01-15",
    "CurrencyRef": {"value": "EUR", "name": "Euro"},
    "ExchangeRate": Decimal("1.123456789"),
    "TotalAmt": 30,
    "TxnTaxDetail": {"TotalTax": Decimal("5.00"), "TaxLine": [{"Amount": 5}]},
    "Line": [{"Id": "1"}],
    "DepositToAccountRef": {"value": "35"},
}


def test_values_are_typed():
    """Dates are dates, amounts Decimal, times aware and in UTC, lists as they are, absent None."""
    values = ENTITIES["SalesReceipt"].values(RECEIPT)
    assert values["txn_date"] == date(2026, 1, 15)
    assert values["total"] == Decimal(30)
    assert values["total_tax"] == Decimal("5.00")
    assert values["created_at"] == datetime(2026, 1, 15, 18, tzinfo=UTC)
    assert values["updated_at"] == datetime(2026, 1, 15, 18, 0, 1, tzinfo=UTC)
    assert values["exchange_rate"] == Decimal("1.123457")
    assert (values["currency"], values["deposit_to_id"], values["deposit_to_name"]) == ("EUR", "35", None)
    assert values["lines"] == [{"Id": "1"}]
    assert values["due_date"] is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("x", "decimal"),
        ("2026-13-01", "date"),
        ("soon", "timestamptz"),
        ("a", "int"),
        (5, "json"),
        ("NaN", "decimal"),
    ],
)
def test_what_cannot_be_read_is_none(value, kind):
    """A strange value does not stop the mirror; the payload keeps it."""
    assert typed(value, kind) is None


def test_every_table_and_column_is_named_once():
    """Tables are unique, and no column takes a name that landing adds."""
    tables = [entity.table for entity in ENTITIES.values()]
    assert len(tables) == len(set(tables))
    reserved = {"id", "connection", "payload", "hash", "fetched_at", "landing_id", "deleted_at_source"}
    for entity in ENTITIES.values():
        assert not reserved & set(entity.columns)


def test_what_change_data_capture_does_not_report_is_not_asked_of_it():
    """The contract's list of unsupported entities."""
    assert {"TaxCode", "TaxRate", "TaxAgency"}.isdisjoint(CDC_ENTITIES)
    assert {"SalesReceipt", "Invoice", "Payment", "RefundReceipt", "CreditMemo", "Customer", "Item"} <= set(
        CDC_ENTITIES
    )


def test_exchange_rates_are_kept_by_currency_and_day():
    """They have no Id."""
    row = {"SourceCurrencyCode": "USD", "TargetCurrencyCode": "EUR", "AsOfDate": "2026-11-23", "Rate": 1}
    assert ENTITIES["ExchangeRate"].identity(row) == "USD|EUR|2026-11-23"
