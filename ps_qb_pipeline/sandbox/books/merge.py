"""Merging two names of a list, which people do in the user interface and the API cannot.

What lives here: pointing everything at the name that stays. What does not: the API.
"""

from __future__ import annotations

from typing import Any

from ps_qb_pipeline.sandbox.books import postings
from ps_qb_pipeline.sandbox.books.clock import key
from ps_qb_pipeline.sandbox.books.codec import Json
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import ENTITIES
from ps_qb_pipeline.sandbox.books.references import target

MERGEABLE = ("Customer", "Vendor", "Item", "Account", "Class", "Department")


def merge(company: Company, entity: str, source: int, into: int) -> None:
    """Make ``into`` take the place of ``source``, which is gone then. Raises ValueError if that cannot be."""
    kept, gone = company.find(entity, into), company.store.get(entity, source)
    if entity not in MERGEABLE or kept is None or gone is None or gone.deleted or source == into:
        raise ValueError(f"{entity} {source} cannot be merged into {entity} {into}")
    shown = kept.get("FullyQualifiedName") or kept.get("DisplayName") or kept.get("Name")
    with company.store.transaction():
        for rules in ENTITIES.values():
            for row in list(company.store.select(rules.name, "deleted=0")):
                body = row.json()
                if (rules.name, row.id) == (entity, source) or not _repoint(
                    body, rules.name, entity, source, into, shown
                ):
                    continue
                company.patch(rules.name, row.id, body, touched=True)
                company.note(rules.name, row.id, "Update")
        _repost(company)
        now = company.clock.now()
        stone: Json = {
            "domain": "QBO",
            "status": "Deleted",
            "Id": str(source),
            "MetaData": {"LastUpdatedTime": company.clock.company(now)},
        }
        gone.deleted, gone.updated = True, key(now)
        company.write(ENTITIES[entity], gone, stone)
        company.note(entity, into, "Merge", source)


def _repost(company: Company) -> None:
    """Post every transaction again, as accounts and names may have changed under it."""
    for rules in ENTITIES.values():
        if not rules.is_transaction:
            continue
        for row in list(company.store.select(rules.name, "deleted=0")):
            body = row.json()
            voided = str(body.get("PrivateNote", "")).startswith("Voided") and not body.get("TotalAmt")
            made = [] if voided else postings.entries(company, rules.name, body)
            company.store.replace_entries(
                rules.name, row.id, body["TxnDate"], str(body.get("DocNumber", "")), made
            )


def _repoint(value: Any, owner: str, entity: str, source: int, into: int, shown: Any) -> bool:
    changed = False
    if isinstance(value, list):
        return any([_repoint(inner, owner, entity, source, into, shown) for inner in value])  # noqa: C419 - all of them
    if not isinstance(value, dict):
        return False
    for name, inner in value.items():
        is_ref = isinstance(inner, dict) and inner.get("value") == str(source)
        named = name == "EntityRef" and isinstance(inner, dict) and inner.get("type", entity) == entity
        if is_ref and (target(owner, name) == entity or named):
            inner["value"] = str(into)
            inner["name"] = shown
            changed = True
        elif _repoint(inner, owner, entity, source, into, shown):
            changed = True
    return changed
