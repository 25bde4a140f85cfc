"""Who may import whom: an AST walk over every module of the package."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ps_qb_pipeline

PACKAGE = Path(ps_qb_pipeline.__file__).parent
EVERYWHERE = {"errors", "settings"}
DATA_ROOMS = {"prestashop", "quickbooks", "warehouse", "state"}
WORK_ROOMS = DATA_ROOMS | {"accounting"}
ALLOWED: dict[str, set[str]] = {
    "accounting": set(),
    "sandbox": {"errors"},
    "errors": set(),
    "settings": {"accounting", "errors"},
    **{room: EVERYWHERE | {"accounting"} for room in DATA_ROOMS},
    "statements": EVERYWHERE | {"accounting", "warehouse"},
    **dict.fromkeys(("validation", "posting", "reports"), EVERYWHERE | WORK_ROOMS),
    "gateway": EVERYWHERE | {"state", "reports", "posting"},
    "orchestration": EVERYWHERE | WORK_ROOMS | {"validation", "posting", "reports", "gateway", "statements"},
    "definitions": EVERYWHERE | {"orchestration", "validation", "warehouse"},
}
HEAVY = {"great_expectations", "pandas", "matplotlib", "altair", "vl_convert", "numpy"}


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield node.module or ""
            if node.module == "ps_qb_pipeline":
                yield from (f"ps_qb_pipeline.{alias.name}" for alias in node.names)


def _top_level(tree: ast.Module) -> Iterator[str]:
    for statement in tree.body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield from _imports(statement)


MODULES = list(_modules())


@pytest.mark.parametrize(("room", "path"), MODULES, ids=lambda value: str(value).removeprefix(str(PACKAGE)))
def test_a_room_imports_only_what_it_may(room: str, path: Path) -> None:
    """A module imports no room that the architecture does not give to it."""
    tree = ast.parse(path.read_text())
    for name in _imports(tree):
        if name.startswith("ps_qb_pipeline."):
            other = name.split(".")[1]
            if room in ALLOWED and other != room:
                assert other in ALLOWED[room], f"{room} imports {name}"
        elif name.split(".")[0] == "dagster":
            assert room in {"orchestration", "definitions"}, f"{room} imports dagster"
        elif room == "accounting":
            assert name.split(".")[0] in sys.stdlib_module_names | {"__future__"}, (
                f"accounting imports {name}"
            )
    for name in _top_level(tree):
        assert name.split(".")[0] not in HEAVY, f"{name} is imported at module level"


@pytest.mark.parametrize(("room", "path"), MODULES, ids=lambda value: str(value).removeprefix(str(PACKAGE)))
def test_a_module_says_what_lives_in_it(room: str, path: Path) -> None:
    """Every module opens with a docstring, and an ``__init__`` holds nothing else."""
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), room
    if path.name == "__init__.py":
        assert len(tree.body) == 1
