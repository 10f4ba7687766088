"""The architecture as docs/architecture.md states it: which package may import which, and what only one may do."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).resolve().parents[1]
LAYERS = (
    {"errors"},
    {"config", "files", "paths", "words"},
    {"lecture"},
    {"corpus"},
    {"model"},
    {"study", "train"},
    {"store"},
    {"search", "report"},
    {"holdout", "dashboard", "notebook", "bench"},
    {"cli"},
)
"""From the bottom up. Packages of one layer never import each other; single modules of one layer may not either."""
LAYER_OF = {package: number for number, layer in enumerate(LAYERS) for package in layer}
HARNESS_FILES = sorted((ROOT / "harness").rglob("*.py"))
STUDY_FILES = sorted((ROOT / "studies").glob("*.py"))
ENTRY_POINTS = [ROOT / "harness" / "__init__.py", ROOT / "harness" / "__main__.py"]
MODULES = [path for path in HARNESS_FILES if path not in ENTRY_POINTS]
PUBLIC = "harness"
"""What an import of the public names counts as."""


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_of(path: Path) -> str:
    return path.relative_to(ROOT / "harness").with_suffix("").parts[0]


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Every (module, name) a file imports anywhere in it; no name for a plain `import module`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{short(path)}:{node.lineno} imports relatively"
            assert node.module is not None
            yield from ((node.module, alias.name) for alias in node.names)


def imported_packages(path: Path) -> set[str]:
    """The packages of harness that a file imports from; PUBLIC for the public names."""
    found = set()
    for module, name in imports(path):
        top, *rest = module.split(".")
        if top == "harness":
            found.add(rest[0] if rest else name if name in LAYER_OF else PUBLIC)
    return found


def packages_reached(start: str) -> set[str]:
    """Every package that one imports, directly or through others."""
    direct: dict[str, set[str]] = {}
    for path in MODULES:
        direct.setdefault(package_of(path), set()).update(imported_packages(path))
    reached, left = set[str](), [start]
    while left:
        new = direct[left.pop()] - reached
        reached |= new
        left += new - {PUBLIC}
    return reached - {start}


def naming(text: str) -> set[str]:
    """Files of harness and of studies in which a text occurs."""
    return {short(path) for path in [*HARNESS_FILES, *STUDY_FILES] if text in path.read_text(encoding="utf-8")}


def test_every_package_has_a_layer():
    assert {package_of(path) for path in MODULES} == set(LAYER_OF)
    assert STUDY_FILES


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_imports_go_down_only(path: Path):
    own = package_of(path)
    assert PUBLIC not in imported_packages(path), "the public names are for users"
    assert {other for other in imported_packages(path) - {own} if LAYER_OF[other] >= LAYER_OF[own]} == set()


@pytest.mark.parametrize("forbidden", ["search", "holdout"])
def test_reports_are_made_from_what_is_stored_alone(forbidden: str):
    assert forbidden not in packages_reached("report")


@pytest.mark.parametrize("path", STUDY_FILES, ids=short)
def test_a_study_imports_public_names_optuna_and_the_standard_library_only(path: Path):
    for module, name in imports(path):
        if module == "harness":
            assert name in harness.__all__
        else:
            is_helper = (path.parent / f"{module.removeprefix('studies.')}.py").name.startswith("_")
            assert is_helper or module.split(".")[0] in {"optuna", *sys.stdlib_module_names}, module


def test_the_test_split_is_named_only_where_it_is_cut_and_where_it_is_opened():
    assert naming("sealed_test_items") == {"harness/corpus/split.py", "harness/holdout/open.py"}


def test_the_third_part_of_the_split_is_cut_nowhere_else():
    assert naming("_shuffled(") == {"harness/corpus/split.py"}


@pytest.mark.parametrize("path", [path for path in HARNESS_FILES if "cli" not in path.parts], ids=short)
def test_only_the_command_line_prints(path: Path):
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"] == []
    assert [module for module, _ in imports(path) if module.split(".")[0] in ("rich", "typer")] == []


@pytest.mark.parametrize("path", [p for p in MODULES if LAYER_OF[package_of(p)] <= LAYER_OF["train"]], ids=short)
def test_the_trainer_and_the_layers_below_it_do_not_use_optuna(path: Path):
    if package_of(path) != "study":
        assert [module for module, _ in imports(path) if module.split(".")[0].startswith("optuna")] == []


def test_every_public_name_is_there():
    assert [name for name in harness.__all__ if not hasattr(harness, name)] == []
