"""The exceptions of the whole package.

What lives here: one tree, whose leaves say whether the same call may be tried again, and whose
messages read value, rule, way out. What does not: findings about data (``accounting.findings``);
an exception here means an outage, a wrong setting or a bug, never a strange order.

    PipelineError
    ├── SettingsError            a defs.yaml, an environment variable or an option is wrong
    ├── Busy                     another process holds the lease (retryable)
    ├── StorageError             a warehouse or control plane cannot be read or written
    ├── IntegrityError           our own proof failed: a bug of ours, never an exception of the shop's
    ├── ShopError                the shop's answer cannot be used
    │   ├── ShopUnavailable      no answer, 5xx, maintenance page (retryable)
    │   ├── ShopUnauthorized     the key is wrong or lacks a right
    │   ├── ShopRefused          a permanent error code of the web service
    │   └── NotAShop             redirect, HTML, or another program behind the URL
    └── BooksError               QuickBooks' answer cannot be used
        ├── BooksUnavailable     outcome unknown: 5xx, time-out after sending, unreadable answer (retryable)
        ├── BooksNotSent         nothing was written: the connection was never made (retryable)
        ├── BooksThrottled       429: wait, then the same bytes again (retryable)
        │   └── MeterSpent       the month's metered reads are used up: wait for the next month
        ├── BooksFault           QuickBooks refused the request and said why
        └── ReconnectNeeded      the refresh token is refused: a person must connect again

Every leaf can be pickled, because exceptions cross process borders.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class PipelineError(Exception):
    """The base of every error that this package raises on purpose."""

    retryable = False

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts
        """What a machine may want to know: ids, codes, counts. Never a secret, never personal data."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), str(self), self.__dict__))


def _rebuild(kind: type[PipelineError], message: str, state: dict[str, Any]) -> PipelineError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class SettingsError(PipelineError):
    """A setting is wrong. ``where`` names file, line and field as far as they are known."""

    def __init__(self, message: str, *, where: str = "", **facts: Any) -> None:
        super().__init__(f"{where}: {message}" if where else message, **facts)
        self.where = where


class Busy(PipelineError):
    """Another process is at work on the same thing; trying again later is right."""

    retryable = True


class StorageError(PipelineError):
    """A file or database of ours cannot be read or written."""


class IntegrityError(PipelineError):
    """A total was not conserved or an object is in no class or in two: a bug of ours."""


class ShopError(PipelineError):
    """The shop's answer cannot be used."""


class ShopUnavailable(ShopError):
    """The shop did not answer, or answered with an outage."""

    retryable = True


class ShopUnauthorized(ShopError):
    """The web service key is unknown, inactive, or lacks a right."""


class ShopRefused(ShopError):
    """The web service refused the request for good; ``facts['codes']`` holds its error codes."""


class NotAShop(ShopError):
    """Whatever answers at this address is not the web service of a PrestaShop."""


class BooksError(PipelineError):
    """QuickBooks' answer cannot be used."""


class BooksUnavailable(BooksError):
    """The request may or may not have been carried out: its outcome is unknown."""

    retryable = True


class BooksNotSent(BooksError):
    """The request never left: nothing was written."""

    retryable = True


class BooksThrottled(BooksError):
    """QuickBooks answered 429; ``retry_after`` is in seconds."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float = 60.0, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after


class MeterSpent(BooksThrottled):
    """The month's metered reads are used up as far as we let them be; writes go on."""

    retryable = False


@dataclass(frozen=True, slots=True)
class FaultError:
    """One entry of a Fault as QuickBooks returned it."""

    code: str
    message: str
    detail: str = ""
    element: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Everything that QuickBooks said when it refused a request."""

    errors: tuple[FaultError, ...]
    type: str = ""
    status: int = 0
    intuit_tid: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The first error's code, or the empty string."""
        return self.errors[0].code if self.errors else ""


class BooksFault(BooksError):
    """QuickBooks refused the request; ``fault`` holds all of its errors."""

    def __init__(self, message: str, *, fault: Fault, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.fault = fault


class ReconnectNeeded(BooksError):
    """The refresh token was refused; only a person's new consent helps."""
