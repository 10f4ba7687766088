"""Printing: facts on stdout, as text or as one JSON document; progress on stdout or, with JSON, on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.store.trial_record import finite

_WIDTH_WITHOUT_TERMINAL = 160


def _console(*, stderr: bool) -> Console:
    """As wide as the terminal, or wide enough for tables if there is none."""
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else _WIDTH_WITHOUT_TERMINAL
    # Names, paths and error messages are printed unchanged, brackets included.
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True, width=width)


console = _console(stderr=False)
_stderr_console = _console(stderr=True)


def progress_console(as_json: bool) -> Console:
    """Where progress is printed: on stdout, or on stderr if stdout is for a JSON document."""
    return _stderr_console if as_json else console


def complain(message: str) -> None:
    """Print a failure on stderr, in one line."""
    print(f"harness: {' '.join(message.split())}", file=sys.stderr)


def show_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout, with null for every number that is not finite."""
    print(json.dumps(_with_nulls(document), indent=2, allow_nan=False))


def _with_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _with_nulls(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_with_nulls(inner) for inner in value]
    return finite(value)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], to: Console = console) -> None:
    """Print plain columns. On a terminal too narrow for them, print each row as lines of name and cell, untruncated."""
    if sum(max(map(len, column)) + 2 for column in zip(head, *rows, strict=True)) > to.width:
        for row in rows:
            to.print(row[0])
            show_pairs([(f"  {name}", cell) for name, cell in zip(head[1:], row[1:], strict=True)], to)
        return
    table = Table(*head, box=None)
    for row in rows:
        table.add_row(*row)
    to.print(table)


def show_pairs(rows: Sequence[tuple[str, str]], to: Console = console) -> None:
    """Print one name and value per line, without the rows whose value is empty."""
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # truncated paths are useless
    for name, value in rows:
        if value:
            table.add_row(name, value)
    to.print(table)
