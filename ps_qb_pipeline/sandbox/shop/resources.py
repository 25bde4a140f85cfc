"""What the web service knows of each of its resources, read from ``data/resources.json``.

What lives here: nodes, fields, kinds of columns, associations, permissions that a resource has by
nature. What does not: rows (``tables``) and questions (``query``). The file behind it was made from
the schemas and lists of a real PrestaShop 9.1.4.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Literal

METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE", "HEAD")
UNSET_MOMENT = "0000-00-00 00:00:00"


@dataclass(frozen=True)
class Field:
    """A column of a resource as the web service presents it."""

    name: str
    kind: str
    format: str = ""
    size: int = 0
    required: bool = False
    read_only: bool = False
    dynamic: bool = False
    link: str = ""
    unset: Any = None
    """What the column holds when nobody set it."""

    @property
    def i18n(self) -> bool:
        """True for a text of which each language has its own."""
        return self.kind == "i18n"

    @property
    def numeric(self) -> bool:
        """True where the database compares numbers, not texts."""
        return self.kind in {"int", "bool"} or self.kind.startswith("decimal")

    @property
    def temporal(self) -> bool:
        """True for a date or a moment."""
        return self.kind in {"date", "datetime"}


@dataclass(frozen=True)
class Association:
    """A list of entries that hangs on each row."""

    name: str
    node: str
    fields: tuple[Field, ...]
    api: str = ""
    virtual: bool = False


@dataclass(frozen=True)
class Resource:
    """One resource of the web service."""

    name: str
    description: str
    list_node: str
    node: str
    fields: tuple[Field, ...]
    associations: tuple[Association, ...]
    hidden: frozenset[str]
    forbidden: frozenset[str]
    natural: str
    shops: Literal["", "column", "table"]
    special: bool
    class_name: str
    """The class that the core names in its messages."""

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Field name to field, ``id`` included."""
        return {f.name: f for f in (Field("id", "int"), *self.fields)}

    @cached_property
    def visible(self) -> tuple[str, ...]:
        """Names of all fields that ``display`` may name and an answer shows."""
        return tuple(self.by_name)

    @cached_property
    def associated(self) -> dict[str, Association]:
        """Association name to association."""
        return {a.name: a for a in self.associations}


@cache
def resources() -> dict[str, Resource]:
    """Every resource by its name, in the order of the root document."""
    text = files(__package__).joinpath("data/resources.json").read_text(encoding="utf-8")
    return {name: _resource(name, entry) for name, entry in json.loads(text).items()}


def _resource(name: str, entry: dict[str, Any]) -> Resource:
    return Resource(
        name=name,
        description=entry["description"],
        list_node=entry.get("list", name),
        node=entry.get("node", name),
        fields=tuple(_field(f) for f in entry.get("fields", ())),
        associations=tuple(
            Association(
                a["name"],
                a["node"],
                tuple(_field(f) for f in a["fields"]),
                a.get("api", ""),
                a.get("virtual", False),
            )
            for a in entry.get("associations", ())
        ),
        hidden=frozenset(entry.get("hidden", ())),
        forbidden=frozenset(entry.get("forbidden", ())),
        natural=entry.get("natural", ""),
        shops=entry.get("shops", ""),
        special=entry.get("special", False),
        class_name=entry.get("class") or "".join(p.capitalize() for p in entry.get("node", name).split("_")),
    )


def _field(entry: dict[str, Any]) -> Field:
    kind = entry.get("kind", "text")
    return Field(**{"kind": kind, "unset": _unset(kind)} | entry | {"size": int(entry.get("size", 0))})


def _unset(kind: str) -> Any:
    if kind == "int":
        return 0
    if kind == "bool":
        return "0"
    if kind.startswith("decimal"):
        return "0." + "0" * int(kind.partition(":")[2])
    return {"datetime": UNSET_MOMENT, "date": "0000-00-00"}.get(kind, "")
