"""One turn of the pipeline in this process: shop to ledger to books to reconciliation, without Dagster.

What lives here: the steps in their order, and questions to the warehouse and the books. What does not:
the stories (the tests of this folder).
"""

from __future__ import annotations

from typing import Any

from ps_qb_pipeline.orchestration import steps
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.quickbooks.texts import canonical
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.warehouse import models
from ps_qb_pipeline_tests.journeys.conftest import Place


class Shop:
    """A connection on a running sandbox: what happens in the shop, and what becomes of it."""

    def __init__(self, place: Place, name: str, ready: dict[str, str]) -> None:
        self.place, self.name, self.ready = place, name, ready
        self.turns = 0
        runtime = self.runtime
        assert not steps.set_up(runtime, create=True).problems
        runtime.armed()
        Connections(runtime.engine).arm(name, by="the test")

    @property
    def runtime(self) -> Runtime:
        """The connection as its file describes it now."""
        return self.place.runtime(self.name)

    def does(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Something happens in the shop."""
        return self.place.control(self.ready["shop_url"], {command: arguments})

    def order(self, **arguments: Any) -> dict[str, Any]:
        """Somebody orders one thing of one unit, unless told otherwise."""
        return self.does(
            "place_order", **{"customer": "new", "currency": "EUR", "discounts": [], **arguments}
        )

    def turn(self, *, reconciled: bool = True) -> dict[str, Any]:
        """Everything once, what posting did; where not ``reconciled``, books and shop are compared later."""
        self.turns += 1
        runtime = self.runtime
        found = models.load_models().values()
        steps.pull_shop(runtime)
        steps.make_models(runtime, [one for one in found if one.name.startswith("staging.prestashop_")], [])
        steps.make_ledger(runtime, [], [])
        done = steps.post_documents(runtime, run_id=f"turn-{self.turns}")
        if reconciled:
            steps.pull_books(runtime)
            wanted = [one for one in found if one.schema in {"staging", "recon"}]
            steps.make_models(runtime, wanted, [])
            for broken in ("recon.conservation where not holds", "recon.tie_out where unclassified <> 0"):
                rows = self.ask(f"select * from {broken}")
                assert not rows, f"{broken}: {rows}"
        return done

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the warehouse."""
        with self.runtime.warehouse("test", read_only=True) as con:
            return con.execute(sql, list(values)).fetchall()

    def classes(self, order: int) -> set[str]:
        """The classes of everything that belongs to an order, on both sides."""
        return {row[0] for row in self.ask("select class from recon.objects where order_id = ?", order)}

    def books(self, entity: str, number: str) -> dict[str, Any] | None:
        """The document of that number as the books hold it."""
        field = "PaymentRefNum" if entity == "Payment" else "DocNumber"
        with self.runtime.books() as books:
            found = list(books.query_all(entity, f"{field} = '{number}'"))
        assert len(found) < 2
        return found[0] if found else None

    def by_hand(self, entity: str, number: str, **changes: Any) -> None:
        """A person changes a document in QuickBooks."""
        row = self.books(entity, number)
        assert row is not None
        with self.runtime.books() as books:
            books.update(entity, canonical({**row, **changes}), f"hand-{number}")

    def delete(self, entity: str, row: dict[str, Any]) -> None:
        """A person deletes a document in QuickBooks."""
        with self.runtime.books() as books:
            books.delete(entity, row["Id"], row["SyncToken"], f"hand-delete-{row['Id']}")

    def settings(self, **accounting: Any) -> None:
        """A person changes the accounting settings."""
        self.place.change(self.name, accounting)
