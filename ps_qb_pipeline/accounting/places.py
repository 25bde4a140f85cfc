"""Where a sale is taxed: territories of VAT, and the places that belong to a country but not to it.

What lives here: geography. What does not: rates and codes (``tax_codes``).
"""

from __future__ import annotations

from typing import NamedTuple

EU = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MC MT NL PL PT RO SE SI SK".split()  # noqa: SIM905 -- reads as a list
)
"""The VAT territory of the Union by ISO code; Monaco is part of it, as of France."""

NORTHERN_IRELAND = "XI"
"""The code under which goods to Northern Ireland count as goods to a member state."""

_OUTSIDE_VAT = {
    "ES": ("35", "38", "51", "52"),  # Canary Islands, Ceuta, Melilla
    "DE": ("78266", "27498"),  # Busingen, Heligoland
    "IT": ("23041", "22061"),  # Livigno, Campione
    "FI": ("22",),  # Aland Islands
    "GR": ("63086",),  # Mount Athos
    "FR": ("971", "972", "973", "974", "975", "976", "986", "987", "988"),  # overseas
}


class Place(NamedTuple):
    """A country and subdivision as the tax table sees them; ``country`` is ISO 3166-1, or XI."""

    country: str
    subdivision: str = ""
    outside_vat: bool = False
    """Within the country, but outside its VAT territory."""


def place_of(country: str, subdivision: str, postcode: str, *, goods: bool) -> Place:
    """The place of an address. Goods to Northern Ireland are at XI, services to it at GB."""
    code = "GR" if country == "EL" else country
    digits = postcode.replace(" ", "").upper()
    if goods and code == "GB" and digits.startswith("BT"):
        return Place(NORTHERN_IRELAND, subdivision)
    return Place(code, subdivision, digits.startswith(_OUTSIDE_VAT.get(code, ("\0",))))


def in_union(place: Place) -> bool:
    """Whether goods to ``place`` stay in the VAT territory of the Union."""
    return (place.country in EU or place.country == NORTHERN_IRELAND) and not place.outside_vat


def is_abroad(place: Place, seller: str) -> bool:
    """Whether ``place`` lies outside the seller's territory: the Union for sellers in it, else the country."""
    if seller in EU:
        return not in_union(place)
    return place.country != seller


def is_other_member_state(place: Place, seller: str) -> bool:
    """Whether both are in the Union, in different member states; Monaco counts as France."""
    same = {"FR", "MC"}
    domestic = place.country == seller or {place.country, seller} <= same
    return seller in EU and in_union(place) and not domestic
