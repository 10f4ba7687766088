"""The house rules: imports go down only, studies use public names, the test split stays sealed, one room prints."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).resolve().parents[1]
FLOORS = {
    "cli": 9,
    "report": 8,
    "bench": 8,
    "notebook": 8,
    "search": 7,
    "train": 6,
    "model": 5,
    "corpus": 4,
    "config": 2,
    "files": 2,
    "paths": 2,
    "errors": 1,
}
HARNESS_FILES = sorted((ROOT / "harness").rglob("*.py"))
STUDY_FILES = sorted((ROOT / "studies").glob("*.py"))
DOORS = [ROOT / "harness" / "__init__.py", ROOT / "harness" / "__main__.py"]
ROOM_FILES = [path for path in HARNESS_FILES if path not in DOORS]


def inside(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "harness").with_suffix("").parts[0]


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Every (module, name) a file imports anywhere in it; no name for a plain `import module`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{inside(path)}:{node.lineno} imports relatively"
            assert node.module is not None
            yield from ((node.module, alias.name) for alias in node.names)


def imported_rooms(path: Path) -> set[str]:
    """The rooms of the house a file imports from; `harness` itself is the public names, as high as the notebook."""
    rooms = set()
    for module, name in imports(path):
        package, *rest = module.split(".")
        if package == "harness":
            rooms.add(rest[0] if rest else name if name in FLOORS else "notebook")
    return rooms


def test_the_house_has_files_to_look_at():
    assert {room_of(path) for path in ROOM_FILES} == set(FLOORS)
    assert STUDY_FILES


@pytest.mark.parametrize("path", ROOM_FILES, ids=inside)
def test_a_room_imports_from_its_own_floor_or_below(path: Path):
    floor = FLOORS[room_of(path)]
    assert {room for room in imported_rooms(path) if FLOORS[room] > floor} == set()


@pytest.mark.parametrize("path", STUDY_FILES, ids=inside)
def test_a_study_imports_public_names_optuna_and_the_standard_library_only(path: Path):
    for module, name in imports(path):
        if module == "harness":
            assert name in harness.__all__
        else:
            assert module.split(".")[0] in {"optuna", *sys.stdlib_module_names}, module


def test_the_test_split_is_named_only_where_it_is_cut_and_where_it_is_opened():
    naming = {inside(path) for path in [*HARNESS_FILES, *STUDY_FILES] if "sealed_test_items" in path.read_text()}
    assert naming == {"harness/corpus/split.py", "harness/search/holdout.py"}


def test_the_third_part_of_the_split_is_cut_nowhere_else():
    naming = {inside(path) for path in [*HARNESS_FILES, *STUDY_FILES] if "_shuffled(" in path.read_text()}
    assert naming == {"harness/corpus/split.py"}


@pytest.mark.parametrize("path", [path for path in HARNESS_FILES if "cli" not in path.parts], ids=inside)
def test_only_the_command_line_prints(path: Path):
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"] == []
    assert [module for module, _ in imports(path) if module.split(".")[0] in ("rich", "typer")] == []


@pytest.mark.parametrize("path", HARNESS_FILES, ids=inside)
def test_no_file_is_longer_than_300_lines(path: Path):
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", [p for p in ROOM_FILES if FLOORS[room_of(p)] < FLOORS["search"]], ids=inside)
def test_below_the_search_nobody_knows_optuna(path: Path):
    assert [module for module, _ in imports(path) if module.split(".")[0].startswith("optuna")] == []


def test_every_public_name_is_there():
    assert [name for name in harness.__all__ if not hasattr(harness, name)] == []
