"""The core's checks of single values, by the name that a schema gives them.

What lives here: formats and the messages of a failed check. What does not: which fields a request may
set (``writes``). A format that is not listed accepts everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ps_qb_pipeline.sandbox.shop.answers import Refusal
from ps_qb_pipeline.sandbox.shop.resources import Field, Resource


def _matches(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.search(text) is not None


def _integer(low: int, high: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        return bool(re.fullmatch(r"-?\d+", text)) and low <= int(text) <= high

    return check


UNSIGNED = _integer(0, 2**32 - 1)
SIGNED = _integer(-(2**31), 2**31)
NAME = _matches(r"\A[^0-9!<>,;?=+()@#\"°{}_$%:¤|]*\Z")
CATALOG_NAME = _matches(r"\A[^<>;=#{}]*\Z")
FLOAT = _matches(r"\A\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*\Z")
MOMENT = _matches(r"\A\d{4}-\d\d?-\d\d?( \d\d?:\d\d?:\d\d?)?\Z")

#: Format name to check of a text that is not empty.
FORMATS: dict[str, Callable[[str], bool]] = {
    "isUnsignedId": UNSIGNED,
    "isNullOrUnsignedId": UNSIGNED,
    "isUnsignedInt": UNSIGNED,
    "isPositiveInt": UNSIGNED,
    "isInt": SIGNED,
    "isBool": _matches(r"\A[01]?\Z"),
    "isFloat": FLOAT,
    "isUnsignedFloat": lambda text: FLOAT(text) and not text.strip().startswith("-"),
    "isPrice": _matches(r"\A[0-9]{1,10}(\.[0-9]{1,9})?\Z"),
    "isNegativePrice": _matches(r"\A-?[0-9]{1,10}(\.[0-9]{1,9})?\Z"),
    "isPercentage": lambda text: FLOAT(text) and 0 <= float(text) <= 100,
    "isEmail": _matches(r"\A[^\s@<>()\[\]]+@[^\s@<>()\[\]]+\.[^\s@<>()\[\].]+\Z"),
    "isName": NAME,
    "isCustomerName": NAME,
    "isCityName": _matches(r"\A[^!<>;?=+@#\"°{}_$%]*\Z"),
    "isGenericName": _matches(r"\A[^<>={}]*\Z"),
    "isCatalogName": CATALOG_NAME,
    "isCarrierName": CATALOG_NAME,
    "isReference": CATALOG_NAME,
    "isAddress": _matches(r"\A[^!<>?=+@{}_$%]*\Z"),
    "isPostCode": _matches(r"\A[a-zA-Z 0-9-]+\Z"),
    "isPhoneNumber": _matches(r"\A[+0-9. ()/-]*\Z"),
    "isMessage": _matches(r"\A[^<>{}]*\Z"),
    "isCleanHtml": lambda text: not re.search(r"<\s*script|javascript\s*:|\bon\w+\s*=", text, re.IGNORECASE),
    "isDate": MOMENT,
    "isDateFormat": MOMENT,
    "isDateOrNull": MOMENT,
    "isBirthDate": MOMENT,
    "isModuleName": _matches(r"\A[a-zA-Z0-9_-]+\Z"),
    "isEan13": _matches(r"\A[0-9]{0,13}\Z"),
    "isGtin": _matches(r"\A[0-9]{0,14}\Z"),
    "isUpc": _matches(r"\A[0-9]{0,12}\Z"),
    "isLinkRewrite": _matches(r"\A[_a-zA-Z0-9\u00c0-\u017f-]+\Z"),
    "isLanguageIsoCode": _matches(r"\A[a-zA-Z]{2,3}\Z"),
    "isStateIsoCode": _matches(r"\A[a-zA-Z0-9]{1,4}(-[a-zA-Z0-9]{1,4})?\Z"),
    "isConfigName": _matches(r"\A[a-zA-Z_0-9-]+\Z"),
    "isTrackingNumber": _matches(r"\A[~:#,%&_=()\[\]{}@.?/a-zA-Z0-9 \-]*\Z"),
    "isUrl": _matches(r"\A[~:#,$%&_=()\[\]{}.? +\-@/a-zA-Z0-9À-ÿ]*\Z"),
    "isSha1": _matches(r"\A[a-fA-F0-9]{40}\Z"),
    "isMd5": _matches(r"\A[a-f0-9A-F]{32}\Z"),
    "isColor": _matches(r"\A(#[0-9a-fA-F]{6}|[a-zA-Z0-9-]*)\Z"),
}


def check_texts(resource: Resource, row: dict[str, Any]) -> None:
    """Check the multi-language fields of a row about to be saved.

    Errors:
        Refusal: 84, with the first field that fails.
    """
    for field in resource.fields:
        if not field.i18n:
            continue
        for text in _texts(row.get(field.name)):
            _check(resource, field, text, 84)


def check_plain(resource: Resource, row: dict[str, Any]) -> None:
    """Check the other fields of a row about to be saved.

    Errors:
        Refusal: 85, with the first field that fails.
    """
    for field in resource.fields:
        if field.i18n or field.read_only or field.dynamic:
            continue
        value = row.get(field.name)
        text = "" if value is None or value is False else str(value)
        if field.required and text == "":
            raise Refusal(
                400, 85, f'Validation error: "Property {resource.class_name}->{field.name} is empty."'
            )
        _check(resource, field, text, 85)


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(entry["value"] or "") for entry in value]
    return [str(value)] if value else []


def _check(resource: Resource, field: Field, text: str, code: int) -> None:
    named = f"{resource.class_name}->{field.name}"
    if text == "":
        return
    if (resource.name, field.name) in RANGED and not re.fullmatch(r"-?\d+(\.\d*)?", text):
        message = (
            f"The range of property {named} is currently 0. It must be between -2147483648 and 2147483647."
        )
        raise Refusal(400, code, f'Validation error: "{message}"')
    if field.size and len(text) > field.size:
        message = f"The length of property {named} is currently {len(text)} chars. It must be between 0 and {field.size} chars."
        raise Refusal(400, code, f'Validation error: "{message}"')
    check = FORMATS.get(field.format)
    if check is not None and not check(text):
        raise Refusal(400, code, f'Validation error: "Property {named} is not valid"')


#: Fields whose range is checked before their format.
RANGED = {("stock_availables", "quantity")}
