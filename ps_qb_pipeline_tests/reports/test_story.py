"""The story of an order goes from the shop's rows to its class and says what to do next."""

from __future__ import annotations

from ps_qb_pipeline.reports.story import explain, find_orders, story_text
from ps_qb_pipeline_tests.recon.world import World


def test_an_order_is_found_by_id_reference_and_document(world: World) -> None:
    """Whatever a person has at hand leads to the order."""
    assert (
        find_orders(world.con, "1002")
        == find_orders(world.con, "REF1002")
        == find_orders(world.con, "PS1-1002")
        == [1002]
    )
    assert find_orders(world.con, "PS1-P6002") == [1002]
    assert find_orders(world.con, "nothing") == []


def test_a_booked_order_is_told_to_the_end(world: World) -> None:
    """Raw amounts, documents with lines and tax, the writes, the books, the class."""
    text = story_text(explain(world.con, [1003])[0])
    for words in (
        "30.00 USD",
        "PS1-1003",
        "sku:SKU-1",
        "FR20",
        "CONFIRMED",
        "SalesReceipt",
        "matched",
        "Nothing.",
    ):
        assert words in text
    assert "Booked and equal to the cent" in text


def test_an_order_with_a_deleted_document_says_what_to_do(world: World) -> None:
    """Verdict with code and money, the dead document, the action of the code table."""
    story = explain(world.con, [1004])[0]
    assert story.verdict == "Open: QBO_DELETED, 30.00 EUR."
    assert story.todo[0].startswith("QBO_DELETED: ")
    assert "deleted" in story_text(story)


def test_held_unpaid_and_early_orders_say_why(world: World) -> None:
    """Each has its own sentence."""
    held, unpaid, early = explain(world.con, [1010, 1011, 1012])
    assert "PS_IDENTITY_BREAK" in held.verdict
    assert unpaid.verdict == "Not to be booked: unpaid."
    assert early.verdict.startswith("Older than the start")


def test_an_unknown_order_has_no_story(world: World) -> None:
    """Nothing is invented."""
    assert explain(world.con, [424242]) == []
