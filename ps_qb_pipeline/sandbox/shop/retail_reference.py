"""What surrounds the wholesaler's orders: currency, taxes, carriers, countries, settings.

What lives here: reference rows of a shop in the United Kingdom with one language and one currency, and where the
countries of the data lie. What does not: orders and goods (``retail``). All of it is simulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STANDARD, ZERO_RATED, UNTAXED = 1, 2, 3
UNITED_KINGDOM = 17
INSTALLED = "2009-11-01 09:00:00"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a country of the data lies, and a sample address in it."""

    country: int
    postcode: str
    city: str
    vat: str = ""
    """Prefix of VAT numbers in the European Union, empty outside."""
    state: int = 0
    dni: bool = False
    """Addresses there need an identity number."""

    @property
    def taxed(self) -> bool:
        """Whether VAT of the United Kingdom is charged."""
        return self.country == UNITED_KINGDOM


GB = Place(UNITED_KINGDOM, "AB1 2CD", "Sampleton")
#: Name in the data to its place. "European Community" is taken for Belgium, "Unspecified" for the United Kingdom,
#: "West Indies" for Barbados, "Channel Islands" for Jersey.
COUNTRIES: dict[str, Place] = {
    "United Kingdom": GB,
    "Unspecified": GB,
    "Australia": Place(24, "2000", "Sydney"),
    "Austria": Place(2, "1010", "Wien", "ATU"),
    "Bahrain": Place(49, "317", "Manama"),
    "Belgium": Place(3, "1000", "Bruxelles", "BE0"),
    "Bermuda": Place(55, "HM 11", "Hamilton"),
    "Brazil": Place(58, "01000-000", "Sao Paulo"),
    "Canada": Place(4, "M5V 2T6", "Toronto", state=89),
    "Channel Islands": Place(115, "JE2 3AB", "Saint Helier"),
    "Cyprus": Place(76, "1010", "Nicosia", "CY"),
    "Czech Republic": Place(16, "110 00", "Praha", "CZ"),
    "Denmark": Place(20, "1000", "Kobenhavn", "DK"),
    "EIRE": Place(26, "D02 AF30", "Dublin", "IE"),
    "European Community": Place(3, "1000", "Bruxelles", "BE0"),
    "Finland": Place(7, "00100", "Helsinki", "FI"),
    "France": Place(8, "69001", "Lyon", "FR"),
    "Germany": Place(1, "10115", "Berlin", "DE"),
    "Greece": Place(9, "10431", "Athina", "EL"),
    "Hong Kong": Place(22, "", "Hong Kong"),
    "Iceland": Place(108, "101", "Reykjavik"),
    "Israel": Place(29, "6100000", "Tel Aviv"),
    "Italy": Place(10, "00118", "Roma", "IT"),
    "Japan": Place(11, "100-0001", "Tokyo"),
    "Korea": Place(28, "03000", "Seoul"),
    "Lebanon": Place(125, "1100", "Beirut"),
    "Lithuania": Place(130, "01100", "Vilnius", "LT"),
    "Malta": Place(138, "VLT 1000", "Valletta", "MT"),
    "Netherlands": Place(13, "1012 AB", "Amsterdam", "NL"),
    "Nigeria": Place(31, "100001", "Lagos"),
    "Norway": Place(23, "0150", "Oslo"),
    "Poland": Place(14, "00-001", "Warszawa", "PL"),
    "Portugal": Place(15, "1000-001", "Lisboa", "PT"),
    "RSA": Place(30, "8001", "Cape Town"),
    "Saudi Arabia": Place(186, "11564", "Riyadh"),
    "Singapore": Place(25, "018956", "Singapore"),
    "Spain": Place(6, "28001", "Madrid", "ES", dni=True),
    "Sweden": Place(18, "111 20", "Stockholm", "SE"),
    "Switzerland": Place(19, "8001", "Zurich"),
    "Thailand": Place(204, "10100", "Bangkok"),
    "USA": Place(21, "10001", "New York", state=35),
    "United Arab Emirates": Place(215, "", "Dubai"),
    "West Indies": Place(51, "BB11000", "Bridgetown"),
}


def reference_rows() -> dict[str, list[dict[str, Any]]]:
    """The reference rows by resource."""
    from ps_qb_pipeline.sandbox.shop.seeds import empty

    rows = empty()
    rows["languages"] = [r for r in rows["languages"] if r["id"] == 1]
    rows["currencies"] = [
        r | {"conversion_rate": "1.000000", "active": "1"}
        for r in rows["currencies"]
        if r["iso_code"] == "GBP"
    ]
    rows["shops"] = [rows["shops"][0] | {"name": "Retail Sandbox"}]
    rows["taxes"] = [_tax(1, "VAT UK 20%", "20.000"), _tax(2, "VAT UK 0%", "0.000")]
    groups = {STANDARD: "UK standard rate (20%)", ZERO_RATED: "UK zero rate", UNTAXED: "No tax (vouchers)"}
    rows["tax_rule_groups"] = [
        {"id": i, "name": name, "active": "1", "deleted": "0", "date_add": INSTALLED, "date_upd": INSTALLED}
        for i, name in groups.items()
    ]
    rows["tax_rules"] = [_rule(1, STANDARD, 1), _rule(2, ZERO_RATED, 2)]
    rows["carriers"] = [
        r | {"name": name, "id_tax_rules_group": STANDARD}
        for r, name in zip(rows["carriers"][:2], ("Collected", "Parcel service"), strict=True)
    ]
    settings = {
        "PS_CURRENCY_DEFAULT": "3",
        "PS_COUNTRY_DEFAULT": str(UNITED_KINGDOM),
        "PS_TIMEZONE": "Europe/London",
        "PS_SHOP_NAME": "Retail Sandbox",
        "PS_ROUND_TYPE": "3",
    }
    known = {r.get("name") for r in rows["configurations"]}
    rows["configurations"] = [
        r | {"value": settings.get(r.get("name", ""), r.get("value", ""))}
        for r in rows["configurations"]
        if r.get("name")
    ]
    highest = max(r["id"] for r in rows["configurations"])
    rows["configurations"] += [
        {"id": highest + i, "name": name, "value": value, "id_shop_group": "", "id_shop": ""}
        for i, (name, value) in enumerate(settings.items(), 1)
        if name not in known
    ]
    return rows


def _tax(row_id: int, name: str, rate: str) -> dict[str, Any]:
    return {"id": row_id, "rate": rate, "active": "1", "deleted": "0", "name": [{"id": 1, "value": name}]}


def _rule(row_id: int, group: int, tax: int) -> dict[str, Any]:
    return {
        "id": row_id, "id_tax_rules_group": group, "id_state": 0, "id_country": UNITED_KINGDOM, "zipcode_from": "0",
        "zipcode_to": "0", "id_tax": tax, "behavior": 0, "description": "",
    }  # fmt: skip
