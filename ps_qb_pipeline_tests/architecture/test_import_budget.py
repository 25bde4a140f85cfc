"""What loading the definitions may cost: every run pays it again."""

import os
import subprocess
import sys

FORBIDDEN = (
    "great_expectations",
    "pandas",
    "matplotlib",
    "altair",
    "vl_convert",
    "uvicorn",
    "typst",
    "xlsxwriter",
)


def test_loading_the_definitions_imports_nothing_heavy(tmp_path) -> None:
    """``ps_qb_pipeline.definitions`` loads without the packages that only some steps need."""
    code = (
        "import sys, ps_qb_pipeline.definitions as d; d.defs.get_repository_def();"
        f"print([m for m in {FORBIDDEN!r} if m in sys.modules])"
    )
    environment = {**os.environ, "PSQB_HOME": str(tmp_path), "DAGSTER_HOME": ""}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    assert run.stdout.strip().splitlines()[-1] == "[]"
