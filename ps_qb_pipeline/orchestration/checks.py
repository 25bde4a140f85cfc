"""Asset checks: the contracts' rules and the proof of every cent, as Dagster shows them.

What lives here: one check a rule, named as the rule, and the form of its result. What does not: the
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
from ps_qb_pipeline.validation.rules import Contract, Rule


def asset_of(connection: str, table: str) -> dg.AssetKey:
    """The asset that a rule's table is."""
    return dg.AssetKey([connection, *table.split(".")])


def specs(connection: str, contracts: Sequence[Contract]) -> list[dg.AssetCheckSpec]:
    """One check for every rule; those whose failure blocks stop what comes after."""
    return [
        dg.AssetCheckSpec(
            rule.name,
            asset=asset_of(connection, rule.table),
            blocking=rule.on_fail == "block",
            description=rule.message or _words(rule),
        )
        for contract in contracts
        for rule in contract.rules
    ]


def results(connection: str, outcomes: Iterable[Outcome]) -> Iterator[dg.AssetCheckResult]:
    """What the engine found, with counts and the ids of failing rows; never their personal data."""
    for outcome in outcomes:
        yield dg.AssetCheckResult(
            passed=outcome.passed,
            check_name=outcome.rule.name,
            asset_key=asset_of(connection, outcome.table),
            severity=_severity(outcome),
            description=outcome.error or None,
            metadata={
                "failing": outcome.failing,
                "evaluated": outcome.evaluated,
                "failing_ids": dg.MetadataValue.json(list(outcome.failing_ids)),
                "on_fail": outcome.rule.on_fail,
                "engine": outcome.engine,
                "seconds": round(outcome.seconds, 3),
            },
        )


def _severity(outcome: Outcome) -> dg.AssetCheckSeverity:
    grave = outcome.blocks or outcome.rule.severity == "error"
    return dg.AssetCheckSeverity.ERROR if grave else dg.AssetCheckSeverity.WARN


def _words(rule: Rule) -> str:
    what = rule.check or f"{rule.kind.replace('_', ' ')}: {', '.join(rule.columns)}"
    return f"{what} (a failing row is {'held' if rule.on_fail == 'hold' else rule.on_fail})"


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
