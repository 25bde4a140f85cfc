"""Works out from a shop's rows what each order should have become, and compares it with what books hold.

What lives here: the judge of a corpus. What does not: loading a corpus and running a pipeline over it
(``corpus_engine``). Nothing here uses the engine's own reasoning: totals, taxes, refunds, dates and classes
are worked out again from the rows, and from the tax rows that the web service hides.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

ZERO = Decimal(0)
WHOLE_CURRENCIES = {"JPY"}
VOUCHER = re.compile(r"^V(\d+)C(\d+)O(\d+)(?:-\d+)*$")


# -- documents as the books hold them ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Booked:
    """One document as some books hold it. ``taxes`` by percent, rates of zero left out."""

    key: str
    type: str
    total: Decimal
    total_tax: Decimal
    taxes: dict[Decimal, Decimal]
    txn_date: date
    currency: str
    customer: str

    @property
    def role(self) -> str:
        """``sale``, ``payment``, ``refund`` ... from the key."""
        return self.key.split("|")[1]

    @property
    def source_id(self) -> int:
        """The id of the order, payment row or slip that it was made of."""
        return int(self.key.split("|")[2])


@dataclass(slots=True)
class Outcome:
    """What a pipeline made of a corpus: documents, and one class per source object."""

    booked: list[Booked]
    sources: list[tuple[str, int, str, str]]
    """Type, id, status and reason of every order, payment row and slip."""
    findings: dict[int, set[str]] = field(default_factory=dict)
    """Finding codes by order id."""


# -- the judge --------------------------------------------------------------------------------


class Judge:
    """Works out from rows and truth what each order should have become, and compares."""

    def __init__(
        self,
        tables: Mapping[str, Sequence[dict[str, Any]]],
        truth: Mapping[str, Sequence[dict[str, Any]]],
        *,
        store_credit: str = "discount",
    ) -> None:
        self.store_credit = store_credit
        self.codes = {row["id"]: row["code"] for row in tables["cart_rules"]}
        self.voucher_times = {
            (int(match[3]), row["date_from"])
            for row in tables["cart_rules"]
            if (match := VOUCHER.match(row["code"])) and "-" not in row["code"]
        }
        self.orders = {row["id"]: row for row in tables["orders"]}
        self.currencies = {row["id"]: row for row in tables["currencies"]}
        self.states = {row["id"]: row for row in tables["order_states"]}
        self.percents = {row["id"]: row["rate"] for row in tables["taxes"]}
        self.emails = {row["id"]: row["email"].lower() for row in tables["customers"]}
        self.slips = list(tables["order_slip"])
        self.payments = list(tables["order_payments"])
        self.details = _group(tables["order_details"], "id_order")
        self.rules = _group(tables["order_cart_rules"], "id_order")
        self.histories = _group(tables["order_histories"], "id_order")
        self.detail_taxes = _group(truth["order_detail_tax"], "id_order")
        self.invoice_taxes = _group(truth["order_invoice_tax"], "id_order")
        self.carts: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
        for row in self.orders.values():
            self.carts[row["reference"], row["id_cart"]].append(row)
        self.default_currency = "EUR"
        self.problems: list[str] = []

    # -- what an order is ----------------------------------------------------------------------

    def currency(self, order: Mapping[str, Any]) -> str:
        """The order's currency."""
        return str(self.currencies[order["id_currency"]]["iso_code"])

    def reason(self, order: Mapping[str, Any]) -> str:
        """Why an order is no sale, or nothing: it once reached a paid or invoiced state, or it did not."""
        if order["invoice_number"] or order["invoice_date"]:
            return ""
        seen = [self.states[row["id_order_state"]] for row in self.histories[order["id"]]]
        if any(state["paid"] or state["invoice"] for state in seen):
            return ""
        return "cancelled" if order["current_state"] == 6 else "unpaid"

    def shipping(self, order: Mapping[str, Any]) -> tuple[Decimal, Decimal]:
        """The order's own shipping: derived where the parts of a cart repeat the whole cart's."""
        cart = self.carts[order["reference"], order["id_cart"]]
        stored = (order["total_shipping_tax_excl"], order["total_shipping_tax_incl"])
        if len(cart) == 1 or all(self._closes(row, self._stored(row)) for row in cart):
            return stored
        derived = {row["id"]: tuple(-side for side in self._gap(row, (ZERO, ZERO))) for row in cart}
        tolerance = sum((self.bound(row) for row in cart), ZERO)
        for side in (0, 1):
            if abs(sum((-pair[side] for pair in derived.values()), ZERO) - stored[side]) > tolerance:
                return stored
        own = derived[order["id"]]
        return (-own[0], -own[1])

    def _stored(self, order: Mapping[str, Any]) -> tuple[Decimal, Decimal]:
        return (order["total_shipping_tax_excl"], order["total_shipping_tax_incl"])

    def _gap(self, order: Mapping[str, Any], shipping: tuple[Decimal, Decimal]) -> tuple[Decimal, Decimal]:
        sides = []
        for side, (products, name) in enumerate((("total_products", "excl"), ("total_products_wt", "incl"))):
            parts = (
                order[products] - order[f"total_discounts_tax_{name}"] + order[f"total_wrapping_tax_{name}"]
            )
            sides.append(order[f"total_paid_tax_{name}"] - parts - shipping[side])
        return (sides[0], sides[1])

    def unit(self, order: Mapping[str, Any]) -> Decimal:
        """The minor unit of the order's currency."""
        return Decimal(1) if self.currency(order) in WHOLE_CURRENCIES else Decimal("0.01")

    def bound(self, order: Mapping[str, Any]) -> Decimal:
        """The bound of identity I1 in money."""
        lines = len(self.details[order["id"]])
        wide = order["round_mode"] in {0, 1}
        if order["round_type"] in {1, 3}:
            return self.unit(order) * (1 if wide else 0)
        return self.unit(order) * (lines + 1 if wide else (lines + 2) // 2)

    def _closes(self, order: Mapping[str, Any], shipping: tuple[Decimal, Decimal]) -> bool:
        return all(abs(side) <= self.bound(order) for side in self._gap(order, shipping))

    def sane(self, order: Mapping[str, Any]) -> bool:
        """Whether identities I1 (repaired shipping included), I3, I4 and I7 hold."""
        if order["total_paid"] != order["total_paid_tax_incl"]:
            return False
        for name in ("discounts", "paid"):
            te, ti = order[f"total_{name}_tax_excl"], order[f"total_{name}_tax_incl"]
            if not 0 <= te <= ti:
                return False
        return self._closes(order, self.shipping(order)) and self._rows_hold(order)

    def _rows_hold(self, order: Mapping[str, Any]) -> bool:
        unit = self.unit(order)
        for name, header in (("excl", "total_products"), ("incl", "total_products_wt")):
            total = ZERO
            for row in self.details[order["id"]]:
                total += row[f"total_price_tax_{name}"]
                if order["round_type"] == 3:
                    expected = row[f"unit_price_tax_{name}"] * row["product_quantity"]
                    if abs(expected - row[f"total_price_tax_{name}"]) > Decimal("0.00001"):
                        return False
            limit = unit / 2 if order["round_type"] == 3 else ZERO
            if abs(total - order[header]) > limit:
                return False
        return True

    # -- tax -----------------------------------------------------------------------------------

    def expected_taxes(self, order: Mapping[str, Any]) -> dict[Decimal, Decimal] | None:
        """PrestaShop's own tax by percent, or None where its rows do not close with the header.

        Exact: the tax of shipping at two rates stands there with the fractions that the invoice has.
        """
        unit = self.unit(order)
        number = order["id"]
        rows: dict[int, Decimal] = defaultdict(lambda: ZERO)
        for row in self.detail_taxes[number]:
            rows[row["id_tax"]] += Decimal(row["total_amount"])
        found: dict[int, Decimal] = defaultdict(lambda: ZERO)
        for tax, amount in rows.items():
            found[tax] += amount.quantize(unit, ROUND_HALF_UP)
        free = any(row["free_shipping"] and not row["deleted"] for row in self.rules[number])
        shipping = self.shipping(order)
        if not free:
            self._add_charge(found, order, "shipping", shipping[1] - shipping[0])
        self._add_charge(
            found, order, "wrapping", order["total_wrapping_tax_incl"] - order["total_wrapping_tax_excl"]
        )
        self._add_ecotax(found, order)
        header = order["total_paid_tax_incl"] - order["total_paid_tax_excl"]
        if abs(sum(found.values(), ZERO) - header) > self.unit(order) / 100 or found.get(-1):
            return None
        by_percent: dict[Decimal, Decimal] = defaultdict(lambda: ZERO)
        effective = self._effective(order)
        for tax, amount in found.items():
            percent = effective.get(tax, self.percents.get(tax, ZERO)).normalize()
            if abs(amount) >= self.unit(order) and not percent:
                return None  # a tax on a rate of zero: no books can hold it
            by_percent[percent] += amount
        return {percent: amount for percent, amount in by_percent.items() if amount}

    def _effective(self, order: Mapping[str, Any]) -> dict[int, Decimal]:
        """Percents on the net amount of taxes that are charged on other taxes."""
        found = {}
        for row in self.details[order["id"]]:
            whole = Decimal(100)
            if row["tax_computation_method"] == 2:
                for tax in row["taxes"]:
                    own = self.percents[int(tax["id"])] * whole / 100
                    found[int(tax["id"])] = own
                    whole += own
        return found

    def _add_charge(
        self, found: dict[int, Decimal], order: Mapping[str, Any], kind: str, tax: Decimal
    ) -> None:
        """The header's tax of shipping or wrapping, divided as the shop's invoice divides it."""
        rows: dict[int, Decimal] = defaultdict(lambda: ZERO)
        for row in self.invoice_taxes[order["id"]]:
            if row["type"] == kind:
                rows[row["id_tax"]] += Decimal(row["amount"])
        whole = sum(rows.values(), ZERO)
        if not whole:
            if tax:
                found[-1] += tax
            return
        for number, amount in rows.items():
            found[number] += tax * amount / whole

    def _add_ecotax(self, found: dict[int, Decimal], order: Mapping[str, Any]) -> None:
        net = sum((row["total_price_tax_excl"] for row in self.details[order["id"]]), ZERO)
        if abs(net - order["total_products"]) > self.unit(order) / 2:
            return  # the header leaves the ecotax out
        total = ZERO
        number = -1
        for row in self.details[order["id"]]:
            if row["ecotax"] and row["taxes"]:
                total += row["ecotax"] * row["ecotax_tax_rate"] / 100 * row["product_quantity"]
                own = [int(tax["id"]) for tax in row["taxes"]]
                number = own[0] if self.percents.get(own[0]) == row["ecotax_tax_rate"] else -1
        if total:
            found[number] += total.quantize(self.unit(order), ROUND_HALF_UP)

    # -- refunds -------------------------------------------------------------------------------

    def refund(self, slip: Mapping[str, Any]) -> Decimal:
        """What a slip gives back, tax included."""
        order = self.orders[slip["id_order"]]
        unit = self.unit(order)
        te, ti = slip["total_products_tax_excl"], slip["total_products_tax_incl"]
        lines = slip["order_slip_details"]
        summed = sum((Decimal(line["amount_tax_excl"]) for line in lines), ZERO)
        off = order["total_discounts_tax_incl"]
        if off and abs(te + off - summed) <= unit * len(lines):
            ti -= off
        elif all(abs(slip["amount"] - side) > unit for side in (te, ti)):
            net_shown = te != te.quantize(unit) and ti == ti.quantize(unit)
            ti = slip["amount"] * ti / te if net_shown else slip["amount"]
        return ti.quantize(unit, ROUND_HALF_UP) + slip["total_shipping_tax_incl"].quantize(
            unit, ROUND_HALF_UP
        )

    # -- the verdict ---------------------------------------------------------------------------

    def verdict(self, outcome: Outcome) -> dict[str, Any]:
        """The figures of the corpus; ``problems`` then holds a line for each mismatch."""
        by_key = {
            (one.role, one.source_id): one
            for one in outcome.booked
            if one.role in {"sale", "payment", "refund"}
        }
        status = {(kind, number): (state, reason) for kind, number, state, reason in outcome.sources}
        reasons = {number: self.reason(order) for number, order in self.orders.items()}
        postable = [number for number, reason in reasons.items() if not reason]
        sane = [number for number in postable if self.sane(self.orders[number])]
        held = {number for number in self.orders if status.get(("order", number), ("", ""))[0] == "held"}
        figures: dict[str, Any] = {
            "orders": len(self.orders),
            "postable": len(postable),
            "confirmed": sum(("sale", number) in by_key for number in self.orders),
            "not_postable": dict(sorted(Counter(r for r in reasons.values() if r).items())),
            "held": dict(
                sorted(Counter(status["order", number][1] for number in postable if number in held).items())
            ),
            "sane": len(sane),
            "sane_held": sum(number in held for number in sane),
            "total_mismatch": self._count("total", self._totals(by_key)),
            "tax_mismatch": self._count("tax", self._taxes(by_key, outcome.findings)),
            "refund_mismatch": self._count("refund", self._refunds(by_key)),
            "payment_mismatch": self._count("payment", self._payments(by_key, status)),
            "date_mismatch": self._count("date", self._dates(by_key)),
            "currency_mismatch": self._count("currency", self._currencies(by_key)),
            "customer_mismatch": self._count("customer", self._customers(by_key)),
        }
        figures["unclassified"] = self._unclassified(by_key, status, reasons)
        return figures

    def _count(self, name: str, problems: Iterable[str]) -> int:
        listed = list(problems)
        self.problems += [f"{name}: {problem}" for problem in listed]
        return len(listed)

    def _sales(self, by_key: Mapping[tuple[str, int], Booked]) -> Iterable[tuple[dict[str, Any], Booked]]:
        for number, order in self.orders.items():
            if ("sale", number) in by_key:
                yield order, by_key["sale", number]

    def _totals(self, by_key: Mapping[tuple[str, int], Booked]) -> Iterable[str]:
        for order, sale in self._sales(by_key):
            if sale.total != order["total_paid_tax_incl"]:
                yield f"order {order['id']}: {sale.total}, not {order['total_paid_tax_incl']}"

    def _taxes(
        self, by_key: Mapping[tuple[str, int], Booked], findings: Mapping[int, set[str]]
    ) -> Iterable[str]:
        for order, sale in self._sales(by_key):
            header = order["total_paid_tax_incl"] - order["total_paid_tax_excl"]
            credit = self._credit_tax(order)
            if credit is not None:
                if abs(sale.total_tax - header - credit) > self.unit(order) * 2:
                    yield f"order {order['id']}: total tax {sale.total_tax}, not {header} and {credit} of the voucher"
                continue
            expected = self.expected_taxes(order)
            have = {percent.normalize(): amount for percent, amount in sale.taxes.items() if amount}
            if expected is not None:
                unit = self.unit(order)
                if any(
                    abs(have.get(p, ZERO) - expected.get(p, ZERO)) >= unit for p in have.keys() | expected
                ):
                    yield f"order {order['id']}: {_shown(have)}, not {_shown(expected)}"
            elif sale.total_tax != header:
                yield f"order {order['id']}: total tax {sale.total_tax}, not {header}"
            elif not findings.get(order["id"]):
                yield f"order {order['id']}: rows do not close, and no finding says so"

    def _given_for(self, order: Mapping[str, Any]) -> Decimal:
        """What the customer gave for an order: money, and store credit where that counts as money."""
        credit = ZERO
        if self.store_credit == "payment":
            credit = sum(
                (
                    row["value"]
                    for row in self.rules[order["id"]]
                    if VOUCHER.match(self.codes.get(row["id_cart_rule"], ""))
                ),
                ZERO,
            )
        return Decimal(order["total_paid_tax_incl"] + credit.quantize(self.unit(order), ROUND_HALF_UP))

    def _credit_tax(self, order: Mapping[str, Any]) -> Decimal | None:
        """The tax of store credit that counts as money: it is due in full, beside the printed invoice."""
        used = [
            row["value"] - row["value_tax_excl"]
            for row in self.rules[order["id"]]
            if not row["deleted"] and VOUCHER.match(self.codes.get(row["id_cart_rule"], ""))
        ]
        return sum(used, ZERO) if used and self.store_credit == "payment" else None

    def _became_voucher(self, slip: Mapping[str, Any]) -> bool:
        return (slip["id_order"], slip["date_add"]) in self.voucher_times

    def _refunds(self, by_key: Mapping[tuple[str, int], Booked]) -> Iterable[str]:
        given: dict[int, Decimal] = defaultdict(lambda: ZERO)
        for slip in self.slips:
            refund = by_key.get(("refund", slip["id"]))
            if refund is None:
                continue
            given[slip["id_order"]] += refund.total
            expected = ZERO if self._became_voucher(slip) else self.refund(slip)
            if refund.total != expected:
                yield f"slip {slip['id']}: {refund.total}, not {expected}"
            if given[slip["id_order"]] > self._given_for(self.orders[slip["id_order"]]):
                yield f"slip {slip['id']}: more than was paid"

    def _payments(
        self, by_key: Mapping[tuple[str, int], Booked], status: Mapping[tuple[str, int], tuple[str, str]]
    ) -> Iterable[str]:
        by_reference = _group(self.payments, "order_reference")
        for (reference, _), cart in self.carts.items():
            rows = by_reference[reference]
            receipts = [
                by_key["sale", row["id"]]
                for row in cart
                if ("sale", row["id"]) in by_key and by_key["sale", row["id"]].type == "SalesReceipt"
            ]
            booked = [row for row in rows if status.get(("payment", row["id"]), ("", ""))[0] == "postable"]
            own = [row for row in booked if ("payment", row["id"]) in by_key]
            for row in own:
                expected = self._converted(row, cart[0])
                payment = by_key["payment", row["id"]]
                limit = ZERO if row["id_currency"] == cart[0]["id_currency"] else self.unit(cart[0])
                if abs(payment.total - expected) > limit:
                    yield f"payment {row['id']}: {payment.total}, not {expected}"
            by_receipt = [row for row in booked if row not in own]
            money = sum((self._converted(row, cart[0]) for row in by_receipt), ZERO)
            total = sum((receipt.total for receipt in receipts), ZERO)
            foreign = any(row["id_currency"] != cart[0]["id_currency"] for row in by_receipt)
            if abs(money - total) > (self.unit(cart[0]) if foreign else ZERO):
                yield f"reference {reference}: receipts of {total} for payments of {money}"

    def _converted(self, row: Mapping[str, Any], order: Mapping[str, Any]) -> Decimal:
        unit = self.unit(order)
        if row["id_currency"] == order["id_currency"]:
            return Decimal(row["amount"].quantize(unit, ROUND_HALF_UP))
        own = self.currencies[row["id_currency"]]
        rate = Decimal(1) if own["iso_code"] == self.default_currency else row["conversion_rate"]
        if own["iso_code"] != self.default_currency and rate in {0, 1}:
            rate = own["conversion_rate"]
        return Decimal((row["amount"] / rate * order["conversion_rate"]).quantize(unit, ROUND_HALF_UP))

    def _dates(self, by_key: Mapping[tuple[str, int], Booked]) -> Iterable[str]:
        for order, sale in self._sales(by_key):
            day = order["invoice_date"] or min(
                row["date_add"]
                for row in self.histories[order["id"]]
                if any(self.states[row["id_order_state"]][flag] for flag in ("paid", "logable", "invoice"))
            )
            if sale.txn_date != day.date():
                yield f"order {order['id']}: {sale.txn_date}, not {day.date()}"
        for role, rows in (("payment", self.payments), ("refund", self.slips)):
            for row in rows:
                document = by_key.get((role, row["id"]))
                if document is not None and document.txn_date != row["date_add"].date():
                    yield f"{role} {row['id']}: {document.txn_date}, not {row['date_add'].date()}"

    def _currencies(self, by_key: Mapping[tuple[str, int], Booked]) -> Iterable[str]:
        for order, sale in self._sales(by_key):
            if sale.currency != self.currency(order):
                yield f"order {order['id']}: {sale.currency}"
        for slip in self.slips:
            refund = by_key.get(("refund", slip["id"]))
            if refund is not None and refund.currency != self.currency(self.orders[slip["id_order"]]):
                yield f"slip {slip['id']}: {refund.currency}"

    def _customers(self, by_key: Mapping[tuple[str, int], Booked]) -> Iterable[str]:
        """One customer for one e-mail address and currency, and never for two."""
        card_of: dict[tuple[str, str], str] = {}
        owner_of: dict[str, tuple[str, str]] = {}
        for order, sale in self._sales(by_key):
            person = (self.emails.get(order["id_customer"], f"#{order['id_customer']}"), sale.currency)
            if card_of.setdefault(person, sale.customer) != sale.customer:
                yield f"order {order['id']}: another customer than its e-mail address has"
            if owner_of.setdefault(sale.customer, person) != person:
                yield f"order {order['id']}: a customer of another e-mail address"

    def _unclassified(
        self,
        by_key: Mapping[tuple[str, int], Booked],
        status: Mapping[tuple[str, int], tuple[str, str]],
        reasons: Mapping[int, str],
    ) -> str:
        """Gross money of orders that is in no class: confirmed, held, or rightly not postable."""
        rest = ZERO
        for number, order in self.orders.items():
            amount = order["total_paid_tax_incl"]
            state, _ = status.get(("order", number), ("", ""))
            if ("sale", number) in by_key:
                rest += abs(amount - by_key["sale", number].total)
            elif state == "held" or (state == "not_postable" and reasons[number]):
                continue
            else:
                self.problems.append(f"unclassified: order {number} ({state or 'no source'})")
                rest += amount
        return f"{rest:.2f}"


def _group(rows: Iterable[dict[str, Any]], key: str) -> dict[Any, list[dict[str, Any]]]:
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return found


def _shown(taxes: Mapping[Decimal, Decimal]) -> str:
    return ", ".join(f"{percent:f} %: {amount}" for percent, amount in sorted(taxes.items())) or "none"
