"""Figures of the search seen whole: history, importance, a slice per parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from harness.lecture import RECIPE
from harness.report import palette
from harness.report.frames import (
    FEW_TRIALS,
    complete_frame,
    history_frame,
    importance_frame,
    is_log,
    lines_frame,
    search_columns,
)
from harness.report.plots import style
from harness.report.plots.curves import counted
from harness.report.plots.plot import Plot
from harness.report.results import Results
from harness.report.tables.table import short

_FEWEST = 3
"""Trials that must have a conditional parameter for it to be drawn."""
TOO_FEW = "too few complete trials to say what mattered"


def draw_history(frame: pd.DataFrame, results: Results) -> Figure:
    if frame["dev_nats"].notna().sum() == 0:
        return style.empty("no trial with a loss yet", results.label)
    figure, (axes,) = style.figure(style.NARROW, 3.9)
    axes.set_title("The search in order")
    for status, (colour, marker) in style.STATUSES.items():
        points = frame[(frame["status"] == status) & frame["dev_nats"].notna()]
        if not points.empty:
            looks = {"lw": 1} if marker == "x" else {}
            style.scatter(axes, points["trial"], points["dev_nats"], color=colour, marker=marker, label=status, **looks)
    axes.step(frame["trial"], frame["best_so_far"], where="post", color=palette.BLUE, lw=1.4, label="best so far")
    marks = lines_frame(results)
    recipe = marks.loc[marks["line"] == RECIPE, "nats"]
    for nats in recipe:
        axes.axhline(nats, color=palette.REFERENCE, lw=1.1, ls=":", label=f"{RECIPE}, {nats:.3f}")
    focus(axes, frame["dev_nats"], list(recipe))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel="dev loss (nats per symbol)")
    style.legend_above(axes, columns=3)
    style.small_print(figure, f"trials stopped early at the loss they were stopped at · {results.label}")
    return figure


def focus(axes: Axes, losses: pd.Series, marks: list[float]) -> None:
    """Keep a few wild losses from flattening the rest: the axis ends above nine tenths of them."""
    losses = losses.dropna().astype(float)
    low, high = float(losses.min()), max([float(losses.quantile(0.9)), *marks])
    margin = 0.06 * (high - low) or 0.01
    axes.set_ylim(low - margin, high + margin)


def _alt_history(frame: pd.DataFrame) -> str:
    best = frame["best_so_far"].dropna()
    ended = f"Dev loss of {len(frame)} trials in order: {counted(frame['status'].value_counts())}."
    if best.empty:
        return ended
    reached = int(frame.loc[frame["dev_nats"] == best.iloc[-1], "trial"].iloc[0])
    return f"{ended} The lowest of a complete trial is {best.iloc[-1]:.4f}, at trial {reached}."


def draw_importance(frame: pd.DataFrame, results: Results) -> Figure:
    if frame.empty:
        return style.empty(TOO_FEW, results.label)
    figure, (axes,) = style.figure(style.NARROW, 0.32 * len(frame) + 1.5)
    sns.barplot(frame, x="importance", y="parameter", color=palette.SKY, saturation=1, ax=axes)
    axes.hlines(range(len(frame)), frame["low"], frame["high"], color=palette.INK, lw=1.2)
    axes.axvline(1 / len(frame), color=palette.GREY, lw=1, ls=":")
    axes.set(xlabel="share of what told the best tenth from the rest", ylabel="")
    axes.set_title("What mattered")
    n = int(frame["n"].iloc[0])
    few = f", too few to rely on ({FEW_TRIALS} at least)" if n < FEW_TRIALS else ""
    text = f"PED-ANOVA, n={n} complete trials{few}; lines: 90 % of resamples; dots: chance alone"
    style.small_print(figure, f"{text}\n{results.label}")
    return figure


def _alt_importance(frame: pd.DataFrame) -> str:
    shares = [f"{row.parameter} {row.importance:.0%} ({row.low:.0%} to {row.high:.0%})" for row in frame.itertuples()]
    return f"Bars of importance over {frame['n'].iloc[0]} complete trials: {', '.join(shares)}."


def by_parameter(results: Results) -> pd.DataFrame:
    frame = complete_frame(results)
    columns = search_columns(results, frame)
    return frame[["trial", "dev_nats", *columns.values()]].rename(columns={c: name for name, c in columns.items()})


def draw_slices(frame: pd.DataFrame, results: Results) -> Figure:
    names = [name for name in frame.columns[2:] if frame[name].notna().sum() >= _FEWEST]
    if frame.empty or not names:
        return style.empty("no complete trial yet", results.label)
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = style.figure(style.WIDE, 2.0 * rows + 0.7, columns=columns, rows=rows, sharey=True)
    for axis, name in zip(axes, names, strict=False):
        points = frame[frame[name].notna()]
        x = _scaled_axis(axis, points[name], name, results)
        order = points["trial"].rank(pct=True)
        looks = {"c": order, "cmap": style.level_map(), "vmin": 0, "vmax": 1}
        style.scatter(axis, x, points["dev_nats"], **looks)
        axis.set_xlabel(f"{name} (n={len(points)})")
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    focus(axes[0], frame["dev_nats"], [])
    for axis in axes[::columns]:
        axis.set_ylabel("dev loss (nats)")
    figure.suptitle("A slice per parameter", x=0.01, ha="left", weight="bold", size=10)
    rare = [name for name in frame.columns[2:] if name not in names]
    left_out = f"fewer than {_FEWEST} have {', '.join(rare)} · " if rare else ""
    style.small_print(
        figure, f"n={len(frame)} complete trials, the later the stronger the colour · {left_out}{results.label}"
    )
    return figure


def _scaled_axis(axes: Axes, values: pd.Series, name: str, results: Results) -> pd.Series:
    """Where the values stand on the axis, which is set to the parameter's own scale."""
    levels = levels_of(values)
    if levels is not None:
        axes.set_xticks(range(len(levels)), [short(level) for level in levels])
        axes.set_xlim(-0.5, len(levels) - 0.5)
        axes.tick_params(axis="x", rotation=28 if len(levels) > 4 else 0, labelsize=7.5)
        return values.map({level: place for place, level in enumerate(levels)})
    if is_log(results, name):
        axes.set_xscale("log")
        decades = float(np.log10(values.max() / values.min()))
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades > 2.5 else (1, 3) if decades > 1 else (1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        whole = bool((values == values.round()).all())
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=whole))
    return values


def levels_of(values: pd.Series) -> list[Any] | None:
    """The values of a choice, in order; None for a parameter that has a scale."""
    if pd.api.types.is_numeric_dtype(values) and values.name != "batch_size":
        return None
    return sorted(values.unique(), key=lambda value: (isinstance(value, str), value))


def _alt_slices(frame: pd.DataFrame) -> str:
    best = frame.sort_values("dev_nats").iloc[0]
    values = ", ".join(f"{name} {short(best[name])}" for name in frame.columns[2:] if pd.notna(best[name]))
    n, number = len(frame), best["trial"]
    return f"Dev loss of {n} complete trials against each parameter alone. The best, trial {number}: {values}."


HISTORY = Plot(
    "history",
    "The search in order",
    "One mark for each trial, from first to last; lower is better. The step line is the best complete trial so far: "
    "where it has long been flat, more trials of this search would gain little.",
    history_frame,
    draw_history,
    _alt_history,
)
IMPORTANCE = Plot(
    "importance",
    "What mattered",
    "The longer a bar, the more its parameter told the best tenth of the trials from the rest. The thin line is the "
    "range over resampled trials: where it reaches left of the dotted line, the bar may be chance. Parameters that "
    "only some trials have cannot be compared and are left out.",
    importance_frame,
    draw_importance,
    _alt_importance,
)
SLICES = Plot(
    "slices",
    "A slice per parameter",
    "The same trials again and again, laid out along one parameter each; lower is better. A valley shows where the "
    "parameter is best; lowest points crowding at an end say that the range should go on there. Strong colours came "
    "later, when the search knew more.",
    by_parameter,
    draw_slices,
    _alt_slices,
    wide=True,
)
