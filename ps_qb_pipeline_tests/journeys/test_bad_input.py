"""Bad input from a shop or a company: one clear message, nothing lost and nothing posted twice."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import Any

import click
import httpx
import pytest
import stamina
import yaml
from click.testing import Result

from ps_qb_pipeline.cli import progress
from ps_qb_pipeline.errors import ReconnectNeeded
from ps_qb_pipeline.orchestration import assets, steps
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.validation.rules import load_contracts
from ps_qb_pipeline.warehouse import models
from ps_qb_pipeline_tests.journeys.commands import SECRETS, WRONG_KEY, psqb, refused
from ps_qb_pipeline_tests.journeys.conftest import Place, free_port

pytestmark = pytest.mark.xdist_group("bad_input")

E_MAIL = re.compile(rb"[\w.+-]+@[\w-]+(\.[\w-]+)*\.(test|com|net|org|example)\b")


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
