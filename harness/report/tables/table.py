"""Tables for csv, Markdown, LaTeX (booktabs) and pages: units in the head, the best in bold, ties marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pandas as pd

from harness.errors import ConfigError, nearest

Format = Literal["csv", "md", "latex"]
FORMATS: tuple[Format, ...] = ("csv", "md", "latex")
TIED = "†"


@dataclass(frozen=True)
class Column:
    """One column of a frame, and how to show it."""

    name: str
    """Its name in the frame and on the command line."""
    unit: str = ""
    show: Callable[[Any], str] = str
    """Formats a value that is not missing."""
    number: bool = True
    """Whether it is aligned to the right and sorted by number."""
    marked: bool = False
    """Whether the frame's columns `best` and `tied` mark its cells."""
    words: str = ""
    """The head, if it is not the name."""
    wrap: bool = False
    """Whether a page may break its cells into several lines."""

    @property
    def head(self) -> str:
        words = self.words or self.name.replace("_", " ")
        return f"{words} ({self.unit})" if self.unit else words


class Cell(NamedTuple):
    """The text of a cell, and the value that it is sorted by."""

    text: str
    sort: str
    number: bool
    best: bool = False
    tied: bool = False
    link: str = ""


def nats(value: float) -> str:
    """A loss with four decimals."""
    return f"{value:.4f}"


def nats_if_known(value: float | None) -> str:
    """A loss with four decimals; empty for None."""
    return "" if value is None else nats(value)


def whole(value: float) -> str:
    """A count with thousands separators."""
    return f"{value:,.0f}"


def short(value: Any) -> str:
    """A parameter's value: floats with three digits, hyphens in place of underscores."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) >= 1 else f"{value:.3g}"
    return str(value).replace("_", "-")


def chosen(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """The columns with these names, in their order.

    Raises:
        ConfigError: there is no column of that name.
    """
    known = {column.name: column for column in columns}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"a table's columns must be among {', '.join(known)}; got {name!r}.{nearest(name, list(known))} "
                "Correct --columns."
            )
    return [known[name] for name in names]


def cells(frame: pd.DataFrame, columns: Sequence[Column]) -> list[list[Cell]]:
    """The rows of a frame as text; its columns `best` and `tied` mark the cells of marked columns."""
    return [
        [_cell(row[column.name], column, bool(row.get("best")), bool(row.get("tied"))) for column in columns]
        for row in frame.to_dict("records")
    ]


def _cell(value: Any, column: Column, best: bool, tied: bool) -> Cell:
    if value is None or pd.isna(value):
        return Cell("", "", column.number)
    marked = column.marked
    sort = repr(float(value)) if column.number else str(value)
    return Cell(column.show(value), sort, column.number, marked and best, marked and tied and not best)


def render(frame: pd.DataFrame, columns: Sequence[Column], form: Format, caption: str, label: str = "") -> str:
    """The table as text. The csv has full precision, `best` and `tied` as columns, and no caption."""
    if form == "csv":
        return _csv(frame, columns)
    rows = cells(frame, columns)
    if form == "latex":
        return _latex(rows, columns, caption, label)
    head, right = [column.head for column in columns], [column.number for column in columns]
    return f"{caption}\n\n{markdown(head, [list(map(_marked, row)) for row in rows], right)}\n"


def _csv(frame: pd.DataFrame, columns: Sequence[Column]) -> str:
    names = {column.name: f"{column.name}_{column.unit}" if column.unit else column.name for column in columns}
    extra = [name for name in ("best", "tied", "fingerprint") if name in frame and name not in names]
    text: str = frame[[*names, *extra]].rename(columns=names).to_csv(index=False)
    return text


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = (), space: str = "") -> str:
    """A Markdown table of plain text, without a newline at its end.

    Args:
        right: for each column, whether it is aligned to the right; none is by default.
        space: what to append to every cell, for readers that set columns without space between them.
    """
    sides = right or [False] * len(head)
    lines = [_line(head, space), _line(["---:" if side else ":---" for side in sides], "")]
    return "\n".join(lines + [_line(row, space) for row in rows])


def _line(cells: Sequence[str], space: str) -> str:
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(f'{cell}{space}' for cell in escaped)} |"


def _marked(cell: Cell) -> str:
    return f"**{cell.text}**" if cell.best else f"{cell.text} {TIED}" if cell.tied else cell.text


def _latex(rows: list[list[Cell]], columns: Sequence[Column], caption: str, label: str) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escaped(caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{''.join('r' if column.number else 'l' for column in columns)}}}",
        r"\toprule",
        rf"{' & '.join(_escaped(column.head) for column in columns)} \\",
        r"\midrule",
        *(rf"{' & '.join(map(_in_latex, row))} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _in_latex(cell: Cell) -> str:
    text = _escaped(cell.text)
    return rf"\textbf{{{text}}}" if cell.best else f"{text}$^\\dagger$" if cell.tied else text


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "·": "--", "±": r"$\pm$",
    "†": r"$\dagger$", "…": r"\dots{}", **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
