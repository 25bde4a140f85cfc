"""What was earned and spent, by customer, vendor, employee, location, class or item.

What lives here: which group a posting belongs to, sums by account and group, and the reports of sales by
location and by class. What does not: periods (``periods``), statements (``reports``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ps_qb_pipeline.sandbox.books import ledger
from ps_qb_pipeline.sandbox.books.codec import Json, ref
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.layout import Column, Wanted, cell, data, money, report, total
from ps_qb_pipeline.sandbox.books.ledger import Posting

NOBODY = "Not Specified"
KINDS = {
    "customers": "Customer",
    "vendors": "Vendor",
    "employees": "Employee",
    "departments": "Department",
    "classes": "Class",
    "productsandservices": "Item",
}
Listed = list[tuple[str, str, dict[int, int]]]


@dataclass(slots=True)
class _Sorter:
    """Tells the group of a posting; documents are read once."""

    company: Company
    kind: str
    _documents: dict[tuple[str, int], Json] = field(default_factory=dict)

    def group(self, posting: Posting) -> str:
        """Return the id of the posting's group, or the empty string."""
        if self.kind == "Item":
            return str(posting.item or "")
        if self.kind in {"Customer", "Vendor"}:
            return str(posting.party_id) if posting.party == self.kind[0] and posting.party_id else ""
        if self.kind == "Employee":
            return ""
        key = (posting.entity, posting.id)
        if key not in self._documents:
            self._documents[key] = self.company.find(posting.entity, posting.id) or {}
        document = self._documents[key]
        if self.kind == "Department":
            return ref(document.get("DepartmentRef"))
        return ref(document.get("ClassRef")) or _class_of(document, posting)


def _class_of(document: Json, posting: Posting) -> str:
    """Return the class of the lines that a posting can come from, if it is one class."""
    found = set()
    for line in document.get("Line", []):
        detail = line.get(line.get("DetailType", ""))
        if not isinstance(detail, dict) or "ClassRef" not in detail:
            continue
        same_item = posting.item and ref(detail.get("ItemRef")) == str(posting.item)
        same_account = ref(detail.get("AccountRef")) == str(posting.account)
        if same_item or same_account:
            found.add(ref(detail["ClassRef"]))
    return found.pop() if len(found) == 1 else ""


def sums_by(company: Company, first: str, last: str, by: str) -> Listed | None:
    """Return (id, name, sums by account) of every group, or None if ``by`` is no group; nobody comes last."""
    kind = KINDS.get(by.replace(" ", "").lower())
    if kind is None:
        return None
    known = ledger.accounts(company)
    sorter = _Sorter(company, kind)
    groups: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for posting in ledger.postings(company, first, last):
        if known[posting.account].is_profit:
            groups[sorter.group(posting)][posting.account] += posting.home
    listed = [(ident, _name(company, kind, ident), sums) for ident, sums in groups.items()]
    return sorted(listed, key=lambda entry: (not entry[0], entry[1].lower()))


def _name(company: Company, kind: str, ident: str) -> str:
    if not ident:
        return NOBODY
    body = company.find(kind, ident) or {}
    return str(body.get("FullyQualifiedName") or body.get("DisplayName") or body.get("Name") or NOBODY)


# Reports -------------------------------------------------------------------------------------------


def sales(by: str) -> Callable[[Company, Wanted], Json]:
    """Return the maker of the report on income by location or class."""

    def make(company: Company, wanted: Wanted) -> Json:
        known = ledger.accounts(company)
        rows, whole = [], 0
        for ident, name, sums in sums_by(company, wanted.frame.first, wanted.frame.last, by) or []:
            value = -sum(held for account, held in sums.items() if known[account].type == "Income")
            if value:
                rows.append(data([cell(name, ident), cell(money(value))]))
                whole += value
        if rows:
            rows.append(total([cell("TOTAL"), cell(money(whole))], "GrandTotal"))
        head = Column("", KINDS[by], "name")
        return report(company, wanted.frame, [head, Column("Total", key="total")], rows)

    return make


def chosen(company: Company, wanted: Wanted, found: Iterable[Posting]) -> list[Posting]:
    """Return the postings that the parameters customer, vendor, department, class and item let through."""
    asked = [(kind, set(wanted.values(kind.lower()))) for kind in KINDS.values()]
    sorters = [(_Sorter(company, kind), idents) for kind, idents in asked if idents]
    return [
        posting for posting in found if all(sorter.group(posting) in idents for sorter, idents in sorters)
    ]
