"""The asset graph as a reviewed snapshot: a change of it is a change of a file.

``PSQB_WRITE_SNAPSHOT=1`` writes the file anew.
"""

import json
import os
from pathlib import Path
from typing import Any

from ps_qb_pipeline.definitions import build_defs
from ps_qb_pipeline.settings import Settings

SNAPSHOT = Path(__file__).parent / "__snapshots__" / "graph.json"
CONNECTION = "boutique"


def _graph() -> dict[str, Any]:
    definitions = build_defs(Settings())
    repository = definitions.get_repository_def()
    graph = repository.asset_graph
    assets = {}
    for key in sorted(graph.get_all_asset_keys(), key=lambda one: one.path):
        if key.path[0] != CONNECTION:
            continue
        node = graph.get(key)
        assets["/".join(key.path[1:])] = {
            "group": node.group_name,
            "deps": sorted("/".join(parent.path[1:]) for parent in node.parent_keys),
            "kinds": sorted(node.kinds),
            "owners": sorted(node.owners),
            "checks": sorted(check.name for check in graph.get_check_keys_for_assets({key})),
            "described": bool(node.description),
        }
    return {
        "assets": assets,
        "jobs": sorted(name for name in repository.job_names if not name.startswith("__")),
        "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
        "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
    }


def test_the_graph_is_the_one_that_was_reviewed() -> None:
    """Keys, dependencies, groups, owners, checks, jobs and sensors are those of the snapshot."""
    graph = _graph()
    if os.environ.get("PSQB_WRITE_SNAPSHOT"):
        SNAPSHOT.parent.mkdir(exist_ok=True)
        SNAPSHOT.write_text(json.dumps(graph, indent=1, sort_keys=True) + "\n")
    assert graph == json.loads(SNAPSHOT.read_text())


def test_every_asset_says_what_it_is() -> None:
    """Every asset has a description that ends in its grain, an owner and a kind."""
    definitions = build_defs(Settings())
    graph = definitions.get_repository_def().asset_graph
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert "Grain:" in node.description, (key, node.description)
        assert node.owners, key
        assert node.kinds, key
