"""Identity tokens, which the token endpoint adds when the scope ``openid`` was asked for.

What lives here: the company's signing key, its public half, signing. What does not: who may have a token.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ps_qb_pipeline.sandbox.books.codec import Json
from ps_qb_pipeline.sandbox.books.company import Company

ISSUER = "https://oauth.platform.intuit.com/op/v1"
KEY_ID = "sandbox-key"


def _key(company: Company) -> rsa.RSAPrivateKey:
    stored = company.store.setting("identity_key")
    if stored is None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        company.store.set("identity_key", pem.decode())
        return key
    loaded = serialization.load_pem_private_key(str(stored).encode(), None)
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise TypeError("the identity key of this company is no RSA key")
    return loaded


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def key_set(company: Company) -> Json:
    """Return the public key as the JWKS endpoint shows it."""
    numbers = _key(company).public_key().public_numbers()
    key = {
        "kty": "RSA",
        "kid": KEY_ID,
        "use": "sig",
        "alg": "RS256",
        "e": _number(numbers.e),
        "n": _number(numbers.n),
    }
    return {"keys": [key]}


def token(company: Company, client_id: str, seconds: int) -> str:
    """Return a signed identity token of the person who connected ``client_id``."""
    now = int(company.clock.now().timestamp())
    claims = {
        "sub": "sandbox-user",
        "aud": [client_id],
        "realmid": company.realm,
        "auth_time": now,
        "iss": ISSUER,
        "exp": now + seconds,
        "iat": now,
    }
    parts: list[Any] = [{"kid": KEY_ID, "alg": "RS256"}, claims]
    head = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
    signed = _key(company).sign(head.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{head}.{_encoded(signed)}"
