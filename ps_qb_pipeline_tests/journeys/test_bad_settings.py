"""Bad settings and a bad place: one clear message, exit code 2, and nothing of an earlier run touched."""

import fcntl
import json
import re
import socket
from pathlib import Path

import pytest
import yaml

from ps_qb_pipeline.settings import PACKAGE_DIR
from ps_qb_pipeline_tests.journeys.commands import SECRETS, WRONG_KEY, psqb, refused
from ps_qb_pipeline_tests.journeys.conftest import Place

SHIPPED = (PACKAGE_DIR / "defs" / "boutique" / "defs.yaml").read_text()


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
        (SHIPPED.replace("  limits: {", "  limits: {{"), line_of(SHIPPED, "  limits: {") + 1, "is not YAML"),
        (SHIPPED.replace("  key_env:", "\tkey_env:"), 6, "is not YAML"),
        (SHIPPED + "go_live: 2026-03-01\n", SHIPPED.count("\n") + 1, f"go_live: stands here again, first in line {line_of(SHIPPED, 'go_live:')}"),
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
