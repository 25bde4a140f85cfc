"""Reading many rows: pages that miss none, get smaller when the host gives up, and leave out one bad object.

What lives here: keyset paging by id and by time of change, reading by lists of ids, and the isolation of an
object that makes every answer containing it fail. What does not: single requests (``client``).

Pages are continued by the last key seen, never by offset: rows that change or vanish while being paged move
offsets, they do not move keys.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from urllib.parse import quote

from ps_qb_pipeline.errors import ShopError, ShopRefused, ShopUnavailable
from ps_qb_pipeline.prestashop.client import ADDRESS_LIMIT, Page, Shop
from ps_qb_pipeline.prestashop.resources import Resource
from ps_qb_pipeline.prestashop.rows import Poisoned, Record

FAR_FUTURE = "2999-12-31 23:59:59"
_HEAVY = frozenset({"orders", "products"})
"""Objects that the shop loads slowly: as many a page as the setting says. Of others it sends ten times as many."""
_LIGHT = 10
_HALF_LIGHT = 5
_SLIM = 10
"""A heavy object of which no more columns are wanted is half light."""
_VALUES_A_REQUEST = 500
_ROWS_A_PARENT = 3
_IDS_A_PAGE = 10_000
_ROOM = ADDRESS_LIMIT - 2_000
"""What is left of an address for values, beside the names of columns."""
_LOG = logging.getLogger(__name__)


class Pager:
    """Reads rows of one shop in pages; remembers the page size that the host survives."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self._sizes: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def size(self, resource: Resource) -> int:
        """Rows a page of ``resource`` at present."""
        factor = _LIGHT
        if resource.name in _HEAVY:
            factor = _HALF_LIGHT if len(resource.columns) <= _SLIM else 1
        return self._sizes.get(resource.name, self.shop.page_size * factor)

    def all_by_id(
        self, resource: Resource, *, after: int = 0, filters: dict[str, str] | None = None
    ) -> Iterator[Page]:
        """Pages of every row with an id above ``after``, ascending. Ends at the first page that is not full."""
        while True:
            size = self.size(resource)
            keys = {"id": f">[{after}]", **(filters or {})}
            try:
                page = self.shop.rows(resource, keys, limit=size, attempts=_tries(size))
            except ShopUnavailable as error:
                if not self._may_shrink(error, resource):
                    raise
                if size > 1:
                    self._shrink(resource, size)
                    continue
                page = self._skip_one(resource, keys, error)
            last = _advanced(page, after, resource)
            yield page
            if page.size < size:
                return
            after = last

    def changed_since(self, resource: Resource, since: datetime) -> Iterator[Page]:
        """Pages of every row whose ``date_upd`` is at or after ``since`` (shop-local), oldest first.

        A row may come twice (when it changes meanwhile, or at the seam of two pages). None is missed but
        those that change after the call began, which belong to the next window.
        """
        start = since
        while True:
            size = self.size(resource)
            window = {"date_upd": f"[{_stamp(start)},{FAR_FUTURE}]"}
            try:
                page = self.shop.rows(
                    resource, window, sort="[date_upd_ASC,id_ASC]", limit=size, attempts=_tries(size)
                )
            except ShopUnavailable as error:
                if not self._may_shrink(error, resource):
                    raise
                yield from self._by_listed_ids(resource, window)
                return
            yield page
            if page.size < size:
                return
            stamps = [one.values["date_upd"] or start for one in page.records]
            last = max(stamps, default=start)
            if last <= start or page.poisoned or stamps != sorted(stamps):
                yield from self._by_listed_ids(resource, window)
                return
            start = last

    def by_values(self, resource: Resource, column: str, values: Iterable[int | str]) -> Iterator[Page]:
        """Pages of every row whose ``column`` is one of ``values``; as few requests as addresses allow."""
        most = self.size(resource) if column == "id" else max(1, self.size(resource) // _ROWS_A_PARENT)
        for chunk in _chunks(sorted(set(values), key=str), most):
            yield from self._one_of(resource, column, chunk)

    def existing(self, resource: Resource, filters: dict[str, str] | None = None) -> Iterator[list[int]]:
        """The ids of every row, ascending, in pages: cheap, the shop loads no object for it."""
        after = 0
        while True:
            found = self.shop.ids(resource, {"id": f">[{after}]", **(filters or {})}, limit=_IDS_A_PAGE)
            yield found
            if len(found) < _IDS_A_PAGE:
                return
            if found != sorted(found) or found[0] <= after:
                raise _no_progress(resource)
            after = found[-1]

    def _one_of(self, resource: Resource, column: str, values: Sequence[int | str]) -> Iterator[Page]:
        try:
            page = self.shop.rows(resource, {column: one_of(values)}, attempts=_tries(len(values)))
        except ShopError as error:
            too_long = isinstance(error, ShopRefused) and error.facts.get("status") == 414
            if not too_long and not self._may_shrink(error, resource):
                raise
            if len(values) > 1:
                if not too_long:
                    self._shrink(resource, self.size(resource))
                half = len(values) // 2
                yield from self._one_of(resource, column, values[:half])
                yield from self._one_of(resource, column, values[half:])
            elif column == "id":
                self._restore(resource)
                yield Page((), (_unsendable(resource, int(values[0]), error),))
            else:
                yield from self.all_by_id(resource, filters={column: one_of(values)})
            return
        wanted = set(values)
        if resource.columns[column] == "int" and any(
            one.values[column] not in wanted for one in page.records
        ):
            raise _no_progress(resource)
        yield page

    def _by_listed_ids(self, resource: Resource, window: dict[str, str]) -> Iterator[Page]:
        """The rows of ``window``, by their ids: for a second with more rows than a page, or a page that fails."""
        for found in self.existing(resource, window):
            yield from self.by_values(resource, "id", found)

    def _skip_one(self, resource: Resource, keys: dict[str, str], error: ShopError) -> Page:
        """The page that holds, by name, the one object that cannot even be sent; empty past the last one."""
        ids = self.shop.ids(resource, keys, limit=1)
        self._restore(resource)
        return Page((), tuple(_unsendable(resource, number, error) for number in ids))

    def _may_shrink(self, error: ShopError, resource: Resource) -> bool:
        """Whether a smaller page may help: the failure is of that kind and the shop still answers at all."""
        if not error.facts.get("smaller"):
            return False
        try:
            self.shop.ids(resource, {}, limit=1, attempts=2)
        except ShopError:
            return False
        return True

    def _shrink(self, resource: Resource, size: int) -> None:
        self._before.setdefault(resource.name, size)
        self._sizes[resource.name] = max(1, size // 2)
        _LOG.info(
            "%s: the host gives up on pages of %d rows, going on with %d", resource.name, size, size // 2
        )

    def _restore(self, resource: Resource) -> None:
        """One object was the cause, not the size of the pages."""
        if resource.name in self._before:
            self._sizes[resource.name] = self._before.pop(resource.name)


def one_of(values: Sequence[int | str]) -> str:
    """The filter that selects rows with one of ``values``."""
    return f"[{'|'.join(map(str, values))}]"


def records(pages: Iterable[Page]) -> list[Record]:
    """The readable rows of ``pages``."""
    return [one for page in pages for one in page.records]


def _no_progress(resource: Resource) -> ShopRefused:
    return ShopRefused(
        f"GET {resource.name}: the shop ignores a filter or a sort, so that rows would be missed; a module or an override "
        "changes the web service: switch it off",
        codes=[],
        resource=resource.name,
    )


def _chunks(values: Sequence[int | str], most: int) -> Iterator[Sequence[int | str]]:
    """``values`` in runs of at most ``most`` that fit into one address."""
    start = used = 0
    for position, value in enumerate(values):
        length = len(quote(str(value))) + 3
        if position > start and (used + length > _ROOM or position - start >= min(most, _VALUES_A_REQUEST)):
            yield values[start:position]
            start, used = position, 0
        used += length
    if start < len(values):
        yield values[start:]


def _tries(size: int) -> int | None:
    return None if size == 1 else 2


def _advanced(page: Page, after: int, resource: Resource) -> int:
    """The highest id of a page that must lie wholly above ``after`` and be in ascending order."""
    ids = [one.id for one in page.records]
    named = [one.id for one in page.poisoned if one.id is not None]
    if ids != sorted(ids) or min([*ids, *named], default=after + 1) <= after:
        raise _no_progress(resource)
    return max([*ids, *named], default=after)


def _unsendable(resource: Resource, number: int, error: ShopError) -> Poisoned:
    status = error.facts.get("status", 0)
    parent = str(number) if resource.name == "orders" else ""
    return Poisoned(resource.name, number, parent, f"the shop fails to send it (status {status})", "null")


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
