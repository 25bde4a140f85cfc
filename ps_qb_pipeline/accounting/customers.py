"""Customer cards: one a person or company and currency, found again by e-mail or VAT number.

What lives here: keys, names, addresses as QuickBooks lays them out, and the suffix of a second bearer of
a name. What does not: looking cards up in the books (``posting``). Cards hold personal data.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from ps_qb_pipeline.accounting.documents import Customer, PostalAddress
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.shop import Address, Order, Person

NAME_LENGTH = 100
_FORBIDDEN = str.maketrans({":": "-", "\t": " ", "\n": " ", "\r": " "})


def card(order: Order, policy: Policy) -> Customer:
    """The card of an order's customer in the order's currency.

    With full names, all accounts and guests of one e-mail address are one customer; without an
    address, the VAT number, then the shop's number identifies. Pseudonymous cards hold no personal
    data at all: every guest is ``PS Guests``.
    """
    return _card(
        order.customer,
        order.invoice_address,
        order.delivery_address,
        order.currency,
        f" {order.currency}" if order.currency != policy.home_currency else "",
        policy.installation,
        pseudonymous=policy.customer_names == "pseudonymous",
    )


@lru_cache(maxsize=4_096)
def _card(
    person: Person,
    invoice: Address | None,
    delivery: Address | None,
    currency: str,
    foreign: str,
    installation: int,
    *,
    pseudonymous: bool,
) -> Customer:
    """The card itself; customers come back, so the last few thousand are remembered."""
    if pseudonymous:
        name = f"PS Guests {currency}" if person.is_guest else f"PS C{person.id}{foreign}"
        sources = () if person.is_guest else (person.id,)
        return Customer(
            key=f"{installation}:{name}", display_name=name, currency=currency, source_ids=sources
        )
    billed = invoice or Address()
    company = billed.company or person.company
    names = " ".join(part for part in (person.firstname, person.lastname) if part)
    shown = company if company and billed.vat_number else names or company or f"PS C{person.id}"
    return Customer(
        key=f"{installation}:{_identity(person, billed.vat_number)}:{currency}",
        display_name=clean_name(shown, foreign),
        given_name=person.firstname[:NAME_LENGTH],
        family_name=person.lastname[:NAME_LENGTH],
        company=company[:NAME_LENGTH],
        email=person.email[:NAME_LENGTH],
        phone=billed.phone[:30],
        vat_number=billed.vat_number.replace(" ", "").upper(),
        currency=currency,
        billing=layout(invoice),
        shipping=layout(delivery),
        source_ids=(person.id,),
    )


def _identity(person: Person, vat_number: str) -> str:
    """A digest that is the same for the same e-mail address; no personal data can be read from it."""
    if person.email:
        told = f"email:{person.email.strip().lower()}"
    elif vat_number:
        told = f"vat:{vat_number.replace(' ', '').upper()}"
    else:
        return f"c{person.id}"
    return hashlib.sha256(told.encode()).hexdigest()[:20]


def clean_name(text: str, suffix: str = "") -> str:
    """``text`` as a QuickBooks name: no colon, no line breaks, at most 100 characters with its suffix."""
    plain = " ".join(text.translate(_FORBIDDEN).split())
    return plain[: NAME_LENGTH - len(suffix)].rstrip() + suffix


def layout(address: Address | None) -> PostalAddress | None:
    """An address as QuickBooks wants it: street lines, city, postal code, ISO subdivision, ISO country."""
    if address is None:
        return None
    streets = [line for line in (address.address1.strip(), address.address2.strip()) if line]
    first, second = [*streets, "", ""][:2]
    region = address.subdivision
    if region.startswith(f"{address.country}-"):
        region = region[len(address.country) + 1 :]
    return PostalAddress(
        line1=first,
        line2=second,
        city=address.city.strip(),
        postal_code=address.postcode.strip(),
        subdivision=region,
        country=address.country,
    )
