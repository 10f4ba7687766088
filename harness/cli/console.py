"""Where the commands print: as wide as the terminal, or wide enough for a table where there is none."""

from __future__ import annotations

import sys

from rich.console import Console

_WIDE = 160

# Names, paths and reasons are shown as they are, brackets included.
console = Console(
    markup=False, emoji=False, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE
)
