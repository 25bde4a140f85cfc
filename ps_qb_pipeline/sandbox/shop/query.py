"""The language of a read: which rows, which fields, in which order, how many.

What lives here: PHP's reading of a query string, the web service's reading of ``filter``, ``sort``,
``limit``, ``display``, ``language`` and ``schema``, with the refusals that each provokes. What does
not: finding the rows (``search``) and writing them down (``render``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from ps_qb_pipeline.sandbox.shop.answers import Fatal, Refusal, php_warning
from ps_qb_pipeline.sandbox.shop.resources import Resource

Operator = Literal["equals", "between", "above", "below", "not", "like"]
LIST_WARNING = (1299, 1300, 1301, 1302)
BOOL_OFFSET = "Trying to access array offset on value of type bool"
BRACKETS = re.compile(r"^(.*)\[(.*)\](.*)$")
RANGE = re.compile(r"^([\d.:\-\s]+),([\d.:\-\s]+)$")


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a field; the row must meet it for any of the values (for every one with ``not``)."""

    field: str
    operator: Operator
    values: tuple[str, ...]


@dataclass(slots=True)
class Question:
    """A read of a list, understood."""

    conditions: list[Condition] = field(default_factory=list)
    display: Literal["minimum", "full"] | dict[str, list[str] | None] = "minimum"
    sort: list[tuple[str, bool]] = field(default_factory=list)
    """(field, descending)"""
    limit: tuple[int, int] | None = None
    """(offset, count)"""
    schema: str = ""
    broken: bool = False
    """The SQL that the core would send fails; a failing statement looks like one without rows."""


def php_query(raw: str) -> dict[str, Any]:
    """A query string as PHP's ``$_GET``: brackets in names make nested arrays, here dicts."""
    result: dict[str, Any] = {}
    for part in raw.split("&"):
        name, _, value = part.partition("=")
        key = _text(name)
        if key:
            _store(result, key, _text(value))
    return result


def _text(encoded: str) -> str:
    return unquote_to_bytes(encoded.replace("+", " ")).decode("utf-8", "surrogateescape")


def _store(result: dict[str, Any], key: str, value: str) -> None:
    head, bracket, rest = key.partition("[")
    head = head.lstrip(" ").replace(".", "_").replace(" ", "_")
    path = [head]
    while bracket and "]" in rest:
        inner, _, rest = rest.partition("]")
        path.append(inner)
        if not rest.startswith("["):
            break
        rest = rest[1:]
    place = result
    for step in path[:-1]:
        inside = place.get(step)
        if not isinstance(inside, dict):
            inside = place[step] = {}
        place = inside
    last = path[-1]
    if last == "" and len(path) > 1:
        last = str(len(place))
    place[last] = value


def php_int(text: str) -> int:
    """PHP's cast of a text to an integer."""
    match = re.match(r"\s*[-+]?\d+", text)
    return int(match.group()) if match else 0


# ------------------------------------------------------------------------------------ language


def languages_asked(text: str, known: list[int]) -> list[int | str]:
    """Ids of the languages to show for a ``language`` parameter; a list's ids stay the texts that they are.

    Errors:
        Refusal: the parameter is malformed or names no language of the shop.
    """
    wanted: list[int | str] = []
    if re.fullmatch(r"\s*-?\d+(\.\d+)?", text):
        wanted = [php_int(text)]
    elif text.startswith("[") and text.endswith("]"):
        inner = text.replace("[", "").replace("]", "")
        if ("|" in text) != ("," in text):
            wanted = [*inner.split("|")] if "|" in text else _language_range(inner)
        elif re.search(r"\[\d+\]", text):
            wanted = [inner[-1]]
    else:
        raise Refusal(400, 79, "language value is wrong").and_also(81, NO_LANGUAGE)
    if any(not re.fullmatch(r"\d+", str(w)) for w in wanted[1:]):
        raise Refusal(400, 80, "Language ID must be numeric").and_also(81, NO_LANGUAGE)
    found = [w for w in wanted if php_int(str(w)) in known]
    if not found:
        raise Refusal(400, 81, NO_LANGUAGE)
    return found


NO_LANGUAGE = "language is not available"


def _language_range(inner: str) -> list[int | str]:
    ends = inner.split(",")
    if len(ends) != 2:
        raise Refusal(400, 78, "A range value for a language must contains only 2 values").and_also(
            81, NO_LANGUAGE
        )
    return [*ends[:1], *range(php_int(ends[0]) + 1, php_int(ends[1]) + 1)]


# ------------------------------------------------------------------------------------ lists


def understand(resource: Resource, params: dict[str, Any], *, warnings: bool) -> Question:
    """The question that the parameters of a list put.

    Args:
        resource: what is asked for.
        params: the query string as PHP reads it.
        warnings: whether PHP's warnings come through, as in production; they make the status 500.

    Errors:
        Refusal: codes 28 to 39; as in the core, PHP's warnings follow in the answer when they are on.
    """
    try:
        return _question(resource, params, warnings=warnings)
    except Refusal as refusal:
        if warnings and 28 <= refusal.entries[0][0] <= 39:
            refusal.warned(LIST_WARNING, BOOL_OFFSET)
        raise


def _question(resource: Resource, params: dict[str, Any], *, warnings: bool) -> Question:
    question = Question()
    dated = params.get("date", "") not in {"", "0"}
    plain, i18n = _filterable(resource, dated=dated)
    extra = {"date_add", "date_upd"} if dated else set()
    if "schema" in params:
        if params["schema"] not in {"blank", "synopsis"}:
            raise Refusal(400, 28, SCHEMA_MESSAGE)
        question.schema = params["schema"]
        return question
    if "filter" in params:
        _filters(question, resource, params["filter"], plain, i18n, warnings=warnings)
    question.display = displayed(resource, params, extra=extra)
    if "sort" in params:
        question.sort = _sorting(str(params["sort"]), plain, i18n)
    if "limit" in params:
        question.limit = _limit(question, str(params["limit"]))
    used = {c.field for c in question.conditions} | {name for name, _ in question.sort}
    for name in used:
        known = resource.by_name.get(name)
        if known is None or known.dynamic:
            question.broken = True
    if sum(1 for name in {c.field for c in question.conditions} if name in i18n) > 1:
        question.broken = True  # the core joins the same table under the same name twice
    return question


SCHEMA_MESSAGE = (
    "Please select a schema of type 'synopsis' to get the whole schema informations (which fields are required, "
    "which kind of content...) or 'blank' to get an empty schema to fill before using POST request"
)


def _filterable(resource: Resource, *, dated: bool) -> tuple[list[str], list[str]]:
    """Names that may be filtered by: plain ones and those with a text a language."""
    plain = [n for n, f in resource.by_name.items() if not f.i18n]
    i18n = [n for n, f in resource.by_name.items() if f.i18n]
    if dated:
        plain += [n for n in ("date_add", "date_upd") if n not in plain]
    else:
        plain = [n for n in plain if n not in {"date_add", "date_upd"}]
    return plain, i18n


def _filters(
    question: Question, resource: Resource, asked: Any, plain: list[str], i18n: list[str], *, warnings: bool
) -> None:
    if not isinstance(asked, dict):
        if warnings:
            raise Refusal(
                500, 3, php_warning("foreach() argument must be of type array|object, string given", 1095)
            )
        return
    for name, value in asked.items():
        if name in {"sort", "limit"}:
            continue
        if name not in plain:
            if value != "" and name in i18n:
                for text in value.values() if isinstance(value, dict) else [value]:
                    question.conditions += conditions(name, text)
                continue
            if isinstance(value, dict):
                raise Refusal(400, 31, "There is no existing linked table for this resource")
            raise did_you_mean(400, "This filter does not exist", name, plain, 32)
        if value == "":
            raise Refusal(400, 33, f'The filter "{name}" is malformed.')
        known = resource.by_name.get(name)
        if known is not None and known.dynamic:
            message = (
                f'The field "{name}" is dynamic. It is not possible to filter GET query with this field.'
            )
            raise Refusal(400, 34, message)
        if isinstance(value, dict):
            raise Fatal
        question.conditions += conditions(name, value)


def conditions(name: str, value: str) -> list[Condition]:
    """The comparisons that a filter value stands for; an unknown operator stands for none."""
    match = BRACKETS.match(value)
    if not match:
        return [Condition(name, "equals", (value,))]
    before, inside, after = match.groups()
    if "%" in {before, after}:
        return [Condition(name, "like", (before + inside + after,))]
    if before in SIGNS:
        return [Condition(name, SIGNS[before], tuple(inside.split("|")) if before == "!" else (inside,))]
    return [_enclosed(name, inside)] if before == "" and after == "" else []


SIGNS: dict[str, Operator] = {">": "above", "<": "below", "!": "not"}


def _enclosed(name: str, inside: str) -> Condition:
    """The comparison that a value in brackets without a sign stands for."""
    if inside.find("|") > 0:
        return Condition(name, "equals", tuple(inside.split("|")))
    ends = RANGE.match(inside)
    return (
        Condition(name, "between", _sorted_ends(*ends.groups()))
        if ends
        else Condition(name, "equals", (inside,))
    )


def _sorted_ends(first: str, second: str) -> tuple[str, str]:
    number = re.compile(r"\s*-?\d+(\.\d+)?\s*")
    if number.fullmatch(first) and number.fullmatch(second):
        return (first, second) if float(first) <= float(second) else (second, first)
    return (first, second) if first <= second else (second, first)


def _sorting(text: str, plain: list[str], i18n: list[str]) -> list[tuple[str, bool]]:
    inner = re.match(r"^\[(.*)\]$", text)
    result = []
    for part in inner.group(1).split(",") if inner else [text]:
        name, underscore, direction = part.rpartition("_")
        if not underscore or direction.upper() not in {"ASC", "DESC"}:
            raise Refusal(400, 37, SORT_MESSAGE)
        if name not in plain and name not in i18n:
            message = (
                f"Unable to filter by this field. However, these are available: {', '.join(plain)}, "
                f"for i18n fields:{', '.join(i18n)}"
            )
            raise Refusal(400, 38, message)
        result.append((name, direction.upper() == "DESC"))
    return result


SORT_MESSAGE = (
    'The "sort" value has to be formed as this example: "field_ASC" or '
    "'[field_1_DESC,field_2_ASC,field_3_ASC,...]' (\"field\" has to be an available field)"
)


def _limit(question: Question, text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) > 2:
        raise Refusal(400, 39, 'The "limit" value has to be formed as this example: "5,25" or "10"')
    numbers = [php_int(p) for p in parts]
    if any(n < 0 for n in numbers):
        question.broken = True
    return (0, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


# ------------------------------------------------------------------------------------ display


def displayed(
    resource: Resource, params: dict[str, Any], *, extra: set[str] | None = None
) -> Literal["minimum", "full"] | dict[str, list[str] | None]:
    """What ``display`` asks for: names of fields, and of associations with their fields.

    Errors:
        Refusal: 35 for an unknown field, 36 for a malformed list.
        Fatal: fields of an association that does not exist.
    """
    text = params.get("display", "minimum")
    if text in {"full", "minimum"}:
        return "full" if text == "full" else "minimum"
    names = ", ".join(
        [*resource.by_name, *sorted(resource.hidden), *sorted((extra or set()) - set(resource.by_name))]
    )
    match = re.match(r"^\[(.*)\]$", str(text))
    if not match:
        message = (
            "The 'display' syntax is wrong. You can set 'full' or '[field_1,field_2,field_3,...]'. "
            f"These are available: {names}"
        )
        raise Refusal(400, 36, message)
    wanted = _fields_of(match.group(1))
    virtual = params.get("price") if isinstance(params.get("price"), dict) else {}
    for name, inner in wanted.items():
        if inner is None:
            known = (
                name in resource.by_name
                or name in resource.hidden
                or name in (extra or ())
                or name in (virtual or {})
            )
            if known:
                continue
            raise Refusal(
                400, 35, f'Unable to display this field "{name}". However, these are available: {names}'
            )
        association = resource.associated.get(name)
        if association is None and any(f != "id" for f in inner):
            raise Fatal
        inside = {f.name for f in association.fields} if association else set()
        if association is None or any(f != "id" and f not in inside for f in inner):
            details = "array (\n" + "".join(f"  {i} => '{f}',\n" for i, f in enumerate(inner)) + ")"
            message = f'Unable to display this field "{name} (details : {details})". However, these are available: {names}'
            raise Refusal(400, 35, message)
    return wanted


def _fields_of(text: str) -> dict[str, list[str] | None]:
    parts: list[str] = []
    depth, current = 0, ""
    for character in text:
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
        depth += {"[": 1, "]": -1}.get(character, 0)
    if current:
        parts.append(current)
    fields: dict[str, list[str] | None] = {}
    for part in parts:
        name, bracket, inner = part.partition("[")
        fields.setdefault(name.strip(), None)
        if bracket:
            fields[name.strip()] = (fields[name.strip()] or []) + inner[:-1].split(",")
    return fields


# ------------------------------------------------------------------------------------ suggestions


def did_you_mean(status: int, message: str, value: str, words: list[str], code: int) -> Refusal:
    """A refusal that proposes the nearest of the allowed words and lists them all."""
    full = ' The full list is: "' + '", "'.join(words) + '"' if len(words) > 1 else ""
    return Refusal(status, code, f'{message}. Did you mean: "{closest(value, words)}"?{full}')


def closest(value: str, words: list[str]) -> str:
    """The word with the smallest edit distance; of equal ones the last."""
    best, shortest = "", -1
    for word in words:
        distance = _edit_distance(value, word)
        if distance == 0:
            return word
        if distance <= shortest or shortest < 0:
            best, shortest = word, distance
    return best


def _edit_distance(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]
