"""Bad input of every kind: one clear message, a failing exit code, nothing lost and nothing posted twice."""

import fcntl
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import click
import httpx
import pytest
import stamina
import yaml
from click.testing import CliRunner, Result

from ps_qb_pipeline.cli import progress, sandboxes
from ps_qb_pipeline.cli.main import main
from ps_qb_pipeline.errors import ReconnectNeeded
from ps_qb_pipeline.orchestration import assets, steps
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.settings import PACKAGE_DIR
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.validation.rules import load_contracts
from ps_qb_pipeline.warehouse import models
from ps_qb_pipeline_tests.journeys.conftest import Place, free_port

pytestmark = pytest.mark.xdist_group("bad_input")

SHIPPED = (PACKAGE_DIR / "defs" / "boutique" / "defs.yaml").read_text()
SECRETS = sandboxes.credentials("boutique")
E_MAIL = re.compile(rb"[\w.+-]+@[\w-]+(\.[\w-]+)*\.(test|com|net|org|example)\b")
WRONG_KEY = "CANARYKEY00000000000000000000001"


def psqb(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run a command in this process; an error that is not ours fails the test."""
    result = CliRunner().invoke(main, list(arguments), env=dict(env or {}))
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def refused(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """The one message of a command that must end with exit code 2 and print nothing else."""
    result = psqb(*arguments, env=env)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("psqb: ")
    assert result.stderr.count("\n") == 1
    assert not [secret for secret in SECRETS.values() if secret in result.output]
    return result.stderr


# -- a broken defs.yaml --------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A defs.yaml of its own, which psqb check reads."""
    path = tmp_path / "defs" / "mine" / "defs.yaml"
    path.parent.mkdir(parents=True)
    monkeypatch.setenv("PSQB_DEFS_DIR", str(tmp_path / "defs"))
    return path


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize(
    ("good", "bad", "field", "said"),
    [
        ("tax_mode: GLOBAL_EXCL", "tax_mode: MAYBE", "accounting.tax_mode", "'US_AST', 'US_MANUAL' or 'NO_TAX'"),
        ("numbering: key", "numberng: key", "accounting.numberng", "did you mean numbering? Known here: home_currency"),
        ("kind: wire", "kind: wired", "accounting.methods.Bank transfer.kind", "'card', 'wire', 'cheque'"),
        ("percent: 20}", "percent: twenty}", "accounting.tax_codes.FR20.rates.0.percent", "valid decimal, found 'twenty'"),
        ("go_live: 2026-02-01", "go_live: soon", "go_live", "valid date"),
        ("timezone: Europe/Paris", "timezone: Europe/Pari", "accounting.timezone", "no time zone"),
        ("home_currency: EUR", "home_currency: euro", "accounting.home_currency", "three letters"),
        ("{code: FR20, rates", "{code: FR99, rates", "accounting.tax_rules.0.code", "not in accounting.tax_codes"),
        ("url: http://127.0.0.1:8781", "url: localhost", "shop.url", "http:// or https://"),
        ('realm: "4620816365000000001"', "realm: mine", "books.realm", "pattern"),
        ("limits: {requests_per_minute: 60000", "limits: {requests_per_minute: 0", "books.limits", "greater than 0"),
    ],
)  # fmt: skip
def test_check_names_file_line_field_and_what_is_allowed(
    written: Path, good: str, bad: str, field: str, said: str
) -> None:
    """A mistake in a defs.yaml is one line with its place, its value and the allowed values."""
    text = SHIPPED.replace(good, bad, 1)
    written.write_text(text)
    result = psqb("check")
    assert result.exit_code == 2
    assert result.stdout.startswith(f"{written}:{line_of(text, bad.partition(', ')[0])}: {field}"), (
        result.stdout
    )
    assert said in result.stdout
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (SHIPPED.replace("  limits: {", "  limits: {{"), 15, "is not YAML"),
        (SHIPPED.replace("  key_env:", "\tkey_env:"), 6, "is not YAML"),
        (SHIPPED + "go_live: 2026-03-01\n", SHIPPED.count("\n") + 1, "go_live: stands here again, first in line 16"),
        (SHIPPED.replace("go_live: 2026-02-01\n", ""), 1, "go_live: is missing"),
        (SHIPPED.replace("  key_env: BOUTIQUE_SHOP_KEY\n", ""), 4, "shop.key_env: is missing"),
        ("- a list\n", 1, "must be a mapping with shop, books, go_live and accounting"),
        ("", 1, "must be a mapping with shop, books, go_live and accounting"),
    ],
)  # fmt: skip
def test_check_names_what_cannot_be_read(written: Path, text: str, line: int, said: str) -> None:
    """Syntax, missing and repeated names are told with their line."""
    written.write_text(text)
    result = psqb("check")
    assert result.exit_code == 2
    place, _, message = result.stdout.partition(": ")
    assert abs(int(place.removeprefix(f"{written}:")) - line) <= 1, result.stdout
    assert said in message


def test_check_reads_bytes_that_are_no_text(written: Path) -> None:
    """A file in another encoding is named, not a trace."""
    written.write_bytes(b"shop:\n  url: caf\xe9\n")
    assert psqb("check").stdout == f"{written}:2: is not text in UTF-8; save it as UTF-8\n"


def test_check_for_machines(written: Path) -> None:
    """With --json every mistake is an object, and standard output is nothing but JSON."""
    written.write_text(
        SHIPPED.replace("tax_mode: GLOBAL_EXCL", "tax_mode: MAYBE").replace("kind: wire", "kind: w")
    )
    result = psqb("check", "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert found["files"] == [str(written)]
    assert [mistake["field"] for mistake in found["mistakes"]] == [
        "accounting.tax_mode", "accounting.methods.Bank transfer.kind"
    ]  # fmt: skip
    assert all(mistake["file"] == str(written) and mistake["line"] > 1 for mistake in found["mistakes"])


def test_an_empty_defs_folder_says_how_to_begin(written: Path) -> None:
    """No connection at all is a mistake too."""
    result = psqb("check")
    assert result.exit_code == 2
    assert f"{written.parent.parent}: holds no <name>/defs.yaml" in result.stdout
    assert "docs/connections.md" in result.stdout


@pytest.mark.parametrize("field", ["key_env", "client_id_env", "client_secret_env", "refresh_token_env"])
def test_a_secret_in_place_of_its_variable_is_refused_and_not_repeated(written: Path, field: str) -> None:
    """Whoever pastes the key itself into defs.yaml is told so, without the key."""
    written.write_text(re.sub(rf"{field}: \w+", f"{field}: {WRONG_KEY}", SHIPPED))
    result = psqb("check")
    assert result.exit_code == 2
    assert "name of an environment variable" in result.stdout
    assert "CANARY" not in result.output


def test_a_password_in_an_address_is_refused_and_not_repeated(written: Path) -> None:
    """A key inside the shop's address is refused without being shown."""
    written.write_text(SHIPPED.replace("http://127.0.0.1:8781", f"http://{WRONG_KEY}@127.0.0.1:8781"))
    result = psqb("check")
    assert result.exit_code == 2
    assert "shop.url" in result.stdout
    assert "CANARY" not in result.output


# -- names, secrets, places ------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["doctor", "setup", "run", "go-live", "connect"])
def test_an_unknown_connection_is_answered_with_those_there_are(place: Place, command: str) -> None:
    """The message holds the name, the folder and the known names."""
    place.connect("boutique")
    more = ("--by", "me") if command == "go-live" else ()
    said = refused(command, "--connection", "nowhere", *more)
    assert "'nowhere'" in said
    assert str(place.root / "defs") in said
    assert "boutique" in said


@pytest.mark.parametrize("variable", ["BOUTIQUE_SHOP_KEY", "BOUTIQUE_CLIENT_ID", "BOUTIQUE_CLIENT_SECRET"])
def test_an_unset_secret_is_named_before_anything_starts(place: Place, variable: str) -> None:
    """The message names the variable; doctor says the same as a check."""
    place.connect("boutique")
    env = {**SECRETS, variable: ""}
    assert f"environment variable {variable} is empty" in refused("run", "--connection", "boutique", env=env)
    if variable == "BOUTIQUE_SHOP_KEY":
        result = psqb("doctor", "--connection", "boutique", "--json", env=env)
        assert result.exit_code == 2
        assert variable in json.loads(result.stdout)["shop"][0]["message"]


@pytest.mark.parametrize("command", ["go-live", "run", "init", "demo"])
def test_a_home_that_cannot_be_written_is_named(place: Place, tmp_path: Path, command: str) -> None:
    """Nothing starts when control plane and warehouse cannot be made where PSQB_HOME points."""
    place.connect("boutique")
    (tmp_path / "file").write_text("")
    env = {**SECRETS, "PSQB_HOME": str(tmp_path / "file" / "home"), "DAGSTER_HOME": ""}
    more = {
        "go-live": ("--connection", "boutique", "--by", "me"), "run": ("--connection", "boutique"),
        "demo": ("--out", str(tmp_path / "out")),
    }.get(command, ())  # fmt: skip
    said = refused(command, *more, env=env)
    assert str(tmp_path / "file" / "home") in said
    assert "PSQB_HOME" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("control", "said"),
    [("folder", "cannot be opened"), ("garbage", "is damaged"), ("full", "free some disk space")],
)
def test_a_control_plane_that_cannot_be_used_stops_everything(
    place: Place, tmp_path: Path, control: str, said: str
) -> None:
    """A folder, another file or a full disk in its place: nothing is sent that cannot be recorded."""
    place.connect("boutique")
    env = {**SECRETS, "PSQB_HOME": str(tmp_path)}
    if control == "folder":
        (tmp_path / "control.sqlite").mkdir()
    elif control == "garbage":
        (tmp_path / "control.sqlite").write_text("no database at all " * 100)
    else:
        env["PSQB_STATE_URL"] = "sqlite:////dev/full"
    assert said in refused("run", "--connection", "boutique", env=env)


@pytest.mark.parametrize("content", ["folder", "garbage"])
def test_a_warehouse_that_cannot_be_used_is_named_with_the_way_out(
    place: Place, tmp_path: Path, content: str
) -> None:
    """A damaged DuckDB file can always be made again, and the message says so."""
    place.connect("boutique")
    warehouse = tmp_path / "data" / "boutique" / "warehouse.duckdb"
    warehouse.parent.mkdir(parents=True)
    if content == "folder":
        warehouse.mkdir()
    else:
        warehouse.write_text("no database at all " * 1000)
    said = refused("run", "--connection", "boutique", env={**SECRETS, "PSQB_HOME": str(tmp_path)})
    assert str(warehouse) in said
    assert "full_refresh makes it again" in said


@pytest.mark.parametrize(
    "url", ["nonsense CANARYPW", "foo://u:CANARYPW@127.0.0.1:1/x", "oracle://u:CANARYPW@127.0.0.1:1/x"]
)
def test_a_wrong_address_of_the_control_plane_never_shows_its_password(place: Place, url: str) -> None:
    """PSQB_STATE_URL is named, its value is not."""
    place.connect("boutique")
    said = refused("go-live", "--connection", "boutique", "--by", "me", env={"PSQB_STATE_URL": url})
    assert "PSQB_STATE_URL" in said
    assert "CANARYPW" not in said


# -- two demos, taken ports, somebody else's files -------------------------------------------------


def test_a_second_demo_waits_for_nobody_and_clears_nothing(place: Place, tmp_path: Path) -> None:
    """While one demo has the home, another one ends at once and leaves everything as it is."""
    place.connect("boutique")
    home = place.settings.home
    home.mkdir(exist_ok=True)
    (home / "control.sqlite").touch()
    with (home / "demo.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = refused("demo", "--shop", "boutique", "--out", str(tmp_path / "out"))
        assert "another demo or psqb up is using" in said
        assert "another demo or psqb up is using" in refused("up")
    assert (home / "control.sqlite").exists()
    assert not (tmp_path / "out").exists()
    (home / "control.sqlite").unlink()


def test_taken_ports_are_refused_before_an_earlier_demo_is_cleared(place: Place, tmp_path: Path) -> None:
    """The message names the port; what an earlier demo left is still there."""
    place.connect("boutique")
    home, out = tmp_path / "home", tmp_path / "out"
    (home / "data" / "boutique").mkdir(parents=True)
    out.mkdir()
    (out / "summary.json").write_text("{}")
    port = yaml.safe_load((place.root / "defs" / "boutique" / "defs.yaml").read_text())["shop"]["url"].split(
        ":"
    )[-1]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(port)))
        taken.listen()
        said = refused("demo", "--shop", "boutique", "--out", str(out), env={"PSQB_HOME": str(home)})
        assert f"cannot listen on port {port}" in said
        assert f"cannot listen on port {port}" in refused("sandbox", "--shop-port", port, "--books-port", "0")
        assert f"port {port} is taken" in refused("up", "--port", port, env={"PSQB_HOME": str(home)})
    assert (out / "summary.json").exists()
    assert (home / "data" / "boutique").exists()


def test_the_demo_never_clears_a_folder_of_other_files(place: Place, tmp_path: Path) -> None:
    """An --out that holds somebody's files is refused, and they are still there."""
    place.connect("boutique")
    (tmp_path / "precious.txt").write_text("mine")
    said = refused(
        "demo", "--shop", "boutique", "--out", str(tmp_path), env={"PSQB_HOME": str(tmp_path / "home")}
    )
    assert "holds other files" in said
    assert (tmp_path / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "arguments", [("up", "--port", "99999"), ("sandbox", "--shop-port", "-1"), ("demo", "--orders", "0")]
)
def test_an_option_out_of_its_range_is_told_with_the_range(arguments: tuple[str, ...]) -> None:
    """Ports and counts that cannot be are refused by name."""
    result = psqb(*arguments)
    assert result.exit_code == 2
    assert arguments[1] in result.stderr
    assert "range" in result.stderr


# -- with a shop and a company ---------------------------------------------------------------------


class World:
    """A sandbox with a prepared home: its first orders are posted, posting is on."""

    def __init__(self, place: Place, ready: dict[str, str]) -> None:
        self.place, self.ready = place, ready
        self.file = place.root / "defs" / "boutique" / "defs.yaml"
        self.said: list[str] = []
        self.run = ("", "")

    @property
    def runtime(self) -> Runtime:
        return self.place.runtime("boutique")

    def shop(self, **command: Any) -> dict[str, Any]:
        return self.place.control(self.ready["shop_url"], command)

    def books(self, **levers: Any) -> None:
        self.place.control(self.ready["books_url"], levers)

    def order(self, how: str = "") -> int:
        """A new paid order, made into one that no shop should hold when ``how`` says so."""
        number = int(self.shop(place_order={"way": "card", "seed": 7})["order"])
        if how:
            self.shop(corrupt_order={"order": number, "how": how})
        return number

    def psqb(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        result = psqb(*arguments, "--connection", "boutique", env=env)
        self.said.append(result.output)
        return result

    def blocked(self, side: str, env: Mapping[str, str] | None = None) -> str:
        """The one blocked check of ``side`` that psqb doctor ends with."""
        result = self.psqb("doctor", "--json", env=env)
        assert result.exit_code == 2, result.output
        checks = json.loads(result.stdout)
        assert set(checks) == {"shop", "books"}
        found = [check for check in checks[side] if check["level"] == "blocked"]
        assert len(found) == 1, found
        return f"{found[0]['name']}: {found[0]['message']} {found[0]['way_out']}"

    def work(self) -> dict[str, Any]:
        """From the shop to the books, as the main job does it."""
        steps.pull_shop(self.runtime)
        chosen = [
            model for name, model in models.load_models().items() if name.startswith("staging.prestashop_")
        ]
        steps.make_models(self.runtime, chosen, [])
        steps.make_ledger(self.runtime, [], list(load_contracts().values()))
        return steps.post_documents(self.runtime, run_id="test")

    def numbers(self) -> list[str]:
        """The document numbers of all sales receipts in the books; a number twice is a sale posted twice."""
        with self.runtime.books() as books:
            found = [str(row["DocNumber"]) for row in books.query_all("SalesReceipt")]
        assert len(found) == len(set(found))
        return found

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.runtime.warehouse("test", read_only=True) as con:
            return con.execute(sql, values).fetchall()

    @contextmanager
    def elsewhere(self, side: str, **addresses: str) -> Iterator[None]:
        """The connection with other addresses, for the length of the block."""
        before = self.file.read_text()
        body = yaml.safe_load(before)
        body[side] |= addresses
        self.file.write_text(yaml.safe_dump(body))
        try:
            yield
        finally:
            self.file.write_text(before)


@pytest.fixture(scope="module")
def world(place: Place) -> Iterator[World]:
    """One sandbox for all tests below."""
    place.connect("boutique")
    with place.sandbox("boutique") as ready:
        made = World(place, ready)
        assert not made.runtime.armed()
        steps.set_up(made.runtime, create=True)
        Connections(made.runtime.engine).arm("boutique", by="test")
        assert made.work()["created"] > 100
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reads are tried twice without a pause, so that an outage does not cost the test a minute."""
    monkeypatch.setattr(assets, "FETCHING", assets.FETCHING._replace(max_retries=0))
    with stamina.set_testing(True, attempts=2):
        yield


def test_a_wrong_key_is_told_without_the_key(world: World) -> None:
    """The message says where to compare it; the books are examined all the same."""
    said = world.blocked("shop", env={"BOUTIQUE_SHOP_KEY": WRONG_KEY})
    assert "refuses the web service key" in said
    assert "Advanced Parameters > Webservice" in said


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "redirect", "status": 301, "location": "https://elsewhere.example/x"}, "redirected (status 301) to https://elsewhere.example"),
        ({"kind": "maintenance"}, "an HTML page came back with status 200"),
        ({"kind": "proxy", "status": 503}, "the host gave up (status 503"),
    ],
)  # fmt: skip
def test_what_stands_before_the_shop_is_recognised(world: World, fault: dict[str, Any], said: str) -> None:
    """A redirect, a page of HTML with status 200 and a proxy's error are never taken for an empty shop."""
    world.shop(fault=fault)
    try:
        assert said in world.blocked("shop")
    finally:
        world.shop(faults="clear")


def test_another_program_is_no_shop(world: World) -> None:
    """An address where something else answers is told as a wrong address."""
    with world.elsewhere("shop", url=world.ready["books_url"]):
        assert "check shop.url" in world.blocked("shop")


def test_missing_rights_are_named(world: World) -> None:
    """Each resource that the key may not read is in the message, with the place to tick it."""
    key = "LIMITED0000000000000000000000001"
    world.shop(key={"key": key, "rights": {"orders": ["GET"], "customers": ["GET"], "currencies": ["GET"]}})
    said = world.blocked("shop", env={"BOUTIQUE_SHOP_KEY": key})
    assert "order_details" in said
    assert "order_slip" in said
    assert " currencies" not in said
    assert "GET: tick it for this key" in said


def test_a_shop_that_is_down_fails_the_run_and_loses_nothing(world: World) -> None:
    """The run fails at its first step with the address; what was read and posted is as before."""
    before, booked = world.rows("select count(*) from staging.prestashop_orders"), world.numbers()
    with world.elsewhere("shop", url=f"http://127.0.0.1:{free_port()}"):
        result = world.psqb("run")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "failed at boutique__shop: GET" in result.stderr
    assert "check shop.url and that the shop is up" in result.stderr
    assert world.rows("select count(*) from staging.prestashop_orders") == before
    assert world.numbers() == booked


def test_books_that_are_down_fail_the_run_and_everything_is_posted_once_afterwards(world: World) -> None:
    """The order of the outage waits; when the books are back it is posted, once."""
    number, booked = world.order(), world.numbers()
    with world.elsewhere("books", base_url=f"http://127.0.0.1:{free_port()}"):
        result = world.psqb("run")
        assert result.exit_code == 2
        assert "nothing was sent" in result.stderr
        assert "nothing was sent" in world.blocked("books")
    assert world.numbers() == booked
    assert world.work()["created"] >= 1
    assert len(world.numbers()) == len(booked) + 1
    assert world.rows("select state from control.intents where role = 'sale' and source_id = $id", id=number) == [("CONFIRMED",)]  # fmt: skip


def test_a_refused_refresh_token_stops_posting_until_somebody_connects_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost meanwhile; psqb connect is named, and helps."""
    number, booked = world.order(), world.numbers()
    world.books(tokens={"revoke": True})
    said = world.blocked("books")
    assert "refresh token" in said
    assert "psqb connect" in said
    with pytest.raises(ReconnectNeeded, match="psqb connect"):
        world.work()

    def agree(text: str, **_: Any) -> None:
        if found := re.search(r"http\S+/connect/oauth2\S+", str(text)):
            Thread(target=httpx.get, args=(found[0],), kwargs={"follow_redirects": True}).start()

    monkeypatch.setattr(click, "echo", agree)
    world.books(consent="grant")
    with world.elsewhere("books", redirect_uri=f"http://localhost:{free_port()}/callback"):
        assert world.psqb("connect").exit_code == 0
    monkeypatch.undo()
    assert world.work()["created"] >= 1
    assert len(world.numbers()) == len(booked) + 1
    assert world.rows("select state from control.intents where role = 'sale' and source_id = $id", id=number) == [("CONFIRMED",)]  # fmt: skip


def test_explaining_before_the_first_whole_run_says_so(world: World) -> None:
    """What the reconciliation has not made yet is no trace but a message."""
    number = str(world.rows("select min(order_id) from ledger.documents")[0][0])
    said = refused("explain", number, "--connection", "boutique")
    assert "no run of boutique has come to its end" in said
    assert "psqb run" in said


@pytest.fixture(scope="module")
def bad(world: World) -> dict[str, int]:
    """One order of each kind of damage and a good one, all through one run of the main job."""
    orders = {
        how: world.order(how) for how in ("currency", "customer", "lines", "malformed_amount", "product", "")
    }
    run = world.place.psqb("-v", "run", "--connection", "boutique", "--json")
    world.said.append(run.stdout + run.stderr)
    assert run.returncode == 0, run.stderr[-3000:]
    world.run = (run.stdout, run.stderr)
    return orders


def _held_by(world: World, number: int) -> list[tuple[Any, ...]]:
    """The codes and messages that hold an order, by the ledger and by rules."""
    return world.rows(
        "select reason, message from ledger.sources as s join ledger.findings as f on f.order_id = s.order_id "
        "and f.code = s.reason where s.source_type = 'order' and s.status = 'held' and s.order_id = $id "
        "union all select rule, message from validation.holds where order_id = $id",
        id=number,
    )


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("currency", "POISON_RECORD", "id_currency names no currency"),
        (
            "customer",
            "relationships_id_customer",
            "id_customer names nothing in staging.prestashop_customers",
        ),
        ("lines", "PS_IDENTITY_BREAK", "the lines do not add up"),
        ("malformed_amount", "POISON_RECORD", "total_paid_tax_incl is not a number"),
    ],
)
def test_a_damaged_order_is_held_by_name(
    world: World, bad: dict[str, int], how: str, code: str, said: str
) -> None:
    """The order is not posted, its code and reason are kept, and psqb explain tells them."""
    number = bad[how]
    assert [message for found, message in _held_by(world, number) if found == code and said in message]
    assert not world.rows("select 1 from control.intents where role = 'sale' and source_id = $id", id=number)
    story = psqb("explain", "--connection", "boutique", str(number), "--json")
    assert story.exit_code == 0, story.output
    assert said in story.stdout


@pytest.mark.parametrize("how", ["", "product"])
def test_the_others_go_on(world: World, bad: dict[str, int], how: str) -> None:
    """A good order is posted, and so is one whose product is gone: its own lines say what was sold."""
    assert world.rows("select state from control.intents where role = 'sale' and source_id = $id", id=bad[how]) == [("CONFIRMED",)]  # fmt: skip


def test_a_row_that_cannot_be_read_is_kept_and_resolved_when_the_shop_mends_it(
    world: World, bad: dict[str, int]
) -> None:
    """Until then its payment is held with it; afterwards both are booked, once."""
    number = bad["malformed_amount"]
    unread = world.rows("select reason, resolved_at from raw.poisoned where id = $id", id=number)
    assert unread == [("total_paid_tax_incl is not a number (wanted decimal)", None)]
    reasons = world.rows("select distinct reason from ledger.sources where id_shop = 0 and reference = ''")
    assert reasons == [("POISON_RECORD",)]
    good = world.rows("select payload ->> '$.total_paid' from raw.poisoned where id = $id", id=number)[0][0]
    now = world.shop(status={})["now"]
    world.shop(row={"resource": "orders", "id": number, "total_paid_tax_incl": good, "date_upd": now})
    booked = world.numbers()
    world.work()
    assert len(world.numbers()) == len(booked) + 1
    assert world.rows(
        "select count(*) from raw.poisoned where id = $id and resolved_at is null", id=number
    ) == [(0,)]
    assert world.work()["created"] == 0


# -- what is said, and what never is ---------------------------------------------------------------


def test_progress_is_lines_where_no_terminal_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is at work, how much of it, on standard error only."""
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    with progress.watching("boutique") as show:
        show("orders", 100, None)
        show("orders", 20, None)
        show("documents", 3, 10)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "boutique: orders 100", "boutique: orders 120", "boutique: documents 3 of 10"
    ]  # fmt: skip


def test_a_run_explains_itself_in_counts_and_prints_json_for_machines(
    world: World, bad: dict[str, int]
) -> None:
    """With -v standard error has ids, counts and sums; standard output is one JSON object; neither a person."""
    out, err = world.run
    figures = json.loads(out)
    assert figures["posted"] >= 2
    assert figures["run_id"] in err
    assert re.search(r"INFO .*boutique: \d+ requests to the shop, \d+ rows read", err)
    assert f"could not be read and are set aside: {bad['malformed_amount']}" in err
    assert "Traceback" not in err


def test_setup_for_machines(world: World) -> None:
    """With --json the set-up prints one object, and nothing is left to create."""
    result = world.psqb("setup", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"plan": [], "problems": []}


def test_no_message_and_no_file_holds_a_secret_or_an_address(world: World) -> None:
    """All that the tests above printed, Dagster's records and our logs: no key, token, secret or e-mail."""
    canaries = [WRONG_KEY, *(value for name, value in SECRETS.items() if not name.endswith("CLIENT_ID"))]
    said = "\n".join(world.said).encode()
    assert said
    kept = [path for path in (world.place.root / "dagster").rglob("*") if path.is_file()]
    logs = list((world.place.root / "home" / "logs").rglob("*.log"))
    assert len(kept) > 5
    texts = {"output": said, **{str(path): path.read_bytes() for path in [*kept, *logs]}}
    for name, text in texts.items():
        assert not [canary for canary in canaries if canary.encode() in text], name
        assert not E_MAIL.search(text), (name, E_MAIL.search(text))
    for path in world.place.settings.home.rglob("*"):
        ours = path.is_file() and "sandbox" not in path.parts
        assert not (ours and any(canary.encode() in path.read_bytes() for canary in canaries)), path
