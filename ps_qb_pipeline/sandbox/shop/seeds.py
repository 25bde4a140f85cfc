"""Where the first rows of a sandbox shop come from.

What lives here: the bundled shops, and any directory that holds ``<resource>.json`` lists. What does
not: the wholesaler's invoices (``retail``).

``boutique`` is a selection of orders that a real PrestaShop 9.1.4 computed; ``recorded`` is the union of
all rows that recorded reads of another one show. People in both are invented.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.sandbox.shop.resources import resources
from ps_qb_pipeline.sandbox.shop.tables import Row

Rows = dict[str, list[Row]]
#: What a shop cannot do without: without rows of these no order can be read, let alone made.
REFERENCE = (
    "carriers", "categories", "configurations", "contacts", "countries", "currencies", "groups", "languages",
    "order_states", "shop_groups", "shop_urls", "shops", "states", "tax_rule_groups", "tax_rules", "taxes", "zones",
)  # fmt: skip


Chunks = Iterable[tuple[str, Iterable[Row]]]


@dataclass(frozen=True, slots=True)
class Source:
    """How the first rows of a shop are made."""

    chunks: Callable[[], Chunks]
    """Gives (resource, rows), as often as it is called."""
    identity: str
    """The name by which a state file knows its shop again."""
    counts: Mapping[str, int]
    """What was made of the data and what was left out, known once the chunks were read."""


def source(
    shop: str, *, shop_dir: Path | None = None, retail_orders: int = 300, retail_data: Path | None = None
) -> Source:
    """The source of a shop's first rows.

    Errors:
        SettingsError: the shop is unknown, or a directory cannot be used.
    """
    if shop_dir is not None:
        rows = directory(shop_dir)
        return Source(lambda: directory(shop_dir).items(), f"{shop_dir.name} {fingerprint(rows)}", {})
    if shop == "retail":
        from ps_qb_pipeline.sandbox.shop.retail import Retail

        retail = Retail(retail_orders, retail_data)
        origin = "bundled" if retail_data is None else "whole"
        return Source(retail, f"retail {origin} {retail_orders} {retail.seed}", retail.counts)
    makers: dict[str, Callable[[], Rows]] = {
        "boutique": partial(bundled, "boutique"),
        "recorded": partial(bundled, "recorded"),
        "empty": empty,
    }
    if shop not in makers:
        raise SettingsError(f"shop {shop} is unknown; known are boutique, retail, recorded, empty")
    make = makers[shop]
    return Source(lambda: make().items(), f"{shop} {fingerprint(make())}", {})


@cache
def bundled(name: str) -> Rows:
    """Rows of a bundled shop; nobody changes them in place."""
    raw = files(__package__).joinpath(f"data/{name}.json.gz").read_bytes()
    rows: Rows = json.loads(gzip.decompress(raw))
    return rows


def empty() -> Rows:
    """A shop just set up: countries, taxes, states of orders, carriers, and no customer."""
    rows = bundled("recorded") | bundled("boutique")
    return {name: rows[name] for name in REFERENCE if name in rows}


def directory(path: Path) -> Rows:
    """Rows of a directory with ``<resource>.json`` lists, as the web service shows them.

    Errors:
        SettingsError: the directory or a list in it cannot be used.
    """
    known = resources()
    rows: Rows = {}
    for file in sorted(path.glob("*.json")):
        if file.stem not in known:
            continue
        try:
            content: Any = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(f"{error}; a list of rows as JSON is needed", where=str(file)) from error
        if isinstance(content, dict):
            content = next(iter(content.values()), [])
        if not isinstance(content, list):
            raise SettingsError(
                "holds no list of rows; a list of objects with an id is needed", where=str(file)
            )
        rows[file.stem] = content
    if not rows.get("orders") and not rows.get("order_states"):
        raise SettingsError(
            "holds no orders.json and no order_states.json; name a directory of <resource>.json lists",
            where=str(path),
        )
    return rows


def fingerprint(rows: Rows) -> str:
    """A short name for exactly these rows, by which a state file knows its shop again."""
    digest = sha256()
    for name in sorted(rows):
        digest.update(f"{name}:{len(rows[name])}:{json.dumps(rows[name][-1:], sort_keys=True)}".encode())
    return digest.hexdigest()[:16]
