"""Figures of several parameters at once: parallel coordinates, and the two most important parameters."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator

from harness.report import palette
from harness.report.frames import importance_frame, is_log
from harness.report.plots import style
from harness.report.plots.plot import Plot
from harness.report.plots.search import TOO_FEW, by_parameter, levels_of
from harness.report.results import Results
from harness.report.tables.table import short
from harness.words import plural

_BINS = 5
_NAMES_ACROSS = 85.0
"""Points of font size times axes at which the longest names still have room."""
_BEST = 0.1
"""Share of the trials whose lines are highlighted."""


def draw_parallel(frame: pd.DataFrame, results: Results) -> Figure:
    names = [name for name in frame.columns[2:] if frame[name].notna().all()]
    if len(frame) < 2 or not names:
        return style.empty("too few complete trials", results.label)
    names.append("dev_nats")
    figure, (axes,) = style.figure(style.WIDE, 4.0)
    axes.set_title("Parallel coordinates")
    places = np.column_stack([_unit(frame[name], name, axes, at, results) for at, name in enumerate(names)])
    ranks = frame["dev_nats"].rank(pct=True).to_numpy(float)
    steps = len(palette.LEVELS)
    for row, share in sorted(zip(places, ranks, strict=True), key=lambda pair: -pair[1]):
        best = share <= max(_BEST, 1 / len(frame))
        colour = palette.VERMILION if best else palette.LEVELS[min(steps - 1, int((1 - share) * steps))]
        axes.plot(row, color=colour, lw=1.8 if best else 0.9, alpha=0.9, zorder=3 if best else 2)
    axes.plot([], [], color=palette.VERMILION, lw=1.8, label="best tenth")
    axes.plot([], [], color=palette.LEVELS[-2], lw=1.2, label="darker is better")
    axes.plot([], [], color=palette.LEVELS[0], lw=1.2, label="worst")
    for at in range(len(names)):
        axes.axvline(at, color=palette.FRAME, lw=0.8, zorder=1)
    axes.set_xticks(range(len(names)), [*map(style.as_written, names[:-1]), "dev loss (nats)"])
    axes.tick_params(axis="x", labelsize=min(9.0, _NAMES_ACROSS / len(names)))  # or long names of neighbours would meet
    axes.set(yticks=[], xlim=(-0.35, len(names) - 0.35), ylim=(-0.06, 1.06))
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    style.legend_above(axes, columns=3)
    style.small_print(
        figure, f"n={plural(len(frame), 'complete trial')}; only parameters that all of them have · {results.label}"
    )
    return figure


def _unit(values: pd.Series, name: str, axes: Axes, at: int, results: Results) -> np.ndarray[Any, Any]:
    """Values as heights from 0 to 1 on the parameter's own scale; writes its ends or choices next to the axis."""
    levels = levels_of(values)
    if levels is not None:
        place = {level: (i + 0.5) / len(levels) for i, level in enumerate(levels)}
        marks = {style.as_written(short(level)): height for level, height in place.items()}
        heights = values.astype(object).map(place).to_numpy(float)
    else:
        log = is_log(results, name)
        scaled = np.log(values.to_numpy(float)) if log else values.to_numpy(float)
        low, span = scaled.min(), np.ptp(scaled) or 1.0
        heights = (scaled - low) / span
        marks = {f"{values.min():.3g}": 0.0, f"{values.max():.3g}": 1.0}
    for text, height in marks.items():
        axes.text(
            at + 0.03, height, text, fontsize=7.5, va="center", color=palette.INK, zorder=5,
            bbox={"facecolor": palette.PAPER, "alpha": 0.75, "lw": 0, "pad": 0.8},
        )  # fmt: skip
    return heights


def _alt_parallel(frame: pd.DataFrame) -> str:
    best = frame[frame["dev_nats"].rank(pct=True) <= max(_BEST, 1 / len(frame))]
    ranges = [
        f"{name} {short(best[name].min())} to {short(best[name].max())}"
        for name in frame.columns[2:]
        if best[name].notna().all() and levels_of(frame[name]) is None
    ]
    return f"A line for each of {plural(len(frame), 'complete trial')}. Best tenth ({len(best)}): {', '.join(ranges)}."


def _pair(results: Results) -> pd.DataFrame:
    """A grid over the two most important parameters: number of trials, mean and lowest dev nats of each cell."""
    ranked = list(importance_frame(results)["parameter"])[:2]
    columns = ["x", "y", "x_bin", "y_bin", "x_values", "y_values", "n", "mean_dev_nats", "lowest_dev_nats"]
    if len(ranked) < 2:
        return pd.DataFrame(columns=columns)
    frame = by_parameter(results)
    cells = pd.DataFrame({"dev_nats": frame["dev_nats"].astype(float)})
    for axis, name in zip("xy", ranked, strict=True):
        places, words = _binned(frame[name], is_log(results, name))
        cells[f"{axis}_bin"], cells[f"{axis}_values"] = places, [words[place] for place in places]
    by = ["x_bin", "y_bin", "x_values", "y_values"]
    grouped = cells.groupby(by)["dev_nats"]
    table = grouped.agg(n="count", mean_dev_nats="mean", lowest_dev_nats="min").reset_index()
    return table.assign(x=ranked[0], y=ranked[1])[columns]


def _binned(values: pd.Series, log: bool) -> tuple[list[int], list[str]]:
    """The bin of each value, and the name of each bin: the choices, or equal parts of the range on its scale."""
    levels = levels_of(values)
    if levels is None and values.nunique() <= _BINS:
        levels = sorted(values.unique())
    if levels is not None:
        return [levels.index(value) for value in values], [short(level) for level in levels]
    low, high = float(values.min()), float(values.max())
    edges = np.geomspace(low, high, _BINS + 1) if log else np.linspace(low, high, _BINS + 1)
    places = np.clip(np.searchsorted(edges, values.to_numpy(float), side="right") - 1, 0, _BINS - 1)
    words = [f"{left:.2g} to {right:.2g}" for left, right in pairwise(edges)]
    if (values == values.round()).all():
        words = [
            f"{np.ceil(left):.0f} to {np.ceil(right) - 1 if place < _BINS - 1 else right:.0f}"
            for place, (left, right) in enumerate(pairwise(edges))
        ]
    return places.tolist(), words


def draw_pair(frame: pd.DataFrame, results: Results) -> Figure:
    if frame.empty:
        return style.empty(TOO_FEW, results.label)
    figure, (axes,) = style.figure(style.NARROW, 4.3)
    losses = frame["mean_dev_nats"]
    colours = palette.LEVELS[::-1]
    shares = losses.rank(pct=True)
    for row, share in zip(frame.to_dict("records"), shares, strict=True):
        step = min(len(colours) - 1, int((share - 1e-9) * len(colours)))
        x, y = row["x_bin"], row["y_bin"]
        axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, color=colours[step], lw=0))
        ink = palette.PAPER if step < len(colours) / 2 else palette.INK
        text = f"{row['mean_dev_nats']:.3f}\nn={row['n']}"
        axes.text(x, y, text, ha="center", va="center", fontsize=7.5, color=ink)
    for axis, ticks, label in ((axes.xaxis, "x", axes.set_xlabel), (axes.yaxis, "y", axes.set_ylabel)):
        bins = frame.drop_duplicates(f"{ticks}_bin").sort_values(f"{ticks}_bin")
        axis.set_major_locator(FixedLocator(list(bins[f"{ticks}_bin"])))
        axis.set_ticklabels([style.as_written(words).replace(" to ", " to\n") for words in bins[f"{ticks}_values"]])
        label(style.as_written(frame[ticks].iloc[0]), labelpad=8)
    axes.set_xlim(frame["x_bin"].min() - 0.6, frame["x_bin"].max() + 0.6)
    axes.set_ylim(frame["y_bin"].min() - 0.6, frame["y_bin"].max() + 0.6)
    axes.grid(visible=False)
    axes.tick_params(labelsize=7.5)
    axes.set_title("The two most important parameters")
    style.small_print(figure, f"mean dev loss of n complete trials; darker is lower · {results.label}")
    return figure


def _alt_pair(frame: pd.DataFrame) -> str:
    best = frame.sort_values("mean_dev_nats").iloc[0]
    place = f"{best['x']} {best['x_values']}, {best['y']} {best['y_values']}"
    return (
        f"Heat map of mean dev loss over {best['x']} and {best['y']}, {plural(len(frame), 'cell')} with trials. "
        f"Lowest: {best['mean_dev_nats']:.4f} (n={best['n']}) at {place}."
    )


PARALLEL = Plot(
    "parallel",
    "Parallel coordinates",
    "Each trial is one line across all parameters; the last axis is the loss. Each axis has its own scale, from the "
    "lowest to the highest value. Where the orange lines, the best tenth, are close together, the search has found the "
    "best values of that parameter; where they are spread out, it matters little.",
    by_parameter,
    draw_parallel,
    _alt_parallel,
    wide=True,
)
PAIR = Plot(
    "pair",
    "The two most important parameters",
    "Each cell shows the mean dev loss and the number of the trials with both parameters in its ranges; darker is "
    "lower. Empty cells were not tried. Means of one or two trials are unreliable.",
    _pair,
    draw_pair,
    _alt_pair,
)
