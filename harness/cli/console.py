"""Where the commands print: facts on stdout, for people or as one JSON document; what goes on meanwhile beside them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.store.trial_record import finite

_WIDE = 160


def _console(*, stderr: bool) -> Console:
    """As wide as the terminal, or wide enough for a table where there is none."""
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else _WIDE
    # Names, paths and reasons are shown as they are, brackets included.
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True, width=width)


console = _console(stderr=False)
notices = _console(stderr=True)


def beside(as_json: bool) -> Console:
    """Where progress goes: stdout, but stderr where stdout belongs to a JSON document."""
    return notices if as_json else console


def show_json(facts: Mapping[str, Any]) -> None:
    """One JSON document on stdout; null where a number is not finite."""
    print(json.dumps(_finite(facts), indent=2, allow_nan=False))


def _finite(facts: Any) -> Any:
    if isinstance(facts, Mapping):
        return {str(key): _finite(value) for key, value in facts.items()}
    if isinstance(facts, Sequence) and not isinstance(facts, str):
        return [_finite(value) for value in facts]
    return finite(facts)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], to: Console = console) -> None:
    """Plain columns; where the terminal is too narrow for them, each row's cells beneath one another, uncut."""
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
    """A name and its value a line; rows without a value are left out."""
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # a path is of no use cut
    for name, value in rows:
        if value:
            table.add_row(name, value)
    to.print(table)
