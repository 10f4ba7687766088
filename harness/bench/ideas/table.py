"""Measurements as rows of csv files, added one at a time by any number of processes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import filelock

from harness import paths
from harness.files import write_atomically

Row = TypeVar("Row")
_PARSE = {"int": int, "float": float, "str": str}


def folder() -> Path:
    """Where the measurements are kept; they are committed."""
    return paths.results_folder() / "reference" / "ideas"


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """All rows of a file, in their order; none if there is no file yet.

    Args:
        kind: a dataclass whose fields are int, float and str.
    """
    if not path.is_file():
        return []
    parse = {each.name: _PARSE[str(each.type)] for each in _fields(kind)}
    with path.open(encoding="utf-8", newline="") as lines:
        return [kind(**{name: parse[name](text) for name, text in row.items()}) for row in csv.DictReader(lines)]


def adding() -> filelock.BaseFileLock:
    """A lock: while one process has it, no other adds a row."""
    return filelock.FileLock(paths.lock_file("ideas"))


def add_row(path: Path, row: Any) -> None:
    """Add a row. The file is replaced as a whole, so that a crash leaves no part of a row."""
    with adding():
        write_atomically(path, csv_of(type(row), [*read_rows(path, type(row)), row]))


def csv_of(kind: type[Row], rows: Sequence[Row]) -> str:
    """Rows under a header, in their order."""
    text = io.StringIO()
    table = csv.DictWriter(text, [each.name for each in _fields(kind)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)  # type: ignore[call-overload]
    return text.getvalue()


def _fields(kind: Any) -> Any:
    return fields(kind)
