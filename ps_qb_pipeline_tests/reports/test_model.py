"""The figures of the first screen and of the summary are those of the tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

from ps_qb_pipeline.reports.front import front
from ps_qb_pipeline.reports.model import Report, read_report, summary
from ps_qb_pipeline_tests.recon.world import World


def test_the_summary_counts_every_order_once(report: Report) -> None:
    """Postable, held and not postable orders are all orders."""
    figures = summary(report)
    assert figures["orders"] == 7
    assert figures["postable"] == 4
    assert figures["not_postable"] == {"before_go_live": 1, "unpaid": 1}
    assert figures["held"] == {"PS_IDENTITY_BREAK": 1}
    assert (
        figures["postable"] + figures["held_orders"] + sum(figures["not_postable"].values())
        == figures["orders"]
    )


def test_the_summary_counts_documents_and_exceptions(report: Report) -> None:
    """The deleted document is expected and not confirmed; the edited one is confirmed."""
    figures = summary(report)
    assert (figures["documents_expected"], figures["documents_confirmed"], figures["orders_confirmed"]) == (
        6,
        5,
        3,
    )
    assert figures["exceptions"] == {"QBO_DELETED": 1, "QBO_EDITED": 1, "QBO_FOREIGN_LINE": 1}
    assert figures["unclassified"] == {"EUR": "0.00", "USD": "0.00"}
    assert figures["open_difference"] == {"EUR": "105.60", "USD": "0.00"}
    assert figures["open_held"] == {"EUR": "30.00", "USD": "0.00"}


def test_what_is_past_its_day_is_told_by_code(report: Report) -> None:
    """Two business days where the close is blocked, ten where not; the oldest first."""
    late = summary(report)["overdue"]
    assert [(one["code"], one["count"], one["oldest"]) for one in late] == [
        ("QBO_DELETED", 1, "2026-01-01"),
        ("QBO_EDITED", 1, "2026-01-19"),
        ("QBO_FOREIGN_LINE", 1, "2026-01-19"),
        ("PS_IDENTITY_BREAK", 1, "2026-01-20"),
    ]
    assert late[2]["amounts"] == {"EUR": "42.00"}
    assert late[2]["owner"] == "A"


def test_a_wire_that_nobody_proved_may_wait_two_weeks() -> None:
    """A payment row that only a status change made: late on the fifteenth day, not on the fourteenth."""
    world = World()
    world.sale(1001, document="Invoice")
    world.rows(
        "ledger.findings",
        {
            "code": "PAY_SYNTHETIC", "severity": "W", "owner": "M", "source_type": "payment", "source_id": 6001,
            "order_id": 1001, "document_key": "", "amount": Decimal(30), "currency": "EUR", "message": "",
            "evidence": "{}",
        },
    )  # fmt: skip
    world.run()
    by_day = {
        day: [
            one.code
            for one in read_report(world.con, as_of=datetime(2026, 1, day, tzinfo=UTC)).figures.overdue
        ]
        for day in (29, 30)
    }
    assert by_day == {29: [], 30: ["PAY_SYNTHETIC"]}


def test_the_summary_is_json(report: Report) -> None:
    """Machines read it without help."""
    assert json.loads(json.dumps(summary(report))) == summary(report)


def test_the_open_difference_is_the_sum_of_the_exceptions(report: Report) -> None:
    """What the first screen says is what the list sums to."""
    rows = report.tables["exceptions"].records()
    total = sum(row["amount"] for row in rows if row["currency"] == "EUR")
    assert report.figures.open_difference["EUR"] == total == Decimal("105.60")


def test_the_proof_holds_and_breaks(world: World, report: Report) -> None:
    """A report of a world with a forgotten row says that it must not be relied on."""
    assert report.whole
    broken = World()
    broken.sale(1001)
    broken.con.execute("delete from ledger.sources where source_type = 'order'")
    broken.run()
    told = read_report(broken.con, as_of=datetime(2026, 2, 10, tzinfo=UTC))
    assert not told.whole
    assert "do not rely" in front(told).proof


def test_rows_beyond_the_limit_are_counted(world: World) -> None:
    """A table that is cut says how many rows it leaves out."""
    cut = read_report(world.con, detail_rows=2, stories=1)
    documents = cut.tables["documents"]
    assert (len(documents.rows), documents.left_out) == (2, 4)
    assert len(cut.stories) == 1


def test_an_empty_shop_has_a_report() -> None:
    """Before the first order every table is there and nothing is open."""
    empty = World()
    empty.run()
    told = read_report(empty.con)
    assert told.whole
    assert summary(told)["orders"] == 0
    assert front(told).headline == "The shop has no orders yet."
