"""What a person may set: one ``defs/<name>/defs.yaml`` a connection, and the environment.

What lives here: the typed form of both, read once and handed on. What does not: secrets (a
``defs.yaml`` names the environment variable that holds one, never the value) and accounting rules
themselves (``accounting.policy``).
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.errors import SettingsError

PACKAGE_DIR = Path(__file__).parent


class Settings(BaseSettings):
    """Where this installation keeps its files. Every field is an environment variable ``PSQB_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="PSQB_", env_file=".env", extra="ignore")

    home: Path = Field(
        default=Path(".psqb"), description="Warehouses, control plane, keys, Dagster's own home."
    )
    defs_dir: Path = Field(default=PACKAGE_DIR / "defs", description="One folder a connection.")
    state_url: str = Field(
        default="", description="SQLAlchemy URL of the control plane; SQLite in home if empty."
    )

    def data_dir(self, connection: str) -> Path:
        """The folder that holds everything of one connection."""
        return self.home.absolute() / "data" / connection

    def warehouse_path(self, connection: str) -> Path:
        """The DuckDB file of one connection."""
        return self.data_dir(connection) / "warehouse.duckdb"

    @property
    def control_plane_url(self) -> str:
        """The SQLAlchemy URL of the control plane."""
        return self.state_url or f"sqlite:///{self.home.absolute() / 'control.sqlite'}"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an address that begins with http:// or https://")
    if parts.username or parts.password or "ws_key" in value:
        raise ValueError("must not contain a key or password; name its environment variable instead")
    return value.rstrip("/")


def _variable_name(value: str) -> str:
    # A key or token pasted here would be shown by every message that names the variable.
    looks_secret = len(value) >= LIKE_A_SECRET and "_" not in value
    if looks_secret or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(
            "must be the name of an environment variable, such as MY_SHOP_KEY, never the secret itself"
        )
    return value


def _variable_name_or_none(value: str) -> str:
    return value and _variable_name(value)


LIKE_A_SECRET = 20
"""A word of this length without an underscore is taken for a secret, not for a variable's name."""
VariableName = Annotated[str, AfterValidator(_variable_name)]
"""The name of an environment variable that holds a secret."""


class ShopSettings(_Model):
    """How to reach the PrestaShop web service."""

    url: str = Field(description="The shop's address, without /api.")
    key_env: VariableName = Field(description="The environment variable that holds the web service key.")
    page_size: int = Field(
        default=100, ge=1, le=1000, description="Rows a page; halved when the host gives up."
    )
    connections: int = Field(default=4, ge=1, le=8, description="Simultaneous requests.")
    webhook_secret_env: Annotated[str, AfterValidator(_variable_name_or_none)] = Field(
        default="", description="The environment variable that holds the secret of the shop's webhooks."
    )

    write_back: bool = Field(
        default=False, description="Whether an order's note names the document that it became."
    )

    _check_url = field_validator("url")(_web_address)

    @property
    def key(self) -> str:
        """The web service key, read from the environment now."""
        return _secret(self.key_env)

    @property
    def webhook_secret(self) -> str | None:
        """The secret that the shop signs its webhooks with, if it sends any."""
        return _secret(self.webhook_secret_env) if self.webhook_secret_env else None

    @property
    def has_webhooks(self) -> bool:
        """Whether the shop is expected to send webhooks."""
        return bool(os.environ.get(self.webhook_secret_env)) if self.webhook_secret_env else False


class BooksLimits(_Model):
    """How fast the company may be asked; Intuit's published limits unless set."""

    requests_per_minute: float = Field(default=500, gt=0)
    requests_per_second: float = Field(default=10, gt=0)
    batches_per_minute: float = Field(default=40, gt=0)


class BooksSettings(_Model):
    """How to reach the QuickBooks company."""

    realm: str = Field(pattern=r"^\d+$", description="The company's realm id.")
    base_url: str = Field(default="https://quickbooks.api.intuit.com", description="Where /v3/company lives.")
    discovery_url: str = Field(
        default="https://developer.intuit.com/.well-known/openid_configuration/",
        description="Intuit's OpenID discovery document.",
    )
    client_id_env: VariableName = Field(
        description="The environment variable that holds the app's client id."
    )
    client_secret_env: VariableName = Field(
        description="The environment variable that holds the app's client secret."
    )
    refresh_token_env: Annotated[str, AfterValidator(_variable_name_or_none)] = Field(
        default="", description="A first refresh token from the environment, instead of psqb connect."
    )
    webhook_verifier_env: Annotated[str, AfterValidator(_variable_name_or_none)] = Field(
        default="",
        description="The environment variable that holds the verifier token of the app's webhooks.",
    )
    limits: BooksLimits = BooksLimits()
    settle_seconds: float = Field(
        default=300,
        gt=0,
        description="So long a write whose answer was lost may still arrive; less than 130 for a sandbox only.",
    )
    redirect_uri: str = Field(
        default="http://localhost:8765/callback", description="As registered with Intuit."
    )

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return _web_address(value)

    @property
    def client_id(self) -> str:
        """The app's client id, read from the environment now."""
        return _secret(self.client_id_env)

    @property
    def client_secret(self) -> str:
        """The app's client secret, read from the environment now."""
        return _secret(self.client_secret_env)

    @property
    def first_refresh_token(self) -> str | None:
        """The refresh token to begin with, if the environment supplies one."""
        return os.environ.get(self.refresh_token_env) if self.refresh_token_env else None

    @property
    def webhook_verifier(self) -> str | None:
        """The verifier token that Intuit signs webhooks with, if the app has any."""
        return _secret(self.webhook_verifier_env) if self.webhook_verifier_env else None

    @property
    def has_webhooks(self) -> bool:
        """Whether Intuit is expected to send webhooks."""
        return bool(os.environ.get(self.webhook_verifier_env)) if self.webhook_verifier_env else False


LineKind = Literal["payment", "refund", "chargeback", "fee", "reserve", "exchange", "adjustment", "payout"]
"""What a line of a payout file is; ``payout`` is the money that goes to the bank."""


class FileFormat(_Model):
    """How to read the CSV files of a payment provider or bank: which column means what. Data, never code.

    ``columns`` maps our field to the file's column, or to several of which the first that is filled
    counts. ``recognise`` are columns that only this format has. ``kinds`` maps the file's words for a
    line to ours; a word that is not listed is ``other_kind``. ``only`` keeps lines with these values.
    """

    columns: dict[str, str | list[str]]
    recognise: list[str] = []
    kinds: dict[str, LineKind] = {}
    other_kind: LineKind = "adjustment"
    only: dict[str, list[str]] = {}
    delimiter: str = Field(default="", max_length=1, description="Found out from the header if empty.")
    decimal_comma: bool = False
    dates: Literal["iso", "day_first", "month_first"] = "iso"
    fees_are_negative: bool = Field(default=False, description="A fee that is paid has a minus sign.")
    by_withdrawal: bool = Field(
        default=False,
        description="Lines have no payout; each belongs to the next withdrawal of its currency.",
    )


def _clock_time(value: object) -> object:
    # YAML reads 22:00 without quotes as a number of seconds.
    if value is None or value == "":
        return None
    if not isinstance(value, str | time):
        raise ValueError(  # noqa: TRY004 - pydantic turns this kind into a message with its line
            'must be a time of day in quotes, such as "22:00", or "" for none'
        )
    return value


ClockTime = Annotated[time | None, BeforeValidator(_clock_time)]
"""A time of day on the wall clock of the connection's time zone."""


class EmailSettings(_Model):
    """The mail server that alerts and the daily digest go through."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    starttls: bool = Field(
        default=True, description="Whether the connection is encrypted before anything is said."
    )
    user_env: Annotated[str, AfterValidator(_variable_name_or_none)] = ""
    password_env: Annotated[str, AfterValidator(_variable_name_or_none)] = ""
    sender: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    to: tuple[str, ...] = Field(default=(), description="Who is told when something is wrong.")
    digest_to: tuple[str, ...] = Field(default=(), description="Who gets the daily digest: the accountant.")


class AlertSettings(_Model):
    """Who is told what, and when it is too early to tell. Everything goes to the log in any case."""

    email: EmailSettings | None = None
    webhook_env: Annotated[str, AfterValidator(_variable_name_or_none)] = Field(
        default="",
        description="The environment variable that holds the address of a Slack-compatible webhook.",
    )
    quiet_from: ClockTime = time(22)
    quiet_to: ClockTime = time(7)
    digest_at: ClockTime = time(8)
    remind_after_hours: int = Field(default=24, ge=0, description="0 never repeats.")
    unposted_minutes: int = Field(default=30, ge=1, description="How long a record may wait to be written.")
    watcher_minutes: int = Field(default=15, ge=0, description="How long a sensor may fail to look.")
    stale_hours: int = Field(default=26, ge=1, description="How old any layer may be.")
    disk_free_gb: int = Field(default=2, ge=0)
    open_difference_above: Decimal = Field(
        default=Decimal(0), ge=0, description="In any currency; what is open below is only in the digest."
    )


class Connection(_Model):
    """One shop and the one company that its books are kept in."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    shop: ShopSettings
    books: BooksSettings
    go_live: date = Field(description="Orders from before this day are counted and never posted.")
    accounting: Policy = Field(description="How amounts become documents; the accountant signs this part.")
    alerts: AlertSettings = AlertSettings()
    payouts: dict[str, str] = Field(
        default={}, description="Payment method to the format of its provider's payout files."
    )
    file_formats: dict[str, FileFormat] = Field(
        default={}, description="Formats of payout and bank files beside those that come with the package."
    )


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise SettingsError(f"the environment variable {variable} is empty; set it, for example in .env")
    return value


@dataclasses.dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a ``defs.yaml``; ``field`` is empty when it is the whole file, ``line`` 0."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        """File, line, field and message on one line."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.field, self.message) if part)


def load_connection(path: Path) -> Connection:
    """The connection that the file at ``path`` (``defs/<name>/defs.yaml``) describes.

    Raises SettingsError whose message has one line for each mistake: file, line, field, what is
    wrong and what is allowed. ``facts["mistakes"]`` holds them as ``Mistake``.
    """
    tree, document = _read_yaml(path)
    wrapped = isinstance(document, dict) and "attributes" in document
    body = document["attributes"] if wrapped else document
    if not isinstance(body, dict):
        raise _wrong(
            [Mistake(str(path), 1, "", "must be a mapping with shop, books, go_live and accounting")]
        )
    prefix = ("attributes",) if wrapped else ()
    try:
        connection = Connection.model_validate({"name": path.parent.name, **body})
    except ValidationError as error:
        raise _wrong([_mistake(path, tree, prefix, dict(entry)) for entry in error.errors()]) from error
    found = [
        Mistake(str(path), _line(tree, prefix + place), ".".join(place), message)
        for place, message in _contradictions(connection.accounting)
    ]
    if found:
        raise _wrong(found)
    return connection


def _wrong(mistakes: list[Mistake]) -> SettingsError:
    return SettingsError("\n".join(str(mistake) for mistake in mistakes), mistakes=mistakes)


def _read_yaml(path: Path) -> tuple[yaml.Node | None, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except OSError as error:
        raise _wrong([Mistake(str(path), 1, "", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise _wrong([Mistake(str(path), line, "", "is not text in UTF-8; save it as UTF-8")]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = f"is not YAML: {getattr(error, 'problem', None) or 'a character that YAML forbids'}"
        raise _wrong([Mistake(str(path), mark.line + 1 if mark else 1, "", message)]) from error
    if twice := [Mistake(str(path), *one) for one in _names_given_twice(tree, ())]:
        raise _wrong(twice)
    return tree, document


def _names_given_twice(node: yaml.Node | None, place: tuple[str, ...]) -> Iterator[tuple[int, str, str]]:
    """Names that a mapping holds more than once, of which YAML would silently keep the last."""
    if isinstance(node, yaml.SequenceNode):
        for number, entry in enumerate(node.value):
            yield from _names_given_twice(entry, (*place, str(number)))
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            here, line = (*place, str(key.value)), key.start_mark.line + 1
            if key.value in first:
                yield line, ".".join(here), f"stands here again, first in line {first[key.value]}; keep one"
            first.setdefault(key.value, line)
            yield from _names_given_twice(value, here)


def _mistake(path: Path, tree: yaml.Node | None, prefix: tuple[str, ...], entry: dict[str, Any]) -> Mistake:
    place = tuple(str(part) for part in entry["loc"])
    if place == ("name",):
        return Mistake(
            str(path), 1, "", f"the folder's name {path.parent.name!r} names the connection: it must begin with "
            "a lower-case letter and hold only lower-case letters, digits and underscores"
        )  # fmt: skip
    message = str(entry["msg"]).removeprefix("Value error, ")
    if entry["type"] == "missing":
        message = "is missing"
    elif entry["type"] == "extra_forbidden" or "unexpected_keyword" in entry["type"]:
        known = _known_names(place[:-1])
        close = difflib.get_close_matches(place[-1], known, 1)
        meant = f"did you mean {close[0]}? " if close else ""
        message = f"the name is unknown; {meant}Known here: {', '.join(known)}"
    elif entry["type"] != "value_error" and not any(part.endswith("_env") for part in place):
        # A value that failed one of our own checks may be a secret, and is never repeated.
        message = f"{message}, found {entry['input']!r:.80}"
    return Mistake(str(path), _line(tree, prefix + place), ".".join(place), message)


def _known_names(place: tuple[str, ...]) -> list[str]:
    """The names that may stand in the mapping at ``place``, in their own order."""
    kind: Any = Connection
    for part in place:
        options = get_args(kind) if get_origin(kind) else ()
        if dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, BaseModel)):
            kind = get_type_hints(kind).get(part, str)
        elif options:
            kind = options[1] if get_origin(kind) is dict else options[0]
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [name for name in kind.model_fields if (kind, name) != (Connection, "name")]
    return []


def _line(tree: yaml.Node | None, place: tuple[str, ...]) -> int:
    """The line of the entry at ``place``, or of the innermost mapping around it that is there."""
    node, line = tree, 1
    for part in place:
        found = _child(node, part)
        if found is None:
            break
        line, node = found
    return line


def _child(node: yaml.Node | None, part: str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(
            ((key.start_mark.line + 1, value) for key, value in node.value if key.value == part), None
        )
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        entry: yaml.Node = node.value[int(part)]
        return entry.start_mark.line + 1, entry
    return None


_CURRENCY = re.compile(r"[A-Z]{3}")
_COUNTRY = re.compile(r"[A-Z]{2}")


def _contradictions(policy: Policy) -> Iterator[tuple[tuple[str, ...], str]]:
    """What no type can see in the accountant's part: places and why they are wrong."""
    try:
        ZoneInfo(policy.timezone)
    except (OSError, ValueError, KeyError):
        message = f"{policy.timezone!r} is no time zone; write it as Europe/Paris or America/New_York"
        yield ("accounting", "timezone"), message
    for name in ("home_currency", "shop_currency"):
        value = getattr(policy, name)
        if not _CURRENCY.fullmatch(value) and (value or name == "home_currency"):
            yield (
                ("accounting", name),
                f"must be a currency's three letters, such as EUR, found {value!r:.80}",
            )
    if not _COUNTRY.fullmatch(policy.seller_country):
        found = f"found {policy.seller_country!r:.80}"
        yield ("accounting", "seller_country"), f"must be a country's two letters, such as FR, {found}"
    if policy.tax_codes and policy.tax_mode not in {"US_AST", "NO_TAX"}:
        known = ", ".join(policy.tax_codes)
        for number, rule in enumerate(policy.tax_rules):
            if rule.code not in policy.tax_codes:
                place = ("accounting", "tax_rules", str(number), "code")
                yield place, f"{rule.code!r:.80} is not in accounting.tax_codes, which has: {known}"


def connections(settings: Settings) -> dict[str, Connection]:
    """All connections of this installation by name, in alphabetical order."""
    found = (load_connection(path) for path in sorted(settings.defs_dir.glob("*/defs.yaml")))
    return {connection.name: connection for connection in found}


def connection_named(settings: Settings, name: str) -> Connection:
    """The connection called ``name``; SettingsError names the ones there are."""
    path = settings.defs_dir / name / "defs.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.parent.name for p in settings.defs_dir.glob("*/defs.yaml"))) or "none"
        raise SettingsError(f"there is no connection {name!r} in {settings.defs_dir}; there are: {known}")
    return load_connection(path)
