"""One look for every figure: paper size, palette (colour-blind safe, Okabe & Ito 2008), grid, small print."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00"
GREY = "#767676"
REFERENCE = VERMILION

VERDICTS = {
    "well fitted": GREEN,
    "underfitting": SKY,
    "overfitting": VERMILION,
    "still improving": ORANGE,
    "diverged": BLACK,
}
MARKERS = {"well fitted": "o", "underfitting": "v", "overfitting": "^", "still improving": "D", "diverged": "X"}


@contextmanager
def look() -> Iterator[None]:
    """Everything drawn inside looks the same; nothing outside changes."""
    settings: dict[str, Any] = {
        **sns.axes_style("whitegrid"),
        **sns.plotting_context("notebook", font_scale=0.9),
        "figure.dpi": 110,
        "savefig.dpi": 160,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "grid.color": "#e6e6e6",
        "legend.frameon": False,
        "svg.hashsalt": "harness",  # the same figure gives the same file
        "svg.fonttype": "none",
        "font.family": "DejaVu Sans",
    }
    with mpl.rc_context(cast("Any", settings)):  # seaborn's keys are plain strings
        yield


def figure(width: float, height: float, columns: int = 1, rows: int = 1, **grid: Any) -> tuple[Figure, list[Axes]]:
    """A figure (inches) and its axes, row by row; apart from pyplot's global state."""
    made = Figure(figsize=(width, height), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False, **grid)
    return made, [axis for row in axes for axis in row]


def empty(why: str, caption: str) -> Figure:
    """A figure that says why there is nothing to show."""
    made, (axes,) = figure(6, 2.4)
    axes.text(0.5, 0.5, why, ha="center", transform=axes.transAxes, color=GREY)
    axes.set_axis_off()
    small_print(made, caption)
    return made


def small_print(made: Figure, text: str) -> None:
    """The line under a figure that says what its numbers belong to."""
    per_line = int(made.get_figwidth() * 15)  # characters of this size to the inch
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, per_line)]
    made.supxlabel("\n".join(lines), fontsize=8, color=GREY, x=0.01, ha="left")
