"""Where the commands print: as wide as the terminal, or wide enough for a table where there is none."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

_WIDE = 160

# Names, paths and reasons are shown as they are, brackets included.
console = Console(
    markup=False, emoji=False, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE
)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Plain columns, as they fit."""
    table = Table(*head, box=None)
    for row in rows:
        table.add_row(*row)
    console.print(table)
