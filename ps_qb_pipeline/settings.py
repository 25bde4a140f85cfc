"""What a person may set: one ``defs/<name>/defs.yaml`` a connection, and the environment.

What lives here: the typed form of both, read once and handed on. What does not: secrets (a
``defs.yaml`` names the environment variable that holds one, never the value) and accounting rules
themselves (``accounting.policy``).
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
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


class ShopSettings(_Model):
    """How to reach the PrestaShop web service."""

    url: str = Field(description="The shop's address, without /api.")
    key_env: str = Field(description="The environment variable that holds the web service key.")
    page_size: int = Field(
        default=100, ge=1, le=1000, description="Rows a page; halved when the host gives up."
    )
    connections: int = Field(default=2, ge=1, le=8, description="Simultaneous requests.")

    _check_url = field_validator("url")(_web_address)

    @property
    def key(self) -> str:
        """The web service key, read from the environment now."""
        return _secret(self.key_env)


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
    client_id_env: str = Field(description="The environment variable that holds the app's client id.")
    client_secret_env: str = Field(description="The environment variable that holds the app's client secret.")
    refresh_token_env: str = Field(
        default="", description="A first refresh token from the environment, instead of psqb connect."
    )
    limits: BooksLimits = BooksLimits()
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


class Connection(_Model):
    """One shop and the one company that its books are kept in."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    shop: ShopSettings
    books: BooksSettings
    go_live: date = Field(description="Orders from before this day are counted and never posted.")
    accounting: Policy = Field(description="How amounts become documents; the accountant signs this part.")


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise SettingsError(f"the environment variable {variable} is empty; set it, for example in .env")
    return value


def load_connection(path: Path) -> Connection:
    """The connection that the file at ``path`` (``defs/<name>/defs.yaml``) describes.

    Raises SettingsError whose message has one line for each mistake: file, line, field, what is
    wrong and what is allowed.
    """
    tree, document = _read_yaml(path)
    wrapped = isinstance(document, dict) and "attributes" in document
    body = document["attributes"] if wrapped else document
    if not isinstance(body, dict):
        raise SettingsError("must be a mapping with shop, books, go_live and accounting", where=str(path))
    try:
        return Connection.model_validate({"name": path.parent.name, **body})
    except ValidationError as error:
        prefix = ("attributes",) if wrapped else ()
        mistakes = [_mistake(path, tree, prefix, dict(entry)) for entry in error.errors()]
        raise SettingsError("\n".join(mistakes), mistakes=mistakes) from error


def _read_yaml(path: Path) -> tuple[yaml.Node | None, Any]:
    try:
        text = path.read_text()
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise SettingsError(
            f"is not YAML: {getattr(error, 'problem', error)}", where=f"{path}{line}"
        ) from error


def _mistake(path: Path, tree: yaml.Node | None, prefix: tuple[str, ...], entry: dict[str, Any]) -> str:
    place = tuple(str(part) for part in entry["loc"])
    node = tree
    for part in prefix + place:
        node = _child(node, part) or node
    line = node.start_mark.line + 1 if node else 1
    found = "" if entry["type"] == "missing" else f", found {entry['input']!r:.80}"
    if entry["type"] == "extra_forbidden" or "unexpected_keyword" in entry["type"]:
        found = "; the name is unknown, see docs/connections.md for all names"
    return f"{path}:{line}: {'.'.join(place)}: {entry['msg']}{found}"


def _child(node: yaml.Node | None, part: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        entry: yaml.Node = node.value[int(part)]
        return entry
    return None


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
