"""The SQL models: their names, their order, and the errors that name a file."""

from __future__ import annotations

import re

import duckdb
import pytest

from ps_qb_pipeline.errors import SettingsError, StorageError
from ps_qb_pipeline.orchestration.landing import raw_tables
from ps_qb_pipeline.warehouse import models
from ps_qb_pipeline.warehouse.tables import TABLES


@pytest.fixture
def con():
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture
def root(tmp_path):
    def write(path, text):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    write.dir = tmp_path
    return write


def test_folder_prefix_and_stem_make_the_name(root):
    """A file's place is its relation's name."""
    root("staging/prestashop/orders.sql", "select 1 as id")
    root("recon/exceptions.sql", "select 1 as id")
    assert set(models.load_models(root.dir)) == {"staging.prestashop_orders", "recon.exceptions"}


def test_models_run_after_what_they_read(root, con):
    """The order comes from the SQL: nothing declares it."""
    root("marts/b_first_by_name.sql", "select id + 1 as id from recon.z_last_by_name")
    root("recon/z_last_by_name.sql", "with made as (select id from staging.s) select id from made")
    root("staging/s.sql", "select 41 as id")
    loaded = models.load_models(root.dir)
    assert list(loaded) == ["staging.s", "recon.z_last_by_name", "marts.b_first_by_name"]
    runs = models.run_models(con, loaded)
    assert [(run.name, run.rows) for run in runs][-1] == ("marts.b_first_by_name", 1)
    assert con.execute("select id from marts.b_first_by_name").fetchall() == [(42,)]


@pytest.mark.parametrize(
    ("files", "where", "what"),
    [
        (
            {"recon/a.sql": "select * from staging.nothing"},
            "recon/a.sql",
            "staging.nothing, which no file makes",
        ),
        (
            {"recon/a.sql": "select * from ledger.nothing"},
            "recon/a.sql",
            "ledger.nothing, which no file makes",
        ),
        (
            {"recon/a.sql": "select * from recon.b", "recon/b.sql": "select * from recon.a"},
            "recon/",
            "in a circle: recon.",
        ),
        ({"recon/a.sql": "select * from orders"}, "recon/a.sql", "without its schema"),
        ({"recon/a.sql": "select (1 as a from"}, "recon/a.sql:1", "is not SQL"),
        ({"recon/a.sql": "select 1; select 2"}, "recon/a.sql", "exactly one SELECT"),
        ({"recon/a.sql": "drop table x"}, "recon/a.sql", "exactly one SELECT"),
        (
            {"recon/a.sql": "select 1", "recon/a.yml": "materialized: cube"},
            "recon/a.yml",
            "allowed: view, table",
        ),
        ({"recon/a.sql": "select 1", "recon/a.yml": "a: [1"}, "recon/a.yml:", "is not YAML"),
        ({"recon/a.sql": "select 1", "recon/a.yml": "- a"}, "recon/a.yml", "must be a mapping"),
        ({"recon/a_b.sql": "select 1", "recon/a/b.sql": "select 2"}, "recon/a", "makes recon.a_b, as"),
    ],
)
def test_a_broken_model_is_named_before_anything_runs(root, files, where, what):
    """What cannot work is an error at load time that names the file."""
    for path, text in files.items():
        root(path, text)
    with pytest.raises(SettingsError, match=what) as caught:
        models.load_models(root.dir)
    assert where in caught.value.where


def test_a_contract_of_a_table_that_nobody_makes_is_an_error(root):
    """A .yml without SQL describes what Python writes, and nothing else."""
    root("ledger/sauces.yml", "description: a typing error")
    with pytest.raises(SettingsError, match=r"ledger\.sauces"):
        models.landed_contracts(root.dir)


def test_a_failing_model_names_its_file(root, con):
    """A model that DuckDB refuses is a storage error that names the file."""
    path = root("recon/a.sql", "select 1 / 'x' as id")
    with pytest.raises(StorageError, match=r"recon/a\.sql"):
        models.run_models(con, models.load_models(path.parents[1]))


def test_views_and_tables_follow_the_contract_and_may_change(root, con):
    """Staging is a view unless its contract says table; a later change of mind is carried out."""
    root("staging/a.sql", "select 1 as id")
    kind = "select table_type from information_schema.tables where table_schema = 'staging'"
    models.run_models(con, models.load_models(root.dir))
    assert con.execute(kind).fetchall() == [("VIEW",)]
    root("staging/a.yml", "materialized: table")
    models.run_models(con, models.load_models(root.dir))
    assert con.execute(kind).fetchall() == [("BASE TABLE",)]
    root("staging/a.yml", "materialized: view")
    models.run_models(con, models.load_models(root.dir))
    assert con.execute(kind).fetchall() == [("VIEW",)]


def test_models_made_at_once_wait_for_what_they_read(root, con):
    """Each is made as soon as what it reads is there, those first for which most wait, and sees the variables."""
    root("recon/a.sql", "select sum(range) as total from range(3000000)")
    root("recon/b.sql", "select total + getvariable('more') as total from recon.a")
    root("recon/c.sql", "select total + 1 as total from recon.b")
    root("recon/idle.sql", "select 1 as id")
    runs = list(models.iterate_models(con, models.load_models(root.dir), variables={"more": 5}))
    made = [run.name for run in runs]
    assert sorted(made) == ["recon.a", "recon.b", "recon.c", "recon.idle"]
    assert made.index("recon.a") < made.index("recon.b") < made.index("recon.c")
    assert con.execute("select total from recon.c").fetchall() == [(4499998500006,)]
    assert con.execute("select current_setting('memory_limit')").fetchall() == [("1.8 GiB",)]


def test_models_that_find_no_memory_beside_others_are_made_alone(root, con, monkeypatch):
    """Too little memory for two at a time is none for one: only a model that fails alone is an error."""
    root("recon/a.sql", "select 1 as id")
    root("recon/b.sql", "select id from recon.a")
    path = root("recon/c.sql", "select 2 as id")
    run, tried = models._run, []

    def scarce(beside, model, *rest):
        tried.append(model.name)
        if model.name in {"recon.c", *needy} and tried.count(model.name) <= 1 + (model.name in needy):
            cause = duckdb.OutOfMemoryException("failed to pin block")
            raise StorageError(f"{model.path}: no memory") from cause
        return run(beside, model, *rest)

    needy: set[str] = set()
    monkeypatch.setattr(models, "_run", scarce)
    models.run_models(con, models.load_models(root.dir))
    assert con.execute("select id from recon.c").fetchall() == [(2,)]
    assert tried.count("recon.c") == 2
    needy.add("recon.b")
    tried.clear()
    with pytest.raises(StorageError, match="no memory"):
        models.run_models(con, models.load_models(path.parents[1]))


def test_a_view_is_made_again_only_when_its_sql_or_that_of_one_below_changes(root, con):
    """What stands as it should costs nothing; a view on a changed one takes its columns over."""
    path = root("staging/a.sql", "select 1 as id")
    root("staging/b.sql", "select * from staging.a")

    def made():
        models.run_models(con, models.load_models(root.dir))
        numbers = con.execute("select view_name, view_oid from duckdb_views() where schema_name = 'staging'")
        return dict(numbers.fetchall())

    first = made()
    assert made() == first
    path.write_text("select 1 as id, 'x' as name")
    second = made()
    assert all(second[name] != first[name] for name in ("a", "b"))
    assert con.execute("select * from staging.b").fetchall() == [(1, "x")]
    con.execute("create or replace view staging.a as select 2 as id, 'y' as name")
    made()
    assert con.execute("select * from staging.b").fetchall() == [(1, "x")]


def test_a_part_is_selected_by_schema_or_name(root, con):
    """A selection runs its models only; a name that nobody has is an error that lists the names."""
    root("staging/a.sql", "select 1 as id")
    root("recon/b.sql", "select 1 as id")
    root("recon/c.sql", "select 1 as id")
    loaded = models.load_models(root.dir)
    assert [run.name for run in models.run_models(con, loaded, select=["recon"])] == ["recon.b", "recon.c"]
    assert [run.name for run in models.run_models(con, loaded, select=["staging.a"])] == ["staging.a"]
    with pytest.raises(SettingsError, match=r"no model or schema is called recon\.d"):
        models.run_models(con, loaded, select=["recon.d"])


def test_variables_are_how_a_model_gets_parameters(root, con):
    """A variable is read by getvariable, so that the file also runs in any DuckDB shell."""
    root("recon/a.sql", "select getvariable('as_of')::date as day")
    models.run_models(con, models.load_models(root.dir), variables={"as_of": "2026-10-31"})
    assert str(con.execute("select day from recon.a").fetchone()[0]) == "2026-10-31"


def test_the_code_version_follows_the_sql(root):
    """Another SELECT is another version; another description is not."""
    path = root("recon/a.sql", "select 1 as id")
    before = models.load_models(root.dir)["recon.a"].code_version
    root("recon/a.yml", "description: something")
    assert models.load_models(root.dir)["recon.a"].code_version == before
    path.write_text("select 2 as id")
    assert models.load_models(root.dir)["recon.a"].code_version != before


def test_description_ends_in_the_grain_and_columns_carry_personal_data_marks(root):
    """What the asset page shows comes from the contract."""
    root("recon/a.sql", "select 1 as id, '' as email")
    root(
        "recon/a.yml",
        "description: All of\n  them.\ngrain: one row per id\ncolumns:\n  id: the id\n"
        "  email: {type: varchar, description: an address, pii: true}\n",
    )
    model = models.load_models(root.dir)["recon.a"]
    assert model.description == "All of them. Grain: one row per id."
    assert [(column.name, column.pii) for column in model.columns] == [("id", False), ("email", True)]


def test_every_model_of_ours_runs_on_a_warehouse_where_nothing_has_landed(con):
    """A resource that was never landed is empty, not an error, in staging, recon and marts alike."""
    loaded = models.load_models()
    models.prepare(con, raw_tables(), loaded)
    variables = {"as_of": "2026-10-31", "home_currency": "EUR"}
    runs = models.run_models(con, loaded, select=["staging"], variables=variables)
    assert len(runs) == sum(model.schema == "staging" for model in loaded.values())


def test_a_raw_table_that_nothing_lands_is_named(root, con):
    """A misspelt raw table is found when the warehouse is prepared, with the file."""
    root("staging/a.sql", "select * from raw.prestashop_odres")
    with pytest.raises(SettingsError, match=r"raw\.prestashop_odres, which nothing lands"):
        models.prepare(con, raw_tables(), models.load_models(root.dir))


def test_contracts_of_staging_and_ledger_describe_exactly_the_columns(con):
    """The columns of a contract are those of the relation, in their order, with their types."""
    loaded = models.load_models()
    models.prepare(con, raw_tables(), loaded)
    contracts = {name: body for name, (_, body) in models.landed_contracts().items()}
    contracts |= {name: model.contract for name, model in loaded.items() if model.schema == "staging"}
    models.run_models(con, loaded, select=["staging"])
    assert {name for name in contracts if name.startswith("ledger.")} == {
        name for name in TABLES if name.startswith("ledger.")
    }
    for name, body in contracts.items():
        stated = {column: _type(entry["type"]) for column, entry in body["columns"].items()}
        actual = {
            row[0]: re.sub(r"STRUCT\(.*\)", "STRUCT", row[1])
            for row in con.execute(f"describe {name}").fetchall()
        }
        assert list(stated.items()) == list(actual.items()), name


def _type(stated):
    return {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}.get(stated.upper(), stated.upper())


def test_every_relation_of_ours_says_what_it_holds_and_its_grain():
    """No relation is without a description and a grain."""
    loaded = models.load_models()
    contracts = {name: body for name, (_, body) in models.landed_contracts().items()}
    contracts |= {name: model.contract for name, model in loaded.items() if model.schema == "staging"}
    assert not [
        name for name, body in contracts.items() if not (body.get("description") and body.get("grain"))
    ]
