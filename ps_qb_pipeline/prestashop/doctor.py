"""The examination of a shop before its first run.

What lives here: every check, each with what was found, whether it matters, and the way out. What does not:
how it is shown (``cli``), and the examination of the books.

The checks only read. None of them raises: whatever the shop does becomes a finding.
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from ps_qb_pipeline.errors import NotAShop, ShopError, ShopUnauthorized
from ps_qb_pipeline.prestashop.client import Shop
from ps_qb_pipeline.prestashop.cursors import zone
from ps_qb_pipeline.prestashop.pages import Pager, records
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.prestashop.rows import Record

Level = Literal["ok", "warning", "blocked"]
WRITE_RIGHTS = {"orders": "patch", "order_histories": "post", "messages": "post", "stock_availables": "patch"}
"""What writing back needs; nothing else needs more than GET."""
TESTED_VERSION = (9, 1)
_OLDEST_VERSION = (1, 7)
_SKEW_LIMIT = 120.0
_SAMPLE = 1_000
_ROUND_TYPES = {"1": "each article", "2": "each line", "3": "the total"}
_ROUND_MODES = {"0": "up", "1": "down", "2": "half up", "3": "half down", "4": "half even", "5": "half odd"}
_RIGHTS_WAY = "tick it for this key in Advanced Parameters > Webservice of the back office"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``way_out`` is empty when there is nothing to do."""

    name: str
    level: Level
    message: str
    way_out: str = ""


def examine(shop: Shop, *, sample: int = _SAMPLE) -> list[Check]:
    """Examines the shop; ``sample`` is how many of its newest orders are looked at."""
    reached = _reachable(shop)
    if any(check.level == "blocked" for check in reached):
        return reached
    checks = [*reached, *_rights(shop), *_clock(shop), *_transport(shop)]
    looks: Sequence[tuple[str, Callable[[], Iterable[Check]]]] = (
        ("settings", lambda: _settings(shop)),
        ("languages", lambda: _languages(shop)),
        ("shops", lambda: _shops(shop)),
        ("order states", lambda: _states(shop)),
        ("taxes", lambda: _taxes(shop)),
        ("SKUs", lambda: _skus(shop)),
        ("order references", lambda: _references(shop, sample)),
        ("page size", lambda: _page_size(shop)),
    )
    for name, look in looks:
        try:
            checks.extend(look())
        except ShopUnauthorized as error:
            checks.append(Check(name, "warning", f"could not be looked at: {error}", _RIGHTS_WAY))
        except ShopError as error:
            checks.append(
                Check(name, "blocked", str(error), "mend this first; the message says what the shop did")
            )
    return checks


def worst(checks: Iterable[Check]) -> int:
    """The exit code: 0 all good, 1 warnings, 2 blocked."""
    return max(({"ok": 0, "warning": 1, "blocked": 2}[check.level] for check in checks), default=0)


def _reachable(shop: Shop) -> list[Check]:
    try:
        shop.rights()
    except (NotAShop, ShopUnauthorized) as error:
        name = "key" if isinstance(error, ShopUnauthorized) else "address"
        return [
            Check(
                name,
                "blocked",
                str(error),
                "correct the connection's shop.url or the key's environment variable",
            )
        ]
    except ShopError as error:
        return [
            Check("reachable", "blocked", str(error), "bring the shop's web service up, then examine again")
        ]
    version = tuple(int(part) for part in shop.version.split(".")[:2] if part.isdigit())
    found = f"PrestaShop {shop.version} answers"
    if version < _OLDEST_VERSION:
        return [Check("version", "blocked", found, "PrestaShop 1.7 or newer is needed")]
    if version < TESTED_VERSION:
        return [Check("version", "warning", found, "only 9.1 was tested; try it on a copy of the shop first")]
    return [Check("version", "ok", found)]


def _rights(shop: Shop) -> list[Check]:
    allowed = shop.rights()
    missing = sorted(name for name in RESOURCES if "get" not in allowed.get(name, ()))
    unwritable = sorted(f"{m} {name}" for name, m in WRITE_RIGHTS.items() if m not in allowed.get(name, ()))
    more = sorted(name for name, methods in allowed.items() if methods - {"get"} and name not in WRITE_RIGHTS)
    checks = [
        Check("rights", "blocked", f"the key may not read: {', '.join(missing)}", f"GET: {_RIGHTS_WAY}")
        if missing
        else Check("rights", "ok", f"the key may read all {len(RESOURCES)} resources")
    ]
    if unwritable:
        text = f"writing back is not possible without: {', '.join(unwritable)}"
        checks.append(
            Check("write rights", "warning", text, f"only for notes, states and stock: {_RIGHTS_WAY}")
        )
    if more:
        text = (
            f"the key may also write {len(more)} resources that are never written: {', '.join(more[:5])}"
            + (", ..." if len(more) > 5 else "")
        )
        checks.append(Check("excess rights", "warning", text, "give the key no more rights than it needs"))
    return checks


def _clock(shop: Shop) -> list[Check]:
    if shop.clock_skew is None:
        return [
            Check(
                "clock",
                "warning",
                "the shop does not tell its time",
                "no Access-Time header: a proxy removes it",
            )
        ]
    skew = shop.clock_skew
    text = f"the shop's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    if abs(skew) > _SKEW_LIMIT:
        return [Check("clock", "warning", text, "synchronise both machines; changes are found all the same")]
    return [Check("clock", "ok", text)]


def _transport(shop: Shop) -> list[Check]:
    parts = urlsplit(shop.url)
    if parts.scheme == "https" or _is_private(parts.hostname or ""):
        return []
    text = "the address is plain http, so the key and every customer's data cross the network readable"
    return [Check("encryption", "warning", text, "switch on SSL in the shop and use https in shop.url")]


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host


def _all(shop: Shop, name: str) -> list[Record]:
    return records(Pager(shop).all_by_id(RESOURCES[name]))


def _settings(shop: Shop) -> Iterable[Check]:
    rows = _all(shop, "configurations")
    shared = {row.values["name"]: row.values["value"] for row in rows if row.values["id_shop"] is None}
    zones = sorted({row.values["value"] for row in rows if row.values["name"] == "PS_TIMEZONE"} - {""})
    yield from _zone_checks(zones)
    currencies = {row.id: row.values for row in _all(shop, "currencies")}
    default = shared.get("PS_CURRENCY_DEFAULT", "")
    currency = currencies.get(int(default)) if default.isdigit() else None
    if currency is None:
        text = "the default currency cannot be told"
        yield Check("default currency", "blocked", text, "set it in International > Localization")
    else:
        text = f"{currency['iso_code']}; {len(currencies)} currencies in all"
        yield Check("default currency", "ok", text)
    kind, mode = shared.get("PS_ROUND_TYPE", ""), shared.get("PS_PRICE_ROUND_MODE", "")
    if kind in _ROUND_TYPES and mode in _ROUND_MODES:
        yield Check("rounding", "ok", f"rounds {_ROUND_TYPES[kind]}, {_ROUND_MODES[mode]}")
    else:
        text = f"rounding type {kind or 'unset'}, mode {mode or 'unset'} is not one that PrestaShop documents"
        yield Check("rounding", "warning", text, "save Shop Parameters > General once")


def _zone_checks(zones: list[str]) -> Iterable[Check]:
    unknown = [name for name in zones if zone(name) is None]
    if not zones:
        text = "the time zone cannot be told, so a wide window is read each time"
        yield Check("time zone", "warning", text, "save it in International > Localization")
    elif unknown:
        text = f"{', '.join(unknown)} is not a time zone that this machine knows"
        yield Check(
            "time zone", "warning", text, "install time zone data (tzdata), or set another zone in the shop"
        )
    elif len(zones) > 1:
        text = f"the shops differ: {', '.join(zones)}; dates are taken as each shop wrote them"
        yield Check("time zone", "warning", text, "one zone for all shops makes days comparable")
    else:
        yield Check("time zone", "ok", zones[0])


def _languages(shop: Shop) -> Iterable[Check]:
    active = [row.values["iso_code"] for row in _all(shop, "languages") if row.values["active"]]
    level: Level = "ok" if active else "warning"
    yield Check(
        "languages", level, f"active: {', '.join(active) or 'none'}", "" if active else "activate a language"
    )


def _shops(shop: Shop) -> Iterable[Check]:
    found = [row for row in _all(shop, "shops") if not row.values["deleted"]]
    active = [f"{row.id} {row.values['name']}" for row in found if row.values["active"]]
    yield Check(
        "shops", "ok", f"{len(active)} active of {len(found)}: {', '.join(active[:5])}; all of them are read"
    )


def _states(shop: Shop) -> Iterable[Check]:
    states = [row.values for row in _all(shop, "order_states") if not row.values["deleted"]]
    counts = {
        flag: sum(bool(state[flag]) for state in states) for flag in ("paid", "logable", "invoice", "shipped")
    }
    text = ", ".join(f"{number} {flag}" for flag, number in counts.items()) + f", of {len(states)} states"
    if counts["paid"] and counts["invoice"]:
        yield Check("order states", "ok", text)
    else:
        way = "mark the states of paid orders as paid and with invoice in Shop Parameters > Order Settings > Statuses"
        yield Check("order states", "blocked", text, way)


def _taxes(shop: Shop) -> Iterable[Check]:
    rates = {row.id: row.values["rate"] for row in _all(shop, "taxes")}
    groups = {row.id: row.values for row in _all(shop, "tax_rule_groups")}
    live = {number for number, group in groups.items() if group["active"] and not group["deleted"]}
    rules = [row.values for row in _all(shop, "tax_rules") if row.values["id_tax_rules_group"] in live]
    untaxed = sum(not rule["id_tax"] for rule in rules)
    without = sorted({rule["id"] for rule in rules if rule["id_tax"] and rates.get(rule["id_tax"]) is None})
    empty = sorted(live - {rule["id_tax_rules_group"] for rule in rules})
    if without:
        text = f"{len(without)} tax rules without a rate: {_some(without)}"
        yield Check("taxes", "warning", text, "give each rule a tax in International > Taxes, or remove it")
    if empty:
        text = f"{len(empty)} tax rule groups without any rule: {_some(groups[number]['name'] for number in empty)}"
        yield Check(
            "taxes", "warning", text, "products in such a group are sold untaxed: check that this is meant"
        )
    if not without and not empty:
        yield Check("taxes", "ok", f"{len(rules)} rules in {len(live)} groups, {untaxed} of them say no tax")


def _skus(shop: Shop) -> Iterable[Check]:
    """Sellable things: the combinations of a product that has any, otherwise the product."""
    combinations = _all(shop, "combinations")
    parents = {row.values["id_product"] for row in combinations}
    products = [row for row in _all(shop, "products") if row.id not in parents and row.values["state"] != 0]
    sellable = [(f"product {row.id}", row.values["reference"].strip()) for row in products]
    sellable += [(f"combination {row.id}", row.values["reference"].strip()) for row in combinations]
    empty = [name for name, sku in sellable if not sku]
    counts = Counter(sku.casefold() for _, sku in sellable if sku)
    twice = sorted({sku for _, sku in sellable if counts[sku.casefold()] > 1})
    if empty:
        text = f"{len(empty)} of {len(sellable)} have no SKU: {_some(empty)}"
        yield Check(
            "empty SKUs",
            "warning",
            text,
            "they are told apart by their ids; give them references to use SKUs",
        )
    if twice:
        text = f"{len(twice)} SKUs stand for several products: {_some(twice)}"
        yield Check("duplicate SKUs", "warning", text, "make each reference unique, also across combinations")
    if not empty and not twice:
        yield Check("SKUs", "ok", f"{len(sellable)} products and combinations, each with a SKU of its own")


def _references(shop: Shop, sample: int) -> Iterable[Check]:
    orders = RESOURCES["orders"].slim("reference")
    found: list[Record] = []
    below: int | None = None
    while len(found) < sample:
        size = min(500, sample - len(found))
        keys = {} if below is None else {"id": f"<[{below}]"}
        page = shop.rows(orders, keys, sort="[id_DESC]", limit=size)
        found.extend(page.records)
        if page.size < size or not page.records:
            break
        below = page.records[-1].id
    counts = Counter(row.values["reference"] for row in found)
    shared = sorted(reference for reference, number in counts.items() if number > 1)
    text = f"{len(shared)} references among the newest {len(found)} orders stand for several orders"
    if shared:
        way = "such orders were split from one cart and share their payment; they are booked together"
        yield Check("order references", "ok", f"{text}: {_some(shared)}", way)
    else:
        yield Check("order references", "ok", text)


def _page_size(shop: Shop) -> Iterable[Check]:
    size = shop.page_size
    while True:
        began = time.monotonic()
        try:
            page = shop.rows(RESOURCES["orders"], {}, sort="[id_DESC]", limit=size, attempts=1)
        except ShopError as error:
            if not error.facts.get("smaller") or size == 1:
                raise
            size = max(1, size // 2)
            continue
        took = time.monotonic() - began
        text = f"{page.size} orders in one page in {took:.1f} s"
        if size == shop.page_size:
            yield Check("page size", "ok", text)
        else:
            way = f"set shop.page_size to {size}, or give PHP more memory (memory_limit) and time"
            yield Check("page size", "warning", f"pages of {shop.page_size} orders fail; {text}", way)
        return


def _some(names: Iterable[object], most: int = 5) -> str:
    listed = [str(name) for name in names]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
