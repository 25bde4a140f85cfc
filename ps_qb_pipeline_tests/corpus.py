"""Runs the whole pipeline over a shop that a real PrestaShop computed, and judges what the books then hold.

``python -m ps_qb_pipeline_tests.corpus DIRECTORY [--tax-override honoured|recalculated]`` serves
``DIRECTORY/webservice`` as a shop beside a sandbox company, has ``psqb setup`` draft the connection, sets
the company up, runs the job ``order_to_cash``, and compares the documents in the books with ``truth/``, which
the pipeline never sees. The figures are printed, last a line of JSON. What lives here: running and reading
the books. What does not: the judgement (``corpus_judge``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import yaml

from ps_qb_pipeline.cli import processes
from ps_qb_pipeline.definitions import build_defs
from ps_qb_pipeline.orchestration import drafting, instance, steps
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.settings import Settings, connection_named
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline_tests.corpus_engine import load, read_truth
from ps_qb_pipeline_tests.corpus_judge import ZERO, Booked, Judge, Outcome

NAME = "corpus"
COMPANY = "ie"
REALM = "9130000000000001"
STORE_CREDIT = "discount"
"""The one answer that a draft asks of a person; it is what the printed invoices of a shop show."""
SECRETS = {
    "CORPUS_SHOP_KEY": "SANDBOXCORPUS0000000000000000001",
    "CORPUS_CLIENT_ID": "sandbox-corpus",
    "CORPUS_CLIENT_SECRET": "sandbox-corpus-secret",
    "CORPUS_REFRESH_TOKEN": "sandbox-corpus-refresh-token",
}
KEYS = (
    "orders", "postable", "confirmed", "not_postable", "held", "sane", "sane_held", "total_mismatch", "tax_mismatch",
    "refund_mismatch", "payment_mismatch", "date_mismatch", "currency_mismatch", "customer_mismatch", "unclassified",
)  # fmt: skip


# -- a place to run in ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A home of its own, with one connection to a shop and a company on free ports of this machine."""

    root: Path
    webservice: Path
    shop_port: int
    books_port: int

    @property
    def settings(self) -> Settings:
        """Settings that know this place only."""
        return Settings(home=self.root / "home", defs_dir=self.root / "defs", state_url="")

    @property
    def defs(self) -> Path:
        """The connection's file."""
        return self.root / "defs" / NAME / "defs.yaml"

    @property
    def arguments(self) -> list[str]:
        """What ``psqb sandbox`` is told."""
        return [
            "--shop-dir", str(self.webservice.absolute()),
            "--shop-port", str(self.shop_port),
            "--shop-key", SECRETS["CORPUS_SHOP_KEY"],
            "--company", COMPANY,
            "--books-port", str(self.books_port),
            "--realm", REALM,
            "--client-id", SECRETS["CORPUS_CLIENT_ID"],
            "--client-secret", SECRETS["CORPUS_CLIENT_SECRET"],
            "--refresh-token", SECRETS["CORPUS_REFRESH_TOKEN"],
        ]  # fmt: skip

    def connect(self, go_live: date) -> None:
        """A connection that says where shop and books are, and nothing about accounting."""
        books = f"http://127.0.0.1:{self.books_port}"
        self.defs.parent.mkdir(parents=True)
        body = {
            "shop": {"url": f"http://127.0.0.1:{self.shop_port}", "key_env": "CORPUS_SHOP_KEY"},
            "books": {
                "realm": REALM,
                "base_url": books,
                "discovery_url": f"{books}/.well-known/openid_sandbox_configuration/",
                "client_id_env": "CORPUS_CLIENT_ID",
                "client_secret_env": "CORPUS_CLIENT_SECRET",
                "refresh_token_env": "CORPUS_REFRESH_TOKEN",
                "limits": {"requests_per_minute": 600000, "requests_per_second": 10000, "batches_per_minute": 60000},
            },
            "go_live": go_live,
            "accounting": {},
        }  # fmt: skip
        self.defs.write_text(yaml.safe_dump(body))

    def runtime(self) -> Runtime:
        """The connection as its file now describes it."""
        return Runtime(self.settings, connection_named(self.settings, NAME))

    @contextlib.contextmanager
    def sandbox(self) -> Iterator[str]:
        """Shop and books, running; yields the address of the books."""
        with processes.sandbox(self.arguments) as ready:
            yield str(ready["books_url"])


@contextlib.contextmanager
def place(webservice: Path) -> Iterator[Place]:
    """A place that is gone afterwards, with the environment as it was."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="psqb-corpus-") as folder:
        made = Place(Path(folder), webservice, _free_port(), _free_port())
        os.environ.update(SECRETS, DAGSTER_HOME=str(made.root / "dagster"), DAGSTER_DISABLE_TELEMETRY="1")
        try:
            yield made
        finally:
            os.environ.clear()
            os.environ.update(before)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- the run ----------------------------------------------------------------------------------


def run(directory: Path, *, tax_override: str = "honoured") -> tuple[Outcome, list[str]]:
    """What the pipeline makes of ``directory/webservice``, as the books hold it; and what it says besides."""
    with place(directory / "webservice") as made, made.sandbox() as books_url:
        answer = httpx.put(
            f"{books_url}/_control", json={"switches": {"tax_override": tax_override}}, timeout=60
        )
        answer.raise_for_status()
        instance.initialise(made.settings)
        made.connect(_first_day(directory))
        drafted = drafting.draft(made.runtime(), ask=_answer)
        made.defs.write_text(drafted.text)
        runtime = made.runtime()
        plan = steps.set_up(runtime, create=True)
        notes = [f"set-up: {problem}" for problem in plan.problems]
        runtime.armed()
        Connections(runtime.engine).arm(NAME, by="the corpus")
        job = instance.execute(build_defs(made.settings, overrides={NAME: runtime}), f"order_to_cash_{NAME}")
        if not job.success:
            raise SystemExit(f"the job failed at {job.step}: {job.message}")
        notes += [
            f"exception: {count} {code}" for code, count in (job.figures.get("exceptions") or {}).items()
        ]
        return _outcome(runtime, notes), notes


def _answer(question: drafting.Question) -> str:
    return STORE_CREDIT if question.setting == drafting.UNDECIDED else ""


def _first_day(directory: Path) -> date:
    """A day before anything in the shop happened."""
    days = [row["date_add"].date() for row in load(directory)["orders"] if row["date_add"]]
    return min(days, default=date(2000, 1, 1)) - timedelta(days=366)


def _outcome(runtime: Runtime, notes: list[str]) -> Outcome:
    """The documents of the mirror, one class a source, and the finding codes by order."""
    with runtime.warehouse("judge what the books hold", read_only=True) as con:
        taxes: dict[tuple[str, str], dict[Decimal, Decimal]] = defaultdict(lambda: defaultdict(lambda: ZERO))
        for entity, number, percent, amount in con.execute(
            """
            select taxes.entity, taxes.id, rates.rate_value, taxes.amount
            from staging.quickbooks_document_taxes as taxes
            inner join staging.quickbooks_tax_rates as rates on taxes.tax_rate_id = rates.id
            where rates.rate_value <> 0
            """
        ).fetchall():
            taxes[entity, number][percent.normalize()] += amount
        booked = [
            Booked(
                key, entity, total, tax or ZERO, dict(taxes[entity, number]), day, currency, customer or ""
            )
            for entity, number, key, total, tax, day, currency, customer in con.execute(
                """
                select entity, id, source_key, total, total_tax, txn_date, currency, customer_id
                from staging.quickbooks_documents
                where source_key is not null and not voided and not deleted
                order by source_key
                """
            ).fetchall()
        ]
        held = dict(con.execute("select order_id, min(rule) from validation.holds group by 1").fetchall())
        sources = [
            (kind, number, "held", held[order])
            if status == "postable" and order in held
            else (kind, number, status, reason)
            for kind, number, order, status, reason in con.execute(
                "select source_type, source_id, order_id, status, reason from ledger.sources"
            ).fetchall()
        ]
        findings: dict[int, set[str]] = defaultdict(set)
        for order, code in con.execute("select order_id, code from ledger.findings").fetchall():
            findings[order].add(code)
        notes += [
            f"not confirmed: {key} is {state}: {code} {message}"
            for key, state, code, message in con.execute(
                "select key, state, fault_code, fault_message from control.intents where state <> 'CONFIRMED'"
            ).fetchall()
        ]
    _refuse_doubles(booked, notes)
    return Outcome(booked, sources, dict(findings))


def _refuse_doubles(booked: Sequence[Booked], notes: list[str]) -> None:
    seen: set[str] = set()
    for one in booked:
        if one.key in seen:
            notes.append(f"twice in the books: {one.key}")
        seen.add(one.key)


# -- the verdict ------------------------------------------------------------------------------


def good(figures: Mapping[str, Any]) -> bool:
    """Whether nothing mismatches, nothing is unclassified, and few sane orders are held."""
    wrong = any(value for name, value in figures.items() if name.endswith("_mismatch"))
    return (
        not wrong
        and figures["unclassified"] == "0.00"
        and figures["sane_held"] <= figures["sane"] * Decimal("0.03")
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures of a corpus directory; 0 when the books are right."""
    parser = argparse.ArgumentParser(prog="python -m ps_qb_pipeline_tests.corpus", description=__doc__)
    parser.add_argument("directory", type=Path, help="holds webservice/ and truth/")
    parser.add_argument("--tax-override", choices=("honoured", "recalculated"), default="honoured")
    chosen = parser.parse_args(arguments)
    directory: Path = chosen.directory
    for part in ("webservice", "truth"):
        if not (directory / part).is_dir():
            parser.error(f"{directory} holds no {part}/")
    # Whoever stops this stops the sandbox with it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    outcome, notes = run(directory, tax_override=chosen.tax_override)
    judge = Judge(load(directory), read_truth(directory), store_credit=STORE_CREDIT)
    verdict = judge.verdict(outcome)
    figures = {name: verdict[name] for name in KEYS}
    for line in (*notes, *judge.problems):
        print(line)
    for name, value in figures.items():
        print(f"{name:18} {value}")
    print(json.dumps(figures))
    return 0 if good(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
