"""Makes the sandbox shop's bundled data from recordings and from a corpus of orders.

What lives here: the only way in which the files of ``ps_qb_pipeline/sandbox/shop/data`` are made, so
that they can be made again. What does not: anything that the shop needs while it runs.

    python -m ps_qb_pipeline_tests.sandbox.shop.bundle RECORDINGS CORPUS RETAIL

RECORDINGS is a directory of recorded calls of the web service, CORPUS one that holds
``webservice/<resource>.json`` and ``index.json`` (order id to tags), RETAIL one with the parquet files of
"Online Retail".
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from ps_qb_pipeline.sandbox.shop.retail_lines import read

DATA = Path(__file__).parents[3] / "ps_qb_pipeline" / "sandbox" / "shop" / "data"
HREF = "{http://www.w3.org/1999/xlink}href"

#: Index whose order a list without ``sort`` follows, where it is not the id.
NATURAL = {
    "carts": "id_customer",
    "combinations": "id_product",
    "order_payments": "order_reference",
    "order_slip": "id_customer",
    "order_states": "module_name",
    "products": "id_tax_rules_group",
    "states": "id_country",
    "stock_movements": "id_stock",
    "tax_rules": "id_tax_rules_group",
}
#: Fields that the core knows and never shows.
HIDDEN = {"order_details": ["tax_rate", "tax_name"]}
#: How a resource belongs to shops: by a column of its own, or by a table beside it.
SHOP_COLUMN = ("carts", "customers", "customer_threads", "orders")
INSTALLED = "2026-11-23 01:26:10"
#: Classes that the core's messages name, where they do not follow from the node.
CLASSES = {
    "product_options": "AttributeGroup",
    "product_option_values": "ProductAttribute",
    "stock_movements": "StockMvtWS",
    "stock_movement_reasons": "StockMvtReason",
    "tax_rule_groups": "TaxRulesGroup",
}
SHOP_TABLE = (
    "products",
    "combinations",
    "categories",
    "carriers",
    "countries",
    "currencies",
    "languages",
    "contacts",
)
FORBIDDEN = {
    "stock_availables": ["POST", "DELETE"],
    "stock_movements": ["PUT", "POST", "PATCH", "DELETE"],
    "stocks": ["PUT", "POST", "PATCH", "DELETE"],
    "search": ["PUT", "POST", "PATCH", "DELETE"],
    "warehouses": ["DELETE"],
}


def main(recordings: Path, corpus: Path, retail: Path) -> None:
    """Write every bundled file."""
    corpus_rows = read_corpus(corpus / "webservice")
    rows = union_of_rows(recordings)
    resources = resource_tables(recordings, {r: [*rows[r].values(), *corpus_rows.get(r, [])] for r in rows})
    (DATA / "resources.json").write_text(one_field_a_line(resources), encoding="utf-8")
    write_rows("recorded", recorded_shop(recordings, rows))
    index = json.loads((corpus / "index.json").read_text(encoding="utf-8"))
    write_rows("boutique", boutique(corpus_rows, index, rows))
    write_retail(retail)


# ------------------------------------------------------------------------------------ resources


def resource_tables(recordings: Path, rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Resource name to its nodes, fields and associations, as the schemas and the full lists show them."""
    links = field_links(recordings)
    root = ET.parse(recordings / "_transport" / "root_xml.xml").getroot()[0]
    tables: dict[str, Any] = {}
    for node in root:
        name = node.tag
        entry: dict[str, Any] = {"description": (node[0].text or "").strip()}
        if name in FORBIDDEN:
            entry["forbidden"] = FORBIDDEN[name]
        if name.startswith("supply_order") or name == "warehouse_product_locations":
            entry["forbidden"] = ["PUT", "POST", "PATCH", "DELETE"]
        if len(node) == 1:
            entry["special"] = True
        synopsis = recordings / name / "schema_synopsis.xml"
        if name != "images" and synopsis.exists():
            entry |= one_resource(
                name, ET.parse(synopsis).getroot()[0], recordings, links, rows.get(name, [])
            )
        tables[name] = entry
    return tables


def one_resource(
    name: str,
    synopsis: ET.Element,
    recordings: Path,
    links: dict[tuple[str, str], str],
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    """Nodes, fields and associations of one resource."""
    wrapper = ET.parse(recordings / name / "list_bare.xml").getroot()[0].tag
    node = synopsis.tag
    entry: dict[str, Any] = {"list": wrapper, "node": node, "fields": [], "associations": []}
    if name in NATURAL:
        entry["natural"] = NATURAL[name]
    if name in HIDDEN:
        entry["hidden"] = HIDDEN[name]
    if name in CLASSES:
        entry["class"] = CLASSES[name]
    if name in SHOP_COLUMN:
        entry["shops"] = "column"
    elif name in SHOP_TABLE:
        entry["shops"] = "table"
    for child in synopsis:
        if child.tag == "associations":
            entry["associations"] = [one_association(node, item, links) for item in child]
            continue
        entry["fields"].append(one_field(node, child, links, [r[child.tag] for r in rows if child.tag in r]))
    return entry


def one_field(
    node: str, child: ET.Element, links: dict[tuple[str, str], str], values: list[Any]
) -> dict[str, Any]:
    """One field: kind of column, and what the synopsis says of it."""
    field: dict[str, Any] = {"name": child.tag}
    i18n = len(child) > 0
    field["kind"] = "i18n" if i18n else kind_of(child.tag, child.get("format"), values)
    for attribute, key in (("format", "format"), ("maxSize", "size")):
        if child.get(attribute):
            field[key] = child.get(attribute)
    for attribute, key in (("required", "required"), ("readOnly", "read_only"), ("notFilterable", "dynamic")):
        if child.get(attribute) == "true":
            field[key] = True
    unset = empty_value(values)
    if unset is not UNKNOWN and not i18n:
        field["unset"] = unset
    if (node, child.tag) in links:
        field["link"] = links[node, child.tag]
    return field


def empty_value(values: list[Any]) -> Any:
    """What the column shows when nobody set it: its commonest empty value; without one, nothing is known."""
    empty = Counter(
        json.dumps(v) for v in values if v in ("", "0", 0, None, False) or re.fullmatch(EMPTY, str(v))
    )
    return json.loads(empty.most_common(1)[0][0]) if empty else UNKNOWN


UNKNOWN = object()
EMPTY = r"0\.0+|0000-00-00( 00:00:00)?"


def kind_of(name: str, validator: str | None, values: list[Any]) -> str:
    """The kind of column that the values of a field came out of."""
    if validator == "isBool":
        return "bool"
    texts = [v for v in values if isinstance(v, str) and v != ""]
    if any(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return "int"
    scales = {len(v.partition(".")[2]) for v in texts if re.fullmatch(r"-?\d+\.\d+", v)}
    if texts and len(scales) == 1 and all(re.fullmatch(r"-?\d+\.\d+", v) for v in texts) and scales != {1}:
        return f"decimal:{scales.pop()}"
    if texts and all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", v) for v in texts):
        return "datetime"
    if texts and all(re.fullmatch(r"\d{4}-\d\d-\d\d", v) for v in texts):
        return "date"
    return kind_by_validator(name, validator, texts)


def kind_by_validator(name: str, validator: str | None, texts: list[str]) -> str:
    """The kind of a field of which no telling value was seen."""
    if validator in {"isUnsignedId", "isNullOrUnsignedId", "isInt", "isUnsignedInt", "isPositiveInt"}:
        return "int"
    if validator in {"isFloat", "isPrice", "isNegativePrice", "isUnsignedFloat"}:
        return "decimal:6"
    if validator in {"isDate", "isDateFormat", "isDateOrNull"} or name.startswith("date_"):
        return "datetime"
    if texts and set(texts) <= {"0", "1"}:
        return "bool"
    return "text"


def one_association(node: str, item: ET.Element, links: dict[tuple[str, str], str]) -> dict[str, Any]:
    """One association with the fields of its entries."""
    entry: dict[str, Any] = {"name": item.tag, "node": item.get("nodeType")}
    if item.get("api"):
        entry["api"] = item.get("api")
    if item.get("virtualEntity"):
        entry["virtual"] = True
    entry["fields"] = []
    for child in item[0] if len(item) else []:
        field: dict[str, Any] = {"name": child.tag}
        if child.get("required"):
            field["required"] = True
        if child.get("readOnly"):
            field["read_only"] = True
        link = child.get(HREF) or links.get((str(item.get("nodeType")), child.tag))
        if child.get(HREF):
            field["link"] = str(link).rstrip("/").rpartition("/")[2]
        entry["fields"].append(field)
    return entry


def field_links(recordings: Path) -> dict[tuple[str, str], str]:
    """(node, field) to the resource that the field points to, out of every recorded document."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for path in sorted(recordings.rglob("*.xml")):
        try:
            root = ET.parse(path).getroot()
        except ET.ParseError:
            continue
        for parent in root.iter():
            for child in parent:
                href = child.get(HREF)
                if href and child.tag != "language" and len(child) == 0 and child.text:
                    found[parent.tag, child.tag][re.sub(r".*/api/", "", href).split("/")[0]] += 1
    return {key: counts.most_common(1)[0][0] for key, counts in found.items()}


def one_field_a_line(tables: dict[str, Any]) -> str:
    """JSON that a reviewer can read: one line a field."""
    lines = ["{"]
    for i, (name, table) in enumerate(tables.items()):
        lines.append(f" {json.dumps(name)}: {{")
        parts = []
        for key, value in table.items():
            if key in {"fields", "associations"} and value:
                inner = ",\n".join("   " + json.dumps(v, ensure_ascii=False) for v in value)
                parts.append(f"  {json.dumps(key)}: [\n{inner}\n  ]")
            else:
                parts.append(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
        lines.append(",\n".join(parts))
        lines.append(" }" + ("," if i + 1 < len(tables) else ""))
    lines.append("}\n")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------ rows


def union_of_rows(recordings: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """Every row that a recorded read shows, by resource and id, with as many fields as were ever shown."""
    rows: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for folder in sorted(p for p in recordings.iterdir() if p.is_dir() and not p.name.startswith("_")):
        for path in sorted(folder.glob("*.json")):
            if path.name.startswith(("w_", "v_", "schema_", "l_", "p_")):
                continue
            try:
                body = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                continue
            for value in body.values() if isinstance(body, dict) else []:
                for row in value if isinstance(value, list) else []:
                    if isinstance(row, dict) and isinstance(row.get("id"), int):
                        rows[folder.name].setdefault(row["id"], {}).update(complete(row, path.name))
    return rows


def complete(row: dict[str, Any], case: str) -> dict[str, Any]:
    """The row without associations that a ``display`` had cut down."""
    return {k: v for k, v in row.items() if k != "associations" or not case.startswith("d_")}


def recorded_shop(
    recordings: Path, rows: dict[str, dict[int, dict[str, Any]]]
) -> dict[str, list[dict[str, Any]]]:
    """The recorded rows; what lists without fields still tell of the others is filled in."""
    shop: dict[str, list[dict[str, Any]]] = {}
    for resource, by_id in rows.items():
        if resource in NATURAL:
            fill_from_order(by_id, listed_ids(recordings / resource / "list_bare.json"), NATURAL[resource])
        newer = set(listed_ids(recordings / resource / "date_upd_gt.json"))
        if "date_upd" in by_id[min(by_id)]:
            for row_id, row in by_id.items():
                row.setdefault("date_upd", INSTALLED if row_id in newer else "0000-00-00 00:00:00")
        shop[resource] = [by_id[i] for i in sorted(by_id)]
    shop.pop("images", None)
    return shop


def listed_ids(path: Path) -> list[int]:
    """Ids of a recorded list."""
    body = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return [row["id"] for row in next(iter(body.values()))] if isinstance(body, dict) else []


def fill_from_order(by_id: dict[int, dict[str, Any]], order: list[int], column: str) -> None:
    """Give rows of which only the id is known the value of their neighbour in index order."""
    value = next(by_id[i][column] for i in order if column in by_id[i])
    for row_id in order:
        value = by_id[row_id].setdefault(column, value)


def read_corpus(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Resource to rows of a corpus."""
    return {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.json"))}


def boutique(
    corpus: dict[str, list[dict[str, Any]]],
    index: dict[str, list[str]],
    recorded: dict[str, dict[int, dict[str, Any]]],
) -> dict[str, list[dict[str, Any]]]:
    """About 200 orders of the corpus that together carry every tag, whole references, and all they need."""
    orders = chosen_orders(corpus["orders"], index, target=200)
    ids = {o["id"] for o in orders}
    references = {o["reference"] for o in orders}
    customers = {o["id_customer"] for o in orders}
    shop = dict(corpus)
    shop["orders"] = orders
    for name in (
        "order_details",
        "order_slip",
        "order_invoices",
        "order_histories",
        "order_cart_rules",
        "order_carriers",
    ):
        shop[name] = [r for r in corpus[name] if r["id_order"] in ids]
    shop["order_payments"] = [r for r in corpus["order_payments"] if r["order_reference"] in references]
    shop["customers"] = [r for r in corpus["customers"] if r["id"] in customers]
    used = {o["id_address_invoice"] for o in orders} | {o["id_address_delivery"] for o in orders}
    shop["addresses"] = [r for r in corpus["addresses"] if r["id"] in used or r["id_customer"] in customers]
    rules = {r["id_cart_rule"] for r in shop["order_cart_rules"]}
    shop["cart_rules"] = [r for r in corpus["cart_rules"] if r["id"] in rules or r["id_customer"] == 0]
    for name in (
        "groups",
        "zones",
        "categories",
        "product_options",
        "product_option_values",
        "shop_groups",
        "contacts",
    ):
        shop[name] = [recorded[name][i] for i in sorted(recorded[name])]
    return shop


def chosen_orders(
    orders: list[dict[str, Any]], index: dict[str, list[str]], target: int
) -> list[dict[str, Any]]:
    """Orders in whole references: rarest tags first, at least three orders a tag, then spread over the year."""
    by_reference: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for order in orders:
        by_reference[order["reference"]].append(order)
    count = Counter(tag for tags in index.values() for tag in tags)
    chosen: set[str] = set()
    held: Counter[str] = Counter()

    def take(reference: str) -> None:
        if reference not in chosen:
            chosen.add(reference)
            for order in by_reference[reference]:
                held.update(index[str(order["id"])])

    for tag, _ in sorted(count.items(), key=lambda item: (item[1], item[0])):
        for order in orders:
            if held[tag] >= min(5, count[tag]):
                break
            if tag in index[str(order["id"])]:
                take(order["reference"])
    size = sum(len(by_reference[r]) for r in chosen)
    rest = [o for o in orders if o["reference"] not in chosen]
    for order in rest[:: max(1, len(rest) // max(1, target - size))]:
        if sum(len(by_reference[r]) for r in chosen) >= target:
            break
        take(order["reference"])
    return [o for o in orders if o["reference"] in chosen]


def write_retail(directory: Path) -> None:
    """The lines of 300 invoices as they are in the data, in the order of the data."""
    invoices = read(directory, 300)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for invoice in invoices:
        for line in invoice.lines:
            customer = invoice.customer or ""
            row = (
                invoice.number,
                line.code,
                line.name,
                line.quantity,
                invoice.when,
                line.price,
                customer,
                invoice.country,
            )
            writer.writerow(row)
    raw = text.getvalue().encode()
    (DATA / "retail_lines.csv.gz").write_bytes(gzip.compress(raw, 9, mtime=0))
    print("retail", len(invoices), len(raw), (DATA / "retail_lines.csv.gz").stat().st_size)


def write_rows(name: str, shop: dict[str, list[dict[str, Any]]]) -> None:
    """One compressed file, the same bytes for the same rows."""
    body = json.dumps(shop, ensure_ascii=False, separators=(",", ":")).encode()
    (DATA / f"{name}.json.gz").write_bytes(gzip.compress(body, 9, mtime=0))
    sizes = {k: len(v) for k, v in shop.items()}
    print(name, len(body), (DATA / f"{name}.json.gz").stat().st_size, sizes)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
