"""Asset checks: the contracts' rules and the proof of every cent, as Dagster shows them.

What lives here: one check a table over all rules of its contract, and the form of its result. What does not: the
rules (the models' ``.yml``) and the engines (``validation``).
See https://docs.dagster.io/guides/test/asset-checks
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg

from ps_qb_pipeline.orchestration import metadata
from ps_qb_pipeline.validation.outcomes import Outcome
from ps_qb_pipeline.validation.rules import Contract

RULES = "rules"
"""The name of the check that every table with a contract has."""
SHOWN_IDS = 20


def asset_of(connection: str, table: str) -> dg.AssetKey:
    """The asset that a rule's table is."""
    return dg.AssetKey([connection, *table.split(".")])


def specs(connection: str, contracts: Sequence[Contract]) -> list[dg.AssetCheckSpec]:
    """One check a table over all its rules; it stops what comes after when a rule that blocks fails."""
    return [
        dg.AssetCheckSpec(
            RULES,
            asset=asset_of(connection, contract.table),
            blocking=True,
            description=_words(contract),
        )
        for contract in contracts
    ]


def results(
    connection: str, contracts: Sequence[Contract], outcomes: Iterable[Outcome]
) -> Iterator[dg.AssetCheckResult]:
    """What an engine found, a check a table, with counts and the ids of failing rows; no personal data."""
    found: dict[str, list[Outcome]] = {contract.table: [] for contract in contracts}
    for outcome in outcomes:
        found[outcome.table].append(outcome)
    for table, ones in found.items():
        yield result(connection, table, RULES, ones)


def result(
    connection: str, table: str, name: str, outcomes: Sequence[Outcome], *, data_docs: str = ""
) -> dg.AssetCheckResult:
    """The verdicts on one table as one check. A failure that only holds or warns does not stop a run."""
    records = [
        dg.TableRecord(
            {
                "rule": outcome.rule.name,
                "verdict": outcome.verdict,
                "failing": outcome.failing,
                "evaluated": outcome.evaluated,
                "then": outcome.rule.on_fail,
                "failing_ids": ", ".join(outcome.failing_ids[:SHOWN_IDS]),
                "error": outcome.error,
            }
        )
        for outcome in sorted(outcomes, key=lambda one: one.passed)
    ]
    stops = any(outcome.blocks for outcome in outcomes)
    return dg.AssetCheckResult(
        passed=all(outcome.passed for outcome in outcomes),
        check_name=name,
        asset_key=asset_of(connection, table),
        severity=dg.AssetCheckSeverity.ERROR if stops else dg.AssetCheckSeverity.WARN,
        metadata={
            "failing": sum(outcome.failing for outcome in outcomes),
            "rules": dg.MetadataValue.table(records) if records else dg.MetadataValue.text("none"),
            "engine": outcomes[0].engine if outcomes else "",
            "seconds": round(sum(outcome.seconds for outcome in outcomes), 3),
            **({"data_docs": dg.MetadataValue.path(data_docs)} if data_docs else {}),
        },
    )


def _words(contract: Contract) -> str:
    return f"The {len(contract.rules)} rules of {contract.path.name}: " + ", ".join(
        r.name for r in contract.rules
    )


def pack_metadata(pack: Mapping[str, Any]) -> metadata.Metadata:
    """The key figures of a report pack, plotted over time, and where its files lie."""
    shown = metadata.facts({name: value for name, value in pack.items() if not isinstance(value, Path)})
    paths = {name: dg.MetadataValue.path(value) for name, value in pack.items() if isinstance(value, Path)}
    return {**shown, **paths}


def every_cent(asset: dg.AssetKey, pack: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Passed when the unclassified amount is zero in every currency."""
    unclassified: Mapping[str, Any] = pack["unclassified"]
    return dg.AssetCheckResult(
        passed=all(Decimal(str(amount)) == 0 for amount in unclassified.values()),
        check_name="every_cent_is_classified",
        asset_key=asset,
        metadata={
            "unclassified": dg.MetadataValue.json(
                {name: str(amount) for name, amount in unclassified.items()}
            ),
            "open_difference": dg.MetadataValue.json(
                {name: str(amount) for name, amount in pack["open_difference"].items()}
            ),
        },
    )
