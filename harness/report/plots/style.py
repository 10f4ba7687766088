"""One style for every figure: sizes, markers, grid, legend and the line of small print under it.

A figure is drawn once, in the colours of `palette`. On a page each colour becomes a variable of the style
sheet, which has another value in dark mode. Files keep the light colours.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from harness.report.palette import BLACK, BLUE, FRAME, GREEN, GREY, GRID, INK, LEVELS, ORANGE, SKY, VERMILION
from harness.report.plots.glyphs import make_readable

VERDICTS = {
    "well fitted": GREEN,
    "at the floor": BLUE,
    "underfitting": SKY,
    "overfitting": VERMILION,
    "still improving": ORANGE,
    "diverged": BLACK,
}
MARKERS = {
    "well fitted": "o",
    "at the floor": "s",
    "underfitting": "v",
    "overfitting": "^",
    "still improving": "D",
    "diverged": "X",
}
STATUSES = {"complete": (BLUE, "o"), "pruned": (GREY, "x"), "diverged": (BLACK, "X"), "failed": (VERMILION, "P")}

NARROW, WIDE = 4.5, 9.8
"""Inches. A narrow figure is readable on a phone at full width; a wide one scrolls there."""
MANY = 3000
"""If there are more points than this, they are stored as pixels; the rest of the figure stays vector graphics."""


def level_map() -> ListedColormap:
    return ListedColormap(LEVELS)


@contextmanager
def look() -> Iterator[None]:
    """Apply the style to everything drawn inside the context, and nothing of the user's own matplotlibrc."""
    settings: dict[str, Any] = {
        **sns.axes_style("whitegrid"),
        **sns.plotting_context("paper"),
        "figure.dpi": 110,
        "savefig.dpi": 160,
        "font.family": "DejaVu Sans",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titlesize": 10.5,
        "axes.labelsize": 9.5,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "grid.linewidth": 0.7,
        "axes.linewidth": 0.8,
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"), INK),
        "axes.edgecolor": FRAME,
        "grid.color": GRID,
        "svg.hashsalt": "harness",  # so that the same figure gives the same file
        "svg.fonttype": "none",
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(cast("Any", settings))  # seaborn's keys are plain strings
        yield


def figure(width: float, height: float, columns: int = 1, rows: int = 1, **grid: Any) -> tuple[Figure, list[Axes]]:
    """A figure (inches) and its axes, row by row, without pyplot's global state."""
    made = Figure(figsize=(width, height), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False, **grid)
    return made, [axis for row in axes for axis in row]


def settle(made: Figure) -> set[str]:
    """Compute the layout once. Otherwise each file that is written computes it twice.

    Returns:
        The symbols that are drawn as code points, because no installed font has them.
    """
    unknown = make_readable(made)
    engine = made.get_layout_engine()
    if engine is not None:
        engine.execute(made)
        made.set_layout_engine(None)
    return unknown


def empty(why: str, caption: str) -> Figure:
    """A figure that only says why there is nothing to show."""
    made, (axes,) = figure(NARROW, 1.6)
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=GREY, fontsize=9)
    axes.set_axis_off()
    small_print(made, caption)
    return made


def small_print(made: Figure, text: str) -> None:
    """The text under a figure that names the corpus and what else its numbers belong to."""
    made.supxlabel("\n".join(_wrapped(text, made)), fontsize=8, color=GREY, x=0.01, ha="left")


def _wrapped(text: str, made: Figure) -> list[str]:
    per_line = int(made.get_figwidth() * 17)  # characters of this size per inch
    return [line for part in text.splitlines() for line in textwrap.wrap(part, per_line)]


def legend_above(axes: Axes, columns: int = 2) -> None:
    """Put the legend between title and plot, where it hides nothing, in at most that many columns."""
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes made by `figure` always have one
    while columns > 1 and _legend_width(labels, columns) > 72 * figure.get_figwidth() / _columns(axes):
        columns -= 1
    # It starts at the figure's left edge, above the axes.
    across = blended_transform_factory(figure.transFigure, axes.transAxes)
    first = _columns(axes) == 1
    legend = axes.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(0.0 if first else -0.02, 1.0), ncols=columns,
        bbox_transform=across if first else axes.transAxes, borderaxespad=0.2, handlelength=1.8, columnspacing=1.2,
        labelspacing=0.3, borderpad=0.2,
    )  # fmt: skip
    legend.set_in_layout(False)  # the title's padding leaves space for it; inside the layout it would narrow the axes
    rows = -(-len(handles) // columns)
    axes.set_title(axes.get_title(loc="left"), pad=7 + 13.2 * rows)


def _legend_width(labels: list[str], columns: int) -> float:
    """In points, with 5 for a character and 34 for a handle with its margins."""
    rows = -(-len(labels) // columns)
    return sum(34 + 5.0 * max(map(len, labels[start : start + rows])) for start in range(0, len(labels), rows))


def _columns(axes: Axes) -> int:
    spec = axes.get_subplotspec()
    return 1 if spec is None else int(spec.get_gridspec().ncols)


def as_written(text: str) -> str:
    """A user's text for matplotlib, which takes what is between two dollar signs for mathematics."""
    return text.replace("$", r"\$")


def scatter(axes: Axes, x: pd.Series, y: pd.Series, **looks: Any) -> None:
    """Draw points, as pixels if there are thousands of them, so that the file stays small."""
    axes.scatter(x, y, rasterized=len(x) > MANY, **({"s": 24, "lw": 0} | looks))


def big_numbers(value: float, _: object = None) -> str:
    """Labels for axes: `250 k`, `2.5 M`."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
