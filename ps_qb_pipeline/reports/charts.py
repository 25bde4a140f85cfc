"""The pictures of the report, as SVG.

What lives here: which figures are drawn and how. What does not: the page around them. Floats are
allowed here and nowhere else: a picture is for looking, the table beside it for counting. Patterns
and labels carry what colour carries, so that a print in black and white says the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ps_qb_pipeline.reports.model import Report
from ps_qb_pipeline.reports.words import clean, show

INK, LIGHT, MARK = "#1f4e79", "#9cc3e6", "#c55a11"
"""Dark and light of one hue, and one for what needs a look: distinct in grey as well."""

MOST_BARS = 10


@dataclass(frozen=True, slots=True)
class Picture:
    """One chart: ``alt`` says in words what is to be seen, for whoever cannot see it."""

    name: str
    title: str
    alt: str
    svg: str


def pictures(report: Report) -> dict[str, Picture]:
    """Every chart that has something to show, by name."""
    drawn = (_sales(report), _open(report), _ladder(report), _products(report), _countries(report))
    return {picture.name: picture for picture in drawn if picture is not None}


def _svg(chart: Any) -> str:
    import vl_convert

    themed = chart.configure(font="DejaVu Sans, Arial, sans-serif").configure_view(strokeWidth=0)
    themed = themed.configure_axis(labelFontSize=12, titleFontSize=12, labelLimit=220, gridColor="#e5e5e5")
    return str(vl_convert.vegalite_to_svg(themed.to_json()))


def _data(rows: Sequence[dict[str, Any]]) -> Any:
    import altair as alt

    return alt.Data(values=list(rows))


def _sales(report: Report) -> Picture | None:
    import altair as alt

    home = report.cover.home_currency
    days = [row for row in report.tables["periods"].records() if row["currency"] == home]
    if not days:
        return None
    span = (days[-1]["txn_date"] - days[0]["txn_date"]).days
    unit, width = ("day", 10) if span <= 62 else ("month", 7)
    sums: dict[str, list[float]] = {}
    for row in days:
        entry = sums.setdefault(row["txn_date"].isoformat()[:width], [0.0, 0.0])
        entry[0] += float(row["expected"])
        entry[1] += float(row["actual"])
    values = [
        {"when": when, "what": what, "amount": amount}
        for when, (expected, actual) in sums.items()
        for what, amount in (("sold in the shop", expected), ("in QuickBooks", actual))
    ]
    chart = (
        alt.Chart(_data(values), width=620, height=200)
        .mark_bar(stroke=INK, strokeWidth=1)
        .encode(
            x=alt.X("when:O", title=None, axis=alt.Axis(labelAngle=-60 if len(sums) > 8 else 0)),
            xOffset=alt.XOffset("what:N", sort=["sold in the shop", "in QuickBooks"]),
            y=alt.Y("amount:Q", title=home, axis=alt.Axis(format=",.0f")),
            color=alt.Color(
                "what:N",
                title=None,
                scale=alt.Scale(domain=["sold in the shop", "in QuickBooks"], range=[LIGHT, INK]),
                legend=alt.Legend(orient="top"),
            ),
        )
    )
    alt = f"Sales by {unit} in {home}, as expected and as in QuickBooks, {len(sums)} {unit}s."
    return Picture("sales", f"Sales by {unit}, {home}", alt, _svg(chart))


def _bars(name: str, title: str, rows: Sequence[tuple[str, Any]], colour: str, unit: str) -> Picture | None:
    import altair as alt

    shown = [(clean(label, 40) or "(unknown)", value) for label, value in rows if value][:MOST_BARS]
    if not shown:
        return None
    values = [
        {"place": place, "label": label, "amount": float(value), "text": show(value, "money")}
        for place, (label, value) in enumerate(shown)
    ]
    base = alt.Chart(_data(values), width=480, height=26 * len(values)).encode(
        y=alt.Y("label:N", title=None, sort=alt.SortField("place"), axis=alt.Axis(ticks=False, domain=False)),
        x=alt.X("amount:Q", title=unit, axis=alt.Axis(format=",.0f", tickCount=4)),
    )
    chart = base.mark_bar(color=colour) + base.mark_text(align="left", dx=4, fontSize=12).encode(
        text="text:N"
    )
    alt = f"{title}: " + "; ".join(f"{label} {show(value, 'money')}" for label, value in shown)
    return Picture(name, title, alt, _svg(chart))


def _open(report: Report) -> Picture | None:
    home = report.cover.home_currency
    rows = [
        (f"{row['code']} ({row['count']})", row["amount"])
        for row in report.tables["exceptions_by_code"].records()
        if row["currency"] == home
    ]
    rows.sort(key=lambda row: -row[1])
    return _bars("open", f"Open difference by cause, {home}", rows, MARK, home)


def _products(report: Report) -> Picture | None:
    rows = [
        (row["product_name"] or row["sku"], row["gross_margin"])
        for row in report.tables["profit_by_product"].records()
        if (row["sku"] or row["product_name"]) and row["gross_margin"] > 0
    ]
    rows.sort(key=lambda row: -row[1])
    home = report.cover.home_currency
    return _bars("products", f"Products with the largest gross margin, {home}", rows, INK, home)


def _countries(report: Report) -> Picture | None:
    rows = [(row["country"], row["revenue"]) for row in report.tables["profit_by_country"].records()]
    home = report.cover.home_currency
    return _bars("countries", f"Net revenue by country, {home}", rows, INK, home)


def _ladder(report: Report) -> Picture | None:
    import altair as alt

    months = report.tables["profit_by_month"].records()
    if not months:
        return None
    total = {
        name: sum(row[name] for row in months) for name in ("gross_sales", "discounts", "refunds", "revenue")
    }
    total |= {name: sum(row[name] for row in months) for name in ("covered_revenue", "cogs", "gross_margin")}
    unknown = total["revenue"] - total["covered_revenue"]
    steps = (
        ("Gross sales", 0, total["gross_sales"]),
        ("Discounts", total["gross_sales"], total["gross_sales"] + total["discounts"]),
        ("Refunds", total["gross_sales"] + total["discounts"], total["revenue"]),
        ("Net revenue", 0, total["revenue"]),
        ("Cost unknown", total["revenue"], total["revenue"] - unknown),
        ("Cost of goods", total["covered_revenue"], total["gross_margin"]),
        ("Gross margin", 0, total["gross_margin"]),
    )
    values = [
        {
            "place": place, "label": label, "from": float(start), "to": float(end),
            "sum": start == 0, "top": float(max(start, end)), "text": show(end - start, "money"),
        }
        for place, (label, start, end) in enumerate(steps)
    ]  # fmt: skip
    base = alt.Chart(_data(values), width=620, height=220).encode(
        x=alt.X("label:N", title=None, sort=alt.SortField("place"), axis=alt.Axis(labelAngle=0))
    )
    bars = base.mark_bar(size=56, stroke=INK).encode(
        y=alt.Y("from:Q", title=report.cover.home_currency, axis=alt.Axis(format=",.0f")),
        y2="to:Q",
        color=alt.condition("datum.sum", alt.value(INK), alt.value(LIGHT)),
    )
    texts = base.mark_text(dy=-6, fontSize=12).encode(y="top:Q", text="text:N")
    alt = "; ".join(f"{label} {show(end - start, 'money')}" for label, start, end in steps)
    return Picture(
        "ladder", f"From gross sales to gross margin, {report.cover.home_currency}", alt, _svg(bars + texts)
    )
