"""What persons decided about single orders at the start of a connection, and the settings that follow.

What lives here: reading the decisions from the control plane. What does not: making them (``cutover``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.state.cursors import Cursors

RESOURCE = "cutover"
"""Under this name the decisions of a connection stand in the control plane."""


def decisions(runtime: Runtime) -> dict[str, dict[str, Any]]:
    """What was decided, by order id as text: ``decision`` is adopt or exclude; by whom and when."""
    return dict(Cursors(runtime.engine).get(runtime.name, RESOURCE) or {})


def policy_of(runtime: Runtime) -> Policy:
    """The accounting settings with the orders that a person excluded."""
    listed = [int(order) for order, one in decisions(runtime).items() if one["decision"] == "exclude"]
    policy = runtime.connection.accounting
    return replace(policy, booked_elsewhere=(*policy.booked_elsewhere, *sorted(listed))) if listed else policy
