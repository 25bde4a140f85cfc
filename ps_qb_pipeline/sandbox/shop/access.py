"""Who may ask what of which shop.

What lives here: keys and their rights, the shop context of a request, in the order in which the core
checks them. What does not: the question itself (``query``).
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ps_qb_pipeline.sandbox.shop.answers import HTML, Answer, Refusal
from ps_qb_pipeline.sandbox.shop.query import did_you_mean, php_int
from ps_qb_pipeline.sandbox.shop.resources import METHODS, Resource, resources
from ps_qb_pipeline.sandbox.shop.shop import Key, Shop

REALM = 'Basic realm="Welcome to PrestaShop Webservice, please enter the authentication key as the login. No password required."'


def key_of(authorization: str | None, params: Mapping[str, Any]) -> str | None:
    """The key of a request, from Basic authentication or ``ws_key``; nothing when it shows none."""
    scheme, _, credentials = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return b64decode(credentials).decode("utf-8", "replace").partition(":")[0].strip()
        except Base64Error:
            return None
    return str(params["ws_key"]).strip() if "ws_key" in params else None


def authenticated(shop: Shop, key: str) -> Key:
    """The account behind a key.

    Errors:
        Refusal: 22 for a web service that is switched off, 17, 18, or 20 with 21.
    """
    if not shop.settings.webservice:
        message = "The PrestaShop webservice is disabled. Please activate it in the PrestaShop Back Office"
        raise Refusal(503, 22, message)
    if key == "":
        raise _unauthorized(17, "Authentication key is empty")
    if len(key.encode()) != 32:
        raise _unauthorized(18, "Invalid authentication key format")
    account = shop.keys.get(key)
    if account is None or not account.active:
        refusal = _unauthorized(20, "Authentification key is not active")
        raise refusal.and_also(21, "No permission for this authentication key")
    return account


def _unauthorized(code: int, message: str) -> Refusal:
    refusal = Refusal(401, code, message)
    refusal.headers["WWW-Authenticate"] = REALM
    return refusal


def shop_context(shop: Shop, params: Mapping[str, Any], account: Key) -> list[int]:
    """Ids of the shops whose rows a request sees.

    Errors:
        Refusal: 999 for an unknown group, 132 for a shop that the key has no right in.
    """
    known = shop.shop_ids()
    asked: list[int]
    group = params.get("id_shop_group", params.get("id_group_shop"))
    if group is not None and re.fullmatch(r"\d+", str(group)):
        asked = [r["id"] for r in shop.rows("shops", id_shop_group=php_int(str(group)))]
        if not asked and not (php_int(str(group)) == 1 and not len(shop.tables["shops"])):
            raise Refusal(500, 999, "This shop group doesn't have shops")
        asked = asked or known
    elif "id_shop" not in params:
        asked = known[:1]
    elif params["id_shop"] == "all":
        asked = known
    else:
        asked = [php_int(str(params["id_shop"]))]
    if account.shops and not account.shops.intersection(asked):
        raise Refusal(403, 132, "No permission for this key on this shop")
    return asked


def redirect_of(
    shop: Shop, host: str | None, forwarded: str | None, params: Mapping[str, Any], path: str
) -> Answer | None:
    """The redirect to the shop's home page that a wrong host or an unknown shop earns, or nothing."""
    domain = shop.base_url.partition("://")[2].strip("/")
    named = params.get("id_shop")
    unknown = named is not None and named != "all" and php_int(str(named)) not in shop.shop_ids()
    if not unknown and (forwarded or host) == domain:
        return None
    pairs = [("url", path), *((k, v) for k, v in _flat(params) if k != "id_shop")]
    location = (
        shop.base_url + "?" + "&".join(f"{quote(k, safe='')}={quote(str(v), safe='')}" for k, v in pairs)
    )
    return Answer(302, b"", HTML, {"Location": location, "X-Powered-By": "PHP/8.2.36"}, from_service=False)


def _flat(params: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in params.items():
        name = f"{prefix}[{key}]" if prefix else key
        pairs += _flat(value, name) if isinstance(value, dict) else [(name, value)]
    return pairs


def permitted(account: Key, name: str, method: str) -> Resource | None:
    """The resource that a path names, nothing for the root.

    Errors:
        Refusal: 27 unknown, 26 no right on it, 23 unknown verb, 101 never allowed, 25 not with this key.
    """
    known = resources()
    if name and name not in known:
        raise did_you_mean(400, f'Resource of type "{name}" does not exists', name, list(known), 27)
    if name and name not in account.rights:
        raise Refusal(401, 26, f'Resource of type "{name}" is not allowed with this authentication key')
    if method not in METHODS:
        raise Refusal(405, 23, f"Method {method} is not valid")
    if not name:
        return None
    if method in known[name].forbidden:
        raise Refusal(405, 101, f"Method {method} is not allowed for the resource {name}")
    if method not in account.rights[name]:
        message = f"Method {method} is not allowed for the resource {name} with this authentication key"
        raise Refusal(405, 25, message)
    return known[name]
