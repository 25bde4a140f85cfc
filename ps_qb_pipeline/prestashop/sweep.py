"""The nightly sweep: what no cursor can see.

What lives here: the comparison of a shop with what was landed of it: ids that are missing on either side,
amounts that changed without a trace, and the whole of the last days read again. What does not: the reading of
changes as they show (``extract``).

Deletions are never announced, and a shop whose database fails answers with an empty list. So an id counts as
deleted only after it was asked for by itself, and when many vanish at once none does: a person looks first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from ps_qb_pipeline.prestashop.client import Shop
from ps_qb_pipeline.prestashop.cursors import CursorStore, wall_time
from ps_qb_pipeline.prestashop.extract import CATALOGUE, REFERENCE, Extraction, ExtractResult, Warehouse
from ps_qb_pipeline.prestashop.pages import FAR_FUTURE, records
from ps_qb_pipeline.prestashop.resources import RESOURCES, Resource
from ps_qb_pipeline.prestashop.rows import Record

_LOG = logging.getLogger(__name__)

SWEPT = (
    "orders",
    "order_details",
    "order_payments",
    "order_slip",
    "order_invoices",
    "order_histories",
    "order_carriers",
    "order_cart_rules",
    "customers",
    "addresses",
    "products",
    *CATALOGUE,
    *REFERENCE,
)
"""Every resource whose ids are compared."""
COMPARED = {
    "orders": ("date_add", "total_paid_tax_incl", ("current_state", "total_paid_real")),
    "order_payments": ("date_add", "amount", ("order_reference",)),
    "order_slip": ("date_add", "total_products_tax_incl", ("id_order", "total_shipping_tax_incl")),
}
"""Date, amount and other columns that are compared for the last three months, row by row and summed by day."""
LINE_COLUMNS = ("id_order", "total_price_tax_incl", "product_quantity", "product_quantity_refunded")
_FEW = 20
_SHARE = Decimal("0.1")
_MOST = 200


class SweptWarehouse(Warehouse, Protocol):
    """A warehouse that can also be read back."""

    def values(self, name: str, columns: Sequence[str], ids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        """The newest values of ``columns`` of the rows ``ids`` of ``name`` that are not deleted."""


@dataclass(frozen=True, slots=True)
class DayCheck:
    """One day of one resource: rows and amount in the shop, and of the same rows as they had landed."""

    resource: str
    day: date
    rows: int
    amount: Decimal
    landed_rows: int
    landed_amount: Decimal

    @property
    def agrees(self) -> bool:
        """Whether nothing was missed on this day."""
        return (self.rows, self.amount) == (self.landed_rows, self.landed_amount)


@dataclass(slots=True)
class SweepResult:
    """What a sweep found, and what it read because of it (``extracted``)."""

    extracted: ExtractResult
    missing: dict[str, list[int]] = field(default_factory=dict)
    """Ids that the shop has and that had not landed; they have now, unless they cannot be read."""
    deleted: dict[str, list[int]] = field(default_factory=dict)
    """Ids that had landed and that the shop no longer has; landed as deletions."""
    silent: dict[str, list[int]] = field(default_factory=dict)
    """Ids whose values differ from what had landed, though no cursor showed a change."""
    days: list[DayCheck] = field(default_factory=list)
    suspicions: list[str] = field(default_factory=list)
    """What a person should look at before anything is believed."""


def sweep(
    shop: Shop,
    cursors: CursorStore,
    warehouse: SweptWarehouse,
    *,
    rehash_days: int = 7,
    compare_days: int = 90,
) -> SweepResult:
    """Finds what the cursors missed and lands it. Run it when no extraction runs, after one has completed.

    Compares the ids of every resource, the amounts of the last ``compare_days``, and reads the orders of the
    last ``rehash_days`` whole. Raises a ``ShopError`` when the shop cannot be read.
    """
    run = Extraction(shop, cursors, warehouse)
    began, sent = time.monotonic(), shop.requests
    result = SweepResult(run.result)
    run.prepare(max_age=0)
    concerned = _compare_ids(run, warehouse, result)
    today = min(wall_time(run.now, one) for one in run.zones)
    concerned |= _compare_amounts(run, warehouse, result, today - timedelta(days=compare_days))
    concerned |= _recent_orders(run, today - timedelta(days=rehash_days))
    run.land_pages(RESOURCES["products"], run.pager.all_by_id(RESOURCES["products"]))
    vanished = set(result.deleted.get("orders", ()))
    run.read_orders(concerned - vanished, {})
    run.result.requests = shop.requests - sent
    run.result.seconds = time.monotonic() - began
    return result


def _compare_ids(run: Extraction, warehouse: SweptWarehouse, result: SweepResult) -> set[int]:
    """Lands what is on one side only; returns the orders that it belongs to."""
    concerned: set[int] = set()
    for name in SWEPT:
        resource = RESOURCES[name]
        known = warehouse.known(name)
        there = {number for found in run.pager.existing(resource) for number in found}
        missing, gone = sorted(there - known.keys()), sorted(known.keys() - there)
        if missing:
            rows = run.land_pages(resource, run.pager.by_values(resource, "id", missing), keep=True)
            concerned |= orders_of(run, resource, rows)
            result.missing[name] = missing
        if gone:
            concerned |= _confirm_deleted(run, warehouse, result, resource, gone, len(known))
    return concerned


def _confirm_deleted(
    run: Extraction,
    warehouse: SweptWarehouse,
    result: SweepResult,
    resource: Resource,
    gone: list[int],
    known: int,
) -> set[int]:
    if len(gone) > min(_MOST, max(_FEW, int(known * _SHARE))):
        result.suspicions.append(
            f"{resource.name}: {len(gone)} of {known} known rows are gone from the shop at once, so none was marked as "
            "deleted; look whether the shop answers in full (database, shop restored from a backup, rights of the key)"
        )
        return set()
    really = sorted(run.confirmed_gone(resource, gone))
    if len(really) < len(gone):
        _LOG.info("%s: %d rows are hidden from lists and still there", resource.name, len(gone) - len(really))
    concerned: set[int] = set()
    if really and resource.parent:
        parents = {
            row[0] for row in warehouse.values(resource.name, (resource.parent,), really).values() if row[0]
        }
        concerned = _orders_by_reference(run, parents) if resource.parent == "order_reference" else parents
    run.land_deleted(resource, really)
    if really:
        result.deleted[resource.name] = really
    return concerned


def _compare_amounts(
    run: Extraction, warehouse: SweptWarehouse, result: SweepResult, since: datetime
) -> set[int]:
    """Compares rows since ``since`` (shop-local), line by line; returns the orders of those that differ."""
    concerned: set[int] = set()
    window = {"date_add": f"[{since:%Y-%m-%d %H:%M:%S},{FAR_FUTURE}]"}
    for name, (day_column, amount_column, others) in COMPARED.items():
        resource = RESOURCES[name].slim(day_column, amount_column, *others)
        rows = records(run.pager.all_by_id(resource, filters=window))
        landed = _landed(warehouse, resource, rows)
        result.days += _by_day(name, rows, landed, resource, day_column, amount_column)
        concerned |= _note_silent(run, result, resource, rows, landed)
        if name == "orders" and rows:
            lines = RESOURCES["order_details"].slim(*LINE_COLUMNS)
            span = {"id_order": f"[{min(row.id for row in rows)},{max(row.id for row in rows)}]"}
            found = records(run.pager.all_by_id(lines, filters=span))
            concerned |= _note_silent(run, result, lines, found, _landed(warehouse, lines, found))
    return concerned


def _landed(
    warehouse: SweptWarehouse, resource: Resource, rows: Sequence[Record]
) -> dict[int, tuple[Any, ...]]:
    columns = [name for name in resource.columns if name != "id"]
    return warehouse.values(resource.name, columns, [row.id for row in rows]) if rows else {}


def _note_silent(
    run: Extraction,
    result: SweepResult,
    resource: Resource,
    rows: Sequence[Record],
    landed: Mapping[int, tuple[Any, ...]],
) -> set[int]:
    columns = [name for name in resource.columns if name != "id"]
    changed = [
        row for row in rows if row.id in landed and tuple(row.values[c] for c in columns) != landed[row.id]
    ]
    if changed:
        result.silent[resource.name] = sorted(row.id for row in changed)
        whole = RESOURCES[resource.name]
        run.land_pages(whole, run.pager.by_values(whole, "id", [row.id for row in changed]))
    return orders_of(run, resource, changed)


def _by_day(
    name: str,
    rows: Iterable[Record],
    landed: Mapping[int, tuple[Any, ...]],
    resource: Resource,
    day_column: str,
    amount_column: str,
) -> list[DayCheck]:
    columns = [column for column in resource.columns if column != "id"]
    at = columns.index(amount_column)
    days: dict[date, list[Any]] = {}
    for row in rows:
        if row.values[day_column] is None:
            continue
        sums = days.setdefault(row.values[day_column].date(), [0, Decimal(0), 0, Decimal(0)])
        sums[0] += 1
        sums[1] += row.values[amount_column] or 0
        if row.id in landed:
            sums[2] += 1
            sums[3] += landed[row.id][at] or 0
    return [DayCheck(name, day, *sums) for day, sums in sorted(days.items())]


def _recent_orders(run: Extraction, since: datetime) -> set[int]:
    orders = RESOURCES["orders"]
    found: set[int] = set()
    for column in ("date_add", "date_upd"):
        window = {column: f"[{since:%Y-%m-%d %H:%M:%S},{FAR_FUTURE}]"}
        found |= {number for ids in run.pager.existing(orders, window) for number in ids}
    return found


def orders_of(run: Extraction, resource: Resource, rows: Sequence[Record]) -> set[int]:
    """The orders that ``rows`` of ``resource`` belong to; none for rows that belong to no order."""
    if resource.name == "orders":
        return {row.id for row in rows}
    if resource.parent == "id_order":
        return {row.values["id_order"] for row in rows} - {None, 0}
    if resource.parent == "order_reference":
        return _orders_by_reference(run, {row.values["order_reference"] for row in rows})
    return set()


def _orders_by_reference(run: Extraction, references: set[str]) -> set[int]:
    orders = RESOURCES["orders"].slim("reference")
    return {row.id for row in records(run.pager.by_values(orders, "reference", references - {""}))}
